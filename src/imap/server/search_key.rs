//! Whether a message is what a SEARCH looks for, decided with as little of the message as suffices.
//!
//! Pure. A [`Test`] is a search key made ready: texts folded, sets resolved against the session's
//! view, dates turned into ranges. Judging it knows three answers, because what costs reading is
//! read only when the cheap keys have left the question open. RFC 3501 6.4.4.

mod named;

use std::{ops::Range, sync::Arc};

use super::search_found::Found;
use crate::{
    base::{clock::Timestamp, ids::ModSeq},
    fulltext::{Query, Wanted},
    imap::proto::{
        date::Day,
        object_id::ObjectId,
        search::{SearchFlag, SearchKey},
        sequence::SequenceSet,
    },
    mail::{body_text, fuzzy::Words},
    mailbox::{EntryRef, Keyword, SystemFlags},
};

/// What keys refer to beside the messages themselves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ground<'a> {
    /// The messages that the view shows.
    pub(super) uids: &'a [u32],
    /// What `$` stands for, as UIDs.
    pub(super) saved: &'a SequenceSet,
    pub(super) now: Timestamp,
}

/// A search made ready.
#[derive(Clone, Debug)]
pub(super) struct Search {
    test: Test,
    /// What is looked for in header fields; tests name them by their place here.
    pub(super) fields: Vec<FieldTest>,
    /// What is looked for in the texts of messages, by place as well.
    pub(super) needles: Vec<Needle>,
    /// Some needle is looked for in the header too (TEXT).
    pub(super) needles_in_header: bool,
    /// Some thread is looked for.
    pub(super) threads: bool,
    /// What `$` stands for; resolved once, however often it is said.
    saved: Option<Arc<[Range<usize>]>>,
    /// What is made ready now is below FUZZY.
    is_fuzzy: bool,
    /// How many keys were made ready.
    pub(super) size: usize,
    /// How many ranges of positions that took.
    pub(super) ranges: usize,
}

/// A header field to look for.
#[derive(Clone, Debug)]
pub(super) struct FieldTest {
    /// Its name, in lower case.
    pub(super) name: String,
    /// What its text contains; nothing: it is enough that it is there.
    pub(super) needle: Needle,
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
    Positions(Arc<[Range<usize>]>),
    System(SystemFlags),
    Recent,
    Keyword(Keyword),
    /// INTERNALDATE, in days since 1970.
    Internal(Range<i64>),
    /// INTERNALDATE, in seconds since 1970.
    InternalSecond(Range<i64>),
    /// When it came into the mailbox, in days since 1970.
    Saved(Range<i64>),
    /// The day of the Date field.
    Sent(Range<i64>),
    /// Its EMAILID.
    Email(String),
    /// Its THREADID.
    Thread(String),
    Size(Range<u64>),
    ChangedFrom(ModSeq),
    /// The field at this place is there.
    Field(usize),
    /// The needle at this place is in the texts.
    Body(usize),
    /// It is in the texts, or in the header.
    Text(usize),
}

/// A text to look for, in the forms in which texts are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needle {
    /// In bodies.
    text: String,
    /// In header fields, where it does not matter how they are folded.
    line: String,
    /// Its words, when they are enough (RFC 6203); else none.
    pub(super) words: Words,
}

/// The answer, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Yes,
    No,
    /// More of the message must be read.
    Open,
}

/// A message of the session's view; ordered as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) position: usize,
    pub(super) uid: u32,
    pub(super) recent: bool,
    /// To a fuzzy search, once it is found: 1 to 100 (RFC 6203 4).
    pub(super) relevancy: u8,
}

/// What was read of a message so far. What is looked for was looked for while reading, so judging
/// is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The day of its Date field.
    pub(super) sent: Option<Option<i64>>,
    /// Its EMAILID.
    pub(super) email_id: Option<ObjectId>,
    /// Its THREADID, where the search asks for one.
    pub(super) thread_id: Option<ObjectId>,
    /// For each field test of the search.
    pub(super) fields: Vec<Option<Found>>,
    /// For each needle, what of it is in the header.
    pub(super) in_header: Option<Vec<Found>>,
    /// For each needle, what of it is in the texts.
    pub(super) in_texts: Option<Vec<Found>>,
}

impl Needle {
    fn new(text: &str, is_fuzzy: bool) -> Self {
        let line = body_text::fold_line(text);
        let words = match is_fuzzy {
            true => Words::new(&line),
            false => Words::default(),
        };
        Self {
            text: body_text::fold(text),
            line,
            words,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What an email must have in the index of texts to be found by it.
    fn wanted(&self) -> Wanted<'_> {
        match self.words.is_empty() {
            true => Wanted::Text(&self.text, &self.line),
            false => Wanted::Words(&self.words),
        }
    }

    /// Whether the folded text of a body contains it.
    pub(super) fn is_in_text(&self, folded: &str) -> bool {
        folded.contains(&self.text)
    }

    /// Whether a header field, folded as a line, contains it.
    pub(super) fn is_in_line(&self, folded: &str) -> bool {
        folded.contains(&self.line)
    }
}

impl Search {
    /// Makes `key` ready.
    pub(super) fn new(key: &SearchKey, ground: Ground<'_>) -> Self {
        let mut search = Self {
            test: Test::Nothing,
            fields: Vec::new(),
            needles: Vec::new(),
            needles_in_header: false,
            threads: false,
            saved: None,
            is_fuzzy: false,
            size: 0,
            ranges: 0,
        };
        search.test = Test::new(key, ground, &mut search);
        search
    }

    fn positions(&mut self, ranges: Vec<Range<usize>>) -> Arc<[Range<usize>]> {
        self.ranges += ranges.len();
        ranges.into()
    }

    fn saved(&mut self, ground: Ground<'_>) -> Arc<[Range<usize>]> {
        if let Some(saved) = &self.saved {
            return Arc::clone(saved);
        }
        let saved = self.positions(ground.saved.among_uids(ground.uids));
        self.saved = Some(Arc::clone(&saved));
        saved
    }

    fn field(&mut self, name: &str, text: &str) -> usize {
        self.fields.push(FieldTest {
            name: name.to_ascii_lowercase(),
            needle: Needle::new(text, self.is_fuzzy),
        });
        self.fields.len() - 1
    }

    fn needle(&mut self, text: &str) -> usize {
        self.needles.push(Needle::new(text, self.is_fuzzy));
        self.needles.len() - 1
    }

    /// What an index of texts can tell of it: every message that passes has what this asks for.
    pub(super) fn query(&self) -> Query {
        self.query_of(&self.test)
    }

    fn query_of(&self, test: &Test) -> Query {
        let of = |place: &usize, make: fn(Wanted<'_>) -> Query| {
            let needle = self.needles.get(*place);
            needle.map_or_else(Query::anything, |needle| make(needle.wanted()))
        };
        match test {
            Test::And(tests) => Query::all(tests.iter().map(|test| self.query_of(test))),
            Test::Or(a, b) => Query::one_of([self.query_of(a), self.query_of(b)]),
            Test::Body(place) => of(place, Query::body),
            Test::Text(place) => of(place, Query::text),
            Test::Field(place) => {
                let field = self.fields.get(*place);
                let query = |field: &FieldTest| Query::field(&field.name, field.needle.wanted());
                field.map_or_else(Query::anything, query)
            }
            _ => Query::anything(),
        }
    }

    /// How relevant a message is that passes (RFC 6203 4).
    pub(super) fn relevancy(&self, known: &Known) -> u8 {
        let relevancy = self.relevancy_of(&self.test, known).unwrap_or(100);
        u8::try_from(relevancy.clamp(1, 100)).unwrap_or(100)
    }

    /// As far as fuzzy keys tell: of all, what they are together, and of some the best.
    fn relevancy_of(&self, test: &Test, known: &Known) -> Option<u32> {
        let found = |found: &Option<Vec<Found>>, place: usize| {
            let found = found.as_ref()?.get(place)?;
            found.is_enough().then(|| found.relevancy())
        };
        let is_fuzzy = |needle: Option<&Needle>| needle.is_some_and(|it| !it.words.is_empty());
        match test {
            Test::And(tests) => {
                let all = tests
                    .iter()
                    .filter_map(|test| self.relevancy_of(test, known));
                let (count, sum) = all.fold((0, 0), |(count, sum), one| (count + 1, sum + one));
                (count > 0).then(|| sum / count)
            }
            Test::Or(a, b) => {
                let (a, b) = (self.relevancy_of(a, known), self.relevancy_of(b, known));
                a.max(b)
            }
            Test::Field(place) if is_fuzzy(self.fields.get(*place).map(|field| &field.needle)) => {
                let found = known.fields.get(*place)?.as_ref()?;
                found.is_enough().then(|| found.relevancy())
            }
            Test::Body(place) if is_fuzzy(self.needles.get(*place)) => {
                found(&known.in_texts, *place)
            }
            Test::Text(place) if is_fuzzy(self.needles.get(*place)) => {
                found(&known.in_header, *place).or_else(|| {
                    let both = known.anywhere(*place)?;
                    Some(both.relevancy_in_body())
                })
            }
            _ => None,
        }
    }

    /// Whether the message passes, as far as it is known.
    pub(super) fn judge(
        &self,
        candidate: Candidate,
        entry: &EntryRef<'_>,
        known: &Known,
    ) -> Verdict {
        let message = Message {
            candidate,
            entry,
            known,
        };
        message.passes(&self.test)
    }
}

impl SearchKey {
    /// The key, of no messages with lower UIDs.
    pub(super) fn not_below(self, lowest: u32) -> Self {
        let uids = SequenceSet::of_ranges(vec![(lowest, u32::MAX)]);
        Self::And(vec![self, Self::Uid(uids)])
    }

    /// The key with message numbers as they are now (RFC 5267 4.3). `$` stays: it is as large as a
    /// mailbox and may be said a thousand times.
    pub(super) fn fixed(&self, ground: Ground<'_>) -> Self {
        let uids_at = |ranges: Vec<Range<usize>>| {
            let ends = ranges.into_iter().filter_map(|range| {
                let shown = ground.uids.get(range)?;
                Some((*shown.first()?, *shown.last()?))
            });
            Self::Uid(SequenceSet::of_ranges(ends.collect()))
        };
        match self {
            Self::And(keys) => Self::And(keys.iter().map(|key| key.fixed(ground)).collect()),
            Self::Or(a, b) => Self::Or(Box::new(a.fixed(ground)), Box::new(b.fixed(ground))),
            Self::Not(key) => Self::Not(Box::new(key.fixed(ground))),
            Self::Fuzzy(key) => Self::Fuzzy(Box::new(key.fixed(ground))),
            Self::Numbers(set) => {
                let count = u32::try_from(ground.uids.len()).unwrap_or(u32::MAX);
                uids_at(set.among_numbers_there(count))
            }
            other => other.clone(),
        }
    }
}

impl Test {
    fn new(key: &SearchKey, ground: Ground<'_>, search: &mut Search) -> Self {
        let uids = ground.uids;
        search.size += 1;
        match key {
            SearchKey::All => Self::All,
            SearchKey::And(keys) => {
                let tests = keys.iter().map(|key| Self::new(key, ground, search));
                Self::And(tests.collect())
            }
            SearchKey::Or(a, b) => {
                let a = Self::new(a, ground, search);
                Self::Or(Box::new(a), Box::new(Self::new(b, ground, search)))
            }
            SearchKey::Not(key) => Self::Not(Box::new(Self::new(key, ground, search))),
            SearchKey::Fuzzy(key) => {
                let around = std::mem::replace(&mut search.is_fuzzy, true);
                let test = Self::new(key, ground, search);
                search.is_fuzzy = around;
                test
            }
            SearchKey::Numbers(set) => {
                let count = u32::try_from(uids.len()).unwrap_or(u32::MAX);
                // RFC 3501 6.4.4: a search finds what is there; nothing has such a number.
                Self::Positions(search.positions(set.among_numbers_there(count)))
            }
            SearchKey::Uid(set) => Self::Positions(search.positions(set.among_uids(uids))),
            SearchKey::Saved => Self::Positions(search.saved(ground)),
            SearchKey::Flag(flag) => Self::flag(*flag),
            // What cannot be a keyword no message has.
            SearchKey::Keyword(name) => Keyword::parse(name).map_or(Self::Nothing, Self::Keyword),
            SearchKey::Before(day) => Self::Internal(before(*day)),
            SearchKey::On(day) => Self::Internal(on(*day)),
            SearchKey::Since(day) => Self::Internal(since(*day)),
            // RFC 5032 2: both are "or equal".
            SearchKey::Older(secs) => {
                let target = ground.now.secs() - i64::from(*secs);
                Self::InternalSecond(i64::MIN..target + 1)
            }
            SearchKey::Younger(secs) => {
                let target = ground.now.secs() - i64::from(*secs);
                Self::InternalSecond(target..i64::MAX)
            }
            SearchKey::SavedBefore(day) => Self::Saved(before(*day)),
            SearchKey::SavedOn(day) => Self::Saved(on(*day)),
            SearchKey::SavedSince(day) => Self::Saved(since(*day)),
            // RFC 8514 4.3: every mailbox here keeps save dates.
            SearchKey::SaveDateSupported => Self::All,
            SearchKey::EmailId(id) => Self::Email(id.clone()),
            SearchKey::ThreadId(id) => {
                search.threads = true;
                Self::Thread(id.clone())
            }
            SearchKey::SentBefore(day) => Self::Sent(before(*day)),
            SearchKey::SentOn(day) => Self::Sent(on(*day)),
            SearchKey::SentSince(day) => Self::Sent(since(*day)),
            SearchKey::ModSeq(from) => Self::ChangedFrom(*from),
            SearchKey::Larger(size) => Self::Size(*size + 1..u64::MAX),
            SearchKey::Smaller(size) => Self::Size(0..*size),
            SearchKey::Header(name, text) => Self::Field(search.field(name.as_str(), text)),
            // Every text contains the empty one.
            SearchKey::Body(text) | SearchKey::Text(text) if text.is_empty() => Self::All,
            SearchKey::Body(text) => Self::Body(search.needle(text)),
            SearchKey::Text(text) => {
                search.needles_in_header = true;
                Self::Text(search.needle(text))
            }
        }
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

/// A message being judged.
struct Message<'a> {
    candidate: Candidate,
    entry: &'a EntryRef<'a>,
    known: &'a Known,
}

impl Message<'_> {
    /// The depth of tests is bounded where keys are parsed (LIM-20).
    fn passes(&self, test: &Test) -> Verdict {
        let place_in = |found: &Option<Vec<Found>>, place: usize| {
            let is_enough = |found: &Vec<Found>| found.get(place).is_some_and(Found::is_enough);
            Verdict::known(found.as_ref().map(is_enough))
        };
        match test {
            Test::And(tests) => all(tests.iter().map(|test| self.passes(test))),
            Test::Or(a, b) => {
                let neither = all([a, b].into_iter().map(|test| self.passes(test).not()));
                neither.not()
            }
            Test::Not(test) => self.passes(test).not(),
            Test::Sent(days) => {
                let passes = |sent: Option<i64>| sent.is_some_and(|day| days.contains(&day));
                Verdict::known(self.known.sent.map(passes))
            }
            Test::Email(id) => is_id(self.known.email_id.as_ref(), id),
            Test::Thread(id) => is_id(self.known.thread_id.as_ref(), id),
            Test::Field(place) => {
                let found = self.known.fields.get(*place);
                Verdict::known(found.and_then(Option::as_ref).map(Found::is_enough))
            }
            Test::Body(place) => place_in(&self.known.in_texts, *place),
            Test::Text(place) => match place_in(&self.known.in_header, *place) {
                Verdict::No => match self.known.anywhere(*place) {
                    Some(found) => Verdict::known(Some(found.is_enough())),
                    None => Verdict::Open,
                },
                known => known,
            },
            test => Verdict::known(Some(self.is(test))),
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
            Test::InternalSecond(secs) => secs.contains(&entry.internal_date.secs()),
            Test::Saved(days) => days.contains(&day_of(entry.saved)),
            Test::Size(sizes) => sizes.contains(&entry.size),
            Test::ChangedFrom(from) => entry.modseq >= *from,
            _ => false,
        }
    }
}

impl Known {
    /// What of a needle is in header and texts together.
    fn anywhere(&self, place: usize) -> Option<Found> {
        let (header, texts) = (self.in_header.as_ref()?, self.in_texts.as_ref()?);
        let mut found = header.get(place).cloned().unwrap_or_default();
        // An email without parts has no texts.
        if let Some(there) = texts.get(place) {
            found.add(there);
        }
        Some(found)
    }
}

impl Verdict {
    fn known(known: Option<bool>) -> Self {
        match known {
            Some(true) => Self::Yes,
            Some(false) => Self::No,
            None => Self::Open,
        }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Open => Self::Open,
        }
    }
}

/// RFC 8474 6: "exactly the specified ObjectID".
fn is_id(known: Option<&ObjectId>, id: &str) -> Verdict {
    Verdict::known(known.map(|known| known.as_str() == id))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_36_what_is_saved_is_resolved_once() {
        let uids: Vec<u32> = (1..=1000).map(|n| n * 2).collect();
        let odd = uids.iter().step_by(2).map(|uid| (*uid, *uid));
        let ground = Ground {
            uids: &uids,
            saved: &SequenceSet::of_ranges(odd.collect()),
            now: Timestamp::from_secs(0),
        };
        let key = SearchKey::And(vec![SearchKey::Saved; 1000]);
        let search = Search::new(&key, ground);
        assert_eq!((search.size, search.ranges), (1001, 500));
        assert_eq!(key.fixed(ground), key);
    }
}
