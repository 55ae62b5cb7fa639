//! What happens to queued mail, for who watches: the last events, and sums for each destination
//! since the start.
//!
//! In memory alone; nothing is decided from it. Both are bounded: a ring of the last
//! [`EVENTS_MAX`] events, who reads too slowly is told how many he missed; and [`DESTINATIONS_MAX`]
//! destinations, the one used longest ago gives way.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use crate::base::clock::Timestamp;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its place in the order of events.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_millis: u64,
    /// In a word: that of the mail log.
    pub event: &'static str,
    /// The message.
    pub id: String,
    /// Its sender, in angle brackets.
    pub sender: String,
    /// For whom: the first ones of an attempt.
    pub to: Vec<String>,
    /// How many in all.
    pub recipients: usize,
    /// Where it goes.
    pub destination: String,
    /// With whom was spoken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What he said, or what kept us from asking him.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// When it is tried again, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_secs: Option<i64>,
}

/// What one attempt or its end adds to the sums of its destination.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Transactions begun, and attempts that came to none because nobody could be spoken to.
    pub attempts: u64,
    /// Of these, on a connection made for them.
    pub opened: u64,
    /// On one that was there.
    pub reused: u64,
    /// Under TLS.
    pub encrypted: u64,
    /// Recipients taken by the other side.
    pub delivered: u64,
    /// To be tried again.
    pub deferred: u64,
    /// Given up.
    pub failed: u64,
    /// Content that was taken.
    pub bytes: u64,
    /// How many attempts may run at the same time.
    pub window: Option<usize>,
    /// The last words that were not about success.
    pub words: Option<String>,
    /// A rest that begins.
    pub rest: Option<Rest>,
}

/// A time in which nothing is begun for a destination, because it asked for less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rest {
    /// Its end, in seconds since 1970.
    pub until_secs: i64,
    /// In what words it asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The sums of a destination since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Transactions begun, and attempts that came to none because nobody could be spoken to.
    pub attempts: u64,
    /// Connections made.
    pub connections_opened: u64,
    /// Transactions on a connection that was there.
    pub connections_reused: u64,
    /// Transactions under TLS.
    pub encrypted: u64,
    /// Recipients taken by the other side.
    pub delivered: u64,
    /// Recipients put off.
    pub deferred: u64,
    /// Recipients given up.
    pub failed: u64,
    /// Bytes of what was taken.
    pub bytes: u64,
    /// How many attempts may run at the same time now.
    pub window: Option<usize>,
    /// The last words that were not about success.
    pub last_words: Option<String>,
    /// The last rest, which may be over.
    #[serde(skip)]
    pub rest: Option<Rest>,
    #[serde(skip)]
    used: u64,
}

/// What was seen of the events.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Seen {
    /// Those that came since, oldest first.
    pub events: Vec<Event>,
    /// Give this to [`News::since`] to go on.
    pub next: u64,
    /// How many came and went unseen.
    pub missed: u64,
}

/// What happens to queued mail.
#[derive(Debug, Default)]
pub struct News(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    /// The number of the next one.
    next: u64,
    traffic: HashMap<String, Traffic>,
    used: u64,
}

impl News {
    /// Something happened; its number is given here.
    pub fn tell(&self, mut event: Event) {
        let mut inner = self.inner();
        event.number = inner.next;
        inner.next += 1;
        if inner.events.len() >= EVENTS_MAX {
            inner.events.pop_front();
        }
        inner.events.push_back(event);
    }

    /// Up to so many events, from number `from` on; the place behind the last one, without.
    pub fn since(&self, from: Option<u64>, most: usize) -> Seen {
        let inner = self.inner();
        let first = inner.next - inner.events.len() as u64;
        let from = from.unwrap_or(inner.next).min(inner.next);
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let events: Vec<_> = inner
            .events
            .iter()
            .skip(skipped)
            .take(most)
            .cloned()
            .collect();
        Seen {
            next: from.max(first) + events.len() as u64,
            events,
            missed: first.saturating_sub(from),
        }
    }

    /// Adds to the sums of a destination.
    pub fn add(&self, destination: &str, sums: Sums) {
        let mut inner = self.inner();
        inner.used += 1;
        let used = inner.used;
        if !inner.traffic.contains_key(destination) {
            if inner.traffic.len() >= DESTINATIONS_MAX {
                inner.make_room();
            }
            inner
                .traffic
                .insert(destination.to_owned(), Traffic::default());
        }
        if let Some(traffic) = inner.traffic.get_mut(destination) {
            traffic.add(sums);
            traffic.used = used;
        }
    }

    /// The rests that last beyond `now`, by destination; the longest first, so many at most.
    pub fn rests(&self, now: Timestamp, most: usize) -> Vec<(String, Rest)> {
        let inner = self.inner();
        let lasting = |rest: &&Rest| rest.until_secs > now.secs();
        let rests = inner.traffic.iter().filter_map(|(name, of)| {
            let rest = of.rest.as_ref().filter(lasting)?;
            Some((name.clone(), rest.clone()))
        });
        let mut rests: Vec<_> = rests.collect();
        rests.sort_by(|(a, x), (b, y)| (y.until_secs, a).cmp(&(x.until_secs, b)));
        rests.truncate(most);
        rests
    }

    /// The sums of all destinations that are remembered.
    pub fn traffic(&self) -> HashMap<String, Traffic> {
        self.inner().traffic.clone()
    }

    /// Never held across an await.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets the tenth that was used longest ago.
    fn make_room(&mut self) {
        let mut times: Vec<_> = self.traffic.values().map(|traffic| traffic.used).collect();
        times.sort_unstable();
        let Some(oldest) = times.get(DESTINATIONS_MAX / 10).copied() else {
            return;
        };
        self.traffic.retain(|_, traffic| traffic.used >= oldest);
    }
}

impl Traffic {
    /// Adds the sums of another destination.
    pub fn include(&mut self, other: &Self) {
        self.add(Sums {
            attempts: other.attempts,
            opened: other.connections_opened,
            reused: other.connections_reused,
            encrypted: other.encrypted,
            delivered: other.delivered,
            deferred: other.deferred,
            failed: other.failed,
            bytes: other.bytes,
            ..Sums::default()
        });
    }

    fn add(&mut self, sums: Sums) {
        self.attempts += sums.attempts;
        self.connections_opened += sums.opened;
        self.connections_reused += sums.reused;
        self.encrypted += sums.encrypted;
        self.delivered += sums.delivered;
        self.deferred += sums.deferred;
        self.failed += sums.failed;
        self.bytes = self.bytes.saturating_add(sums.bytes);
        self.window = sums.window.or(self.window);
        self.last_words = sums.words.or_else(|| self.last_words.take());
        self.rest = sums.rest.or_else(|| self.rest.take());
    }
}

/// Events that are remembered for who watches.
pub const EVENTS_MAX: usize = 4_096;
/// Destinations of which sums are kept.
pub const DESTINATIONS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event: &'static str) -> Event {
        Event {
            number: 0,
            at_millis: 1,
            event,
            id: "a".to_owned(),
            sender: "<a@b>".to_owned(),
            to: vec!["c@d".to_owned()],
            recipients: 1,
            destination: "d".to_owned(),
            host: None,
            reply: None,
            next_secs: None,
        }
    }

    #[test]
    fn who_watches_sees_each_event_once_and_hears_what_he_missed() {
        let news = News::default();
        news.tell(event("before"));
        let seen = news.since(None, 10);
        assert_eq!((seen.events.len(), seen.next, seen.missed), (0, 1, 0));
        for _ in 0..3 {
            news.tell(event("sent"));
        }
        let seen = news.since(Some(1), 2);
        assert_eq!((seen.events.len(), seen.next, seen.missed), (2, 3, 0));
        let seen = news.since(Some(3), 2);
        assert_eq!((seen.events.len(), seen.next, seen.missed), (1, 4, 0));
        for _ in 0..EVENTS_MAX + 5 {
            news.tell(event("sent"));
        }
        let seen = news.since(Some(4), 2);
        assert_eq!((seen.events.len(), seen.next, seen.missed), (2, 11, 5));
        assert_eq!(seen.events[0].number, 9);
        // A number of an earlier start.
        let seen = news.since(Some(u64::MAX), 2);
        assert_eq!((seen.events.len(), seen.missed), (0, 0));
    }

    #[test]
    fn sums_are_kept_of_so_many_destinations() {
        let news = News::default();
        let one = || Sums {
            attempts: 1,
            ..Sums::default()
        };
        for n in 0..=DESTINATIONS_MAX {
            news.add("often.example", one());
            news.add(&format!("d{n}.example"), one());
        }
        let traffic = news.traffic();
        assert!(traffic.len() <= DESTINATIONS_MAX);
        assert_eq!(traffic["often.example"].attempts, 10_001);
        assert!(!traffic.contains_key("d0.example"));
        news.add(
            "often.example",
            Sums {
                words: Some("450 busy".to_owned()),
                window: Some(3),
                ..Sums::default()
            },
        );
        news.add("often.example", one());
        let often = news.traffic().remove("often.example").unwrap();
        assert_eq!(often.last_words.as_deref(), Some("450 busy"));
        assert_eq!((often.attempts, often.window), (10_002, Some(3)));
    }
}
