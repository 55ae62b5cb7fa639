//! What a SEARCH looks for and what it answers (RFC 3501 6.4.4, RFC 4731, RFC 9394): keys as a
//! tree of bounded depth and size (LIM-20), result options as values.

use super::{date::Day, fetch::FetchItem, section::FieldName, sequence::SequenceSet};
use crate::base::ids::ModSeq;

/// What SEARCH asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Answer UIDs.
    pub uid: bool,
    /// What is answered (`RETURN`); `None` when nothing was said of it.
    pub returns: Option<Returns>,
    /// What is told of messages that come into the result (RFC 5465 7).
    pub update_items: Vec<FetchItem>,
    /// What the texts are written in.
    pub charset: Charset,
    /// What to look for.
    pub key: SearchKey,
}

/// The result options of an extended search (RFC 4731 3.1, RFC 5182, RFC 9394).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returns {
    /// The lowest.
    pub min: bool,
    /// The highest.
    pub max: bool,
    /// All of them, as a set.
    pub all: bool,
    /// How many.
    pub count: bool,
    /// Keep them as `$`.
    pub save: bool,
    /// Those at these places of the result.
    pub partial: Option<PartialRange>,
    /// Tell how the result changes (RFC 5267 4.3).
    pub update: bool,
    /// The search will be used again (RFC 5267 4.2); a hint that needs no action here.
    pub context: bool,
    /// How relevant each one is (RFC 6203 4).
    pub relevancy: bool,
}

impl Returns {
    /// What is meant when the list of options is empty (RFC 4731 3.1).
    pub const ALL: Self = Self {
        min: false,
        max: false,
        all: true,
        count: false,
        save: false,
        partial: None,
        update: false,
        context: false,
        relevancy: false,
    };

    /// Whether there is an ESEARCH response; SAVE alone has none (RFC 5182 1).
    pub fn are_told(&self) -> bool {
        let told = self.min || self.max || self.all || self.count || self.partial.is_some();
        told || self.update || self.context || self.relevancy
    }

    /// What `$` becomes of `found` (RFC 5182 2.4, RFC 9394 3.2); ascending.
    pub fn saved<T: Copy + Ord>(&self, found: &[T]) -> Vec<T> {
        let only_some = self.min || self.max || self.partial.is_some();
        if self.all || self.count || !only_some {
            return found.to_vec();
        }
        let mut saved: Vec<T> = self.partial.map_or_else(Vec::new, |range| {
            found
                .get(range.among(found.len()))
                .unwrap_or_default()
                .to_vec()
        });
        saved.extend(found.first().filter(|_| self.min));
        saved.extend(found.last().filter(|_| self.max));
        saved.sort_unstable();
        saved.dedup();
        saved
    }
}

/// Places of a result, counted from 1 at its start or its end (RFC 9394 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialRange {
    /// As it was said.
    pub first: u32,
    /// As it was said; perhaps less than the first.
    pub last: u32,
    /// Counted from the end (`-1:-100`).
    pub from_end: bool,
}

impl PartialRange {
    /// Which of `count` results, from the first one on. Places without a result are left out.
    pub fn among(self, count: usize) -> std::ops::Range<usize> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let low = place(self.first.min(self.last))
            .saturating_sub(1)
            .min(count);
        let high = place(self.first.max(self.last)).min(count);
        match self.from_end {
            false => low..high,
            true => count - high..count - low,
        }
    }
}

/// A search key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these; several keys in a row, or in parentheses.
    And(Vec<Self>),
    /// One of the two.
    Or(Box<Self>, Box<Self>),
    /// Not this.
    Not(Box<Self>),
    /// This, as people remember it (RFC 6203).
    Fuzzy(Box<Self>),
    /// These message numbers.
    Numbers(SequenceSet),
    /// These UIDs.
    Uid(SequenceSet),
    /// What a search has saved: `$` (RFC 5182).
    Saved,
    /// With this flag; `UNSEEN` and its like are the negation.
    Flag(SearchFlag),
    /// With this keyword.
    Keyword(String),
    /// Changed at this mod-sequence or later (RFC 7162 3.1.5).
    ModSeq(ModSeq),
    /// Internal date before this day.
    Before(Day),
    /// Internal date on this day.
    On(Day),
    /// Internal date on this day or later.
    Since(Day),
    /// Internal date so many seconds ago, or longer (RFC 5032).
    Older(u32),
    /// Internal date so many seconds ago, or less (RFC 5032).
    Younger(u32),
    /// Saved in the mailbox before this day (RFC 8514).
    SavedBefore(Day),
    /// Saved in the mailbox on this day.
    SavedOn(Day),
    /// Saved in the mailbox on this day or later.
    SavedSince(Day),
    /// Every message, where it is known when messages were saved.
    SaveDateSupported,
    /// With this EMAILID (RFC 8474).
    EmailId(String),
    /// With this THREADID (RFC 8474).
    ThreadId(String),
    /// `Date` field before this day.
    SentBefore(Day),
    /// `Date` field on this day.
    SentOn(Day),
    /// `Date` field on this day or later.
    SentSince(Day),
    /// More octets than this.
    Larger(u64),
    /// Fewer octets than this.
    Smaller(u64),
    /// This text in an address or subject field (`FROM`, `TO`, `CC`, `BCC`, `SUBJECT`), or in any
    /// other field (`HEADER`); empty text: the field is there.
    Header(FieldName, String),
    /// This text in the body.
    Body(String),
    /// This text in the header or the body.
    Text(String),
}

impl SearchKey {
    /// Bytes of memory that it takes, about.
    pub fn bytes(&self) -> usize {
        let below = match self {
            Self::And(keys) => keys.iter().map(Self::bytes).sum(),
            Self::Or(a, b) => a.bytes() + b.bytes(),
            Self::Not(key) | Self::Fuzzy(key) => key.bytes(),
            Self::Numbers(set) | Self::Uid(set) => set.bytes(),
            Self::Keyword(text)
            | Self::EmailId(text)
            | Self::ThreadId(text)
            | Self::Header(_, text)
            | Self::Body(text)
            | Self::Text(text) => text.len(),
            _ => 0,
        };
        size_of::<Self>() + below
    }

    /// Whether one of the keys in it `is` so.
    pub fn any(&self, is: impl Fn(&Self) -> bool) -> bool {
        let mut open = vec![self];
        while let Some(key) = open.pop() {
            if is(key) {
                return true;
            }
            match key {
                Self::And(keys) => open.extend(keys),
                Self::Or(first, second) => open.extend([&**first, &**second]),
                Self::Not(key) | Self::Fuzzy(key) => open.push(key),
                _ => {}
            }
        }
        false
    }

    /// Whether it asks for mod-sequences; then the answer says one (RFC 7162 3.1.5).
    pub fn asks_modseq(&self) -> bool {
        self.any(|key| matches!(key, Self::ModSeq(_)))
    }

    /// Whether what is found is more or less relevant (RFC 6203 4).
    pub fn is_fuzzy(&self) -> bool {
        self.any(|key| matches!(key, Self::Fuzzy(_)))
    }

    /// Whether it names messages by their numbers: none may change before it is answered, whatever
    /// the command (RFC 7162 3.2.10.2).
    pub fn names_numbers(&self) -> bool {
        self.any(|key| matches!(key, Self::Numbers(_)))
    }
}

/// A flag that SEARCH names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchFlag {
    /// `ANSWERED`
    Answered,
    /// `FLAGGED`
    Flagged,
    /// `DELETED`
    Deleted,
    /// `SEEN`
    Seen,
    /// `DRAFT`
    Draft,
    /// `RECENT`; `NEW` is `RECENT UNSEEN`, `OLD` is `NOT RECENT`.
    Recent,
}

/// What the texts of a search are written in (RFC 3501 6.4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charset {
    /// US-ASCII, UTF-8, or nothing said: the keys hold the texts as they are.
    Utf8,
    /// Another one; answer `NO [BADCHARSET]`, the texts of the keys mean nothing.
    Unsupported,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u32, last: u32, from_end: bool) -> PartialRange {
        PartialRange {
            first,
            last,
            from_end,
        }
    }

    #[test]
    fn a_partial_range_names_places_of_what_is_there() {
        for (first, last, from_end, found) in [
            (1, 3, false, 0..3),
            (3, 1, false, 0..3),
            (4, 9, false, 3..5),
            (5, 5, false, 4..5),
            (6, 9, false, 5..5),
            (u32::MAX, u32::MAX, false, 5..5),
            (1, 1, true, 4..5),
            (1, 3, true, 2..5),
            (4, 2, true, 1..4),
            (4, u32::MAX, true, 0..2),
            (6, 7, true, 0..0),
        ] {
            let places = range(first, last, from_end).among(5);
            assert_eq!(places, found, "{first} {last} {from_end}");
        }
        assert_eq!(range(1, 1, true).among(0), 0..0);
    }

    #[test]
    fn what_is_saved_follows_what_is_returned() {
        let found = [2, 4, 6, 8];
        let (none, partial) = (Returns::default(), Some(range(2, 3, false)));
        for (returns, saved) in [
            // RFC 5182 2.4
            (none, &[2, 4, 6, 8][..]),
            (Returns { min: true, ..none }, &[2]),
            (Returns { max: true, ..none }, &[8]),
            (
                Returns {
                    min: true,
                    max: true,
                    ..none
                },
                &[2, 8],
            ),
            (
                Returns {
                    min: true,
                    count: true,
                    ..none
                },
                &[2, 4, 6, 8],
            ),
            (
                Returns {
                    max: true,
                    all: true,
                    ..none
                },
                &[2, 4, 6, 8],
            ),
            // RFC 9394 3.2
            (Returns { partial, ..none }, &[4, 6]),
            (
                Returns {
                    partial,
                    min: true,
                    ..none
                },
                &[2, 4, 6],
            ),
            (
                Returns {
                    partial,
                    min: true,
                    max: true,
                    ..none
                },
                &[2, 4, 6, 8],
            ),
            (
                Returns {
                    partial,
                    count: true,
                    ..none
                },
                &[2, 4, 6, 8],
            ),
        ] {
            assert_eq!(returns.saved(&found), saved, "{returns:?}");
            assert_eq!(returns.saved::<u32>(&[]), [0_u32; 0]);
        }
    }
}
