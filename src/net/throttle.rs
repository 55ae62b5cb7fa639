//! How guessing passwords is slowed down (AUTH-04): the source is delayed and then blocked, never
//! the account for who is known to it.
//!
//! A failed login is answered 2, 4, 8, then 15 seconds late. Ten different wrong pairs of name and
//! password from one source (IPv4 /32, IPv6 /64) within ten minutes block it for fifteen. The same
//! wrong pair counts once: a forgotten phone with an old password must not lock out its household.
//! A success forgives the pairs of its own account only. After a hundred wrong pairs for one
//! account within an hour, from wherever, only sources that logged in to it before may try any
//! more. Pure but for its own lock; all of it is bounded, and forgotten with the process.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    mem,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::base::{ids::AccountId, secret::Secret};

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
    /// Wrong pairs for one account, after which strangers to it may not try.
    pub failures_per_account: u32,
    /// Within this time.
    pub account_window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            failures_max: 10,
            window: Duration::from_secs(600),
            block: Duration::from_secs(900),
            delays: [2, 4, 8, 15].map(Duration::from_secs),
            failures_per_account: 100,
            account_window: Duration::from_secs(3600),
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

/// Remembers failures by source and by account.
#[derive(Debug)]
pub struct Throttle {
    options: Options,
    hasher: RandomState,
    known: Mutex<Known>,
}

/// One try to log in. Names and passwords are kept as keyed hashes only.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    source: IpAddr,
    /// The account, or the name that is none's.
    account: u64,
    /// The account and the password.
    pair: u64,
}

#[derive(Debug, Default)]
struct Known {
    sources: HashMap<IpAddr, Source>,
    /// Every time when something about a source is over, as it was set; so about oldest first.
    /// What is no longer so is passed over when it comes to the front.
    order: VecDeque<(IpAddr, Instant)>,
    /// Wrong pairs by account.
    guessed: Generations<Guessed>,
    /// From where each account was logged in to, oldest first.
    familiar: Generations<VecDeque<IpAddr>>,
}

#[derive(Debug)]
struct Source {
    /// Different wrong tries.
    wrong: Vec<Try>,
    blocked: bool,
    /// When the window or the block is over, and the source as good as unknown.
    until: Instant,
}

/// Wrong pairs for one account.
#[derive(Debug, Default)]
struct Guessed {
    failures: u32,
    /// When the window is over.
    until: Option<Instant>,
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

    /// A try by somebody at `source` with `name`, which is `owner`'s.
    pub fn tried(
        &self,
        source: IpAddr,
        owner: Option<AccountId>,
        name: &str,
        password: &Secret<String>,
    ) -> Try {
        let account = match owner {
            Some(account) => self.hasher.hash_one(account),
            None => self.hasher.hash_one(name.to_lowercase()),
        };
        Try {
            source: neighbourhood(source),
            account,
            pair: self.hasher.hash_one((account, password.expose())),
        }
    }

    /// Whether this may be tried at `now`.
    pub fn decide(&self, tried: &Try, now: Instant) -> Decision {
        let options = &self.options;
        let known = self.known();
        match known.sources.get(&tried.source) {
            Some(source) if source.blocked && now < source.until => {
                return Decision::Block(options.delay(source.wrong.len()));
            }
            _ => {}
        }
        if known.is_familiar(tried) || !known.is_guessed(tried.account, now, options) {
            return Decision::Try;
        }
        // Nothing is verified, so the right password comes here too: it counts against nobody, and
        // is answered as late as a wrong one would be (AUTH-05).
        let wrong = known
            .sources
            .get(&tried.source)
            .map_or(0, |s| s.wrong.len());
        Decision::Block(options.delay(wrong + 1))
    }

    /// Notes a failure; returns how long the answer must wait.
    pub fn failed(&self, tried: &Try, now: Instant) -> Duration {
        let mut known = self.known();
        known.forget_old(now);
        let (failures, is_new) = known.note(tried, now, &self.options);
        if is_new {
            known.note_guess(tried.account, now, &self.options);
        }
        self.options.delay(failures)
    }

    /// Notes a success: what was wrong for this account before were slips of the same person. What
    /// was tried for others was not.
    pub fn succeeded(&self, tried: &Try) {
        let mut known = self.known();
        let familiar = known.familiar.entry(tried.account);
        familiar.retain(|source| *source != tried.source);
        familiar.push_back(tried.source);
        if familiar.len() > FAMILIAR_SOURCES_MAX {
            familiar.pop_front();
        }
        let Some(source) = known.sources.get_mut(&tried.source) else {
            return;
        };
        source.wrong.retain(|wrong| wrong.account != tried.account);
        if source.wrong.is_empty() {
            known.sources.remove(&tried.source);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Notes a wrong pair; how many different ones there are by now, and whether it is a new one.
    fn note(&mut self, tried: &Try, now: Instant, options: &Options) -> (usize, bool) {
        let source = tried.source;
        let before = self.sources.get(&source).map(|known| known.until);
        let noted = self.sources.entry(source).or_insert_with(|| Source {
            wrong: Vec::new(),
            blocked: false,
            until: now,
        });
        if noted.until <= now {
            noted.wrong.clear();
            noted.blocked = false;
            noted.until = now + options.window;
        }
        let is_new = noted.wrong.iter().all(|wrong| wrong.pair != tried.pair);
        if is_new && noted.wrong.len() < options.failures_max {
            noted.wrong.push(*tried);
        }
        if noted.wrong.len() >= options.failures_max && !noted.blocked {
            noted.blocked = true;
            noted.until = now + options.block;
        }
        if before != Some(noted.until) {
            self.order.push_back((source, noted.until));
        }
        (noted.wrong.len(), is_new)
    }

    /// Counts a wrong pair for its account.
    fn note_guess(&mut self, account: u64, now: Instant, options: &Options) {
        let guessed = self.guessed.entry(account);
        if guessed.until.is_none_or(|until| until <= now) {
            *guessed = Guessed {
                failures: 0,
                until: Some(now + options.account_window),
            };
        }
        guessed.failures = guessed.failures.saturating_add(1);
    }

    /// Whether an account was guessed at so often that strangers may not try any more.
    fn is_guessed(&self, account: u64, now: Instant, options: &Options) -> bool {
        self.guessed.get(account).is_some_and(|guessed| {
            guessed.failures >= options.failures_per_account
                && guessed.until.is_some_and(|until| now < until)
        })
    }

    /// Whether the account was logged in to from this source.
    fn is_familiar(&self, tried: &Try) -> bool {
        let sources = self.familiar.get(tried.account);
        sources.is_some_and(|sources| sources.contains(&tried.source))
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

/// A map in two parts: when the younger is full it becomes the older, and what was in the older and
/// not asked for since is forgotten.
#[derive(Debug, Default)]
struct Generations<V> {
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
}

impl<V: Default> Generations<V> {
    fn get(&self, key: u64) -> Option<&V> {
        self.young.get(&key).or_else(|| self.old.get(&key))
    }

    fn entry(&mut self, key: u64) -> &mut V {
        if !self.young.contains_key(&key) {
            let value = self.old.remove(&key).unwrap_or_default();
            if self.young.len() >= GENERATION_MAX {
                self.old = mem::take(&mut self.young);
            }
            self.young.insert(key, value);
        }
        self.young.entry(key).or_default()
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
/// AUTH-04: accounts of one generation; twice as many are remembered at most.
const GENERATION_MAX: usize = 32_768;
/// AUTH-04: sources remembered from which an account was logged in to.
const FAMILIAR_SOURCES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "2001:db8::1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn throttle() -> Throttle {
        Throttle::new(Options::default())
    }

    fn at(throttle: &Throttle, source: IpAddr, name: &str, password: &str) -> Try {
        throttle.tried(source, None, name, &Secret::new(password.to_owned()))
    }

    /// How late the answer to alice's wrong password from home is.
    fn fail(throttle: &Throttle, password: &str, now: Instant) -> u64 {
        fail_as(throttle, "alice", password, now)
    }

    fn fail_as(throttle: &Throttle, name: &str, password: &str, now: Instant) -> u64 {
        let tried = at(throttle, ip(HOME), name, password);
        throttle.failed(&tried, now).as_secs()
    }

    fn decide(throttle: &Throttle, source: &str, now: Instant) -> Decision {
        throttle.decide(&at(throttle, ip(source), "alice", "right"), now)
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_delays_grow_and_ten_different_pairs_block_the_source() {
        let throttle = throttle();
        let now = Instant::now();
        let delays: Vec<_> = (0..9)
            .map(|n| fail(&throttle, &format!("pw{n}"), now))
            .collect();
        assert_eq!(delays, [2, 4, 8, 15, 15, 15, 15, 15, 15]);
        assert_eq!(decide(&throttle, "2001:db8::2", now), Decision::Try);
        fail(&throttle, "pw9", now);
        let block = Decision::Block(Duration::from_secs(15));
        assert_eq!(decide(&throttle, "2001:db8::2", now), block);
        assert_eq!(decide(&throttle, "2001:db8:0:1::2", now), Decision::Try);
        let later = now + Duration::from_secs(900);
        assert_eq!(decide(&throttle, "2001:db8::2", later), Decision::Try);
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_the_same_wrong_pair_counts_once() {
        let throttle = throttle();
        let now = Instant::now();
        for _ in 0..200 {
            assert_eq!(fail(&throttle, "old password", now), 2);
        }
        assert_eq!(decide(&throttle, HOME, now), Decision::Try);
        assert_eq!(decide(&throttle, "192.0.2.1", now), Decision::Try);
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_slips_are_forgotten_after_a_success_and_after_ten_minutes() {
        let throttle = throttle();
        let now = Instant::now();
        assert_eq!(
            [fail(&throttle, "a", now), fail(&throttle, "b", now)],
            [2, 4]
        );
        throttle.succeeded(&at(&throttle, ip(HOME), "Alice", "right"));
        assert_eq!(
            [fail(&throttle, "c", now), fail(&throttle, "d", now)],
            [2, 4]
        );
        let later = now + Duration::from_secs(600);
        assert_eq!(fail(&throttle, "e", later), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_a_success_forgives_nothing_that_was_tried_for_others() {
        let throttle = throttle();
        let now = Instant::now();
        for n in 0..10 {
            assert_eq!(decide(&throttle, HOME, now), Decision::Try, "{n}");
            fail_as(&throttle, &format!("victim{n}"), "guess", now);
            throttle.succeeded(&at(&throttle, ip(HOME), "alice", "right"));
        }
        let block = Decision::Block(Duration::from_secs(15));
        assert_eq!(decide(&throttle, HOME, now), block);
    }

    /// Guesses for alice, each from another source.
    fn guess_from_everywhere(throttle: &Throttle, guesses: u32, now: Instant) {
        for n in 1..=guesses {
            let source = IpAddr::V4((0x0a00_0000 + n).into());
            throttle.failed(&at(throttle, source, "alice", "guess"), now);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_an_account_guessed_from_everywhere_is_open_to_known_sources_only() {
        let (throttle, now) = (throttle(), Instant::now());
        throttle.succeeded(&at(&throttle, ip(HOME), "alice", "right"));
        let most = Options::default().failures_per_account;
        guess_from_everywhere(&throttle, most - 1, now);
        assert_eq!(decide(&throttle, "192.0.2.1", now), Decision::Try);
        guess_from_everywhere(&throttle, most + 1, now);
        // As late as the first wrong password of any source; and nobody else there pays for it.
        let block = Decision::Block(Duration::from_secs(2));
        for n in 0..20 {
            let tried = at(&throttle, ip("192.0.2.1"), "alice", &format!("right {n}"));
            assert_eq!(throttle.decide(&tried, now), block);
        }
        let bob = at(&throttle, ip("192.0.2.1"), "bob", "right");
        assert_eq!(throttle.decide(&bob, now), Decision::Try);
        assert_eq!(decide(&throttle, "2001:db8::2", now), Decision::Try);
        let later = now + Options::default().account_window;
        assert_eq!(decide(&throttle, "192.0.2.1", later), Decision::Try);
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_an_account_is_the_same_however_its_name_is_spelt() {
        let (throttle, now) = (throttle(), Instant::now());
        let password = Secret::new("guess".to_owned());
        for n in 1..=Options::default().failures_per_account {
            let source = IpAddr::V4((0x0a00_0000 + n).into());
            let (owner, name) = (Some(AccountId(1)), format!("spelling {n}"));
            throttle.failed(&throttle.tried(source, owner, &name, &password), now);
        }
        let tried = throttle.tried(ip(HOME), Some(AccountId(1)), "alice", &password);
        assert!(matches!(throttle.decide(&tried, now), Decision::Block(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn auth_04_what_is_remembered_is_bounded_and_the_oldest_makes_room() {
        let throttle = throttle();
        let now = Instant::now();
        let address = |n: usize| IpAddr::V6(((n as u128) << 64).into());
        for n in 1..=2 * SOURCES_MAX {
            throttle.failed(&at(&throttle, address(n), "alice", "wrong"), now);
            // Comes and goes without ever being over.
            let passing = at(&throttle, ip("192.0.2.1"), &format!("user {n}"), "wrong");
            throttle.failed(&passing, now);
            throttle.succeeded(&passing);
            throttle.succeeded(&at(&throttle, address(n), "bob", "right"));
        }
        let mut known = throttle.known();
        assert!(known.sources.len() <= SOURCES_MAX && known.order.len() <= SOURCES_MAX);
        assert!(known.sources.contains_key(&address(2 * SOURCES_MAX)));
        assert!(!known.sources.contains_key(&address(1)));
        let accounts = known.guessed.young.len() + known.guessed.old.len();
        assert!(accounts <= 2 * GENERATION_MAX);
        let accounts = known.familiar.young.len() + known.familiar.old.len();
        assert!(accounts <= 2 * GENERATION_MAX);
        let bob = at(&throttle, ip(HOME), "bob", "right");
        assert_eq!(
            known.familiar.entry(bob.account).len(),
            FAMILIAR_SOURCES_MAX
        );
        drop(known);
        let later = now + Options::default().window;
        throttle.failed(&at(&throttle, address(1), "alice", "wrong"), later);
        assert_eq!(throttle.known().sources.len(), 1, "all others are over");
    }
}
