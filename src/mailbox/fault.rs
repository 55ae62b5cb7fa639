//! What can go wrong with mailboxes: refusals that the user caused, and faults of the store.

use crate::store::{CommitError, ReadError};

/// The store failed, or the mailbox is no more.
#[derive(Debug, thiserror::Error)]
pub enum MailboxFault {
    /// The mailbox was deleted.
    #[error("the mailbox was deleted")]
    Deleted,
    /// A read failed.
    #[error("a mailbox could not be read")]
    Read(#[from] ReadError),
    /// A commit failed.
    #[error("a mailbox could not be changed")]
    Commit(#[source] CommitError),
    /// What is stored of this mailbox cannot be understood; others are not affected (DUR-09).
    #[error("a stored mailbox is damaged: {0}")]
    Damaged(&'static str),
}

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is a mailbox of this name.
    #[error("the mailbox exists")]
    Exists,
    /// There is no such mailbox.
    #[error("there is no such mailbox")]
    Absent,
    /// Not with INBOX (RFC 3501 6.3.4).
    #[error("not possible with INBOX")]
    Inbox,
    /// The mailbox has inferior names.
    #[error("the mailbox has inferior mailboxes")]
    HasChildren,
    /// The right to do this was not granted (RFC 4314).
    #[error("no right to do this")]
    Forbidden,
    /// A mailbox cannot be renamed to a name below itself, and names must stay within LIM-23.
    #[error("the new name is not possible")]
    Name,
    /// Another mailbox has this special use (RFC 6154 3).
    #[error("another mailbox has this special use")]
    SpecialUse,
    /// A limit: mailboxes (LIM-23), keywords (LIM-24), or messages of one command.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// Others changed the same things again and again.
    #[error("others are changing the same mailbox")]
    Busy,
    /// The account would hold more than it may.
    #[error("the account has no room for this")]
    OverQuota,
    /// There is no room on the disk.
    #[error("the store is full")]
    Full,
    /// The store failed.
    #[error(transparent)]
    Fault(MailboxFault),
}

impl From<MailboxFault> for ChangeError {
    fn from(fault: MailboxFault) -> Self {
        match fault {
            MailboxFault::Deleted => Self::Absent,
            other => Self::Fault(other),
        }
    }
}

impl From<ReadError> for ChangeError {
    fn from(error: ReadError) -> Self {
        Self::Fault(error.into())
    }
}

/// Every refusal of a commit but a conflict, whose meaning the operation must decide itself.
impl From<CommitError> for ChangeError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Busy,
            CommitError::Full => Self::Full,
            CommitError::Exhausted => Self::TooMany("messages"),
            other => Self::Fault(MailboxFault::Commit(other)),
        }
    }
}
