//! Dates of the command grammar: `date` of SEARCH, `date-time` of APPEND and FETCH (RFC 3501 9).
//!
//! Not the dates of message headers. A zone is used to find the instant and then forgotten; what we say is
//! always in UTC (`+0000`).

use crate::{base::clock::Timestamp, wire::Output};

/// A calendar day without time and zone: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// The day of this instant in UTC.
    pub fn of(instant: Timestamp) -> Self {
        Self(i32::try_from(instant.0 / MILLIS_PER_DAY).unwrap_or(i32::MAX))
    }

    /// The day with this year, month (1..=12) and day of the month; `None` when there is none.
    pub fn from_civil(year: u32, month: u32, day: u32) -> Option<Self> {
        if year > 9999 || !(1..=12).contains(&month) || day < 1 || day > month_days(year, month) {
            return None;
        }
        // Years begin in March here, so the leap day is the last of its year.
        let shifted = i64::from(year) - i64::from(month <= 2);
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let month_of_year = i64::from((month + 9) % 12);
        let day_of_year = (153 * month_of_year + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * DAYS_PER_ERA + day_of_era - DAYS_BEFORE_EPOCH;
        i32::try_from(days).ok().map(Self)
    }

    /// Year, month (1..=12) and day of the month.
    pub fn civil(self) -> (i64, u32, u32) {
        let days = i64::from(self.0) + DAYS_BEFORE_EPOCH;
        let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_of_year = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
        let month = if month_of_year < 10 {
            month_of_year + 3
        } else {
            month_of_year - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        let small = |number: i64| u32::try_from(number).unwrap_or(1);
        (year, small(month), small(day))
    }
}

/// `date-text`: `1-Feb-1994`, `01-feb-1994`.
pub fn parse_date(text: &[u8]) -> Option<Day> {
    let mut fields = text.split(|b| *b == b'-');
    let (day, month, year) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() || day.is_empty() || day.len() > 2 || year.len() != 4 {
        return None;
    }
    Day::from_civil(digits(year)?, month_named(month)?, digits(day)?)
}

/// What stands between the quotes of a `date-time`: ` 7-Feb-1994 21:52:25 -0800`. Instants before 1970
/// become its first.
pub fn parse_date_time(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(11)?;
    let (time, zone) = rest.split_at_checked(9)?;
    let date = match date {
        [b' ', single @ ..] => single,
        // date-day-fixed has two characters.
        [b'0'..=b'9', b'0'..=b'9', ..] => date,
        _ => return None,
    };
    let [b' ', h1, h2, b':', m1, m2, b':', s1, s2] = time else {
        return None;
    };
    let [b' ', sign @ (b'+' | b'-'), zh1, zh2, zm1, zm2] = zone else {
        return None;
    };
    let (hours, minutes, secs) = (
        digits(&[*h1, *h2])?,
        digits(&[*m1, *m2])?,
        digits(&[*s1, *s2])?,
    );
    let (zone_hours, zone_minutes) = (digits(&[*zh1, *zh2])?, digits(&[*zm1, *zm2])?);
    // A leap second is the first of the next minute to us.
    if hours > 23 || minutes > 59 || secs > 60 || zone_minutes > 59 {
        return None;
    }
    let zone_secs = i64::from(zone_hours * 3600 + zone_minutes * 60);
    let east = if *sign == b'+' { zone_secs } else { -zone_secs };
    let days = i64::from(parse_date(date)?.0);
    let local = days * SECS_PER_DAY + i64::from(hours * 3600 + minutes * 60 + secs);
    Some(Timestamp::from_secs(local - east))
}

/// Writes a `date-time` with its quotes, in UTC; years beyond 9999 are said as 9999.
pub fn write_date_time(out: &mut Output, instant: Timestamp) {
    let secs_of_day = instant.0 % MILLIS_PER_DAY / 1000;
    let (year, month, day) = Day::of(instant).civil();
    let two = |number: u64| [b'0' + digit(number / 10), b'0' + digit(number)];
    let year = u64::try_from(year).unwrap_or(0).min(9999);
    out.bytes(b"\"").bytes(&two(u64::from(day))).bytes(b"-");
    out.text(month_name(month)).bytes(b"-");
    out.bytes(&two(year / 100))
        .bytes(&two(year % 100))
        .bytes(b" ");
    out.bytes(&two(secs_of_day / 3600)).bytes(b":");
    out.bytes(&two(secs_of_day / 60 % 60)).bytes(b":");
    out.bytes(&two(secs_of_day % 60)).bytes(b" +0000\"");
}

fn digit(number: u64) -> u8 {
    u8::try_from(number % 10).unwrap_or(0)
}

/// A number of at most nine digits and nothing else.
fn digits(text: &[u8]) -> Option<u32> {
    let valid = !text.is_empty() && text.len() <= 9 && text.iter().all(u8::is_ascii_digit);
    valid.then(|| {
        text.iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    })
}

fn month_named(name: &[u8]) -> Option<u32> {
    let at = MONTHS
        .iter()
        .position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    u32::try_from(at + 1).ok()
}

fn month_name(month: u32) -> &'static str {
    usize::try_from(month)
        .ok()
        .and_then(|month| MONTHS.get(month.checked_sub(1)?))
        .unwrap_or(&"Jan")
}

fn month_days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const MILLIS_PER_DAY: u64 = 86_400_000;
const SECS_PER_DAY: i64 = 86_400;
/// Days in 400 years.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: i64 = 719_468;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_of_search_are_read_as_the_grammar_says() {
        for (text, day) in [
            (&b"1-Jan-1970"[..], Some(0)),
            (b"01-jan-1970", Some(0)),
            (b"2-JAN-1970", Some(1)),
            (b"31-Dec-1969", Some(-1)),
            (b"29-Feb-2000", Some(11_016)),
            (b"29-Feb-1900", None),
            (b"30-Feb-2000", None),
            (b"0-Jan-2000", None),
            (b"001-Jan-2000", None),
            (b"1-Jan-99", None),
            (b"1-Jann-1999", None),
            (b"1 Jan 1999", None),
            (b" 1-Jan-1999", None),
            (b"1-Jan-1999-", None),
            (b"", None),
        ] {
            assert_eq!(parse_date(text), day.map(Day), "{text:?}");
        }
    }

    #[test]
    fn date_times_of_append_are_read_as_the_grammar_says() {
        for (text, secs) in [
            (&b" 1-Jan-1970 00:00:00 +0000"[..], Some(0)),
            (b"01-Jan-1970 00:00:00 +0000", Some(0)),
            (b"01-Jan-1970 01:00:00 +0100", Some(0)),
            (b"31-Dec-1969 16:00:00 -0800", Some(0)),
            (b"01-Jan-1970 00:00:00 +0100", Some(0)),
            (b" 7-Feb-1994 21:52:25 -0800", Some(760_686_745)),
            (b"17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
            (b"31-Dec-2016 23:59:60 +0000", Some(1_483_228_800)),
            (b"7-Feb-1994 21:52:25 -0800", None),
            (b" 7-Feb-1994 24:00:00 -0800", None),
            (b" 7-Feb-1994 21:52:25", None),
            (b" 7-Feb-1994 21:52:25 0800", None),
            (b" 7-Feb-1994 21:52:25 -08:00", None),
            (b" 7-Feb-1994  1:52:25 -0800", None),
            (b" 7-Feb-1994 21:52:25 -0800 ", None),
            (b"31-Feb-1994 21:52:25 -0800", None),
            (b"  -Feb-1994 21:52:25 -0800", None),
            (b"", None),
        ] {
            assert_eq!(
                parse_date_time(text),
                secs.map(Timestamp::from_secs),
                "{}",
                text.escape_ascii()
            );
        }
    }

    proptest! {
        #[test]
        fn days_survive_the_calendar(days in -719_162_i32..2_932_896) {
            let (year, month, day) = Day(days).civil();
            let back = Day::from_civil(u32::try_from(year).unwrap(), month, day);
            prop_assert_eq!(back, Some(Day(days)));
        }

        #[test]
        fn written_date_times_are_read_back(secs in 0_i64..253_402_300_799) {
            let (instant, mut out) = (Timestamp::from_secs(secs), Output::new());
            write_date_time(&mut out, instant);
            let text = out.as_bytes();
            prop_assert_eq!(parse_date_time(&text[1..text.len() - 1]), Some(instant));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (parse_date(&bytes), parse_date_time(&bytes));
        }
    }
}
