//! COPY and MOVE into the mailbox of another account: one commit for both accounts.
//!
//! The messages get emails of their own there, which own the same bodies; what is stored of an
//! email is taken over as it is. Between the accounts nothing else is shared: quota and sums are
//! the target's. As within one account, EXPUNGED of the source must stand, so the messages are in
//! it at the commit, their emails are stored and own their bodies; the owners of each body are
//! counted under the condition that their number stands. RFC 3501 6.4.7, RFC 6851 3.3.

use std::collections::BTreeMap;

use super::{
    compose::{self, Source, TransferKind},
    email::Email,
    fault::{ChangeError, MailboxFault},
    handle::{Copied, Mailbox, Target},
    limits::{ATTEMPTS_MAX, BATCH_BYTES_MAX},
    notify::Announcement,
};
use crate::{
    base::ids::{BlobId, EmailId, Uid},
    store::{About, CommitError, key, owners::Owners},
};

/// What goes along with messages to another account.
#[derive(Debug, Default)]
pub(super) struct Luggage {
    /// What is stored of each email, in the order of the messages.
    pub(super) records: Vec<Vec<u8>>,
    /// The bodies, and how many owners each gets.
    pub(super) bodies: Vec<(Owners, u32)>,
}

impl Mailbox {
    /// Carries the messages that are here into another account, all or none.
    pub(super) async fn hand_over(
        &self,
        uids: &[Uid],
        target: &Target,
        kind: TransferKind,
    ) -> Result<Copied, ChangeError> {
        let mut copied = self.prepare(uids, target).await?;
        for _ in 0..ATTEMPTS_MAX {
            let judged = self.judged(kind.rights()).await?;
            let admitted = self.mailboxes().admit(target).await?;
            let target = &admitted.target;
            self.check_target_room(uids, target).await?;
            let emails = self.emails_of(uids);
            if emails.is_empty() {
                return Ok(copied);
            }
            let luggage = self.luggage(&emails).await?;
            let stored = self.stored_expunged().await?;
            let step = self.read(|index| {
                let positions = index.present(uids);
                let rows = positions.iter().filter_map(|place| index.row(*place));
                if !rows
                    .map(|row| row.email)
                    .eq(emails.iter().map(|email| email.0))
                {
                    return None;
                }
                let source = Source {
                    account: self.account(),
                    mailbox: self.id(),
                    index,
                    expunged: &stored.unwrap_or_else(|| compose::expunged_value(index)),
                    now: self.core.clock.wall(),
                };
                Some(compose::handover(
                    source, &positions, &luggage, target, kind,
                ))
            });
            // The index moved on while the emails were read.
            let Some(step) = step else { continue };
            let mut step = step.ok_or(TOO_MANY)?;
            for acl in [&judged, &admitted.acl].into_iter().flatten() {
                acl.require(&mut step.batch);
            }
            let announcement = Announcement::new(
                &self.core.hub,
                target.account,
                vec![About::Messages(target.mailbox)],
            );
            match self.commit(step).await {
                Ok(done) => {
                    self.core.count_record(target.account, target.mailbox);
                    copied.from = done.uids;
                    copied.to = done.targets;
                    return Ok(copied);
                }
                Err(CommitError::Conflict) => {
                    announcement.cancel();
                    self.after_conflict().await?;
                    self.check_target(target).await?;
                }
                Err(error) => {
                    announcement.cancel();
                    return Err(error.into());
                }
            }
        }
        Err(ChangeError::Busy)
    }

    /// The emails of those messages that are here.
    fn emails_of(&self, uids: &[Uid]) -> Vec<EmailId> {
        self.read(|index| {
            let positions = index.present(uids);
            let rows = positions.iter().filter_map(|place| index.row(*place));
            rows.map(|row| EmailId(row.email)).collect()
        })
    }

    /// Reads what goes along. No more than one batch takes is ever in memory.
    async fn luggage(&self, emails: &[EmailId]) -> Result<Luggage, ChangeError> {
        let engine = &*self.core.engine;
        let mut luggage = Luggage::default();
        let mut bodies: BTreeMap<BlobId, u32> = BTreeMap::new();
        let mut bytes = 0;
        for &id in emails {
            let record = engine.get(&key::email(self.account(), id)).await?;
            let email = record
                .as_ref()
                .and_then(|record| Email::decode(id, record).ok());
            let (Some(record), Some(email)) = (record, email) else {
                tracing::error!(email.id = id.0, "the record of an email is damaged");
                return Err(MailboxFault::Damaged("an email").into());
            };
            bytes += record.len();
            if bytes > BATCH_BYTES_MAX {
                return Err(TOO_MANY);
            }
            *bodies.entry(email.blob).or_default() += 1;
            luggage.records.push(record.to_vec());
        }
        for (blob, count) in bodies {
            luggage
                .bodies
                .push((Owners::read(engine, blob).await?, count));
        }
        Ok(luggage)
    }
}

/// All or none: what one batch does not take is refused.
const TOO_MANY: ChangeError = ChangeError::TooMany("messages for one change");
