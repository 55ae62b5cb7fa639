//! What an operator does to queued mail.
//!
//! Each message is changed in a commit of its own, or in several when it has many recipients; many
//! messages go to the store at once, which syncs them together.

use serde::Serialize;

use super::{
    Filter, Selection,
    walk::{Entry, Group},
};
use crate::{
    base::{
        clock::Timestamp,
        future::{BoxFuture, all},
        ids::MessageId,
    },
    queue::{
        Queue, QueueFault,
        lease::{Place, moved, removed},
        record::{MessageRecord, Order, Read, RecipientRecord, State, Via},
    },
    store::{Batch, CommitError, key},
};

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Make a waiting recipient due now.
    Retry,
    /// Stop attempts until a release.
    Hold,
    /// End a hold, an operator's or a sender's; due now.
    Release,
    /// Forget the recipient; nobody is told.
    Drop,
    /// Report failure to the sender now.
    Bounce,
    /// Send it this way from now on, beginning now if it waits; where it would go, without.
    Reroute(Option<&'a Via>),
}

/// What an action did, counted in recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// It was done to these.
    pub changed: usize,
    /// These are being attempted right now.
    pub busy: usize,
    /// The action makes no sense in the state of these.
    pub unaffected: usize,
}

impl Queue {
    /// Does `action` to all that is selected.
    ///
    /// # Errors
    /// That of the store; what was done before it stays done.
    pub async fn apply(
        &self,
        action: Action<'_>,
        selection: &Selection,
    ) -> Result<Changed, QueueFault> {
        let mut changed = Changed::default();
        match selection {
            Selection::Message(id) => {
                changed = self.apply_to(action, *id, &Filter::default()).await?;
            }
            Selection::Recipient(id, address) => {
                let filter = Filter {
                    recipient: Some(address.clone()),
                    ..Filter::default()
                };
                changed = self.apply_to(action, *id, &filter).await?;
            }
            Selection::Matching(filter) => {
                let mut from = None;
                loop {
                    let (some, next) = self.apply_some(action, filter, from).await?;
                    changed.add(some);
                    from = next;
                    if from.is_none() {
                        break;
                    }
                }
            }
        }
        self.acted(action);
        Ok(changed)
    }

    /// Does `action` to what matches among a bounded number of recipients, from `from` on, and says
    /// where to go on. Nothing is told of it before [`Queue::acted`].
    ///
    /// # Errors
    /// That of the store; what was done before it stays done.
    pub async fn apply_some(
        &self,
        action: Action<'_>,
        filter: &Filter,
        from: Option<MessageId>,
    ) -> Result<(Changed, Option<MessageId>), QueueFault> {
        let step = self.step(from).await?;
        let mut changed = Changed::default();
        let now = self.0.clock.wall();
        let any = |group: &Group| {
            let mut records = group.recipients.iter();
            records.any(|(_, _, record)| filter.takes(record.as_ref(), now))
        };
        let ids: Vec<_> = step.groups.iter().filter(|group| any(group)).collect();
        for groups in ids.chunks(MESSAGES_AT_ONCE) {
            let works = groups.iter();
            let works = works.map(|group| self.apply_to(action, group.id, filter));
            let works = works.map(|work| -> BoxFuture<'_, _> { Box::pin(work) });
            for outcome in all(works.collect()).await {
                changed.add(outcome?);
            }
        }
        Ok((changed, step.next))
    }

    /// Tells the relay that something was done to queued mail.
    pub fn acted(&self, action: Action<'_>) {
        if matches!(action, Action::Reroute(_)) {
            // What it has in mind is on its way to somewhere else.
            self.recall();
        }
        self.wake();
    }

    /// Does `action` to the recipients of one message that match.
    async fn apply_to(
        &self,
        action: Action<'_>,
        id: MessageId,
        filter: &Filter,
    ) -> Result<Changed, QueueFault> {
        for _ in 0..CONFLICTS_MAX {
            match self.try_apply(action, id, filter).await {
                Err(QueueFault::Commit(CommitError::Conflict)) => {}
                other => return other,
            }
        }
        Err(CommitError::Conflict.into())
    }

    async fn try_apply(
        &self,
        action: Action<'_>,
        id: MessageId,
        filter: &Filter,
    ) -> Result<Changed, QueueFault> {
        let message = self.message(id).await?;
        let mut total = Changed::default();
        if !filter.takes_message(message.as_ref()) {
            return Ok(total);
        }
        let mut from = None;
        // Bounded batches: a message may have hundreds of recipients.
        loop {
            let (mut recipients, next) = self.recipients(id, from).await?;
            let now = self.0.clock.wall();
            recipients.retain(|(_, _, record)| filter.takes(record.as_ref(), now));
            let mut work = Work::new(id, message.as_ref(), (action, now));
            for recipient in recipients {
                work.act(recipient);
            }
            let Work {
                mut batch,
                gone,
                counts,
                ..
            } = work;
            let blob = message.as_ref().map(|message| message.blob);
            self.part_with(&mut batch, id, &gone, blob).await?;
            if !batch.writes.is_empty() {
                self.0.engine.commit(batch).await?;
            }
            total.add(counts);
            match next {
                Some(next) => from = Some(next),
                None => return Ok(total),
            }
        }
    }
}

/// One batch of changes to one message.
struct Work<'a> {
    id: MessageId,
    message: Option<&'a MessageRecord>,
    action: Action<'a>,
    now: Timestamp,
    batch: Batch,
    gone: Vec<u32>,
    counts: Changed,
}

impl<'a> Work<'a> {
    fn new(
        id: MessageId,
        message: Option<&'a MessageRecord>,
        (action, now): (Action<'a>, Timestamp),
    ) -> Self {
        Self {
            id,
            message,
            action,
            now,
            batch: Batch::new(),
            gone: Vec::new(),
            counts: Changed::default(),
        }
    }

    /// Adds what happens to one recipient.
    fn act(&mut self, (n, bytes, record): Entry) {
        let Some(record) = record else {
            if self.action == Action::Drop {
                let key = key::queue_recipient(self.id, n);
                self.batch.unchanged(key.clone(), Some(bytes)).delete(key);
                self.gone.push(n);
                self.counts.changed += 1;
            }
            return;
        };
        let old = Read { record, bytes };
        match judged(self.action, &old.record, self.now) {
            Effect::Busy => self.counts.busy += 1,
            Effect::Nothing => self.counts.unaffected += 1,
            Effect::Done => self.counts.changed += 1,
            Effect::Remove => {
                removed(&mut self.batch, (self.id, n), &old);
                self.gone.push(n);
                self.counts.changed += 1;
            }
            Effect::Become(state, order) => {
                let mut new = old.record.clone();
                (new.state, new.order, new.unfinished) = (state, order, 0);
                if let Action::Reroute(via) = self.action {
                    new.via = via.cloned();
                }
                let turn = self.message.map(MessageRecord::turn).unwrap_or_default();
                let place = Place {
                    id: self.id,
                    n,
                    turn,
                };
                moved(&mut self.batch, place, &old, &new);
                self.counts.changed += 1;
            }
        }
    }
}

/// What an action does to a recipient.
enum Effect {
    Become(State, Order),
    Remove,
    Busy,
    /// It makes no sense here.
    Nothing,
    /// The recipient is that already; nothing is written.
    Done,
}

/// The table of docs/STORE-queue.md.
fn judged(action: Action<'_>, record: &RecipientRecord, now: Timestamp) -> Effect {
    let due = matches!(record.state, State::Waiting(at) if at <= now) && record.unfinished == 0;
    match (record.state, action) {
        (_, Action::Retry) if due => Effect::Done,
        (_, Action::Bounce) if due && record.order != Order::Deliver => Effect::Done,
        // A lease that ran out is nobody's.
        (State::Leased(until), _) if until > now => Effect::Busy,
        (_, Action::Drop) => Effect::Remove,
        (_, Action::Bounce) => {
            let order = match record.order {
                Order::Deliver | Order::Bounce => Order::Bounce,
                // It goes on saying what the last attempt brought.
                Order::Report => Order::Report,
            };
            Effect::Become(State::Waiting(now), order)
        }
        (_, Action::Reroute(via)) => rerouted(via, record, now),
        (State::Held | State::Scheduled(_), Action::Release) => {
            Effect::Become(State::Waiting(now), record.order)
        }
        // RFC 4865: its sender does not want it to go yet.
        (State::Held, Action::Retry | Action::Hold) | (State::Scheduled(_), Action::Retry) => {
            Effect::Nothing
        }
        (State::Scheduled(_), Action::Hold) => Effect::Become(State::Held, record.order),
        (State::Waiting(_) | State::Leased(_), Action::Release) => Effect::Nothing,
        (State::Waiting(_) | State::Leased(_), Action::Retry) => {
            Effect::Become(State::Waiting(now), record.order)
        }
        (State::Waiting(_) | State::Leased(_), Action::Hold) => {
            Effect::Become(State::Held, record.order)
        }
    }
}

/// A way is only for what goes anywhere. Who waits does so because of the old one.
fn rerouted(via: Option<&Via>, record: &RecipientRecord, now: Timestamp) -> Effect {
    if record.here.is_some() || record.order != Order::Deliver {
        return Effect::Nothing;
    }
    if record.via.as_ref() == via {
        return Effect::Done;
    }
    let state = match record.state {
        State::Waiting(_) | State::Leased(_) => State::Waiting(now),
        state @ (State::Held | State::Scheduled(_)) => state,
    };
    Effect::Become(state, record.order)
}

impl Changed {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.busy += other.busy;
        self.unaffected += other.unaffected;
    }
}

/// How many messages are changed at the same time.
const MESSAGES_AT_ONCE: usize = 64;
/// Conflicts in a row before an action gives up on a message.
const CONFLICTS_MAX: usize = 8;
