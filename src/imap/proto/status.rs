//! What a STATUS asks for (RFC 3501 6.3.10, RFC 8438, RFC 8474, RFC 9208).

use super::object_id::ObjectId;

/// One data item of STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// Messages in the mailbox.
    Messages,
    /// Messages with `\Recent`.
    Recent,
    /// The next UID.
    UidNext,
    /// The validity of the UIDs.
    UidValidity,
    /// Messages without `\Seen`.
    Unseen,
    /// Sum of the sizes (RFC 8438).
    Size,
    /// Messages with `\Deleted` (RFC 9051 6.3.11, RFC 9208 4.1.4).
    Deleted,
    /// Where its changes stand (RFC 7162 3.1.7).
    HighestModSeq,
    /// The largest message that it takes (RFC 7889 3.1).
    AppendLimit,
    /// Sum of their sizes (RFC 9208 4.1.4).
    DeletedStorage,
    /// MAILBOXID (RFC 8474 4.3).
    MailboxId,
}

/// What STATUS says of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusValue {
    /// Most have a number.
    Number(u64),
    /// MAILBOXID has an id.
    Id(ObjectId),
}

impl From<u64> for StatusValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl StatusItem {
    /// Every item.
    pub const ALL: [Self; 11] = [
        Self::Messages,
        Self::Recent,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Size,
        Self::Deleted,
        Self::HighestModSeq,
        Self::AppendLimit,
        Self::DeletedStorage,
        Self::MailboxId,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Size => "SIZE",
            Self::Deleted => "DELETED",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::AppendLimit => "APPENDLIMIT",
            Self::DeletedStorage => "DELETED-STORAGE",
            Self::MailboxId => "MAILBOXID",
        }
    }

    /// The item of this name, in any case of letters.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|item| item.name().as_bytes().eq_ignore_ascii_case(name))
    }
}
