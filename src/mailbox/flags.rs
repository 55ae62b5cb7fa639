//! Flags of a message: the five system flags and keywords (RFC 3501 2.3.2, RFC 9051 2.3.2).
//!
//! `\Recent` is not here: it belongs to a session, not to a message. Keywords compare without
//! regard to ASCII case and keep the spelling of their first use.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::limits::KEYWORD_BYTES_MAX;

/// A set of system flags and keywords.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlagSet {
    /// The system flags.
    pub system: SystemFlags,
    keywords: Vec<Keyword>,
}

impl FlagSet {
    /// A set; keywords are sorted and said once.
    pub fn new(system: SystemFlags, mut keywords: Vec<Keyword>) -> Self {
        keywords.sort();
        keywords.dedup();
        Self { system, keywords }
    }

    /// The keywords, sorted, each once.
    pub fn keywords(&self) -> &[Keyword] {
        &self.keywords
    }

    /// Whether there is no flag at all.
    pub fn is_empty(&self) -> bool {
        self.system == SystemFlags::NONE && self.keywords.is_empty()
    }
}

impl From<SystemFlags> for FlagSet {
    fn from(system: SystemFlags) -> Self {
        Self::new(system, Vec::new())
    }
}

/// A set of system flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
    /// All of them.
    pub(super) const EVERY: Self = Self(31);
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

    /// These flags but not those of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flags that are in both.
    pub(super) const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The names of the flags that are here.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL
            .into_iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| name)
    }

    pub(super) const fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        (bits < 32).then_some(Self(bits))
    }
}

/// Kinds of flags: some system flags, and all keywords or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagClasses {
    /// These system flags.
    pub system: SystemFlags,
    /// Whether keywords are among them.
    pub keywords: bool,
}

impl FlagClasses {
    /// Every flag there can be.
    pub const ALL: Self = Self {
        system: SystemFlags::EVERY,
        keywords: true,
    };

    /// Whether all flags are.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Whether no flag is.
    pub fn is_none(self) -> bool {
        self.system == SystemFlags::NONE && !self.keywords
    }

    pub(super) fn bits(self) -> u8 {
        self.system.bits() | u8::from(self.keywords) << 7
    }

    pub(super) fn from_bits(bits: u8) -> Option<Self> {
        let system = SystemFlags::from_bits(bits & 0x7f)?;
        Some(Self {
            system,
            keywords: bits & 0x80 != 0,
        })
    }

    /// Those of `flags` that are among them.
    pub fn of(self, flags: &FlagSet) -> FlagSet {
        let kept = match self.keywords {
            true => flags.keywords().to_vec(),
            false => Vec::new(),
        };
        FlagSet::new(flags.system.common(self.system), kept)
    }
}

/// A flag that a client or a server made up: an atom of at most 128 bytes (LIM-24).
#[derive(Clone)]
pub struct Keyword(Arc<str>);

impl Keyword {
    /// The keyword with this spelling.
    pub fn parse(text: &str) -> Result<Self, NotAKeyword> {
        // RFC 3501 9: flag-keyword is an atom.
        let atom = !text.is_empty() && text.bytes().all(is_atom_byte);
        if !atom {
            return Err(NotAKeyword::Syntax);
        }
        if text.len() > KEYWORD_BYTES_MAX {
            return Err(NotAKeyword::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Its spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

/// RFC 3501 9: any CHAR except atom-specials.
fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for Keyword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.folded() {
            state.write_u8(byte);
        }
        state.write_u8(u8::MAX);
    }
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKeyword {
    /// It is not an atom.
    #[error("a keyword is an atom")]
    Syntax,
    /// It is longer than LIM-24 allows.
    #[error("a keyword has at most 128 bytes")]
    TooLong,
}

/// What STORE does to the flags of a message (RFC 3501 6.4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagChange {
    /// How `flags` are meant.
    pub mode: FlagMode,
    /// The flags of the command.
    pub flags: FlagSet,
}

/// How the flags of a STORE are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagMode {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
    /// `FLAGS` by somebody who may change only these; others stay (RFC 4314 4).
    ReplaceAmong(FlagClasses),
}

impl FlagChange {
    /// The part of this change that touches only `classes`; `None` when it is no part of what was
    /// asked for.
    pub(super) fn among(&self, classes: FlagClasses) -> Option<Self> {
        if classes.is_all() {
            return Some(self.clone());
        }
        let flags = classes.of(&self.flags);
        // RFC 4314 4: it fails only when no flag of it may be changed.
        if classes.is_none() || flags.is_empty() && !self.flags.is_empty() {
            return None;
        }
        let mode = match self.mode {
            FlagMode::Replace | FlagMode::ReplaceAmong(_) => FlagMode::ReplaceAmong(classes),
            mode => mode,
        };
        Some(Self { mode, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_24_keywords_are_short_atoms() {
        for good in ["$Forwarded", "NonJunk", "a[b", "x}", "$Label1", "a/b"] {
            assert_eq!(Keyword::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "", "a b", "a(", "\\Seen", "a]", "a%", "a*", "a\"", "\u{e9}", "a\x01", "a{",
        ] {
            assert_eq!(Keyword::parse(bad), Err(NotAKeyword::Syntax), "{bad:?}");
        }
        let longest = "k".repeat(KEYWORD_BYTES_MAX);
        assert!(Keyword::parse(&longest).is_ok());
        assert_eq!(Keyword::parse(&(longest + "k")), Err(NotAKeyword::TooLong));
    }

    #[test]
    fn keywords_compare_without_case_and_sets_are_sorted() {
        let keyword = |text| Keyword::parse(text).unwrap();
        let set = FlagSet::new(
            SystemFlags::SEEN,
            vec![keyword("b"), keyword("A"), keyword("B"), keyword("a")],
        );
        let shown: Vec<_> = set.keywords().iter().map(Keyword::as_str).collect();
        assert_eq!(shown, ["A", "b"]);
        assert_eq!(keyword("$MDNSent"), keyword("$mdnsent"));
    }

    #[test]
    fn system_flags_are_a_set() {
        let both = SystemFlags::SEEN.union(SystemFlags::DRAFT);
        assert!(both.contains(SystemFlags::SEEN) && !SystemFlags::SEEN.contains(both));
        assert_eq!(both.without(SystemFlags::SEEN), SystemFlags::DRAFT);
        assert_eq!(both.names().collect::<Vec<_>>(), ["\\Seen", "\\Draft"]);
        assert_eq!(SystemFlags::from_bits(32), None);
    }
}
