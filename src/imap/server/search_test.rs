//! Whether a message is what a SEARCH looks for, decided with as little of the message as suffices.
//!
//! Pure. A [`Test`] is a search key made ready: texts folded, sets resolved against the session's
//! view, dates turned into ranges. Judging it knows three answers, because what costs reading is
//! read only when the cheap keys have left the question open. RFC 3501 6.4.4.

use std::{collections::HashMap, ops::Range};

use crate::{
    base::clock::Timestamp,
    imap::proto::{
        date::Day,
        search::{SearchFlag, SearchKey},
        sequence::BeyondLast,
    },
    mail::{body_text, date, header::Fields, words},
    mailbox::{EntryRef, Keyword, SystemFlags},
};

/// A search key made ready.
#[derive(Clone, Debug)]
pub(super) enum Test {
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
    /// A field of this name whose text contains the needle.
    Header(String, Needle),
    Body(Needle),
    Text(Needle),
}

/// A text to look for, in the form in which texts are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needle(String);

/// What must be read of a message before a test can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reads {
    /// Nothing: the mailbox's index tells.
    Nothing,
    /// The header.
    Header,
    /// The whole message.
    Body,
}

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
pub(super) struct Content {
    /// The header's fields.
    pub(super) header: Option<Header>,
    /// The texts of its parts, folded.
    pub(super) texts: Option<Vec<String>>,
}

/// The fields of a header, decoded and folded.
#[derive(Debug)]
pub(super) struct Header {
    /// Texts by lower-case name.
    fields: HashMap<Vec<u8>, Vec<String>>,
    /// The day of the Date field, as its writer saw it.
    sent: Option<i64>,
}

impl Needle {
    /// Makes `text` ready.
    pub(super) fn new(text: &str) -> Self {
        Self(body_text::fold(text))
    }

    fn is_in(&self, folded: &str) -> bool {
        folded.contains(&self.0)
    }
}

impl Test {
    /// Makes `key` ready for a view that shows the messages `uids`.
    ///
    /// # Errors
    /// When a message number is larger than the number of messages (RFC 3501 9).
    pub(super) fn new(key: &SearchKey, uids: &[u32]) -> Result<Self, BeyondLast> {
        Ok(match key {
            SearchKey::All => Self::All,
            SearchKey::And(keys) => {
                let tests = keys.iter().map(|key| Self::new(key, uids));
                Self::And(tests.collect::<Result<_, _>>()?)
            }
            SearchKey::Or(a, b) => {
                Self::Or(Box::new(Self::new(a, uids)?), Box::new(Self::new(b, uids)?))
            }
            SearchKey::Not(key) => Self::Not(Box::new(Self::new(key, uids)?)),
            SearchKey::Numbers(set) => {
                let count = u32::try_from(uids.len()).unwrap_or(u32::MAX);
                Self::Positions(set.among_numbers(count)?)
            }
            SearchKey::Uid(set) => Self::Positions(set.among_uids(uids)),
            SearchKey::Flag(flag) => Self::flag(*flag),
            // What cannot be a keyword no message has.
            SearchKey::Keyword(name) => Keyword::parse(name).map_or(Self::Nothing, Self::Keyword),
            SearchKey::Before(day) => Self::Internal(DAYS.start..day_number(*day)),
            SearchKey::On(day) => Self::Internal(day_number(*day)..day_number(*day) + 1),
            SearchKey::Since(day) => Self::Internal(day_number(*day)..DAYS.end),
            SearchKey::SentBefore(day) => Self::Sent(DAYS.start..day_number(*day)),
            SearchKey::SentOn(day) => Self::Sent(day_number(*day)..day_number(*day) + 1),
            SearchKey::SentSince(day) => Self::Sent(day_number(*day)..DAYS.end),
            SearchKey::Larger(size) => Self::Size(u64::from(*size) + 1..u64::MAX),
            SearchKey::Smaller(size) => Self::Size(0..u64::from(*size)),
            SearchKey::Header(name, text) => {
                Self::Header(name.as_str().to_ascii_lowercase(), Needle::new(text))
            }
            // Every text contains the empty one.
            SearchKey::Body(text) | SearchKey::Text(text) if text.is_empty() => Self::All,
            SearchKey::Body(text) => Self::Body(Needle::new(text)),
            SearchKey::Text(text) => Self::Text(Needle::new(text)),
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

    /// The most that may have to be read.
    pub(super) fn reads(&self) -> Reads {
        match self {
            Self::And(tests) => tests
                .iter()
                .map(Self::reads)
                .max()
                .unwrap_or(Reads::Nothing),
            Self::Or(a, b) => a.reads().max(b.reads()),
            Self::Not(test) => test.reads(),
            Self::Sent(_) | Self::Header(..) => Reads::Header,
            Self::Body(_) | Self::Text(_) => Reads::Body,
            _ => Reads::Nothing,
        }
    }

    /// Whether the message passes, as far as `content` tells.
    pub(super) fn judge(
        &self,
        candidate: Candidate,
        entry: &EntryRef<'_>,
        content: &Content,
    ) -> Verdict {
        let known = match self {
            Self::And(tests) => return all(tests, candidate, entry, content),
            Self::Or(a, b) => {
                return match a.judge(candidate, entry, content) {
                    Verdict::Yes => Verdict::Yes,
                    Verdict::No => b.judge(candidate, entry, content),
                    Verdict::Open if b.judge(candidate, entry, content) == Verdict::Yes => {
                        Verdict::Yes
                    }
                    Verdict::Open => Verdict::Open,
                };
            }
            Self::Not(test) => return test.judge(candidate, entry, content).not(),
            Self::Header(..) | Self::Sent(_) | Self::Body(_) | Self::Text(_) => {
                return self.judge_content(content);
            }
            Self::All => true,
            Self::Nothing => false,
            Self::Positions(ranges) => contains(ranges, candidate.position),
            Self::System(flags) => entry.system.contains(*flags),
            Self::Recent => candidate.recent,
            Self::Keyword(keyword) => entry.keywords().any(|known| known == keyword),
            Self::Internal(days) => days.contains(&day_of(entry.internal_date)),
            Self::Size(sizes) => sizes.contains(&entry.size),
        };
        Verdict::of(known)
    }

    fn judge_content(&self, content: &Content) -> Verdict {
        let header = content.header.as_ref();
        match self {
            Self::Header(name, needle) => header.map_or(Verdict::Open, |header| {
                Verdict::of(header.contains(name, needle))
            }),
            Self::Sent(days) => header.map_or(Verdict::Open, |header| {
                Verdict::of(header.sent.is_some_and(|day| days.contains(&day)))
            }),
            Self::Body(needle) => judge_texts(content, needle),
            Self::Text(needle) => {
                if header.is_some_and(|header| header.has(needle)) {
                    Verdict::Yes
                } else {
                    judge_texts(content, needle)
                }
            }
            _ => Verdict::Open,
        }
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

impl Header {
    /// Reads a header block.
    pub(super) fn read(block: &[u8]) -> Self {
        let mut fields: HashMap<Vec<u8>, Vec<String>> = HashMap::new();
        let mut sent = None;
        for field in Fields::new(block) {
            if field.is("Date") && sent.is_none() {
                sent = date::parse_header_date(field.value).map(|moment| moment.day);
            }
            let text = body_text::fold(&words::decode(field.value));
            fields
                .entry(field.name.to_ascii_lowercase())
                .or_default()
                .push(text);
        }
        Self { fields, sent }
    }

    fn contains(&self, name: &str, needle: &Needle) -> bool {
        let texts = self.fields.get(name.as_bytes());
        texts.is_some_and(|texts| texts.iter().any(|text| needle.is_in(text)))
    }

    /// Whether any field contains the needle, in its name or its text.
    fn has(&self, needle: &Needle) -> bool {
        self.fields.iter().any(|(name, texts)| {
            texts.iter().any(|text| {
                needle.is_in(text)
                    || (needle.0.contains(':') || name.len() >= needle.0.len())
                        && needle.is_in(&format!("{}: {text}", String::from_utf8_lossy(name)))
            })
        })
    }
}

fn all(tests: &[Test], candidate: Candidate, entry: &EntryRef<'_>, content: &Content) -> Verdict {
    let mut verdict = Verdict::Yes;
    for test in tests {
        match test.judge(candidate, entry, content) {
            Verdict::Yes => {}
            Verdict::No => return Verdict::No,
            Verdict::Open => verdict = Verdict::Open,
        }
    }
    verdict
}

fn judge_texts(content: &Content, needle: &Needle) -> Verdict {
    content.texts.as_ref().map_or(Verdict::Open, |texts| {
        Verdict::of(texts.iter().any(|text| needle.is_in(text)))
    })
}

/// Whether `position` lies in one of the ascending ranges.
fn contains(ranges: &[Range<usize>], position: usize) -> bool {
    let behind = ranges.partition_point(|range| range.start <= position);
    behind
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|range| range.contains(&position))
}

/// RFC 3501 6.4.4: "disregarding time and timezone"; INTERNALDATE is shown in UTC.
fn day_of(time: Timestamp) -> i64 {
    day_number(Day::of(time))
}

fn day_number(day: Day) -> i64 {
    i64::from(day.0)
}

/// Every day there is.
const DAYS: Range<i64> = i64::MIN..i64::MAX;
