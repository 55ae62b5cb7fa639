//! Dates as mail writes them: RFC 5322 3.3 and 4.3 in header fields, RFC 3501 9 `date-time` in
//! INTERNALDATE and `date` in SEARCH.
//!
//! Writers give UTC. The header parser is tolerant, because SEARCH and SORT are better off with a
//! guess than with nothing; the IMAP parsers are strict, because clients are told when they err.
//! Not here: what time it is (`base::clock`).

use std::fmt;

use super::civil::{self, Date, SECONDS_PER_DAY};

/// A point of time and the calendar day its writer saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970-01-01 00:00:00 UTC.
    pub secs: i64,
    /// Days since 1970-01-01 of the date as written, "disregarding time and timezone"
    /// (RFC 3501 6.4.4, SENTON).
    pub day: i64,
}

/// Displays seconds since 1970 as RFC 5322 3.3 date-time in UTC.
#[derive(Clone, Copy, Debug)]
pub struct HeaderDate(pub i64);

impl fmt::Display for HeaderDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::of_day(self.0.div_euclid(SECONDS_PER_DAY));
        let (hour, minute, second) = civil::time_of_day(self.0);
        let (weekday, month) = (date.weekday_name(), date.month_name());
        write!(f, "{weekday}, {} {month} {:04} ", date.day(), date.year())?;
        write!(f, "{hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Displays seconds since 1970 as RFC 3501 9 date-time in UTC, without its quotes.
#[derive(Clone, Copy, Debug)]
pub struct InternalDate(pub i64);

impl fmt::Display for InternalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = Date::of_day(self.0.div_euclid(SECONDS_PER_DAY));
        let (hour, minute, second) = civil::time_of_day(self.0);
        write!(
            f,
            "{:2}-{}-{:04} ",
            date.day(),
            date.month_name(),
            date.year()
        )?;
        write!(f, "{hour:02}:{minute:02}:{second:02} +0000")
    }
}

/// Reads the inside of an IMAP date-time (RFC 3501 9): ` 1-Feb-2026 03:04:05 +0100`.
pub fn parse_internal_date(text: &[u8]) -> Option<i64> {
    // date-day-fixed "-" date-month "-" date-year SP time SP zone: always 26 octets.
    let (date, rest) = text.split_at_checked(11)?;
    let (time, zone) = rest.strip_prefix(b" ")?.split_at_checked(8)?;
    let date = match date.strip_prefix(b" ") {
        Some(one_digit) => dashed_date(one_digit, 1)?,
        None => dashed_date(date, 2)?,
    };
    // No clock shows more than fourteen hours.
    let zone = numeric_zone(zone.strip_prefix(b" ")?)?;
    let zone = Some(zone).filter(|zone| zone.abs() <= 14 * 3600)?;
    let day_secs = date.day_number().checked_mul(SECONDS_PER_DAY)?;
    day_secs.checked_add(clock_time(time)?)?.checked_sub(zone)
}

/// Reads an IMAP date (RFC 3501 9) without its quotes, `1-Feb-2026`; gives its day number.
pub fn parse_imap_date(text: &[u8]) -> Option<i64> {
    let digits = text.iter().position(|b| *b == b'-')?;
    (1..=2)
        .contains(&digits)
        .then(|| dashed_date(text, digits))?
        .map(Date::day_number)
}

/// Reads the value of a Date field (RFC 5322 3.3, with the obsolete forms of 4.3 and the forms of
/// careless senders). Words may come in any order that leaves their meaning clear.
pub fn parse_header_date(value: &[u8]) -> Option<Moment> {
    let mut seen = Seen::default();
    for word in without_comments(value).split(|b| b.is_ascii_whitespace() || *b == b',') {
        if !word.is_empty() {
            seen.word(word);
        }
    }
    seen.moment()
}

/// The parts of a date found so far.
#[derive(Default)]
struct Seen {
    day: Option<u32>,
    month: Option<u32>,
    year: Option<u32>,
    time: Option<i64>,
    zone: Option<i64>,
}

impl Seen {
    /// Takes one word for the first part it fits that is still missing.
    fn word(&mut self, word: &[u8]) {
        let first = word.first().copied().unwrap_or_default();
        if matches!(first, b'+' | b'-') {
            self.zone = self.zone.or_else(|| numeric_zone(word));
        } else if word.contains(&b':') {
            // The zone may follow without a space.
            let end = word.iter().position(|b| matches!(b, b'+' | b'-'));
            let (time, zone) = word.split_at(end.unwrap_or(word.len()));
            self.time = self.time.or_else(|| clock_time(time));
            self.zone = self.zone.or_else(|| numeric_zone(zone));
        } else if first.is_ascii_digit() && word.contains(&b'.') {
            let colons: Vec<u8> = word
                .iter()
                .map(|b| if *b == b'.' { b':' } else { *b })
                .collect();
            self.time = self.time.or_else(|| clock_time(&colons));
        } else if first.is_ascii_digit() {
            self.digits(word);
        } else if let Some(month) = word.get(..3).and_then(civil::month_of_name) {
            self.month.get_or_insert(month);
        } else if self.time.is_some() && self.zone.is_none() {
            self.zone = named_zone(word);
        }
    }

    /// A day, a year, or `21-Nov-2026` as one word.
    fn digits(&mut self, word: &[u8]) {
        let mut pieces = word.split(|b| *b == b'-');
        match (pieces.next(), pieces.next(), pieces.next()) {
            (Some(day), Some(month), Some(year)) => {
                self.day = self.day.or_else(|| number(day));
                self.month = self.month.or_else(|| civil::month_of_name(month));
                self.year = self.year.or_else(|| full_year(year));
            }
            _ if word.len() <= 2 && self.day.is_none() => self.day = number(word),
            _ => self.year = self.year.or_else(|| full_year(word)),
        }
    }

    fn moment(&self) -> Option<Moment> {
        let day = Date::new(self.year?, self.month?, self.day?)?.day_number();
        let local = day
            .checked_mul(SECONDS_PER_DAY)?
            .checked_add(self.time.unwrap_or(0))?;
        Some(Moment {
            secs: local.checked_sub(self.zone.unwrap_or(0))?,
            day,
        })
    }
}

/// The value without its comments; nesting is only counted, so it needs no stack.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut depth = 0_usize;
    let mut bytes = value.iter().copied().take(DATE_VALUE_BYTES_MAX);
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if depth > 0 => drop(bytes.next()),
            b'(' => depth = depth.saturating_add(1),
            b')' => {
                depth = depth.saturating_sub(1);
                plain.push(b' ');
            }
            _ if depth == 0 => plain.push(byte),
            _ => {}
        }
    }
    plain
}

/// `d-Mon-yyyy` with exactly this many digits for the day.
fn dashed_date(text: &[u8], day_digits: usize) -> Option<Date> {
    let (day, rest) = text.split_at_checked(day_digits)?;
    let (month, year) = rest.strip_prefix(b"-")?.split_at_checked(3)?;
    let year = year.strip_prefix(b"-").filter(|year| year.len() == 4)?;
    Date::new(number(year)?, civil::month_of_name(month)?, number(day)?)
}

/// `hh:mm` or `hh:mm:ss` as second of the day; a leap second counts as the second before it.
fn clock_time(text: &[u8]) -> Option<i64> {
    let mut pieces = text.split(|b| *b == b':');
    let hour = number(pieces.next()?).filter(|hour| *hour < 24)?;
    let minute = number(pieces.next()?).filter(|minute| *minute < 60)?;
    let second = number(pieces.next().unwrap_or(b"0")).filter(|second| *second <= 60)?;
    if pieces.next().is_some() {
        return None;
    }
    Some(i64::from(hour * 3600 + minute * 60 + second.min(59)))
}

/// `+hhmm` or `-hhmm` as seconds east of UTC.
fn numeric_zone(text: &[u8]) -> Option<i64> {
    let (sign, digits) = text.split_first()?;
    let (hours, minutes) = digits.split_at_checked(2).filter(|_| digits.len() == 4)?;
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    let east = i64::from(number(hours)? * 3600 + minutes * 60);
    match sign {
        b'+' => Some(east),
        b'-' => Some(-east),
        _ => None,
    }
}

/// RFC 5322 4.3 obs-zone. Military letters and unknown names mean "no information": UTC.
fn named_zone(name: &[u8]) -> Option<i64> {
    let upper = name.to_ascii_uppercase();
    if let Some(offset) = upper
        .strip_prefix(b"GMT")
        .or_else(|| upper.strip_prefix(b"UTC"))
    {
        return numeric_zone(offset).or(Some(0));
    }
    let hours_west = match upper.as_slice() {
        b"EDT" => 4,
        b"EST" | b"CDT" => 5,
        b"CST" | b"MDT" => 6,
        b"MST" | b"PDT" => 7,
        b"PST" => 8,
        other if other.iter().all(u8::is_ascii_alphabetic) => 0,
        _ => return None,
    };
    Some(hours_west * -3600)
}

/// RFC 5322 4.3: two digits below 50 are this century, other two and three digits count from 1900.
fn full_year(text: &[u8]) -> Option<u32> {
    let year = number(text)?;
    match text.len() {
        2 if year < 50 => Some(year + 2000),
        2 | 3 => Some(year + 1900),
        4 => Some(year),
        _ => None,
    }
}

/// One to four digits and nothing else.
fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 4 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| {
        sum * 10 + u32::from(digit.saturating_sub(b'0'))
    }))
}

/// No date, however commented, is longer; the rest of the value is not looked at.
const DATE_VALUE_BYTES_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_5322_dates_and_their_relatives_are_understood() {
        let noon = 1_795_262_400; // 2026-11-21 12:00:00 UTC
        for (text, secs) in [
            ("Sat, 21 Nov 2026 12:00:00 +0000", noon),
            ("21 Nov 2026 12:00 +0000", noon),
            ("Sat, 21 Nov 2026 13:00:00 +0100 (CET)", noon),
            ("Sat, 21 Nov 2026 07:00:00 EST", noon),
            ("Sat, 21 Nov 26 12:00:00 GMT", noon),
            ("Sat, 21 Nov 126 12:00:00 UT", noon),
            ("Sat, 21 Nov 2026 12:00:00", noon),
            ("Sat,21 Nov 2026 13:00:00+0100", noon),
            ("Sat, 21 Nov 2026 13.00.00 +0100", noon),
            ("Sat, 21 Nov 2026 12:00:00 Z", noon),
            ("Sat Nov 21 12:00:00 2026", noon),
            ("21-Nov-2026 12:00:00 -0000", noon),
            ("Sat,21 Nov 2026 14:30:00 GMT+0230", noon),
            ("Sat, 21 November 2026 12:00:60 +0000", noon + 59),
            (
                "(a(b\\)c)d) Sat (x) , 21 (y) Nov 2026 12:00:00 +0000 (z",
                noon,
            ),
            ("Thu, 01 Jan 1970 00:00:00 +0000", 0),
            ("Wed, 31 Dec 1969 23:59:59 +0000", -1),
        ] {
            assert_eq!(
                parse_header_date(text.as_bytes()).map(|m| m.secs),
                Some(secs),
                "{text}"
            );
        }
        for text in [
            "",
            "yesterday",
            "32 Nov 2026 12:00 +0000",
            "21 Nov",
            "29 Feb 2023 1:00",
            ")",
        ] {
            assert_eq!(parse_header_date(text.as_bytes()), None, "{text}");
        }
        let bomb = b"(".repeat(1_000_000);
        assert_eq!(parse_header_date(&bomb), None);
    }

    #[test]
    fn sent_day_is_the_day_as_written() {
        let moment = parse_header_date(b"Sat, 21 Nov 2026 23:30:00 -0800").unwrap();
        assert_eq!(Date::of_day(moment.day), Date::new(2026, 11, 21).unwrap());
        assert_eq!(Some(moment.day), parse_imap_date(b"21-Nov-2026"));
        assert_eq!(moment.secs.div_euclid(SECONDS_PER_DAY), moment.day + 1);
    }

    #[test]
    fn imap_dates_are_strict() {
        assert_eq!(
            parse_internal_date(b" 1-Feb-2026 03:04:05 +0100"),
            Some(1_769_911_445)
        );
        assert_eq!(
            parse_internal_date(b"01-feb-2026 03:04:05 +0100"),
            Some(1_769_911_445)
        );
        for text in [
            "1-Feb-2026 03:04:05 +0100",
            " 1-Feb-2026 03:04 +0100",
            " 1-Feb-2026 03:04:05 CET",
            " 1-Feb-2026 03:04:05 +01000",
            "31-Feb-2026 03:04:05 +0100",
            " 1-Feb-26 03:04:05 +0100",
            " 1-Feb-2026 24:00:00 +0100",
            "  -Feb-2026 03:04:05 +0100",
        ] {
            assert_eq!(parse_internal_date(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_imap_date(b"1-Jan-1970"), Some(0));
        assert_eq!(parse_imap_date(b"02-Jan-1970"), Some(1));
        for text in [
            "",
            "-",
            "001-Jan-1970",
            "1-Jan-70",
            "1-Jan-1970 ",
            "30-Feb-2000",
        ] {
            assert_eq!(parse_imap_date(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn dates_are_written_as_the_standards_show_them() {
        assert_eq!(
            HeaderDate(1_795_262_400).to_string(),
            "Sat, 21 Nov 2026 12:00:00 +0000"
        );
        assert_eq!(
            InternalDate(1_769_911_445).to_string(),
            " 1-Feb-2026 02:04:05 +0000"
        );
        assert_eq!(HeaderDate(i64::MAX).to_string().len(), 31);
    }

    proptest! {
        #[test]
        fn written_dates_parse_to_themselves(secs in -62_000_000_000_i64..253_000_000_000) {
            let header = HeaderDate(secs).to_string();
            prop_assert_eq!(parse_header_date(header.as_bytes()).map(|m| m.secs), Some(secs));
            let internal = InternalDate(secs).to_string();
            prop_assert_eq!(parse_internal_date(internal.as_bytes()), Some(secs));
        }

        #[test]
        fn no_bytes_make_a_date_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = (parse_header_date(&bytes), parse_internal_date(&bytes));
            let _ = parse_imap_date(&bytes);
        }
    }
}
