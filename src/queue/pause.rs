//! Domains, or all of the queue, for which no attempt begins until an operator says so.
//!
//! Kept in the store, one key each, so that a restart changes nothing; remembered here, because
//! every claim asks. Attempts in hand go on. What only a report is left of is not paused: nobody
//! elsewhere is asked for it. Times go on: what comes due waits, and is attempted after the end of
//! the pause, when it may be found too old.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use super::{Queue, QueueFault, record::Due};
use crate::{
    base::clock::Timestamp,
    mail::address::Domain,
    store::{Batch, Key, Pages, ReadError, key},
};

/// What is paused, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Everything.
    pub all: Option<Timestamp>,
    /// Mail for these domains.
    pub domains: BTreeMap<Domain, Timestamp>,
}

/// A pause was not begun.
#[derive(Debug, thiserror::Error)]
pub enum PauseError {
    /// There are too many.
    #[error("{PAUSES_MAX} domains are paused already: pause all, or hold what matches")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] QueueFault),
}

impl Pauses {
    /// Whether this must wait.
    pub fn hold(&self, due: &Due) -> bool {
        !due.over && (self.all.is_some() || self.domains.contains_key(&due.domain))
    }
}

impl Queue {
    /// What is paused.
    ///
    /// # Errors
    /// When it is not known yet and cannot be read.
    pub async fn pauses(&self) -> Result<Arc<Pauses>, ReadError> {
        if let Some(known) = self.known_pauses().clone() {
            return Ok(known);
        }
        let before = self.recalls();
        let read = Arc::new(self.read_pauses().await?);
        let mut known = self.known_pauses();
        // What was changed meanwhile is read again by the next one.
        if self.recalls() == before {
            *known = Some(Arc::clone(&read));
        }
        drop(known);
        Ok(read)
    }

    /// Begins no attempt for a domain, or none at all, from now on. Answers whether that is new.
    ///
    /// # Errors
    /// When there are too many, or the store fails.
    pub async fn pause(&self, domain: Option<&Domain>) -> Result<bool, PauseError> {
        let pauses = self.read_pauses().await.map_err(QueueFault::from)?;
        let known = match domain {
            None => pauses.all.is_some(),
            Some(domain) => pauses.domains.contains_key(domain),
        };
        if known {
            return Ok(false);
        }
        if domain.is_some() && pauses.domains.len() >= PAUSES_MAX {
            return Err(PauseError::TooMany);
        }
        let mut batch = Batch::new();
        let since = self.0.clock.wall().0.to_be_bytes();
        batch.put(key_of(domain), since.to_vec());
        self.change_pauses(batch).await?;
        Ok(true)
    }

    /// Ends the pause of a domain, or every pause. Answers whether there was one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resume(&self, domain: Option<&Domain>) -> Result<bool, QueueFault> {
        let pauses = self.read_pauses().await?;
        let mut batch = Batch::new();
        match domain {
            Some(domain) if pauses.domains.contains_key(domain) => {
                batch.delete(key_of(Some(domain)));
            }
            Some(_) => {}
            None => {
                if pauses.all.is_some() {
                    batch.delete(key_of(None));
                }
                for domain in pauses.domains.keys() {
                    batch.delete(key_of(Some(domain)));
                }
            }
        }
        if batch.writes.is_empty() {
            return Ok(false);
        }
        self.change_pauses(batch).await?;
        Ok(true)
    }

    async fn change_pauses(&self, batch: Batch) -> Result<(), QueueFault> {
        self.0.engine.commit(batch).await?;
        let mut known = self.known_pauses();
        *known = None;
        self.recall();
        drop(known);
        self.wake();
        Ok(())
    }

    async fn read_pauses(&self) -> Result<Pauses, ReadError> {
        let mut pauses = Pauses::default();
        let mut pages = Pages::new(&*self.0.engine, key::queue_pauses().prefix_range());
        while let Some(entries) = pages.next().await? {
            for (key, value) in entries {
                let since = value.first_chunk().map_or(0, |at| u64::from_be_bytes(*at));
                let name = key.as_bytes().get(1..).unwrap_or_default();
                // A pause of nothing that can be is none.
                match std::str::from_utf8(name).map(Domain::parse) {
                    _ if name.is_empty() => pauses.all = Some(Timestamp(since)),
                    Ok(Ok(domain)) => {
                        pauses.domains.insert(domain, Timestamp(since));
                    }
                    _ => tracing::error!(?key, "a pause of the queue is damaged"),
                }
            }
        }
        Ok(pauses)
    }

    fn known_pauses(&self) -> std::sync::MutexGuard<'_, Option<Arc<Pauses>>> {
        self.0.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(domain: Option<&Domain>) -> Key {
    key::queue_pause(domain.map_or("", Domain::as_str))
}

/// Domains that can be paused at the same time.
pub const PAUSES_MAX: usize = 1_000;
