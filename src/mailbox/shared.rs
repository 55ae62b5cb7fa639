//! Mailboxes in memory: one shared index per mailbox and process, and the bounded set of them.
//!
//! The index is only ever what the log says. It is read under a lock that is never held across an
//! await; catching up is serialised by an async mutex, so that a hundred sessions woken by one
//! delivery read its record once. Notices tell when there is something to read; since they are
//! hints, a mailbox is also read when the last look is some seconds old.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    entry::MailboxRecord,
    fault::MailboxFault,
    index::Index,
    limits::{IDLE_MAILBOXES_MAX, IDLE_MESSAGES_MAX, NOTICE_TRUSTED},
    load::{self, Loaded, Snapshot},
    notify::Notice,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq},
    store::{Engine, key},
};

/// One mailbox in memory.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    pub(super) record: MailboxRecord,
    index: RwLock<Index>,
    /// Log records behind the snapshot.
    tail: AtomicU32,
    /// First UID that no session has had as recent (RFC 3501 2.3.2).
    recent_from: AtomicU32,
    /// The same, as it is stored.
    recent_saved: AtomicU32,
    /// The stored snapshot; held while the next one is written.
    pub(super) snapshot: tokio::sync::Mutex<Option<Snapshot>>,
    /// Serialises changes that would else meet in a conflict; not what makes them correct.
    pub(super) changing: tokio::sync::Mutex<()>,
    reading: tokio::sync::Mutex<()>,
    fresh: Mutex<Fresh>,
    notice: Arc<Notice>,
    used: AtomicU64,
}

/// How current the index is.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    /// Notices of the account that came before the last look at the log.
    notices: u64,
    at: Instant,
}

/// After this long without a look, the log may have been trimmed beyond the index.
const TRIM_CHECKED: Duration = Duration::from_secs(5);

impl Shared {
    /// Reads a mailbox from the store.
    pub(super) async fn load(
        engine: &dyn Engine,
        notice: Arc<Notice>,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Self, MailboxFault> {
        let notices = notice.count();
        let at = Instant::now();
        let record = read_record(engine, account, mailbox)
            .await?
            .ok_or(MailboxFault::Deleted)?;
        let loaded = load::load(engine, account, mailbox, record.created).await?;
        let Loaded {
            index,
            snapshot,
            tail,
        } = loaded;
        let recent_from = load::read_recent(engine, account, mailbox).await?;
        Ok(Self {
            account,
            mailbox,
            record,
            index: RwLock::new(index),
            tail: AtomicU32::new(tail),
            recent_from: AtomicU32::new(recent_from),
            recent_saved: AtomicU32::new(recent_from),
            snapshot: tokio::sync::Mutex::new(snapshot),
            changing: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            fresh: Mutex::new(Fresh { notices, at }),
            notice,
            used: AtomicU64::new(0),
        })
    }

    /// Reads the index.
    pub(super) fn read<R>(&self, f: impl FnOnce(&Index) -> R) -> R {
        f(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Brings the index up to date, if there may be anything new.
    pub(super) async fn refresh(&self, engine: &dyn Engine) -> Result<(), MailboxFault> {
        let notices = self.notice.count();
        if self.is_fresh(notices) {
            return Ok(());
        }
        let _reading = self.reading.lock().await;
        if self.is_fresh(notices) {
            return Ok(());
        }
        self.catch_up(engine).await
    }

    /// Brings the index up to date, whatever notices say: after a conflict.
    pub(super) async fn refresh_now(&self, engine: &dyn Engine) -> Result<(), MailboxFault> {
        let _reading = self.reading.lock().await;
        self.catch_up(engine).await
    }

    /// Brings the index up to a change of its own that was logged at `modseq`.
    pub(super) async fn refresh_to(
        &self,
        engine: &dyn Engine,
        modseq: ModSeq,
    ) -> Result<(), MailboxFault> {
        let _reading = self.reading.lock().await;
        if self.read(Index::modseq) < modseq {
            self.read_log(engine).await?;
        }
        Ok(())
    }

    /// The first recent UID for a session that is told of `index`. With `read_write` no later
    /// session gets the same messages as recent (RFC 3501 6.3.1, 6.3.2).
    pub(super) fn claim_recent(&self, index: &Index, read_write: bool) -> u32 {
        if read_write {
            self.recent_from.fetch_max(index.uid_next(), Relaxed)
        } else {
            self.recent_from.load(Relaxed)
        }
    }

    /// The first recent UID, when it is not stored yet.
    pub(super) fn unsaved_recent(&self) -> Option<u32> {
        let from = self.recent_from.load(Relaxed);
        (from != self.recent_saved.load(Relaxed)).then_some(from)
    }

    /// Notes that this first recent UID is stored.
    pub(super) fn saved_recent(&self, from: u32) {
        self.recent_saved.store(from, Relaxed);
    }

    /// Records of the log that the next snapshot would cover.
    pub(super) fn unsaved(&self) -> u32 {
        self.tail.load(Relaxed)
    }

    /// Notes that a snapshot covers `records` of the log.
    pub(super) fn covered(&self, records: u32) {
        let _ = self
            .tail
            .fetch_update(Relaxed, Relaxed, |tail| Some(tail.saturating_sub(records)));
    }

    fn is_fresh(&self, notices: u64) -> bool {
        let fresh = *self.fresh();
        fresh.notices >= notices && fresh.at.elapsed() < NOTICE_TRUSTED
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn catch_up(&self, engine: &dyn Engine) -> Result<(), MailboxFault> {
        let stored = engine
            .get(&key::mailbox(self.account, self.mailbox))
            .await?;
        let stored = stored.ok_or(MailboxFault::Deleted)?;
        if MailboxRecord::decode(&stored).is_ok_and(|record| record != self.record) {
            // Its number was given to a new mailbox, as a damaged INBOX is when it is renamed.
            return Err(MailboxFault::Deleted);
        }
        if self.fresh().at.elapsed() > TRIM_CHECKED {
            let trimmed = load::read_trimmed(engine, self.account, self.mailbox).await?;
            if trimmed > self.read(Index::modseq) {
                return self.reload(engine).await;
            }
        }
        self.read_log(engine).await
    }

    async fn read_log(&self, engine: &dyn Engine) -> Result<(), MailboxFault> {
        let notices = self.notice.count();
        let at = Instant::now();
        loop {
            let after = self.read(Index::modseq);
            let page = load::log_page(engine, self.account, self.mailbox, after).await?;
            if !page.records.is_empty() {
                let records = u32::try_from(page.records.len()).unwrap_or(u32::MAX);
                self.tail.fetch_add(records, Relaxed);
                let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
                load::apply(&mut index, &page);
            }
            if !page.more {
                break;
            }
        }
        *self.fresh() = Fresh { notices, at };
        Ok(())
    }

    async fn reload(&self, engine: &dyn Engine) -> Result<(), MailboxFault> {
        let notices = self.notice.count();
        let at = Instant::now();
        let loaded = load::load(engine, self.account, self.mailbox, self.record.created).await?;
        *self.snapshot.lock().await = loaded.snapshot;
        self.tail.store(loaded.tail, Relaxed);
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = loaded.index;
        *self.fresh() = Fresh { notices, at };
        Ok(())
    }
}

/// The stored record of a mailbox, if the mailbox exists.
pub(super) async fn read_record(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<Option<MailboxRecord>, MailboxFault> {
    let stored = engine.get(&key::mailbox(account, mailbox)).await?;
    stored
        .map(|bytes| MailboxRecord::decode(&bytes))
        .transpose()
        .map_err(|_| MailboxFault::Damaged("its record"))
}

/// The mailboxes in memory. Those in use stay; of the others the most recently used ones stay, up
/// to a bound.
#[derive(Debug, Default)]
pub(super) struct Cache {
    mailboxes: Mutex<HashMap<(AccountId, MailboxId), Arc<Shared>>>,
    uses: AtomicU64,
}

impl Cache {
    pub(super) fn find(&self, account: AccountId, mailbox: MailboxId) -> Option<Arc<Shared>> {
        let shared = self.lock().get(&(account, mailbox)).cloned()?;
        shared.used.store(self.uses.fetch_add(1, Relaxed), Relaxed);
        Some(shared)
    }

    /// Keeps a mailbox; when another session was faster, its one is the answer.
    pub(super) fn keep(&self, shared: Shared) -> Arc<Shared> {
        shared.used.store(self.uses.fetch_add(1, Relaxed), Relaxed);
        let place = (shared.account, shared.mailbox);
        let mut mailboxes = self.lock();
        Arc::clone(mailboxes.entry(place).or_insert_with(|| Arc::new(shared)))
    }

    pub(super) fn forget(&self, account: AccountId, mailbox: MailboxId) {
        self.lock().remove(&(account, mailbox));
    }

    pub(super) fn all(&self) -> Vec<Arc<Shared>> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Drops mailboxes that nobody uses beyond the bound. The caller of `all` must not hold them.
    pub(super) fn evict(&self) {
        let mut mailboxes = self.lock();
        let mut idle: Vec<_> = mailboxes
            .iter()
            .filter(|(_, shared)| is_idle(shared))
            .map(|(place, shared)| (shared.used.load(Relaxed), *place, shared.read(Index::len)))
            .collect();
        idle.sort_unstable_by(|a, b| b.cmp(a));
        let mut messages = 0;
        for (n, (_, place, length)) in idle.into_iter().enumerate() {
            messages += length;
            if n >= IDLE_MAILBOXES_MAX || messages > IDLE_MESSAGES_MAX {
                mailboxes.remove(&place);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(AccountId, MailboxId), Arc<Shared>>> {
        self.mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether only the cache holds this mailbox.
fn is_idle(shared: &Arc<Shared>) -> bool {
    Arc::strong_count(shared) == 1
}
