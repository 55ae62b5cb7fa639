//! The index of due times: what is due, and when to look again.
//!
//! Rows that cannot be read, or that lead to nothing, are removed and logged: one bad item never
//! stops the rest (DUR-10). Rows too far in the future come from a clock that was wrong; they are
//! made due (DUR-07).

use std::time::Duration;

use super::{
    Queue,
    lease::{Place, Recipient, moved, read_recipient},
    record::{Due, State},
};
use crate::{
    base::{
        clock::Timestamp,
        future::{BoxFuture, all},
        ids::MessageId,
    },
    mail::address::Domain,
    store::{Batch, CommitError, Key, KeyRange, Order, PageLimit, Pages, ReadError, key},
};

/// Some of what is due, earliest first.
#[derive(Debug, Default)]
pub struct DuePage {
    /// The rows.
    pub rows: Vec<Due>,
    /// Where to go on, when there is more.
    pub more: Option<Position>,
}

/// A place in the index of due times.
#[derive(Clone, Debug)]
pub struct Position(Key);

impl Queue {
    /// Up to `limit` recipients that are due now, from `after` on.
    pub async fn due(&self, after: Option<Position>, limit: usize) -> Result<DuePage, ReadError> {
        let now = self.0.clock.wall();
        let range = KeyRange {
            from: after.map_or_else(key::queue_dues, |position| position.0),
            to: first_at(now.plus(Duration::from_millis(1))),
        };
        if range.from >= range.to {
            return Ok(DuePage::default());
        }
        let limit = PageLimit::entries(limit);
        let page = self.0.engine.page(range, limit, Order::Ascending).await?;
        let more = page.entries.last().filter(|_| page.more);
        let mut due = DuePage {
            rows: Vec::with_capacity(page.entries.len()),
            more: more.map(|(key, _)| Position(key.successor())),
        };
        for (key, value) in page.entries {
            match Due::decode(key.as_bytes(), &value) {
                Ok(row) => due.rows.push(row),
                Err(error) => self.remove_row(key, &error).await,
            }
        }
        Ok(due)
    }

    /// The place in the index of what became due within the last `span`.
    pub fn recently(&self, span: Duration) -> Position {
        let now = self.0.clock.wall().0;
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Position(first_at(Timestamp(now.saturating_sub(span))))
    }

    /// When the next recipient becomes due that is not due yet.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, ReadError> {
        let range = KeyRange {
            from: first_at(self.0.clock.wall().plus(Duration::from_millis(1))),
            to: key::queue_dues().prefix_range().to,
        };
        let one = PageLimit::entries(1);
        let page = self.0.engine.page(range, one, Order::Ascending).await?;
        let row = page.entries.first();
        Ok(row.and_then(|(key, value)| Due::decode(key.as_bytes(), value).ok().map(|due| due.at)))
    }

    /// DUR-07: makes due what stands further in the future than the schedule, or its sender's wish,
    /// can have put it.
    /// Returns how many recipients that were.
    pub async fn reclamp(&self) -> Result<usize, QueueFault> {
        let options = &self.0.options;
        let waits = options.schedules.values().map(|schedule| schedule.longest);
        let furthest = waits.fold(options.lease, Duration::max) + CLAMP_SLACK;
        let now = self.0.clock.wall();
        let range = KeyRange {
            from: first_at(now.plus(furthest)),
            to: key::queue_dues().prefix_range().to,
        };
        let mut pages = Pages::new(&*self.0.engine, range);
        let mut count = 0;
        while let Some(entries) = pages.next().await? {
            for (key, value) in &entries {
                match Due::decode(key.as_bytes(), value) {
                    Ok(row) => count += usize::from(self.make_due(&row, now).await?),
                    Err(error) => self.remove_row(key.clone(), &error).await,
                }
            }
        }
        Ok(count)
    }

    /// RFC 1985: makes due what waits for this domain, and for those below it. Answers how many
    /// recipients that are, with those that are due or in hand anyway.
    pub async fn hasten(&self, node: &Domain, below: bool) -> Result<usize, QueueFault> {
        let is_meant = |domain: &Domain| {
            let front = domain.as_str().strip_suffix(node.as_str());
            front.is_some_and(|front| front.is_empty() || below && front.ends_with('.'))
        };
        let now = self.0.clock.wall();
        let mut pages = Pages::new(&*self.0.engine, key::queue_dues().prefix_range());
        let mut count = 0_usize;
        while let Some(entries) = pages.next().await? {
            let rows = entries.iter();
            let rows = rows.filter_map(|(key, value)| Due::decode(key.as_bytes(), value).ok());
            let rows: Vec<_> = rows.filter(|row| is_meant(&row.domain)).collect();
            count = count.saturating_add(rows.len());
            for rows in rows.chunks(ROWS_AT_ONCE) {
                let later = rows.iter().filter(|row| row.at > now);
                let works = later.map(|row| -> BoxFuture<'_, _> {
                    Box::pin(self.bring(row, State::Waiting(row.at), now))
                });
                for outcome in all(works.collect()).await {
                    outcome?;
                }
            }
        }
        self.wake();
        Ok(count)
    }

    /// Makes due what is in hand, because whoever had it in hand is gone. Only for the one owner of
    /// the store, before any work begins: a lease that still has a holder is lost to him.
    /// The attempts stay counted. Answers how many recipients that were.
    pub async fn reclaim(&self) -> Result<usize, QueueFault> {
        let now = self.0.clock.wall();
        let range = KeyRange {
            from: first_at(now.plus(Duration::from_millis(1))),
            to: first_at(now.plus(self.0.options.lease + CLAMP_SLACK)),
        };
        let mut pages = Pages::new(&*self.0.engine, range);
        let mut count = 0_usize;
        while let Some(entries) = pages.next().await? {
            let rows = entries.iter();
            let rows = rows.filter_map(|(key, value)| Due::decode(key.as_bytes(), value).ok());
            let rows: Vec<_> = rows.collect();
            for rows in rows.chunks(ROWS_AT_ONCE) {
                let works = rows.iter().map(|row| -> BoxFuture<'_, _> {
                    Box::pin(self.bring(row, State::Leased(row.at), now))
                });
                for outcome in all(works.collect()).await {
                    count += usize::from(outcome?);
                }
            }
        }
        Ok(count)
    }

    /// Makes due a recipient that is in this state; one that is in another stays there.
    async fn bring(&self, row: &Due, from: State, now: Timestamp) -> Result<bool, QueueFault> {
        let engine = &*self.0.engine;
        let old = match read_recipient(engine, row.message, row.n).await? {
            Recipient::Sound(old) if old.record.state == from => old,
            _ => return Ok(false),
        };
        let mut new = old.record.clone();
        new.state = State::Waiting(now);
        let place = Place {
            id: row.message,
            n: row.n,
            turn: row.turn,
        };
        let mut batch = Batch::new();
        moved(&mut batch, place, &old, &new);
        match engine.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves one recipient to `now`; a conflict means that someone else just did something with it.
    async fn make_due(&self, row: &Due, now: Timestamp) -> Result<bool, QueueFault> {
        let mut batch = Batch::new();
        let engine = &*self.0.engine;
        match read_recipient(engine, row.message, row.n).await? {
            // RFC 4865: that far it may have been put.
            Recipient::Sound(old)
                if old.record.state == State::Scheduled(row.at)
                    && row.at <= now.plus(self.0.options.hold_max + CLAMP_SLACK) =>
            {
                return Ok(false);
            }
            Recipient::Sound(old) if old.record.state.due() == Some(row.at) => {
                let mut new = old.record.clone();
                new.state = State::Waiting(now);
                let place = Place {
                    id: row.message,
                    n: row.n,
                    turn: row.turn,
                };
                moved(&mut batch, place, &old, &new);
            }
            _ => {
                batch.delete(key::queue_due(row.at, row.message, row.n));
            }
        }
        match engine.commit(batch).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// DUR-10: a row that cannot be read would be met again at every scan.
    async fn remove_row(&self, row: Key, error: &super::record::Undecodable) {
        tracing::error!(?row, %error, "a due time of the queue is damaged and was removed");
        let mut batch = Batch::new();
        batch.delete(row);
        if let Err(error) = self.0.engine.commit(batch).await {
            tracing::warn!(%error, "the damaged due time could not be removed");
        }
    }
}

/// The first key of the rows due at `at` or later.
fn first_at(at: Timestamp) -> Key {
    key::queue_due(at, MessageId::from_bytes([0; 16]), 0)
}

/// The store failed under an operation of the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueFault {
    /// A read failed.
    #[error("the queue could not be read")]
    Read(#[from] ReadError),
    /// A commit failed.
    #[error("the queue could not be changed")]
    Commit(#[from] CommitError),
}

/// Recipients that are changed side by side: they share a sync.
const ROWS_AT_ONCE: usize = 32;
/// Clocks of several nodes differ a little.
const CLAMP_SLACK: Duration = Duration::from_secs(60);
