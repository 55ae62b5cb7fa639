//! The engine in memory: a sorted map behind a lock. For tests; nothing survives the process.
//!
//! It is the plainest reading of the engine's contract, and what the other engines are compared
//! with.

use std::{
    any::Any,
    collections::{BTreeMap, HashMap},
    future::{pending, ready},
    ops::{Bound, Range},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::{Bytes, BytesMut};

use super::{
    batch::{Batch, Content, Staged},
    engine::{
        Applied, CommitError, Engine, KeyRange, Order, Page, PageLimit, ReadError, Room, Stage,
    },
    key::Key,
    resolve::{Change, check_bounds, resolve},
};
use crate::base::{future::BoxFuture, ids::BlobId};

/// An engine without a disk.
#[derive(Debug, Default)]
pub struct Memory {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    entries: BTreeMap<Bytes, Bytes>,
    bodies: HashMap<BlobId, Bytes>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>, ReadError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            Err(ReadError::Closed)
        } else {
            Ok(state)
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, batch: Batch) -> Result<Applied, CommitError> {
        check_bounds(&batch)?;
        let mut state = self.write();
        if state.closed {
            return Err(CommitError::Closed);
        }
        let (resolved, bodies) = resolve(batch, |key| Ok(state.entries.get(key).cloned()))?;
        let contents = bodies
            .into_iter()
            .map(|body| Ok((body.id, whole(body.content)?)));
        let contents = contents.collect::<Result<Vec<_>, CommitError>>()?;
        state.bodies.extend(contents);
        for change in resolved.changes {
            match change {
                Change::Put(key, value) => _ = state.entries.insert(key, value),
                Change::Delete(key) => _ = state.entries.remove(&key),
                Change::DropBody(id) => _ = state.bodies.remove(&id),
            }
        }
        Ok(Applied {
            counters: resolved.counters,
        })
    }

    fn list(&self, range: KeyRange, limit: PageLimit, order: Order) -> Result<Page, ReadError> {
        let state = self.read()?;
        let (from, to) = (range.from.into_bytes(), range.to.into_bytes());
        if from >= to {
            return Ok(Page::default());
        }
        let found = state
            .entries
            .range((Bound::Included(from), Bound::Excluded(to)));
        let mut page = Page::default();
        let mut bytes = 0;
        let mut take = |(key, value): (&Bytes, &Bytes)| {
            let size = key.len() + value.len();
            let full = page.entries.len() >= limit.entries || bytes + size > limit.bytes;
            if full && !page.entries.is_empty() {
                page.more = true;
                return false;
            }
            bytes += size;
            page.entries
                .push((Key::from_bytes(key.clone()), value.clone()));
            true
        };
        match order {
            Order::Ascending => _ = { found }.all(&mut take),
            Order::Descending => _ = found.rev().all(&mut take),
        }
        Ok(page)
    }

    fn slice(&self, id: BlobId, range: Range<u64>) -> Result<Bytes, ReadError> {
        let state = self.read()?;
        let body = state.bodies.get(&id).ok_or(ReadError::NoSuchBody)?;
        let start = usize::try_from(range.start).map_err(|_| ReadError::NoSuchBody)?;
        let end = usize::try_from(range.end).map_err(|_| ReadError::NoSuchBody)?;
        if start > end || end > body.len() {
            return Err(ReadError::NoSuchBody);
        }
        Ok(body.slice(start..end))
    }
}

impl Engine for Memory {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        let found = self
            .read()
            .map(|state| state.entries.get(key.as_bytes()).cloned());
        Box::pin(ready(found))
    }

    fn page(
        &self,
        range: KeyRange,
        limit: PageLimit,
        order: Order,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(ready(self.list(range, limit, order)))
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, CommitError>> {
        Box::pin(async move { self.apply(batch) })
    }

    fn stage(&self) -> BoxFuture<'_, Result<Box<dyn Stage>, CommitError>> {
        let stage: Result<Box<dyn Stage>, CommitError> = match self.read() {
            Ok(_) => Ok(Box::new(Pieces::default())),
            Err(_) => Err(CommitError::Closed),
        };
        Box::pin(ready(stage))
    }

    fn body(&self, id: BlobId, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        Box::pin(ready(self.slice(id, range)))
    }

    fn room(&self) -> Room {
        Room::Enough
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        Box::pin(pending())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.write().closed = true;
        })
    }
}

/// A body being collected.
#[derive(Default)]
struct Pieces(BytesMut);

impl Stage for Pieces {
    fn append(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CommitError>> {
        self.0.extend_from_slice(&piece);
        Box::pin(ready(Ok(())))
    }

    fn prepend(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CommitError>> {
        let behind = std::mem::replace(&mut self.0, BytesMut::from(piece));
        self.0.unsplit(behind);
        Box::pin(ready(Ok(())))
    }

    fn finish(self: Box<Self>) -> Staged {
        let bytes = self.0.freeze();
        let length = bytes.len() as u64;
        let token: Arc<dyn Any + Send + Sync> = Arc::new(bytes);
        Staged { length, token }
    }
}

fn whole(content: Content) -> Result<Bytes, CommitError> {
    match content {
        Content::Bytes(bytes) => Ok(bytes),
        Content::Staged(staged) => {
            staged
                .token
                .downcast_ref::<Bytes>()
                .cloned()
                .ok_or(CommitError::Unacceptable(
                    "a body was staged in another engine",
                ))
        }
    }
}
