//! What all of this folder's services share: engine, clock, notices, mailboxes in memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    fault::{ChangeError, MailboxFault},
    flags::Keyword,
    limits::{COUNTED_MAILBOXES_MAX, GRACE_WITHOUT_ROOM, IDLE_MAILBOXES_MAX},
    memory::BodyMemory,
    notify::{Announcement, Hub},
    service::Options,
    shared::{Cache, Shared},
};
use crate::{
    base::{
        clock::Clock,
        ids::{AccountId, BlobId, MailboxId},
        random::Random,
    },
    store::{About, Applied, Batch, CommitError, Engine, Key, Room, Write, key},
};

/// Shared by all handles of one process.
pub(super) struct Core {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) options: Options,
    pub(super) hub: Arc<Hub>,
    pub(super) cache: Cache,
    pub(super) memory: BodyMemory,
    /// Records written into mailboxes without looking at them, as a hint for snapshots.
    unread: Mutex<HashMap<(AccountId, MailboxId), u32>>,
    /// Where the next round of the sweep begins, when not at the first account.
    swept: Mutex<Option<Key>>,
}

impl Core {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        clock: Clock,
        random: Random,
        options: Options,
    ) -> Self {
        Self {
            engine,
            clock,
            random,
            memory: BodyMemory::new(options.body_memory_bytes),
            options,
            hub: Arc::default(),
            cache: Cache::default(),
            unread: Mutex::default(),
            swept: Mutex::default(),
        }
    }

    /// Commits a change of an account and wakes its watchers.
    pub(super) async fn commit(
        &self,
        account: AccountId,
        batch: Batch,
    ) -> Result<Applied, CommitError> {
        let announcement = Announcement::new(&self.hub, account, subjects(&batch, account));
        let outcome = self.engine.commit(batch).await;
        if outcome.is_err() {
            announcement.cancel();
        }
        outcome
    }

    /// The mailbox in memory, up to date.
    pub(super) async fn shared(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Arc<Shared>, MailboxFault> {
        if let Some(shared) = self.cache.find(account, mailbox) {
            match shared.refresh(&*self.engine).await {
                // Another mailbox may have its number now.
                Err(MailboxFault::Deleted) => self.cache.forget(account, mailbox),
                outcome => return outcome.map(|()| shared),
            }
        }
        let shared = self.loaded(account, mailbox).await?;
        let shared = self.cache.keep(shared);
        if self.cache.len() > 2 * IDLE_MAILBOXES_MAX {
            self.cache.evict();
        }
        Ok(shared)
    }

    /// The mailbox as read from the store just now, for one use.
    pub(super) async fn loaded(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Shared, MailboxFault> {
        let notice = self.hub.notice(account);
        Shared::load(&*self.engine, notice, account, mailbox).await
    }

    /// LIM-24: whether messages with these keywords may come into a mailbox.
    pub(super) async fn check_keywords(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        keywords: &[Keyword],
    ) -> Result<(), ChangeError> {
        if keywords.is_empty() {
            return Ok(());
        }
        let shared = self.shared(account, mailbox).await?;
        if shared.read(|index| index.has_room_for(keywords)) {
            Ok(())
        } else {
            Err(ChangeError::TooMany("keywords"))
        }
    }

    /// A sum of the account.
    pub(super) async fn sum(&self, key: &Key) -> Result<u64, MailboxFault> {
        let stored = self.engine.get(key).await?;
        let sum = stored.and_then(|bytes| Some(i64::from_be_bytes(*bytes.first_chunk()?)));
        Ok(sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0))
    }

    /// Whether an account that may hold `quota` bytes has room for `more`. Only the commit can say
    /// it for sure.
    pub(super) async fn check_room(
        &self,
        account: AccountId,
        more: u64,
        quota: Option<u64>,
    ) -> Result<(), ChangeError> {
        let Some(quota) = quota else { return Ok(()) };
        let used = self.sum(&key::used_bytes(account)).await?;
        if used.saturating_add(more) > quota {
            return Err(ChangeError::OverQuota);
        }
        Ok(())
    }

    /// Notes that a record goes into a mailbox that need not be in memory.
    pub(super) fn count_record(&self, account: AccountId, mailbox: MailboxId) {
        let mut unread = self.unread();
        if unread.len() >= COUNTED_MAILBOXES_MAX {
            // Hints may be lost; those that are worth least go.
            let most = unread.values().max().copied().unwrap_or(0);
            unread.retain(|_, records| *records > most / 2);
            if unread.len() > COUNTED_MAILBOXES_MAX / 2 {
                // All are worth about the same; looking at them for each record would cost more.
                unread.clear();
            }
        }
        *unread.entry((account, mailbox)).or_default() += 1;
    }

    /// Takes the mailboxes that got at least `least` records unread.
    pub(super) fn take_counted(&self, least: u32) -> Vec<(AccountId, MailboxId)> {
        let mut unread = self.unread();
        let places: Vec<_> = unread
            .iter()
            .filter(|(_, records)| **records >= least)
            .map(|(place, _)| *place)
            .collect();
        for place in &places {
            unread.remove(place);
        }
        places
    }

    /// How long what lost its last place stays stored; not as long when room is needed (DUR-04).
    pub(super) fn grace(&self) -> Duration {
        match self.engine.room() {
            Room::Enough => self.options.grace,
            Room::Low => self.options.grace.min(GRACE_WITHOUT_ROOM),
        }
    }

    pub(super) fn swept(&self) -> Option<Key> {
        self.swept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn set_swept(&self, from: Option<Key>) {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = from;
    }

    /// A name for a new body.
    pub(super) fn fresh_blob(&self) -> BlobId {
        BlobId::fresh(self.clock.wall(), &self.random)
    }

    fn unread(&self) -> MutexGuard<'_, HashMap<(AccountId, MailboxId), u32>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What those who listen to the account learn of a batch.
fn subjects(batch: &Batch, account: AccountId) -> Vec<About> {
    let about = batch.writes.iter().filter_map(|write| match write {
        Write::Put(key, _) => About::of(&key.bytes),
        Write::Delete(key) => key.about(),
        Write::Sum(..) | Write::DropBody(_) => None,
    });
    let ours = about.filter(|(whose, _)| *whose == account);
    let mut about: Vec<About> = Vec::new();
    for (_, one) in ours {
        // A rename writes thousands of names.
        if about.last() != Some(&one) {
            about.push(one);
        }
    }
    about
}
