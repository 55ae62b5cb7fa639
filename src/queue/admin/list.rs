//! What is listed and shown of the queue.

use serde::Serialize;

use super::{
    Filter, Standing,
    walk::{Entry, Group},
};
use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::urgency::ByMode,
    queue::{
        Queue, QueueFault,
        record::{MessageRecord, RecipientRecord},
    },
};

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
    /// Recipients that are not finished and match.
    pub recipients: Vec<RecipientSummary>,
    /// How many others it has: they do not match, or are too many for a list.
    pub others: usize,
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
    /// Where an operator sends it.
    pub via: Option<String>,
}

impl Queue {
    /// Up to `limit` messages with recipients that match, from `from` on. One call looks at a
    /// bounded number of recipients.
    ///
    /// # Errors
    /// That of the store.
    pub async fn list(
        &self,
        filter: &Filter,
        from: Option<MessageId>,
        limit: usize,
    ) -> Result<Listing, QueueFault> {
        let step = self.step(from).await?;
        let mut listing = Listing::default();
        for group in step.groups {
            if listing.messages.len() >= limit {
                listing.next = Some(group.id.to_string());
                return Ok(listing);
            }
            listing.messages.extend(self.listed(&group, filter).await?);
        }
        listing.next = step.next.map(|id| id.to_string());
        Ok(listing)
    }

    /// One message, with all its recipients.
    ///
    /// # Errors
    /// That of the store.
    pub async fn show(&self, id: MessageId) -> Result<Option<MessageSummary>, QueueFault> {
        let message = self.message(id).await?;
        let mut summary = MessageSummary::of(id, message.as_ref());
        let (now, mut from) = (self.0.clock.wall(), None);
        loop {
            let (recipients, next) = self.recipients(id, from).await?;
            let shown = recipients.iter();
            let shown = shown.map(|entry| RecipientSummary::of(entry, now));
            summary.recipients.extend(shown);
            from = next;
            if from.is_none() {
                break;
            }
        }
        let exists = message.is_some() || !summary.recipients.is_empty();
        Ok(Some(summary).filter(|_| exists))
    }

    /// What the list says of a message, unless nothing of it matches.
    async fn listed(
        &self,
        group: &Group,
        filter: &Filter,
    ) -> Result<Option<MessageSummary>, QueueFault> {
        let now = self.0.clock.wall();
        let matching = group.recipients.iter();
        let matching = matching.filter(|(_, _, record)| filter.takes(record.as_ref(), now));
        let shown: Vec<_> = matching
            .take(LISTED_RECIPIENTS_MAX)
            .map(|entry| RecipientSummary::of(entry, now))
            .collect();
        if shown.is_empty() {
            return Ok(None);
        }
        let message = self.message(group.id).await?;
        if !filter.takes_message(message.as_ref()) {
            return Ok(None);
        }
        Ok(Some(MessageSummary {
            others: group.recipients.len() - shown.len(),
            recipients: shown,
            ..MessageSummary::of(group.id, message.as_ref())
        }))
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
            others: 0,
        }
    }
}

impl RecipientSummary {
    fn of((n, _, record): &Entry, now: Timestamp) -> Self {
        let record = record.as_ref();
        let last = record.and_then(|record| record.last.as_ref());
        let due = |record: &RecipientRecord| record.state.due().map(Timestamp::secs);
        Self {
            n: *n,
            address: record.map(|record| record.address.to_string()),
            state: Standing::of(record, now),
            due_secs: record.and_then(due),
            attempts: record.map_or(0, |record| record.attempts),
            last_attempt_secs: record.and_then(|record| Some(record.attempted?.1.secs())),
            host: last.and_then(|last| last.host.as_deref().map(str::to_owned)),
            reply: last.map(super::Diagnosis::said),
            class: last.map(|last| last.class.word()),
            via: record.and_then(|record| Some(record.via.as_ref()?.to_string())),
        }
    }
}

/// Recipients of a message in a list; `show` has all of them.
const LISTED_RECIPIENTS_MAX: usize = 100;
