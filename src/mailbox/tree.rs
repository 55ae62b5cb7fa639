//! Names of mailboxes: LIST, CREATE, DELETE, RENAME, subscriptions (RFC 3501 6.3.3 to 6.3.9).
//!
//! Every change of names takes from the account's mailbox counter and requires that it stands where
//! it stood when the names were read. So the decision was made on the whole truth: no two mailboxes
//! have one name, LIM-23 is exact, and a number is never used twice. A mailbox that is deleted
//! while others are below it leaves a name without a mailbox, which is there as long as they are.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::{
    compose::{self, Source, Transfer, sum_usage, weight},
    contents::{Contents, sums_of},
    entry::{self, Entry, MailboxRecord, SpecialUse, name_key, name_value, names},
    fault::{ChangeError, MailboxFault},
    handle::absent_on_conflict,
    index::Index,
    limits::{ATTEMPTS_MAX, BATCH_BYTES_MAX, MAILBOXES_MAX, SUBSCRIPTIONS_MAX},
    load, mark,
    name::Name,
    service::Mailboxes,
    shared::read_record,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq},
    store::{
        Batch, CommitError, Condition, Engine, Key, Order, PageLimit, ReadError, Template, Write,
        key,
    },
};

/// The number of every account's INBOX.
pub const INBOX: MailboxId = MailboxId(1);

/// What every account begins with, INBOX first.
const PROVISIONED: [(&str, Option<SpecialUse>); 6] = [
    ("INBOX", None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Archive", Some(SpecialUse::Archive)),
];

/// All names of an account at one moment.
struct Tree {
    account: AccountId,
    /// The mailbox counter then.
    counter: Option<Bytes>,
    /// What UIDVALIDITY would be for a mailbox of number zero.
    base: u32,
    entries: Vec<Entry>,
}

/// A batch that moves what is in INBOX.
struct Moved {
    batch: Batch,
    target: MailboxId,
    /// Its last modseq: which take, and how many come before it.
    modseq: (usize, u32),
}

/// Which take of a batch that adds mailboxes numbers their making.
const MODSEQ_TAKE: usize = 1;
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

    /// CREATE, with the parents that are missing (RFC 3501 6.3.3).
    pub async fn create(
        &self,
        account: AccountId,
        name: &Name,
        special_use: Option<SpecialUse>,
    ) -> Result<Entry, ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let tree = self.tree(account).await?;
            let mut batch = Batch::new();
            let entry = tree.create(&mut batch, name, special_use)?;
            match self.core.commit(account, batch).await {
                Ok(_) => return Ok(entry),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// DELETE; gives which mailbox it was. Not INBOX; inferior names stay as they are, and so do
    /// subscriptions (RFC 3501 6.3.4, 6.3.9).
    pub async fn delete(&self, account: AccountId, name: &Name) -> Result<MailboxId, ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let tree = self.tree(account).await?;
            let entry = tree.deletable(name)?;
            let contents = self.contents(account, entry.id).await?;
            let now = self.core.clock.wall();
            let mark = mark::of_mailbox(now, entry.id);
            let mut batch = tree.delete(entry, &contents);
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
    /// leaves INBOX empty, and its inferior names as they are (RFC 3501 6.3.5).
    pub async fn rename(
        &self,
        account: AccountId,
        from: &Name,
        to: &Name,
    ) -> Result<(), ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let tree = self.tree(account).await?;
            let batch = if from.is_inbox() {
                self.inbox_rename(&tree, to).await?
            } else {
                tree.rename(from, to)?
            };
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

    async fn inbox_rename(&self, tree: &Tree, to: &Name) -> Result<Batch, ChangeError> {
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
            Some(moved) => Ok(moved?.batch),
            None => self.inbox_reset(tree, to).await,
        }
    }

    /// RENAME of an INBOX that is damaged, or has hardly a UID left: what can be read of it moves,
    /// and INBOX begins anew, with another UIDVALIDITY (RFC 3501 2.3.1.1). The rest stays stored.
    async fn inbox_reset(&self, tree: &Tree, to: &Name) -> Result<Batch, ChangeError> {
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
        Ok(batch)
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
        let all = pages(&*self.core.engine, &key::subscriptions(account)).await?;
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
            let names = pages(engine, &names(account)).await?;
            let records = pages(engine, &key::mailboxes(account)).await?;
            let after = engine.get(&counter_key).await?;
            attempts += 1;
            if after == counter || attempts == ATTEMPTS_MAX {
                let now = u32::try_from(self.core.clock.wall().secs()).unwrap_or(0);
                return Ok(Tree {
                    account,
                    counter,
                    base: base(&records).unwrap_or(now),
                    entries: entries(&names, &records),
                });
            }
            counter = after;
        }
    }
}

impl Tree {
    /// CREATE of `name`, decided on these names.
    fn create(
        &self,
        batch: &mut Batch,
        name: &Name,
        special_use: Option<SpecialUse>,
    ) -> Result<Entry, ChangeError> {
        if self.find(name).is_some() {
            return Err(ChangeError::Exists);
        }
        // RFC 6154 3: a special use that another mailbox has is refused.
        if special_use.is_some() && self.entries.iter().any(|e| e.special_use == special_use) {
            return Err(ChangeError::SpecialUse);
        }
        let mut missing = self.missing_parents(name);
        missing.push((name.clone(), special_use.or_else(|| self.vacant_use(name))));
        if special_use.is_some() {
            // It goes to the mailbox it is asked for.
            let parents = missing.iter_mut().rev().skip(1);
            parents
                .filter(|(_, vacant)| *vacant == special_use)
                .for_each(|(_, vacant)| *vacant = None);
        }
        self.add(batch, &missing)?.pop().ok_or(ChangeError::Absent)
    }

    /// The mailbox that DELETE may remove.
    fn deletable(&self, name: &Name) -> Result<&Entry, ChangeError> {
        if name.is_inbox() {
            return Err(ChangeError::Inbox);
        }
        // RFC 3501 6.3.4: it is an error to delete a name that is only there for those below it.
        self.find(name)
            .ok_or_else(|| match self.is_above_others(name) {
                true => ChangeError::HasChildren,
                false => ChangeError::Absent,
            })
    }

    /// Whether there are mailboxes below this name.
    fn is_above_others(&self, name: &Name) -> bool {
        self.entries.iter().any(|entry| entry.name.is_under(name))
    }

    /// The special use of a name that every account begins with, when no mailbox has it.
    fn vacant_use(&self, name: &Name) -> Option<SpecialUse> {
        let (_, special_use) = PROVISIONED
            .into_iter()
            .find(|(text, _)| *text == name.as_str())?;
        special_use.filter(|_| !self.entries.iter().any(|e| e.special_use == special_use))
    }

    /// DELETE: the record and the name go, the sums follow; the rest is the sweep's. The batch
    /// requires that nothing came or went since the contents were read, which makes the sums exact.
    /// Its second take numbers the mark.
    fn delete(&self, entry: &Entry, contents: &Contents) -> Batch {
        let account = self.account;
        let mut batch = Batch::new();
        self.claim(&mut batch, NonZeroU32::MIN);
        batch.take_one(key::modseq(account));
        contents.require(&mut batch);
        batch.delete(key::mailbox(account, entry.id));
        batch.delete(name_key(account, &entry.name));
        sum_usage(&mut batch, account, -contents.bytes, -contents.messages);
        batch
    }

    /// RENAME of a mailbox that is not INBOX.
    fn rename(&self, from: &Name, to: &Name) -> Result<Batch, ChangeError> {
        if self.find(from).is_none() && !self.is_above_others(from) {
            return Err(ChangeError::Absent);
        }
        // Names below it could be those of others.
        if self.find(to).is_some() || self.is_above_others(to) {
            return Err(ChangeError::Exists);
        }
        if to.is_under(from) {
            return Err(ChangeError::Name);
        }
        let mut batch = Batch::new();
        let missing = self.missing_parents(to);
        self.add(&mut batch, &missing)?;
        for entry in &self.entries {
            let name = match entry.name.moved(from, to) {
                None if entry.name == *from => to.clone(),
                None => continue,
                Some(moved) => moved.map_err(|_| ChangeError::Name)?,
            };
            batch.delete(name_key(self.account, &entry.name));
            batch.put(name_key(self.account, &name), name_value(entry.id, &name));
        }
        Ok(batch)
    }

    /// RENAME of INBOX, whose messages are those of `index`.
    fn inbox_moved(
        &self,
        index: &Index,
        expunged: &Option<Bytes>,
        to: &Name,
    ) -> Result<Moved, ChangeError> {
        let account = self.account;
        let mut batch = Batch::new();
        let target = self.create(&mut batch, to, None)?.id;
        let mut modseq = (MODSEQ_TAKE, 0);
        if !index.is_empty() {
            let positions: Vec<usize> = (0..index.len()).collect();
            let source = Source {
                account,
                mailbox: INBOX,
                index,
                expunged,
            };
            let step = compose::transfer(source, &positions, target, Transfer::Move)
                .ok_or(ChangeError::TooMany("messages for one change"))?;
            let (take, plus) = step.last_modseq();
            modseq = (batch.takes.len() + take, plus);
            join(&mut batch, step.batch, &key::mailbox(account, target));
        }
        Ok(Moved {
            batch,
            target,
            modseq,
        })
    }

    fn find(&self, name: &Name) -> Option<&Entry> {
        let place = self
            .entries
            .binary_search_by(|entry| entry.name.cmp(name))
            .ok()?;
        self.entries.get(place)
    }

    /// The parents of `name` that are not there, topmost first; a name above others is.
    fn missing_parents(&self, name: &Name) -> Vec<(Name, Option<SpecialUse>)> {
        let mut missing = Vec::new();
        let mut next = name.parent();
        let is_there = |name: &Name| self.find(name).is_some() || self.is_above_others(name);
        while let Some(parent) = next.filter(|parent| !is_there(parent)) {
            next = parent.parent();
            let vacant = self.vacant_use(&parent);
            missing.push((parent, vacant));
        }
        missing.reverse();
        missing
    }

    /// Adds mailboxes. Even when there are none, the names are claimed.
    fn add(
        &self,
        batch: &mut Batch,
        added: &[(Name, Option<SpecialUse>)],
    ) -> Result<Vec<Entry>, ChangeError> {
        if self.entries.len() + added.len() > MAILBOXES_MAX {
            // LIM-23
            return Err(ChangeError::TooMany("mailboxes"));
        }
        self.find(&Name::inbox()).ok_or(ChangeError::Absent)?;
        let count = u32::try_from(added.len()).unwrap_or(u32::MAX);
        self.claim(batch, NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN));
        let modseq = batch.take_one(key::modseq(self.account));
        let first = self.last_number() + 1;
        let mut entries = Vec::new();
        for (id, (name, special_use)) in (first..).map(MailboxId).zip(added) {
            let entry = Entry {
                id,
                name: name.clone(),
                special_use: *special_use,
            };
            let validity = uid_validity(self.base, id);
            batch.put(
                key::mailbox(self.account, id),
                MailboxRecord::encode(validity, *special_use, modseq),
            );
            batch.put(name_key(self.account, name), name_value(id, name));
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Requires that these are still all names, and takes numbers, which tells others that they are
    /// not.
    fn claim(&self, batch: &mut Batch, count: NonZeroU32) {
        let counter = key::mailbox_counter(self.account);
        batch.unchanged(counter.clone(), self.counter.clone());
        batch.take(counter, count);
    }

    fn last_number(&self) -> u64 {
        let bytes = self
            .counter
            .as_deref()
            .and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// Appends `then`, which requires a key that `batch` makes. Numbers are taken in this order.
fn join(batch: &mut Batch, then: Batch, made: &Key) {
    let shift = batch.takes.len();
    let shifted = |mut template: Template| {
        for hole in &mut template.holes {
            hole.take += shift;
        }
        template
    };
    batch.takes.extend(then.takes);
    let conditions = then.conditions.into_iter();
    batch
        .conditions
        .extend(conditions.filter(|c| *c != Condition::Present(made.clone())));
    batch
        .writes
        .extend(then.writes.into_iter().map(|write| match write {
            Write::Put(key, value) => Write::Put(shifted(key), shifted(value)),
            other => other,
        }));
    batch.bodies.extend(then.bodies);
}

/// RFC 3501 2.3.1.1: a name that is used again has a higher UIDVALIDITY, since mailbox numbers only
/// rise.
fn uid_validity(base: u32, id: MailboxId) -> u32 {
    let number = u32::try_from(id.0 & u64::from(u32::MAX)).unwrap_or(0);
    base.wrapping_add(number).max(1)
}

/// What UIDVALIDITY would be for number zero, by the records that can be understood: the highest,
/// since an INBOX that began anew took the number of a later mailbox.
fn base(records: &[(Key, Bytes)]) -> Option<u32> {
    let bases = records.iter().filter_map(|(key, value)| {
        let number = key.last_u64()? & u64::from(u32::MAX);
        let validity = MailboxRecord::decode(value).ok()?.uid_validity;
        Some(validity.wrapping_sub(u32::try_from(number).ok()?))
    });
    bases.max()
}

/// Names and records joined, sorted by name.
fn entries(names: &[(Key, Bytes)], records: &[(Key, Bytes)]) -> Vec<Entry> {
    let record = |id: MailboxId| {
        let place = records
            .binary_search_by_key(&Some(id.0), |(key, _)| key.last_u64())
            .ok()?;
        Some(&records.get(place)?.1)
    };
    let named = names.iter().filter_map(|(key, value)| {
        let (id, rest) = entry::named_mailbox(value).ok()?;
        let name = entry::full_name(key, rest).ok()?;
        Some(Entry::new(id, name, record(id)?))
    });
    let mut entries: Vec<Entry> = named.collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// All entries with this prefix. Their number is bounded by LIM-23.
pub(super) async fn pages(
    engine: &dyn Engine,
    prefix: &Key,
) -> Result<Vec<(Key, Bytes)>, ReadError> {
    let mut range = prefix.prefix_range();
    let mut entries = Vec::new();
    loop {
        let page = engine
            .page(range.clone(), PageLimit::default(), Order::Ascending)
            .await?;
        let more = page.more;
        entries.extend(page.entries);
        match entries.last() {
            Some((last, _)) if more => range.from = last.successor(),
            _ => return Ok(entries),
        }
    }
}
