//! Names of mailboxes: LIST, CREATE, DELETE, RENAME, subscriptions (RFC 3501 6.3.3 to 6.3.9).
//!
//! Every change of names takes from the account's mailbox counter and requires that it stands where
//! it stood when the names were read. So the decision was made on the whole truth: no two mailboxes
//! have one name, LIM-23 is exact, and a number is never used twice. A mailbox that is deleted
//! while others are below it leaves a name without a mailbox, which is there as long as they are.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::{
    acl::Acl,
    compose::{self, sum_usage, weight},
    contents::sums_of,
    entry::{self, Entry, MailboxRecord, SpecialUse, full_name, name_key, name_value, names},
    fault::{ChangeError, MailboxFault},
    handle::absent_on_conflict,
    limits::{ATTEMPTS_MAX, BATCH_BYTES_MAX, SUBSCRIPTIONS_MAX},
    load, mark,
    name::Name,
    names::{Moved, Tree, base, entries, uid_validity},
    rights::Rights,
    service::Mailboxes,
    shared::read_record,
    sharing::StoredAcl,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq},
    store::{Batch, CommitError, Engine, Key, Order, PageLimit, Pages, ReadError, key},
};

/// The number of every account's INBOX.
pub const INBOX: MailboxId = MailboxId(1);

/// What every account begins with, INBOX first.
pub(super) const PROVISIONED: [(&str, Option<SpecialUse>); 6] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Archive", Some(SpecialUse::Archive)),
];

/// Who changes names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The account whose names they are.
    Owner,
    /// Somebody whom the owner may have given the right to.
    Other(AccountId),
}

/// With fewer UIDs left than about a million, RENAME of INBOX gives it all of them back.
const UIDS_LOW: u32 = u32::MAX - (1 << 20);

impl Mailboxes {
    /// Makes the first mailboxes of a new account, subscribed, as part of the batch that makes the
    /// account.
    pub fn provision(&self, batch: &mut Batch, account: AccountId) {
        let modseq = batch.take_one(key::modseq(account));
        let count = u32::try_from(PROVISIONED.len()).unwrap_or(1);
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let counter = key::mailbox_counter(account);
        batch.absent(counter.clone());
        batch.take(counter, count);
        // RFC 3501 2.3.1.1: rises from one account of this name to the next.
        let base = u32::try_from(self.core.clock.wall().secs())
            .unwrap_or(0)
            .max(1);
        for (id, (text, special_use)) in (INBOX.0..).zip(PROVISIONED) {
            let id = MailboxId(id);
            let Ok(name) = Name::parse(text) else {
                continue;
            };
            let validity = uid_validity(base, id);
            batch.put(
                key::mailbox(account, id),
                MailboxRecord::encode(validity, special_use, modseq),
            );
            batch.put(name_key(account, &name), name_value(id, &name));
            batch.put(key::name_of(account, id), entry::label(&name));
            batch.put(
                entry::subscription_key(account, &name),
                entry::subscription_value(&name),
            );
        }
    }

    /// All mailboxes, as a tree with INBOX first.
    pub async fn list(&self, account: AccountId) -> Result<Vec<Entry>, MailboxFault> {
        Ok(self.tree(account).await?.entries)
    }

    /// The mailbox of this name.
    pub async fn find(
        &self,
        account: AccountId,
        name: &Name,
    ) -> Result<Option<Entry>, MailboxFault> {
        let engine = &*self.core.engine;
        let Some(value) = engine.get(&name_key(account, name)).await? else {
            return Ok(None);
        };
        let (id, _) =
            entry::named_mailbox(&value).map_err(|_| MailboxFault::Damaged("a mailbox name"))?;
        let record = engine.get(&key::mailbox(account, id)).await?;
        Ok(record.map(|record| Entry::new(id, name.clone(), &record)))
    }

    /// Whether there are mailboxes below this name.
    pub async fn has_below(&self, account: AccountId, name: &Name) -> Result<bool, MailboxFault> {
        let engine = &*self.core.engine;
        if let Some(below) = entry::names_below(account, name) {
            let first = PageLimit::entries(1);
            let page = engine.page(below.prefix_range(), first, Order::Ascending);
            if !page.await?.entries.is_empty() {
                return Ok(true);
            }
        }
        // Names too long for a key are few, where there are any.
        let long = all_below(engine, &entry::long_names(account)).await?;
        Ok(long.iter().any(|(key, value)| {
            let name_there = entry::named_mailbox(value).and_then(|(_, it)| full_name(key, it));
            name_there.is_ok_and(|it| it.is_under(name))
        }))
    }

    /// What a mailbox is called now.
    pub async fn name(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<Name>, MailboxFault> {
        let key = key::name_of(account, mailbox);
        let label = self.core.engine.get(&key).await?;
        Ok(label.and_then(|label| entry::label_name(&label).ok()))
    }

    /// CREATE, with the parents that are missing (RFC 3501 6.3.3). What is new has the access
    /// control list of the nearest parent that is there (RFC 4314 4).
    pub async fn create(
        &self,
        account: AccountId,
        name: &Name,
        special_use: Option<SpecialUse>,
    ) -> Result<Entry, ChangeError> {
        self.create_by(By::Owner, account, name, special_use).await
    }

    /// CREATE by `user`, who needs the right to (RFC 4314 4). His rights are those of the mailbox
    /// that the change is about, and stand at the commit; so for DELETE and RENAME.
    pub async fn create_as_guest(
        &self,
        user: AccountId,
        account: AccountId,
        name: &Name,
    ) -> Result<Entry, ChangeError> {
        self.create_by(By::Other(user), account, name, None).await
    }

    async fn create_by(
        &self,
        by: By,
        account: AccountId,
        name: &Name,
        special_use: Option<SpecialUse>,
    ) -> Result<Entry, ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let tree = self.tree(account).await?;
            let acl = self.inherited(&tree, name, by).await?;
            let mut batch = Batch::new();
            let added = tree.create(&mut batch, name, special_use)?;
            bequeath(&mut batch, acl.as_ref(), account, &added);
            match self.core.commit(account, batch).await {
                Ok(_) => return added.into_iter().last().ok_or(ChangeError::Absent),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// DELETE; gives which mailbox it was. Not INBOX; inferior names stay as they are, and so do
    /// subscriptions (RFC 3501 6.3.4, 6.3.9).
    pub async fn delete(&self, account: AccountId, name: &Name) -> Result<MailboxId, ChangeError> {
        self.delete_by(By::Owner, account, name).await
    }

    /// DELETE by `user`, who needs the right to.
    pub async fn delete_as_guest(
        &self,
        user: AccountId,
        account: AccountId,
        name: &Name,
    ) -> Result<MailboxId, ChangeError> {
        self.delete_by(By::Other(user), account, name).await
    }

    async fn delete_by(
        &self,
        by: By,
        account: AccountId,
        name: &Name,
    ) -> Result<MailboxId, ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let tree = self.tree(account).await?;
            let judged = self.removable(&tree, name, by).await?;
            let entry = tree.deletable(name)?;
            let contents = self.contents(account, entry.id).await?;
            let acl = match judged {
                Some(judged) => judged,
                None => self.stored_acl(account, entry.id).await?,
            };
            let now = self.core.clock.wall();
            let mark = mark::of_mailbox(now, entry.id);
            let mut batch = tree.delete(entry, &contents);
            // RFC 4314 4: with its access control list.
            acl.replace(&mut batch, &Acl::default());
            batch.put(compose::numbered(key::sweep_numbered(account, 1), 0), mark);
            match self.core.commit(account, batch).await {
                Ok(_) => {
                    self.core.cache.forget(account, entry.id);
                    return Ok(entry.id);
                }
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// RENAME, with all inferior names. Renaming INBOX moves its messages to a new mailbox and
    /// leaves INBOX empty, and its inferior names as they are (RFC 3501 6.3.5). Mailboxes keep
    /// their access control lists (RFC 4314 4), and those that are new are as after CREATE.
    pub async fn rename(
        &self,
        account: AccountId,
        from: &Name,
        to: &Name,
    ) -> Result<(), ChangeError> {
        self.rename_by(By::Owner, account, from, to).await
    }

    /// RENAME by `user`, who needs the right to it and to make the new one. Not of INBOX, which is
    /// its owner's.
    pub async fn rename_as_guest(
        &self,
        user: AccountId,
        account: AccountId,
        from: &Name,
        to: &Name,
    ) -> Result<(), ChangeError> {
        self.rename_by(By::Other(user), account, from, to).await
    }

    async fn rename_by(
        &self,
        by: By,
        account: AccountId,
        from: &Name,
        to: &Name,
    ) -> Result<(), ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let tree = self.tree(account).await?;
            let judged = self.removable(&tree, from, by).await?;
            let acl = self.inherited(&tree, to, by).await?;
            if judged.is_some() && from.is_inbox() {
                return Err(ChangeError::Inbox);
            }
            let (mut batch, added) = if from.is_inbox() {
                self.inbox_rename(&tree, to).await?
            } else {
                tree.rename(from, to)?
            };
            if let (true, Some(target)) = (from.is_inbox(), added.last()) {
                self.copy_inbox_metadata(&mut batch, account, target.id)
                    .await?;
            }
            if let Some(judged) = judged {
                judged.require(&mut batch);
            }
            bequeath(&mut batch, acl.as_ref(), account, &added);
            if weight(&batch) > BATCH_BYTES_MAX {
                return Err(ChangeError::TooMany("things to rename at once"));
            }
            match self.core.commit(account, batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// The list of the mailbox of this name, when it lets somebody else delete or rename it. A name
    /// without a mailbox is absent to him.
    async fn removable(
        &self,
        tree: &Tree,
        name: &Name,
        by: By,
    ) -> Result<Option<StoredAcl>, ChangeError> {
        let By::Other(user) = by else {
            return Ok(None);
        };
        let entry = tree.find(name).ok_or(ChangeError::Absent)?;
        let acl = self.stored_acl(tree.account, entry.id).await?;
        acl.judge(user, Rights::DELETE_MAILBOX)?;
        Ok(Some(acl))
    }

    /// The list that a new mailbox of this name gets, when it lets him who makes it. For the owner
    /// what is at the top is not below anything; to others his INBOX stands above all.
    async fn inherited(
        &self,
        tree: &Tree,
        name: &Name,
        by: By,
    ) -> Result<Option<StoredAcl>, ChangeError> {
        let mut above = std::iter::successors(name.parent(), Name::parent);
        let parent = above.find_map(|name| tree.find(&name));
        let parent = match (parent, by) {
            (None, By::Owner) => return Ok(None),
            (None, By::Other(_)) => INBOX,
            (Some(parent), _) => parent.id,
        };
        let acl = self.stored_acl(tree.account, parent).await?;
        match by {
            // Also where he may not see what is above.
            By::Other(user) if !acl.acl.rights_of(user).contains(Rights::CREATE) => {
                Err(ChangeError::Forbidden)
            }
            _ => Ok(Some(acl)),
        }
    }

    async fn inbox_rename(
        &self,
        tree: &Tree,
        to: &Name,
    ) -> Result<(Batch, Vec<Entry>), ChangeError> {
        let account = tree.account;
        let shared = match self.core.shared(account, INBOX).await {
            Err(MailboxFault::Damaged(_)) => return self.inbox_reset(tree, to).await,
            outcome => outcome?,
        };
        shared.refresh_now(&*self.core.engine).await?;
        let moved = shared.read(|index| {
            let usable = !index.is_damaged() && index.uid_next() < UIDS_LOW;
            usable.then(|| tree.inbox_moved(index, &compose::expunged_value(index), to))
        });
        match moved {
            Some(moved) => moved.map(|moved| (moved.batch, moved.added)),
            None => self.inbox_reset(tree, to).await,
        }
    }

    /// RENAME of an INBOX that is damaged, or has hardly a UID left: what can be read of it moves,
    /// and INBOX begins anew, with another UIDVALIDITY (RFC 3501 2.3.1.1). The rest stays stored.
    async fn inbox_reset(
        &self,
        tree: &Tree,
        to: &Name,
    ) -> Result<(Batch, Vec<Entry>), ChangeError> {
        let (account, engine) = (tree.account, &*self.core.engine);
        let contents = self.contents_of_damaged(account, INBOX).await?;
        let expunged = engine.get(&key::expunged(account, INBOX)).await?;
        let created = match read_record(engine, account, INBOX).await {
            Err(MailboxFault::Damaged(_)) => ModSeq(0),
            record => record?.ok_or(ChangeError::Absent)?.created,
        };
        let index = load::load(engine, account, INBOX, created).await?.index;
        let Moved {
            mut batch,
            target,
            added,
            modseq: (take, plus),
        } = tree.inbox_moved(&index, &expunged, to)?;
        let validity = uid_validity(tree.base, target);
        // What INBOX logged until now lies before its new making, and is not read again.
        let record = compose::numbered(MailboxRecord::encode(validity, None, take), plus);
        batch.put(key::mailbox(account, INBOX), record);
        batch.delete(key::snapshot(account, INBOX));
        batch.delete(key::expunged(account, INBOX));
        batch.delete(key::recent(account, INBOX));
        if index.uid_next() >= UIDS_LOW {
            batch.delete(key::uid(account, INBOX));
        }
        contents.require(&mut batch);
        let (bytes, messages) = sums_of(&index);
        let (lost_bytes, lost_messages) = (contents.bytes - bytes, contents.messages - messages);
        sum_usage(&mut batch, account, -lost_bytes, -lost_messages);
        Ok((batch, added))
    }

    /// SUBSCRIBE; the name need not exist (RFC 3501 6.3.6).
    pub async fn subscribe(&self, account: AccountId, name: &Name) -> Result<(), ChangeError> {
        let subscribed = self.subscriptions(account).await?;
        if subscribed.contains(name) {
            return Ok(());
        }
        if subscribed.len() >= SUBSCRIPTIONS_MAX {
            // LIM-23
            return Err(ChangeError::TooMany("subscriptions"));
        }
        let mut batch = Batch::new();
        batch.put(
            entry::subscription_key(account, name),
            entry::subscription_value(name),
        );
        self.commit_subscription(account, batch).await
    }

    /// UNSUBSCRIBE; no error when the name is not subscribed.
    pub async fn unsubscribe(&self, account: AccountId, name: &Name) -> Result<(), ChangeError> {
        let mut batch = Batch::new();
        batch.delete(entry::subscription_key(account, name));
        self.commit_subscription(account, batch).await
    }

    /// Commits while the account has its INBOX, which is as long as there is the account.
    async fn commit_subscription(
        &self,
        account: AccountId,
        mut batch: Batch,
    ) -> Result<(), ChangeError> {
        batch.present(key::mailbox(account, INBOX));
        let outcome = self.core.commit(account, batch).await;
        outcome.map(|_| ()).map_err(absent_on_conflict)
    }

    /// Subscribed names, sorted.
    pub async fn subscriptions(&self, account: AccountId) -> Result<Vec<Name>, MailboxFault> {
        let all = all_below(&*self.core.engine, &key::subscriptions(account)).await?;
        let name = |(key, value): &(Key, Bytes)| entry::subscribed_name(key, value).ok();
        let mut names: Vec<Name> = all.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// All names at one moment: read again when the counter moved meanwhile.
    async fn tree(&self, account: AccountId) -> Result<Tree, MailboxFault> {
        let engine = &*self.core.engine;
        let counter_key = key::mailbox_counter(account);
        let mut counter = engine.get(&counter_key).await?;
        let mut attempts = 0;
        loop {
            let names = all_below(engine, &names(account)).await?;
            let records = all_below(engine, &key::mailboxes(account)).await?;
            let after = engine.get(&counter_key).await?;
            attempts += 1;
            if after == counter || attempts == ATTEMPTS_MAX {
                let now = self.core.clock.wall();
                let secs = u32::try_from(now.secs()).unwrap_or(0);
                return Ok(Tree {
                    account,
                    now,
                    counter,
                    base: base(&records).unwrap_or(secs),
                    entries: entries(&names, &records),
                });
            }
            counter = after;
        }
    }
}

/// Gives the list of their parent to mailboxes that are being made.
fn bequeath(batch: &mut Batch, parent: Option<&StoredAcl>, account: AccountId, added: &[Entry]) {
    let Some(parent) = parent.filter(|parent| !parent.acl.is_empty()) else {
        return;
    };
    parent.require(batch);
    for entry in added {
        StoredAcl::fresh(account, entry.id).replace(batch, &parent.acl);
    }
}

/// All entries with this prefix. Their number is bounded by LIM-23.
pub(super) async fn all_below(
    engine: &dyn Engine,
    prefix: &Key,
) -> Result<Vec<(Key, Bytes)>, ReadError> {
    let mut pages = Pages::new(engine, prefix.prefix_range());
    let mut entries = Vec::new();
    while let Some(more) = pages.next().await? {
        entries.extend(more);
    }
    Ok(entries)
}
