//! How guessing passwords is slowed down (AUTH-04): the source is delayed and then blocked, never
//! the account.
//!
//! A failed login is answered 2, 4, 8, then 15 seconds late. Ten different wrong pairs of name and
//! password from one source (IPv4 /32, IPv6 /64) within ten minutes block it for fifteen. The same
//! wrong pair counts once: a forgotten phone with an old password must not lock out its household.
//! Pure but for its own lock.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
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

impl Options {
    /// How late the answer is after so many failures.
    fn delay(&self, failures: usize) -> Duration {
        let nth = failures.saturating_sub(1).min(self.delays.len() - 1);
        self.delays.get(nth).copied().unwrap_or_default()
    }
}

/// Remembers failures by source.
#[derive(Debug)]
pub struct Throttle {
    options: Options,
    hasher: RandomState,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    sources: HashMap<IpAddr, Source>,
    /// Every time when something about a source is over, as it was set; so about oldest first.
    /// What is no longer so is passed over when it comes to the front.
    order: VecDeque<(IpAddr, Instant)>,
}

#[derive(Debug)]
struct Source {
    /// Different wrong pairs, as keyed hashes.
    pairs: Vec<u64>,
    blocked: bool,
    /// When the window or the block is over, and the source as good as unknown.
    until: Instant,
}

/// Whether a login may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Try,
    /// The source is blocked: no, and that is said as late as to others who failed so often
    /// (AUTH-05).
    Block(Duration),
}

impl Throttle {
    /// With these settings.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            hasher: RandomState::new(),
            known: Mutex::default(),
        }
    }

    /// Whether `source` may try to log in at `now`.
    pub fn decide(&self, source: IpAddr, now: Instant) -> Decision {
        let known = self.known();
        match known.sources.get(&neighbourhood(source)) {
            Some(source) if source.blocked && now < source.until => {
                Decision::Block(self.options.delay(source.pairs.len()))
            }
            _ => Decision::Try,
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
        let source = neighbourhood(source);
        let mut known = self.known();
        known.forget_old(now);
        let failures = known.note(source, pair, now, &self.options);
        self.options.delay(failures)
    }

    /// Notes a success: what came before were slips of the same person.
    pub fn succeeded(&self, source: IpAddr) {
        let source = neighbourhood(source);
        let mut known = self.known();
        let slips = known.sources.get(&source);
        if slips.is_some_and(|slips| slips.pairs.len() < 3) {
            known.sources.remove(&source);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Notes a wrong pair; how many different ones there are by now.
    fn note(&mut self, source: IpAddr, pair: u64, now: Instant, options: &Options) -> usize {
        let before = self.sources.get(&source).map(|known| known.until);
        let noted = self.sources.entry(source).or_insert_with(|| Source {
            pairs: Vec::new(),
            blocked: false,
            until: now,
        });
        if noted.until <= now {
            noted.pairs.clear();
            noted.blocked = false;
            noted.until = now + options.window;
        }
        if noted.pairs.len() < options.failures_max && !noted.pairs.contains(&pair) {
            noted.pairs.push(pair);
        }
        if noted.pairs.len() >= options.failures_max && !noted.blocked {
            noted.blocked = true;
            noted.until = now + options.block;
        }
        if before != Some(noted.until) {
            self.order.push_back((source, noted.until));
        }
        noted.pairs.len()
    }

    /// Forgets what is over, and the oldest when there is too much: what is passed over here was
    /// added once, so each failure costs the same in the long run.
    fn forget_old(&mut self, now: Instant) {
        while let Some((source, until)) = self.order.front().copied()
            && (self.order.len() >= SOURCES_MAX || until <= now)
        {
            self.order.pop_front();
            if self.sources.get(&source).is_some_and(|s| s.until == until) {
                self.sources.remove(&source);
            }
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

/// AUTH-04: sources remembered; the oldest makes room, blocked or not.
const SOURCES_MAX: usize = 65_536;

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
        let block = Decision::Block(Duration::from_secs(15));
        assert_eq!(throttle.decide(ip("2001:db8::2"), now), block);
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

    #[tokio::test(start_paused = true)]
    async fn auth_04_slips_are_forgotten_after_a_success_and_after_ten_minutes() {
        let throttle = Throttle::new(Options::default());
        let now = Instant::now();
        assert_eq!(
            [fail(&throttle, "a", now), fail(&throttle, "b", now)],
            [2, 4]
        );
        throttle.succeeded(ip("2001:db8::1"));
        assert_eq!(
            [fail(&throttle, "c", now), fail(&throttle, "d", now)],
            [2, 4]
        );
        let later = now + Duration::from_secs(600);
        assert_eq!(fail(&throttle, "e", later), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_what_is_remembered_is_bounded_and_the_oldest_makes_room() {
        let throttle = Throttle::new(Options::default());
        let (now, password) = (Instant::now(), Secret::new("wrong".to_owned()));
        let address = |n: usize| IpAddr::V6(((n as u128) << 64).into());
        for n in 1..=2 * SOURCES_MAX {
            throttle.failed(address(n), "alice", &password, now);
            // Comes and goes without ever being over.
            throttle.failed(ip("192.0.2.1"), "alice", &password, now);
            throttle.succeeded(ip("192.0.2.1"));
        }
        let known = throttle.known();
        assert!(known.sources.len() <= SOURCES_MAX && known.order.len() <= SOURCES_MAX);
        assert!(known.sources.contains_key(&address(2 * SOURCES_MAX)));
        assert!(!known.sources.contains_key(&address(1)));
        drop(known);
        let later = now + Options::default().window;
        throttle.failed(address(1), "alice", &password, later);
        assert_eq!(throttle.known().sources.len(), 1, "all others are over");
    }
}
