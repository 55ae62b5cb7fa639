//! Which values make sense: below nothing works or an RFC is broken, above somebody mistook the
//! unit. There is no `0 = unlimited`, but for what is no limit of ours (`imap.message_limit`).

use std::{ops::RangeInclusive, time::Duration};

use super::{
    destinations,
    load::Misfit,
    raw::Config,
    units::{Size, Span},
};

/// Every value is inside of its range.
pub(super) fn check(config: &Config) -> Result<(), Misfit> {
    let mut rules = Vec::new();
    rules.extend(protocols(config));
    rules.extend(people(config));
    rules.extend(outbound(config));
    rules.extend(disk(config));
    rules.iter().try_for_each(Rule::obeyed)?;
    destinations::check(config)
}

fn protocols(config: &Config) -> Vec<Rule> {
    let (limits, smtp) = (&config.limits, &config.smtp);
    // 0: none.
    let message_limit = Some(config.imap.message_limit).filter(|limit| *limit > 0);
    let message_limit = message_limit.map_or(1000, |limit| limit as usize);
    vec![
        time("server.shutdown", config.server.shutdown, 0..=HOUR),
        count("smtp.recipients", smtp.recipients, 100..=100_000).by("RFC 5321 4.5.3.1.8"),
        time("smtp.idle", smtp.idle, 5 * MINUTE..=DAY).by("RFC 5321 4.5.3.2.7"),
        // RFC 7208 4.6.4 asks for twenty; a sender waits ten minutes.
        time("verify.time", config.verify.time, 20..=2 * MINUTE).by("RFC 7208 4.6.4"),
        time("imap.idle", config.imap.idle, 30 * MINUTE..=DAY).by("RFC 9051 5.4"),
        count("imap.message_limit", message_limit, 1000..=1 << 31).by("RFC 9738 3"),
        time("pop3.idle", config.pop3.idle, 10 * MINUTE..=DAY).by("RFC 1939 3"),
        count("smtp.transactions", smtp.transactions as usize, MANY),
        count(
            "limits.connections",
            limits.connections.unwrap_or(1),
            1..=10_000_000,
        ),
        count(
            "limits.connections_per_address",
            limits.connections_per_address,
            MANY,
        ),
        count(
            "limits.mailbox_connections_per_address",
            limits.mailbox_connections_per_address,
            MANY,
        ),
        count(
            "limits.connects_per_minute",
            limits.connects_per_minute,
            MANY,
        ),
        size("limits.message", limits.message, 64 << 10..=GIB).by("RFC 5321 4.5.3.1.7"),
    ]
}

fn people(config: &Config) -> Vec<Rule> {
    let (limits, auth) = (&config.limits, &config.auth);
    vec![
        count(
            "limits.sessions_per_account_and_address",
            limits.sessions_per_account_and_address,
            MANY,
        ),
        count(
            "limits.sessions_per_account",
            limits.sessions_per_account,
            MANY,
        ),
        count(
            "smtp.recipients_per_hour",
            config.smtp.recipients_per_hour as usize,
            1..=10_000_000,
        ),
        count(
            "auth.argon2_memory_kib",
            auth.argon2_memory_kib as usize,
            8..=4 << 20,
        ),
        count("auth.argon2_passes", auth.argon2_passes as usize, 1..=1_000),
        count("auth.failures", auth.failures, MANY),
        time(
            "auth.failures_window",
            auth.failures_window,
            SECOND..=30 * DAY,
        ),
        time(
            "auth.failures_block",
            auth.failures_block,
            SECOND..=30 * DAY,
        ),
        size("accounts.quota", config.accounts.quota, 1..=1 << 50),
    ]
}

fn outbound(config: &Config) -> Vec<Rule> {
    let (queue, relay) = (&config.queue, &config.relay);
    let mut rules = vec![
        patience("queue.retry_max", queue.retry_max),
        patience("queue.give_up", queue.give_up),
        patience("queue.delay_notice", queue.delay_notice),
        time("queue.hold_max", queue.hold_max, 0..=3650 * DAY),
        // RFC 8461 3.2 has the most.
        time("mta_sts.max_age", config.mta_sts.max_age, HOUR..=MAX_AGE),
        count("relay.port", relay.port.into(), 1..=65_535),
        count("relay.attempts", relay.attempts, 1..=100_000),
        count(
            "relay.attempts_per_destination",
            relay.attempts_per_destination,
            1..=100_000,
        ),
    ];
    rules.extend(waits("queue.retry".to_owned(), &queue.retry));
    rules
}

fn disk(config: &Config) -> Vec<Rule> {
    let (store, trace) = (&config.store, &config.trace);
    vec![
        time("trace.age", trace.age, 0..=3650 * DAY),
        size("trace.size", trace.size, 1 << 20..=1024 * GIB),
        size("store.segment", store.segment, 1 << 20..=64 * GIB),
        time("store.checkpoint", store.checkpoint, 10..=HOUR),
        size("store.low_water", store.low_water, 0..=1024 * GIB),
        size("store.ballast", store.ballast, 0..=1024 * GIB),
    ]
}

/// The waits of a retry schedule.
pub(super) fn waits(key: String, given: &[Span]) -> Vec<Rule> {
    let each = given.iter().map(|wait| patience(key.clone(), *wait));
    let mut rules: Vec<_> = each.collect();
    rules.push(count(key, given.len(), 1..=100).of("wait"));
    rules
}

/// A time of a retry schedule.
pub(super) fn patience(key: impl Into<String>, given: Span) -> Rule {
    time(key, given, SECOND..=30 * DAY)
}

/// One value, what it may be, and who says so.
pub(super) struct Rule {
    key: String,
    given: u64,
    range: RangeInclusive<u64>,
    unit: Unit,
    source: &'static str,
}

/// What a value counts.
enum Unit {
    Things(&'static str),
    Bytes,
    Millis,
}

pub(super) fn count(key: impl Into<String>, given: usize, range: RangeInclusive<u64>) -> Rule {
    rule(key, given as u64, range, Unit::Things(""))
}

fn size(key: impl Into<String>, given: Size, range: RangeInclusive<u64>) -> Rule {
    rule(key, given.0, range, Unit::Bytes)
}

fn time(key: impl Into<String>, given: Span, range: RangeInclusive<u64>) -> Rule {
    let millis = u64::try_from(given.0.as_millis()).unwrap_or(u64::MAX);
    rule(key, millis, range, Unit::Millis)
}

fn rule(key: impl Into<String>, given: u64, range: RangeInclusive<u64>, unit: Unit) -> Rule {
    Rule {
        key: key.into(),
        given,
        range,
        unit,
        source: "",
    }
}

impl Rule {
    /// With the RFC that sets the lower bound.
    fn by(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    /// With a word for what is counted.
    fn of(self, thing: &'static str) -> Self {
        Self {
            unit: Unit::Things(thing),
            ..self
        }
    }

    pub(super) fn obeyed(&self) -> Result<(), Misfit> {
        let (least, most) = (*self.range.start(), *self.range.end());
        let text = match self.given {
            given if given < least && !self.source.is_empty() => {
                format!("must be at least {} ({})", self.shown(least), self.source)
            }
            given if given < least => format!("must be at least {}", self.shown(least)),
            given if given > most => format!(
                "{} is more than makes sense: at most {}",
                self.shown(given),
                self.shown(most)
            ),
            _ => return Ok(()),
        };
        Err(Misfit::new(&self.key, text))
    }

    fn shown(&self, value: u64) -> String {
        match self.unit {
            Unit::Things("") => value.to_string(),
            Unit::Things(thing) if value == 1 => format!("1 {thing}"),
            Unit::Things(thing) => format!("{value} {thing}s"),
            Unit::Bytes => Size(value).to_string(),
            Unit::Millis => Span(Duration::from_millis(value)).to_string(),
        }
    }
}

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// RFC 8461 3.2: 31557600 seconds.
const MAX_AGE: u64 = 31_557_600 * SECOND;
const GIB: u64 = 1 << 30;
const MANY: RangeInclusive<u64> = 1..=1_000_000;
