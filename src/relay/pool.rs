//! Open connections that wait for more mail to the same destination.
//!
//! Few and for a short time: a connection costs the other side, too. Sorted by nothing; a
//! destination has a handful at most.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use super::{Destination, protect::By};
use crate::smtp::client::Conversation;

/// A conversation, with whom it is, and how much it has carried.
pub(super) struct Session {
    pub(super) conversation: Conversation,
    /// The host as shown in logs and reports.
    pub(super) host: String,
    /// Whose word its security follows.
    pub(super) by: By,
    /// Transactions so far.
    pub(super) messages: u32,
}

/// The connections that wait.
#[derive(Default)]
pub(super) struct Pool(HashMap<Destination, Vec<(Box<Session>, Instant)>>);

impl Pool {
    /// A waiting connection, the one used last.
    pub(super) fn take(&mut self, to: &Destination, now: Instant) -> Option<Box<Session>> {
        let waiting = self.0.get_mut(to)?;
        let (session, until) = waiting.pop()?;
        if waiting.is_empty() {
            self.0.remove(to);
        }
        // An older one is left to `expired`, which says goodbye.
        if until > now {
            return Some(session);
        }
        self.0.entry(to.clone()).or_default().push((session, until));
        None
    }

    /// Keeps a connection for a while; gives it back when there is no room.
    pub(super) fn put(
        &mut self,
        to: &Destination,
        session: Box<Session>,
        now: Instant,
    ) -> Result<(), Box<Session>> {
        let total: usize = self.0.values().map(Vec::len).sum();
        let waiting = self.0.entry(to.clone()).or_default();
        if total >= WAITING_MAX || waiting.len() >= WAITING_EACH_MAX {
            return Err(session);
        }
        waiting.push((session, now + WAIT));
        Ok(())
    }

    /// Takes out the connections whose time is over.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<Session> {
        let mut expired = Vec::new();
        for waiting in self.0.values_mut() {
            expired.extend(waiting.extract_if(.., |(_, until)| *until <= now));
        }
        self.0.retain(|_, waiting| !waiting.is_empty());
        expired.into_iter().map(|(session, _)| *session).collect()
    }

    /// Takes out all connections.
    pub(super) fn drain(&mut self) -> Vec<Session> {
        let all = std::mem::take(&mut self.0).into_values().flatten();
        all.map(|(session, _)| *session).collect()
    }

    /// When the next connection's time is over.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let all = self.0.values().flatten();
        all.map(|(_, until)| *until).min()
    }
}

/// How long a connection waits.
const WAIT: Duration = Duration::from_secs(30);
/// How many wait in all.
const WAITING_MAX: usize = 100;
/// How many wait for one destination.
const WAITING_EACH_MAX: usize = 5;
