//! Open connections that wait for more mail to the same host.
//!
//! Few and for a short time: a connection costs the other side, too. They are kept by what they
//! are, not by the domain that they were opened for: mail for all domains of a host shares them, as
//! long as it asks for the same protection. Sorted by nothing; a place has a handful at most.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{protect::By, seats::Seat};
use crate::smtp::client::{Conversation, conversation::Security};

/// A conversation, with whom it is, and how much it has carried.
pub(super) struct Session {
    pub(super) conversation: Conversation,
    /// The host as shown in logs and reports.
    pub(super) host: String,
    /// Whose word its security follows.
    pub(super) by: By,
    /// For whose mail it can be used.
    pub(super) place: Place,
    /// Transactions so far.
    pub(super) messages: u32,
    /// Counts it.
    pub(super) _seat: Arc<Seat>,
}

/// What conversations have in common that can be used for each other's mail.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// The host's name.
    pub(super) host: String,
    /// Where it is.
    pub(super) to: SocketAddr,
    /// Where we come from, if that was said.
    pub(super) from: Option<IpAddr>,
    /// As whom we logged in.
    pub(super) user: Option<String>,
    /// What was asked of the host: the security, the name that it proves, and by whose word.
    pub(super) asked: (Security, String, By),
    /// For which domain alone, when the proof may be about that.
    pub(super) domain: Option<String>,
}

impl Session {
    /// Whether it carried enough.
    pub(super) fn is_worn(&self) -> bool {
        let most = self.conversation.mails_max().unwrap_or(MESSAGES_MAX);
        self.messages >= most.min(MESSAGES_MAX)
    }
}

/// The connections that wait.
#[derive(Default)]
pub(super) struct Pool(HashMap<Place, Vec<(Box<Session>, Instant)>>);

impl Pool {
    /// A waiting connection, the one used last.
    pub(super) fn take(&mut self, place: &Place, now: Instant) -> Option<Box<Session>> {
        let waiting = self.0.get_mut(place)?;
        // An older one is left to `expired`, which says goodbye.
        let session = waiting.pop_if(|(_, until)| *until > now);
        if waiting.is_empty() {
            self.0.remove(place);
        }
        session.map(|(session, _)| session)
    }

    /// Whether some connection to this address waits.
    pub(super) fn has(&self, to: SocketAddr, now: Instant) -> bool {
        let mut places = self.0.iter().filter(|(place, _)| place.to == to);
        places.any(|(_, waiting)| waiting.iter().any(|(_, until)| *until > now))
    }

    /// Keeps a connection for a while; gives it back when there is no room, or it carried enough.
    pub(super) fn put(&mut self, session: Box<Session>, now: Instant) -> Result<(), Box<Session>> {
        let total: usize = self.0.values().map(Vec::len).sum();
        let waiting = self.0.get(&session.place).map_or(0, Vec::len);
        if total >= WAITING_MAX || waiting >= WAITING_EACH_MAX || session.is_worn() {
            return Err(session);
        }
        let waiting = self.0.entry(session.place.clone()).or_default();
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
/// How many wait in one place.
const WAITING_EACH_MAX: usize = 5;
/// Transactions over one connection.
const MESSAGES_MAX: u32 = 100;
