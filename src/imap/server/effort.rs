//! How much work one account may cause at once, and one command in all (LIM-25).
//!
//! SEARCH may have to read every body of a mailbox, LIST with STATUS every mailbox. One such
//! command runs per account; others of the same account wait for it. Each has a budget of time and
//! bytes, and lets other sessions run every few milliseconds. When the client goes away the command
//! is dropped and its permit with it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::limits::{PAUSE_EVERY, SEARCH_BYTES_MAX, SEARCH_TIME_MAX};
use crate::base::ids::AccountId;

/// Hands out the one permit of each account. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct HeavyWork(Arc<Mutex<HashMap<AccountId, Weak<Semaphore>>>>);

/// The right to do heavy work for an account; whoever does some of it may have a share.
pub(super) type Permit = Arc<OwnedSemaphorePermit>;

/// What one heavy command may still cost.
#[derive(Debug)]
pub(super) struct Budget {
    ends: Instant,
    bytes_left: u64,
    pause_due: Instant,
}

/// The budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl HeavyWork {
    /// The permit of `account`, as soon as nobody else has it; at the latest when `budget` ends.
    pub(super) async fn permit(
        &self,
        account: AccountId,
        budget: &Budget,
    ) -> Result<Permit, Exhausted> {
        let only_one = self.semaphore(account);
        match timeout_at(budget.ends, only_one.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Arc::new(permit)),
            Ok(Err(_)) | Err(_) => Err(Exhausted),
        }
    }

    /// Permits and those who wait for one keep the account's semaphore alive; nothing else does.
    fn semaphore(&self, account: AccountId) -> Arc<Semaphore> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = known.get(&account).and_then(Weak::upgrade) {
            return semaphore;
        }
        known.retain(|_, semaphore| semaphore.strong_count() > 0);
        let semaphore = Arc::new(Semaphore::new(1));
        known.insert(account, Arc::downgrade(&semaphore));
        semaphore
    }
}

impl Budget {
    /// A full budget, from now on.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            ends: now + SEARCH_TIME_MAX,
            bytes_left: SEARCH_BYTES_MAX,
            pause_due: now + PAUSE_EVERY,
        }
    }

    /// Does what takes time, as long as there is some.
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Exhausted> {
        timeout_at(self.ends, work).await.map_err(|_| Exhausted)
    }

    /// Accounts for `bytes` read; lets others run when it is their turn.
    pub(super) async fn spend(&mut self, bytes: u64) -> Result<(), Exhausted> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Exhausted)?;
        let now = Instant::now();
        if now >= self.pause_due {
            tokio::task::yield_now().await;
            self.pause_due = Instant::now() + PAUSE_EVERY;
        }
        if now >= self.ends {
            return Err(Exhausted);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lim_25_a_budget_ends_by_bytes_and_by_time() {
        let mut budget = Budget::new();
        assert_eq!(budget.spend(SEARCH_BYTES_MAX).await, Ok(()));
        assert_eq!(budget.spend(1).await, Err(Exhausted));
        let mut budget = Budget::new();
        tokio::time::advance(SEARCH_TIME_MAX - Duration::from_millis(1)).await;
        assert_eq!(budget.spend(1).await, Ok(()));
        assert_eq!(budget.within(async { 1 }).await, Ok(1));
        let endless = budget.within(std::future::pending::<()>());
        assert_eq!(endless.await, Err(Exhausted));
        assert_eq!(budget.spend(1).await, Err(Exhausted));
    }

    #[tokio::test(start_paused = true)]
    async fn lim_25_one_heavy_command_runs_per_account_and_others_wait() {
        let work = HeavyWork::default();
        let (alice, bob) = (AccountId(1), AccountId(2));
        let first = work.permit(alice, &Budget::new()).await;
        assert!(first.is_ok());
        assert!(work.permit(bob, &Budget::new()).await.is_ok());
        assert!(work.permit(alice, &Budget::new()).await.is_err());
        drop(first);
        assert!(work.permit(alice, &Budget::new()).await.is_ok());
        drop(work.semaphore(bob));
        let known = work.0.lock().unwrap().len();
        assert_eq!(known, 1, "ended work is forgotten");
    }
}
