//! A batch: one atomic change as plain data.
//!
//! No callback and no interactive transaction, so the same batch fits an embedded writer and a
//! remote database. A batch holds conditions, counters that are assigned inside the commit, writes
//! that may contain those counters, and message bodies that become durable with it. Bounds that
//! every engine keeps: keys up to 480 bytes, values up to 64 KiB, a batch up to 8 MiB without
//! bodies.

use std::{any::Any, fmt, num::NonZeroU32, sync::Arc};

use bytes::Bytes;

use super::key::Key;
use crate::base::ids::BlobId;

/// One atomic change. Empty by default; built with the methods below.
#[derive(Debug, Default)]
pub struct Batch {
    /// All must hold at the moment of commit, or nothing happens ([`CommitError::Conflict`]).
    ///
    /// [`CommitError::Conflict`]: super::CommitError::Conflict
    pub conditions: Vec<Condition>,
    /// Counters to advance; [`Template`]s refer to them by position.
    pub takes: Vec<Take>,
    /// Applied in order, after conditions and counters.
    pub writes: Vec<Write>,
    /// Bodies that exist from this commit on.
    pub bodies: Vec<Body>,
}

/// What must hold for the batch to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key has no value.
    Absent(Key),
    /// The key has a value.
    Present(Key),
    /// The key's value is exactly this.
    Equals(Key, Bytes),
    /// The sum at the key is no more than this; zero when absent.
    AtMost(Key, i64),
}

/// "Take the next `count` numbers of this counter". A counter starts at 0, so the first number
/// taken is 1. Stored as eight bytes, big-endian: the last number given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// The counter's key.
    pub counter: Key,
    /// How many consecutive numbers.
    pub count: NonZeroU32,
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a key's value.
    Put(Template, Template),
    /// Removes a key; no error when it is absent.
    Delete(Key),
    /// Adds to a sum: a signed 64-bit big-endian value, zero when absent.
    Sum(Key, i64),
    /// Forgets a body; its space is given back in the background.
    DropBody(BlobId),
}

/// Bytes with holes that the commit fills with counters taken in the same batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The bytes; what stands in a hole is overwritten.
    pub bytes: Vec<u8>,
    /// Where counters go. Holes must lie within `bytes`.
    pub holes: Vec<Hole>,
}

/// A place in a template: the first number of `take`, plus `plus`, big-endian, at byte `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Offset of the first byte.
    pub at: usize,
    /// Index into [`Batch::takes`].
    pub take: usize,
    /// Added to the first number taken.
    pub plus: u32,
    /// Four or eight bytes.
    pub width: Width,
}

/// Width of a counter in a key or value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Four bytes; the commit fails as `Exhausted` when the number does not fit.
    U32,
    /// Eight bytes.
    U64,
}

/// A body and its name.
pub struct Body {
    /// Chosen by the caller, unique for ever.
    pub id: BlobId,
    /// The bytes, or what was staged of them.
    pub content: Content,
}

/// Where a body's bytes are.
pub enum Content {
    /// Small: in memory.
    Bytes(Bytes),
    /// Large: already handed to the engine in pieces ([`Engine::stage`]).
    ///
    /// [`Engine::stage`]: super::Engine::stage
    Staged(Staged),
}

/// A finished staged body. Dropping it without committing lets the engine reclaim the pieces.
pub struct Staged {
    /// Total length in bytes.
    pub length: u64,
    /// The engine's own record of the pieces.
    pub token: Arc<dyn Any + Send + Sync>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that `key` has no value.
    pub fn absent(&mut self, key: Key) -> &mut Self {
        self.conditions.push(Condition::Absent(key));
        self
    }

    /// Requires that `key` has a value.
    pub fn present(&mut self, key: Key) -> &mut Self {
        self.conditions.push(Condition::Present(key));
        self
    }

    /// Requires what was read: `Some` exact value, or `None` for absent.
    pub fn unchanged(&mut self, key: Key, read: Option<Bytes>) -> &mut Self {
        self.conditions.push(match read {
            Some(value) => Condition::Equals(key, value),
            None => Condition::Absent(key),
        });
        self
    }

    /// Requires that the sum at `key` is no more than `most`, before this batch adds to it.
    pub fn at_most(&mut self, key: Key, most: i64) -> &mut Self {
        self.conditions.push(Condition::AtMost(key, most));
        self
    }

    /// Takes `count` numbers of `counter`; returns the index that templates use.
    pub fn take(&mut self, counter: Key, count: NonZeroU32) -> usize {
        self.takes.push(Take { counter, count });
        self.takes.len() - 1
    }

    /// Takes one number of `counter`; returns the index that templates use.
    pub fn take_one(&mut self, counter: Key) -> usize {
        self.take(counter, NonZeroU32::MIN)
    }

    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Template>, value: impl Into<Template>) -> &mut Self {
        self.writes.push(Write::Put(key.into(), value.into()));
        self
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.push(Write::Delete(key));
        self
    }

    /// Adds `delta` to the sum at `key`.
    pub fn sum(&mut self, key: Key, delta: i64) -> &mut Self {
        self.writes.push(Write::Sum(key, delta));
        self
    }

    /// Forgets the body `id`.
    pub fn drop_body(&mut self, id: BlobId) -> &mut Self {
        self.writes.push(Write::DropBody(id));
        self
    }

    /// Makes a body durable with this batch.
    pub fn body(&mut self, id: BlobId, content: Content) -> &mut Self {
        self.bodies.push(Body { id, content });
        self
    }
}

impl Template {
    /// Appends plain bytes.
    pub fn extend(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a hole for the first number of `take` plus `plus`.
    pub fn hole(&mut self, take: usize, plus: u32, width: Width) -> &mut Self {
        self.holes.push(Hole {
            at: self.bytes.len(),
            take,
            plus,
            width,
        });
        let zeros: &[u8] = match width {
            Width::U32 => &[0; 4],
            Width::U64 => &[0; 8],
        };
        self.bytes.extend_from_slice(zeros);
        self
    }
}

impl From<Vec<u8>> for Template {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            holes: Vec::new(),
        }
    }
}

impl From<Key> for Template {
    fn from(key: Key) -> Self {
        Self {
            bytes: key.as_bytes().to_vec(),
            holes: Vec::new(),
        }
    }
}

impl Content {
    /// Length of the body in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Staged(staged) => staged.length,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({}, {} bytes)", self.id, self.content.length())
    }
}
