//! Batches of mailbox changes: what each command writes, and under which conditions.
//!
//! Pure. Every batch requires its mailboxes to exist. What subtracts from the account's sums, or
//! says that messages of the source are there, also requires that nothing was expunged since the
//! index was read: so no message is counted twice and no copy refers to an email that a sweep has
//! removed. docs/STORE-mailbox.md has the argument.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::{
    flags::FlagChange,
    handle::Target,
    handover::Luggage,
    index::Index,
    limits::{BATCH_BYTES_MAX, VALUE_BYTES_MAX},
    mark,
    record::{self, RANGES_MAX},
    uids::UidRanges,
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, MailboxId, ModSeq, Uid},
    },
    store::{Batch, Template, Width, key, owners},
};

/// A mailbox and its index, as a change sees it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    pub(super) index: &'a Index,
    /// The value of the mailbox's expunge key that the index stands for.
    pub(super) expunged: &'a Option<Bytes>,
    /// When the change is made.
    pub(super) now: Timestamp,
}

/// A batch that changes some of the messages it was asked to.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) batch: Batch,
    /// The messages it changes.
    pub(super) uids: Vec<Uid>,
    /// Which take numbers the records of the source; none when it has none.
    modseq_take: Option<usize>,
    records: u32,
    /// Which take numbers the messages in the target.
    uid_take: usize,
}

impl Step {
    /// The modseqs of its first and its last record.
    pub(super) fn modseqs(&self, counters: &[u64]) -> (ModSeq, ModSeq) {
        let first = self.modseq_take.and_then(|take| counters.get(take));
        let first = first.copied().unwrap_or(0);
        let plus = self.records.saturating_sub(1);
        (ModSeq(first), ModSeq(first + u64::from(plus)))
    }

    /// Which take numbers its last record, and how many of it come before.
    pub(super) fn last_modseq(&self) -> (usize, u32) {
        let take = self.modseq_take.unwrap_or(0);
        (take, self.records.saturating_sub(1))
    }

    /// The UIDs that the messages got in the target.
    pub(super) fn targets(&self, counters: &[u64]) -> Vec<Uid> {
        let first = counters.get(self.uid_take).copied().unwrap_or(0);
        (first..)
            .map_while(|number| Uid::new(u32::try_from(number).ok()?))
            .take(self.uids.len())
            .collect()
    }
}

/// Whether messages stay where they are copied from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransferKind {
    Copy,
    Move,
}

/// Messages of one EXPUNGE batch, some 360,000: two values of at most ten bytes each.
const EXPUNGED_MAX: usize = BATCH_BYTES_MAX / 20;
/// Bytes that a key and its bookkeeping add to a value.
const WRITE_BYTES: usize = 64;
/// Records of one STORE batch.
const STORE_RECORDS_MAX: usize = BATCH_BYTES_MAX / (VALUE_BYTES_MAX + WRITE_BYTES);

/// The value of a mailbox's expunge key for an index.
pub(super) fn expunged_value(index: &Index) -> Option<Bytes> {
    let ModSeq(last) = index.last_expunge();
    (last > 0).then(|| Bytes::copy_from_slice(&last.to_be_bytes()))
}

/// The batches of a STORE of `change` on `uids`.
pub(super) fn store(
    account: AccountId,
    mailbox: MailboxId,
    change: &FlagChange,
    uids: &UidRanges,
) -> Vec<Step> {
    let parts: Vec<UidRanges> = uids.split(RANGES_MAX).collect();
    let steps = parts.chunks(STORE_RECORDS_MAX).map(|parts| {
        let mut step = Step::open(account, count_of(parts.len()));
        step.batch.present(key::mailbox(account, mailbox));
        for (plus, part) in (0_u32..).zip(parts) {
            let value = record::flags(change, part);
            step.log(account, mailbox, plus, value.into());
        }
        step
    });
    steps.collect()
}

/// The next batch of an EXPUNGE of the messages at `positions`.
pub(super) fn expunge(source: Source<'_>, positions: &[usize]) -> Step {
    let positions = &positions[..positions.len().min(EXPUNGED_MAX)];
    let rows: Vec<_> = positions
        .iter()
        .filter_map(|p| source.index.row(*p))
        .collect();
    let parts: Vec<UidRanges> = source.index.ranges(positions).split(RANGES_MAX).collect();
    let emails: Vec<u64> = rows.iter().map(|row| row.email).collect();
    let marks = mark::of_emails(source.now, &emails);
    let records = count_of(parts.len().max(marks.len()));
    let mut step = Step::open(source.account, records);
    step.uids = source.index.uids_at(positions);
    step.require(source);
    for (plus, part) in (0_u32..).zip(&parts) {
        let value = record::expunged(part);
        step.log(source.account, source.mailbox, plus, value.into());
    }
    step.note_expunge(source, count_of(parts.len()).get() - 1);
    step.mark(source.account, marks);
    let bytes = rows.iter().map(|row| i64::from(row.size)).sum::<i64>();
    sum_usage(&mut step.batch, source.account, -bytes, -length(rows.len()));
    step
}

/// The batch of a COPY or MOVE of the messages at `positions` within an account; `None` when they
/// are too many for one.
pub(super) fn transfer(
    source: Source<'_>,
    positions: &[usize],
    to: &Target,
    kind: TransferKind,
) -> Option<Step> {
    let Source { account, index, .. } = source;
    let target = to.mailbox;
    // RFC 8514 3: what is copied or moved comes now.
    let saved = record::saved_at(source.now);
    let parts = index.arrivals(positions, to.flags, saved);
    let gone: Vec<UidRanges> = match kind {
        TransferKind::Copy => Vec::new(),
        TransferKind::Move => index.ranges(positions).split(RANGES_MAX).collect(),
    };
    let mut step = Step::open(account, count_of(parts.len() + gone.len()));
    step.uids = index.uids_at(positions);
    step.uid_take = step
        .batch
        .take(key::uid(account, target), count_of(positions.len()));
    step.batch.take_one(key::relocations(account));
    step.require(source);
    step.batch.present(key::mailbox(account, target));
    let (mut plus, mut covered) = (0, 0);
    for arrivals in &parts {
        let value = record::appended(arrivals, step.uid_take, covered);
        step.log(account, target, plus, value);
        covered += count_of(arrivals.messages.len()).get();
        plus += 1;
    }
    for part in &gone {
        step.log(account, source.mailbox, plus, record::expunged(part).into());
        plus += 1;
    }
    match kind {
        TransferKind::Move => step.note_expunge(source, plus - 1),
        TransferKind::Copy => {
            let bytes = bytes_at(index, positions);
            require_room(&mut step.batch, account, bytes, to.quota_bytes);
            let (bytes, messages) = (bytes.cast_signed(), length(positions.len()));
            sum_usage(&mut step.batch, account, bytes, messages);
        }
    }
    (weight(&step.batch) <= BATCH_BYTES_MAX).then_some(step)
}

/// The batch of a COPY or MOVE of the messages at `positions` to another account; `None` when they
/// are too many for one. Their emails are copied: those of the source lose their places only by a
/// MOVE, and own their bodies until a sweep.
pub(super) fn handover(
    source: Source<'_>,
    positions: &[usize],
    luggage: &Luggage,
    to: &Target,
    kind: TransferKind,
) -> Option<Step> {
    let saved = record::saved_at(source.now);
    let parts = source.index.arrivals(positions, to.flags, saved);
    let mut step = match kind {
        TransferKind::Copy => {
            let mut step = Step::without_records();
            step.uids = source.index.uids_at(positions);
            step.require(source);
            step
        }
        TransferKind::Move => expunge(source, positions),
    };
    if step.uids.len() < positions.len() {
        return None;
    }
    let (account, batch) = (to.account, &mut step.batch);
    let count = count_of(positions.len());
    let modseq = batch.take(key::modseq(account), count_of(parts.len()));
    step.uid_take = batch.take(key::uid(account, to.mailbox), count);
    let emails = batch.take(key::email_counter(account), count);
    batch.present(key::mailbox(account, to.mailbox));
    let mut covered = 0;
    for (plus, arrivals) in (0_u32..).zip(&parts) {
        let value = record::appended_copies(arrivals, step.uid_take, emails, covered);
        let key = key::log_numbered(account, to.mailbox, modseq);
        batch.put(numbered(key, plus), value);
        covered += count_of(arrivals.messages.len()).get();
    }
    for (plus, record) in (0_u32..).zip(&luggage.records) {
        let key = numbered(key::email_numbered(account, emails), plus);
        batch.put(key, record.clone());
    }
    for (owners, added) in &luggage.bodies {
        owners::share(batch, owners, *added);
    }
    let bytes = bytes_at(source.index, positions);
    require_room(batch, account, bytes, to.quota_bytes);
    sum_usage(batch, account, bytes.cast_signed(), length(positions.len()));
    (weight(batch) <= BATCH_BYTES_MAX).then_some(step)
}

fn bytes_at(index: &Index, positions: &[usize]) -> u64 {
    let rows = positions.iter().filter_map(|position| index.row(*position));
    rows.map(|row| u64::from(row.size)).sum()
}

impl Step {
    fn open(account: AccountId, records: NonZeroU32) -> Self {
        let mut batch = Batch::new();
        let modseq_take = batch.take(key::modseq(account), records);
        Self {
            batch,
            uids: Vec::new(),
            modseq_take: Some(modseq_take),
            records: records.get(),
            uid_take: 0,
        }
    }

    /// A step that leaves the source as it is.
    fn without_records() -> Self {
        Self {
            batch: Batch::new(),
            uids: Vec::new(),
            modseq_take: None,
            records: 0,
            uid_take: 0,
        }
    }

    fn mark(&mut self, account: AccountId, marks: Vec<Vec<u8>>) {
        let (take, _) = self.last_modseq();
        for (plus, value) in (0_u32..).zip(marks) {
            let key = numbered(key::sweep_numbered(account, take), plus);
            self.batch.put(key, value);
        }
    }

    /// Requires that the source is there and holds the messages that its index shows.
    fn require(&mut self, source: Source<'_>) {
        let Source {
            account, mailbox, ..
        } = source;
        self.batch.present(key::mailbox(account, mailbox));
        self.batch
            .unchanged(key::expunged(account, mailbox), source.expunged.clone());
    }

    fn log(&mut self, account: AccountId, mailbox: MailboxId, plus: u32, value: Template) {
        let (take, _) = self.last_modseq();
        let key = numbered(key::log_numbered(account, mailbox, take), plus);
        self.batch.put(key, value);
    }

    fn note_expunge(&mut self, source: Source<'_>, plus: u32) {
        let (take, _) = self.last_modseq();
        let mut value = Template::default();
        value.hole(take, plus, Width::U64);
        let key = key::expunged(source.account, source.mailbox);
        self.batch.put(key, value);
    }
}

/// Requires that the account has room for `more` bytes when it may hold `quota`.
pub(super) fn require_room(batch: &mut Batch, account: AccountId, more: u64, quota: Option<u64>) {
    if let Some(quota) = quota {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        let most = signed(quota) - signed(more);
        batch.at_most(key::used_bytes(account), most);
    }
}

/// Adds to what the account holds.
pub(super) fn sum_usage(batch: &mut Batch, account: AccountId, bytes: i64, messages: i64) {
    batch.sum(key::used_bytes(account), bytes);
    batch.sum(key::used_messages(account), messages);
}

/// A key template for a later number of its take.
pub(super) fn numbered(mut key: Template, plus: u32) -> Template {
    for hole in &mut key.holes {
        hole.plus = plus;
    }
    key
}

/// Bytes that a batch counts for against its bound.
pub(super) fn weight(batch: &Batch) -> usize {
    use crate::store::Write;
    let writes = batch.writes.iter().map(|write| match write {
        Write::Put(key, value) => key.bytes.len() + value.bytes.len(),
        Write::Delete(key) | Write::Sum(key, _) => key.as_bytes().len() + 8,
        Write::DropBody(_) => 16,
    });
    writes.sum::<usize>() + WRITE_BYTES * (batch.conditions.len() + batch.takes.len())
}

fn count_of(count: usize) -> NonZeroU32 {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
