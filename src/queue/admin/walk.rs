//! Over the recipients of the queue in the order of their messages, oldest first.
//!
//! One page of the store at once, whatever is asked for, so a caller decides how long it goes on.
//! A message is never cut in two.

use super::super::{Queue, record::RecipientRecord};
use crate::{
    base::ids::MessageId,
    store::{Key, KeyRange, Order, PageLimit, ReadError, key},
};

/// A recipient's number, its stored bytes, and the record if they can be read.
pub(super) type Entry = (u32, bytes::Bytes, Option<RecipientRecord>);

/// A message with all its recipients.
pub(super) struct Group {
    pub(super) id: MessageId,
    pub(super) recipients: Vec<Entry>,
}

/// Some messages, and where the next ones begin.
pub(super) struct Step {
    pub(super) groups: Vec<Group>,
    pub(super) next: Option<MessageId>,
}

impl Queue {
    /// The messages of one page of recipients, from `from` on.
    pub(super) async fn step(&self, from: Option<MessageId>) -> Result<Step, ReadError> {
        let mut range = key::queue_all_recipients().prefix_range();
        if let Some(from) = from {
            range.from = key::queue_recipient(from, 0);
        }
        let limit = PageLimit::default();
        let page = self.0.engine.page(range, limit, Order::Ascending).await?;
        let mut groups: Vec<Group> = Vec::new();
        for (key, bytes) in page.entries {
            let (Some(id), Some(entry)) = (message_of(&key), entry(&key, bytes)) else {
                continue;
            };
            match groups.last_mut().filter(|group| group.id == id) {
                Some(group) => group.recipients.push(entry),
                None => groups.push(Group {
                    id,
                    recipients: vec![entry],
                }),
            }
        }
        if !page.more {
            return Ok(Step { groups, next: None });
        }
        // The last message may go on in the next page.
        if groups.len() > 1 {
            let next = groups.pop().map(|group| group.id);
            return Ok(Step { groups, next });
        }
        if let Some(only) = groups.first_mut() {
            self.complete(only).await?;
        }
        let last = groups.first().map(|group| group.id.successor());
        Ok(Step { groups, next: last })
    }

    /// Reads the rest of a message's recipients.
    async fn complete(&self, group: &mut Group) -> Result<(), ReadError> {
        let last = group.recipients.last().map(|(n, ..)| *n);
        let mut from = last.map(|n| key::queue_recipient(group.id, n).successor());
        while from.is_some() {
            let (more, next) = self.recipients(group.id, from).await?;
            group.recipients.extend(more);
            from = next;
        }
        Ok(())
    }

    /// Some recipients of a message, and where the rest of them begins.
    pub(super) async fn recipients(
        &self,
        id: MessageId,
        from: Option<Key>,
    ) -> Result<(Vec<Entry>, Option<Key>), ReadError> {
        let range = key::queue_recipients(id).prefix_range();
        let range = KeyRange {
            from: from.unwrap_or(range.from),
            to: range.to,
        };
        let limit = PageLimit::entries(RECIPIENTS_AT_ONCE);
        let page = self.0.engine.page(range, limit, Order::Ascending).await?;
        let next = page.entries.last().filter(|_| page.more);
        let next = next.map(|(key, _)| key.successor());
        let entries = page.entries.into_iter();
        let entries = entries.filter_map(|(key, bytes)| entry(&key, bytes));
        Ok((entries.collect(), next))
    }
}

/// The message of a recipient's key: behind the space byte.
pub(super) fn message_of(key: &Key) -> Option<MessageId> {
    let id = key.as_bytes().get(1..)?.first_chunk()?;
    Some(MessageId::from_bytes(*id))
}

fn entry(key: &Key, bytes: bytes::Bytes) -> Option<Entry> {
    let record = RecipientRecord::decode(&bytes).ok();
    Some((key.last_u32()?, bytes, record))
}

/// How many recipients of a message are read or changed together.
const RECIPIENTS_AT_ONCE: usize = 200;
