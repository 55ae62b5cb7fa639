//! Notices that an account changed: hints that wake readers, who then read the log again.
//!
//! A notice may come without a change; correctness never rests on one. Who watches learns that
//! there was one, who listens what it was about. An account that nobody watches and that has no
//! mailbox in memory costs nothing here.
//!
//! One follower may ask which accounts changed at all: it does work that no commit waits for.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::{Notify, watch};

use super::listener::Ears;
use crate::{base::ids::AccountId, store::About};

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
    feed: Feed,
}

/// What the follower has not heard yet.
#[derive(Debug, Default)]
struct Feed {
    /// `None` without a follower.
    news: Mutex<Option<News>>,
    wake: Notify,
}

/// What happened to accounts, as hints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Accounts that changed.
    pub accounts: BTreeSet<AccountId>,
    /// How many emails were removed for good, of whatever accounts.
    pub removed_emails: u64,
}

/// Hears of the changes of all accounts. There is one at a time.
#[derive(Debug)]
pub struct Follower(Arc<Hub>);

impl Follower {
    /// Waits until there is something to take. May be dropped and called again.
    pub async fn heard(&mut self) {
        while *self.0.feed.lock() == Some(News::default()) {
            self.0.feed.wake.notified().await;
        }
    }

    /// What happened since the last time, or since the follower was made.
    pub fn take(&mut self) -> News {
        let mut news = self.0.feed.lock();
        news.as_mut().map(mem::take).unwrap_or_default()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        *self.0.feed.lock() = None;
    }
}

impl Feed {
    fn tell(&self, say: impl FnOnce(&mut News)) {
        if let Some(news) = &mut *self.lock() {
            say(news);
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SHARDS: usize = 16;

/// The interest in one account.
#[derive(Debug)]
pub(super) struct Notice {
    account: AccountId,
    changes: watch::Sender<u64>,
    ears: Ears,
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
            ears: Ears::default(),
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

    /// Follows all accounts from now on.
    pub(super) fn follow(self: &Arc<Self>) -> Follower {
        *self.feed.lock() = Some(News::default());
        Follower(Arc::clone(self))
    }

    /// Tells the follower that emails were removed.
    pub(super) fn removed(&self, emails: usize) {
        self.feed.tell(|news| news.removed_emails += emails as u64);
    }

    /// Wakes all who are interested in `account`, because of these changes.
    pub(super) fn announce(&self, account: AccountId, about: &[About]) {
        self.feed.tell(|news| _ = news.accounts.insert(account));
        if let Some(notice) = self.known(account) {
            notice.changes.send_modify(|count| *count += 1);
            notice.ears.tell(account, about);
        }
    }

    /// Tells those who listen to `account`: what it has itself is as it was.
    pub(super) fn tell(&self, account: AccountId, about: &[About]) {
        if let Some(notice) = self.known(account) {
            notice.ears.tell(account, about);
        }
    }

    fn known(&self, account: AccountId) -> Option<Arc<Notice>> {
        self.shard(account).get(&account).and_then(Weak::upgrade)
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

    /// Who listens to the account.
    pub(super) fn ears(&self) -> &Ears {
        &self.ears
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
    about: Vec<About>,
    /// Only those who listen learn of it.
    is_for_ears: bool,
    due: bool,
}

impl<'a> Announcement<'a> {
    pub(super) fn new(hub: &'a Hub, account: AccountId, about: Vec<About>) -> Self {
        Self {
            hub,
            account,
            about,
            is_for_ears: false,
            due: true,
        }
    }

    /// That others let `account` see more or less than before.
    pub(super) fn of_rights(hub: &'a Hub, account: AccountId) -> Self {
        let mut announcement = Self::new(hub, account, vec![About::Names]);
        announcement.is_for_ears = true;
        announcement
    }

    /// Nothing changed after all.
    pub(super) fn cancel(mut self) {
        self.due = false;
    }
}

impl Drop for Announcement<'_> {
    fn drop(&mut self) {
        match self.is_for_ears {
            _ if !self.due => {}
            true => self.hub.tell(self.account, &self.about),
            false => self.hub.announce(self.account, &self.about),
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
        hub.announce(AccountId(17), &[]);
        assert!(now_or_never(watch.changed()).is_none());
        hub.announce(AccountId(1), &[]);
        hub.announce(AccountId(1), &[]);
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
        hub.announce(AccountId(1), &[]);
    }

    #[test]
    fn a_follower_hears_of_all_accounts_once() {
        let hub = Arc::new(Hub::default());
        hub.announce(AccountId(1), &[]);
        let mut follower = hub.follow();
        assert!(now_or_never(follower.heard()).is_none());
        for account in [3, 2, 3] {
            hub.announce(AccountId(account), &[]);
        }
        hub.removed(5);
        assert!(now_or_never(follower.heard()).is_some());
        let news = follower.take();
        assert_eq!(Vec::from_iter(news.accounts), [AccountId(2), AccountId(3)]);
        assert_eq!(news.removed_emails, 5);
        assert!(now_or_never(follower.heard()).is_none());
        drop(follower);
        hub.announce(AccountId(1), &[]);
        assert!(hub.feed.lock().is_none());
    }

    #[test]
    fn a_change_that_is_cut_off_is_announced() {
        let hub = Arc::new(Hub::default());
        let mut watch = hub.watch(AccountId(1));
        Announcement::new(&hub, AccountId(1), Vec::new()).cancel();
        assert!(now_or_never(watch.changed()).is_none());
        drop(Announcement::new(&hub, AccountId(1), Vec::new()));
        assert!(now_or_never(watch.changed()).is_some());
    }
}
