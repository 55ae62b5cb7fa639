//! All names of an account at one moment, and what each change of names makes of them.
//!
//! Pure. Every change requires that these are still all names, and numbers what it makes; names
//! form a tree, in which a name without a mailbox is there as long as mailboxes are below it.
//! RFC 3501 6.3.3 to 6.3.5.

use std::num::NonZeroU32;

use bytes::Bytes;

use super::{
    compose::{self, Source, TransferKind, sum_usage},
    contents::Contents,
    entry::{self, Entry, MailboxRecord, SpecialUse, name_key, name_value},
    fault::ChangeError,
    handle::Target,
    index::Index,
    limits::MAILBOXES_MAX,
    name::Name,
    tree::{INBOX, PROVISIONED},
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, MailboxId},
    },
    store::{Batch, Condition, Key, Template, Write, key},
};

/// All names of an account at one moment.
pub(super) struct Tree {
    pub(super) account: AccountId,
    /// That moment.
    pub(super) now: Timestamp,
    /// The mailbox counter then.
    pub(super) counter: Option<Bytes>,
    /// What UIDVALIDITY would be for a mailbox of number zero.
    pub(super) base: u32,
    pub(super) entries: Vec<Entry>,
}

/// A batch that moves what is in INBOX.
pub(super) struct Moved {
    pub(super) batch: Batch,
    pub(super) target: MailboxId,
    /// The mailboxes that it makes.
    pub(super) added: Vec<Entry>,
    /// Its last modseq: which take, and how many come before it.
    pub(super) modseq: (usize, u32),
}

/// Which take of a batch that adds mailboxes numbers their making.
const MODSEQ_TAKE: usize = 1;

impl Tree {
    /// CREATE of `name`, decided on these names; what it makes, itself last.
    pub(super) fn create(
        &self,
        batch: &mut Batch,
        name: &Name,
        special_use: Option<SpecialUse>,
    ) -> Result<Vec<Entry>, ChangeError> {
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
        self.add(batch, &missing)
    }

    /// The mailbox that DELETE may remove.
    pub(super) fn deletable(&self, name: &Name) -> Result<&Entry, ChangeError> {
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
    pub(super) fn delete(&self, entry: &Entry, contents: &Contents) -> Batch {
        let account = self.account;
        let mut batch = Batch::new();
        self.claim(&mut batch, NonZeroU32::MIN);
        batch.take_one(key::modseq(account));
        contents.require(&mut batch);
        batch.delete(key::mailbox(account, entry.id));
        batch.delete(name_key(account, &entry.name));
        batch.delete(key::name_of(account, entry.id));
        sum_usage(&mut batch, account, -contents.bytes, -contents.messages);
        batch
    }

    /// RENAME of a mailbox that is not INBOX; with the parents that it makes.
    pub(super) fn rename(
        &self,
        from: &Name,
        to: &Name,
    ) -> Result<(Batch, Vec<Entry>), ChangeError> {
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
        let added = self.add(&mut batch, &missing)?;
        for entry in &self.entries {
            let name = match entry.name.moved(from, to) {
                None if entry.name == *from => to.clone(),
                None => continue,
                Some(moved) => moved.map_err(|_| ChangeError::Name)?,
            };
            batch.delete(name_key(self.account, &entry.name));
            batch.put(name_key(self.account, &name), name_value(entry.id, &name));
            batch.put(key::name_of(self.account, entry.id), entry::label(&name));
        }
        Ok((batch, added))
    }

    /// RENAME of INBOX, whose messages are those of `index`.
    pub(super) fn inbox_moved(
        &self,
        index: &Index,
        expunged: &Option<Bytes>,
        to: &Name,
    ) -> Result<Moved, ChangeError> {
        let account = self.account;
        let mut batch = Batch::new();
        let added = self.create(&mut batch, to, None)?;
        let target = added.last().ok_or(ChangeError::Absent)?.id;
        let mut modseq = (MODSEQ_TAKE, 0);
        if !index.is_empty() {
            let positions: Vec<usize> = (0..index.len()).collect();
            let source = Source {
                account,
                mailbox: INBOX,
                index,
                expunged,
                now: self.now,
            };
            let to = Target::own(account, target, None);
            let step = compose::transfer(source, &positions, &to, TransferKind::Move)
                .ok_or(ChangeError::TooMany("messages for one change"))?;
            let (take, plus) = step.last_modseq();
            modseq = (batch.takes.len() + take, plus);
            join(&mut batch, step.batch, &key::mailbox(account, target));
        }
        Ok(Moved {
            batch,
            target,
            added,
            modseq,
        })
    }

    pub(super) fn find(&self, name: &Name) -> Option<&Entry> {
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
            let validity = uid_validity(self.base, id);
            let entry = Entry {
                id,
                name: name.clone(),
                special_use: *special_use,
                uid_validity: validity,
            };
            batch.put(
                key::mailbox(self.account, id),
                MailboxRecord::encode(validity, *special_use, modseq),
            );
            batch.put(name_key(self.account, name), name_value(id, name));
            batch.put(key::name_of(self.account, id), entry::label(name));
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
pub(super) fn uid_validity(base: u32, id: MailboxId) -> u32 {
    let number = u32::try_from(id.0 & u64::from(u32::MAX)).unwrap_or(0);
    base.wrapping_add(number).max(1)
}

/// What UIDVALIDITY would be for number zero, by the records that can be understood: the highest,
/// since an INBOX that began anew took the number of a later mailbox.
pub(super) fn base(records: &[(Key, Bytes)]) -> Option<u32> {
    let bases = records.iter().filter_map(|(key, value)| {
        let number = key.last_u64()? & u64::from(u32::MAX);
        let validity = MailboxRecord::decode(value).ok()?.uid_validity;
        Some(validity.wrapping_sub(u32::try_from(number).ok()?))
    });
    bases.max()
}

/// Names and records joined, sorted by name.
pub(super) fn entries(names: &[(Key, Bytes)], records: &[(Key, Bytes)]) -> Vec<Entry> {
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
