//! Whether a message is what a SEARCH looks for, decided with as little of the message as suffices.
//!
//! Pure. A [`Test`] is a search key made ready: texts folded, sets resolved against the session's
//! view, dates turned into ranges. Judging it knows three answers, because what costs reading is
//! read only when the cheap keys have left the question open. RFC 3501 6.4.4.

use std::ops::Range;

use super::search_envelope::{self, Said};
use crate::{
    base::clock::Timestamp,
    imap::proto::{
        date::Day,
        search::{SearchFlag, SearchKey},
        sequence::BeyondLast,
    },
    mail::{body_text, facts::Facts, header::Fields, words},
    mailbox::{EntryRef, Keyword, SystemFlags},
};

/// A search made ready.
#[derive(Clone, Debug)]
pub(super) struct Search {
    test: Test,
    /// What is looked for in the texts of messages; tests name them by their place here.
    pub(super) needles: Vec<Needle>,
    /// Some test may have to look at the header.
    pub(super) reads_header: bool,
}

/// A search key made ready.
#[derive(Clone, Debug)]
enum Test {
    /// Every message.
    All,
    /// No message.
    Nothing,
    And(Vec<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    /// One of these positions of the view: message numbers and UIDs alike.
    Positions(Vec<Range<usize>>),
    System(SystemFlags),
    Recent,
    Keyword(Keyword),
    /// INTERNALDATE, in days since 1970.
    Internal(Range<i64>),
    /// The day of the Date field.
    Sent(Range<i64>),
    Size(Range<u64>),
    /// A field of this lower-case name whose text contains the needle.
    Header(String, Needle),
    /// The needle at this place is in the texts.
    Body(usize),
    /// It is in the texts, or in the header.
    Text(usize),
}

/// A text to look for, in the form in which texts are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needle(String);

/// The answer, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// More of the message must be read.
    Open,
}

/// A message of the session's view.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) position: usize,
    pub(super) uid: u32,
    pub(super) recent: bool,
}

/// What was read of a message so far.
#[derive(Debug, Default)]
pub(super) struct Content<'a> {
    pub(super) facts: Option<&'a Facts>,
    /// The header, as it stands in the message.
    pub(super) header: Option<&'a [u8]>,
    /// For each needle of the search, whether it is in the texts.
    pub(super) in_texts: Option<&'a [bool]>,
}

impl Needle {
    fn new(text: &str) -> Self {
        Self(body_text::fold(text))
    }

    /// Whether the text of a header field, or of several, contains it.
    fn is_in_header(&self, raw: &[u8]) -> bool {
        self.is_in(&words::decode(raw))
    }

    /// Whether `text` contains it.
    pub(super) fn is_in(&self, text: &str) -> bool {
        body_text::contains_folded(text, &self.0)
    }
}

impl Search {
    /// Makes `key` ready for a view that shows the messages `uids`.
    ///
    /// # Errors
    /// When a message number is larger than the number of messages (RFC 3501 9).
    pub(super) fn new(key: &SearchKey, uids: &[u32]) -> Result<Self, BeyondLast> {
        let mut search = Self {
            test: Test::Nothing,
            needles: Vec::new(),
            reads_header: false,
        };
        search.test = Test::new(key, uids, &mut search)?;
        Ok(search)
    }

    /// Takes in a text to look for in the texts of messages; gives its place.
    fn place(&mut self, text: &str) -> usize {
        self.needles.push(Needle::new(text));
        self.needles.len() - 1
    }
}

impl Test {
    fn new(key: &SearchKey, uids: &[u32], search: &mut Search) -> Result<Self, BeyondLast> {
        Ok(match key {
            SearchKey::All => Self::All,
            SearchKey::And(keys) => {
                let tests = keys.iter().map(|key| Self::new(key, uids, search));
                Self::And(tests.collect::<Result<_, _>>()?)
            }
            SearchKey::Or(a, b) => {
                let a = Self::new(a, uids, search)?;
                Self::Or(Box::new(a), Box::new(Self::new(b, uids, search)?))
            }
            SearchKey::Not(key) => Self::Not(Box::new(Self::new(key, uids, search)?)),
            SearchKey::Numbers(set) => {
                let count = u32::try_from(uids.len()).unwrap_or(u32::MAX);
                Self::Positions(set.among_numbers(count)?)
            }
            SearchKey::Uid(set) => Self::Positions(set.among_uids(uids)),
            SearchKey::Flag(flag) => Self::flag(*flag),
            // What cannot be a keyword no message has.
            SearchKey::Keyword(name) => Keyword::parse(name).map_or(Self::Nothing, Self::Keyword),
            SearchKey::Before(day) => Self::Internal(before(*day)),
            SearchKey::On(day) => Self::Internal(on(*day)),
            SearchKey::Since(day) => Self::Internal(since(*day)),
            SearchKey::SentBefore(day) => Self::Sent(before(*day)),
            SearchKey::SentOn(day) => Self::Sent(on(*day)),
            SearchKey::SentSince(day) => Self::Sent(since(*day)),
            SearchKey::Larger(size) => Self::Size(u64::from(*size) + 1..u64::MAX),
            SearchKey::Smaller(size) => Self::Size(0..u64::from(*size)),
            SearchKey::Header(name, text) => {
                search.reads_header = true;
                Self::Header(name.as_str().to_ascii_lowercase(), Needle::new(text))
            }
            // Every text contains the empty one.
            SearchKey::Body(text) | SearchKey::Text(text) if text.is_empty() => Self::All,
            SearchKey::Body(text) => Self::Body(search.place(text)),
            SearchKey::Text(text) => {
                search.reads_header = true;
                Self::Text(search.place(text))
            }
        })
    }

    fn flag(flag: SearchFlag) -> Self {
        match flag {
            SearchFlag::Answered => Self::System(SystemFlags::ANSWERED),
            SearchFlag::Flagged => Self::System(SystemFlags::FLAGGED),
            SearchFlag::Deleted => Self::System(SystemFlags::DELETED),
            SearchFlag::Seen => Self::System(SystemFlags::SEEN),
            SearchFlag::Draft => Self::System(SystemFlags::DRAFT),
            SearchFlag::Recent => Self::Recent,
        }
    }
}

impl Search {
    /// Whether the message passes, as far as `content` tells.
    pub(super) fn judge(
        &self,
        candidate: Candidate,
        entry: &EntryRef<'_>,
        content: &Content<'_>,
    ) -> Verdict {
        let message = Message {
            search: self,
            candidate,
            entry,
            content,
        };
        message.passes(&self.test)
    }
}

/// A message being judged.
struct Message<'a> {
    search: &'a Search,
    candidate: Candidate,
    entry: &'a EntryRef<'a>,
    content: &'a Content<'a>,
}

impl Message<'_> {
    /// The depth of tests is bounded where keys are parsed (LIM-20).
    fn passes(&self, test: &Test) -> Verdict {
        match test {
            Test::And(tests) => all(tests.iter().map(|test| self.passes(test))),
            Test::Or(a, b) => {
                let neither = all([a, b].into_iter().map(|test| self.passes(test).not()));
                neither.not()
            }
            Test::Not(test) => self.passes(test).not(),
            Test::Header(name, needle) => self.has_field(name, needle),
            Test::Sent(days) => self.content.facts.map_or(Verdict::Open, |facts| {
                Verdict::of(facts.sent.is_some_and(|sent| days.contains(&sent.day)))
            }),
            Test::Body(place) => self.has_text(*place),
            Test::Text(place) => match self.has_in_header(*place) {
                Verdict::No => self.has_text(*place),
                known => known,
            },
            known => Verdict::of(self.is(known)),
        }
    }

    /// What the index knows.
    fn is(&self, test: &Test) -> bool {
        let Self {
            candidate, entry, ..
        } = self;
        match test {
            Test::All => true,
            Test::Positions(ranges) => contains(ranges, candidate.position),
            Test::System(flags) => entry.system.contains(*flags),
            Test::Recent => candidate.recent,
            Test::Keyword(keyword) => entry.keywords().any(|known| known == keyword),
            Test::Internal(days) => days.contains(&day_of(entry.internal_date)),
            Test::Size(sizes) => sizes.contains(&entry.size),
            _ => false,
        }
    }

    fn has_field(&self, name: &str, needle: &Needle) -> Verdict {
        if let Some(facts) = self.content.facts.filter(|facts| !facts.envelope_is_cut) {
            match search_envelope::field(&facts.envelope, name) {
                Said::Text(text) => return Verdict::of(needle.is_in_header(&text)),
                // RFC 3501 6.4.4: without a text it is enough that the field is there.
                Said::Nothing if !needle.0.is_empty() => return Verdict::No,
                Said::Nothing | Said::Unknown => {}
            }
        }
        self.content.header.map_or(Verdict::Open, |header| {
            let mut named = Fields::new(header).filter(|field| field.is(name));
            Verdict::of(named.any(|field| needle.is_in_header(field.value)))
        })
    }

    fn has_in_header(&self, place: usize) -> Verdict {
        let Some(needle) = self.search.needles.get(place) else {
            return Verdict::No;
        };
        self.content.header.map_or(Verdict::Open, |header| {
            Verdict::of(Fields::new(header).any(|field| {
                let text = header.get(field.span).unwrap_or_default();
                needle.is_in_header(text)
            }))
        })
    }

    fn has_text(&self, place: usize) -> Verdict {
        self.content.in_texts.map_or(Verdict::Open, |found| {
            Verdict::of(found.get(place).copied().unwrap_or(false))
        })
    }
}

impl Verdict {
    fn of(known: bool) -> Self {
        if known { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Open => Self::Open,
        }
    }
}

fn all(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut all = Verdict::Yes;
    for verdict in verdicts {
        match verdict {
            Verdict::Yes => {}
            Verdict::No => return Verdict::No,
            Verdict::Open => all = Verdict::Open,
        }
    }
    all
}

/// Whether `position` lies in one of the ascending ranges.
fn contains(ranges: &[Range<usize>], position: usize) -> bool {
    let behind = ranges.partition_point(|range| range.start <= position);
    let last = behind.checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|range| range.contains(&position))
}

/// RFC 3501 6.4.4: "disregarding time and timezone"; INTERNALDATE is shown in UTC.
fn day_of(time: Timestamp) -> i64 {
    i64::from(Day::of(time).0)
}

fn before(day: Day) -> Range<i64> {
    i64::MIN..i64::from(day.0)
}

fn on(day: Day) -> Range<i64> {
    i64::from(day.0)..i64::from(day.0) + 1
}

fn since(day: Day) -> Range<i64> {
    i64::from(day.0)..i64::MAX
}
