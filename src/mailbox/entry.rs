//! What is stored of a mailbox beside its messages: its record, its name, subscriptions.
//!
//! A record never changes; RENAME writes names only. Name keys are bounded, so a long name stands
//! in its key as a digest and in the value in full.

use ring::digest::{SHA256, digest};

use super::{
    codec::{Reader, Undecodable},
    name::Name,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq},
    store::{
        Key, Template, Width,
        key::{self, KEY_BYTES_MAX},
    },
};

/// What a mailbox is for (RFC 6154 2). `\All` and `\Flagged` would be views, which do not exist
/// here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// Every special use with its attribute and its stored number.
    const ALL: [(Self, &'static str, u8); 5] = [
        (Self::Archive, "\\Archive", 1),
        (Self::Drafts, "\\Drafts", 2),
        (Self::Junk, "\\Junk", 3),
        (Self::Sent, "\\Sent", 4),
        (Self::Trash, "\\Trash", 5),
    ];

    /// Its attribute, as LIST shows it.
    pub fn attribute(self) -> &'static str {
        let (_, attribute, _) = Self::ALL[self as usize];
        attribute
    }

    /// The special use with this attribute, in any case.
    pub fn parse(attribute: &str) -> Option<Self> {
        let named = |(_, name, _): &&(Self, &str, u8)| name.eq_ignore_ascii_case(attribute);
        Self::ALL
            .iter()
            .find(named)
            .map(|(special_use, _, _)| *special_use)
    }
}

/// A mailbox of an account, as LIST and SELECT need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; kept by RENAME.
    pub id: MailboxId,
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// UIDVALIDITY; zero where the record cannot be understood.
    pub uid_validity: u32,
}

impl Entry {
    /// The mailbox with this stored record. A record that cannot be understood is one, too: the
    /// mailbox can be renamed and deleted (DUR-09).
    pub(super) fn new(id: MailboxId, name: Name, record: &[u8]) -> Self {
        let record = MailboxRecord::decode(record).ok();
        Self {
            id,
            name,
            special_use: record.and_then(|record| record.special_use),
            uid_validity: record.map_or(0, |record| record.uid_validity),
        }
    }
}

/// The stored record of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MailboxRecord {
    pub(super) uid_validity: u32,
    pub(super) special_use: Option<SpecialUse>,
    /// The account's modseq of its making.
    pub(super) created: ModSeq,
}

const VERSION: u8 = 1;

impl MailboxRecord {
    /// The value of a record whose modseq is taken in the same batch.
    pub(super) fn encode(
        uid_validity: u32,
        special_use: Option<SpecialUse>,
        modseq_take: usize,
    ) -> Template {
        let mut template = Template::from(vec![VERSION]);
        let number = special_use.map_or(0, |special_use| SpecialUse::ALL[special_use as usize].2);
        template.extend(&uid_validity.to_be_bytes());
        template.extend(&[number]);
        template.hole(modseq_take, 0, Width::U64);
        template
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let uid_validity = reader.u32()?;
        let number = reader.byte()?;
        let special_use = SpecialUse::ALL.iter().find(|(_, _, n)| *n == number);
        Ok(Self {
            uid_validity,
            special_use: special_use.map(|(special_use, _, _)| *special_use),
            created: ModSeq(reader.u64()?),
        })
    }
}

/// Bytes of the longest name that stands in a key as it is: space and account come first.
const PLAIN_NAME_BYTES_MAX: usize = KEY_BYTES_MAX - 9;

/// What digests begin with: no name has it.
const DIGEST_MARK: &str = "\0";

/// The name as it stands in a key, or its digest.
fn key_name(name: &Name) -> String {
    if is_plain(name) {
        return name.as_str().to_owned();
    }
    let mut text = String::from(DIGEST_MARK);
    for byte in digest(&SHA256, name.as_str().as_bytes()).as_ref() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn is_plain(name: &Name) -> bool {
    name.as_str().len() <= PLAIN_NAME_BYTES_MAX
}

/// Where the mailbox of this name is found.
pub(super) fn name_key(account: AccountId, name: &Name) -> Key {
    key::mailbox_name(account, &key_name(name))
}

/// All names of an account.
pub(super) fn names(account: AccountId) -> Key {
    key::mailbox_name(account, "")
}

/// Those of them that stand in their keys as they are and are below this one; `None` where there
/// can be none.
pub(super) fn names_below(account: AccountId, name: &Name) -> Option<Key> {
    let below = format!("{name}{}", Name::SEPARATOR);
    (below.len() < PLAIN_NAME_BYTES_MAX).then(|| key::mailbox_name(account, &below))
}

/// Those of them that stand in their keys as digests.
pub(super) fn long_names(account: AccountId) -> Key {
    key::mailbox_name(account, DIGEST_MARK)
}

/// The value at [`name_key`].
pub(super) fn name_value(mailbox: MailboxId, name: &Name) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&mailbox.0.to_be_bytes());
    if !is_plain(name) {
        value.extend_from_slice(name.as_str().as_bytes());
    }
    value
}

/// The mailbox number in a value at [`name_key`].
pub(super) fn named_mailbox(value: &[u8]) -> Result<(MailboxId, &[u8]), Undecodable> {
    let mut reader = Reader::new(value);
    if reader.byte()? != VERSION {
        return Err(Undecodable);
    }
    Ok((MailboxId(reader.u64()?), reader.rest()))
}

/// The value that tells the name of a mailbox.
pub(super) fn label(name: &Name) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(name.as_str().as_bytes());
    value
}

/// The name in a value of [`label`].
pub(super) fn label_name(value: &[u8]) -> Result<Name, Undecodable> {
    let mut reader = Reader::new(value);
    if reader.byte()? != VERSION {
        return Err(Undecodable);
    }
    let text = std::str::from_utf8(reader.rest()).map_err(|_| Undecodable)?;
    Name::parse(text).map_err(|_| Undecodable)
}

/// The key of a subscription.
pub(super) fn subscription_key(account: AccountId, name: &Name) -> Key {
    key::subscription(account, &key_name(name))
}

/// The value of a subscription.
pub(super) fn subscription_value(name: &Name) -> Vec<u8> {
    let mut value = vec![VERSION];
    if !is_plain(name) {
        value.extend_from_slice(name.as_str().as_bytes());
    }
    value
}

/// The name of a subscription.
pub(super) fn subscribed_name(key: &Key, value: &[u8]) -> Result<Name, Undecodable> {
    let mut reader = Reader::new(value);
    if reader.byte()? != VERSION {
        return Err(Undecodable);
    }
    full_name(key, reader.rest())
}

/// The name behind a key that ends in one, given what its value says of the full name.
pub(super) fn full_name(key: &Key, in_value: &[u8]) -> Result<Name, Undecodable> {
    let bytes = match in_value {
        [] => key.as_bytes().get(9..).ok_or(Undecodable)?,
        full => full,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| Undecodable)?;
    Name::parse(text).map_err(|_| Undecodable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::record::tests::filled;

    #[test]
    fn a_record_survives() {
        let uses = SpecialUse::ALL.map(|(special_use, _, _)| Some(special_use));
        for special_use in uses.into_iter().chain([None]) {
            let bytes = filled(MailboxRecord::encode(17, special_use, 0), &[5]);
            let expected = MailboxRecord {
                uid_validity: 17,
                special_use,
                created: ModSeq(5),
            };
            assert_eq!(MailboxRecord::decode(&bytes), Ok(expected));
        }
        assert_eq!(MailboxRecord::decode(&[2, 0, 0]), Err(Undecodable));
    }

    #[test]
    fn special_uses_have_their_attributes() {
        for (special_use, attribute, _) in SpecialUse::ALL {
            assert_eq!(special_use.attribute(), attribute);
            assert_eq!(
                SpecialUse::parse(&attribute.to_lowercase()),
                Some(special_use)
            );
        }
        assert_eq!(SpecialUse::parse("\\All"), None);
    }

    #[test]
    fn lim_23_the_longest_name_fits_into_a_key_and_comes_back() {
        let account = AccountId(7);
        let longest = vec!["l".repeat(249); 4].join("/");
        for text in ["INBOX", "Entw\u{fc}rfe/2024", &longest] {
            let name = Name::parse(text).unwrap();
            let key = name_key(account, &name);
            assert!(key.as_bytes().len() <= KEY_BYTES_MAX);
            let value = name_value(MailboxId(3), &name);
            let (mailbox, rest) = named_mailbox(&value).unwrap();
            assert_eq!(mailbox, MailboxId(3));
            assert_eq!(full_name(&key, rest), Ok(name.clone()));
            let key = subscription_key(account, &name);
            assert!(key.as_bytes().len() <= KEY_BYTES_MAX);
            assert_eq!(subscribed_name(&key, &subscription_value(&name)), Ok(name));
        }
    }
}
