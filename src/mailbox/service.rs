//! Service
use std::{future::Future, ops::Range, sync::Arc};

use bytes::Bytes;

use super::*;
use crate::{
    base::{
        clock::{Clock, Timestamp},
        future::BoxFuture,
        ids::{AccountId, BlobId, EmailId, MailboxId, Uid},
        pieces::Pieces,
        random::Random,
    },
    store::{Applied, Batch, Engine},
};

/// The number of every account's INBOX.
pub const INBOX: MailboxId = MailboxId(1);

/// All mailboxes of all accounts.
#[derive(Clone)]
pub struct Mailboxes {}

/// Settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long an expunged message stays stored for sessions that still show it (DUR-08 I7).
    pub grace: std::time::Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grace: std::time::Duration::from_secs(600),
        }
    }
}

/// What an account holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the sizes of all messages of all mailboxes.
    pub bytes: u64,
    /// Their number.
    pub messages: u64,
}

/// A message to be placed in a mailbox.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Its body, made durable by the same batch.
    pub blob: BlobId,
    /// Bytes of the body.
    pub size: u64,
    /// What FETCH needs, encoded.
    pub facts: Bytes,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Its first flags.
    pub flags: FlagSet,
}

/// Where the numbers of a placed message will be among [`Applied::counters`].
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    uid: usize,
}

impl Placed {
    /// The UID that the commit assigned.
    pub fn uid(&self, applied: &Applied) -> Option<Uid> {
        Uid::new(u32::try_from(*applied.counters.get(self.uid)?).ok()?)
    }
}

/// What APPEND did (RFC 4315 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// UID of the message.
    pub uid: Uid,
}

/// What is stored of an email beside its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Its number.
    pub id: EmailId,
    /// Its body.
    pub blob: BlobId,
    /// What FETCH needs, encoded.
    pub facts: Bytes,
}

/// Part of a body, piece by piece.
pub struct BodyPieces {}

impl Pieces for BodyPieces {
    fn next(&mut self) -> BoxFuture<'_, std::io::Result<Option<Bytes>>> {
        unimplemented!()
    }
}

impl Mailboxes {
    /// The mailboxes in `engine`.
    pub fn new(
        _engine: Arc<dyn Engine>,
        _clock: Clock,
        _random: Random,
        _options: Options,
    ) -> Self {
        unimplemented!()
    }
    /// Makes the first mailboxes of a new account.
    pub fn provision(&self, _batch: &mut Batch, _account: AccountId) {
        unimplemented!()
    }
    /// All mailboxes, as a tree with INBOX first.
    pub async fn list(&self, _account: AccountId) -> Result<Vec<Entry>, MailboxFault> {
        unimplemented!()
    }
    /// The mailbox of this name.
    pub async fn find(
        &self,
        _account: AccountId,
        _name: &Name,
    ) -> Result<Option<Entry>, MailboxFault> {
        unimplemented!()
    }
    /// CREATE, with the missing parents.
    pub async fn create(
        &self,
        _account: AccountId,
        _name: &Name,
        _special_use: Option<SpecialUse>,
    ) -> Result<Entry, ChangeError> {
        unimplemented!()
    }
    /// DELETE.
    pub async fn delete(&self, _account: AccountId, _name: &Name) -> Result<(), ChangeError> {
        unimplemented!()
    }
    /// RENAME, with all inferior names; INBOX keeps existing and only its messages move (RFC 3501 6.3.5).
    pub async fn rename(
        &self,
        _account: AccountId,
        _from: &Name,
        _to: &Name,
    ) -> Result<(), ChangeError> {
        unimplemented!()
    }
    /// SUBSCRIBE; the name need not exist.
    pub async fn subscribe(&self, _account: AccountId, _name: &Name) -> Result<(), ChangeError> {
        unimplemented!()
    }
    /// UNSUBSCRIBE.
    pub async fn unsubscribe(&self, _account: AccountId, _name: &Name) -> Result<(), ChangeError> {
        unimplemented!()
    }
    /// Subscribed names, sorted.
    pub async fn subscriptions(&self, _account: AccountId) -> Result<Vec<Name>, MailboxFault> {
        unimplemented!()
    }
    /// Opens a mailbox; its shared index is current then.
    pub async fn open(
        &self,
        _account: AccountId,
        _mailbox: MailboxId,
    ) -> Result<Mailbox, ChangeError> {
        unimplemented!()
    }
    /// Watches an account for changes from now on.
    pub fn watch(&self, _account: AccountId) -> Watch {
        unimplemented!()
    }
    /// Wakes the watchers of an account, after a commit that changed it.
    pub fn announce(&self, _account: AccountId) {
        unimplemented!()
    }
    /// What the account holds.
    pub async fn usage(&self, _account: AccountId) -> Result<Usage, MailboxFault> {
        unimplemented!()
    }
    /// Begins to take in a body.
    pub fn intake(&self) -> Intake {
        unimplemented!()
    }
    /// Adds one message to a mailbox, as part of `batch`. The body and its owners are the caller's.
    pub fn place(
        &self,
        _batch: &mut Batch,
        _account: AccountId,
        _mailbox: MailboxId,
        _placement: &Placement,
    ) -> Placed {
        unimplemented!()
    }
    /// APPEND.
    pub async fn append(
        &self,
        _account: AccountId,
        _mailbox: MailboxId,
        _arrived: Arrived,
        _flags: FlagSet,
        _internal_date: Timestamp,
    ) -> Result<Appended, ChangeError> {
        unimplemented!()
    }
    /// What is stored of these emails, in the order asked for.
    pub async fn emails(
        &self,
        _account: AccountId,
        _ids: &[EmailId],
    ) -> Result<Vec<Option<Email>>, MailboxFault> {
        unimplemented!()
    }
    /// Bytes `span` of a body.
    pub fn body(&self, _blob: BlobId, _span: Range<u64>) -> BodyPieces {
        unimplemented!()
    }
    /// The background work, until `stop`: snapshots, and the sweep of what nobody refers to.
    pub async fn maintain(&self, _stop: impl Future<Output = ()>) {
        unimplemented!()
    }
}
