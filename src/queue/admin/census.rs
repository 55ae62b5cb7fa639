//! How many recipients wait for which domain, in which state.
//!
//! Counted when it is asked for, by one pass over the recipients: nothing is kept up to date beside
//! the truth. What a pass costs grows with the queue, so its result is kept for a while, longer the
//! longer it took; how old it is is said.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::time::Instant;

use super::Standing;
use crate::{
    base::clock::Timestamp,
    queue::{
        Queue, QueueFault,
        record::{Diagnosis, RecipientRecord, State},
    },
    store::{Pages, key},
};

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// All recipients.
    pub total: Counts,
    /// By domain, or by the way that an operator gave them.
    pub destinations: HashMap<String, Counts>,
    /// Recipients of domains beyond [`DOMAINS_MAX`], which are counted in the total alone.
    pub uncounted: u64,
    /// When it was counted.
    pub at: Timestamp,
}

/// Recipients, by where they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Waiting for an attempt, due or not.
    pub waiting: u64,
    /// Of these, due now.
    pub due: u64,
    /// Being attempted.
    pub attempting: u64,
    /// Held by an operator.
    pub held: u64,
    /// Waiting for the time that the sender gave.
    pub scheduled: u64,
    /// Waiting for their report.
    pub bouncing: u64,
    /// Those that cannot be read.
    pub damaged: u64,
    /// When the oldest one's message came, in seconds since 1970.
    pub oldest_secs: Option<i64>,
    /// When the next one is due that waits, in seconds since 1970.
    pub next_secs: Option<i64>,
    /// What was last said of one, with the time.
    #[serde(skip)]
    last: Option<(Timestamp, Diagnosis)>,
}

impl Queue {
    /// Counts all recipients, or answers what was counted not long ago.
    ///
    /// # Errors
    /// That of the store.
    pub async fn census(&self) -> Result<Arc<Census>, QueueFault> {
        let mut known = self.0.census.lock().await;
        if let Some((census, until)) = &*known
            && Instant::now() < *until
        {
            return Ok(Arc::clone(census));
        }
        let begun = Instant::now();
        let census = Arc::new(self.count().await?);
        let took = begun.elapsed();
        let until = Instant::now() + (took * KEPT).max(KEPT_MIN.min(took * 1000));
        *known = Some((Arc::clone(&census), until));
        Ok(census)
    }

    async fn count(&self) -> Result<Census, QueueFault> {
        let now = self.0.clock.wall();
        let mut census = Census {
            at: now,
            ..Census::default()
        };
        let range = key::queue_all_recipients().prefix_range();
        let mut pages = Pages::new(&*self.0.engine, range);
        while let Some(entries) = pages.next().await? {
            for (key, bytes) in entries {
                let received = super::walk::message_of(&key).map(|id| id.time());
                let record = RecipientRecord::decode(&bytes).ok();
                census.add(record.as_ref(), received, now);
            }
            // A long queue must not keep others of this thread waiting.
            tokio::task::yield_now().await;
        }
        Ok(census)
    }
}

impl Census {
    fn add(
        &mut self,
        record: Option<&RecipientRecord>,
        received: Option<Timestamp>,
        now: Timestamp,
    ) {
        self.total.add(record, received, now);
        let Some(record) = record else { return };
        let name = match &record.via {
            Some(via) => via.to_string(),
            None => record.address.domain.to_string(),
        };
        let full = self.destinations.len() >= DOMAINS_MAX;
        if full && !self.destinations.contains_key(&name) {
            self.uncounted += 1;
            return;
        }
        let counts = self.destinations.entry(name).or_default();
        counts.add(Some(record), received, now);
        if let (Some((_, at)), Some(last)) = (record.attempted, &record.last)
            && counts.last.as_ref().is_none_or(|(known, _)| *known <= at)
        {
            counts.last = Some((at, last.clone()));
        }
    }
}

impl Counts {
    fn add(
        &mut self,
        record: Option<&RecipientRecord>,
        received: Option<Timestamp>,
        now: Timestamp,
    ) {
        let count = match Standing::of(record, now) {
            Standing::Waiting => &mut self.waiting,
            Standing::Scheduled => &mut self.scheduled,
            Standing::Bouncing => &mut self.bouncing,
            Standing::Attempting => &mut self.attempting,
            Standing::Held => &mut self.held,
            Standing::Damaged => &mut self.damaged,
        };
        *count += 1;
        if let Some(State::Waiting(at)) = record.map(|record| record.state) {
            self.due += u64::from(at <= now);
            let next = self.next_secs.unwrap_or(i64::MAX).min(at.secs());
            self.next_secs = Some(next);
        }
        if let Some(received) = received {
            let oldest = self.oldest_secs.unwrap_or(i64::MAX).min(received.secs());
            self.oldest_secs = Some(oldest);
        }
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.waiting + self.attempting + self.held + self.scheduled + self.bouncing + self.damaged
    }

    /// What the other side said last, in one line, with its host.
    pub fn words(&self) -> Option<String> {
        let (_, last) = self.last.as_ref()?;
        Some(last.said_where())
    }
}

/// Domains that are counted.
pub(super) const DOMAINS_MAX: usize = 10_000;
/// What was counted is kept for so many times the time that it took,
const KEPT: u32 = 5;
/// and for this long, unless counting costs nothing.
const KEPT_MIN: Duration = Duration::from_secs(2);
