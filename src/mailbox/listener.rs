//! One who listens to accounts: what each change was about, until he looks.
//!
//! A notice is a hint, also here: who hears of a mailbox reads the store. Hints are kept for each
//! listener until he takes them, each once and no more than [`HINTS_MAX`]; beyond that he is told
//! that some are lost, and has to look at everything. An account that nobody listens to costs
//! nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::notify::{Hub, Notice};
use crate::{base::ids::AccountId, store::About};

/// Hears what changes in some accounts.
#[derive(Debug)]
pub struct Listener {
    hub: Arc<Hub>,
    ear: Arc<Ear>,
    /// They stay known as long as somebody listens to them.
    notices: BTreeMap<AccountId, Arc<Notice>>,
}

/// What was heard since the last time.
#[derive(Debug, Default)]
pub struct Heard {
    /// What changed, and whose it is.
    pub about: BTreeSet<(AccountId, About)>,
    /// More than that.
    pub is_lost: bool,
}

impl Heard {
    /// Takes in what was heard later.
    pub fn add(&mut self, later: Self) {
        self.about.extend(later.about);
        self.is_lost |= later.is_lost || self.about.len() > 2 * HINTS_MAX;
        if self.is_lost {
            self.about.clear();
        }
    }

    /// Nothing was.
    pub fn is_empty(&self) -> bool {
        self.about.is_empty() && !self.is_lost
    }

    /// Some of it is said to every listener.
    pub fn is_for_everybody(&self) -> bool {
        self.about.iter().any(|(whose, _)| *whose == EVERYBODY)
    }
}

/// Where the notices of accounts put it.
#[derive(Debug, Default)]
pub(super) struct Ear {
    heard: Mutex<Heard>,
    wake: Notify,
}

impl Ear {
    fn tell(&self, account: AccountId, about: &[About]) {
        let mut heard = self.heard();
        for about in about {
            if !heard.is_lost {
                heard.about.insert((account, about.clone()));
            }
            if heard.about.len() > HINTS_MAX {
                heard.about.clear();
                heard.is_lost = true;
            }
        }
        drop(heard);
        self.wake.notify_one();
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who listens to one account.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<Vec<Weak<Ear>>>);

impl Ears {
    /// Tells all of them.
    pub(super) fn tell(&self, account: AccountId, about: &[About]) {
        for ear in self.lock().iter().filter_map(Weak::upgrade) {
            ear.tell(account, about);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Ear>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// One who hears only what is for everybody.
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let mut listener = Self {
            hub,
            ear: Arc::default(),
            notices: BTreeMap::new(),
        };
        listener.listen_to(EVERYBODY);
        listener
    }

    /// Listens to `account`, too, from now on.
    pub fn listen_to(&mut self, account: AccountId) {
        let (hub, ear) = (&self.hub, &self.ear);
        self.notices.entry(account).or_insert_with(|| {
            let notice = hub.notice(account);
            notice.ears().lock().push(Arc::downgrade(ear));
            notice
        });
    }

    /// Listens to none but these from now on, and to what is for everybody.
    pub fn listen_only_to(&mut self, accounts: &BTreeSet<AccountId>) {
        let ear = &self.ear;
        self.notices.retain(|account, notice| {
            let stays = *account == EVERYBODY || accounts.contains(account);
            if !stays {
                leave(notice, ear);
            }
            stays
        });
        for account in accounts {
            self.listen_to(*account);
        }
    }

    /// Returns when something was heard. May be dropped and called again.
    pub async fn heard(&self) {
        while self.ear.heard().is_empty() {
            self.ear.wake.notified().await;
        }
    }

    /// Takes what was heard.
    pub fn take(&self) -> Heard {
        mem::take(&mut *self.ear.heard())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for notice in self.notices.values() {
            leave(notice, &self.ear);
        }
    }
}

fn leave(notice: &Notice, ear: &Arc<Ear>) {
    let mut ears = notice.ears().lock();
    ears.retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(ear)));
}

/// What is announced of it concerns every listener; no account has this number.
pub(super) const EVERYBODY: AccountId = AccountId(0);

/// LIM-36: things that changed that are remembered for one listener.
const HINTS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;
    use crate::base::ids::MailboxId;

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        let polled = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
        matches!(polled, Poll::Ready(()))
    }

    fn messages(of: usize) -> About {
        About::Messages(MailboxId(of as u64))
    }

    #[test]
    fn a_listener_hears_of_his_accounts_and_of_everybody() {
        let hub = Arc::new(Hub::default());
        let mut listener = Listener::new(Arc::clone(&hub));
        hub.announce(AccountId(1), &[messages(1)]);
        assert!(!is_ready(listener.heard()));
        listener.listen_to(AccountId(1));
        listener.listen_to(AccountId(1));
        for of in [2, 2, 3] {
            hub.announce(AccountId(1), &[messages(of)]);
            hub.announce(AccountId(2), &[messages(of)]);
        }
        hub.tell(EVERYBODY, &[About::Names]);
        assert!(is_ready(listener.heard()) && is_ready(listener.heard()));
        let heard = listener.take();
        let expected = [
            (EVERYBODY, About::Names),
            (AccountId(1), messages(2)),
            (AccountId(1), messages(3)),
        ];
        assert!(!heard.is_lost && heard.about.into_iter().eq(expected));
        assert!(!is_ready(listener.heard()));
        listener.listen_only_to(&BTreeSet::from([AccountId(2)]));
        hub.announce(AccountId(1), &[messages(1)]);
        assert!(!is_ready(listener.heard()));
        hub.announce(AccountId(2), &[messages(1)]);
        assert!(is_ready(listener.heard()));
        let notice = hub.notice(AccountId(2));
        assert_eq!(notice.ears().lock().len(), 1);
        drop(listener);
        assert!(notice.ears().lock().is_empty());
    }

    #[test]
    fn lim_36_what_a_listener_has_not_taken_is_bounded() {
        let hub = Arc::new(Hub::default());
        let mut listener = Listener::new(Arc::clone(&hub));
        listener.listen_to(AccountId(1));
        for of in 0..HINTS_MAX {
            hub.announce(AccountId(1), &[messages(of)]);
        }
        let heard = listener.take();
        assert_eq!((heard.about.len(), heard.is_lost), (HINTS_MAX, false));
        for of in 0..2 * HINTS_MAX {
            hub.announce(AccountId(1), &[messages(of)]);
        }
        let heard = listener.take();
        assert_eq!((heard.about.len(), heard.is_lost), (0, true));
        hub.announce(AccountId(1), &[messages(1)]);
        assert_eq!(listener.take().about.len(), 1);
    }
}
