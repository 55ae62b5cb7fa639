//! Handle
use super::{
    changes::Changes,
    fault::{ChangeError, MailboxFault},
    flags::FlagChange,
    index::Index,
};
use crate::base::ids::{AccountId, MailboxId, ModSeq, Uid};

/// A mailbox that was opened: the right to use it.
#[derive(Clone)]
pub struct Mailbox {}

/// What a STORE did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where the mailbox stands.
    pub modseq: ModSeq,
    /// The messages whose flags changed.
    pub changed: Vec<Uid>,
}

/// What a COPY or MOVE did (RFC 4315 3): `from[i]` is now `to[i]` in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: u32,
    /// UIDs in the source.
    pub from: Vec<Uid>,
    /// UIDs in the target.
    pub to: Vec<Uid>,
}

impl Mailbox {
    /// Whose it is.
    pub fn account(&self) -> AccountId {
        unimplemented!()
    }
    /// Its number.
    pub fn id(&self) -> MailboxId {
        unimplemented!()
    }
    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> u32 {
        unimplemented!()
    }
    /// Brings the shared index up to date.
    pub async fn refresh(&self) -> Result<(), MailboxFault> {
        unimplemented!()
    }
    /// Reads the index; no waiting inside.
    pub fn read<R>(&self, _f: impl FnOnce(&Index) -> R) -> R {
        unimplemented!()
    }
    /// What changed since a session was told `told` (ascending UIDs) at `since`.
    pub fn changes(&self, _since: ModSeq, _told: &[u32]) -> Changes {
        unimplemented!()
    }
    /// Messages with this UID or higher are recent for the calling session; with `read_write` no later
    /// session gets them as recent.
    pub fn claim_recent(&self, _read_write: bool) -> u32 {
        unimplemented!()
    }
    /// STORE.
    pub async fn store_flags(
        &self,
        _uids: &[Uid],
        _change: &FlagChange,
    ) -> Result<Stored, ChangeError> {
        unimplemented!()
    }
    /// Removes these messages; answers which are gone by this.
    pub async fn expunge(&self, _uids: &[Uid]) -> Result<Vec<Uid>, ChangeError> {
        unimplemented!()
    }
    /// COPY.
    pub async fn copy_to(&self, _uids: &[Uid], _target: MailboxId) -> Result<Copied, ChangeError> {
        unimplemented!()
    }
    /// MOVE.
    pub async fn move_to(&self, _uids: &[Uid], _target: MailboxId) -> Result<Copied, ChangeError> {
        unimplemented!()
    }
}
