//! The sweep: removes emails that no mailbox holds any more, their bodies, and what deleted
//! mailboxes leave.
//!
//! It starts from marks that EXPUNGE and DELETE wrote, once they are older than the grace time
//! (DUR-08 I7). An email is removed only when no index of the account refers to it and no COPY or
//! MOVE happened since before the indexes were read: those take from the relocations counter, which
//! the removing batch requires to be unchanged. Work that is cut off is done again; doing it twice
//! does no harm.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bytes::Bytes;

use super::{
    core::Core, email::Email, entry::MailboxRecord, fault::MailboxFault, index::Index, load,
    mark::Mark, service::Mailboxes, shared::read_record, tend::attempt, tree::all_below,
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, BlobId, EmailId, MailboxId, ModSeq},
    },
    store::{
        Batch, CommitError, Key, KeyRange, Order, PageLimit, key,
        owners::{Owners, disown},
    },
};

/// Marks of one account that one pass takes up: at most some hundred thousand emails.
const MARKS_MAX: usize = 50;
/// Accounts that one round sweeps.
const ACCOUNTS_MAX: usize = 100;
/// Emails that one batch removes.
const REMOVED_MAX: usize = 200;

/// What the marks of one account say.
#[derive(Debug, Default)]
struct Marked {
    keys: Vec<Key>,
    emails: HashSet<u64>,
    mailboxes: Vec<MailboxId>,
}

impl Mailboxes {
    /// Sweeps the accounts that have marks old enough.
    pub(super) async fn sweep(&self) -> Result<(), MailboxFault> {
        let (now, grace) = (self.core.clock.wall(), self.core.grace());
        let mut range = key::sweeps().prefix_range();
        if let Some(from) = self.core.swept() {
            range.from = from;
        }
        for _ in 0..ACCOUNTS_MAX {
            let first = PageLimit::entries(1);
            let page = self
                .core
                .engine
                .page(range.clone(), first, Order::Ascending)
                .await?;
            let Some(account) = page.entries.first().and_then(|(key, _)| key.account()) else {
                self.core.set_swept(None);
                return Ok(());
            };
            range.from = key::sweeps_of(account).prefix_range().to;
            // However this account's sweep ends, others have theirs; its marks stay for later.
            self.core.set_swept(Some(range.from.clone()));
            if !attempt(self.sweep_account(account, (now, grace))).await {
                tracing::warn!(account.id = account.0, "an account was not swept");
            }
        }
        Ok(())
    }

    async fn sweep_account(
        &self,
        account: AccountId,
        (now, grace): (Timestamp, Duration),
    ) -> Result<(), MailboxFault> {
        let mut marked = self.marked(account, (now, grace)).await?;
        if marked.keys.is_empty() {
            return Ok(());
        }
        for mailbox in marked.mailboxes.clone() {
            // What a deleted mailbox held is read from what it left.
            match load::load(&*self.core.engine, account, mailbox, ModSeq(0)).await {
                Ok(loaded) => marked.emails.extend(loaded.index.emails()),
                // No other try reads more of it: what only it named stays stored (DUR-10).
                Err(error @ MailboxFault::Damaged(_)) => {
                    tracing::warn!(%error, "a deleted mailbox cannot be read");
                }
                // Its mark and its log, which name the emails, stay for the next round.
                Err(error) => return Err(error),
            }
        }
        let relocations = self.core.engine.get(&key::relocations(account)).await?;
        if !self.keep_referenced(account, &mut marked.emails).await? {
            return Ok(());
        }
        let mut emails: Vec<EmailId> = marked.emails.iter().copied().map(EmailId).collect();
        emails.sort_unstable();
        for emails in emails.chunks(REMOVED_MAX) {
            match self.remove(account, emails, relocations.clone()).await {
                Ok(()) => {}
                // A copy, a move or another owner came in between: the next round looks again.
                Err(CommitError::Conflict) => return Ok(()),
                Err(error) => return Err(MailboxFault::Commit(error)),
            }
        }
        if grace < self.core.options.grace && !emails.is_empty() {
            let emails = emails.len();
            tracing::info!(
                account.id = account.0,
                emails,
                "room is low: deleted mail is removed"
            );
        }
        for mailbox in marked.mailboxes {
            self.remove_mailbox(account, mailbox).await?;
        }
        let mut batch = Batch::new();
        for key in marked.keys {
            batch.delete(key);
        }
        self.core
            .engine
            .commit(batch)
            .await
            .map_err(MailboxFault::Commit)?;
        Ok(())
    }

    async fn marked(
        &self,
        account: AccountId,
        (now, grace): (Timestamp, Duration),
    ) -> Result<Marked, MailboxFault> {
        let range = key::sweeps_of(account).prefix_range();
        let limit = PageLimit::entries(MARKS_MAX);
        let page = self
            .core
            .engine
            .page(range, limit, Order::Ascending)
            .await?;
        let mut marked = Marked::default();
        for (key, value) in page.entries {
            match Mark::decode(&value) {
                // RFC 2180 4.1: a session that was not told of an expunge may still ask for the
                // message. A mark from the future is old: the clock was set back (DUR-07).
                Ok(mark) if mark.at() <= now && now.since(mark.at()) < grace => continue,
                Ok(Mark::Emails(_, emails)) => marked.emails.extend(emails),
                Ok(Mark::Mailbox(_, mailbox)) => marked.mailboxes.push(mailbox),
                // Its emails stay stored; that costs room and loses nothing (DUR-10).
                Err(_) => tracing::error!(account.id = account.0, "a sweep mark is damaged"),
            }
            marked.keys.push(key);
        }
        Ok(marked)
    }

    /// Takes the emails that some mailbox holds out of `emails`. `false` when that cannot be said
    /// for sure.
    async fn keep_referenced(
        &self,
        account: AccountId,
        emails: &mut HashSet<u64>,
    ) -> Result<bool, MailboxFault> {
        // The records tell which mailboxes there are, also one whose name cannot be read.
        for (key, record) in all_below(&*self.core.engine, &key::mailboxes(account)).await? {
            if emails.is_empty() {
                break;
            }
            let (Some(mailbox), Ok(_)) = (key.last_u64(), MailboxRecord::decode(&record)) else {
                return Ok(false);
            };
            let whole = self.with_index(account, MailboxId(mailbox), |index| {
                for email in index.emails() {
                    emails.remove(email);
                }
                !index.is_damaged()
            });
            match whole.await {
                Ok(true) => {}
                Ok(false) | Err(MailboxFault::Damaged(_)) => {
                    tracing::warn!(
                        account.id = account.0,
                        mailbox.id = mailbox,
                        "a damaged mailbox keeps expunged emails from being removed"
                    );
                    return Ok(false);
                }
                // Deleted meanwhile: its own mark stands for what it held.
                Err(MailboxFault::Deleted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads the index of a mailbox just now, without keeping one in memory.
    pub(super) async fn with_index<R>(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        f: impl FnOnce(&Index) -> R,
    ) -> Result<R, MailboxFault> {
        let core: &Core = &self.core;
        if let Some(shared) = core.cache.find(account, mailbox) {
            shared.refresh_now(&*core.engine).await?;
            return Ok(shared.read(f));
        }
        let record = read_record(&*core.engine, account, mailbox)
            .await?
            .ok_or(MailboxFault::Deleted)?;
        let loaded = load::load(&*core.engine, account, mailbox, record.created).await?;
        Ok(f(&loaded.index))
    }

    /// Removes emails and gives up their bodies.
    async fn remove(
        &self,
        account: AccountId,
        emails: &[EmailId],
        relocations: Option<Bytes>,
    ) -> Result<(), CommitError> {
        let mut batch = Batch::new();
        let mut released: HashMap<BlobId, u32> = HashMap::new();
        for &email in emails {
            let key = key::email(account, email);
            let Some(value) = self.core.engine.get(&key).await? else {
                continue;
            };
            match Email::decode(email, &value) {
                Ok(stored) => *released.entry(stored.blob).or_default() += 1,
                Err(_) => tracing::error!(email.id = email.0, "the record of an email is damaged"),
            }
            // Two sweeps must not both give up the same owner.
            batch.present(key.clone());
            batch.delete(key);
        }
        if batch.writes.is_empty() {
            return Ok(());
        }
        for (blob, count) in released {
            let owners = Owners::read(&*self.core.engine, blob).await?;
            disown(&mut batch, &owners, count);
        }
        batch.unchanged(key::relocations(account), relocations);
        self.core.engine.commit(batch).await?;
        self.core.hub.removed(emails.len());
        Ok(())
    }

    /// Removes what a deleted mailbox left. Its log goes last: as long as it is there, it tells
    /// what to do.
    async fn remove_mailbox(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<(), MailboxFault> {
        let mut batch = Batch::new();
        batch.delete(key::uid(account, mailbox));
        batch.delete(key::expunged(account, mailbox));
        batch.delete(key::recent(account, mailbox));
        self.core
            .engine
            .commit(batch)
            .await
            .map_err(MailboxFault::Commit)?;
        self.remove_metadata(account, mailbox).await?;
        let only = |key: Key| KeyRange {
            to: key.successor(),
            from: key,
        };
        self.delete_range(key::logs(account, mailbox).prefix_range())
            .await?;
        self.delete_range(only(key::snapshot(account, mailbox)))
            .await?;
        self.delete_range(key::snapshot_chunks(account, mailbox).prefix_range())
            .await
    }
}
