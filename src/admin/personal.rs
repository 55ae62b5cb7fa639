//! The operator's requests about what becomes of an account's mail: forwarding, answers while
//! nobody is there, and the secrets of rewritten senders.
//!
//! Days and times are UTC, said with a `Z` where a time is shown. A last day ends at midnight.

use serde_json::{Value, json};

use super::{
    operations::{Operations, Outcome, Refusal, all_parsed},
    request::Answering,
};
use crate::{
    accounts::{Account, Forwarding, OutOfOffice},
    base::clock::Timestamp,
    mail::civil::{Date, time_of_day},
};

impl Operations {
    /// Forwards an account's mail, or no more.
    pub(super) async fn account_forward(
        &self,
        address: &str,
        to: &[String],
        keep: bool,
    ) -> Outcome {
        let account = self.account(address)?;
        let to = all_parsed(to)?;
        let warnings = self.unreached(&to);
        let forwarding = (!to.is_empty()).then_some(Forwarding { to, keep });
        let set = self.directory.set_forwarding(account, forwarding.as_ref());
        set.await?;
        let mut shown = self.account_show(address).await?;
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("warnings".to_owned(), warnings.into());
        }
        Ok(shown)
    }

    /// Has an account's senders answered, or no more.
    pub(super) async fn account_out_of_office(
        &self,
        address: &str,
        answer: Option<&Answering>,
    ) -> Outcome {
        let account = self.account(address)?;
        let now = self.clock.wall();
        let absence = answer.map(|answer| absence(answer, now)).transpose()?;
        self.directory
            .set_out_of_office(account, absence.as_ref())
            .await?;
        self.account_show(address).await
    }

    /// Makes a new secret for rewritten senders; what the ones before wrote still comes back.
    pub(super) async fn srs_rotate(&self) -> Outcome {
        self.directory.rotate_rewriting_secret().await?;
        Ok(self.srs_list())
    }

    /// When the secrets were made, and which of them is used.
    pub(super) fn srs_list(&self) -> Value {
        let snapshot = self.directory.snapshot();
        let secrets = snapshot.rewriting_secrets();
        let shown = secrets.iter().enumerate().map(|(at, secret)| {
            let state = match at.saturating_add(1) == secrets.len() {
                true => "rewrites",
                false => "only takes reports",
            };
            json!({ "made": moment(secret.made), "state": state })
        });
        shown.collect()
    }
}

/// Where an account's mail goes, if not only into its mailbox.
pub(super) fn forwarding_shown(account: &Account) -> Value {
    let Some(Forwarding { to, keep }) = &account.forwarding else {
        return Value::Null;
    };
    let to: Vec<_> = to.iter().map(ToString::to_string).collect();
    json!({ "to": to, "keep": keep })
}

/// What an account's senders are answered, if anything.
pub(super) fn out_of_office_shown(account: &Account, now: Timestamp) -> Value {
    let Some(absence) = &account.out_of_office else {
        return Value::Null;
    };
    let state = match absence.applies(now) {
        true => "on",
        false if now < absence.from => "to come",
        false => "over",
    };
    json!({
        "state": state,
        "from": moment(absence.from),
        "until": moment(absence.until),
        "days": absence.days,
        "subject": (!absence.subject.is_empty()).then_some(&*absence.subject),
        "text": &*absence.text,
    })
}

fn absence(answer: &Answering, now: Timestamp) -> Result<OutOfOffice, Refusal> {
    let from = match &answer.from {
        Some(from) => instant(from, Edge::Begins)?,
        None => now,
    };
    let until = instant(&answer.until, Edge::Ends)?;
    if until <= from {
        return Err(Refusal::EndsFirst);
    }
    if until <= now {
        return Err(Refusal::OverAlready);
    }
    if !(1..=DAYS_MAX).contains(&answer.days) {
        return Err(Refusal::NotOne {
            given: answer.days.to_string(),
            wanted: "a number of days from 1 to 60",
        });
    }
    if answer.text.trim().is_empty() {
        return Err(Refusal::NoText);
    }
    Ok(OutOfOffice {
        set: now,
        from,
        until,
        days: answer.days,
        subject: answer.subject.as_deref().unwrap_or_default().trim().into(),
        text: answer.text.as_str().into(),
    })
}

/// Whether a day is meant from its beginning or to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begins,
    Ends,
}

/// `2026-12-24` or `2026-12-24T12:30`, in UTC, with or without a `Z`.
fn instant(text: &str, edge: Edge) -> Result<Timestamp, Refusal> {
    read_instant(text, edge).ok_or_else(|| Refusal::NotOne {
        given: text.to_owned(),
        wanted: "a day such as 2026-12-24 or a time such as 2026-12-24T12:30 (UTC)",
    })
}

fn read_instant(text: &str, edge: Edge) -> Option<Timestamp> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut numbers = day.split('-').map(digits);
    let date = Date::new(numbers.next()??, numbers.next()??, numbers.next()??)?;
    if numbers.next().is_some() {
        return None;
    }
    let day = date.day_number();
    let secs = match time {
        None if edge == Edge::Ends => day.checked_add(1)?.checked_mul(DAY)?,
        None => day.checked_mul(DAY)?,
        Some(time) => {
            let (hour, minute) = time.split_once(':')?;
            let (hour, minute) = (digits(hour)?, digits(minute)?);
            if hour > 23 || minute > 59 {
                return None;
            }
            let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60;
            day.checked_mul(DAY)?.checked_add(of_day)?
        }
    };
    (secs >= 0).then(|| Timestamp::from_secs(secs))
}

fn digits(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// `2026-12-24T12:30Z`.
fn moment(time: Timestamp) -> String {
    let date = Date::of_day(time.secs().div_euclid(DAY));
    let (hour, minute, _) = time_of_day(time.secs().rem_euclid(DAY));
    let (year, month, day) = (date.year(), date.month(), date.day());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
}

/// RFC 5230 4.1: servers may have a largest number of days.
const DAYS_MAX: u8 = 60;
const DAY: i64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_utc_and_a_last_day_is_whole() {
        for (text, edge, shown) in [
            ("2026-12-24", Edge::Begins, Some("2026-12-24T00:00Z")),
            ("2026-12-24", Edge::Ends, Some("2026-12-25T00:00Z")),
            ("2026-12-31", Edge::Ends, Some("2027-01-01T00:00Z")),
            ("2026-12-24T12:30", Edge::Ends, Some("2026-12-24T12:30Z")),
            ("2026-12-24T12:30Z", Edge::Begins, Some("2026-12-24T12:30Z")),
            ("2026-02-30", Edge::Begins, None),
            ("24.12.2026", Edge::Begins, None),
            ("2026-12-24T24:00", Edge::Begins, None),
            ("2026-12-24-1", Edge::Begins, None),
            ("tomorrow", Edge::Begins, None),
            ("", Edge::Begins, None),
        ] {
            let read = read_instant(text, edge).map(moment);
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn an_absence_ends_after_it_begins_and_not_in_the_past() {
        let now = Timestamp::from_secs(1_798_070_400); // 2026-12-24
        let of = |from: Option<&str>, until: &str, days, text: &str| {
            let answer = Answering {
                from: from.map(str::to_owned),
                until: until.to_owned(),
                days,
                subject: None,
                text: text.to_owned(),
            };
            absence(&answer, now)
        };
        let good = of(None, "2026-12-24", 7, "away").unwrap();
        assert!(good.applies(now) && !good.applies(good.until));
        let later = of(Some("2027-01-02"), "2027-01-03", 7, "away").unwrap();
        assert!(!later.applies(now));
        for (from, until, days, text) in [
            (Some("2027-01-03"), "2027-01-02", 7, "away"),
            (None, "2026-12-23", 7, "away"),
            (Some("2026-01-01"), "2026-12-23", 7, "away"),
            (None, "2026-12-24", 0, "away"),
            (None, "2026-12-24", 61, "away"),
            (None, "2026-12-24", 7, " \n"),
        ] {
            assert!(of(from, until, days, text).is_err(), "{until} {days}");
        }
    }
}
