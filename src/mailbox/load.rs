//! Reading a mailbox from the store: snapshot, then the tail of its log.
//!
//! Records that cannot be understood are skipped and remembered (DUR-10): the rest of the mailbox
//! stays readable, and nothing is derived from what is missing. A snapshot that is damaged or gone
//! is replaced by the whole log when that is still there; else what is left of it is shown.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    codec::Undecodable,
    fault::MailboxFault,
    index::Index,
    limits::ATTEMPTS_MAX,
    record::Record,
    snapshot::{self, Head},
    tree::all_below,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq},
    store::{Engine, KeyRange, Order, PageLimit, ReadError, key},
};

/// A mailbox as read from the store.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) index: Index,
    pub(super) snapshot: Option<Snapshot>,
    /// Log records behind the snapshot.
    pub(super) tail: u32,
}

/// The head of a stored snapshot.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// Empty when what is stored cannot be understood.
    pub(super) head: Head,
    /// As it is stored.
    pub(super) bytes: Bytes,
    /// Chunks that a writer left behind when it was cut off.
    pub(super) strays: Vec<u32>,
}

/// One page of a log.
#[derive(Debug)]
pub(super) struct LogPage {
    pub(super) records: Vec<(ModSeq, Result<Record, Undecodable>)>,
    pub(super) more: bool,
}

/// Reads the mailbox that was created at `created`.
pub(super) async fn load(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
    created: ModSeq,
) -> Result<Loaded, MailboxFault> {
    for _ in 0..ATTEMPTS_MAX {
        let mut snapshot = read_snapshot(engine, account, mailbox).await?;
        let mut index = match &mut snapshot {
            None => Index::new(created),
            Some(snapshot) => restore(engine, account, mailbox, snapshot).await?,
        };
        let mut from_snapshot = true;
        if index.is_damaged() {
            if superseded(engine, account, mailbox, snapshot.as_ref()).await? {
                // A newer snapshot has replaced this one while its chunks were read.
                continue;
            }
            let whole = log_is_whole(engine, account, mailbox, created).await?;
            tracing::error!(
                account.id = account.0,
                mailbox.id = mailbox.0,
                log.whole = whole,
                "a mailbox snapshot is damaged; its log is read instead while that is whole"
            );
            if whole {
                index = Index::new(created);
                from_snapshot = false;
            }
        }
        let mut loaded = Loaded {
            index,
            snapshot,
            tail: 0,
        };
        let base = loaded.index.modseq();
        replay(engine, account, mailbox, &mut loaded).await?;
        // The log may have been trimmed beyond the snapshot while it was read.
        let trimmed = read_trimmed(engine, account, mailbox).await?;
        if trimmed <= base || !from_snapshot {
            return Ok(loaded);
        }
    }
    Err(MailboxFault::Damaged("its snapshots change all the time"))
}

/// The stored snapshot's head.
pub(super) async fn read_snapshot(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<Option<Snapshot>, ReadError> {
    let stored = engine.get(&key::snapshot(account, mailbox)).await?;
    Ok(stored.map(|bytes| Snapshot {
        head: Head::decode(&bytes).unwrap_or_default(),
        bytes,
        strays: Vec::new(),
    }))
}

/// Up to where the log may be gone.
pub(super) async fn read_trimmed(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<ModSeq, ReadError> {
    let snapshot = read_snapshot(engine, account, mailbox).await?;
    Ok(ModSeq(snapshot.map_or(0, |snapshot| snapshot.head.trimmed)))
}

/// The first UID that no session has had as recent; the first of all when that is not stored.
pub(super) async fn read_recent(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
) -> Result<u32, ReadError> {
    let stored = engine.get(&key::recent(account, mailbox)).await?;
    let from = stored.and_then(|bytes| Some(u32::from_be_bytes(*bytes.first_chunk()?)));
    Ok(from.unwrap_or(1))
}

/// The next page of the log behind `after`.
pub(super) async fn log_page(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
    after: ModSeq,
) -> Result<LogPage, ReadError> {
    let range = KeyRange {
        from: key::log(account, mailbox, ModSeq(after.0.saturating_add(1))),
        to: key::logs(account, mailbox).prefix_range().to,
    };
    let page = engine
        .page(range, PageLimit::default(), Order::Ascending)
        .await?;
    let records = page.entries.iter().filter_map(|(key, value)| {
        let modseq = ModSeq(key.last_u64()?);
        Some((modseq, Record::decode(value)))
    });
    Ok(LogPage {
        records: records.collect(),
        more: page.more,
    })
}

/// Applies a page of the log to an index.
pub(super) fn apply(index: &mut Index, page: &LogPage) {
    for (modseq, record) in &page.records {
        match record {
            Ok(record) => index.apply(*modseq, record),
            Err(Undecodable) => {
                tracing::error!(log.modseq = modseq.0, "a mailbox log record is damaged");
                index.skip_damaged(*modseq);
            }
        }
    }
}

async fn replay(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
    loaded: &mut Loaded,
) -> Result<(), ReadError> {
    loop {
        let page = log_page(engine, account, mailbox, loaded.index.modseq()).await?;
        apply(&mut loaded.index, &page);
        let records = u32::try_from(page.records.len()).unwrap_or(u32::MAX);
        loaded.tail = loaded.tail.saturating_add(records);
        if !page.more {
            return Ok(());
        }
    }
}

/// The index at the modseq of a snapshot; damaged when head and chunks are not all there or not all
/// whole.
async fn restore(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
    snapshot: &mut Snapshot,
) -> Result<Index, ReadError> {
    let head = &mut snapshot.head;
    let chunks = all_below(engine, &key::snapshot_chunks(account, mailbox)).await?;
    let named: HashSet<u32> = head.chunks.iter().map(|chunk| chunk.number).collect();
    let numbers = chunks.iter().filter_map(|(key, _)| key.last_u32());
    snapshot.strays = numbers.filter(|number| !named.contains(number)).collect();
    let find = |number| {
        let key = key::snapshot_chunk(account, mailbox, number);
        let place = chunks.binary_search_by(|(there, _)| there.cmp(&key)).ok()?;
        chunks.get(place).map(|(_, value)| &value[..])
    };
    let mut index = snapshot::restore(head, find);
    if *head == Head::default() {
        index.skip_damaged(index.modseq());
        // Numbers of chunks that the lost head named must not be given again.
        let last = snapshot.strays.iter().max().copied();
        head.next_chunk = last.map_or(0, |last| last.wrapping_add(1));
    }
    Ok(index)
}

async fn superseded(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
    snapshot: Option<&Snapshot>,
) -> Result<bool, ReadError> {
    let now = read_snapshot(engine, account, mailbox).await?;
    let bytes = |snapshot: &Snapshot| snapshot.bytes.clone();
    Ok(now.as_ref().map(bytes) != snapshot.map(bytes))
}

/// Whether the log is still whole: it then begins with the first UID.
async fn log_is_whole(
    engine: &dyn Engine,
    account: AccountId,
    mailbox: MailboxId,
    created: ModSeq,
) -> Result<bool, ReadError> {
    let page = log_page(engine, account, mailbox, created).await?;
    Ok(match page.records.first() {
        Some((_, Ok(Record::Appended(appended)))) => appended.first_uid == 1,
        _ => false,
    })
}
