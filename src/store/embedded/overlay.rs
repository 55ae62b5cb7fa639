//! What is committed but not yet in the index: a sorted map in memory, and the view that stacks it.
//!
//! A view is three layers: the active overlay (new commits go there), the frozen one (being written
//! to the index), and a snapshot of the index. They are exchanged together under one lock, so a
//! reader that takes what it needs from the overlays and the snapshot handle under that lock sees
//! one moment; the snapshot itself is read without the lock.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;

use super::{
    index::{Snapshot, guarded},
    record::{Extent, Place},
};
use crate::{
    base::ids::BlobId,
    store::{
        engine::{KeyRange, Order, Page, PageLimit, ReadError},
        key::Key,
        resolve::Change,
    },
};

/// A point between two records of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) offset: u64,
    /// Number of the record that follows.
    pub(super) sequence: u64,
}

/// Changes since a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    entries: BTreeMap<Bytes, Option<Bytes>>,
    bodies: HashMap<BlobId, Option<Arc<Place>>>,
    /// Bytes per segment that never die: record headers and metadata.
    overhead: BTreeMap<u32, u64>,
    bytes: usize,
    position: Position,
    /// Whether the index must learn the position even when nothing else is new.
    turned: bool,
}

impl Overlay {
    pub(super) fn starting_at(position: Position) -> Self {
        Self {
            position,
            ..Self::default()
        }
    }

    pub(super) fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        let length = |value: &Option<Bytes>| value.as_ref().map_or(0, Bytes::len);
        let (key_length, new) = (key.len(), length(&value));
        match self.entries.insert(key, value) {
            Some(old) => self.bytes = (self.bytes + new).saturating_sub(length(&old)),
            None => self.bytes += key_length + new + ENTRY_OVERHEAD,
        }
    }

    pub(super) fn put_body(&mut self, id: BlobId, place: Option<Arc<Place>>) {
        if self.bodies.insert(id, place).is_none() {
            self.bytes += BODY_OVERHEAD;
        }
    }

    /// Applies a resolved change.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Put(key, value) => self.put(key, Some(value)),
            Change::Delete(key) => self.put(key, None),
            Change::DropBody(id) => self.put_body(id, None),
        }
    }

    /// Counts `bytes` of `segment` that will never die.
    pub(super) fn add_overhead(&mut self, segment: u32, bytes: u64) {
        *self.overhead.entry(segment).or_default() += bytes;
    }

    pub(super) fn set_position(&mut self, position: Position) {
        self.position = position;
    }

    /// The journal goes on in a new segment, before any record of it.
    pub(super) fn turn(&mut self, position: Position) {
        self.position = position;
        self.turned = true;
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// About how much memory this takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        let nothing = self.entries.is_empty() && self.bodies.is_empty();
        nothing && self.overhead.is_empty() && !self.turned
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.entries
            .iter()
            .map(|(key, value)| (key, value.as_ref()))
    }

    pub(super) fn bodies(&self) -> impl Iterator<Item = (BlobId, Option<&Place>)> {
        self.bodies
            .iter()
            .map(|(id, place)| (*id, place.as_deref()))
    }

    pub(super) fn overhead(&self) -> impl Iterator<Item = (u32, u64)> {
        self.overhead
            .iter()
            .map(|(segment, bytes)| (*segment, *bytes))
    }

    /// Whether any body here has bytes in `segment`.
    pub(super) fn has_extent_in(&self, segment: u32) -> bool {
        let inside = |extent: &Extent| extent.file.segment == segment;
        self.bodies
            .values()
            .flatten()
            .any(|place| place.extents.iter().any(inside))
    }

    fn range(
        &self,
        range: &KeyRange,
        order: Order,
    ) -> Box<dyn Iterator<Item = (&Bytes, &Option<Bytes>)> + '_> {
        let from = Bound::Included(range.from.as_bytes());
        let found = self
            .entries
            .range::<[u8], _>((from, Bound::Excluded(range.to.as_bytes())));
        match order {
            Order::Ascending => Box::new(found),
            Order::Descending => Box::new(found.rev()),
        }
    }

    /// Entries of `range` as far as a page can need them: a page that has filled its limits from
    /// these alone goes no further.
    fn enough_for(&self, range: &KeyRange, limit: PageLimit, order: Order) -> Vec<Layered> {
        let (mut entries, mut bytes) = (0, 0);
        let mut out = Vec::new();
        for (key, value) in self.range(range, order) {
            out.push((key.clone(), value.clone()));
            if let Some(value) = value {
                entries += 1;
                bytes += key.len() + value.len();
            }
            // One more than the limit, so that `more` is known.
            if entries > limit.entries.max(1) || (bytes > limit.bytes && entries > 1) {
                break;
            }
        }
        out
    }
}

type Layered = (Bytes, Option<Bytes>);

/// The three layers.
#[derive(Debug)]
pub(super) struct View {
    layers: RwLock<Layers>,
}

/// See [`View`].
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) active: Overlay,
    pub(super) frozen: Option<Arc<Overlay>>,
    /// `None` once the engine is closed.
    pub(super) index: Option<Arc<Snapshot>>,
}

impl View {
    pub(super) fn new(active: Overlay, index: Arc<Snapshot>) -> Self {
        Self {
            layers: RwLock::new(Layers {
                active,
                frozen: None,
                index: Some(index),
            }),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let index = {
            let layers = self.read();
            let index = layers.index.as_ref().ok_or(ReadError::Closed)?;
            if let Some(value) = layers.active.entries.get(key) {
                return Ok(value.clone());
            }
            if let Some(value) = layers
                .frozen
                .as_ref()
                .and_then(|frozen| frozen.entries.get(key))
            {
                return Ok(value.clone());
            }
            Arc::clone(index)
        };
        guarded(|| index.get(key))
    }

    /// Where the body `id` is.
    pub(super) fn place(&self, id: BlobId) -> Result<Option<Arc<Place>>, ReadError> {
        let index = {
            let layers = self.read();
            let index = layers.index.as_ref().ok_or(ReadError::Closed)?;
            if let Some(place) = layers.active.bodies.get(&id) {
                return Ok(place.clone());
            }
            if let Some(place) = layers
                .frozen
                .as_ref()
                .and_then(|frozen| frozen.bodies.get(&id))
            {
                return Ok(place.clone());
            }
            Arc::clone(index)
        };
        Ok(guarded(|| index.place(id))?.map(Arc::new))
    }

    /// A page of one moment.
    pub(super) fn page(
        &self,
        range: &KeyRange,
        limit: PageLimit,
        order: Order,
    ) -> Result<Page, ReadError> {
        if range.from >= range.to {
            return Ok(Page::default());
        }
        let (active, frozen, index) = {
            let layers = self.read();
            let index = layers.index.as_ref().ok_or(ReadError::Closed)?;
            let active = layers.active.enough_for(range, limit, order);
            (active, layers.frozen.clone(), Arc::clone(index))
        };
        guarded(|| merged(active, frozen.as_deref(), &index, (range, order), limit))
    }
}

/// The page that the layers come to.
fn merged(
    active: Vec<Layered>,
    frozen: Option<&Overlay>,
    index: &Snapshot,
    (range, order): (&KeyRange, Order),
    limit: PageLimit,
) -> Result<Page, ReadError> {
    let frozen = frozen.map(|frozen| frozen.range(range, order));
    let frozen = frozen
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), value.clone()));
    let mut merge = Merge {
        order,
        layers: [
            Layer::new(Box::new(active.into_iter().map(Ok))),
            Layer::new(Box::new(frozen.map(Ok))),
            Layer::new(index.range(range, order)?),
        ],
    };
    let mut page = Page::default();
    let mut bytes = 0;
    while let Some((key, value)) = merge.next()? {
        let size = key.len() + value.len();
        let full = page.entries.len() >= limit.entries || bytes + size > limit.bytes;
        if full && !page.entries.is_empty() {
            page.more = true;
            break;
        }
        bytes += size;
        page.entries.push((Key::from_bytes(key), value));
    }
    Ok(page)
}

/// Merges layers, newest first, into live entries in order.
struct Merge<'a> {
    order: Order,
    layers: [Layer<'a>; 3],
}

/// One sorted source and its next entry.
struct Layer<'a> {
    next: Option<Layered>,
    started: bool,
    rest: Box<dyn Iterator<Item = Result<Layered, ReadError>> + 'a>,
}

impl<'a> Layer<'a> {
    fn new(rest: Box<dyn Iterator<Item = Result<Layered, ReadError>> + 'a>) -> Self {
        Self {
            next: None,
            started: false,
            rest,
        }
    }

    /// Looks up the first entry, if that was not done yet.
    fn start(&mut self) -> Result<(), ReadError> {
        if !self.started {
            self.advance()?;
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<Option<Layered>, ReadError> {
        self.started = true;
        let next = self.rest.next().transpose()?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

impl Merge<'_> {
    fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, ReadError> {
        for layer in &mut self.layers {
            layer.start()?;
        }
        while let Some(first) = self.first() {
            let Some((key, value)) = self.layers[first].advance()? else {
                return Ok(None);
            };
            // The newest layer that has the key decides; older ones step over it.
            for layer in &mut self.layers[first + 1..] {
                if layer.next.as_ref().is_some_and(|(next, _)| *next == key) {
                    layer.advance()?;
                }
            }
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    /// The newest of the layers whose next entry comes first.
    fn first(&self) -> Option<usize> {
        let mut first: Option<(usize, &Bytes)> = None;
        for (n, layer) in self.layers.iter().enumerate() {
            let Some((key, _)) = &layer.next else {
                continue;
            };
            let earlier = first.is_none_or(|(_, first)| match self.order {
                Order::Ascending => key < first,
                Order::Descending => key > first,
            });
            if earlier {
                first = Some((n, key));
            }
        }
        first.map(|(n, _)| n)
    }
}

/// Rough memory of a map entry beside its bytes.
const ENTRY_OVERHEAD: usize = 150;
/// Rough memory of a body's place.
const BODY_OVERHEAD: usize = 150;
