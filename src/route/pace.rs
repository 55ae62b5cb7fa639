//! How many recipients elsewhere an account may have in an hour.
//!
//! Pure. Each account has a bucket that empties evenly in an hour. A message is taken whole while
//! the bucket is not full, and what it counts is what was accepted: so one message may go over,
//! and a stolen password cannot send without end. Kept in memory only; a restart empties all
//! buckets.

use std::{collections::HashMap, fmt, time::Duration};

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
    /// When the operator was last told that it is full.
    told: Option<Instant>,
}

/// What the bucket of an account says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    Full {
        full: Full,
        /// Nobody was told in the last hour.
        first: bool,
    },
}

/// A bucket that takes no more now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many recipients an hour has.
    pub per_hour: u32,
    /// When there is room for one more.
    pub wait: Duration,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.wait.as_secs() / 60 + 1;
        let (limit, unit) = (
            self.per_hour,
            if minutes == 1 { "minute" } else { "minutes" },
        );
        write!(
            f,
            "too many recipients: {limit} elsewhere in an hour; again in {minutes} {unit}"
        )
    }
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
        let left = bucket.empty_at.saturating_duration_since(now);
        let Some(wait) = left.checked_sub(HOUR) else {
            return Verdict::Go;
        };
        let told = |at| now.saturating_duration_since(at) < HOUR;
        let first = !bucket.told.is_some_and(told);
        if first {
            bucket.told = Some(now);
        }
        let per_hour = self.per_hour;
        Verdict::Full {
            full: Full { per_hour, wait },
            first,
        }
    }

    /// Counts recipients of a message that was accepted.
    pub(super) fn count(&mut self, account: AccountId, recipients: usize, now: Instant) {
        if self.buckets.len() >= BUCKETS_KEPT && !self.buckets.contains_key(&account) {
            self.buckets.retain(|_, bucket| bucket.empty_at > now);
        }
        let empty = Bucket {
            empty_at: now,
            told: None,
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

    /// In how many seconds there is room, and whether the operator is told.
    fn full(verdict: Verdict) -> (u64, bool) {
        match verdict {
            Verdict::Full { full, first } => (full.wait.as_secs(), first),
            Verdict::Go => panic!("there is room"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn q_08_an_account_has_its_recipients_in_an_hour_and_is_told_once() {
        let (mut pace, now) = (Pace::new(500), Instant::now());
        for _ in 0..499 {
            pace.count(ALICE, 1, now);
        }
        assert_eq!(pace.judge(ALICE, now), Verdict::Go);
        pace.count(ALICE, 1, now);
        assert_eq!(full(pace.judge(ALICE, now)), (0, true));
        assert_eq!(full(pace.judge(ALICE, now)), (0, false));
        assert_eq!(pace.judge(AccountId(2), now), Verdict::Go);
        // 7.2 seconds make room for one.
        let later = now + Duration::from_millis(7_200);
        assert_eq!(pace.judge(ALICE, later), Verdict::Go);
        pace.count(ALICE, 1, later);
        // Who goes on at the brim is told of once in an hour.
        assert_eq!(full(pace.judge(ALICE, later)), (0, false));
        pace.count(ALICE, 500, now + HOUR);
        assert!(full(pace.judge(ALICE, now + HOUR)).1);
    }

    #[tokio::test(start_paused = true)]
    async fn q_08_one_message_may_go_over_but_shuts_nobody_out_for_good() {
        let (mut pace, now) = (Pace::new(500), Instant::now());
        pace.count(ALICE, usize::MAX, now);
        let verdict = pace.judge(ALICE, now);
        assert_eq!(full(verdict), (23 * 3600, true));
        let Verdict::Full { full: said, .. } = verdict else {
            unreachable!()
        };
        let text = "too many recipients: 500 elsewhere in an hour; again in 1381 minutes";
        assert_eq!(said.to_string(), text);
        assert_eq!(full(pace.judge(ALICE, now + DAY - HOUR)), (0, true));
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
        assert_eq!(full(pace.judge(ALICE, now + HOUR)), (0, true));
    }
}
