//! Passwords verified a moment ago, so that a client that logs in often is not hashed each time
//! (AUTH-03).
//!
//! Remembered is a keyed MAC over everything that the verification depended on: the account, its
//! verifier, the password. The key is of this process and never stored. Entries last five minutes
//! from the verification, are dropped with any change of their account, and are bounded in
//! number. Only success is remembered. Pure: the time is an argument.

use std::collections::{HashMap, VecDeque};

use ring::hmac;
use tokio::time::Instant;

use super::{
    limits::{VERIFIED_FOR, VERIFIED_MAX},
    password::Prepared,
    record::Account,
};
use crate::base::{ids::AccountId, random::Random};

/// What was verified.
pub(super) struct Verified {
    key: hmac::Key,
    entries: HashMap<Mark, Remembered>,
    /// Oldest first; may name entries that were dropped.
    order: VecDeque<(Mark, Instant)>,
}

/// Stands for one account, verifier and password.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark([u8; 32]);

struct Remembered {
    account: AccountId,
    until: Instant,
}

impl Verified {
    /// Nothing yet, under a fresh key.
    pub(super) fn new(random: &Random) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &random.bytes::<32>()),
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The mark of `password` for `account` as it is now.
    pub(super) fn mark(&self, account: &Account, password: &Prepared) -> Mark {
        let verifier = account.verifier.expose().as_bytes();
        let mut mac = hmac::Context::with_key(&self.key);
        mac.update(&account.id.0.to_be_bytes());
        mac.update(&account.credentials.to_be_bytes());
        // The length keeps the two texts apart.
        mac.update(
            &u64::try_from(verifier.len())
                .unwrap_or(u64::MAX)
                .to_be_bytes(),
        );
        mac.update(verifier);
        mac.update(password.as_bytes());
        let mut mark = [0; 32];
        mark.copy_from_slice(mac.sign().as_ref());
        Mark(mark)
    }

    /// Whether this was verified lately. The mark is a MAC under a secret key, so the time that a
    /// lookup takes tells nothing about passwords.
    pub(super) fn holds(&self, mark: &Mark, now: Instant) -> bool {
        let entry = self.entries.get(mark);
        entry.is_some_and(|entry| now < entry.until)
    }

    /// Remembers a verification.
    pub(super) fn remember(&mut self, mark: Mark, account: AccountId, now: Instant) {
        while let Some((oldest, until)) = self.order.front().copied()
            && (self.order.len() >= VERIFIED_MAX || until <= now)
        {
            self.order.pop_front();
            // The same mark may have been remembered again since.
            if self.entries.get(&oldest).is_some_and(|e| e.until == until) {
                self.entries.remove(&oldest);
            }
        }
        let until = now + VERIFIED_FOR;
        self.entries.insert(mark, Remembered { account, until });
        self.order.push_back((mark, until));
    }

    /// Drops what is remembered of an account.
    pub(super) fn forget(&mut self, account: AccountId) {
        self.entries.retain(|_, entry| entry.account != account);
    }

    /// Drops everything.
    pub(super) fn forget_all(&mut self) {
        self.entries.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{clock::Timestamp, secret::Secret};

    fn account(id: u64, verifier: &str) -> Account {
        Account {
            id: AccountId(id),
            address: "a@example.org".parse().unwrap(),
            verifier: Secret::new(verifier.to_owned()),
            quota_bytes: 1,
            created: Timestamp(0),
            disabled: false,
            shared: false,
            credentials: 0,
            forwarding: None,
            out_of_office: None,
            send_as: Vec::new(),
        }
    }

    fn password(typed: &str) -> Prepared {
        Prepared::new(&Secret::new(typed.to_owned())).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn auth_03_a_verified_password_holds_for_five_minutes() {
        let mut verified = Verified::new(&Random::seeded(1));
        let now = Instant::now();
        let mark = verified.mark(&account(1, "phc"), &password("x"));
        assert!(!verified.holds(&mark, now));
        verified.remember(mark, AccountId(1), now);
        let last = VERIFIED_FOR - Duration::from_millis(1);
        assert!(verified.holds(&mark, now + last));
        assert!(!verified.holds(&mark, now + VERIFIED_FOR));
    }

    #[tokio::test(start_paused = true)]
    async fn auth_03_the_mark_depends_on_every_input() {
        let verified = Verified::new(&Random::seeded(1));
        let mut later = account(1, "phc");
        later.credentials = 1;
        let marks = [
            verified.mark(&account(1, "phc"), &password("x")),
            verified.mark(&account(2, "phc"), &password("x")),
            verified.mark(&account(1, "phcx"), &password("x")),
            verified.mark(&account(1, "ph"), &password("cx")),
            verified.mark(&account(1, "phc"), &password("y")),
            verified.mark(&later, &password("x")),
            Verified::new(&Random::seeded(2)).mark(&account(1, "phc"), &password("x")),
        ];
        for (i, mark) in marks.iter().enumerate() {
            assert!(!marks[..i].contains(mark), "{i}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn auth_03_a_change_of_the_account_drops_its_entries_only() {
        let mut verified = Verified::new(&Random::seeded(1));
        let now = Instant::now();
        let mine = verified.mark(&account(1, "phc"), &password("x"));
        let other = verified.mark(&account(2, "phc"), &password("x"));
        verified.remember(mine, AccountId(1), now);
        verified.remember(other, AccountId(2), now);
        verified.forget(AccountId(1));
        assert!(!verified.holds(&mine, now) && verified.holds(&other, now));
        verified.forget_all();
        assert!(!verified.holds(&other, now));
    }

    #[tokio::test(start_paused = true)]
    async fn auth_03_the_number_of_entries_is_bounded_and_the_oldest_make_room() {
        let mut verified = Verified::new(&Random::seeded(1));
        let now = Instant::now();
        let mark = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            Mark(bytes)
        };
        for n in 0..=VERIFIED_MAX {
            verified.remember(mark(n), AccountId(1), now);
        }
        assert_eq!(verified.entries.len(), VERIFIED_MAX);
        assert!(!verified.holds(&mark(0), now) && verified.holds(&mark(1), now));
        for _ in 0..2 * VERIFIED_MAX {
            verified.remember(mark(1), AccountId(1), now);
        }
        assert!(verified.holds(&mark(1), now));
        assert_eq!(verified.order.len(), VERIFIED_MAX);
        verified.remember(mark(2), AccountId(1), now + VERIFIED_FOR);
        assert_eq!((verified.entries.len(), verified.order.len()), (1, 1));
    }
}
