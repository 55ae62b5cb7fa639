//! What a mailbox holds at one moment, for the account's sums when it goes.
//!
//! What a damaged mailbox held cannot be counted. Then the sums are made anew of what all other
//! mailboxes hold, under the condition that nothing in the account changes meanwhile (DUR-09); as
//! long as there is another damaged one, what can be seen of this one is subtracted.

use bytes::Bytes;

use super::{
    fault::{ChangeError, MailboxFault},
    index::Index,
    service::Mailboxes,
    tree::all_below,
};
use crate::{
    base::ids::{AccountId, MailboxId},
    store::{Batch, Key, key},
};

/// What a mailbox holds.
pub(super) struct Contents {
    /// Values that stand while nothing comes or goes.
    unchanged: Vec<(Key, Option<Bytes>)>,
    pub(super) bytes: i64,
    pub(super) messages: i64,
}

impl Contents {
    /// Requires that nothing came or went since.
    pub(super) fn require(&self, batch: &mut Batch) {
        for (key, value) in &self.unchanged {
            batch.unchanged(key.clone(), value.clone());
        }
    }
}

impl Mailboxes {
    /// What is in a mailbox just now.
    pub(super) async fn contents(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Contents, ChangeError> {
        let keys = [key::uid(account, mailbox), key::expunged(account, mailbox)];
        let unchanged = self.read_all(keys).await?;
        let sums = self.with_index(account, mailbox, sums_if_whole).await;
        match sums {
            Ok(Some((bytes, messages))) => Ok(Contents {
                unchanged,
                bytes,
                messages,
            }),
            Ok(None) | Err(MailboxFault::Damaged(_)) => {
                self.contents_of_damaged(account, mailbox).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What is in a damaged mailbox, by what the others leave of the account's sums.
    pub(super) async fn contents_of_damaged(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Contents, ChangeError> {
        // Every change of a sum takes from this counter.
        let unchanged = self.read_all([key::modseq(account)]).await?;
        let usage = self.usage(account).await?;
        let mut bytes = i64::try_from(usage.bytes).unwrap_or(i64::MAX);
        let mut messages = i64::try_from(usage.messages).unwrap_or(i64::MAX);
        for (key, _) in all_below(&*self.core.engine, &key::mailboxes(account)).await? {
            let Some(other) = key.last_u64().map(MailboxId).filter(|id| *id != mailbox) else {
                continue;
            };
            match self.with_index(account, other, sums_if_whole).await {
                Ok(Some((its_bytes, its_messages))) => {
                    bytes -= its_bytes;
                    messages -= its_messages;
                }
                Ok(None) | Err(MailboxFault::Damaged(_)) => {
                    let seen = self.with_index(account, mailbox, sums_of).await;
                    (bytes, messages) = seen.unwrap_or_default();
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Contents {
            unchanged,
            bytes,
            messages,
        })
    }

    async fn read_all<const N: usize>(
        &self,
        keys: [Key; N],
    ) -> Result<Vec<(Key, Option<Bytes>)>, ChangeError> {
        let mut values = Vec::with_capacity(N);
        for key in keys {
            let value = self.core.engine.get(&key).await?;
            values.push((key, value));
        }
        Ok(values)
    }
}

/// Bytes and number of the messages.
pub(super) fn sums_of(index: &Index) -> (i64, i64) {
    (
        i64::try_from(index.bytes()).unwrap_or(i64::MAX),
        i64::try_from(index.len()).unwrap_or(i64::MAX),
    )
}

fn sums_if_whole(index: &Index) -> Option<(i64, i64)> {
    (!index.is_damaged()).then(|| sums_of(index))
}
