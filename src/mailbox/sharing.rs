//! Sharing: the access control lists as they are stored, and what is shared with whom.
//!
//! One value holds a mailbox's list, and an index by grantee tells what an account may see of
//! others; both are written by one batch. Who asks for another's mailbox by name pays for that one
//! list, who asks for all pays for what is shared with him. RFC 4314 3; LIM-23.

use std::collections::HashSet;

use bytes::Bytes;

use super::{
    acl::{Acl, AclChange, Crowded, Identifier},
    entry::{self, Entry, MailboxRecord},
    fault::{ChangeError, MailboxFault},
    handle::Target,
    limits::{ATTEMPTS_MAX, SHARED_GRANTS_MAX, SHARED_MAX, SHARED_ROUNDS},
    notify::Announcement,
    rights::Rights,
    service::Mailboxes,
};
use crate::{
    base::ids::{AccountId, MailboxId},
    store::{Batch, CommitError, KeyRange, Order, PageLimit, ReadError, key},
};

/// A mailbox of another account that an account may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedMailbox {
    /// Whose it is.
    pub owner: AccountId,
    /// What it is to its owner; special uses are his own.
    pub entry: Entry,
    /// What the account may do with it.
    pub rights: Rights,
}

/// A target whose guest, if he is one, was judged by its list.
pub(super) struct Admitted {
    /// The target, with the flags that he may set there (RFC 4314 4).
    pub(super) target: Target,
    /// What the commit requires.
    pub(super) acl: Option<StoredAcl>,
}

/// A list as it was read.
pub(super) struct StoredAcl {
    mailbox: (AccountId, MailboxId),
    stored: Option<Bytes>,
    pub(super) acl: Acl,
}

impl Mailboxes {
    /// The access control list of a mailbox.
    pub async fn acl(&self, owner: AccountId, mailbox: MailboxId) -> Result<Acl, MailboxFault> {
        Ok(self.stored_acl(owner, mailbox).await?.acl)
    }

    /// What `user` may do with a mailbox.
    pub async fn rights(
        &self,
        user: AccountId,
        owner: AccountId,
        mailbox: MailboxId,
    ) -> Result<Rights, MailboxFault> {
        if user == owner {
            return Ok(Rights::ALL);
        }
        Ok(self.acl(owner, mailbox).await?.rights_of(user))
    }

    /// Judges whether messages may be added to a target.
    pub(super) async fn admit(&self, target: &Target) -> Result<Admitted, ChangeError> {
        let Some(guest) = target.guest else {
            let target = *target;
            return Ok(Admitted { target, acl: None });
        };
        let acl = self.stored_acl(target.account, target.mailbox).await?;
        let flags = acl.judge(guest, Rights::INSERT)?.flags();
        Ok(Admitted {
            target: Target { flags, ..*target },
            acl: Some(acl),
        })
    }

    /// Changes the rights of one identifier. An account that is not there gets none.
    pub async fn change_acl(
        &self,
        owner: AccountId,
        mailbox: MailboxId,
        change: &AclChange,
    ) -> Result<(), ChangeError> {
        for _ in 0..ATTEMPTS_MAX {
            let before = self.stored_acl(owner, mailbox).await?;
            // LIM-23
            let after = before.acl.changed(change);
            let after = after.map_err(|Crowded| ChangeError::TooMany("identifiers"))?;
            let mut batch = Batch::new();
            batch.present(key::mailbox(owner, mailbox));
            if let (Identifier::Account(id), true) = (change.who, after.names(change.who)) {
                // Who is removed is taken out of all lists; after that nobody may add him.
                batch.present(key::account(id));
            }
            before.replace(&mut batch, &after);
            // Who may see nothing else of the owner does not listen to him.
            let grantee = AccountId(change.who.number());
            let announcement = Announcement::of_rights(&self.core.hub, grantee);
            match self.core.commit(owner, batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {
                    announcement.cancel();
                    self.check_there(owner, mailbox, change).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// Why a change of a list met a conflict, when it is not another change of it.
    async fn check_there(
        &self,
        owner: AccountId,
        mailbox: MailboxId,
        change: &AclChange,
    ) -> Result<(), ChangeError> {
        let engine = &self.core.engine;
        let mut needed = vec![key::mailbox(owner, mailbox)];
        if let Identifier::Account(id) = change.who {
            needed.push(key::account(id));
        }
        for key in needed {
            engine.get(&key).await?.ok_or(ChangeError::Absent)?;
        }
        Ok(())
    }

    /// What others let `user` see, as far as LIM-23 goes. A few of each account come first, then
    /// more of each, so it takes hundreds of accounts to crowd out another, whatever they share.
    pub async fn shared_with(&self, user: AccountId) -> Result<Vec<SharedMailbox>, MailboxFault> {
        Ok(self.shared_and_read(user).await?.0)
    }

    /// As [`Self::shared_with`], and how many grants were read for it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn shared_and_read(
        &self,
        user: AccountId,
    ) -> Result<(Vec<SharedMailbox>, usize), MailboxFault> {
        let mut seen = Seen {
            user,
            known: HashSet::new(),
            looked_at: 0,
            shared: Vec::new(),
        };
        let all = [Identifier::Account(user), Identifier::Anyone];
        let mut ranges = all
            .map(|who| key::grants(who.number()).prefix_range())
            .to_vec();
        for of_each_max in SHARED_ROUNDS {
            let mut behind = Vec::new();
            for range in ranges {
                self.look(range, of_each_max, &mut seen, &mut behind)
                    .await?;
            }
            ranges = behind;
        }
        Ok((seen.shared, seen.looked_at))
    }

    /// Looks at the grants in `range`, at so many of each owner, and notes where the others are.
    async fn look(
        &self,
        mut range: KeyRange,
        of_each_max: usize,
        seen: &mut Seen,
        behind: &mut Vec<KeyRange>,
    ) -> Result<(), MailboxFault> {
        let (mut current, mut of_current) = (None, 0);
        while !seen.is_full() {
            let engine = &self.core.engine;
            let page = engine.page(range.clone(), PAGE, Order::Ascending).await?;
            let next = page.entries.last().filter(|_| page.more);
            let mut skipped = None;
            for (key, _) in &page.entries {
                let Some((owner, mailbox)) = key.granted() else {
                    continue;
                };
                if current != Some(owner) {
                    (current, of_current) = (Some(owner), 0);
                }
                of_current += 1;
                if of_current > of_each_max {
                    skipped = key::grants_of_owner(key).map(|of_owner| KeyRange {
                        from: key.clone(),
                        to: of_owner.prefix_range().to,
                    });
                    break;
                }
                if seen.wants(owner, mailbox) {
                    let shared = self.shared_mailbox(seen.user, owner, mailbox).await?;
                    seen.shared.extend(shared);
                }
                if seen.is_full() {
                    return Ok(());
                }
            }
            match (skipped, next) {
                (Some(others), _) => {
                    range.from = others.to.clone();
                    behind.push(others);
                }
                (None, Some((last, _))) => range.from = last.successor(),
                (None, None) => break,
            }
        }
        Ok(())
    }

    async fn shared_mailbox(
        &self,
        user: AccountId,
        owner: AccountId,
        mailbox: MailboxId,
    ) -> Result<Option<SharedMailbox>, ReadError> {
        let rights = self.stored_acl(owner, mailbox).await?.acl.rights_of(user);
        // RFC 4314 4: as if it were not there.
        if !rights.contains(Rights::LOOKUP) {
            return Ok(None);
        }
        let name = self.core.engine.get(&key::name_of(owner, mailbox)).await?;
        let name = name.and_then(|value| entry::label_name(&value).ok());
        let record = self.core.engine.get(&key::mailbox(owner, mailbox)).await?;
        let record = record.and_then(|value| MailboxRecord::decode(&value).ok());
        Ok(name.map(|name| SharedMailbox {
            owner,
            entry: Entry {
                id: mailbox,
                name,
                special_use: None,
                uid_validity: record.map_or(0, |record| record.uid_validity),
            },
            rights,
        }))
    }

    /// The list of a mailbox, and what a change of it requires.
    pub(super) async fn stored_acl(
        &self,
        owner: AccountId,
        mailbox: MailboxId,
    ) -> Result<StoredAcl, ReadError> {
        let stored = self.core.engine.get(&key::acl(owner, mailbox)).await?;
        let acl = stored.as_deref().map(Acl::decode).transpose();
        let acl = acl.unwrap_or_else(|_| {
            tracing::error!(
                account.id = owner.0,
                mailbox.id = mailbox.0,
                "an access control list is damaged: nobody else has rights"
            );
            None
        });
        Ok(StoredAcl {
            mailbox: (owner, mailbox),
            stored,
            acl: acl.unwrap_or_default(),
        })
    }

    /// Erases what an account granted, and what was granted to it. May be cut off and repeated.
    pub(super) async fn erase_grants(&self, account: AccountId) -> Result<(), MailboxFault> {
        let engine = &self.core.engine;
        for prefix in [key::acls(account), key::grants(account.0)] {
            loop {
                let page = engine.page(prefix.prefix_range(), PAGE, Order::Ascending);
                let page = page.await?;
                let mut batch = Batch::new();
                for (key, _) in &page.entries {
                    // A damaged list leaves grants that lead to nothing.
                    batch.delete(key.clone());
                    let Some((owner, mailbox)) = key.granted() else {
                        if let (Some(owner), Some(id)) = (key.account(), key.last_u64()) {
                            let before = self.stored_acl(owner, MailboxId(id)).await?;
                            before.replace(&mut batch, &Acl::default());
                        }
                        continue;
                    };
                    let before = self.stored_acl(owner, mailbox).await?;
                    before.replace(&mut batch, &before.acl.without(account));
                }
                if page.entries.is_empty() {
                    break;
                }
                match engine.commit(batch).await {
                    // Somebody changed a list meanwhile: look again.
                    Ok(_) | Err(CommitError::Conflict) => {}
                    Err(error) => return Err(MailboxFault::Commit(error)),
                }
            }
        }
        Ok(())
    }
}

/// What [`Mailboxes::shared_with`] has found.
struct Seen {
    user: AccountId,
    known: HashSet<(AccountId, MailboxId)>,
    looked_at: usize,
    shared: Vec<SharedMailbox>,
}

impl Seen {
    /// Whether this one is to be looked at; counts it.
    fn wants(&mut self, owner: AccountId, mailbox: MailboxId) -> bool {
        self.looked_at += 1;
        owner != self.user && self.known.insert((owner, mailbox))
    }

    fn is_full(&self) -> bool {
        // LIM-23
        self.shared.len() >= SHARED_MAX || self.looked_at >= SHARED_GRANTS_MAX
    }
}

impl StoredAcl {
    /// Nothing, of a mailbox that is just being made.
    pub(super) fn fresh(owner: AccountId, mailbox: MailboxId) -> Self {
        Self {
            mailbox: (owner, mailbox),
            stored: None,
            acl: Acl::default(),
        }
    }

    /// Whether `user`, who is not the owner, has these rights by it. What he may not see is absent
    /// to him (RFC 4314 6).
    pub(super) fn judge(&self, user: AccountId, needed: Rights) -> Result<Rights, ChangeError> {
        let rights = self.acl.rights_of(user);
        match rights.contains(needed) {
            true => Ok(rights),
            false if rights.contains(Rights::LOOKUP) => Err(ChangeError::Forbidden),
            false => Err(ChangeError::Absent),
        }
    }

    /// Requires that it is as it was read.
    pub(super) fn require(&self, batch: &mut Batch) {
        let (owner, mailbox) = self.mailbox;
        batch.unchanged(key::acl(owner, mailbox), self.stored.clone());
    }

    /// Writes `after` in its place, and the index by grantee.
    pub(super) fn replace(&self, batch: &mut Batch, after: &Acl) {
        let (owner, mailbox) = self.mailbox;
        self.require(batch);
        match after.is_empty() {
            true => batch.delete(key::acl(owner, mailbox)),
            false => batch.put(key::acl(owner, mailbox), after.encode()),
        };
        for entry in self.acl.entries() {
            if !after.names(entry.who) {
                batch.delete(key::grant(entry.who.number(), owner, mailbox));
            }
        }
        for entry in after.entries() {
            if !self.acl.names(entry.who) {
                batch.put(key::grant(entry.who.number(), owner, mailbox), vec![1]);
            }
        }
    }
}

/// Lists of one batch, with a hundred grants each; grants that are read at once.
const PAGE: PageLimit = PageLimit {
    entries: 200,
    bytes: 256 * 1024,
};
