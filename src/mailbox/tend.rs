//! Background work on mailboxes: snapshots where the log has grown, and the rounds in which all of
//! it happens.
//!
//! Nothing here is needed for correctness: a mailbox without a snapshot is its log. Everything is
//! conditional on what was read, so that two processes, or a crash at any point, do no harm.

use std::{future::Future, pin::pin, sync::Arc};

use bytes::Bytes;

use super::{
    compose::weight,
    fault::MailboxFault,
    limits::{
        BACKGROUND_BATCH_BYTES, TAIL_RECORDS, TAIL_RECORDS_IDLE, TEND_INTERVAL, VALUE_BYTES_MAX,
    },
    load::{self, Snapshot},
    service::Mailboxes,
    shared::Shared,
    snapshot::{Head, Plan, plan},
};
use crate::{
    base::{
        future::{Panicked, caught},
        ids::{AccountId, MailboxId, ModSeq},
    },
    store::{Batch, CommitError, Key, KeyRange, Order, PageLimit, Room, key},
};

/// A sweep reads all indexes of an account, so it comes once in as many rounds: once a minute.
const SWEEP_ROUNDS: u64 = 12;
/// The same while the disk is nearly full: every ten seconds (DUR-04).
const SWEEP_ROUNDS_WITHOUT_ROOM: u64 = 2;
/// Keys that one batch of a trim deletes.
const TRIM_KEYS: usize = 500;

impl Mailboxes {
    /// The background work, until `stop`: snapshots, and the sweep of what nobody refers to.
    pub async fn maintain(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        for round in 1_u64.. {
            let work = async {
                tokio::time::sleep(TEND_INTERVAL).await;
                self.write_snapshots().await;
                let rounds = match self.core.engine.room() {
                    Room::Enough => SWEEP_ROUNDS,
                    Room::Low => SWEEP_ROUNDS_WITHOUT_ROOM,
                };
                if round.is_multiple_of(rounds) {
                    self.sweep_all().await;
                }
            };
            tokio::select! {
                () = &mut stop => return,
                done = caught(work) => note_panic(&done),
            }
        }
    }

    /// One round of the sweep. May be dropped at any point.
    pub(super) async fn sweep_all(&self) {
        attempt(self.sweep()).await;
        attempt(self.erase_removed()).await;
    }

    /// Writes the snapshots that are due. May be dropped at any point.
    pub(super) async fn write_snapshots(&self) {
        self.core.cache.evict();
        for shared in self.core.cache.all() {
            // The cache holds it, and this round.
            let idle = Arc::strong_count(&shared) <= 2;
            if idle {
                attempt(self.save_recent(&shared)).await;
            }
            attempt(self.write_due(&shared, idle)).await;
        }
        for (account, mailbox) in self.core.take_counted(TAIL_RECORDS) {
            attempt(self.write_counted(account, mailbox)).await;
        }
    }

    /// Writes the snapshot of a mailbox in memory when enough has happened since its last one.
    async fn write_due(&self, shared: &Shared, idle: bool) -> Result<(), MailboxFault> {
        let tail = shared.unsaved();
        if tail < TAIL_RECORDS && !(idle && tail >= TAIL_RECORDS_IDLE) {
            return Ok(());
        }
        let outcome = self.write_snapshot(shared).await;
        if matches!(outcome, Err(MailboxFault::Deleted)) {
            self.core.cache.forget(shared.account, shared.mailbox);
        }
        outcome
    }

    /// Writes the snapshot of a mailbox that got many records, unless it has one already.
    async fn write_counted(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<(), MailboxFault> {
        // A mailbox that nobody uses is read for this once and not kept.
        let shared = match self.core.cache.find(account, mailbox) {
            Some(shared) => shared,
            None => Arc::new(self.core.loaded(account, mailbox).await?),
        };
        shared.refresh_now(&*self.core.engine).await?;
        if shared.unsaved() >= TAIL_RECORDS_IDLE {
            self.write_snapshot(&shared).await?;
        }
        Ok(())
    }

    /// Stores from where messages are recent, when a session moved that. It has a key of its own:
    /// a snapshot would be packed again for every SELECT.
    async fn save_recent(&self, shared: &Shared) -> Result<(), MailboxFault> {
        let Some(from) = shared.unsaved_recent() else {
            return Ok(());
        };
        let engine = &*self.core.engine;
        shared.refresh_now(engine).await?;
        let mut batch = Batch::new();
        batch.present(key::mailbox(shared.account, shared.mailbox));
        let key = key::recent(shared.account, shared.mailbox);
        batch.put(key, from.to_be_bytes().to_vec());
        match engine.commit(batch).await {
            Ok(_) => shared.saved_recent(from),
            // Deleted just now.
            Err(CommitError::Conflict) => {}
            Err(error) => return Err(MailboxFault::Commit(error)),
        }
        Ok(())
    }

    /// Writes the snapshot of a mailbox as it stands, unless another process did.
    pub(super) async fn write_snapshot(&self, shared: &Shared) -> Result<(), MailboxFault> {
        let engine = &*self.core.engine;
        shared.refresh_now(engine).await?;
        let mut stored = shared.snapshot.lock().await;
        let last = stored.as_ref().map(|s| s.head.clone()).unwrap_or_default();
        let covered = shared.unsaved();
        let planned = shared.read(|index| {
            let behind = index.modseq().0 > last.standing.modseq;
            // What a damaged log lost must not become the truth (DUR-10).
            (behind && !index.is_damaged()).then(|| plan(&last, index, covered))
        });
        let Some(mut planned) = planned else {
            return Ok(());
        };
        if planned.head.encode().len() > VALUE_BYTES_MAX {
            tracing::warn!(
                messages = shared.read(super::Index::len),
                "a mailbox is too large for a snapshot"
            );
            return Ok(());
        }
        let outcome = self.commit_snapshot(shared, &stored, &mut planned).await;
        match outcome {
            Ok(bytes) => {
                let trimmed = ModSeq(planned.head.trimmed);
                *stored = Some(Snapshot {
                    head: planned.head,
                    bytes,
                    strays: Vec::new(),
                });
                shared.covered(covered);
                drop(stored);
                self.trim_log(shared, trimmed).await
            }
            Err(CommitError::Conflict) => {
                *stored = load::read_snapshot(engine, shared.account, shared.mailbox).await?;
                Ok(())
            }
            Err(error) => Err(MailboxFault::Commit(error)),
        }
    }

    /// Commits a plan; large ones in several batches. Answers the head as stored.
    async fn commit_snapshot(
        &self,
        shared: &Shared,
        stored: &Option<Snapshot>,
        planned: &mut Plan,
    ) -> Result<Bytes, CommitError> {
        let (account, mailbox) = (shared.account, shared.mailbox);
        let chunk = |number| key::snapshot_chunk(account, mailbox, number);
        let total: usize = planned
            .written
            .iter()
            .map(|(_, bytes)| bytes.len() + 64)
            .sum();
        let mut head = stored.as_ref().map(|snapshot| snapshot.bytes.clone());
        let mut chunks = std::mem::take(&mut planned.written).into_iter().peekable();
        if total > BACKGROUND_BATCH_BYTES {
            // Reserved numbers are nobody else's: whoever reads this head counts on from it, and
            // every batch that follows requires it.
            let reserved = Head {
                next_chunk: planned.head.next_chunk,
                ..stored.as_ref().map(|s| s.head.clone()).unwrap_or_default()
            };
            head = Some(
                self.commit_head(shared, head, &reserved, Batch::new())
                    .await?,
            );
            while chunks.peek().is_some() {
                let mut batch = Batch::new();
                batch.present(key::mailbox(account, mailbox));
                batch.unchanged(key::snapshot(account, mailbox), head.clone());
                for (number, bytes) in chunks.by_ref() {
                    batch.put(chunk(number), bytes);
                    if weight(&batch) > BACKGROUND_BATCH_BYTES {
                        break;
                    }
                }
                self.core.engine.commit(batch).await?;
            }
        }
        let mut batch = Batch::new();
        for (number, bytes) in chunks {
            batch.put(chunk(number), bytes);
        }
        let strays = stored.iter().flat_map(|snapshot| &snapshot.strays);
        for number in planned.dropped.iter().chain(strays) {
            batch.delete(chunk(*number));
        }
        self.commit_head(shared, head, &planned.head, batch).await
    }

    async fn commit_head(
        &self,
        shared: &Shared,
        before: Option<Bytes>,
        head: &Head,
        mut batch: Batch,
    ) -> Result<Bytes, CommitError> {
        let key = key::snapshot(shared.account, shared.mailbox);
        let bytes = Bytes::from(head.encode());
        batch.present(key::mailbox(shared.account, shared.mailbox));
        batch.unchanged(key.clone(), before);
        batch.put(key, bytes.to_vec());
        self.core.engine.commit(batch).await?;
        Ok(bytes)
    }

    /// Deletes log records that are history no more. A stop in between leaves them for the next
    /// time.
    async fn trim_log(&self, shared: &Shared, trimmed: ModSeq) -> Result<(), MailboxFault> {
        if trimmed == ModSeq(0) {
            return Ok(());
        }
        let range = KeyRange {
            from: key::logs(shared.account, shared.mailbox),
            to: key::log(shared.account, shared.mailbox, ModSeq(trimmed.0 + 1)),
        };
        self.delete_range(range).await
    }

    /// Deletes all keys of a range, in bounded batches.
    pub(super) async fn delete_range(&self, range: KeyRange) -> Result<(), MailboxFault> {
        let limit = PageLimit::entries(TRIM_KEYS);
        loop {
            let page = self
                .core
                .engine
                .page(range.clone(), limit, Order::Ascending)
                .await?;
            let keys: Vec<Key> = page.entries.into_iter().map(|(key, _)| key).collect();
            if keys.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            for key in keys {
                batch.delete(key);
            }
            self.core
                .engine
                .commit(batch)
                .await
                .map_err(MailboxFault::Commit)?;
            if !page.more {
                return Ok(());
            }
        }
    }
}

/// Does one piece of the background work, whose failure or bug does not keep the others from being
/// done; it is tried again in a later round. Whether it was done.
pub(super) fn attempt(
    work: impl Future<Output = Result<(), MailboxFault>>,
) -> impl Future<Output = bool> {
    let work = caught(work);
    async {
        let done = work.await;
        note_panic(&done);
        match done {
            Ok(Ok(()) | Err(MailboxFault::Deleted)) => true,
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "background work on mailboxes failed");
                false
            }
            Err(Panicked) => false,
        }
    }
}

fn note_panic<T>(done: &Result<T, Panicked>) {
    if done.is_err() {
        tracing::error!("background work on mailboxes hit a bug; the rest of it goes on");
    }
}
