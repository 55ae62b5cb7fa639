//! Notices that an account changed: hints that wake readers, who then read the log again.
//!
//! A notice carries no content and may come without a change; correctness never rests on one. An
//! account that nobody watches and that has no mailbox in memory costs nothing here.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::watch;

use crate::base::ids::AccountId;

/// Tells when an account changes. Cheap: thousands may watch.
#[derive(Debug)]
pub struct Watch {
    receiver: watch::Receiver<u64>,
    /// Keeps the sender alive.
    _notice: Arc<Notice>,
}

impl Watch {
    /// Returns when the account changed since the last return, or since the watch was made. Read
    /// what is of interest after making the watch, then nothing is missed. May be dropped and
    /// called again.
    pub async fn changed(&mut self) {
        if self.receiver.changed().await.is_err() {
            // Unreachable while the notice is held; waiting is the harmless answer.
            std::future::pending::<()>().await;
        }
    }
}

/// All accounts that somebody is interested in.
#[derive(Debug, Default)]
pub(super) struct Hub {
    shards: [Mutex<HashMap<AccountId, Weak<Notice>>>; SHARDS],
}

const SHARDS: usize = 16;

/// The interest in one account.
#[derive(Debug)]
pub(super) struct Notice {
    account: AccountId,
    changes: watch::Sender<u64>,
    hub: Weak<Hub>,
}

impl Hub {
    /// The interest in `account`; it lasts while the result is held.
    pub(super) fn notice(self: &Arc<Self>, account: AccountId) -> Arc<Notice> {
        let mut shard = self.shard(account);
        if let Some(notice) = shard.get(&account).and_then(Weak::upgrade) {
            return notice;
        }
        let notice = Arc::new(Notice {
            account,
            changes: watch::Sender::new(1),
            hub: Arc::downgrade(self),
        });
        shard.insert(account, Arc::downgrade(&notice));
        notice
    }

    /// Watches `account` from now on.
    pub(super) fn watch(self: &Arc<Self>, account: AccountId) -> Watch {
        let notice = self.notice(account);
        Watch {
            receiver: notice.changes.subscribe(),
            _notice: notice,
        }
    }

    /// Wakes all who are interested in `account`.
    pub(super) fn announce(&self, account: AccountId) {
        let notice = self.shard(account).get(&account).and_then(Weak::upgrade);
        if let Some(notice) = notice {
            notice.changes.send_modify(|count| *count += 1);
        }
    }

    fn shard(&self, account: AccountId) -> MutexGuard<'_, HashMap<AccountId, Weak<Notice>>> {
        let place = usize::try_from(account.0 % SHARDS as u64).unwrap_or(0);
        self.shards[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notice {
    /// How many notices there were.
    pub(super) fn count(&self) -> u64 {
        *self.changes.borrow()
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else {
            return;
        };
        let mut shard = hub.shard(self.account);
        // A successor may stand there already.
        if shard
            .get(&self.account)
            .is_some_and(|weak| weak.strong_count() == 0)
        {
            shard.remove(&self.account);
        }
    }
}

/// Announces a change when dropped, so that a session that ends in the middle of its commit still
/// wakes the others.
#[derive(Debug)]
pub(super) struct Announcement<'a> {
    hub: &'a Hub,
    account: AccountId,
    due: bool,
}

impl<'a> Announcement<'a> {
    pub(super) fn new(hub: &'a Hub, account: AccountId) -> Self {
        Self {
            hub,
            account,
            due: true,
        }
    }

    /// Nothing changed after all.
    pub(super) fn cancel(mut self) {
        self.due = false;
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        if self.due {
            self.hub.announce(self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_watch_sees_each_change_of_its_account_once() {
        let hub = Arc::new(Hub::default());
        let mut watch = hub.watch(AccountId(1));
        assert!(now_or_never(watch.changed()).is_none());
        hub.announce(AccountId(17));
        assert!(now_or_never(watch.changed()).is_none());
        hub.announce(AccountId(1));
        hub.announce(AccountId(1));
        assert!(now_or_never(watch.changed()).is_some());
        assert!(now_or_never(watch.changed()).is_none());
    }

    #[test]
    fn an_account_that_nobody_watches_is_forgotten() {
        let hub = Arc::new(Hub::default());
        let (one, two) = (hub.watch(AccountId(1)), hub.watch(AccountId(1)));
        let entries = |hub: &Hub| hub.shard(AccountId(1)).len();
        drop(one);
        assert_eq!(entries(&hub), 1);
        drop(two);
        assert_eq!(entries(&hub), 0);
        hub.announce(AccountId(1));
    }

    #[test]
    fn a_change_that_is_cut_off_is_announced() {
        let hub = Arc::new(Hub::default());
        let mut watch = hub.watch(AccountId(1));
        Announcement::new(&hub, AccountId(1)).cancel();
        assert!(now_or_never(watch.changed()).is_none());
        drop(Announcement::new(&hub, AccountId(1)));
        assert!(now_or_never(watch.changed()).is_some());
    }
}
