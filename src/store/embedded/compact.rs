//! Compaction: a segment with too many dead bodies is written again without them.
//!
//! The new file has the same records in the same order, numbers unchanged, so that the index can
//! still be made from the journal: dead bodies are elided, dead pieces left out, everything else
//! kept. It is complete before it gets its name, named before the index points to it, and the old
//! file goes last; docs/STORE.md has the crash argument for each step. Only segments behind the
//! last checkpoint, without pieces of bodies that still wait for their batch or their checkpoint,
//! and without damage, are touched.

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use super::{
    Shared,
    disk::{File, OpenMode, read_exact_at, write_all_at},
    index::{Move, Snapshot},
    record::{BatchMeta, FileId, Header, Held, Kind, Place, padded},
    scan::{Found, Record, Scanner},
    segment::{HEADER_BYTES, encode_header, unfinished_name},
};
use crate::{base::ids::BlobId, store::engine::ReadError};

/// Why a segment was left as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Abandoned {
    /// There is more urgent work; try again later.
    #[error("there is more urgent work")]
    Interrupted,
    /// Something in it cannot be read: it is kept for whoever can.
    #[error("the segment is damaged")]
    Damaged,
    #[error("a journal file could not be read or written")]
    Io(#[from] io::Error),
    #[error("the index could not be read")]
    Index(#[from] ReadError),
}

/// A finished new file, ready for the index to point to it.
pub(super) struct Compacted {
    pub(super) old: FileId,
    pub(super) moves: Vec<Move>,
    /// Bytes of the new file that are not bodies; they never die.
    pub(super) overhead: u64,
}

/// A segment worth compacting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) file: FileId,
    pub(super) length: u64,
    /// About how many bytes its next generation will have.
    pub(super) live: u64,
}

/// What is asked of a candidate.
pub(super) struct Wanted<'a> {
    /// At most so much of it lives.
    pub(super) below_percent: u64,
    /// Segments that were tried in vain.
    pub(super) skip: &'a BTreeSet<u32>,
}

/// What there is to compact.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// The segment most worth it, if any is.
    pub(super) best: Option<Candidate>,
    /// Whether others will be worth it when the bodies that are being staged there have ended.
    pub(super) waits: bool,
}

/// Chooses a segment. `lengths` remembers what was looked up.
pub(super) fn candidate(
    shared: &Shared,
    snapshot: &Snapshot,
    wanted: &Wanted<'_>,
    lengths: &mut HashMap<FileId, u64>,
) -> Result<Choice, ReadError> {
    let mut choice = Choice::default();
    let Some(position) = snapshot.position()? else {
        return Ok(choice);
    };
    let (percent, skip) = (wanted.below_percent, wanted.skip);
    let mut best_ratio = percent;
    let known = snapshot.segments()?;
    for file in shared.segments.list().map_err(ReadError::Io)? {
        // The index has no row for a segment of which nothing ever lived: abandoned pieces alone.
        let usage = known.get(&file.segment).copied().unwrap_or_default();
        let settled = file.segment < position.segment && !skip.contains(&file.segment);
        if !settled || file.generation != usage.generation {
            continue;
        }
        let length = match lengths.get(&file) {
            Some(length) => *length,
            None => {
                let length = shared.segments.file(file).and_then(|file| file.len());
                // A missing file is for the scrub to report.
                let Ok(length) = length else { continue };
                lengths.insert(file, length);
                length
            }
        };
        let ratio = (usage.live * 100).checked_div(length).unwrap_or(100);
        if ratio >= best_ratio {
            continue;
        }
        if is_held(shared, file.segment) {
            choice.waits = true;
            continue;
        }
        best_ratio = ratio;
        let live = usage.live;
        choice.best = Some(Candidate { file, length, live });
    }
    Ok(choice)
}

/// Whether the newest segment would be worth compacting if it were not the newest. A little that is
/// dead is not worth a segment of its own.
pub(super) fn newest_is_worth_it(
    shared: &Shared,
    snapshot: &Snapshot,
    below_percent: u64,
) -> Result<bool, ReadError> {
    let Some(newest) = shared.segments.list().map_err(ReadError::Io)?.pop() else {
        return Ok(false);
    };
    // Not the index's position: pieces do not move it.
    let length = shared.segments.file(newest).and_then(|file| file.len());
    let length = length.map_err(ReadError::Io)?;
    let usage = snapshot.segments()?.remove(&newest.segment);
    let live = usage.unwrap_or_default().live;
    let dead = length.saturating_sub(live);
    let least = TURN_BYTES_MIN.min(shared.options.segment_bytes / 8);
    let is_worth_it = dead >= least && live * 100 < length * below_percent;
    Ok(is_worth_it && !is_held(shared, newest.segment))
}

/// Whether bodies have bytes in `segment` that the index does not know yet.
fn is_held(shared: &Shared, segment: u32) -> bool {
    // The pins first: what is unpinned by a commit is in an overlay by then.
    shared.pins.holds(segment) || is_in_overlay(shared, segment)
}

fn is_in_overlay(shared: &Shared, segment: u32) -> bool {
    let layers = shared.view.read();
    let frozen = layers
        .frozen
        .as_ref()
        .is_some_and(|frozen| frozen.has_extent_in(segment));
    frozen || layers.active.has_extent_in(segment)
}

/// Writes the next generation of `old`. `pause` is called now and then; it may say to stop.
pub(super) fn rewrite(
    shared: &Shared,
    snapshot: &Snapshot,
    old: FileId,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Compacted, Abandoned> {
    let new = FileId {
        generation: old.generation + 1,
        ..old
    };
    let unfinished = shared.segments.dir().join(unfinished_name(new));
    let written = Rewrite::begin(shared, snapshot, old, new)
        .and_then(|rewrite| rewrite.run(pause))
        .and_then(|done| {
            shared
                .disk
                .rename(&unfinished, &shared.segments.path(new))?;
            shared.disk.sync_dir(shared.segments.dir())?;
            Ok(done)
        });
    if written.is_err() {
        // What cannot be removed now is removed at the next start.
        let _ = shared.disk.remove(&unfinished);
    }
    written
}

/// A new file being written.
struct Rewrite<'a> {
    snapshot: &'a Snapshot,
    salt: u32,
    old: FileId,
    source: Arc<dyn File>,
    target: Box<dyn File>,
    /// Bytes not written yet; they begin at `written`.
    buffer: Vec<u8>,
    written: u64,
    moves: Vec<Move>,
    /// Bytes of all moved bodies.
    moved: u64,
}

impl<'a> Rewrite<'a> {
    fn begin(
        shared: &Shared,
        snapshot: &'a Snapshot,
        old: FileId,
        new: FileId,
    ) -> Result<Self, Abandoned> {
        let source = shared.segments.file(old)?;
        let path = shared.segments.dir().join(unfinished_name(new));
        match shared.disk.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let target = shared.disk.open(&path, OpenMode::New)?;
        Ok(Self {
            snapshot,
            salt: shared.store.salt(),
            old,
            source,
            target,
            buffer: encode_header(shared.store, new).to_vec(),
            written: 0,
            moves: Vec::new(),
            moved: 0,
        })
    }

    fn run(mut self, pause: &mut dyn FnMut() -> bool) -> Result<Compacted, Abandoned> {
        let start = HEADER_BYTES as u64;
        let mut scanner = Scanner::new(Arc::clone(&self.source), self.salt, start, 0)?;
        while let Some(found) = scanner.next()? {
            let Found::Record(record) = found else {
                return Err(Abandoned::Damaged);
            };
            match record.header.kind {
                Kind::Batch => self.batch(&record)?,
                Kind::Piece => self.piece(&record)?,
            }
            if self.buffer.len() >= SLICE_BYTES {
                self.flush()?;
                if !pause() {
                    return Err(Abandoned::Interrupted);
                }
            }
        }
        self.flush()?;
        self.target.sync()?;
        let overhead = self.written - self.moved;
        Ok(Compacted {
            old: self.old,
            moves: self.moves,
            overhead,
        })
    }

    fn batch(&mut self, record: &Record) -> Result<(), Abandoned> {
        let mut meta = BatchMeta::decode(&record.meta).ok_or(Abandoned::Damaged)?;
        let mut from = record.body_offset();
        let mut kept = Vec::new();
        for body in &mut meta.bodies {
            if body.held != Held::Inline {
                continue;
            }
            if body.length > 0 && self.lives(body.id, from)? {
                kept.push((body.id, from, body.length));
            } else if body.length > 0 {
                body.held = Held::Gone;
            }
            from += body.length;
        }
        let body_length = kept.iter().map(|(_, _, length)| length).sum();
        let mut bytes = Vec::with_capacity(record.meta.len());
        meta.encode(&mut bytes);
        let header = Header {
            meta_length: record.header.meta_length,
            meta_crc: crc32fast::hash(&bytes),
            body_length,
            ..record.header
        };
        debug_assert_eq!(
            bytes.len(),
            record.meta.len(),
            "eliding a body changes no length"
        );
        self.head(&header, &bytes.into());
        for (id, from, length) in kept {
            self.body(id, from, length)?;
        }
        self.pad();
        Ok(())
    }

    fn piece(&mut self, record: &Record) -> Result<(), Abandoned> {
        let from = record.body_offset();
        let Some(id) = self.snapshot.piece_owner(self.old.segment, from)? else {
            return Ok(());
        };
        if self.lives(id, from)? {
            self.head(&record.header, &record.meta);
            self.body(id, from, record.header.body_length)?;
            self.pad();
        }
        Ok(())
    }

    /// Whether the bytes at `from` belong to the body `id` as the index knows it.
    fn lives(&self, id: BlobId, from: u64) -> Result<bool, ReadError> {
        let place = self.snapshot.place(id)?;
        let here = |place: Place| {
            place
                .extents
                .iter()
                .any(|extent| extent.file == self.old && extent.offset == from)
        };
        Ok(place.is_some_and(here))
    }

    fn head(&mut self, header: &Header, meta: &Bytes) {
        self.buffer.extend_from_slice(&header.encode(self.salt));
        self.buffer.extend_from_slice(meta);
    }

    fn body(&mut self, id: BlobId, mut from: u64, mut length: u64) -> Result<(), Abandoned> {
        self.moves.push(Move {
            id,
            from,
            to: self.end(),
        });
        self.moved += length;
        while length > 0 {
            let part = usize::try_from(length)
                .unwrap_or(SLICE_BYTES)
                .min(SLICE_BYTES);
            let start = self.buffer.len();
            self.buffer.resize(start + part, 0);
            read_exact_at(&*self.source, &mut self.buffer[start..], from)?;
            from += part as u64;
            length -= part as u64;
            if self.buffer.len() >= 2 * SLICE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn pad(&mut self) {
        let padding = usize::try_from(padded(self.end()) - self.end()).unwrap_or(0);
        self.buffer.resize(self.buffer.len() + padding, 0);
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(&*self.target, &self.buffer, self.written)?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }
}

/// Dead bytes for which a newest segment is ended before it is long enough.
const TURN_BYTES_MIN: u64 = 1024 * 1024;
/// Bytes copied between two pauses.
const SLICE_BYTES: usize = 1024 * 1024;
/// Pause after each slice: compaction takes at most about 50 MB/s of the disk.
pub(super) const PAUSE: Duration = Duration::from_millis(20);
