//! APPEND and REPLACE: messages that arrived become messages of a mailbox, all of them in one
//! commit or none (DUR-01).
//!
//! RFC 3501 6.3.11, RFC 3502, RFC 8508. The bodies were taken in before; what is refused here
//! leaves nothing of them.

use std::sync::Arc;

use super::{
    compose,
    core::Core,
    fault::{ChangeError, MailboxFault},
    flags::FlagSet,
    handle::{Mailbox, Target},
    intake::Arrived,
    limits::BATCH_BYTES_MAX,
    notify::Announcement,
    service::{Mailboxes, Placed, Placement},
    shared::read_record,
    sharing::Admitted,
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, MailboxId, Uid},
    },
    store::{About, Applied, Batch, CommitError},
};

/// What APPEND says of a message beside its bytes.
#[derive(Clone, Debug)]
pub struct AppendOptions {
    /// Its flags.
    pub flags: FlagSet,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Bytes that the account may hold with it.
    pub quota_bytes: Option<u64>,
}

/// A message that arrived whole, and what is said of it.
#[derive(Debug)]
pub struct Incoming {
    /// Its bytes.
    pub arrived: Arrived,
    /// Its flags.
    pub flags: FlagSet,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
}

/// What APPEND did (RFC 4315 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// UID of the first message; those of the others follow it.
    pub uid: Uid,
}

/// Messages on their way into one mailbox: a batch that places them, and what is said when it
/// fails.
struct Placing {
    target: Target,
    uid_validity: u32,
    batch: Batch,
    /// The first message.
    placed: Placed,
    /// Bytes that the account holds more with them.
    more_bytes: u64,
}

impl Mailboxes {
    /// APPEND of one message.
    pub async fn append(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        arrived: Arrived,
        options: AppendOptions,
    ) -> Result<Appended, ChangeError> {
        let incoming = Incoming {
            arrived,
            flags: options.flags,
            internal_date: options.internal_date,
        };
        let target = Target::own(account, mailbox, options.quota_bytes);
        self.append_all(&target, vec![incoming]).await
    }

    /// APPEND of some messages, all or none (RFC 3502): their UIDs follow each other.
    pub async fn append_all(
        &self,
        target: &Target,
        messages: Vec<Incoming>,
    ) -> Result<Appended, ChangeError> {
        let placing = Placing::new(&self.core, target, messages, Batch::new()).await?;
        placing.within_quota(0).commit(&self.core).await
    }
}

impl Mailbox {
    /// REPLACE (RFC 8508): `message` comes to `target` and the one with this UID goes from here, in
    /// one commit. In one account only the difference of their sizes counts against the quota
    /// (RFC 8508 3.4).
    pub async fn replace(
        &self,
        uid: Uid,
        target: &Target,
        message: Incoming,
    ) -> Result<Appended, ChangeError> {
        let (_changing, batch, freed_bytes) = self.leaving(uid).await?;
        let core = self.core();
        let placing = Placing::new(core, target, vec![message], batch).await?;
        let appended = if target.account == self.account() {
            placing.within_quota(freed_bytes).commit(core).await
        } else {
            let about = vec![About::Messages(self.id())];
            // Also when this is cut off.
            let _announcement = Announcement::new(&core.hub, self.account(), about);
            placing.within_quota(0).commit(core).await
        };
        if matches!(appended, Err(ChangeError::Busy)) {
            self.judged(Self::REPLACE_RIGHTS).await?;
        }
        appended
    }
}

impl Placing {
    async fn new(
        core: &Arc<Core>,
        target: &Target,
        mut messages: Vec<Incoming>,
        mut batch: Batch,
    ) -> Result<Self, ChangeError> {
        let mailboxes = Mailboxes {
            core: Arc::clone(core),
        };
        // What a guest may do can have changed while the messages came.
        let Admitted { target, acl } = mailboxes.admit(target).await?;
        if let Some(acl) = acl {
            acl.require(&mut batch);
        }
        let (account, mailbox) = (target.account, target.mailbox);
        let record = read_record(&*core.engine, account, mailbox)
            .await?
            .ok_or(ChangeError::Absent)?;
        for message in &mut messages {
            message.flags = target.flags.of(&message.flags);
        }
        let keywords: Vec<_> = messages
            .iter()
            .flat_map(|message| message.flags.keywords().iter().cloned())
            .collect();
        core.check_keywords(account, mailbox, &keywords).await?;
        let (mut first, mut more_bytes) = (None, 0);
        for Incoming {
            arrived,
            flags,
            internal_date,
        } in messages
        {
            let placement = Placement::of(&arrived, internal_date, flags);
            let placed = mailboxes.place(&mut batch, account, mailbox, &placement);
            first.get_or_insert(placed);
            more_bytes += arrived.size;
            batch.body(arrived.blob, arrived.content);
        }
        if compose::weight(&batch) > BATCH_BYTES_MAX {
            return Err(ChangeError::TooMany("messages for one change"));
        }
        Ok(Self {
            target,
            uid_validity: record.uid_validity,
            batch,
            placed: first.ok_or(ChangeError::TooMany("messages, and none of them there"))?,
            more_bytes,
        })
    }

    /// Within the quota, when `freed` bytes go with the same commit.
    fn within_quota(mut self, freed: u64) -> Self {
        self.more_bytes = self.more_bytes.saturating_sub(freed);
        let target = &mut self.target;
        // What makes the account no larger is never refused.
        target.quota_bytes = target.quota_bytes.filter(|_| self.more_bytes > 0);
        compose::require_room(
            &mut self.batch,
            target.account,
            self.more_bytes,
            target.quota_bytes,
        );
        self
    }

    async fn commit(self, core: &Arc<Core>) -> Result<Appended, ChangeError> {
        let target = self.target;
        let applied: Applied = match core.commit(target.account, self.batch).await {
            Err(CommitError::Conflict) => {
                let mailboxes = Mailboxes {
                    core: Arc::clone(core),
                };
                mailboxes.admit(&target).await?;
                core.check_room(target.account, self.more_bytes, target.quota_bytes)
                    .await?;
                let there = read_record(&*core.engine, target.account, target.mailbox).await?;
                return Err(there.map_or(ChangeError::Absent, |_| ChangeError::Busy));
            }
            outcome => outcome?,
        };
        let uid = self
            .placed
            .uid(&applied)
            .ok_or(MailboxFault::Damaged("its UID counter"))?;
        Ok(Appended {
            uid_validity: self.uid_validity,
            uid,
        })
    }
}
