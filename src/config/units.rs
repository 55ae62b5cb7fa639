//! Durations, sizes and rates as people write them: `"90s"`, `"5m"`, `"4h"`, `"5d"`; `"50 MiB"`, or
//! plain numbers of seconds and bytes; `"100/min"`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

/// So many in a second, a minute, an hour or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u32,
    /// In what time.
    pub per: Duration,
}

impl Span {
    /// This many seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }
}

impl Size {
    /// This many mebibytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib * 1024 * 1024)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TIMES)
            .map(|millis| Self(Duration::from_millis(millis)))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SIZES).map(Self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|()| de::Error::invalid_value(de::Unexpected::Str(&text), &RATE_WANTED))
    }
}

impl std::str::FromStr for Rate {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (count, unit) = text.split_once('/').ok_or(())?;
        let secs = match unit.trim() {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return Err(()),
        };
        Ok(Self {
            count: count.trim().parse().map_err(drop)?,
            per: Duration::from_secs(secs),
        })
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let unit = match self.per.as_secs() {
            ..60 => "s",
            60..3600 => "min",
            3600..86_400 => "h",
            _ => "d",
        };
        to.collect_str(&format_args!("{}/{unit}", self.count))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (number, unit) = TIMES.written(millis, "s");
        write!(f, "{number}{unit}")
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = SIZES.written(self.0, "B");
        write!(f, "{number} {unit}")
    }
}

impl std::str::FromStr for Span {
    type Err = de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let millis = de::Visitor::visit_str(TIMES, text)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl std::str::FromStr for Size {
    type Err = de::value::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        de::Visitor::visit_str(SIZES, text).map(Self)
    }
}

const RATE_WANTED: &str = "a rate like \"10/s\", \"100/min\", \"500/h\" or \"1000/d\"";

const TIMES: Quantity<'_> = Quantity {
    units: &[
        ("ms", 1),
        ("s", 1000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ],
    plain: 1000,
    wanted: "a time like \"90s\", \"5m\", \"4h\" or \"5d\", or a number of seconds",
};

const SIZES: Quantity<'_> = Quantity {
    units: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ],
    plain: 1,
    wanted: "a size like \"50 MiB\" or \"10 GiB\", or a number of bytes",
};

/// Reads a number with a unit, or a plain number.
struct Quantity<'a> {
    units: &'a [(&'a str, u64)],
    /// What a plain number counts.
    plain: u64,
    wanted: &'a str,
}

impl Quantity<'_> {
    /// In the largest unit that leaves no rest; nothing at all in the unit `of_none`.
    fn written<'a>(&'a self, value: u64, of_none: &'a str) -> (u64, &'a str) {
        let mut units = self.units.iter().rev();
        match units.find(|(_, times)| value != 0 && value.is_multiple_of(*times)) {
            Some((unit, times)) => (value / times, unit),
            None => (0, of_none),
        }
    }
}

impl de::Visitor<'_> for Quantity<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        let number = u64::try_from(number)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))?;
        number
            .checked_mul(self.plain)
            .ok_or_else(|| E::custom(format!("expected {}", self.wanted)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let times = self
            .units
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, times)| *times);
        let value = number
            .parse::<u64>()
            .ok()
            .zip(times)
            .and_then(|(n, times)| n.checked_mul(times));
        value.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize)]
    struct Pair {
        span: Span,
        size: Size,
    }

    #[test]
    fn what_is_written_is_for_people_and_reads_back_the_same() {
        for (millis, bytes, text) in [
            (0, 0, "span = \"0s\"\nsize = \"0 B\"\n"),
            (1500, 1, "span = \"1500ms\"\nsize = \"1 B\"\n"),
            (90_000, 10 << 30, "span = \"90s\"\nsize = \"10 GiB\"\n"),
            (432_000_000, 50 << 20, "span = \"5d\"\nsize = \"50 MiB\"\n"),
            (u64::MAX, u64::MAX, ""),
        ] {
            let (span, size) = (Span(Duration::from_millis(millis)), Size(bytes));
            let written = toml::to_string(&Pair { span, size }).unwrap();
            assert!(text.is_empty() || written == text, "{written}");
            let back: Pair = toml::from_str(&written).unwrap();
            assert_eq!((back.span, back.size), (span, size));
        }
    }

    #[test]
    fn people_write_units_and_plain_numbers() {
        for (text, secs, bytes) in [
            ("span = \"90s\"\nsize = \"50 MiB\"", 90, 50 << 20),
            ("span = \"5m\"\nsize = \"1GiB\"", 300, 1 << 30),
            ("span = \"5d\"\nsize = 7", 432_000, 7),
            ("span = 30\nsize = \"0 B\"", 30, 0),
        ] {
            let pair: Pair = toml::from_str(text).unwrap();
            assert_eq!(
                (pair.span.0.as_secs(), pair.size.0),
                (secs, bytes),
                "{text}"
            );
        }
        for bad in [
            "\"5\"",
            "\"5 weeks\"",
            "\"-5s\"",
            "-5",
            "true",
            "\"99999999999999999999s\"",
        ] {
            let text = format!("size = 1\nspan = {bad}");
            let error = toml::from_str::<Pair>(&text).err().unwrap().to_string();
            assert!(error.contains("line 2"), "{error}");
        }
    }
}
