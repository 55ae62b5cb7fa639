//! How many recipients elsewhere an account may have in an hour.
//!
//! Pure. Each account has a bucket that empties evenly in an hour. A message is taken whole while
//! the bucket is not full, and what it counts is what was accepted: so one message may go over,
//! and a stolen password cannot send without end. Kept in memory only; a restart empties all
//! buckets.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::base::ids::AccountId;

/// The buckets of all accounts that sent something lately.
#[derive(Debug)]
pub(super) struct Pace {
    per_hour: u32,
    buckets: HashMap<AccountId, Bucket>,
}

/// What one account has sent and what of it still counts.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// When it will be empty, if nothing is added.
    empty_at: Instant,
    /// Whether somebody was told that it is full.
    told: bool,
}

/// What the bucket of an account says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    /// Full, and nobody was told yet.
    FullNow,
    /// Still full.
    Full,
}

impl Pace {
    /// Lets each account have so many recipients in an hour.
    pub(super) fn new(per_hour: u32) -> Self {
        Self {
            per_hour: per_hour.max(1),
            buckets: HashMap::new(),
        }
    }

    /// Whether the account may have one recipient more.
    pub(super) fn judge(&mut self, account: AccountId, now: Instant) -> Verdict {
        let Some(bucket) = self.buckets.get_mut(&account) else {
            return Verdict::Go;
        };
        if bucket.empty_at.saturating_duration_since(now) < HOUR {
            bucket.told = false;
            return Verdict::Go;
        }
        match std::mem::replace(&mut bucket.told, true) {
            false => Verdict::FullNow,
            true => Verdict::Full,
        }
    }

    /// Counts recipients of a message that was accepted.
    pub(super) fn count(&mut self, account: AccountId, recipients: usize, now: Instant) {
        if self.buckets.len() >= BUCKETS_KEPT && !self.buckets.contains_key(&account) {
            self.buckets.retain(|_, bucket| bucket.empty_at > now);
        }
        let empty = Bucket {
            empty_at: now,
            told: false,
        };
        let bucket = self.buckets.entry(account).or_insert(empty);
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        let time = HOUR.saturating_mul(recipients) / self.per_hour;
        // A day at most, so that no number of recipients shuts an account out for good.
        bucket.empty_at = (bucket.empty_at.max(now) + time.min(DAY)).min(now + DAY);
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Buckets that may be kept before the empty ones go; there is at most one for each account.
const BUCKETS_KEPT: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId(1);

    #[tokio::test(start_paused = true)]
    async fn q_08_an_account_has_its_recipients_in_an_hour_and_is_told_once() {
        let (mut pace, now) = (Pace::new(500), Instant::now());
        for _ in 0..499 {
            pace.count(ALICE, 1, now);
        }
        assert_eq!(pace.judge(ALICE, now), Verdict::Go);
        pace.count(ALICE, 1, now);
        assert_eq!(pace.judge(ALICE, now), Verdict::FullNow);
        assert_eq!(pace.judge(ALICE, now), Verdict::Full);
        assert_eq!(pace.judge(AccountId(2), now), Verdict::Go);
        // 7.2 seconds make room for one.
        let later = now + Duration::from_millis(7_200);
        assert_eq!(pace.judge(ALICE, later), Verdict::Go);
        pace.count(ALICE, 1, later);
        assert_eq!(pace.judge(ALICE, later), Verdict::FullNow);
    }

    #[tokio::test(start_paused = true)]
    async fn q_08_one_message_may_go_over_but_shuts_nobody_out_for_good() {
        let (mut pace, now) = (Pace::new(500), Instant::now());
        pace.count(ALICE, usize::MAX, now);
        assert_eq!(pace.judge(ALICE, now + DAY - HOUR), Verdict::FullNow);
        let later = now + DAY - HOUR + Duration::from_millis(1);
        assert_eq!(pace.judge(ALICE, later), Verdict::Go);
    }

    #[tokio::test(start_paused = true)]
    async fn q_08_empty_buckets_go() {
        let (mut pace, now) = (Pace::new(1), Instant::now());
        for n in 0..BUCKETS_KEPT {
            pace.count(AccountId(n as u64), 1, now);
        }
        pace.count(ALICE, 1, now + HOUR);
        pace.count(AccountId(u64::MAX), 1, now + HOUR);
        assert_eq!(pace.buckets.len(), 2);
        assert_eq!(pace.judge(ALICE, now + HOUR), Verdict::FullNow);
    }
}
