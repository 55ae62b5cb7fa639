//! Dates of the command grammar: `date` of SEARCH, `date-time` of APPEND and FETCH (RFC 3501 9).
//!
//! The grammar itself is `mail::date`'s; here its numbers become our types. A zone is used to find
//! the instant and then forgotten; what we say is always in UTC (`+0000`).

use crate::{
    base::clock::Timestamp,
    mail::date::{self, InternalDate},
    wire::Output,
};

/// A calendar day without time and zone: days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// The day of this instant in UTC.
    pub fn of(instant: Timestamp) -> Self {
        Self(i32::try_from(instant.0 / MILLIS_PER_DAY).unwrap_or(i32::MAX))
    }
}

/// `date-text`: `1-Feb-1994`, `01-feb-1994`.
pub fn parse_date(text: &[u8]) -> Option<Day> {
    let day = date::parse_imap_date(text)?;
    i32::try_from(day).ok().map(Day)
}

/// What stands between the quotes of a `date-time`: ` 7-Feb-1994 21:52:25 -0800`.
///
/// # Errors
/// When it is none, or an instant that cannot be kept.
pub fn parse_date_time(text: &[u8]) -> Result<Timestamp, NotADateTime> {
    match date::parse_internal_date(text) {
        None => Err(NotADateTime::Syntax),
        Some(secs) if secs < 0 => Err(NotADateTime::Before1970),
        Some(secs) => Ok(Timestamp::from_secs(secs)),
    }
}

/// Why a text is no `date-time` for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotADateTime {
    /// Not of the grammar, or no date of the calendar.
    Syntax,
    /// Before what a [`Timestamp`] can tell.
    Before1970,
}

/// Writes a `date-time` with its quotes, in UTC.
pub fn write_date_time(out: &mut Output, instant: Timestamp) {
    out.bytes(b"\"")
        .display(InternalDate(instant.secs()))
        .bytes(b"\"");
}

const MILLIS_PER_DAY: u64 = 86_400_000;

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
            (b" 1-Jan-1970 14:00:00 +1400", Some(0)),
            (b" 1-Jan-1970 15:00:00 +1401", None),
            (b" 1-Jan-1970 00:00:00 -1400", Some(50_400)),
            (b" 1-Jan-1970 00:00:00 -9900", None),
            (b" 1-Jan-1970 00:00:00 -0060", None),
            (b" 1-Jan-1970 00:00:61 +0000", None),
            (b" 7-Feb-1994 21:52:25 -0800", Some(760_686_745)),
            (b"17-Jul-1996 02:44:25 -0700", Some(837_596_665)),
            (b"31-Dec-2016 23:59:60 +0000", Some(1_483_228_799)),
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
                secs.map(Timestamp::from_secs).ok_or(NotADateTime::Syntax),
                "{}",
                text.escape_ascii()
            );
        }
        for text in [
            &b"01-Jan-1970 00:00:00 +0100"[..],
            b"31-Dec-1969 23:59:59 +0000",
        ] {
            assert_eq!(parse_date_time(text), Err(NotADateTime::Before1970));
        }
    }

    proptest! {
        #[test]
        fn written_date_times_are_read_back(secs in 0_i64..253_402_300_799) {
            let (instant, mut out) = (Timestamp::from_secs(secs), Output::new());
            write_date_time(&mut out, instant);
            let text = out.as_bytes();
            prop_assert_eq!(parse_date_time(&text[1..text.len() - 1]), Ok(instant));
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let _ = (parse_date(&bytes), parse_date_time(&bytes));
        }
    }
}
