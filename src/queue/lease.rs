//! Work in hand: claim, renew, release, record.
//!
//! A claim counts the attempt before it begins and moves the due time to the end of the
//! lease. What an attempt brought is recorded in one commit with whatever must not be separate from
//! it, such as a report to the sender. Every change is conditional on the exact bytes that
//! the holder knows, and those hold a number that rises with each lease: who lost his lease can
//! change nothing.

use bytes::Bytes;

use super::{
    Queue,
    due::QueueFault,
    record::{Diagnosis, Due, MessageRecord, Order, Read, RecipientRecord, State, Status, Turn},
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{BlobId, MessageId},
    },
    store::{
        self, Batch, CommitError, Engine, PageLimit, ReadError, key,
        owners::{Owners, disown},
    },
};

/// One message and those of its recipients that are in our hands.
#[derive(Debug)]
pub struct Lease {
    /// The message's name.
    pub id: MessageId,
    /// What its recipients share.
    pub message: MessageRecord,
    /// The recipients; those whose outcome was recorded are taken out.
    pub recipients: Vec<Leased>,
    until: Timestamp,
}

/// One recipient in our hands.
#[derive(Debug)]
pub struct Leased {
    /// Its number within the message.
    pub n: u32,
    /// Its state as of the claim.
    pub record: RecipientRecord,
    bytes: Bytes,
}

/// What becomes of a recipient after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered, or given up and reported: the record goes.
    Finished,
    /// To be attempted again.
    Retry {
        /// When.
        at: Timestamp,
        /// Why.
        why: Diagnosis,
        /// Whether the sender is told of the delay in the same batch.
        delay_told: bool,
        /// RFC 2852: the same of the end of the time that he gave.
        late_told: bool,
    },
    /// Failed for good, and the report has no place now: nothing but the report is tried again.
    Report {
        /// When.
        at: Timestamp,
        /// What it shall say.
        why: Diagnosis,
    },
}

/// An outcome was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The recipients are no longer in our hands.
    #[error("the lease was lost")]
    LeaseLost,
    /// Something else changed meanwhile: build the batch again.
    #[error("the data changed meanwhile")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] QueueFault),
}

impl Queue {
    /// Takes recipients of one message in hand. Those that are no longer due, finished meanwhile or
    /// damaged are left out; `None` when nothing is left.
    pub async fn claim(&self, rows: &[Due]) -> Result<Option<Lease>, QueueFault> {
        for _ in 0..CLAIM_TRIES {
            match self.try_claim(rows).await {
                Err(QueueFault::Commit(CommitError::Conflict)) => {}
                other => return other,
            }
        }
        // Someone else is at work on these very recipients; the next scan sees what they left.
        Ok(None)
    }

    async fn try_claim(&self, rows: &[Due]) -> Result<Option<Lease>, QueueFault> {
        let Some(id) = rows.first().map(|row| row.message) else {
            return Ok(None);
        };
        let engine = &*self.0.engine;
        let message = self.message(id).await?;
        let now = self.0.clock.wall();
        let until = now.plus(self.0.options.lease);
        let mut batch = Batch::new();
        let mut recipients = Vec::new();
        let pauses = self.pauses().await?;
        let rows = rows.iter().filter(|row| row.message == id);
        for row in rows.filter(|row| !pauses.hold(row)) {
            let place = Place {
                id,
                n: row.n,
                turn: row.turn,
            };
            let old = match read_recipient(engine, id, row.n).await? {
                Recipient::Sound(old) => *old,
                Recipient::Absent => {
                    batch.delete(key::queue_due(row.at, id, row.n));
                    continue;
                }
                Recipient::Damaged => {
                    // DUR-10: without a due time it is out of the way, and `queue list` shows it.
                    tracing::error!(%id, n = row.n, "a queued recipient is damaged and is held");
                    batch.delete(key::queue_due(row.at, id, row.n));
                    continue;
                }
            };
            match judge(&old.record, row, now, message.is_some()) {
                Judgement::Stale => {
                    batch.unchanged(key::queue_recipient(id, row.n), Some(old.bytes));
                    batch.delete(key::queue_due(row.at, id, row.n));
                }
                Judgement::NotYet => {}
                Judgement::Hold(why) => {
                    tracing::error!(%id, n = row.n, why, "a queued recipient is held");
                    let mut new = old.record.clone();
                    new.state = State::Held;
                    // What is to be reported stays; why it is held is in the log.
                    if new.order != Order::Report {
                        new.last = Some(Diagnosis::new(None, 0, Status(4, 3, 0), why));
                    }
                    moved(&mut batch, place, &old, &new);
                }
                Judgement::Attempt => {
                    let new = begun(&old.record, now, until);
                    let bytes = moved(&mut batch, place, &old, &new);
                    recipients.push(Leased {
                        n: row.n,
                        record: new,
                        bytes,
                    });
                }
            }
        }
        if !batch.writes.is_empty() {
            engine.commit(batch).await?;
        }
        Ok(message
            .filter(|_| !recipients.is_empty())
            .map(|message| Lease {
                id,
                message,
                recipients,
                until,
            }))
    }

    /// Keeps `lease` for another term.
    pub async fn renew(&self, lease: &mut Lease) -> Result<(), RecordError> {
        let until = self.0.clock.wall().plus(self.0.options.lease);
        let mut batch = Batch::new();
        let mut renewed = Vec::with_capacity(lease.recipients.len());
        for leased in &lease.recipients {
            let mut new = leased.record.clone();
            new.state = State::Leased(until);
            let bytes = moved(&mut batch, lease.place(leased.n), &leased.read(), &new);
            renewed.push((new, bytes));
        }
        self.commit_held(lease, batch).await?;
        for (leased, (record, bytes)) in lease.recipients.iter_mut().zip(renewed) {
            (leased.record, leased.bytes) = (record, bytes);
        }
        lease.until = until;
        Ok(())
    }

    /// Puts back what was not attempted, due at once, as if it had not been claimed.
    pub async fn release(&self, lease: Lease) -> Result<(), RecordError> {
        let now = self.0.clock.wall();
        let mut batch = Batch::new();
        for leased in &lease.recipients {
            let mut new = leased.record.clone();
            new.state = State::Waiting(now);
            new.unfinished = 0;
            new.attempts = new.attempts.saturating_sub(1);
            moved(&mut batch, lease.place(leased.n), &leased.read(), &new);
        }
        self.commit_held(&lease, batch).await
    }

    /// Records `outcomes` (by recipient number) and, in the same commit, everything already in
    /// `batch`. With the last recipient the message goes, and its body unless it has other owners.
    pub async fn record(
        &self,
        lease: &mut Lease,
        outcomes: &[(u32, Outcome)],
        mut batch: Batch,
    ) -> Result<(), RecordError> {
        let mut finished = Vec::new();
        for (n, outcome) in outcomes {
            let Some(leased) = lease.recipients.iter().find(|leased| leased.n == *n) else {
                continue;
            };
            match outcome {
                Outcome::Finished => {
                    removed(&mut batch, (lease.id, *n), &leased.read());
                    finished.push(*n);
                }
                Outcome::Retry {
                    at,
                    why,
                    delay_told,
                    late_told,
                } => {
                    let mut new = leased.record.clone();
                    new.state = State::Waiting(*at);
                    new.unfinished = 0;
                    new.last = Some(why.clone());
                    new.delay_told |= delay_told;
                    new.late_told |= late_told;
                    moved(&mut batch, lease.place(*n), &leased.read(), &new);
                }
                Outcome::Report { at, why } => {
                    let mut new = leased.record.clone();
                    new.state = State::Waiting(*at);
                    new.unfinished = 0;
                    new.attempts = new.reports_tried();
                    new.order = Order::Report;
                    new.last = Some(why.clone());
                    moved(&mut batch, lease.place(*n), &leased.read(), &new);
                }
            }
        }
        let blob = Some(lease.message.blob);
        self.part_with(&mut batch, lease.id, &finished, blob)
            .await
            .map_err(QueueFault::from)?;
        self.commit_held(lease, batch).await?;
        lease
            .recipients
            .retain(|leased| outcomes.iter().all(|(n, _)| *n != leased.n));
        Ok(())
    }

    /// Adds what follows from the removal of the recipients `finished`: with the last one the
    /// message record goes and the body is released. Otherwise the batch depends on one recipient
    /// that stays; so of two batches that each leave the other's recipients only one can happen,
    /// and the later one sees that it is the last.
    pub(super) async fn part_with(
        &self,
        batch: &mut Batch,
        id: MessageId,
        finished: &[u32],
        blob: Option<BlobId>,
    ) -> Result<(), ReadError> {
        if finished.is_empty() {
            return Ok(());
        }
        let engine = &*self.0.engine;
        let limit = PageLimit::entries(finished.len().saturating_add(WITNESSES));
        let range = key::queue_recipients(id).prefix_range();
        let page = engine.page(range, limit, store::Order::Ascending).await?;
        let gone: Vec<_> = finished
            .iter()
            .map(|n| key::queue_recipient(id, *n))
            .collect();
        let mut others: Vec<_> = page.entries.into_iter().map(|(key, _)| key).collect();
        others.retain(|key| !gone.contains(key));
        // Any of those that stay will do; a random one, so that many workers rarely meet.
        let count = u64::try_from(others.len()).unwrap_or(u64::MAX);
        let pick = usize::try_from(self.0.random.below(count)).unwrap_or(0);
        if let Some(witness) = others.into_iter().nth(pick) {
            batch.present(witness);
            return Ok(());
        }
        batch.delete(key::queue_message(id));
        if let Some(blob) = blob {
            let owners = Owners::read(engine, blob).await?;
            disown(batch, &owners, 1);
        }
        Ok(())
    }

    /// Commits a batch that is conditional on `lease`, and finds out what a conflict means.
    async fn commit_held(&self, lease: &Lease, batch: Batch) -> Result<(), RecordError> {
        match self.0.engine.commit(batch).await {
            Ok(_) => Ok(()),
            Err(CommitError::Conflict) => {
                for leased in &lease.recipients {
                    let key = key::queue_recipient(lease.id, leased.n);
                    let now = self.0.engine.get(&key).await.map_err(QueueFault::from)?;
                    if now.as_ref() != Some(&leased.bytes) {
                        return Err(RecordError::LeaseLost);
                    }
                }
                Err(RecordError::Conflict)
            }
            Err(error) => Err(QueueFault::from(error).into()),
        }
    }

    /// The record of a message; `None` when there is none or it cannot be read (which is logged).
    pub(super) async fn message(&self, id: MessageId) -> Result<Option<MessageRecord>, ReadError> {
        let bytes = match self.0.engine.get(&key::queue_message(id)).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(ReadError::Damaged(what)) => {
                tracing::error!(%id, what, "a queued message is damaged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let record = MessageRecord::decode(&bytes);
        if let Err(error) = &record {
            tracing::error!(%id, %error, "a queued message cannot be read");
        }
        Ok(record.ok())
    }
}

impl Lease {
    /// Until when this work is ours, unless it is renewed.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    fn place(&self, n: u32) -> Place {
        Place {
            id: self.id,
            n,
            turn: self.message.turn(),
        }
    }
}

impl Leased {
    fn read(&self) -> Read<RecipientRecord> {
        Read {
            record: self.record.clone(),
            bytes: self.bytes.clone(),
        }
    }
}

/// What to do with a recipient whose row came up.
enum Judgement {
    Attempt,
    Hold(&'static str),
    /// The row does not belong to the recipient's state.
    Stale,
    NotYet,
}

fn judge(record: &RecipientRecord, row: &Due, now: Timestamp, sound: bool) -> Judgement {
    match record.state.due() {
        Some(at) if at != row.at => Judgement::Stale,
        None => Judgement::Stale,
        Some(at) if at > now => Judgement::NotYet,
        // It was put on another way since the row was read.
        Some(_) if record.via != row.via => Judgement::NotYet,
        Some(_) if !sound => Judgement::Hold("the record of its message is damaged or missing"),
        // this many attempts were begun and none came to an end.
        Some(_) if record.unfinished >= CRASHES_MAX => {
            Judgement::Hold("the server stopped during each of its last attempts")
        }
        Some(_) => Judgement::Attempt,
    }
}

/// The record of a recipient whose attempt begins.
fn begun(old: &RecipientRecord, now: Timestamp, until: Timestamp) -> RecipientRecord {
    let mut new = old.clone();
    new.state = State::Leased(until);
    new.unfinished = new.unfinished.saturating_add(1);
    new.fence = new.fence.saturating_add(1);
    new.attempts = new.attempts.saturating_add(1);
    if new.order == Order::Deliver {
        new.attempted = Some((new.attempted.map_or(now, |(first, _)| first), now));
    }
    new
}

/// A recipient as found in the store.
pub(super) enum Recipient {
    Sound(Box<Read<RecipientRecord>>),
    Damaged,
    Absent,
}

pub(super) async fn read_recipient(
    engine: &dyn Engine,
    id: MessageId,
    n: u32,
) -> Result<Recipient, ReadError> {
    let bytes = match engine.get(&key::queue_recipient(id, n)).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Recipient::Absent),
        Err(ReadError::Damaged(_)) => return Ok(Recipient::Damaged),
        Err(error) => return Err(error),
    };
    Ok(
        RecipientRecord::decode(&bytes).map_or(Recipient::Damaged, |record| {
            Recipient::Sound(Box::new(Read { record, bytes }))
        }),
    )
}

/// Which recipient, and when it has its turn.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) id: MessageId,
    pub(super) n: u32,
    pub(super) turn: Turn,
}

/// Adds the change of one recipient to `batch`: conditional on what was read, and with its row in
/// the index of due times. This and [`removed`] are the only places that touch either. Returns the
/// new bytes.
pub(super) fn moved(
    batch: &mut Batch,
    Place { id, n, turn }: Place,
    old: &Read<RecipientRecord>,
    new: &RecipientRecord,
) -> Bytes {
    let recipient = key::queue_recipient(id, n);
    let bytes = Bytes::from(new.encode());
    batch.unchanged(recipient.clone(), Some(old.bytes.clone()));
    batch.put(recipient, bytes.to_vec());
    if let Some(at) = old.record.state.due() {
        batch.delete(key::queue_due(at, id, n));
    }
    if let Some(at) = new.state.due() {
        batch.put(key::queue_due(at, id, n), Due::value(new, turn));
    }
    bytes
}

/// Adds the end of one recipient to `batch`.
pub(super) fn removed(batch: &mut Batch, (id, n): (MessageId, u32), old: &Read<RecipientRecord>) {
    let recipient = key::queue_recipient(id, n);
    batch.unchanged(recipient.clone(), Some(old.bytes.clone()));
    batch.delete(recipient);
    if let Some(at) = old.record.state.due() {
        batch.delete(key::queue_due(at, id, n));
    }
}

/// attempts in a row that were begun and not finished before a recipient is held.
pub const CRASHES_MAX: u8 = 3;
/// A claim that loses this often leaves the work to whoever wins.
const CLAIM_TRIES: usize = 3;
/// How many recipients that stay are looked at to depend on one of them.
const WITNESSES: usize = 32;
