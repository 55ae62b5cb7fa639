//! Annotations of mailboxes and of accounts: named values that clients keep here (RFC 5464).
//!
//! An entry belongs to a mailbox, or to the account itself, and to everybody who may see the
//! mailbox (`/shared`) or to one of them (`/private`). Entries go with their mailbox and stay with
//! it under another name. Their number is kept as a sum; every change requires of each entry that
//! it is there, or is not, so the sum is exact. Private entries of others than the owner are
//! counted for each of them, so nobody uses up what is the owner's. LIM-27.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    compose::weight,
    fault::{ChangeError, MailboxFault},
    limits::{
        ATTEMPTS_MAX, BATCH_BYTES_MAX, METADATA_BYTES_MAX, METADATA_ENTRIES_MAX,
        METADATA_GUEST_ENTRIES_MAX,
    },
    service::Mailboxes,
    tree::INBOX,
};
use crate::{
    base::ids::{AccountId, MailboxId},
    store::{Batch, CommitError, Key, KeyRange, Order, PageLimit, Pages, key},
};

/// What entries belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotated {
    /// Whose.
    pub account: AccountId,
    /// A mailbox of it, or the account itself.
    pub mailbox: Option<MailboxId>,
    /// Who asks: whose the private entries are.
    pub viewer: AccountId,
}

/// The name of an entry, in lower case (RFC 5464 3.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName(String);

/// A text that is no name of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an entry")]
pub struct NotAnEntryName;

impl EntryName {
    /// The name that this text is.
    ///
    /// # Errors
    /// When it is none (RFC 5464 3.2), or longer than LIM-27 allows.
    pub fn parse(text: &str) -> Result<Self, NotAnEntryName> {
        let name = text.to_ascii_lowercase();
        let allowed = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'*' | b'%');
        let mut levels = name.split('/');
        let is_rooted = levels.next() == Some("")
            && matches!(name.split('/').nth(1), Some("shared" | "private"));
        let is_name = name.len() <= NAME_BYTES_MAX
            && is_rooted
            && name.bytes().all(allowed)
            && levels.all(|level| !level.is_empty());
        is_name.then_some(Self(name)).ok_or(NotAnEntryName)
    }

    /// As it is said.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether everybody who may see the mailbox may see the entry.
    pub fn is_shared(&self) -> bool {
        self.0.starts_with("/shared")
    }

    /// Whether it only stands above others: `/shared` and `/private` have no values.
    pub fn is_root(&self) -> bool {
        self.0.matches('/').count() == 1
    }
}

impl Annotated {
    /// Where the entries below `name` are; a name ends where the key does.
    fn key(&self, name: &EntryName, end: &str) -> Key {
        let viewer = match name.is_shared() {
            true => EVERYBODY,
            false => self.viewer,
        };
        let text = format!("{}{end}", name.0);
        key::metadata(
            self.account,
            self.mailbox.unwrap_or(NO_MAILBOX),
            viewer,
            &text,
        )
    }

    /// The sum that an entry counts in, and its bound.
    fn counted(&self, name: &EntryName) -> (Key, i64) {
        if name.is_shared() || self.viewer == self.account {
            return (key::metadata_count(self.account), METADATA_ENTRIES_MAX);
        }
        let mailbox = self.mailbox.unwrap_or(NO_MAILBOX);
        let sum = key::metadata(self.account, mailbox, self.viewer, NO_NAME);
        (sum, METADATA_GUEST_ENTRIES_MAX)
    }

    fn entry(&self, name: &EntryName) -> Key {
        self.key(name, "")
    }

    /// Requires that what the entries belong to is there. Those of a viewer of another's mailbox
    /// are found when his account goes, and none comes after that.
    fn require(&self, batch: &mut Batch) {
        batch.present(key::mailbox(self.account, self.mailbox.unwrap_or(INBOX)));
        if let (Some(mailbox), true) = (self.mailbox, self.viewer != self.account) {
            batch.present(key::account(self.viewer));
            batch.put(key::annotator(self.viewer, self.account, mailbox), vec![1]);
        }
    }
}

impl Mailboxes {
    /// The value of one entry.
    pub async fn metadata(
        &self,
        of: Annotated,
        name: &EntryName,
    ) -> Result<Option<Bytes>, MailboxFault> {
        let stored = self.core.engine.get(&of.entry(name)).await?;
        stored.map(|value| decoded(&value)).transpose()
    }

    /// The entries below `name`, page by page: those from `from` on, or the first, and where the
    /// next page begins.
    pub async fn metadata_below(
        &self,
        of: Annotated,
        name: &EntryName,
        from: Option<Key>,
    ) -> Result<(Vec<(EntryName, Bytes)>, Option<Key>), MailboxFault> {
        let mut range = of.key(name, "/").prefix_range();
        if let Some(from) = from {
            range.from = from;
        }
        let limit = PageLimit {
            entries: 100,
            bytes: PAGE_BYTES,
        };
        let engine = &*self.core.engine;
        let page = engine.page(range, limit, Order::Ascending).await?;
        let mut found = Vec::new();
        for (key, value) in &page.entries {
            let text = key
                .as_bytes()
                .get(KEY_BYTES_BEFORE_NAME..)
                .unwrap_or_default();
            let text = std::str::from_utf8(text).unwrap_or_default();
            match (EntryName::parse(text), decoded(value)) {
                (Ok(name), Ok(value)) => found.push((name, value)),
                // DUR-09: the others are told.
                _ => tracing::error!(?key, "an annotation is damaged"),
            }
        }
        let last = page.entries.last().filter(|_| page.more);
        Ok((found, last.map(|(key, _)| key.successor())))
    }

    /// Sets or removes entries: all of them or none (RFC 5464 4.3).
    pub async fn set_metadata(
        &self,
        of: Annotated,
        changes: &BTreeMap<EntryName, Option<Bytes>>,
    ) -> Result<(), ChangeError> {
        let is_long = |value: &Option<Bytes>| {
            let length = value.as_ref().map_or(0, Bytes::len);
            length > METADATA_BYTES_MAX
        };
        if changes.values().any(is_long) {
            // LIM-27
            return Err(ChangeError::TooMany("bytes in one annotation"));
        }
        for _ in 0..ATTEMPTS_MAX {
            let (batch, added) = self.metadata_change(of, changes).await?;
            match self.core.commit(of.account, batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => self.check_annotations(&added).await?,
                Err(error) => return Err(error.into()),
            }
        }
        let mailbox = key::mailbox(of.account, of.mailbox.unwrap_or(INBOX));
        let there = self.core.engine.get(&mailbox).await?;
        Err(there.map_or(ChangeError::Absent, |_| ChangeError::Busy))
    }

    /// The batch that makes these changes, and by how many the entries grow.
    async fn metadata_change(
        &self,
        of: Annotated,
        changes: &BTreeMap<EntryName, Option<Bytes>>,
    ) -> Result<(Batch, Vec<Added>), ChangeError> {
        let mut batch = Batch::new();
        of.require(&mut batch);
        let mut added: Vec<Added> = Vec::new();
        for (name, value) in changes {
            let key = of.entry(name);
            let is_there = self.core.engine.get(&key).await?.is_some();
            match is_there {
                true => batch.present(key.clone()),
                false => batch.absent(key.clone()),
            };
            let (sum, max) = of.counted(name);
            let by = i64::from(value.is_some()) - i64::from(is_there);
            match added.iter_mut().find(|added| added.sum == sum) {
                Some(added) => added.by += by,
                None => added.push(Added { sum, max, by }),
            }
            match value {
                Some(value) => {
                    batch.put(key, encoded(value));
                }
                None => {
                    batch.delete(key);
                }
            }
        }
        for added in &added {
            added.count(&mut batch);
        }
        if weight(&batch) > BATCH_BYTES_MAX {
            return Err(ChangeError::TooMany("bytes in annotations at once"));
        }
        Ok((batch, added))
    }

    /// LIM-27: whether there may be so many entries more.
    async fn check_annotations(&self, added: &[Added]) -> Result<(), ChangeError> {
        for Added { sum, max, by } in added {
            let there = self.core.sum(sum).await?;
            let there = i64::try_from(there).unwrap_or(i64::MAX);
            if *by > 0 && there.saturating_add(*by) > *max {
                return Err(ChangeError::TooMany("annotations"));
            }
        }
        Ok(())
    }

    /// Copies the entries of INBOX to the mailbox that takes its messages (RFC 5464 4.1). What
    /// others keep there privately stays: they have no rights to the new one.
    pub(super) async fn copy_inbox_metadata(
        &self,
        batch: &mut Batch,
        account: AccountId,
        target: MailboxId,
    ) -> Result<(), ChangeError> {
        let range = key::metadata_of(account, INBOX).prefix_range();
        let mut pages = Pages::new(&*self.core.engine, range);
        let mut added = 0;
        while let Some(entries) = pages.next().await? {
            for (key, value) in &entries {
                if guest_of(account, key).is_some() {
                    continue;
                }
                let of_mailbox = key::metadata_of(account, INBOX).as_bytes().len();
                let rest = key.as_bytes().get(of_mailbox..).unwrap_or_default();
                let copy = [key::metadata_of(account, target).as_bytes(), rest].concat();
                batch.put(Key::from_bytes(copy.into()), value.to_vec());
                added += 1;
            }
            if weight(batch) > BATCH_BYTES_MAX {
                return Err(ChangeError::TooMany("annotations to copy at once"));
            }
        }
        if added > 0 {
            let added = Added::to(account, added);
            added.count(batch);
            self.check_annotations(&[added]).await?;
        }
        Ok(())
    }

    /// Removes the entries of a deleted mailbox.
    pub(super) async fn remove_metadata(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<(), MailboxFault> {
        let of_mailbox = key::metadata_of(account, mailbox);
        self.remove_annotations(account, of_mailbox.prefix_range())
            .await
    }

    /// Removes entries of an account, whose keys are in `range`.
    pub(super) async fn remove_annotations(
        &self,
        account: AccountId,
        range: KeyRange,
    ) -> Result<(), MailboxFault> {
        let engine = &*self.core.engine;
        loop {
            let limit = PageLimit::default();
            let page = engine.page(range.clone(), limit, Order::Ascending).await?;
            if page.entries.is_empty() {
                return Ok(());
            }
            let (mut batch, mut gone) = (Batch::new(), 0);
            for (key, _) in &page.entries {
                // So that none is counted twice.
                batch.present(key.clone());
                batch.delete(key.clone());
                match guest_of(account, key) {
                    // The first of his keys is their sum.
                    Some((mailbox, viewer)) => {
                        batch.delete(key::annotator(viewer, account, mailbox));
                    }
                    None => gone += 1,
                }
            }
            Added::to(account, -gone).count(&mut batch);
            match engine.commit(batch).await {
                Ok(_) | Err(CommitError::Conflict) => {}
                Err(error) => return Err(MailboxFault::Commit(error)),
            }
        }
    }
}

impl Mailboxes {
    /// Erases the private entries of a viewer in the mailboxes of others. May be cut off and
    /// repeated.
    pub(super) async fn erase_annotations_by(&self, viewer: AccountId) -> Result<(), MailboxFault> {
        let places = key::annotated_by(viewer).prefix_range();
        loop {
            let (engine, limit) = (&*self.core.engine, PageLimit::default());
            let page = engine.page(places.clone(), limit, Order::Ascending).await?;
            if page.entries.is_empty() {
                return Ok(());
            }
            for (place, _) in page.entries {
                if let Some((owner, mailbox)) = place.second_and_third() {
                    let (owner, mailbox) = (AccountId(owner), MailboxId(mailbox));
                    let entries = key::metadata(owner, mailbox, viewer, NO_NAME);
                    self.delete_range(entries.prefix_range()).await?;
                }
                let mut batch = Batch::new();
                batch.delete(place);
                engine.commit(batch).await.map_err(MailboxFault::Commit)?;
            }
        }
    }
}

/// The mailbox and the viewer of an entry that is private to somebody else than the owner.
fn guest_of(account: AccountId, key: &Key) -> Option<(MailboxId, AccountId)> {
    let (mailbox, viewer) = key.second_and_third()?;
    let viewer = Some(AccountId(viewer));
    let viewer = viewer.filter(|viewer| *viewer != EVERYBODY && *viewer != account);
    Some((MailboxId(mailbox), viewer?))
}

/// How much a sum of entries grows, and its bound.
struct Added {
    sum: Key,
    max: i64,
    by: i64,
}

impl Added {
    /// What counts for the owner.
    fn to(account: AccountId, by: i64) -> Self {
        Self {
            sum: key::metadata_count(account),
            max: METADATA_ENTRIES_MAX,
            by,
        }
    }

    /// Adds to the sum, within LIM-27.
    fn count(&self, batch: &mut Batch) {
        if self.by > 0 {
            batch.at_most(self.sum.clone(), self.max - self.by);
        }
        if self.by != 0 {
            batch.sum(self.sum.clone(), self.by);
        }
    }
}

fn encoded(value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(value.len() + 1);
    stored.push(VERSION);
    stored.extend_from_slice(value);
    stored
}

fn decoded(stored: &Bytes) -> Result<Bytes, MailboxFault> {
    match stored.first() {
        Some(&VERSION) => Ok(stored.slice(1..)),
        _ => Err(MailboxFault::Damaged("an annotation")),
    }
}

const VERSION: u8 = 1;
/// Of the sum of a viewer's private entries, which stands before them.
const NO_NAME: &str = "";
/// Stands for the account itself; no mailbox has this number.
const NO_MAILBOX: MailboxId = MailboxId(0);
/// Whose shared entries are; no account has this number.
const EVERYBODY: AccountId = AccountId(0);
/// LIM-27: bytes of an entry's name.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of values in one page.
const PAGE_BYTES: usize = 256 * 1024;
/// Space, account, mailbox and viewer.
const KEY_BYTES_BEFORE_NAME: usize = 25;
const _: () = assert!(KEY_BYTES_BEFORE_NAME + NAME_BYTES_MAX < key::KEY_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_27_names_are_paths_below_shared_and_private() {
        let longest = format!("/shared/{}", "x".repeat(NAME_BYTES_MAX - 8));
        for good in ["/shared/comment", "/PRIVATE/Vendor/x", "/private", &longest] {
            let name = EntryName::parse(good).unwrap();
            assert_eq!(name.as_str(), good.to_lowercase());
            assert_eq!(name.is_shared(), good.starts_with("/shared"));
            assert_eq!(name.is_root(), good == "/private");
        }
        for bad in [
            "",
            "/",
            "comment",
            "/comment",
            "shared/x",
            "/shared/",
            "/shared//x",
            "/sharedx/y",
            "/shared/*",
            "/shared/%",
            "/shared/\u{e9}",
            "/shared/a\tb",
            &format!("{longest}x"),
        ] {
            assert_eq!(EntryName::parse(bad), Err(NotAnEntryName), "{bad}");
        }
    }
}
