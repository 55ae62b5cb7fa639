//! Erasing what the mailboxes of a removed account held.
//!
//! The commit that removed the account left a mark with its time. After a grace period, in which sessions
//! that still show something end (DUR-08 I7), everything goes in bounded batches: mailboxes first, so that
//! nothing comes in any more, emails and their bodies last, then the mark. Every step may be repeated, so
//! a crash in between costs nothing but the repetition.

use std::{collections::BTreeMap, time::Duration};

use super::{
    email::{EmailRecord, FactsPlace},
    fault::MailboxFault,
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, BlobId},
    },
    store::{
        Batch, CommitError, Engine, Key, Order, Page, PageLimit, key,
        owners::{Owners, disown},
    },
};

/// Erases what is marked since `grace` or longer; gives the number of accounts that are gone now.
pub(super) async fn erase_removed(
    engine: &dyn Engine,
    now: Timestamp,
    grace: Duration,
) -> Result<usize, MailboxFault> {
    let marks = key::removed_accounts().prefix_range();
    let marks = engine.page(marks, PageLimit::default(), Order::Ascending).await?;
    let mut erased = 0;
    for (mark, value) in marks.entries {
        let removed = value.first_chunk().map_or(0, |time| u64::from_be_bytes(*time));
        let Some(account) = mark.account() else {
            continue;
        };
        // A clock that was set back makes the wait longer, never shorter (DUR-07).
        if now.since(Timestamp(removed)) >= grace {
            erase(engine, account).await?;
            erased += 1;
        }
    }
    Ok(erased)
}

/// Erases everything of one account, and the mark at the end.
async fn erase(engine: &dyn Engine, account: AccountId) -> Result<(), MailboxFault> {
    let emails = key::emails(account);
    for prefix in key::mailbox_data(account) {
        while let Some(page) = first_page(engine, &prefix).await? {
            let mut batch = Batch::new();
            for (key, _) in &page.entries {
                batch.delete(key.clone());
            }
            if prefix == emails {
                release_bodies(engine, &page, &mut batch).await?;
            }
            match engine.commit(batch).await {
                // Another owner of a body came or went: look again.
                Ok(_) | Err(CommitError::Conflict) => {}
                Err(error) => return Err(MailboxFault::Commit(error)),
            }
        }
    }
    let mut batch = Batch::new();
    batch.delete(key::removed_account(account));
    let done = engine.commit(batch).await;
    done.map(|_| ()).map_err(MailboxFault::Commit)
}

async fn first_page(engine: &dyn Engine, prefix: &Key) -> Result<Option<Page>, MailboxFault> {
    let page = engine.page(prefix.prefix_range(), PAGE, Order::Ascending).await?;
    Ok((!page.entries.is_empty()).then_some(page))
}

/// Gives up the bodies that the emails of `page` own.
async fn release_bodies(
    engine: &dyn Engine,
    page: &Page,
    batch: &mut Batch,
) -> Result<(), MailboxFault> {
    let mut released: BTreeMap<BlobId, u32> = BTreeMap::new();
    for (key, value) in &page.entries {
        let Ok(email) = EmailRecord::decode(value) else {
            // DUR-10: its body stays behind; nothing tells which one it is.
            tracing::error!(?key, "a damaged email of a removed account was dropped");
            continue;
        };
        *released.entry(email.blob).or_default() += 1;
        if let FactsPlace::Apart { blob, .. } = email.facts {
            batch.drop_body(blob);
        }
    }
    for (blob, count) in released {
        let owners = Owners::read(engine, blob).await?;
        disown(batch, &owners, count);
    }
    Ok(())
}

/// Small enough for the conditions and the writes of each entry in one batch.
const PAGE: PageLimit = PageLimit {
    entries: 500,
    bytes: 1024 * 1024,
};
