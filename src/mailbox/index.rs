//! Index
use std::ops::Range;

use super::flags::{Keyword, SystemFlags};
use crate::base::{
    clock::Timestamp,
    ids::{EmailId, ModSeq, Uid},
};

/// The messages of a mailbox, in memory. Positions count from zero.
#[derive(Debug, Default)]
pub struct Index {}

/// One message of an [`Index`].
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// Its UID.
    pub uid: Uid,
    /// Its system flags.
    pub system: SystemFlags,
    /// Modification sequence of its last change.
    pub modseq: ModSeq,
    /// Bytes.
    pub size: u64,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// The email's number.
    pub email: EmailId,
    index: &'a Index,
}

impl<'a> EntryRef<'a> {
    /// Its keywords.
    pub fn keywords(&self) -> impl Iterator<Item = &'a Keyword> + use<'a> {
        let _ = self.index;
        std::iter::empty()
    }
}

/// What changed between what a session was told and now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// UIDs that were told and are gone.
    pub expunged: Vec<u32>,
    /// UIDs that are new.
    pub appended: Vec<u32>,
    /// UIDs that were told and whose flags changed.
    pub flagged: Vec<u32>,
    /// Where the mailbox stands now.
    pub modseq: ModSeq,
}

impl Index {
    /// Number of messages.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
    /// UIDNEXT.
    pub fn uid_next(&self) -> u32 {
        unimplemented!()
    }
    /// HIGHESTMODSEQ.
    pub fn modseq(&self) -> ModSeq {
        unimplemented!()
    }
    /// Messages without `\Seen`.
    pub fn unseen(&self) -> usize {
        unimplemented!()
    }
    /// Position of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<usize> {
        unimplemented!()
    }
    /// Sum of the sizes.
    pub fn bytes(&self) -> u64 {
        unimplemented!()
    }
    /// All UIDs, ascending.
    pub fn uids(&self) -> &[u32] {
        unimplemented!()
    }
    /// The UID at a position.
    pub fn uid_at(&self, _position: usize) -> Option<Uid> {
        unimplemented!()
    }
    /// The position of a UID.
    pub fn position(&self, _uid: Uid) -> Option<usize> {
        unimplemented!()
    }
    /// Positions of the UIDs `first` to `last`, both included.
    pub fn positions(&self, _first: u32, _last: u32) -> Range<usize> {
        unimplemented!()
    }
    /// The message at a position.
    pub fn entry(&self, _position: usize) -> Option<EntryRef<'_>> {
        unimplemented!()
    }
    /// Keywords in use, sorted.
    pub fn keywords(&self) -> Vec<Keyword> {
        unimplemented!()
    }
}
