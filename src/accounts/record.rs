//! Stored records of domains, accounts and addresses: what they hold and how they are written.
//!
//! A record is a version byte and big-endian fields; texts have a length of two bytes before
//! them. Decoding never panics and never guesses: bytes that are not exactly a record are `None`,
//! and the reader treats that one item as damaged (DUR-09, DUR-10). The layouts stand in
//! docs/STORE-accounts.md.

use std::str::FromStr;

use bytes::Bytes;

use super::{
    grants::Grant,
    groups::{Group, Senders},
    keys::DkimKey,
    limits::RECORD_BYTES_MAX,
    personal::{Forwarding, OutOfOffice},
    rewriting::RewritingSecret,
    snapshot::Edit,
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, Proof},
        secret::Secret,
    },
    mail::{
        address::{Address, Domain},
        algorithm::Algorithm,
    },
};

/// Somebody who has mailboxes and may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number, never reused.
    pub id: AccountId,
    /// Its first address, which is also its login name.
    pub address: Address,
    /// What a password is verified with: a PHC string.
    pub verifier: Secret<String>,
    /// How many bytes its mailboxes may hold.
    pub quota_bytes: u64,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it is out of use: nobody logs in, and mail for it is refused.
    pub disabled: bool,
    /// Whether it is nobody's own: nobody logs in to it, and its mailboxes are there to be shared.
    pub shared: bool,
    /// Counts the changes that end what was logged in before them (AUTH-06).
    pub credentials: u64,
    /// Where its mail goes instead, or as well.
    pub forwarding: Option<Forwarding>,
    /// What its senders are answered.
    pub out_of_office: Option<OutOfOffice>,
    /// What else it may send with.
    pub send_as: Vec<Grant>,
}

/// What an address of a local domain stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An account.
    Account(AccountId),
    /// Other addresses, here or elsewhere. Whoever gets its mail may also send with it.
    Alias(Vec<Address>),
    /// A distribution list. Its members get its mail but do not send with it.
    Group(Box<Group>),
    /// What is stored cannot be understood. Mail for it waits at its sender.
    Damaged,
}

/// What is stored of a domain, beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DomainRecord {
    /// Where mail goes that no address of the domain takes.
    pub(super) catch_all: Option<Address>,
    /// When it was added.
    pub(super) created: Timestamp,
    /// What its mail is signed with, in the order in which they were made.
    pub(super) keys: Vec<DkimKey>,
    /// The domain whose addresses are this one's, too.
    pub(super) stands_for: Option<Domain>,
}

/// The record is longer than the store takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Account {
    /// The step that stores it.
    pub(super) fn put(self) -> Edit {
        Edit::PutAccount(Box::new(self))
    }

    /// Whether anybody may log in to it.
    pub(super) fn lets_in(&self) -> bool {
        !self.disabled && !self.shared
    }

    /// What its password proves as long as its credentials are these.
    pub(super) fn proof(&self) -> Proof {
        Proof {
            account: self.id,
            credentials: self.credentials,
        }
    }

    /// The record; its number is in the key.
    pub(super) fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut out = Writer::version(VERSION);
        out.text(&self.address.to_string())?;
        out.text(self.verifier.expose())?;
        out.number(self.quota_bytes);
        out.number(self.created.0);
        out.byte(u8::from(self.disabled));
        out.byte(u8::from(self.shared));
        out.number(self.credentials);
        out.byte(u8::from(self.forwarding.is_some()));
        if let Some(forwarding) = &self.forwarding {
            out.byte(u8::from(forwarding.keep));
            out.addresses(&forwarding.to)?;
        }
        out.byte(u8::from(self.out_of_office.is_some()));
        if let Some(absence) = &self.out_of_office {
            out.number(absence.set.0);
            out.number(absence.from.0);
            out.number(absence.until.0);
            out.byte(absence.days);
            out.text(&absence.subject)?;
            out.text(&absence.text)?;
        }
        out.short(self.send_as.len())?;
        for grant in &self.send_as {
            out.text(&grant.to_string())?;
        }
        out.finish()
    }

    /// Reads a record back.
    pub(super) fn decode(id: AccountId, bytes: &Bytes) -> Option<Self> {
        let mut input = Reader::version(bytes, VERSION)?;
        let account = Self {
            id,
            address: input.address()?,
            verifier: Secret::new(input.text()?.to_owned()),
            quota_bytes: input.number()?,
            created: Timestamp(input.number()?),
            disabled: input.flag()?,
            shared: input.flag()?,
            credentials: input.number()?,
            forwarding: input.option(|input| {
                Some(Forwarding {
                    keep: input.flag()?,
                    to: input.addresses()?,
                })
            })?,
            out_of_office: input.option(|input| {
                Some(OutOfOffice {
                    set: Timestamp(input.number()?),
                    from: Timestamp(input.number()?),
                    until: Timestamp(input.number()?),
                    days: input.byte()?,
                    subject: input.text()?.into(),
                    text: input.text()?.into(),
                })
            })?,
            send_as: input.texts()?,
        };
        input.end()?;
        Some(account)
    }
}

/// The record of all secrets for rewritten senders.
pub(super) fn encode_secrets(secrets: &[RewritingSecret]) -> Result<Vec<u8>, TooLong> {
    let mut out = Writer::version(VERSION);
    out.short(secrets.len())?;
    for secret in secrets {
        out.number(secret.made.0);
        out.bytes(secret.key.expose())?;
    }
    out.finish()
}

/// Reads it back.
pub(super) fn decode_secrets(bytes: &[u8]) -> Option<Vec<RewritingSecret>> {
    let mut input = Reader::version(bytes, VERSION)?;
    let count = input.short()?;
    let mut secrets = Vec::new();
    for _ in 0..count {
        secrets.push(RewritingSecret {
            made: Timestamp(input.number()?),
            key: Secret::new(input.bytes()?.to_vec()),
        });
    }
    input.end()?;
    Some(secrets)
}

impl DomainRecord {
    /// The record; the name is in the key.
    pub(super) fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut out = Writer::version(VERSION);
        out.number(self.created.0);
        out.addresses(self.catch_all.as_slice())?;
        out.short(self.keys.len())?;
        for key in &self.keys {
            out.text(&key.selector)?;
            out.text(key.algorithm.key_type())?;
            out.number(key.created.0);
            out.number(key.signs_from.0);
            out.bytes(key.private.expose())?;
        }
        let stands_for = self.stands_for.as_ref();
        out.text(stands_for.map(Domain::as_str).unwrap_or_default())?;
        out.finish()
    }

    /// Reads a record back.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::version(bytes, VERSION)?;
        let created = Timestamp(input.number()?);
        let mut catch_all = input.addresses()?;
        let count = input.short()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            keys.push(DkimKey {
                selector: input.text()?.to_owned(),
                algorithm: Algorithm::of_key_type(input.text()?)?,
                created: Timestamp(input.number()?),
                signs_from: Timestamp(input.number()?),
                private: Secret::new(input.bytes()?.to_vec()),
            });
        }
        let stands_for = match input.text()? {
            "" => None,
            name => Some(Domain::parse(name).ok()?),
        };
        input.end()?;
        if catch_all.len() > 1 {
            return None;
        }
        Some(Self {
            catch_all: catch_all.pop(),
            created,
            keys,
            stands_for,
        })
    }
}

impl Entry {
    /// The record; the address is in the key. A damaged entry is never written.
    pub(super) fn encode(&self) -> Result<Vec<u8>, TooLong> {
        let mut out = Writer::version(VERSION);
        match self {
            Self::Account(id) => {
                out.byte(KIND_ACCOUNT);
                out.number(id.0);
            }
            Self::Alias(targets) => {
                out.byte(KIND_ALIAS);
                out.addresses(targets)?;
            }
            Self::Group(group) => {
                out.byte(KIND_GROUP);
                out.addresses(&group.members)?;
                out.addresses(&group.owners)?;
                let (senders, listed) = match &group.senders {
                    Senders::Anyone => (SENDERS_ANYONE, &[][..]),
                    Senders::Members => (SENDERS_MEMBERS, &[][..]),
                    Senders::Owners => (SENDERS_OWNERS, &[][..]),
                    Senders::Listed(listed) => (SENDERS_LISTED, listed.as_slice()),
                };
                out.byte(senders);
                out.addresses(listed)?;
            }
            Self::Damaged => out.byte(KIND_DAMAGED),
        }
        out.finish()
    }

    /// Reads a record back; what cannot be understood is [`Entry::Damaged`].
    pub(super) fn decode(bytes: &[u8]) -> Self {
        Self::decode_exact(bytes).unwrap_or(Self::Damaged)
    }

    fn decode_exact(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::version(bytes, VERSION)?;
        let entry = match input.byte()? {
            KIND_ACCOUNT => Self::Account(AccountId(input.number()?)),
            KIND_ALIAS => Self::Alias(input.addresses()?),
            KIND_GROUP => Self::Group(Box::new(Group {
                members: input.addresses()?,
                owners: input.addresses()?,
                senders: match (input.byte()?, input.addresses()?) {
                    (SENDERS_ANYONE, listed) if listed.is_empty() => Senders::Anyone,
                    (SENDERS_MEMBERS, listed) if listed.is_empty() => Senders::Members,
                    (SENDERS_OWNERS, listed) if listed.is_empty() => Senders::Owners,
                    (SENDERS_LISTED, listed) => Senders::Listed(listed),
                    _ => return None,
                },
            })),
            _ => return None,
        };
        input.end()?;
        Some(entry)
    }
}

/// Appends fields.
struct Writer(Vec<u8>);

impl Writer {
    fn version(version: u8) -> Self {
        Self(vec![version])
    }

    fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    fn short(&mut self, value: usize) -> Result<(), TooLong> {
        let value = u16::try_from(value).map_err(|_| TooLong)?;
        self.0.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), TooLong> {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        self.short(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn addresses(&mut self, addresses: &[Address]) -> Result<(), TooLong> {
        self.short(addresses.len())?;
        addresses
            .iter()
            .try_for_each(|address| self.text(&address.to_string()))
    }

    fn finish(self) -> Result<Vec<u8>, TooLong> {
        if self.0.len() > RECORD_BYTES_MAX {
            return Err(TooLong);
        }
        Ok(self.0)
    }
}

/// Takes fields from the front; `None` is the end of understanding.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn version(bytes: &'a [u8], version: u8) -> Option<Self> {
        let mut input = Self(bytes);
        (input.byte()? == version).then_some(input)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// `None` is the end of understanding, as everywhere.
    fn option<V>(&mut self, read: impl FnOnce(&mut Self) -> Option<V>) -> Option<Option<V>> {
        match self.flag()? {
            true => read(self).map(Some),
            false => Some(None),
        }
    }

    fn number(&mut self) -> Option<u64> {
        let field = self.take(8)?.first_chunk()?;
        Some(u64::from_be_bytes(*field))
    }

    fn short(&mut self) -> Option<usize> {
        let field = self.take(2)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*field)))
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length)
    }

    fn address(&mut self) -> Option<Address> {
        Address::parse(self.text()?).ok()
    }

    fn addresses(&mut self) -> Option<Vec<Address>> {
        self.texts()
    }

    fn texts<V: FromStr>(&mut self) -> Option<Vec<V>> {
        let count = self.short()?;
        (0..count).map(|_| self.text()?.parse().ok()).collect()
    }

    fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

const VERSION: u8 = 1;
const KIND_ACCOUNT: u8 = 1;
const KIND_ALIAS: u8 = 2;
const KIND_GROUP: u8 = 3;
const SENDERS_ANYONE: u8 = 0;
const SENDERS_MEMBERS: u8 = 1;
const SENDERS_OWNERS: u8 = 2;
const SENDERS_LISTED: u8 = 3;
/// Reads back as damaged, like every kind that is not known.
const KIND_DAMAGED: u8 = 0xff;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = Address> {
        "[a-z \"\\\\\u{e9}]{1,8}@[a-z]{1,8}\\.example".prop_filter_map("an address", |text| {
            let (local, domain) = text.rsplit_once('@')?;
            Some(Address {
                local: crate::mail::address::LocalPart::from_unquoted(local).ok()?,
                domain: domain.parse().ok()?,
            })
        })
    }

    fn account() -> impl Strategy<Value = Account> {
        let numbers = any::<(u64, u64, u64, u64, (bool, bool))>();
        let to = proptest::collection::vec(address(), 1..4);
        let forwarding = (to, any::<bool>());
        let forwarding = forwarding.prop_map(|(to, keep)| Forwarding { to, keep });
        let absence = ("\\PC{0,20}", "\\PC{0,80}", any::<(u64, u64, u64, u8)>());
        let absence = absence.prop_map(|(subject, text, n)| OutOfOffice {
            set: Timestamp(n.0),
            from: Timestamp(n.1),
            until: Timestamp(n.2),
            days: n.3,
            subject: subject.into(),
            text: text.into(),
        });
        let personal = (
            proptest::option::of(forwarding),
            proptest::option::of(absence),
        );
        let send_as = proptest::collection::vec(grant(), 0..4);
        let all = (address(), "[ -~]{0,120}", numbers, personal, send_as);
        all.prop_map(
            |(address, phc, n, (forwarding, out_of_office), send_as)| Account {
                id: AccountId(n.0),
                address,
                verifier: Secret::new(phc),
                quota_bytes: n.1,
                created: Timestamp(n.2),
                disabled: n.4.0,
                shared: n.4.1,
                credentials: n.3,
                forwarding,
                out_of_office,
                send_as,
            },
        )
    }

    fn entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            any::<u64>().prop_map(|id| Entry::Account(AccountId(id))),
            proptest::collection::vec(address(), 0..20).prop_map(Entry::Alias),
            group().prop_map(|group| Entry::Group(Box::new(group))),
        ]
    }

    fn group() -> impl Strategy<Value = Group> {
        let some = || proptest::collection::vec(address(), 0..9);
        let senders = prop_oneof![
            Just(Senders::Anyone),
            Just(Senders::Members),
            Just(Senders::Owners),
            some().prop_map(Senders::Listed),
        ];
        (some(), some(), senders).prop_map(|(members, owners, senders)| Group {
            members,
            owners,
            senders,
        })
    }

    fn grant() -> impl Strategy<Value = Grant> {
        prop_oneof![
            address().prop_map(Grant::Address),
            address().prop_map(|address| Grant::Domain(address.domain)),
        ]
    }

    fn key() -> impl Strategy<Value = DkimKey> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..20);
        let of = |(selector, rsa, created, signs_from, private)| DkimKey {
            selector,
            algorithm: Algorithm::ALL[usize::from(rsa)],
            created: Timestamp(created),
            signs_from: Timestamp(signs_from),
            private: Secret::new(private),
        };
        (
            "[a-z0-9]{1,9}",
            any::<bool>(),
            any::<u64>(),
            any::<u64>(),
            bytes,
        )
            .prop_map(of)
    }

    proptest! {
        #[test]
        fn records_come_back_as_they_were(
            account in account(), entry in entry(),
            catch_all in proptest::option::of(address()), created in any::<u64>(),
            keys in proptest::collection::vec(key(), 0..3),
            stands_for in proptest::option::of(address()),
        ) {
            let bytes = Bytes::from(account.encode().unwrap());
            prop_assert_eq!(Account::decode(account.id, &bytes), Some(account));
            prop_assert_eq!(Entry::decode(&entry.encode().unwrap()), entry);
            let created = Timestamp(created);
            let stands_for = stands_for.map(|address| address.domain);
            let domain = DomainRecord { catch_all, created, keys, stands_for };
            prop_assert_eq!(DomainRecord::decode(&domain.encode().unwrap()), Some(domain));
        }

        #[test]
        fn dur_10_bytes_that_are_no_record_are_damaged_and_nothing_worse(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Account::decode(AccountId(1), &Bytes::from(bytes.clone()));
            let _ = DomainRecord::decode(&bytes);
            let _ = decode_secrets(&bytes);
            let _ = Entry::decode(&bytes);
        }

        #[test]
        fn dur_10_a_record_with_a_piece_missing_or_too_much_is_damaged(
            entry in entry(), cut in 1_usize..9,
        ) {
            let mut bytes = entry.encode().unwrap();
            bytes.push(0);
            prop_assert_eq!(Entry::decode(&bytes), Entry::Damaged);
            bytes.truncate(bytes.len().saturating_sub(1 + cut));
            prop_assert_eq!(Entry::decode(&bytes), Entry::Damaged);
        }
    }

    #[test]
    fn a_list_beyond_the_record_is_refused_not_cut() {
        let member: Address = format!("{}@example.org", "m".repeat(60)).parse().unwrap();
        assert!(Entry::Alias(vec![member.clone(); 800]).encode().is_ok());
        assert_eq!(Entry::Alias(vec![member; 900]).encode(), Err(TooLong));
        assert_eq!(
            Entry::decode(&Entry::Damaged.encode().unwrap()),
            Entry::Damaged
        );
    }
}
