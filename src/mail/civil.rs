//! Days and dates of the Gregorian calendar, as arithmetic.
//!
//! A day number counts from 1970-01-01 (day 0) and may be negative. Valid for years 0 to 9999,
//! which is all that RFC 5322 and IMAP can write. No clock, no time zones, no leap seconds.

/// A calendar date that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The date, if the calendar has it and its year is at most 9999.
    pub fn new(year: u32, month: u32, day: u32) -> Option<Self> {
        let exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
        if !exists || year > YEAR_MAX {
            return None;
        }
        let (month, day) = (u8::try_from(month).ok()?, u8::try_from(day).ok()?);
        Some(Self {
            year: u16::try_from(year).ok()?,
            month,
            day,
        })
    }

    /// The date of a day number; numbers outside the years 0 to 9999 give the nearest date inside.
    pub fn of_day(number: i64) -> Self {
        let days = number
            .clamp(DAY_MIN, DAY_MAX)
            .saturating_add(DAYS_0000_03_01);
        // Years run from March, so that the leap day is the last of its year. An era is 400 years.
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let leap_days = of_era / 1_460 - of_era / 36_524 + of_era / 146_096;
        let year_of_era = (of_era - leap_days) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let (month, next_year) = match month_from_march {
            0..=9 => (month_from_march + 3, 0),
            _ => (month_from_march - 9, 1),
        };
        let year = era * 400 + year_of_era + next_year;
        Self {
            year: u16::try_from(year).unwrap_or_default(),
            month: u8::try_from(month).unwrap_or(1),
            day: u8::try_from(day).unwrap_or(1),
        }
    }

    /// Days since 1970-01-01.
    pub fn day_number(self) -> i64 {
        let (month, day) = (i64::from(self.month), i64::from(self.day));
        let (year, month_from_march) = match month {
            1..=2 => (i64::from(self.year) - 1, month + 9),
            _ => (i64::from(self.year), month - 3),
        };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let of_year = (153 * month_from_march + 2) / 5 + day - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - DAYS_0000_03_01
    }

    /// 0 to 9999.
    pub fn year(self) -> u16 {
        self.year
    }

    /// 1 to 12.
    pub fn month(self) -> u8 {
        self.month
    }

    /// 1 to 31.
    pub fn day(self) -> u8 {
        self.day
    }

    /// `Jan` to `Dec`.
    pub fn month_name(self) -> &'static str {
        MONTHS
            .get(usize::from(self.month).saturating_sub(1))
            .copied()
            .unwrap_or("Jan")
    }

    /// `Mon` to `Sun`.
    pub fn weekday_name(self) -> &'static str {
        // Day 0 was a Thursday.
        let index = usize::try_from((self.day_number() + 3).rem_euclid(7)).unwrap_or(0);
        WEEKDAYS.get(index).copied().unwrap_or("Mon")
    }
}

/// The number of the month whose English name begins with these three letters; case does not
/// matter.
pub fn month_of_name(name: &[u8]) -> Option<u32> {
    let at = MONTHS
        .iter()
        .position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    u32::try_from(at).ok().map(|at| at + 1)
}

/// Hours, minutes and seconds of a second of a day.
pub fn time_of_day(second: i64) -> (i64, i64, i64) {
    let second = second.rem_euclid(SECONDS_PER_DAY);
    (second / 3600, second / 60 % 60, second % 60)
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Seconds of a day without leap seconds.
pub const SECONDS_PER_DAY: i64 = 86_400;

const YEAR_MAX: u32 = 9999;
/// From 0000-03-01 to 1970-01-01.
const DAYS_0000_03_01: i64 = 719_468;
/// 0000-01-01.
const DAY_MIN: i64 = -719_528;
/// 9999-12-31.
const DAY_MAX: i64 = 2_932_896;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_ten_thousand_years_comes_back() {
        let mut expected = Date::new(0, 1, 1).unwrap();
        for number in DAY_MIN..=DAY_MAX {
            let date = Date::of_day(number);
            assert_eq!(date, expected);
            assert_eq!(date.day_number(), number);
            let (y, m, d) = (
                u32::from(date.year),
                u32::from(date.month),
                u32::from(date.day),
            );
            expected = Date::new(y, m, d + 1)
                .or_else(|| Date::new(y, m + 1, 1))
                .or_else(|| Date::new(y + 1, 1, 1))
                .unwrap_or(expected);
        }
        assert_eq!(Date::of_day(i64::MAX), Date::new(9999, 12, 31).unwrap());
        assert_eq!(Date::of_day(i64::MIN), Date::new(0, 1, 1).unwrap());
    }

    #[test]
    fn dates_have_their_weekdays_and_impossible_ones_are_none() {
        assert_eq!(Date::of_day(0).weekday_name(), "Thu");
        assert_eq!(Date::new(2026, 11, 21).unwrap().weekday_name(), "Sat");
        assert_eq!(Date::new(2023, 2, 29), None);
        assert_eq!(Date::new(1900, 2, 29), None);
        assert!(Date::new(2000, 2, 29).is_some());
        assert_eq!(Date::new(2000, 0, 1), None);
        assert_eq!(Date::new(2000, 13, 1), None);
        assert_eq!(Date::new(10_000, 1, 1), None);
        assert_eq!(month_of_name(b"dEC"), Some(12));
        assert_eq!(month_of_name(b"De"), None);
    }
}
