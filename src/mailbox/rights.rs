//! Rights to a mailbox: which there are, how they are written, how they are put together.
//!
//! Pure. RFC 4314 2.1; `c` and `d` of RFC 2086 stand for sets of them (RFC 4314 2.1.1): `c` for
//! `k` and `x`, `d` for `e` and `t`. Who has which rights is said by a mailbox's access control
//! list.

use std::fmt;

use super::flags::{FlagClasses, SystemFlags};

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// `l`: the mailbox is listed.
    pub const LOOKUP: Self = Self(1);
    /// `r`: it is opened and its messages are read.
    pub const READ: Self = Self(1 << 1);
    /// `s`: `\Seen` is changed.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: flags but `\Seen` and `\Deleted` are changed.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: messages are added.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: mail is sent to the mailbox; nothing is bound to it here.
    pub const POST: Self = Self(1 << 5);
    /// `k`: mailboxes are made below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: it is deleted or renamed.
    pub const DELETE_MAILBOX: Self = Self(1 << 7);
    /// `t`: `\Deleted` is changed.
    pub const DELETE_MESSAGES: Self = Self(1 << 8);
    /// `e`: messages are expunged.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: its access control list is read and changed.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// All.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Each with its letter, in the order in which they are written.
    pub const LETTERS: [(Self, char); 11] = [
        (Self::LOOKUP, 'l'),
        (Self::READ, 'r'),
        (Self::SEEN, 's'),
        (Self::WRITE, 'w'),
        (Self::INSERT, 'i'),
        (Self::POST, 'p'),
        (Self::CREATE, 'k'),
        (Self::DELETE_MAILBOX, 'x'),
        (Self::DELETE_MESSAGES, 't'),
        (Self::EXPUNGE, 'e'),
        (Self::ADMINISTER, 'a'),
    ];

    /// RFC 4314 2.1.1: letters of RFC 2086, and what each stands for.
    pub const OBSOLETE: [(Self, char); 2] =
        [(Self(1 << 6 | 1 << 7), 'c'), (Self(1 << 8 | 1 << 9), 'd')];

    /// The rights that these letters name; the first letter that names none is the error.
    pub fn parse(letters: &str) -> Result<Self, char> {
        letters.chars().try_fold(Self::NONE, |rights, letter| {
            let mut known = Self::LETTERS.iter().chain(&Self::OBSOLETE);
            let (right, _) = known.find(|(_, known)| *known == letter).ok_or(letter)?;
            Ok(rights.union(*right))
        })
    }

    /// Whether all of `other` are here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of `other` is here.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These and those.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These but not those.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether a mailbox can be changed with them (RFC 4314 5.2).
    pub const fn change_messages(self) -> bool {
        let flags = Self::SEEN.union(Self::WRITE).union(Self::DELETE_MESSAGES);
        self.intersects(flags.union(Self::INSERT).union(Self::EXPUNGE))
    }

    /// The flags that may be changed with them.
    pub fn flags(self) -> FlagClasses {
        let mut system = SystemFlags::NONE;
        for (right, flags) in [
            (Self::SEEN, SystemFlags::SEEN),
            (Self::DELETE_MESSAGES, SystemFlags::DELETED),
            (Self::WRITE, OTHERS),
        ] {
            if self.contains(right) {
                system = system.union(flags);
            }
        }
        FlagClasses {
            system,
            keywords: self.contains(Self::WRITE),
        }
    }

    pub(super) const fn bits(self) -> u16 {
        self.0
    }

    pub(super) fn from_bits(bits: u16) -> Option<Self> {
        (bits <= Self::ALL.0).then_some(Self(bits))
    }
}

/// The flags that only the right `w` is needed for.
const OTHERS: SystemFlags = SystemFlags::ANSWERED
    .union(SystemFlags::FLAGGED)
    .union(SystemFlags::DRAFT);

/// As RFC 4314 writes them: the letters of RFC 2086 behind, where one of what they stand for is
/// here (2.1.1).
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (right, letter) in Self::LETTERS {
            if self.contains(right) {
                write!(f, "{letter}")?;
            }
        }
        for (rights, letter) in Self::OBSOLETE {
            if self.intersects(rights) {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mailbox::record::tests::flag_sets;

    pub(in crate::mailbox) fn rights() -> impl Strategy<Value = Rights> {
        (0..=Rights::ALL.bits()).prop_map(|bits| Rights::from_bits(bits).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_no_more_than_old_letters_add(rights in rights()) {
            let text = rights.to_string();
            let plain: String = text.chars().filter(|c| !"cd".contains(*c)).collect();
            prop_assert_eq!(Rights::parse(&plain), Ok(rights));
            let back = Rights::parse(&text).unwrap();
            prop_assert!(back.contains(rights));
            for (old, _) in Rights::OBSOLETE {
                prop_assert_eq!(back.contains(old), rights.intersects(old));
            }
        }

        #[test]
        fn sets_are_sets(a in rights(), b in rights(), c in rights()) {
            prop_assert!(a.union(b).contains(a) && a.union(b).contains(b));
            prop_assert!(!a.without(b).intersects(b));
            prop_assert_eq!(a.without(b).union(b), a.union(b));
            prop_assert_eq!(a.union(b).without(c), a.without(c).union(b.without(c)));
            prop_assert_eq!(a.contains(b), b.without(a).is_empty());
        }

        #[test]
        fn each_flag_has_one_right(rights in rights(), flags in flag_sets()) {
            let kept = rights.flags().of(&flags);
            let has = |flag| kept.system.contains(flag);
            let had = |flag| flags.system.contains(flag);
            for (flag, _) in SystemFlags::ALL {
                let right = match flag {
                    SystemFlags::SEEN => Rights::SEEN,
                    SystemFlags::DELETED => Rights::DELETE_MESSAGES,
                    _ => Rights::WRITE,
                };
                prop_assert_eq!(has(flag), had(flag) && rights.contains(right));
            }
            let keywords = if rights.contains(Rights::WRITE) { flags.keywords() } else { &[] };
            prop_assert_eq!(kept.keywords(), keywords);
            prop_assert_eq!(rights.flags().of(&kept), kept);
        }
    }

    #[test]
    fn letters_are_those_of_the_rfc() {
        assert_eq!(Rights::ALL.to_string(), "lrswipkxteacd");
        assert_eq!(Rights::ALL.flags(), FlagClasses::ALL);
        // RFC 4314 2.1.1, both examples.
        let text = |letters: &str| Rights::parse(letters).unwrap().to_string();
        assert_eq!(text("lrswida"), "lrswiteacd".replace('c', ""));
        assert_eq!(text("lrswikda"), "lrswikteacd");
        assert_eq!(Rights::parse("c"), Rights::parse("kx"));
        for (bad, letter) in [("lrQ", 'Q'), ("lrq", 'q'), ("0", '0'), ("l r", ' ')] {
            assert_eq!(Rights::parse(bad), Err(letter));
        }
        assert_eq!(Rights::parse(""), Ok(Rights::NONE));
    }
}
