//! A maildrop: INBOX as it was when the session began, locked against other POP3 sessions.
//!
//! RFC 1939 4: the lock is exclusive, message numbers never change during a session, and deletions
//! happen at QUIT only, in one commit (beyond some 360,000 messages in several). IMAP sessions and
//! deliveries go on beside it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    base::ids::{AccountId, EmailId, Uid},
    mailbox::{BodyPieces, ChangeError, INBOX, Mailbox, MailboxFault, Mailboxes},
    net::authn::Login,
};

/// Which maildrops are in use. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Maildrops(Arc<Mutex<HashSet<AccountId>>>);

/// The right to be the only POP3 session of an account.
#[derive(Debug)]
pub(super) struct Lock {
    drops: Maildrops,
    account: AccountId,
}

impl Maildrops {
    /// Locks the account's maildrop; `None` when it is in use.
    pub(super) fn lock(&self, account: AccountId) -> Option<Lock> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(account).then(|| Lock {
            drops: self.clone(),
            account,
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.drops
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.account);
    }
}

/// An open maildrop.
pub(super) struct Maildrop {
    mailboxes: Mailboxes,
    mailbox: Mailbox,
    messages: Vec<Message>,
    pub(super) login: Login,
    _lock: Lock,
}

/// One message of the maildrop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    uid: Uid,
    email: EmailId,
    stored_bytes: u64,
    /// What RETR sends: the stored octets and, where the last line has no end, its end.
    pub(super) octets: u64,
    deleted: bool,
}

impl Maildrop {
    /// Opens the INBOX of the account that logged in.
    pub(super) async fn open(
        mailboxes: &Mailboxes,
        login: Login,
        lock: Lock,
    ) -> Result<Self, ChangeError> {
        let mailbox = mailboxes.open(login.account(), INBOX).await?;
        let messages = mailbox.read(|index| {
            let entries = (0..index.len()).filter_map(|position| index.entry(position));
            let messages = entries.map(|entry| Message {
                uid: entry.uid,
                email: entry.email,
                stored_bytes: entry.size,
                octets: entry.size + u64::from(entry.crlf_missing),
                deleted: false,
            });
            messages.collect::<Vec<_>>()
        });
        let mailboxes = mailboxes.clone();
        Ok(Self {
            mailboxes,
            mailbox,
            messages,
            login,
            _lock: lock,
        })
    }

    /// Messages that are not deleted, with their numbers (RFC 1939 5: numbers of deleted ones stay
    /// unused).
    pub(super) fn listed(&self) -> impl Iterator<Item = (usize, &Message)> {
        let numbered = self
            .messages
            .iter()
            .enumerate()
            .map(|(at, message)| (at + 1, message));
        numbered.filter(|(_, message)| !message.deleted)
    }

    /// Number and octets of what is not deleted.
    pub(super) fn total(&self) -> (usize, u64) {
        self.listed().fold((0, 0), |(count, octets), (_, message)| {
            (count + 1, octets.saturating_add(message.octets))
        })
    }

    /// The message of this number, unless it is deleted or was never there.
    pub(super) fn message(&self, number: u32) -> Option<&Message> {
        let at = usize::try_from(number).ok()?.checked_sub(1)?;
        self.messages.get(at).filter(|message| !message.deleted)
    }

    /// Marks a message as deleted; `false` when there is none of this number.
    pub(super) fn delete(&mut self, number: u32) -> bool {
        if self.message(number).is_none() {
            return false;
        }
        let at = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        if let Some(message) = at.and_then(|at| self.messages.get_mut(at)) {
            message.deleted = true;
        }
        true
    }

    /// Forgets all deletions.
    pub(super) fn undelete(&mut self) {
        self.messages
            .iter_mut()
            .for_each(|message| message.deleted = false);
    }

    /// RFC 1939 7: unique for ever. UIDVALIDITY and UID are exactly that, and survive renames of
    /// the account, restores and repairs.
    pub(super) fn unique_id(&self, message: &Message) -> String {
        format!(
            "{:08x}{:08x}",
            self.mailbox.uid_validity(),
            message.uid.number()
        )
    }

    /// The stored octets of a message; `None` when somebody else removed it meanwhile.
    pub(super) async fn body(&self, message: &Message) -> Result<Option<BodyPieces>, MailboxFault> {
        let account = self.mailbox.account();
        let emails = self.mailboxes.emails(account, &[message.email]).await?;
        let email = emails.into_iter().flatten().next();
        Ok(email.map(|email| self.mailboxes.body(email.blob, 0..message.stored_bytes)))
    }

    /// RFC 1939 6: removes what was marked; when that fails, none or some of it is gone.
    pub(super) async fn update(self) -> Result<usize, ChangeError> {
        let marked = self.messages.iter().filter(|message| message.deleted);
        let uids: Vec<Uid> = marked.map(|message| message.uid).collect();
        if uids.is_empty() {
            return Ok(0);
        }
        Ok(self.mailbox.expunge(&uids).await?.len())
    }
}
