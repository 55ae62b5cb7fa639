//! How guessing passwords is slowed down (AUTH-04): the source is delayed and then blocked, never
//! the account.
//!
//! A failed login is answered 2, 4, 8, then 15 seconds late. Ten different wrong pairs of name and
//! password from one source (IPv4 /32, IPv6 /64) within ten minutes block it for fifteen. The same
//! wrong pair counts once: a forgotten phone with an old password must not lock out its household.
//! Pure but for its own lock.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::base::secret::Secret;

/// The settings.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Different wrong pairs from one source that block it.
    pub failures_max: usize,
    /// Within this time.
    pub window: Duration,
    /// For this long.
    pub block: Duration,
    /// Delays of the first, second, ... failure; the last one repeats.
    pub delays: [Duration; 4],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            failures_max: 10,
            window: Duration::from_secs(600),
            block: Duration::from_secs(900),
            delays: [2, 4, 8, 15].map(Duration::from_secs),
        }
    }
}

/// Remembers failures by source.
#[derive(Debug)]
pub struct Throttle {
    options: Options,
    hasher: RandomState,
    sources: Mutex<HashMap<IpAddr, Source>>,
}

#[derive(Debug)]
struct Source {
    began: Instant,
    pairs: HashSet<u64>,
    blocked_until: Option<Instant>,
}

/// Whether a login may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Try,
    /// The source is blocked.
    Block,
}

impl Throttle {
    /// With these settings.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            hasher: RandomState::new(),
            sources: Mutex::default(),
        }
    }

    /// Whether `source` may try to log in at `now`.
    pub fn decide(&self, source: IpAddr, now: Instant) -> Decision {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let blocked = sources
            .get(&neighbourhood(source))
            .and_then(|known| known.blocked_until);
        if blocked.is_some_and(|until| now < until) {
            Decision::Block
        } else {
            Decision::Try
        }
    }

    /// Notes a failure; returns how long the answer must wait.
    pub fn failed(
        &self,
        source: IpAddr,
        name: &str,
        password: &Secret<String>,
        now: Instant,
    ) -> Duration {
        // The pair is kept as a keyed hash only: no password stays in memory.
        let pair = self
            .hasher
            .hash_one((name.to_lowercase(), password.expose()));
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX {
            sources.retain(|_, known| !known.is_over(&self.options, now));
        }
        let known = sources
            .entry(neighbourhood(source))
            .or_insert_with(|| Source::fresh(now));
        if known.is_over(&self.options, now) {
            *known = Source::fresh(now);
        }
        if known.pairs.len() < self.options.failures_max {
            known.pairs.insert(pair);
        }
        if known.pairs.len() >= self.options.failures_max {
            known.blocked_until = Some(now + self.options.block);
        }
        let last = self.options.delays.len() - 1;
        let nth = known.pairs.len().saturating_sub(1).min(last);
        self.options.delays.get(nth).copied().unwrap_or_default()
    }

    /// Notes a success: what came before were slips of the same person.
    pub fn succeeded(&self, source: IpAddr) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources
            .get(&neighbourhood(source))
            .is_some_and(|known| known.pairs.len() < 3)
        {
            sources.remove(&neighbourhood(source));
        }
    }
}

impl Source {
    fn fresh(now: Instant) -> Self {
        Self {
            began: now,
            pairs: HashSet::new(),
            blocked_until: None,
        }
    }

    fn is_over(&self, options: &Options, now: Instant) -> bool {
        match self.blocked_until {
            Some(until) => now >= until,
            None => now.saturating_duration_since(self.began) >= options.window,
        }
    }
}

/// The address that stands for its neighbourhood: itself for IPv4, its /64 for IPv6.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// Sources remembered before old ones are looked for and forgotten.
const SOURCES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fail(throttle: &Throttle, password: &str, now: Instant) -> u64 {
        let password = Secret::new(password.to_owned());
        throttle
            .failed(ip("2001:db8::1"), "alice", &password, now)
            .as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_delays_grow_and_ten_different_pairs_block_the_source() {
        let throttle = Throttle::new(Options::default());
        let now = Instant::now();
        let delays: Vec<_> = (0..9)
            .map(|n| fail(&throttle, &format!("pw{n}"), now))
            .collect();
        assert_eq!(delays, [2, 4, 8, 15, 15, 15, 15, 15, 15]);
        assert_eq!(throttle.decide(ip("2001:db8::2"), now), Decision::Try);
        fail(&throttle, "pw9", now);
        assert_eq!(throttle.decide(ip("2001:db8::2"), now), Decision::Block);
        assert_eq!(throttle.decide(ip("2001:db8:0:1::2"), now), Decision::Try);
        let later = now + Duration::from_secs(900);
        assert_eq!(throttle.decide(ip("2001:db8::2"), later), Decision::Try);
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_the_same_wrong_pair_counts_once() {
        let throttle = Throttle::new(Options::default());
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(fail(&throttle, "old password", now), 2);
        }
        assert_eq!(throttle.decide(ip("2001:db8::1"), now), Decision::Try);
    }
}
