//! What an operator can ask of the queue: list, show, and act on messages or recipients.
//!
//! Reads are paged and show damaged records instead of failing on them. Actions touch only what is
//! not in the relay's hands; what is, is counted as busy. Each message is changed in a commit of
//! its own; many of them go to the store at once, which syncs them together. Legal actions for each
//! state: docs/STORE-queue.md.

use serde::Serialize;

use super::{
    Queue,
    due::QueueFault,
    lease::{Place, moved, removed},
    record::{MessageRecord, Order, Read, RecipientRecord, State},
};
use crate::{
    base::{
        clock::Timestamp,
        future::{BoxFuture, all},
        ids::MessageId,
    },
    mail::{
        address::{Address, Domain},
        envelope::ReversePath,
        urgency::ByMode,
    },
    store::{self, Batch, CommitError, KeyRange, PageLimit, ReadError, key},
};

/// Which messages to list. An empty filter matches all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Some recipient is of this domain.
    pub domain: Option<Domain>,
    /// The sender is this one.
    pub sender: Option<ReversePath>,
    /// It was received before this time.
    pub received_before: Option<Timestamp>,
}

/// A page of the list.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listing {
    /// Messages, oldest first.
    pub messages: Vec<MessageSummary>,
    /// Give this to [`Queue::list`] to go on; absent at the end. A page may be empty and yet go on.
    pub next: Option<String>,
}

/// A queued message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageSummary {
    /// Its id.
    pub id: String,
    /// Its sender in angle brackets; absent when the record is damaged.
    pub sender: Option<String>,
    /// What MAIL says for him of a forwarded copy, in angle brackets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<String>,
    /// Its size.
    pub size_bytes: u64,
    /// When it was accepted, in seconds since 1970.
    pub received_secs: i64,
    /// The number of the account that submitted it.
    pub account: Option<u64>,
    /// RFC 6710, unless it is 0.
    pub priority: Option<i8>,
    /// RFC 4865: when it is to be released, in seconds since 1970.
    pub release_secs: Option<i64>,
    /// RFC 2852: when it is to be delivered at the latest, in seconds since 1970,
    pub deliver_by_secs: Option<i64>,
    /// and what happens then: it goes back, or not.
    pub returned_late: Option<bool>,
    /// Recipients that are not finished.
    pub recipients: Vec<RecipientSummary>,
}

/// A recipient of a queued message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecipientSummary {
    /// Its number within the message.
    pub n: u32,
    /// The address; absent when the record is damaged.
    pub address: Option<String>,
    /// Where it stands.
    pub state: Standing,
    /// When it is due, in seconds since 1970.
    pub due_secs: Option<i64>,
    /// Attempts begun; once it failed for good, those of the report.
    pub attempts: u32,
    /// When the last attempt began, in seconds since 1970.
    pub last_attempt_secs: Option<i64>,
    /// The host of the last attempt.
    pub host: Option<String>,
    /// The last reply or failure, in one line.
    pub reply: Option<String>,
    /// What kind of reply or failure it was, in a word.
    pub class: Option<&'static str>,
}

/// Where a recipient stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It waits for its next attempt.
    Waiting,
    /// It waits for the time that its sender gave.
    Scheduled,
    /// It will be reported as failed as soon as that can be.
    Bouncing,
    /// An attempt is being made.
    Attempting,
    /// An operator must release it.
    Held,
    /// Its record cannot be read; it can only be dropped.
    Damaged,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
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
}

/// What to do it with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every message.
    All,
    /// All recipients of one message.
    Message(MessageId),
    /// One recipient of one message.
    Recipient(MessageId, Address),
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
    /// Up to `limit` matching messages, from `from` on. One call looks at a bounded number of
    /// messages.
    pub async fn list(
        &self,
        filter: &Filter,
        from: Option<MessageId>,
        limit: usize,
    ) -> Result<Listing, QueueFault> {
        let page = self.message_ids(from, LIST_MESSAGES_MAX).await?;
        let mut listing = Listing::default();
        for id in page.ids {
            if listing.messages.len() >= limit {
                listing.next = Some(id.to_string());
                return Ok(listing);
            }
            if let Some(summary) = self.summary(id, filter).await? {
                listing.messages.push(summary);
            }
        }
        listing.next = page.next.map(|id| id.to_string());
        Ok(listing)
    }

    /// One message.
    pub async fn show(&self, id: MessageId) -> Result<Option<MessageSummary>, QueueFault> {
        self.summary(id, &Filter::default()).await
    }

    /// Does `action` to what is selected.
    pub async fn apply(
        &self,
        action: Action,
        selection: &Selection,
    ) -> Result<Changed, QueueFault> {
        let mut changed = Changed::default();
        match selection {
            Selection::Message(id) => changed.add(self.apply_to(action, *id, None).await?),
            Selection::Recipient(id, address) => {
                changed.add(self.apply_to(action, *id, Some(address)).await?);
            }
            Selection::All => {
                let mut from = None;
                loop {
                    let page = self.message_ids(from, LIST_MESSAGES_MAX).await?;
                    for ids in page.ids.chunks(MESSAGES_AT_ONCE) {
                        let works = ids.iter().map(|id| self.apply_to(action, *id, None));
                        let works = works.map(|work| -> BoxFuture<'_, _> { Box::pin(work) });
                        for outcome in all(works.collect()).await {
                            changed.add(outcome?);
                        }
                    }
                    from = page.next;
                    if from.is_none() {
                        break;
                    }
                }
            }
        }
        self.wake();
        Ok(changed)
    }

    /// Does `action` to the recipients of one message, or to one of them.
    async fn apply_to(
        &self,
        action: Action,
        id: MessageId,
        only: Option<&Address>,
    ) -> Result<Changed, QueueFault> {
        for _ in 0..CONFLICTS_MAX {
            match self.try_apply(action, id, only).await {
                Err(QueueFault::Commit(CommitError::Conflict)) => {}
                other => return other,
            }
        }
        Err(CommitError::Conflict.into())
    }

    async fn try_apply(
        &self,
        action: Action,
        id: MessageId,
        only: Option<&Address>,
    ) -> Result<Changed, QueueFault> {
        let message = self.message(id).await?;
        let turn = message.as_ref().map(MessageRecord::turn);
        let turn = turn.unwrap_or_default();
        let now = self.0.clock.wall();
        let mut total = Changed::default();
        let mut from = None;
        // Bounded batches: a message may have hundreds of recipients.
        loop {
            let (recipients, next) = self.recipients(id, from).await?;
            let mut batch = Batch::new();
            let mut gone = Vec::new();
            let mut counts = Changed::default();
            for (n, bytes, record) in recipients {
                let Some(record) = record else {
                    if action == Action::Drop && only.is_none() {
                        let key = key::queue_recipient(id, n);
                        batch.unchanged(key.clone(), Some(bytes)).delete(key);
                        gone.push(n);
                        counts.changed += 1;
                    }
                    continue;
                };
                if only.is_some_and(|address| *address != record.address) {
                    continue;
                }
                let old = Read { record, bytes };
                match judged(action, &old.record, now) {
                    Effect::Busy => counts.busy += 1,
                    Effect::Nothing => counts.unaffected += 1,
                    Effect::Done => counts.changed += 1,
                    Effect::Remove => {
                        removed(&mut batch, (id, n), &old);
                        gone.push(n);
                        counts.changed += 1;
                    }
                    Effect::Become(state, order) => {
                        let mut new = old.record.clone();
                        (new.state, new.order, new.unfinished) = (state, order, 0);
                        moved(&mut batch, Place { id, n, turn }, &old, &new);
                        counts.changed += 1;
                    }
                }
            }
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

    /// The summary of one message, if there is one and the filter matches it.
    async fn summary(
        &self,
        id: MessageId,
        filter: &Filter,
    ) -> Result<Option<MessageSummary>, QueueFault> {
        let message = self.message(id).await?;
        if !message
            .as_ref()
            .is_none_or(|message| filter.matches(message))
        {
            return Ok(None);
        }
        let mut summary = MessageSummary::of(id, message.as_ref());
        let mut wanted = filter.domain.is_none();
        let mut from = None;
        loop {
            let (recipients, next) = self.recipients(id, from).await?;
            for (n, _, record) in recipients {
                wanted |= record
                    .as_ref()
                    .is_some_and(|record| filter.domain.as_ref() == Some(&record.address.domain));
                let recipient = RecipientSummary::of(n, record.as_ref(), self.0.clock.wall());
                summary.recipients.push(recipient);
            }
            match next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        let exists = message.is_some() || !summary.recipients.is_empty();
        Ok(Some(summary).filter(|_| wanted && exists))
    }

    /// Names of queued messages from `from` on, oldest first.
    async fn message_ids(
        &self,
        from: Option<MessageId>,
        limit: usize,
    ) -> Result<IdPage, ReadError> {
        let mut range = key::queue_messages().prefix_range();
        if let Some(from) = from {
            range.from = key::queue_message(from);
        }
        let limit = PageLimit::entries(limit.saturating_add(1));
        let ascending = store::Order::Ascending;
        let page = self.0.engine.page(range, limit, ascending).await?;
        let id = |key: &store::Key| key.as_bytes().last_chunk().copied();
        let mut ids: Vec<_> = page.entries.iter().filter_map(|(key, _)| id(key)).collect();
        // The last one is only where the next page begins.
        let next = if page.more || ids.len() >= limit.entries {
            ids.pop()
        } else {
            None
        };
        Ok(IdPage {
            ids: ids.into_iter().map(MessageId::from_bytes).collect(),
            next: next.map(MessageId::from_bytes),
        })
    }

    /// Some recipients of a message, and where the rest of them begins.
    async fn recipients(
        &self,
        id: MessageId,
        from: Option<store::Key>,
    ) -> Result<(Vec<Entry>, Option<store::Key>), ReadError> {
        let range = key::queue_recipients(id).prefix_range();
        let range = KeyRange {
            from: from.unwrap_or(range.from),
            to: range.to,
        };
        let limit = PageLimit::entries(RECIPIENTS_AT_ONCE);
        let ascending = store::Order::Ascending;
        let page = self.0.engine.page(range, limit, ascending).await?;
        let next = page.entries.last().filter(|_| page.more);
        let next = next.map(|(key, _)| key.successor());
        let entries = page.entries.into_iter().filter_map(|(key, bytes)| {
            let n = u32::from_be_bytes(*key.as_bytes().last_chunk()?);
            let record = RecipientRecord::decode(&bytes).ok();
            Some((n, bytes, record))
        });
        Ok((entries.collect(), next))
    }
}

/// A recipient's number, its stored bytes, and the record if they can be read.
type Entry = (u32, bytes::Bytes, Option<RecipientRecord>);

struct IdPage {
    ids: Vec<MessageId>,
    next: Option<MessageId>,
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
fn judged(action: Action, record: &RecipientRecord, now: Timestamp) -> Effect {
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

impl Filter {
    fn matches(&self, message: &MessageRecord) -> bool {
        let of_sender = |sender: &ReversePath| message.sender == *sender;
        let before = |time| message.received < time;
        self.sender.as_ref().is_none_or(of_sender) && self.received_before.is_none_or(before)
    }
}

impl Changed {
    fn add(&mut self, other: Self) {
        self.changed += other.changed;
        self.busy += other.busy;
        self.unaffected += other.unaffected;
    }
}

impl MessageSummary {
    fn of(id: MessageId, message: Option<&MessageRecord>) -> Self {
        let options = message.map(|message| &message.options);
        let by = options.and_then(|options| options.deliver_by);
        Self {
            id: id.to_string(),
            sender: message.map(|message| message.sender.to_string()),
            rewritten: message
                .and_then(|message| message.rewritten.as_ref())
                .map(|address| format!("<{address}>")),
            size_bytes: message.map_or(0, MessageRecord::sent_bytes),
            received_secs: message.map_or(0, |message| message.received.secs()),
            account: message.and_then(|message| message.origin.map(|account| account.0)),
            priority: options.and_then(|options| Some(options.priority?.value())),
            release_secs: options.and_then(|options| Some(options.release?.at.secs())),
            deliver_by_secs: by.map(|by| by.at.secs()),
            returned_late: by.map(|by| by.mode == ByMode::Return),
            recipients: Vec::new(),
        }
    }
}

impl RecipientSummary {
    fn of(n: u32, record: Option<&RecipientRecord>, now: Timestamp) -> Self {
        let state = record.map_or(Standing::Damaged, |record| match record.state {
            State::Leased(until) if until > now => Standing::Attempting,
            State::Held => Standing::Held,
            State::Scheduled(_) => Standing::Scheduled,
            State::Waiting(_) | State::Leased(_) => match record.order {
                Order::Deliver => Standing::Waiting,
                Order::Bounce | Order::Report => Standing::Bouncing,
            },
        });
        let last = record.and_then(|record| record.last.as_ref());
        Self {
            n,
            address: record.map(|record| record.address.to_string()),
            state,
            due_secs: record.and_then(|record| record.state.due().map(Timestamp::secs)),
            attempts: record.map_or(0, |record| record.attempts),
            last_attempt_secs: record.and_then(|record| Some(record.attempted?.1.secs())),
            host: last.and_then(|last| last.host.as_deref().map(str::to_owned)),
            reply: last.map(|last| match last.code {
                0 => format!("{} {}", last.status, last.text()),
                code => format!("{code} {} {}", last.status, last.text()),
            }),
            class: last.map(|last| last.class.word()),
        }
    }
}

/// How many messages one call of `list` looks at.
const LIST_MESSAGES_MAX: usize = 500;
/// How many recipients are read or changed together.
const RECIPIENTS_AT_ONCE: usize = 200;
/// How many messages are changed at the same time.
const MESSAGES_AT_ONCE: usize = 64;
/// Conflicts in a row before an action gives up on a message.
const CONFLICTS_MAX: usize = 8;
