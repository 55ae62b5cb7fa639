//! What an engine does: reads, pages, commits, bodies. See the conformance suite for what that
//! means.

use std::{io, ops::Range};

use bytes::Bytes;

use super::{
    batch::{Batch, Staged},
    key::Key,
};
use crate::base::{future::BoxFuture, ids::BlobId};

/// An ordered key-value store with atomic batches and bodies.
///
/// After `commit` answers `Ok`, the batch is durable and every later read sees it; before that, no
/// read sees any of it. Commits become visible in the order in which their counters were assigned,
/// so a reader that has seen number n of a counter has seen everything written with lower numbers
/// of it.
pub trait Engine: Send + Sync + 'static {
    /// The value of `key`, if it has one.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>>;

    /// Up to `limit` entries of `range`, at one point of time.
    fn page(
        &self,
        range: KeyRange,
        limit: PageLimit,
        order: Order,
    ) -> BoxFuture<'_, Result<Page, ReadError>>;

    /// Makes `batch` happen, durably and at once, or not at all.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, CommitError>>;

    /// Begins a body that is too large for memory. Pieces are not durable before the batch that
    /// names the finished body; an abandoned stage leaves nothing behind.
    fn stage(&self) -> BoxFuture<'_, Result<Box<dyn Stage>, CommitError>>;

    /// Bytes `range` of the body `id`, exactly. Readers ask for pieces of at most 256 KiB.
    /// A body read from 0 to its end in one piece has its checksum verified.
    fn body(&self, id: BlobId, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ReadError>>;

    /// Whether there is room to accept mail; cheap enough to ask at every MAIL and RCPT (DUR-04).
    fn room(&self) -> Room;

    /// Resolves when the engine can no longer write (a failed write or sync, DUR-03), with the
    /// reason for the operator. The process must end then and recover from what is durable. Never
    /// resolves otherwise.
    fn failed(&self) -> BoxFuture<'_, String>;

    /// Writes out what speeds up the next start and releases the data. Later calls fail. Mail does
    /// not depend on it: what was committed is durable already.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A body arriving in pieces.
pub trait Stage: Send + Sync {
    /// Appends a piece.
    fn append(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Puts a piece before all that came so far: what begins a body may be known last.
    fn prepend(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Ends the body; commit the result with [`Batch::body`].
    fn finish(self: Box<Self>) -> Staged;
}

/// Keys from `from` (included) to `to` (excluded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub from: Key,
    /// First key behind the range.
    pub to: Key,
}

/// Direction of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lowest key first.
    Ascending,
    /// Highest key first.
    Descending,
}

/// Bounds of a page. At least one entry is returned when there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// Entries at most.
    pub entries: usize,
    /// Bytes of keys and values at most (one entry may go over).
    pub bytes: usize,
}

impl PageLimit {
    /// This many entries at most, and as many bytes as a page may have.
    #[must_use]
    pub fn entries(entries: usize) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self {
            entries: 1000,
            bytes: 1024 * 1024,
        }
    }
}

/// A page of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Entries in the order asked for.
    pub entries: Vec<(Key, Bytes)>,
    /// Whether the range goes on behind the last entry.
    pub more: bool,
}

/// A commit that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The first number of each [`Take`](super::Take), in order.
    pub counters: Vec<u64>,
}

/// Whether mail can be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Yes.
    Enough,
    /// The disk is nearly full: refuse new mail for now (452), go on reading and deleting.
    Low,
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk or the remote store failed.
    #[error("the store could not be read")]
    Io(#[source] io::Error),
    /// This item is damaged; others are not affected.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
    /// There is no such body, or the range lies outside of it.
    #[error("no such body or range")]
    NoSuchBody,
    /// The engine was closed.
    #[error("the store is closed")]
    Closed,
}

/// A commit that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold: read again and decide again.
    #[error("the data changed meanwhile")]
    Conflict,
    /// No room on the disk; nothing was written.
    #[error("the store is full")]
    Full,
    /// A counter cannot go further (a mailbox used all its UIDs).
    #[error("a counter is exhausted")]
    Exhausted,
    /// The batch is beyond the bounds of an engine; a mistake of the caller.
    #[error("the batch is not acceptable: {0}")]
    Unacceptable(&'static str),
    /// A read needed for the commit failed.
    #[error("the store could not be read")]
    Read(#[from] ReadError),
    /// A write or sync failed, now or earlier: nothing more is written until a restart (DUR-03).
    #[error("the store stopped after a write error")]
    Poisoned,
    /// The engine was closed.
    #[error("the store is closed")]
    Closed,
}
