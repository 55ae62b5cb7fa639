//! Access control lists: who may do what with a mailbox that is not his (RFC 4314 2).
//!
//! Pure. The owner is in no list: he has all rights, whatever it says. Everybody else has what is
//! granted to him or to anyone, without what is denied to him or to anyone (`-identifier`). A list
//! that cannot be understood gives nobody anything (DUR-10).

use super::{
    codec::{Reader, Undecodable, put_number},
    limits::IDENTIFIERS_MAX,
    rights::Rights,
};
use crate::base::ids::AccountId;

/// Whom an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// Every account.
    Anyone,
    /// This account.
    Account(AccountId),
}

/// The rights of one identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclEntry {
    /// Whose.
    pub who: Identifier,
    /// What it may.
    pub granted: Rights,
    /// What it may not, whoever grants it.
    pub denied: Rights,
}

/// An access control list, sorted by identifier; each has a right or lacks one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl(Vec<AclEntry>);

/// What SETACL does to the rights of one identifier (RFC 4314 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AclChange {
    /// Whose.
    pub who: Identifier,
    /// Its negative rights.
    pub negative: bool,
    /// How `rights` are meant.
    pub mode: AclMode,
    /// The rights of the command.
    pub rights: Rights,
}

/// How the rights of a SETACL are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclMode {
    /// These and no others.
    Replace,
    /// `+`
    Add,
    /// `-`
    Remove,
}

/// There are as many identifiers as there may be (LIM-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowded;

const VERSION: u8 = 1;

impl Acl {
    /// Its entries.
    pub fn entries(&self) -> &[AclEntry] {
        &self.0
    }

    /// What an account that is not the owner may do.
    pub fn rights_of(&self, user: AccountId) -> Rights {
        let (mut granted, mut denied) = (Rights::NONE, Rights::NONE);
        for entry in &self.0 {
            if entry.who == Identifier::Anyone || entry.who == Identifier::Account(user) {
                granted = granted.union(entry.granted);
                denied = denied.union(entry.denied);
            }
        }
        granted.without(denied)
    }

    /// The list after a change.
    pub(super) fn changed(&self, change: &AclChange) -> Result<Self, Crowded> {
        let mut next = self.clone();
        let place = next.0.binary_search_by_key(&change.who, |entry| entry.who);
        let place = match place {
            Ok(place) => place,
            Err(place) => {
                let none = AclEntry {
                    who: change.who,
                    granted: Rights::NONE,
                    denied: Rights::NONE,
                };
                next.0.insert(place, none);
                place
            }
        };
        let Some(entry) = next.0.get_mut(place) else {
            return Ok(next);
        };
        let rights = match change.negative {
            true => &mut entry.denied,
            false => &mut entry.granted,
        };
        *rights = match change.mode {
            AclMode::Replace => change.rights,
            AclMode::Add => rights.union(change.rights),
            AclMode::Remove => rights.without(change.rights),
        };
        if entry.granted.is_empty() && entry.denied.is_empty() {
            next.0.remove(place);
        }
        match next.0.len() <= IDENTIFIERS_MAX {
            true => Ok(next),
            false => Err(Crowded),
        }
    }

    /// The list without an account that is no more.
    pub(super) fn without(&self, account: AccountId) -> Self {
        let others = self.0.iter().copied();
        Self(
            others
                .filter(|e| e.who != Identifier::Account(account))
                .collect(),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it says anything of this identifier.
    pub(super) fn names(&self, who: Identifier) -> bool {
        self.0.iter().any(|entry| entry.who == who)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, self.0.len() as u64);
        for entry in &self.0 {
            put_number(&mut out, entry.who.number());
            put_number(&mut out, u64::from(entry.granted.bits()));
            put_number(&mut out, u64::from(entry.denied.bits()));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let mut entries: Vec<AclEntry> = Vec::new();
        for _ in 0..reader.count(3)? {
            let who = Identifier::of(reader.number()?);
            if entries.last().is_some_and(|last| last.who >= who) {
                return Err(Undecodable);
            }
            entries.push(AclEntry {
                who,
                granted: read_rights(&mut reader)?,
                denied: read_rights(&mut reader)?,
            });
        }
        reader.end()?;
        Ok(Self(entries))
    }
}

fn read_rights(reader: &mut Reader<'_>) -> Result<Rights, Undecodable> {
    let bits = u16::try_from(reader.small()?).map_err(|_| Undecodable)?;
    Rights::from_bits(bits).ok_or(Undecodable)
}

impl Identifier {
    /// Its number in keys and values; accounts are numbered from one.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Anyone => 0,
            Self::Account(account) => account.0,
        }
    }

    fn of(number: u64) -> Self {
        match number {
            0 => Self::Anyone,
            number => Self::Account(AccountId(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::rights::tests::rights;

    fn changes() -> impl Strategy<Value = AclChange> {
        let mode = prop_oneof![
            Just(AclMode::Replace),
            Just(AclMode::Add),
            Just(AclMode::Remove)
        ];
        (0_u64..4, any::<bool>(), mode, rights()).prop_map(|(who, negative, mode, rights)| {
            AclChange {
                who: Identifier::of(who),
                negative,
                mode,
                rights,
            }
        })
    }

    proptest! {
        /// The list against one set of rights for each identifier and sign.
        #[test]
        fn rights_are_what_the_changes_made_of_them(
            changes in prop::collection::vec(changes(), 0..20), user in 1_u64..5,
        ) {
            let mut acl = Acl::default();
            let mut model = std::collections::BTreeMap::new();
            for change in &changes {
                acl = acl.changed(change).unwrap();
                let known = model.entry((change.who, change.negative)).or_insert(Rights::NONE);
                *known = match change.mode {
                    AclMode::Replace => change.rights,
                    AclMode::Add => known.union(change.rights),
                    AclMode::Remove => known.without(change.rights),
                };
            }
            prop_assert_eq!(Acl::decode(&acl.encode()), Ok(acl.clone()));
            let of = |who, negative| model.get(&(who, negative)).copied().unwrap_or_default();
            let me = Identifier::Account(AccountId(user));
            let granted = of(me, false).union(of(Identifier::Anyone, false));
            let denied = of(me, true).union(of(Identifier::Anyone, true));
            prop_assert_eq!(acl.rights_of(AccountId(user)), granted.without(denied));
            for entry in acl.entries() {
                prop_assert!(!entry.granted.is_empty() || !entry.denied.is_empty());
            }
            prop_assert!(!acl.without(AccountId(user)).names(me));
        }

        #[test]
        fn damaged_lists_are_no_lists_and_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(acl) = Acl::decode(&bytes) {
                prop_assert_eq!(Acl::decode(&acl.encode()), Ok(acl));
            }
        }
    }

    #[test]
    fn lim_23_a_list_has_a_hundred_identifiers() {
        let grant = |number| AclChange {
            who: Identifier::of(number),
            negative: number % 2 == 0,
            mode: AclMode::Add,
            rights: Rights::READ,
        };
        let mut acl = Acl::default();
        for number in 0..IDENTIFIERS_MAX as u64 {
            acl = acl.changed(&grant(number)).unwrap();
        }
        assert_eq!(acl.changed(&grant(100)), Err(Crowded));
        assert!(
            acl.changed(&grant(99)).is_ok(),
            "who is there can be changed"
        );
        let full = acl
            .changed(&AclChange {
                mode: AclMode::Remove,
                ..grant(99)
            })
            .unwrap();
        assert!(full.changed(&grant(100)).is_ok());
    }
}
