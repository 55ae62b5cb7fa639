//! The index: a cache of the journal in a redb file, behind an interface narrow enough to swap it.
//!
//! It is written by checkpoints only, each one durable transaction that also names the journal
//! position up to which it is right. Reads go through a [`Snapshot`] of the last checkpoint.
//! Nothing here is the truth: a missing or broken index is made again from the journal.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, ErrorKind},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use bytes::{Buf, Bytes};
use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageBackend, Table,
    TableDefinition, WriteTransaction,
};

use super::{
    disk::{Disk, File, OpenMode, read_exact_at, write_all_at},
    overlay::{Overlay, Position},
    record::{FileId, Place},
};
use crate::{
    base::ids::{BlobId, SortedId},
    store::engine::{KeyRange, Order, ReadError},
};

/// The open index; one thread writes it.
pub(super) struct Index {
    database: Database,
}

/// Why the index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    /// The disk failed or is full.
    #[error("the index could not be read or written")]
    Io(#[source] io::Error),
    /// The content makes no sense; it must be made again.
    #[error("the index is damaged: {0}")]
    Damaged(String),
}

/// How much of a segment is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SegmentUse {
    /// Which generation of the file is right.
    pub(super) generation: u32,
    /// Bytes that records and living bodies need.
    pub(super) live: u64,
}

/// A body's extent that compaction has copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) id: BlobId,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Index {
    /// Opens the index at `path`, or makes an empty one there.
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, IndexError> {
        let file = match disk.open(path, OpenMode::Existing) {
            Err(error) if error.kind() == ErrorKind::NotFound => disk.open(path, OpenMode::New)?,
            opened => opened?,
        };
        let mut builder = Builder::new();
        let database = builder
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(Backend(file));
        let database = database.map_err(redb::Error::from)?;
        let index = Self { database };
        if index.is_new()? {
            index.write(|transaction| {
                transaction.open_table(ENTRIES)?;
                transaction.open_table(BODIES)?;
                transaction.open_table(PIECES)?;
                transaction.open_table(SEGMENTS)?;
                transaction.open_table(META)?.insert(VERSION_KEY, VERSION)?;
                Ok(())
            })?;
        }
        Ok(index)
    }

    /// What the last checkpoint left.
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>, IndexError> {
        let read = || -> Result<Snapshot, redb::Error> {
            let transaction = self.database.begin_read()?;
            Ok(Snapshot {
                entries: transaction.open_table(ENTRIES)?,
                bodies: transaction.open_table(BODIES)?,
                pieces: transaction.open_table(PIECES)?,
                segments: transaction.open_table(SEGMENTS)?,
                meta: transaction.open_table(META)?,
            })
        };
        let snapshot = read()?;
        let version = snapshot.meta.get(VERSION_KEY).map_err(redb::Error::from)?;
        if version.is_none_or(|version| version.value() != VERSION) {
            return Err(IndexError::Damaged("it has another version".to_owned()));
        }
        Ok(Arc::new(snapshot))
    }

    /// Brings in all of `overlay` in one durable transaction.
    pub(super) fn checkpoint(&self, overlay: &Overlay) -> Result<(), IndexError> {
        self.write(|transaction| {
            let mut entries = transaction.open_table(ENTRIES)?;
            for (key, value) in overlay.entries() {
                match value {
                    Some(value) => _ = entries.insert(key.as_ref(), value.as_ref())?,
                    None => _ = entries.remove(key.as_ref())?,
                }
            }
            let mut places = Places::open(transaction)?;
            for (segment, bytes) in overlay.overhead() {
                places.live.entry(segment).or_default().0 += bytes;
            }
            for (id, place) in overlay.bodies() {
                places.set(id, place)?;
            }
            places.finish()?;
            let position = encode_position(overlay.position());
            transaction
                .open_table(META)?
                .insert(POSITION_KEY, position.as_slice())?;
            Ok(())
        })
    }

    /// Points the moved extents of `file` to its next generation. What is not moved and still alive
    /// there (nothing, unless the caller forgot it) becomes unreadable.
    pub(super) fn relocate(
        &self,
        file: FileId,
        moves: &[Move],
        overhead: u64,
    ) -> Result<(), IndexError> {
        let next = FileId {
            generation: file.generation + 1,
            ..file
        };
        self.write(|transaction| {
            let mut bodies = transaction.open_table(BODIES)?;
            let mut pieces = transaction.open_table(PIECES)?;
            let mut live = overhead;
            for Move { id, from, to } in moves {
                let place = match bodies.get(id.as_bytes())? {
                    Some(place) => Place::decode(place.value()),
                    None => None,
                };
                // Dropped since it was copied: the copy is dead.
                let Some(mut place) = place else { continue };
                for extent in &mut place.extents {
                    if extent.file == file && extent.offset == *from {
                        extent.file = next;
                        extent.offset = *to;
                        live += extent.length;
                    }
                }
                bodies.insert(id.as_bytes(), place.encode().as_slice())?;
                if place.staged {
                    pieces.remove((file.segment, *from))?;
                    pieces.insert((file.segment, *to), id.as_bytes())?;
                }
            }
            let mut segments = transaction.open_table(SEGMENTS)?;
            segments.insert(file.segment, (next.generation, live))?;
            Ok(())
        })
    }

    /// Names the files that the bodies' places will speak of.
    pub(super) fn set_generations(&self, files: &[FileId]) -> Result<(), IndexError> {
        self.write(|transaction| {
            let mut segments = transaction.open_table(SEGMENTS)?;
            for file in files {
                segments.insert(file.segment, (file.generation, 0))?;
            }
            Ok(())
        })
    }

    /// Reads everything; `false` when something is wrong.
    pub(super) fn is_intact(&mut self) -> Result<bool, IndexError> {
        Ok(self.database.check_integrity().map_err(redb::Error::from)?)
    }

    /// Whether it can be written; the library refuses everything after one failed read.
    pub(super) fn probe(&self) -> Result<(), IndexError> {
        let begin = || -> Result<(), redb::Error> {
            self.database.begin_write()?.abort()?;
            Ok(())
        };
        let begun = catch_unwind(AssertUnwindSafe(begin));
        Ok(begun.map_err(|_| IndexError::Damaged("writing it failed".to_owned()))??)
    }

    fn is_new(&self) -> Result<bool, IndexError> {
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let tables = transaction.list_tables().map_err(redb::Error::from)?;
        Ok(tables.count() == 0)
    }

    fn write(
        &self,
        changes: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), IndexError> {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            // Saves the allocator's state: opening after a crash does not walk the whole file.
            transaction.set_quick_repair(true);
            changes(&transaction)?;
            transaction.commit()?;
            Ok(())
        };
        let written = catch_unwind(AssertUnwindSafe(write));
        Ok(written.map_err(|_| IndexError::Damaged("writing it failed".to_owned()))??)
    }
}

/// Runs a read of the index; a library that panics over damaged pages has found damage.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
    let read = catch_unwind(AssertUnwindSafe(read));
    read.unwrap_or_else(|_| Err(ReadError::Damaged("the index".to_owned())))
}

/// The tables of bodies and the sums that follow from them.
struct Places<'a> {
    bodies: Table<'a, &'static [u8; 16], &'static [u8]>,
    pieces: Table<'a, (u32, u64), &'static [u8; 16]>,
    segments: Table<'a, u32, (u32, u64)>,
    /// Bytes that came to life and that died, by segment.
    live: BTreeMap<u32, (u64, u64)>,
}

impl<'a> Places<'a> {
    fn open(transaction: &'a WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            bodies: transaction.open_table(BODIES)?,
            pieces: transaction.open_table(PIECES)?,
            segments: transaction.open_table(SEGMENTS)?,
            live: BTreeMap::new(),
        })
    }

    fn set(&mut self, id: BlobId, place: Option<&Place>) -> Result<(), redb::Error> {
        let old = match place {
            Some(place) => self
                .bodies
                .insert(id.as_bytes(), place.encode().as_slice())?,
            None => self.bodies.remove(id.as_bytes())?,
        };
        let old = old.and_then(|old| Place::decode(old.value()));
        for extent in old.iter().flat_map(|old| &old.extents) {
            self.live.entry(extent.file.segment).or_default().1 += extent.length;
            self.pieces.remove((extent.file.segment, extent.offset))?;
        }
        for extent in place.iter().flat_map(|place| &place.extents) {
            self.live.entry(extent.file.segment).or_default().0 += extent.length;
        }
        for extent in place
            .iter()
            .filter(|place| place.staged)
            .flat_map(|place| &place.extents)
        {
            self.pieces
                .insert((extent.file.segment, extent.offset), id.as_bytes())?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), redb::Error> {
        for (segment, (born, died)) in self.live {
            let old = self.segments.get(segment)?.map(|old| old.value());
            let (generation, live) = old.unwrap_or_default();
            let live = (live + born).saturating_sub(died);
            self.segments.insert(segment, (generation, live))?;
        }
        Ok(())
    }
}

/// The index as one checkpoint left it. It keeps that checkpoint's pages from being reused.
pub(super) struct Snapshot {
    entries: ReadOnlyTable<&'static [u8], &'static [u8]>,
    bodies: ReadOnlyTable<&'static [u8; 16], &'static [u8]>,
    pieces: ReadOnlyTable<(u32, u64), &'static [u8; 16]>,
    segments: ReadOnlyTable<u32, (u32, u64)>,
    meta: ReadOnlyTable<&'static str, &'static [u8]>,
}

type EntryIterator = Box<dyn Iterator<Item = Result<(Bytes, Option<Bytes>), ReadError>>>;

impl Snapshot {
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ReadError> {
        let value = self.entries.get(key).map_err(read_error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    pub(super) fn range(&self, range: &KeyRange, order: Order) -> Result<EntryIterator, ReadError> {
        let keys = range.from.as_bytes()..range.to.as_bytes();
        let found = self.entries.range(keys).map_err(read_error)?.map(|entry| {
            let (key, value) = entry.map_err(read_error)?;
            let value = Bytes::copy_from_slice(value.value());
            Ok((Bytes::copy_from_slice(key.value()), Some(value)))
        });
        Ok(match order {
            Order::Ascending => Box::new(found),
            Order::Descending => Box::new(found.rev()),
        })
    }

    pub(super) fn place(&self, id: BlobId) -> Result<Option<Place>, ReadError> {
        let Some(place) = self.bodies.get(id.as_bytes()).map_err(read_error)? else {
            return Ok(None);
        };
        let place = Place::decode(place.value());
        place
            .map(Some)
            .ok_or_else(|| ReadError::Damaged(format!("the place of body {id}")))
    }

    /// Every body and its place.
    pub(super) fn places(
        &self,
    ) -> Result<impl Iterator<Item = Result<(BlobId, Place), ReadError>>, ReadError> {
        let all = self.bodies.iter().map_err(read_error)?;
        Ok(all.map(|entry| {
            let (id, place) = entry.map_err(read_error)?;
            let id = SortedId::from_bytes(*id.value());
            let place = Place::decode(place.value());
            let place = place.ok_or_else(|| ReadError::Damaged(format!("the place of body {id}")));
            Ok((id, place?))
        }))
    }

    /// Which body has the piece whose bytes begin at `offset` of `segment`.
    pub(super) fn piece_owner(
        &self,
        segment: u32,
        offset: u64,
    ) -> Result<Option<BlobId>, ReadError> {
        let owner = self.pieces.get((segment, offset)).map_err(read_error)?;
        Ok(owner.map(|owner| SortedId::from_bytes(*owner.value())))
    }

    pub(super) fn segments(&self) -> Result<BTreeMap<u32, SegmentUse>, ReadError> {
        let mut out = BTreeMap::new();
        for entry in self.segments.iter().map_err(read_error)? {
            let (segment, entry) = entry.map_err(read_error)?;
            let (generation, live) = entry.value();
            out.insert(segment.value(), SegmentUse { generation, live });
        }
        Ok(out)
    }

    /// Up to where the journal is in this index; `None` before the first checkpoint.
    pub(super) fn position(&self) -> Result<Option<Position>, ReadError> {
        let position = self.meta.get(POSITION_KEY).map_err(read_error)?;
        Ok(position.and_then(|position| decode_position(position.value())))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

/// A file as redb wants it.
#[derive(Debug)]
struct Backend(Box<dyn File>);

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        read_exact_at(&*self.0, out, offset)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        write_all_at(&*self.0, data, offset)
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<redb::Error> for IndexError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error)
                if !matches!(
                    error.kind(),
                    ErrorKind::InvalidData | ErrorKind::UnexpectedEof
                ) =>
            {
                Self::Io(error)
            }
            redb::Error::PreviousIo => Self::Io(io::Error::other("an earlier operation failed")),
            // By a reader that held an old snapshot while the index was opened anew, or closed.
            redb::Error::DatabaseClosed => Self::Io(io::Error::other("it was closed meanwhile")),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<IndexError> for ReadError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Io(error) => Self::Io(error),
            damaged @ IndexError::Damaged(_) => Self::Damaged(damaged.to_string()),
        }
    }
}

fn read_error(error: redb::StorageError) -> ReadError {
    IndexError::from(redb::Error::from(error)).into()
}

fn encode_position(position: Position) -> Vec<u8> {
    let mut out = Vec::with_capacity(20);
    out.extend_from_slice(&position.segment.to_le_bytes());
    out.extend_from_slice(&position.offset.to_le_bytes());
    out.extend_from_slice(&position.sequence.to_le_bytes());
    out
}

fn decode_position(mut bytes: &[u8]) -> Option<Position> {
    let segment = bytes.try_get_u32_le().ok()?;
    let offset = bytes.try_get_u64_le().ok()?;
    let sequence = bytes.try_get_u64_le().ok()?;
    Some(Position {
        segment,
        offset,
        sequence,
    })
}

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
const BODIES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("bodies");
const PIECES: TableDefinition<'_, (u32, u64), &[u8; 16]> = TableDefinition::new("pieces");
const SEGMENTS: TableDefinition<'_, u32, (u32, u64)> = TableDefinition::new("segments");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const VERSION_KEY: &str = "version";
const POSITION_KEY: &str = "position";
/// Version of the tables; an index of another version is made again.
const VERSION: &[u8] = &[1];
/// Memory for pages of the index.
const CACHE_BYTES: usize = 64 * 1024 * 1024;
