//! From a directory to a running engine's parts: lock, format, index, journal, in this order.
//!
//! Also what works on a store that is not running: making the index again, and reading everything
//! to verify it.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Options,
    directory::{Directory, index_path, suspect_path},
    disk::{Disk, Lock},
    index::{Index, IndexError, Snapshot},
    journal::create,
    overlay::{Overlay, Position},
    record::FileId,
    replay::{Replay, ReplayError, Replayed, Report},
    room::Space,
    scan::{Found, Scanner},
    segment::{HEADER_BYTES, Segments, StoreId, header_is_intact, is_unfinished, read_header},
};
use crate::store::engine::ReadError;

/// Why a store could not be opened. For the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// Written by another version of this program.
    #[error(
        "the data in {} is of version {found}, this program reads version {expected} and cannot \
         read it: use the program's version that wrote it, or one that says it upgrades from it",
        path.display()
    )]
    Format {
        /// The data directory.
        path: PathBuf,
        /// What its format file says.
        found: String,
        /// What this program writes.
        expected: u32,
    },
    /// There are journal files but nothing says what they are.
    #[error("{} has a journal but no readable format file: restore that file", .0.display())]
    NoFormat(PathBuf),
    /// There is no store, and none was asked for.
    #[error("no data in {} yet", .0.display())]
    NoStore(PathBuf),
    /// The directory is somebody else's.
    #[error(
        "{} is no data directory: it has other files ({found}); a new store begins in a directory \
         that is empty or not there yet: is this the right path?",
        path.display()
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the files.
        found: String,
    },
    /// The directory or a file cannot be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The index cannot be read, written or made again.
    #[error("cannot use the index {}: {what}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// A store found and recovered, before its threads run.
pub(super) struct Opened {
    pub(super) lock: Box<dyn Lock>,
    pub(super) store: StoreId,
    pub(super) segments: Arc<Segments>,
    pub(super) space: Space,
    pub(super) index: Index,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) overlay: Overlay,
    /// Where the journal goes on.
    pub(super) end: Position,
    pub(super) report: Report,
}

/// Opens the store in `dir`, making it when there is none.
pub(super) fn open(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
) -> Result<Opened, OpenError> {
    let directory = Directory { disk, dir };
    directory.has_store()?;
    let lock = directory.lock()?;
    let (low, reserve) = (options.low_water_bytes, options.ballast_bytes);
    let space = Space::new(Arc::clone(disk), dir.to_owned(), low, reserve);
    space
        .find_reserve()
        .map_err(directory.failed("read", dir))?;
    let store = directory.format()?;
    let segments = directory.segments()?;
    directory.finish_creation(&segments, store)?;
    let (index, mut report) = directory.index(&segments, store, options)?;
    let snapshot = index
        .snapshot()
        .map_err(|error| directory.index_failed(&error))?;
    let position = snapshot
        .position()
        .map_err(|error| directory.index_unreadable(&error))?;
    let position = position.unwrap_or_default();
    directory.remove_stale_generations(&segments, &snapshot)?;
    let found = directory.replay_tail(&segments, store, position)?;
    report.records += found.report.records;
    report.cut_bytes += found.report.cut_bytes;
    report.damaged.extend(found.report.damaged);
    let end = directory.settle(&segments, store, found.end)?;
    let mut overlay = found.overlay;
    overlay.set_position(end);
    space.restore_reserve();
    let (records, cut_bytes, damaged) = (report.records, report.cut_bytes, report.damaged.len());
    tracing::info!(
        records,
        cut_bytes,
        damaged,
        rebuilt = report.rebuilt,
        "the store is open"
    );
    Ok(Opened {
        lock,
        store,
        segments,
        space,
        index,
        snapshot,
        overlay,
        end,
        report,
    })
}

/// Makes the index of the store in `dir` again from its journal.
pub(super) fn rebuild(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: &Options,
) -> Result<Report, OpenError> {
    let directory = Directory { disk, dir };
    let store = directory.existing_format()?;
    let _lock = directory.lock()?;
    let segments = directory.segments()?;
    directory.finish_creation(&segments, store)?;
    let (_, report) = directory.rebuilt(&segments, store, options)?;
    Ok(report)
}

impl Directory<'_> {
    /// Removes what a crash left half made: compacted files without their final name, and a newest
    /// segment that never got a record.
    fn finish_creation(&self, segments: &Segments, store: StoreId) -> Result<(), OpenError> {
        let failed = || self.failed("clean up", segments.dir());
        for name in self.disk.list(segments.dir()).map_err(failed())? {
            if is_unfinished(&name) {
                self.disk
                    .remove(&segments.dir().join(name))
                    .map_err(failed())?;
            }
        }
        let Some(newest) = segments.list().map_err(failed())?.pop() else {
            return Ok(());
        };
        let is_empty = || -> io::Result<bool> {
            let file = segments.file(newest)?;
            if header_is_intact(&read_header(&*file)?, store, newest) {
                return Ok(false);
            }
            let mut scanner = Scanner::new(file, store.salt(), HEADER_BYTES as u64, 0)?;
            while let Some(found) = scanner.next()? {
                if matches!(found, Found::Record(_)) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if is_empty().map_err(failed())? {
            segments.remove(newest).map_err(failed())?;
            self.disk.sync_dir(segments.dir()).map_err(failed())?;
        }
        Ok(())
    }

    /// The index, made again when it is not there or no good.
    fn index(
        &self,
        segments: &Segments,
        store: StoreId,
        options: &Options,
    ) -> Result<(Index, Report), OpenError> {
        let path = index_path(self.dir);
        let names = self
            .disk
            .list(self.dir)
            .map_err(self.failed("read", self.dir))?;
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        if has("index.redb") && !has("index.suspect") {
            // The library may panic over damaged pages.
            let usable = catch_unwind(AssertUnwindSafe(|| self.usable_index(segments)));
            let panicked = |_| Err(IndexError::Damaged("reading it failed".to_owned()));
            match usable.unwrap_or_else(panicked) {
                Ok(Some(index)) => return Ok((index, Report::default())),
                Ok(None) => {}
                Err(IndexError::Io(source)) => return Err(self.failed("read", &path)(source)),
                Err(IndexError::Damaged(what)) => {
                    tracing::error!(what, "the index is damaged: it is made again");
                }
            }
            let aside = self.dir.join("index.damaged");
            self.disk
                .rename(&path, &aside)
                .map_err(self.failed("rename", &path))?;
        }
        self.rebuilt(segments, store, options)
    }

    /// The index, if it has a checkpoint and knows the journal's files.
    fn usable_index(&self, segments: &Segments) -> Result<Option<Index>, IndexError> {
        let index = Index::open(&**self.disk, &index_path(self.dir))?;
        let snapshot = index.snapshot()?;
        let unreadable = |error: ReadError| IndexError::Damaged(error.to_string());
        if snapshot.position().map_err(unreadable)?.is_none() {
            return Ok(None);
        }
        let files = segments.list()?;
        for (segment, usage) in snapshot.segments().map_err(unreadable)? {
            let right = FileId {
                segment,
                generation: usage.generation,
            };
            let others = files.iter().any(|file| file.segment == segment);
            if others && !files.contains(&right) {
                let what = format!("segment {segment} is of another generation");
                return Err(IndexError::Damaged(what));
            }
        }
        Ok(Some(index))
    }

    /// Makes the index from the journal, beside the old one, and puts it in its place.
    fn rebuilt(
        &self,
        segments: &Segments,
        store: StoreId,
        options: &Options,
    ) -> Result<(Index, Report), OpenError> {
        let (path, unfinished) = (index_path(self.dir), self.dir.join("index.rebuild"));
        self.remove_if_there(&unfinished)?;
        let files = newest_generations(segments).map_err(self.failed("read", segments.dir()))?;
        if !files.is_empty() {
            let segments = files.len();
            tracing::warn!(
                segments,
                "the index is made from the journal; this may take a while"
            );
        }
        let make = || -> Result<(Index, Report), ReplayError> {
            let index = Index::open(&**self.disk, &unfinished)?;
            index.set_generations(&files)?;
            let replay = Replay::rebuild(segments, store, &index, options.overlay_bytes);
            let replayed = replay.run(&files)?;
            // The cut and the records behind it become durable before the index relies on them.
            if let Some(newest) = files.last() {
                segments.file(*newest)?.sync()?;
            }
            let mut overlay = replayed.overlay;
            overlay.set_position(replayed.end);
            index.checkpoint(&overlay)?;
            let mut report = replayed.report;
            report.rebuilt = !files.is_empty();
            Ok((index, report))
        };
        let (index, report) = make().map_err(|error| self.replay_failed(segments, error))?;
        self.disk
            .rename(&unfinished, &path)
            .map_err(self.failed("rename", &unfinished))?;
        self.disk
            .sync_dir(self.dir)
            .map_err(self.failed("sync the directory", self.dir))?;
        self.remove_if_there(&suspect_path(self.dir))?;
        Ok((index, report))
    }

    /// Removes the files that compaction has replaced or not finished replacing.
    fn remove_stale_generations(
        &self,
        segments: &Segments,
        snapshot: &Snapshot,
    ) -> Result<(), OpenError> {
        let failed = || self.failed("clean up", segments.dir());
        let known = snapshot
            .segments()
            .map_err(|error| self.index_unreadable(&error))?;
        let mut removed = false;
        for file in segments.list().map_err(failed())? {
            let right = known.get(&file.segment).map_or(0, |usage| usage.generation);
            if file.generation != right {
                segments.remove(file).map_err(failed())?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(segments.dir()).map_err(failed())?;
        }
        Ok(())
    }

    fn replay_tail(
        &self,
        segments: &Segments,
        store: StoreId,
        position: Position,
    ) -> Result<Replayed, OpenError> {
        let mut files = segments
            .list()
            .map_err(self.failed("read", segments.dir()))?;
        files.retain(|file| file.segment >= position.segment);
        let mut replay = Replay::from(segments, store, position);
        replay
            .check_start(&files)
            .map_err(self.failed("read", segments.dir()))?;
        replay
            .run(&files)
            .map_err(|error| self.replay_failed(segments, error))
    }

    /// Makes the journal's end durable and able to grow; answers where it goes on.
    fn settle(
        &self,
        segments: &Segments,
        store: StoreId,
        end: Position,
    ) -> Result<Position, OpenError> {
        let settle = || -> io::Result<Position> {
            let newest = segments.list()?.pop();
            let id = FileId {
                segment: end.segment,
                generation: 0,
            };
            if newest == Some(id) {
                let file = segments.file(id)?;
                // Shorter than the index says: something else cut it. Nothing is written into the
                // gap.
                if file.len()? == end.offset {
                    file.sync()?;
                    self.disk.sync_dir(segments.dir())?;
                    return Ok(end);
                }
            }
            let last = newest.map_or(0, |newest| newest.segment).max(end.segment);
            let id = FileId {
                segment: last + 1,
                generation: 0,
            };
            create(segments, store, id)?;
            let offset = HEADER_BYTES as u64;
            Ok(Position {
                segment: id.segment,
                offset,
                sequence: end.sequence,
            })
        };
        settle().map_err(self.failed("prepare", segments.dir()))
    }

    fn index_failed(&self, error: &IndexError) -> OpenError {
        OpenError::Index {
            path: index_path(self.dir),
            what: error.to_string(),
        }
    }

    fn index_unreadable(&self, error: &ReadError) -> OpenError {
        OpenError::Index {
            path: index_path(self.dir),
            what: error.to_string(),
        }
    }

    fn replay_failed(&self, segments: &Segments, error: ReplayError) -> OpenError {
        match error {
            ReplayError::Journal(source) => self.failed("read", segments.dir())(source),
            ReplayError::Index(IndexError::Io(source)) => {
                self.failed("write", &index_path(self.dir))(source)
            }
            ReplayError::Index(error) => self.index_failed(&error),
        }
    }
}

/// The newest complete generation of each segment.
pub(super) fn newest_generations(segments: &Segments) -> io::Result<Vec<FileId>> {
    let mut files: Vec<FileId> = Vec::new();
    for file in segments.list()? {
        match files.last_mut() {
            Some(last) if last.segment == file.segment => *last = file,
            _ => files.push(file),
        }
    }
    Ok(files)
}
