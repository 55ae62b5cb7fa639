//! What a client has switched on for its connection by ENABLE (RFC 5161), or by a command that
//! says as much (RFC 7162 3.1).
//!
//! The dialogue holds the one truth, because reading names and writing answers depend on it; verbs
//! reach it through their turn. Nothing is ever switched off again, but by a new dialogue
//! (STARTTLS) or by UNAUTHENTICATE.

use std::fmt;

/// A set of extensions that change what is said.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Enabled(u8);

impl Enabled {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// RFC 7162 3.1: answers carry MODSEQ.
    pub const CONDSTORE: Self = Self(1);
    /// RFC 7162 3.2: VANISHED takes the place of EXPUNGE. Contains [`Self::CONDSTORE`].
    pub const QRESYNC: Self = Self(2 | 1);
    /// RFC 6855 3: names and quoted strings are UTF-8.
    pub const UTF8_ACCEPT: Self = Self(4);
    /// RFC 9051: answers as IMAP4rev2 has them. Names are UTF-8.
    pub const IMAP4REV2: Self = Self(8);
    /// RFC 9586 (cited from memory throughout): there are no message numbers.
    pub const UIDONLY: Self = Self(16);

    /// The name of a capability, in any case, and what it switches on; nothing for others (RFC
    /// 5161 3.1).
    pub fn named(capability: &str) -> Option<(&'static str, Self)> {
        let mut names = NAMES.into_iter();
        names.find(|(name, _)| name.eq_ignore_ascii_case(capability))
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in either.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether mailbox names travel in UTF-8, not in modified UTF-7 (RFC 6855 3, RFC 9051 5.1).
    pub fn names_are_utf8(self) -> bool {
        self.contains(Self::UTF8_ACCEPT) || self.contains(Self::IMAP4REV2)
    }
}

impl fmt::Debug for Enabled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.into_iter().filter(|(_, one)| self.contains(*one));
        f.debug_set().entries(names.map(|(name, _)| name)).finish()
    }
}

/// What ENABLE knows.
const NAMES: [(&str, Enabled); 5] = [
    ("CONDSTORE", Enabled::CONDSTORE),
    ("IMAP4rev2", Enabled::IMAP4REV2),
    ("QRESYNC", Enabled::QRESYNC),
    ("UIDONLY", Enabled::UIDONLY),
    ("UTF8=ACCEPT", Enabled::UTF8_ACCEPT),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qresync_implies_condstore_and_nothing_else() {
        let enabled = Enabled::NONE.with(Enabled::QRESYNC);
        assert!(enabled.contains(Enabled::CONDSTORE));
        assert!(!enabled.contains(Enabled::UTF8_ACCEPT) && !enabled.names_are_utf8());
        assert!(!Enabled::CONDSTORE.contains(Enabled::QRESYNC));
        assert!(Enabled::IMAP4REV2.names_are_utf8());
        assert_eq!(Enabled::named("NONSENSE"), None);
        let rev2 = Some(("IMAP4rev2", Enabled::IMAP4REV2));
        assert_eq!(Enabled::named("IMAP4REV2"), rev2);
    }
}
