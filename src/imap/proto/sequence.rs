//! Sequence sets: sets of message numbers or UIDs (RFC 3501 9, `sequence-set`), merged and
//! bounded (LIM-21).
//!
//! A set is held as the client gave it, `*` unresolved; it is resolved against a mailbox as
//! ranges of positions, never number by number, so `1:4294967295` costs no more than `1`.

use std::{fmt, ops::Range};

use super::limits::SET_RANGES_MAX;
use crate::{base::ranges, wire::Output};

/// A non-empty set of message numbers or UIDs.
#[derive(Clone, PartialEq, Eq)]
pub struct SequenceSet {
    /// Sorted, not touching each other, first <= last, first > 0.
    ranges: Vec<(u32, u32)>,
    /// The smallest `n` of all `n:*`; `*` alone counts as [`u32::MAX`].
    open: Option<u32>,
    /// The largest number named, alone or as an end of a range.
    largest_named: u32,
}

/// The messages that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageSet {
    /// By their numbers or UIDs.
    Listed(SequenceSet),
    /// Those that a search has saved: `$` (RFC 5182).
    Saved,
}

/// Why a text is no set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotASet {
    /// Not of the grammar.
    Syntax,
    /// More than [`SET_RANGES_MAX`] ranges (LIM-21).
    TooMany,
}

/// A set of message numbers names a message that is not there (RFC 3501 9: answer BAD).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeyondLast;

impl SequenceSet {
    /// The set of this text.
    ///
    /// # Errors
    /// When it is none, or too many ranges.
    pub fn parse(text: &[u8]) -> Result<Self, NotASet> {
        let mut set = Self {
            ranges: Vec::new(),
            open: None,
            largest_named: 0,
        };
        for item in text.split(|b| *b == b',') {
            let mut ends = item.splitn(2, |b| *b == b':');
            let first = End::parse(ends.next().unwrap_or_default())?;
            let last = ends.next().map_or(Ok(first), End::parse)?;
            match (first, last) {
                (End::Number(a), End::Number(b)) => {
                    set.largest_named = set.largest_named.max(a).max(b);
                    set.ranges.push((a.min(b), a.max(b)));
                }
                (End::Number(n), End::Star) | (End::Star, End::Number(n)) => {
                    set.largest_named = set.largest_named.max(n);
                    set.open_from(n);
                }
                (End::Star, End::Star) => set.open_from(u32::MAX),
            }
        }
        ranges::join(&mut set.ranges);
        if set.ranges.len() > SET_RANGES_MAX {
            return Err(NotASet::TooMany);
        }
        Ok(set)
    }

    /// The set of these ranges, from first to last each; there may be none, and as many as there
    /// are.
    pub fn of_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges::join(&mut ranges);
        let largest_named = ranges.last().map_or(0, |(_, last)| *last);
        Self {
            ranges,
            open: None,
            largest_named,
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        self.ranges.len() * size_of::<(u32, u32)>()
    }

    fn open_from(&mut self, first: u32) {
        self.open = Some(self.open.map_or(first, |open| open.min(first)));
    }

    /// Whether `*` is in it.
    pub fn has_star(&self) -> bool {
        self.open.is_some()
    }

    /// Its ranges, ascending and disjoint, where `*` is `largest`; nothing for `*` of nothing.
    pub fn ranges(&self, largest: u32) -> Vec<(u32, u32)> {
        self.resolved(largest)
    }

    /// Positions (message number less one) among `count` messages, ascending and disjoint.
    ///
    /// # Errors
    /// When a number is larger than `count`; `*` is one of them in an empty mailbox (RFC 3501 9).
    pub fn among_numbers(&self, count: u32) -> Result<Vec<Range<usize>>, BeyondLast> {
        let star_names_none = self.open.is_some() && count == 0;
        if self.largest_named > count || star_names_none {
            return Err(BeyondLast);
        }
        Ok(self.among_numbers_there(count))
    }

    /// Positions among `count` messages, ascending and disjoint. Numbers of no message are left
    /// out.
    pub fn among_numbers_there(&self, count: u32) -> Vec<Range<usize>> {
        let resolved = self.resolved(count).into_iter();
        resolved
            .filter(|(first, _)| *first <= count)
            .map(|(first, last)| position(first) - 1..position(last.min(count)))
            .collect()
    }

    /// Positions in the ascending `uids`, ascending and disjoint. UIDs that are not there are
    /// left out; `*` is the last one that is.
    pub fn among_uids(&self, uids: &[u32]) -> Vec<Range<usize>> {
        let Some(largest) = uids.last() else {
            return Vec::new();
        };
        let mut found: Vec<Range<usize>> = Vec::new();
        let (mut rest, mut passed) = (uids, 0);
        for (first, last) in self.resolved(*largest) {
            let before = rest.partition_point(|uid| *uid < first);
            let until = rest.partition_point(|uid| *uid <= last);
            if before < until {
                match found.last_mut() {
                    Some(previous) if previous.end == passed + before => {
                        previous.end = passed + until;
                    }
                    _ => found.push(passed + before..passed + until),
                }
            }
            rest = rest.get(until..).unwrap_or_default();
            passed += until;
        }
        found
    }

    /// The ranges with `*` being `largest`; what lies above `largest` only because `n:*` was
    /// turned around is left out, as nothing is there.
    fn resolved(&self, largest: u32) -> Vec<(u32, u32)> {
        let mut ranges = self.ranges.clone();
        if let Some(open) = self.open
            && largest > 0
        {
            ranges.push((open.min(largest), largest));
            ranges::join(&mut ranges);
        }
        ranges
    }
}

impl fmt::Debug for SequenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.ranges.iter().take(20);
        let texts = shown.map(|(first, last)| format!("{first}:{last}"));
        let open = self.open.map(|n| match n {
            u32::MAX => "*".to_owned(),
            n => format!("{n}:*"),
        });
        let texts: Vec<String> = texts.chain(open).collect();
        f.write_str(&texts.join(","))?;
        f.write_str(if self.ranges.len() > 20 { ",..." } else { "" })
    }
}

/// One end of a range.
#[derive(Clone, Copy)]
enum End {
    Number(u32),
    Star,
}

impl End {
    fn parse(text: &[u8]) -> Result<Self, NotASet> {
        if text == b"*" {
            return Ok(Self::Star);
        }
        // RFC 3501 9: nz-number begins with 1..9 and fits 32 bits.
        if !matches!(text, [b'1'..=b'9', ..]) || text.len() > 10 {
            return Err(NotASet::Syntax);
        }
        let number = text.iter().try_fold(0_u32, |number, digit| {
            let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
            number.checked_mul(10)?.checked_add(u32::from(value))
        });
        number.map(Self::Number).ok_or(NotASet::Syntax)
    }
}

fn position(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Writes numbers as a set, in the order given, runs as ranges: for COPYUID and APPENDUID (RFC
/// 4315 3).
pub(super) fn write_set(out: &mut Output, numbers: &[u32]) {
    let mut set = SetWriter::default();
    for number in numbers {
        set.push(out, *number);
    }
    set.end(out);
}

/// Writes a set number by number, in the order given; runs that ascend as ranges (RFC 5267 3.2).
#[derive(Debug, Default)]
pub struct SetWriter {
    /// First and last of the run that is not written yet.
    run: Option<(u32, u32)>,
    begun: bool,
}

impl SetWriter {
    /// Takes one number.
    pub fn push(&mut self, out: &mut Output, number: u32) {
        match &mut self.run {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            run => {
                let run = run.replace((number, number));
                self.write(out, run);
            }
        }
    }

    /// Writes what is left.
    pub fn end(mut self, out: &mut Output) {
        let run = self.run.take();
        self.write(out, run);
    }

    fn write(&mut self, out: &mut Output, run: Option<(u32, u32)>) {
        let Some((first, last)) = run else { return };
        if std::mem::replace(&mut self.begun, true) {
            out.bytes(b",");
        }
        out.number(u64::from(first));
        if last > first {
            out.bytes(b":").number(u64::from(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn set(text: &str) -> SequenceSet {
        SequenceSet::parse(text.as_bytes()).unwrap()
    }

    fn ends(ranges: &[Range<usize>]) -> Vec<(usize, usize)> {
        ranges
            .iter()
            .map(|range| (range.start, range.end))
            .collect()
    }

    #[test]
    fn texts_are_sets_as_the_grammar_says() {
        for good in [
            "1",
            "*",
            "1:*",
            "*:1",
            "*:*",
            "1,2",
            "3:1",
            "4294967295",
            "1:4294967295,*",
        ] {
            assert!(SequenceSet::parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "0",
            "01",
            ",",
            "1,",
            ",1",
            "1:",
            ":1",
            "1:2:3",
            "4294967296",
            "1 2",
            "a",
            "-1",
            "**",
            "1:0",
            "99999999999",
            "$",
        ] {
            assert_eq!(
                SequenceSet::parse(bad.as_bytes()),
                Err(NotASet::Syntax),
                "{bad}"
            );
        }
        assert_eq!(format!("{:?}", set("5:7,1,6:9,2,*,20:*")), "1:2,5:9,20:*");
    }

    #[test]
    fn numbers_beyond_the_last_message_are_refused() {
        for (text, count, found) in [
            (
                "2,4:7,9,12:*",
                15,
                Some(&[(1, 2), (3, 7), (8, 9), (11, 15)][..]),
            ),
            ("*:4,5:7", 10, Some(&[(3, 10)][..])),
            ("*", 3, Some(&[(2, 3)][..])),
            ("1:*", 3, Some(&[(0, 3)][..])),
            ("3:*", 3, Some(&[(2, 3)][..])),
            ("4:*", 3, None),
            ("4", 3, None),
            ("*", 0, None),
            ("1:*", 0, None),
        ] {
            let ranges = set(text).among_numbers(count).ok();
            assert_eq!(
                ranges.map(|ranges| ends(&ranges)).as_deref(),
                found,
                "{text} {count}"
            );
        }
    }

    #[test]
    fn numbers_beyond_the_last_message_may_be_left_out() {
        for (text, count, found) in [
            ("2,4:7", 5, &[(1, 2), (3, 5)][..]),
            ("4:*", 3, &[(2, 3)]),
            ("4", 3, &[]),
            ("1:4294967295", 3, &[(0, 3)]),
            ("*", 0, &[]),
            ("1:*,7", 0, &[]),
        ] {
            let ranges = set(text).among_numbers_there(count);
            assert_eq!(ends(&ranges), found, "{text} {count}");
        }
    }

    #[test]
    fn uids_beyond_the_last_are_ignored_but_star_is_always_the_last() {
        let uids = [2, 5, 6, 9];
        for (text, found) in [
            ("3291:*", &[(3, 4)][..]),
            ("*", &[(3, 4)]),
            ("1:*", &[(0, 4)]),
            ("3:4", &[]),
            ("10:20", &[]),
            ("5,6", &[(1, 3)]),
            ("2,9", &[(0, 1), (3, 4)]),
            ("2:3,4:5", &[(0, 2)]),
        ] {
            assert_eq!(ends(&set(text).among_uids(&uids)), found, "{text}");
        }
        assert!(set("1:*").among_uids(&[]).is_empty());
    }

    #[test]
    fn lim_21_ten_thousand_ranges_pass_and_one_more_does_not() {
        for (count, ok) in [
            (SET_RANGES_MAX - 1, true),
            (SET_RANGES_MAX, true),
            (SET_RANGES_MAX + 1, false),
        ] {
            let texts: Vec<String> = (1..=count).map(|n| (n * 2).to_string()).collect();
            let parsed = SequenceSet::parse(texts.join(",").as_bytes());
            assert_eq!(parsed.is_ok(), ok, "{count}");
            assert_eq!(parsed == Err(NotASet::TooMany), !ok, "{count}");
        }
        let touching: Vec<String> = (1..=2 * SET_RANGES_MAX).map(|n| n.to_string()).collect();
        assert!(SequenceSet::parse(touching.join(",").as_bytes()).is_ok());
    }

    #[test]
    fn numbers_are_written_as_runs() {
        for (numbers, text) in [
            (&[][..], ""),
            (&[7], "7"),
            (&[7, 8], "7:8"),
            (&[1, 2, 3, 5, 9, 10], "1:3,5,9:10"),
            (&[3, 2, 1], "3,2,1"),
            (&[u32::MAX - 1, u32::MAX], "4294967294:4294967295"),
        ] {
            let mut out = Output::new();
            write_set(&mut out, numbers);
            assert_eq!(out.as_bytes(), text.as_bytes());
        }
    }

    /// (text, the numbers it names given the largest)
    fn naive(items: &[(Option<u32>, Option<u32>)], largest: u32) -> (String, BTreeSet<u32>) {
        let show = |end: &Option<u32>| end.map_or("*".to_owned(), |n| n.to_string());
        let texts: Vec<String> = items
            .iter()
            .map(|(a, b)| format!("{}:{}", show(a), show(b)))
            .collect();
        let mut numbers = BTreeSet::new();
        for (a, b) in items {
            let (a, b) = (a.unwrap_or(largest), b.unwrap_or(largest));
            numbers.extend(a.min(b)..=a.max(b));
        }
        (texts.join(","), numbers)
    }

    fn end() -> impl Strategy<Value = Option<u32>> {
        proptest::option::weighted(0.8, 1_u32..40)
    }

    proptest! {
        #[test]
        fn sets_agree_with_a_naive_model(
            items in proptest::collection::vec(
                (end(), end()), 1..8),
            uids in proptest::collection::btree_set(1_u32..40, 1..20),
        ) {
            let uids: Vec<u32> = uids.into_iter().collect();
            let largest = *uids.last().unwrap();
            let (text, numbers) = naive(&items, largest);
            let parsed = set(&text);
            let found: Vec<u32> = parsed
                .among_uids(&uids)
                .into_iter()
                .flat_map(|range| uids[range].to_vec())
                .collect();
            let expected: Vec<u32> =
                uids.iter().copied().filter(|uid| numbers.contains(uid)).collect();
            prop_assert_eq!(found, expected);
            let count = largest;
            let beyond = numbers.iter().any(|number| *number > count);
            match parsed.among_numbers(count) {
                Err(BeyondLast) => prop_assert!(beyond),
                Ok(ranges) => {
                    let found: BTreeSet<u32> = ranges
                        .into_iter()
                        .flatten()
                        .map(|position| u32::try_from(position).unwrap() + 1)
                        .collect();
                    prop_assert!(!beyond);
                    prop_assert_eq!(found, numbers);
                }
            }
        }

        #[test]
        fn written_sets_are_read_back(
            numbers in proptest::collection::btree_set(1_u32..200, 1..60),
        ) {
            let numbers: Vec<u32> = numbers.into_iter().collect();
            let mut out = Output::new();
            write_set(&mut out, &numbers);
            let parsed = SequenceSet::parse(out.as_bytes()).unwrap();
            let all: Vec<u32> = (1..200).collect();
            let found: Vec<u32> = parsed
                .among_uids(&all)
                .into_iter()
                .flat_map(|range| all[range].to_vec())
                .collect();
            prop_assert_eq!(found, numbers);
        }
    }
}
