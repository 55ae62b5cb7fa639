//! Erasing what the mailboxes of a removed account held.
//!
//! The commit that removed the account left a mark with its time. After a grace period, in which
//! sessions that still show something end (DUR-08 I7), everything goes in bounded batches:
//! mailboxes first, so that nothing comes in any more, emails and their bodies last, then the mark.
//! Every step may be repeated, so a crash in between costs nothing but the repetition.

use std::collections::BTreeMap;

use super::{email::Email, fault::MailboxFault, service::Mailboxes, tend::attempt};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, BlobId, EmailId},
    },
    store::{
        About, Batch, CommitError, Engine, Order, Page, PageLimit, key,
        owners::{Owners, disown},
    },
};

impl Mailboxes {
    /// Erases the accounts whose marks are old enough. May be dropped at any point.
    pub(super) async fn erase_removed(&self) -> Result<(), MailboxFault> {
        let (now, grace) = (self.core.clock.wall(), self.core.grace());
        let marks = key::removed_accounts().prefix_range();
        let limit = PageLimit::default();
        let marks = self
            .core
            .engine
            .page(marks, limit, Order::Ascending)
            .await?;
        for (mark, value) in marks.entries {
            let removed = value.first_chunk().map(|time| u64::from_be_bytes(*time));
            let removed = Timestamp(removed.unwrap_or(0));
            // A mark from the future is old: the clock was set back (DUR-07).
            let young = removed <= now && now.since(removed) < grace;
            if let (Some(account), false) = (mark.account(), young) {
                // However this ends, others are erased; the mark stays for a later round.
                attempt(self.erase(account)).await;
            }
        }
        Ok(())
    }

    /// Erases everything of one account, and the mark at the end.
    async fn erase(&self, account: AccountId) -> Result<(), MailboxFault> {
        for prefix in key::mailbox_data(account) {
            let range = prefix.prefix_range();
            if prefix == key::all_metadata(account) {
                self.remove_annotations(account, range).await?;
            } else if prefix != key::emails(account) {
                self.delete_range(range).await?;
            }
        }
        self.erase_annotations_by(account).await?;
        // Without its mailboxes it grants nothing more, and nothing is granted to it.
        self.erase_grants(account).await?;
        self.core.hub.announce(account, &[About::Names]);
        let engine = &*self.core.engine;
        let emails = key::emails(account).prefix_range();
        loop {
            let page = engine.page(emails.clone(), PAGE, Order::Ascending).await?;
            if page.entries.is_empty() {
                break;
            }
            match engine.commit(without_emails(engine, &page).await?).await {
                Ok(_) => self.core.hub.removed(page.entries.len()),
                // Another owner of a body came or went: look again.
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(MailboxFault::Commit(error)),
            }
        }
        let mut batch = Batch::new();
        batch.delete(key::removed_account(account));
        let done = engine.commit(batch).await;
        tracing::info!(
            account.id = account.0,
            "what a removed account held is erased"
        );
        done.map(|_| ()).map_err(MailboxFault::Commit)
    }
}

/// The batch that removes the emails of `page` and gives up the bodies they own.
async fn without_emails(engine: &dyn Engine, page: &Page) -> Result<Batch, MailboxFault> {
    let mut batch = Batch::new();
    let mut released: BTreeMap<BlobId, u32> = BTreeMap::new();
    for (key, value) in &page.entries {
        // A sweep at the same time must not give up the same owner.
        batch.present(key.clone());
        batch.delete(key.clone());
        let id = EmailId(key.last_u64().unwrap_or(0));
        let Ok(email) = Email::decode(id, value) else {
            // DUR-10: its body stays behind; nothing tells which one it is.
            tracing::error!(?key, "the record of an email is damaged");
            continue;
        };
        *released.entry(email.blob).or_default() += 1;
    }
    for (blob, count) in released {
        let owners = Owners::read(engine, blob).await?;
        disown(&mut batch, &owners, count);
    }
    Ok(batch)
}

/// Small enough for the conditions and the writes of each email in one batch.
const PAGE: PageLimit = PageLimit {
    entries: 500,
    bytes: 1024 * 1024,
};
