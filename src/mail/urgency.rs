//! When a message is wanted: within some time (BY, RFC 2852), not before some time (HOLDFOR and
//! HOLDUNTIL, RFC 4865), sooner or later than others (MT-PRIORITY, RFC 6710).
//!
//! Pure. What a command says of time is counted from when it is said; what is kept is a moment, so
//! that it means the same after any wait, and what is said to the next server is counted anew. What
//! is done about any of it is not decided here.

use std::fmt;

use super::civil::{Date, SECONDS_PER_DAY, time_of_day};
use crate::base::clock::Timestamp;

/// BY as it is said in a command (RFC 2852 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Within how many seconds; nothing or less when they are over.
    pub secs: i64,
    /// What happens when they are over.
    pub mode: ByMode,
    /// Whether each server that passes the message on tells the sender.
    pub trace: bool,
}

/// What happens to a message that was not delivered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByMode {
    /// Its sender is told of the delay; attempts go on.
    Notify,
    /// It goes back.
    Return,
}

/// BY as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When it is to be delivered at the latest.
    pub at: Timestamp,
    /// What happens then.
    pub mode: ByMode,
    /// Whether each server that passes the message on tells the sender.
    pub trace: bool,
}

impl By {
    /// From the value of BY. With `R` the time must lie ahead (RFC 2852 4).
    pub fn parse(text: &str) -> Option<Self> {
        let (time, mode) = text.split_once(';')?;
        let (sign, digits) = match time.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, time.strip_prefix('+').unwrap_or(time)),
        };
        let secs = sign * i64::from(number(digits)?);
        let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
            "N" => (ByMode::Notify, false),
            "NT" => (ByMode::Notify, true),
            "R" => (ByMode::Return, false),
            "RT" => (ByMode::Return, true),
            _ => return None,
        };
        let ahead = secs > 0 || mode == ByMode::Notify;
        ahead.then_some(Self { secs, mode, trace })
    }

    /// The moment that is meant when this is said `now`.
    pub fn from(self, now: Timestamp) -> Deadline {
        let millis = self.secs.unsigned_abs().saturating_mul(1000);
        let at = match self.secs {
            ..0 => now.0.saturating_sub(millis),
            0.. => now.0.saturating_add(millis),
        };
        Deadline {
            at: Timestamp(at),
            mode: self.mode,
            trace: self.trace,
        }
    }
}

/// As the value of BY.
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            ByMode::Notify => "N",
            ByMode::Return => "R",
        };
        let trace = if self.trace { "T" } else { "" };
        write!(f, "{};{mode}{trace}", self.secs)
    }
}

impl Deadline {
    /// Whether it is over.
    pub fn is_over(self, now: Timestamp) -> bool {
        self.at <= now
    }

    /// Whether the message goes back now.
    pub fn returns(self, now: Timestamp) -> bool {
        self.mode == ByMode::Return && self.is_over(now)
    }

    /// What the next server is told `now`, in whole seconds: rather less time than more.
    pub fn left(self, now: Timestamp) -> By {
        let secs = |from: Timestamp, to: Timestamp| {
            let secs = to.since(from).as_secs().min(u64::from(SECS_MAX));
            i64::try_from(secs).unwrap_or_default()
        };
        By {
            secs: match self.is_over(now) {
                true => -secs(self.at, now),
                false => secs(now, self.at),
            },
            mode: self.mode,
            trace: self.trace,
        }
    }
}

/// HOLDFOR or HOLDUNTIL as it is said in a command (RFC 4865 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// For so many seconds.
    For(u32),
    /// Until this second since 1970.
    Until(i64),
}

/// The same as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// When the message begins to go.
    pub at: Timestamp,
    /// For how many seconds that was asked, unless a moment was.
    pub interval: Option<u32>,
}

impl Hold {
    /// From the value of HOLDFOR: one second at least, without zeros before the number.
    pub fn parse_for(text: &str) -> Option<Self> {
        let secs = number(text).filter(|_| !text.starts_with('0'));
        secs.map(Self::For)
    }

    /// From the value of HOLDUNTIL (RFC 3339 5.6 date-time).
    pub fn parse_until(text: &str) -> Option<Self> {
        parse_date_time(text).map(Self::Until)
    }

    /// The moment that is meant when this is said `now`.
    pub fn from(self, now: Timestamp) -> Release {
        match self {
            Self::For(secs) => Release {
                at: Timestamp(now.0.saturating_add(u64::from(secs) * 1000)),
                interval: Some(secs),
            },
            Self::Until(secs) => Release {
                at: Timestamp::from_secs(secs),
                interval: None,
            },
        }
    }
}

/// As a report repeats it (RFC 4865 5: Future-Release-Request).
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interval {
            Some(secs) => write!(f, "for;{secs}"),
            None => write!(f, "until;{}", DateTime(self.at.secs())),
        }
    }
}

/// A second since 1970 as RFC 3339 5.6 writes it, in UTC.
#[derive(Clone, Copy, Debug)]
pub struct DateTime(pub i64);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::of_day(self.0.div_euclid(SECONDS_PER_DAY));
        let (hour, minute, second) = time_of_day(self.0);
        let (year, month, day) = (date.year(), date.month(), date.day());
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

/// RFC 3339 5.6 date-time: the second since 1970; parts of seconds are cut off.
fn parse_date_time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix(['T', 't'])?;
    let (time, rest) = time.split_at_checked(8)?;
    let [year, month, day] = parts(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = parts(time, ':', [2, 2, 2])?;
    // A leap second is the last of its minute here.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let end = fraction.find(|c: char| !c.is_ascii_digit());
            let (digits, rest) = fraction.split_at_checked(end?)?;
            (!digits.is_empty()).then_some(rest)?
        }
    };
    let day = Date::new(year, month, day)?.day_number();
    let of_day = i64::from(hour * 3600 + minute * 60 + second.min(59));
    Some(day * SECONDS_PER_DAY + of_day - offset(rest)?)
}

/// RFC 3339 5.6 time-offset, in seconds east of UTC.
fn offset(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("Z") {
        return Some(0);
    }
    let (sign, digits) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (None, Some(digits)) => (-1, digits),
        (None, None) => return None,
    };
    let [hour, minute] = parts(digits, ':', [2, 2])?;
    (hour <= 23 && minute <= 59).then(|| sign * i64::from(hour * 3600 + minute * 60))
}

/// Numbers with so many digits each.
fn parts<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[u32; N]> {
    let mut words = text.split(between);
    let mut found = [0; N];
    for (found, length) in found.iter_mut().zip(lengths) {
        let word = words.next().filter(|word| word.len() == length)?;
        *found = number(word)?;
    }
    words.next().is_none().then_some(found)
}

/// How soon a message goes, compared with others: from -9, the last, to 9 (RFC 6710 3). Without a
/// word it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(i8);

impl Priority {
    /// When it is in the range.
    pub fn new(value: i8) -> Option<Self> {
        (-9..=9).contains(&value).then_some(Self(value))
    }

    /// From the value of MT-PRIORITY: zero, or a digit with or without a minus.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digit) = match text.strip_prefix('-') {
            Some(digit) => (-1, digit),
            None => (1, text),
        };
        let value = i8::try_from(number(digit).filter(|_| digit.len() == 1)?).ok()?;
        let minus_zero = sign < 0 && value == 0;
        (!minus_zero).then_some(Self(sign * value))
    }

    /// The number.
    pub fn value(self) -> i8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One to nine digits.
fn number(text: &str) -> Option<u32> {
    let fits = (1..=9).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// RFC 2852 4, RFC 4865 4: the longest time that either can say.
pub const SECS_MAX: u32 = 999_999_999;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_is_read_as_rfc_2852_writes_it() {
        let by = |secs, mode, trace| Some(By { secs, mode, trace });
        for (text, expected) in [
            ("120;R", by(120, ByMode::Return, false)),
            ("+120;rt", by(120, ByMode::Return, true)),
            ("999999999;N", by(999_999_999, ByMode::Notify, false)),
            ("-999999999;nT", by(-999_999_999, ByMode::Notify, true)),
            ("0;N", by(0, ByMode::Notify, false)),
            ("0;R", None),
            ("-1;R", None),
            ("1000000000;N", None),
            ("--1;N", None),
            ("+-1;N", None),
            ("1;", None),
            ("1", None),
            (";N", None),
            ("1;T", None),
            ("1;NR", None),
            ("1;N;T", None),
            ("1 ;N", None),
            ("\u{661};N", None),
        ] {
            assert_eq!(By::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_left_is_counted_anew() {
        let now = Timestamp(1_000_000);
        let by = By::parse("60;NT").unwrap().from(now);
        for (later, left) in [
            (0, "60;NT"),
            (1, "59;NT"),
            (59_999, "0;NT"),
            (60_000, "0;NT"),
            (61_000, "-1;NT"),
        ] {
            let said = by.left(Timestamp(now.0 + later)).to_string();
            assert_eq!(said, left, "{later}");
        }
        assert!(!by.returns(Timestamp(u64::MAX)));
        let by = By::parse("60;R").unwrap().from(now);
        assert!(by.returns(Timestamp(1_060_000)) && !by.returns(Timestamp(1_059_999)));
        // DUR-07: no clock makes what cannot be said.
        assert_eq!(by.left(Timestamp(u64::MAX)).secs, -999_999_999);
        assert_eq!(by.at_the_end().left(Timestamp(0)).secs, 999_999_999);
    }

    impl Deadline {
        fn at_the_end(self) -> Self {
            Self {
                at: Timestamp(u64::MAX),
                ..self
            }
        }
    }

    #[test]
    fn holds_are_read_as_rfc_4865_writes_them() {
        for (text, secs) in [
            ("1", Some(1)),
            ("999999999", Some(999_999_999)),
            ("0", None),
            ("01", None),
            ("1000000000", None),
            ("+1", None),
            ("-1", None),
            ("1s", None),
            ("", None),
        ] {
            assert_eq!(Hold::parse_for(text), secs.map(Hold::For), "{text:?}");
        }
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-22t02:00:00z", Some(1_795_312_800)),
            ("2026-11-22T03:30:00+01:30", Some(1_795_312_800)),
            ("2026-11-21T20:00:00-06:00", Some(1_795_312_800)),
            ("2026-11-22T02:00:00.999Z", Some(1_795_312_800)),
            ("2016-12-31T23:59:60Z", Some(1_483_228_799)),
            ("2026-11-22T02:00:00", None),
            ("2026-11-22T02:00:00.Z", None),
            ("2026-11-22T02:00:00.5", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T02:60:00Z", None),
            ("2026-11-22T02:00:00+24:00", None),
            ("2026-02-29T02:00:00Z", None),
            ("2026-11-22 02:00:00Z", None),
            ("26-11-22T02:00:00Z", None),
            ("2026-11-22", None),
            ("", None),
        ] {
            assert_eq!(Hold::parse_until(text), secs.map(Hold::Until), "{text:?}");
        }
        let now = Timestamp::from_secs(1_795_312_800);
        let shown = |hold: Hold| hold.from(now).to_string();
        assert_eq!(shown(Hold::For(60)), "for;60");
        assert_eq!(Hold::For(60).from(now).at.secs(), 1_795_312_860);
        assert_eq!(shown(Hold::Until(60)), "until;1970-01-01T00:01:00Z");
    }

    #[test]
    fn priorities_are_read_as_rfc_6710_writes_them() {
        for (text, value) in [
            ("0", Some(0)),
            ("9", Some(9)),
            ("-9", Some(-9)),
            ("-0", None),
            ("10", None),
            ("-10", None),
            ("+1", None),
            ("01", None),
            ("", None),
            ("-", None),
            ("a", None),
        ] {
            assert_eq!(Priority::parse(text).map(Priority::value), value, "{text}");
        }
        assert_eq!(Priority::new(10), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            secs in -999_999_999..=999_999_999_i64, r in any::<bool>(), trace in any::<bool>(),
            priority in -9..=9_i8, at in 0..253_402_300_800_i64,
        ) {
            let mode = if r && secs > 0 { ByMode::Return } else { ByMode::Notify };
            let by = By { secs, mode, trace };
            prop_assert_eq!(By::parse(&by.to_string()), Some(by));
            let priority = Priority::new(priority).unwrap();
            prop_assert_eq!(Priority::parse(&priority.to_string()), Some(priority));
            let date = DateTime(at).to_string();
            prop_assert_eq!(Hold::parse_until(&date), Some(Hold::Until(at)));
        }

        #[test]
        fn nothing_panics(text in "[-+0-9TZ:;.NRt\u{e9}]{0,30}", now in any::<u64>()) {
            let now = Timestamp(now);
            let _ = By::parse(&text).map(|by| by.from(now).left(now));
            let _ = Hold::parse_for(&text).map(|hold| hold.from(now));
            let _ = Hold::parse_until(&text).map(|hold| hold.from(now).to_string());
            let _ = Priority::parse(&text);
        }
    }
}
