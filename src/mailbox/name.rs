//! Mailbox names: Unicode in NFC, levels separated by `/`, INBOX without regard to case.
//!
//! The wire forms (modified UTF-7, quoting) are the protocol's business. A name here is a value
//! that needs no further check: no empty level, no `.` or `..`, no control character, within
//! LIM-23. RFC 3501 5.1, RFC 9051 5.1.

use std::{cmp::Ordering, fmt, sync::Arc};

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::limits::{NAME_BYTES_MAX, NAME_LEVEL_BYTES_MAX, NAME_LEVELS_MAX};

/// The name of a mailbox. Names sort as a tree: INBOX first, each parent before its children.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Between two levels.
    pub const SEPARATOR: char = '/';
    const INBOX: &'static str = "INBOX";

    /// The name INBOX.
    pub fn inbox() -> Self {
        Self(Self::INBOX.into())
    }

    /// The name with this text. Text in another normal form becomes NFC, so that what one client
    /// typed another finds; `inbox` in any case becomes `INBOX`, also as the first of several
    /// levels.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NotAName::TooLong);
        }
        let mut text = if is_nfc(text) {
            text.to_owned()
        } else {
            text.nfc().collect()
        };
        // RFC 3501 5.1: INBOX is reserved whatever its case.
        let first = text.find(Self::SEPARATOR).unwrap_or(text.len());
        if text[..first].eq_ignore_ascii_case(Self::INBOX) {
            text.replace_range(..first, Self::INBOX);
        }
        if text.len() > NAME_BYTES_MAX || text.split(Self::SEPARATOR).count() > NAME_LEVELS_MAX {
            return Err(NotAName::TooLong);
        }
        if text
            .split(Self::SEPARATOR)
            .any(|level| level.len() > NAME_LEVEL_BYTES_MAX)
        {
            return Err(NotAName::TooLong);
        }
        let levels_are_fit = text
            .split(Self::SEPARATOR)
            .all(|level| !matches!(level, "" | "." | ".."));
        if !levels_are_fit || text.chars().any(is_unfit) {
            return Err(NotAName::Syntax);
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its levels, the topmost first.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split(Self::SEPARATOR)
    }

    /// Whether this is INBOX itself.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == Self::INBOX
    }

    /// Whether this is INBOX or inferior to it.
    fn is_at_inbox(&self) -> bool {
        let rest = self.0.strip_prefix(Self::INBOX);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(Self::SEPARATOR))
    }

    /// The name one level up.
    pub fn parent(&self) -> Option<Self> {
        let (parent, _) = self.0.rsplit_once(Self::SEPARATOR)?;
        Some(Self(parent.into()))
    }

    /// Whether this name is inferior to `other`.
    pub fn is_under(&self, other: &Self) -> bool {
        self.below(other).is_some()
    }

    /// This name with its beginning `from` replaced by `to`, as RENAME of a parent asks for; `None`
    /// when this is not inferior to `from`.
    pub(super) fn moved(&self, from: &Self, to: &Self) -> Option<Result<Self, NotAName>> {
        let below = self.below(from)?;
        Some(Self::parse(&format!("{to}{}{below}", Self::SEPARATOR)))
    }

    fn below(&self, other: &Self) -> Option<&str> {
        self.0
            .strip_prefix(&*other.0)?
            .strip_prefix(Self::SEPARATOR)
    }
}

/// RFC 9051 5.1: no control characters, no line or paragraph separators.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |name: &Self, at| {
            let byte = name.0.as_bytes().get(at).copied();
            // What ends a level sorts before all that may stand in one.
            byte.map(|byte| if byte == b'/' { 0 } else { byte })
        };
        let pairs = self.0.bytes().zip(other.0.bytes());
        let same = pairs.take_while(|(mine, its)| mine == its).count();
        let levels = key(self, same).cmp(&key(other, same));
        other.is_at_inbox().cmp(&self.is_at_inbox()).then(levels)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is not a mailbox name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// An empty level, `.` or `..`, or a control character.
    #[error("not a mailbox name")]
    Syntax,
    /// Longer or deeper than LIM-23 allows.
    #[error("a mailbox name has at most 1000 bytes, 255 in a level, and 32 levels")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn lim_23_names_are_bounded() {
        let level = "x".repeat(NAME_LEVEL_BYTES_MAX);
        assert!(Name::parse(&level).is_ok());
        assert_eq!(Name::parse(&format!("{level}x")), Err(NotAName::TooLong));
        let deepest = vec!["d"; NAME_LEVELS_MAX].join("/");
        assert!(Name::parse(&deepest).is_ok());
        assert_eq!(Name::parse(&format!("{deepest}/d")), Err(NotAName::TooLong));
        let longest = vec!["l".repeat(249); 4].join("/") + "m";
        assert_eq!(longest.len(), NAME_BYTES_MAX);
        assert!(Name::parse(&longest).is_ok());
        assert_eq!(Name::parse(&format!("{longest}m")), Err(NotAName::TooLong));
    }

    #[test]
    fn unfit_names_are_refused() {
        for bad in [
            "", "/", "a/", "/a", "a//b", ".", "a/..", "a\0", "a\r\nb", "\u{7f}", "a\u{85}",
            "\u{2028}",
        ] {
            assert_eq!(Name::parse(bad), Err(NotAName::Syntax), "{bad:?}");
        }
    }

    #[test]
    fn names_are_nfc_and_inbox_has_one_spelling() {
        assert_eq!(name("Entwu\u{308}rfe").as_str(), "Entw\u{fc}rfe");
        assert!(name("iNbOx").is_inbox());
        assert_eq!(name("inbox/Lists").as_str(), "INBOX/Lists");
        assert_eq!(name("Lists/inbox").as_str(), "Lists/inbox");
        assert_eq!(name("Inboxes").as_str(), "Inboxes");
    }

    #[test]
    fn names_sort_as_a_tree_with_inbox_first() {
        let mut names: Vec<_> = ["a!", "a/b", "a", "INBOX/z", "Z", "INBOX", "a/b/c", "A"]
            .map(name)
            .into();
        names.sort();
        let shown: Vec<_> = names.iter().map(Name::as_str).collect();
        assert_eq!(
            shown,
            ["INBOX", "INBOX/z", "A", "Z", "a", "a/b", "a/b/c", "a!"]
        );
    }

    #[test]
    fn inferior_names_follow_their_parent() {
        let moved = |text: &str| name(text).moved(&name("a"), &name("x/y"));
        assert_eq!(moved("a/b/c"), Some(Ok(name("x/y/b/c"))));
        assert_eq!(moved("a"), None);
        assert_eq!(moved("ab/c"), None);
        assert!(name("a/b").is_under(&name("a")) && !name("ab").is_under(&name("a")));
        assert_eq!(name("a/b").parent(), Some(name("a")));
        assert_eq!(name("a").parent(), None);
    }

    proptest::proptest! {
        #[test]
        fn names_sort_level_by_level(
            texts in proptest::array::uniform2("(inbox|a|b|/|!|\u{e9}){1,6}"),
        ) {
            let names = texts.map(|text| Name::parse(&text));
            if let [Ok(one), Ok(other)] = names {
                let levels = one.levels().cmp(other.levels());
                let first = |name: &Name| name.levels().next() != Some("INBOX");
                let told = first(&one).cmp(&first(&other)).then(levels);
                proptest::prop_assert_eq!(one.cmp(&other), told);
            }
        }
    }
}
