//! Flags as they stand in commands and responses (RFC 3501 2.3.2).
//!
//! Not what a message has (that is the mailbox's), only what was said about it. A keyword here is
//! an atom; it may still be longer or more than the mailbox takes.

/// The flags of a flag list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagList {
    /// The system flags.
    pub system: SystemFlags,
    /// The keywords in the order given, each once.
    pub keywords: Vec<String>,
}

/// A set of system flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(2);
    /// `\Deleted`
    pub const DELETED: Self = Self(4);
    /// `\Seen`
    pub const SEEN: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);
    /// Every system flag with its name, in the order in which they are listed.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// Whether all flags of `other` are here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of both.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The system flag of this name without its backslash, in any case of letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, known)| {
            let known = known.trim_start_matches('\\');
            known.as_bytes().eq_ignore_ascii_case(name)
        });
        found.map(|(flag, _)| flag)
    }
}
