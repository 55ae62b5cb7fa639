//! What a LIST asks for (RFC 3501 6.3.8, RFC 5258, RFC 6154) and which names a pattern means.

use super::{limits::LIST_PATTERN_BYTES_MAX, metadata::MetadataQuery, status::StatusItem};

/// RFC 2342: the level above the mailboxes of other users.
pub const OTHER_USERS: &str = "Other Users";
/// RFC 2342: the level above the mailboxes of nobody in particular.
pub const SHARED: &str = "Shared";

/// A LIST: which names, and what to say about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// What the patterns are relative to; decoded. Usually empty.
    pub reference: String,
    /// Patterns with `%` and `*`, decoded; at least one (LIM-26). One empty pattern asks for the
    /// delimiter.
    pub patterns: Vec<String>,
    /// Whether the command used a form that RFC 5258 added.
    pub extended: bool,
    /// Only subscribed names (`SUBSCRIBED`), also absent ones.
    pub select_subscribed: bool,
    /// Only names with a special use (`SPECIAL-USE`, RFC 6154 3).
    pub select_special_use: bool,
    /// Also the ancestors of selected names (`RECURSIVEMATCH`).
    pub recursive_match: bool,
    /// Say `\Subscribed`.
    pub return_subscribed: bool,
    /// Say `\HasChildren` or `\HasNoChildren`.
    pub return_children: bool,
    /// Say special uses (RFC 6154 2).
    pub return_special_use: bool,
    /// MYRIGHTS for each name (RFC 8440).
    pub return_rights: bool,
    /// Annotations of each name (RFC 9590).
    pub return_metadata: Option<MetadataQuery>,
    /// A STATUS for each name (RFC 5819); empty for none.
    pub return_status: Vec<StatusItem>,
}

/// An attribute of a name in a LIST response (RFC 3501 7.2.2, RFC 5258, RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// `\Noselect`
    NoSelect,
    /// `\NonExistent` (RFC 5258), includes `\Noselect`.
    NonExistent,
    /// `\NoAccess` (RFC 5465 3.1)
    NoAccess,
    /// `\Noinferiors`
    NoInferiors,
    /// `\HasChildren` (RFC 3348)
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\Subscribed`
    Subscribed,
    /// What it is for.
    Use(SpecialUse),
}

impl Attribute {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSelect => "\\Noselect",
            Self::NonExistent => "\\NonExistent",
            Self::NoAccess => "\\NoAccess",
            Self::NoInferiors => "\\Noinferiors",
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::Subscribed => "\\Subscribed",
            Self::Use(special_use) => special_use.name(),
        }
    }
}

/// What a mailbox is for (RFC 6154 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// Every special use.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Junk,
        Self::Sent,
        Self::Trash,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }

    /// The special use of this name without its backslash, in any case of letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|known| {
            let known = known.name().trim_start_matches('\\');
            known.as_bytes().eq_ignore_ascii_case(name)
        })
    }
}

/// A pattern of LIST or LSUB behind its reference, ready to be compared with many names.
///
/// All ways through the wildcards are followed at once, one bit each, so a comparison takes time
/// linear in the name whatever the pattern is (LIM-25). `*` is any text, `%` any text without
/// `/`.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Bit `n`: the item behind the first `n` is `*`.
    stars: Bits,
    /// Bit `n`: it is `%`.
    percents: Bits,
    /// For each character of the pattern the places where it stands, sorted.
    letters: Vec<(char, Bits)>,
    /// Number of items.
    length: usize,
}

impl Pattern {
    /// The pattern `reference` and `pattern` make together: one behind the other (RFC 3501 6.3.8).
    pub fn new(reference: &str, pattern: &str) -> Self {
        let mut made = Self {
            stars: Bits::NONE,
            percents: Bits::NONE,
            letters: Vec::new(),
            length: 0,
        };
        for c in reference.chars().chain(pattern.chars()).take(ITEMS_MAX) {
            made.item(c);
        }
        made.letters.sort_unstable_by_key(|(c, _)| *c);
        made
    }

    /// Wildcards in a row are one: `*` when there is a `*` among them.
    fn item(&mut self, c: char) {
        let last = self.length.checked_sub(1);
        let after_star = last.is_some_and(|at| self.stars.has(at));
        let after_percent = last.is_some_and(|at| self.percents.has(at));
        match (c, last) {
            ('*' | '%', _) if after_star => return,
            ('%', _) if after_percent => return,
            ('*', Some(at)) if after_percent => {
                self.percents.clear(at);
                self.stars.set(at);
                return;
            }
            ('*', _) => self.stars.set(self.length),
            ('%', _) => self.percents.set(self.length),
            (letter, _) => match self.letters.iter_mut().find(|(known, _)| *known == letter) {
                Some((_, places)) => places.set(self.length),
                None => {
                    let mut places = Bits::NONE;
                    places.set(self.length);
                    self.letters.push((letter, places));
                }
            },
        }
        self.length += 1;
    }

    /// Whether `name` is meant. `INBOX` as the first level is compared in any case of letters.
    pub fn matches(&self, name: &str) -> bool {
        let in_inbox = name
            .split('/')
            .next()
            .is_some_and(|level| level.eq_ignore_ascii_case("INBOX"));
        let mut reached = Bits::NONE;
        reached.set(0);
        self.pass_wildcards(&mut reached);
        for (at, c) in name.chars().enumerate() {
            let mut places = self.places(c);
            if in_inbox && at < "INBOX".len() {
                places = self
                    .places(c.to_ascii_lowercase())
                    .or(&self.places(c.to_ascii_uppercase()));
            }
            let mut stays = self.stars;
            if c != '/' {
                stays = stays.or(&self.percents);
            }
            let stayed = reached.and(&stays);
            reached = reached.and(&places).moved_on().or(&stayed);
            self.pass_wildcards(&mut reached);
            if reached.is_none() {
                return false;
            }
        }
        reached.has(self.length)
    }

    /// A wildcard may be no text at all.
    fn pass_wildcards(&self, reached: &mut Bits) {
        let wildcards = self.stars.or(&self.percents);
        *reached = reached.or(&reached.and(&wildcards).moved_on());
    }

    fn places(&self, letter: char) -> Bits {
        self.letters
            .binary_search_by_key(&letter, |(c, _)| *c)
            .ok()
            .and_then(|at| self.letters.get(at))
            .map_or(Bits::NONE, |(_, places)| *places)
    }
}

/// A reference and a pattern of LIM-26 have no more items than this.
const ITEMS_MAX: usize = 2 * LIST_PATTERN_BYTES_MAX;
const WORDS: usize = ITEMS_MAX / 64 + 1;

/// A set of places in a pattern.
#[derive(Clone, Copy, Debug)]
struct Bits([u64; WORDS]);

impl Bits {
    const NONE: Self = Self([0; WORDS]);

    fn set(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word |= 1 << (at % 64);
        }
    }

    fn clear(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    fn has(&self, at: usize) -> bool {
        self.0
            .get(at / 64)
            .is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    fn is_none(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn or(mut self, other: &Self) -> Self {
        for (word, theirs) in self.0.iter_mut().zip(&other.0) {
            *word |= theirs;
        }
        self
    }

    fn and(mut self, other: &Self) -> Self {
        for (word, theirs) in self.0.iter_mut().zip(&other.0) {
            *word &= theirs;
        }
        self
    }

    /// Every place one further.
    fn moved_on(mut self) -> Self {
        let mut carried = 0;
        for word in &mut self.0 {
            (*word, carried) = (*word << 1 | carried, *word >> 63);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn star_crosses_levels_and_percent_does_not() {
        for (pattern, name, matches) in [
            ("*", "", true),
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("%/%", "a/b", true),
            ("%/%", "a/b/c", false),
            ("a*", "a/b", true),
            ("a%", "ab", true),
            ("a%", "a/b", false),
            ("%%", "a/b", false),
            ("%*", "a/b", true),
            ("*%", "a/b", true),
            ("a/%/c", "a/b/c", true),
            ("a/%/c", "a/b/b/c", false),
            ("*b*", "aba", true),
            ("", "", true),
            ("", "a", false),
            ("inbox", "INBOX", true),
            ("iNb%", "INBOX", true),
            ("inbox/x", "INBOX/x", true),
            ("inbox/X", "INBOX/x", false),
            ("inboxes", "INBOXES", false),
            ("Entw\u{fc}rfe", "Entw\u{fc}rfe", true),
            ("%\u{fc}%", "Entw\u{fc}rfe", true),
        ] {
            assert_eq!(
                Pattern::new("", pattern).matches(name),
                matches,
                "{pattern} {name}"
            );
        }
        assert!(Pattern::new("a/", "%").matches("a/b"));
        assert!(!Pattern::new("a/", "%").matches("a/b/c"));
    }

    #[test]
    fn lim_26_the_longest_reference_and_pattern_are_compared_to_their_end() {
        let half = "a".repeat(LIST_PATTERN_BYTES_MAX);
        let pattern = Pattern::new(&half, &half);
        assert!(pattern.matches(&half.repeat(2)));
        assert!(!pattern.matches(&format!("{}a", half.repeat(2))));
        let stars = Pattern::new(&"*a".repeat(LIST_PATTERN_BYTES_MAX / 2), "*b");
        assert!(!stars.matches(&"a".repeat(1000)));
        assert!(stars.matches(&format!("{}b", "a".repeat(999))));
    }

    fn naive(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((wild @ ('*' | '%'), behind)), _) => {
                let goes_on = name
                    .split_first()
                    .is_some_and(|(c, rest)| (*wild == '*' || *c != '/') && naive(pattern, rest));
                naive(behind, name) || goes_on
            }
            (Some((c, behind)), Some((first, rest))) => c == first && naive(behind, rest),
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_agree_with_a_naive_model(
            reference in "[ab/]{0,3}", pattern in "[ab/*%]{0,8}", name in "[ab/]{0,10}",
        ) {
            let chars: Vec<char> = reference.chars().chain(pattern.chars()).collect();
            let expected = naive(&chars, &name.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::new(&reference, &pattern).matches(&name), expected);
        }
    }
}
