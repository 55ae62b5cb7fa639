//! What attempts bring, told to those who watch the queue. Nothing depends on it.

use std::time::Duration;

use super::{Destination, Shared, attempt::Work, conclude::Decision, pool::Session};
use crate::{
    base::ids::MessageId,
    mail::{address::Address, envelope::ReversePath},
    queue::{
        Lease,
        news::{Event, Rest, Sums},
        record::Diagnosis,
    },
};

impl Shared {
    /// A transaction begins, on this connection, which may have been made for it.
    pub(super) fn tell_begun(
        &self,
        to: &Destination,
        work: &Work,
        (session, fresh): (&Session, bool),
    ) {
        let news = self.parts.queue.news();
        let addresses = work.recipients.iter().map(|(_, address, _)| address);
        let first: Vec<_> = addresses.take(ADDRESSES_MAX).collect();
        let event = self.event(
            ("attempted", work.id),
            &work.message.sender,
            (&first[..], to),
        );
        news.tell(Event {
            recipients: work.recipients.len(),
            host: Some(session.host.clone()),
            ..event
        });
        let sums = Sums {
            attempts: 1,
            opened: u64::from(fresh),
            reused: u64::from(!fresh),
            encrypted: u64::from(session.conversation.is_encrypted()),
            window: self.board().window(to),
            ..Sums::default()
        };
        news.add(&to.to_string(), sums);
    }

    /// An attempt came to no conversation.
    pub(super) fn tell_unopened(&self, to: &Destination) {
        let sums = Sums {
            attempts: 1,
            window: self.board().window(to),
            ..Sums::default()
        };
        self.parts.queue.news().add(&to.to_string(), sums);
    }

    /// The destination wants less of us and has a rest.
    pub(super) fn tell_rest(&self, to: &Destination, rest: Duration, why: Option<&Diagnosis>) {
        let rest = Rest {
            until_secs: self.parts.clock.wall().plus(rest).secs(),
            why: why.map(Diagnosis::said_where),
        };
        let sums = Sums {
            rest: Some(rest),
            ..Sums::default()
        };
        self.parts.queue.news().add(&to.to_string(), sums);
    }

    /// The other side took so much.
    pub(super) fn tell_carried(&self, to: &Destination, bytes: u64) {
        let sums = Sums {
            bytes,
            ..Sums::default()
        };
        self.parts.queue.news().add(&to.to_string(), sums);
    }

    /// What became of recipients.
    pub(super) fn tell_ended(&self, lease: &Lease, decisions: &[Decision]) {
        let news = self.parts.queue.news();
        for decision in decisions {
            let (word, why) = (decision.word(), &decision.why);
            let sender = &lease.message.sender;
            let addresses = [&decision.address];
            let to = (&addresses[..], &decision.to);
            let event = self.event((word, lease.id), sender, to);
            news.tell(Event {
                host: why.host.as_deref().map(str::to_owned),
                reply: Some(why.said()),
                next_secs: decision.again().map(|at| at.secs()),
                ..event
            });
            let is = |words: &[&str]| u64::from(words.contains(&word));
            let success = is(&["sent", "delivered"]);
            let sums = Sums {
                delivered: success,
                deferred: is(&["deferred", "delayed"]),
                failed: is(&["bounced", "unreported", "untold"]),
                window: self.board().window(&decision.to),
                words: (success == 0).then(|| why.said_where()),
                ..Sums::default()
            };
            news.add(&decision.to.to_string(), sums);
        }
    }

    fn event(
        &self,
        (event, id): (&'static str, MessageId),
        sender: &ReversePath,
        (to, destination): (&[&Address], &Destination),
    ) -> Event {
        Event {
            number: 0,
            at_millis: self.parts.clock.wall().0,
            event,
            id: id.to_string(),
            sender: sender.to_string(),
            to: to.iter().map(ToString::to_string).collect(),
            recipients: to.len(),
            destination: destination.to_string(),
            host: None,
            reply: None,
            next_secs: None,
        }
    }
}

/// Addresses of an attempt that are told; the others are counted.
const ADDRESSES_MAX: usize = 5;
