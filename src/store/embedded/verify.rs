//! Reads everything a store has and reports what cannot be read (DUR-09). Changes no mail.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use super::{
    directory::{Directory, index_path},
    disk::{Disk, OpenMode, read_exact_at},
    index::{Index, IndexError, Snapshot},
    open::{OpenError, newest_generations},
    record::{FileId, Place},
    replay::{Damage, Report},
    scan::{Found, Scanner},
    segment::{
        FIRST, HEADER_BYTES, MISSING, Segments, StoreId, header_is_intact, missing, read_header,
    },
};
use crate::store::engine::ReadError;

/// Verifies the store in `dir`, which must not be open.
pub(super) fn verify(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Report, OpenError> {
    let directory = Directory { disk, dir };
    let store = directory.existing_format()?;
    let _lock = directory.lock()?;
    let segments = directory.segments()?;
    let failed = || directory.failed("read", segments.dir());
    let mut check = Check {
        segments: &segments,
        store,
        report: Report::default(),
    };
    let index = check.index(&**disk, &index_path(dir));
    let files = match &index {
        Some(snapshot) => check.files_of(snapshot).map_err(failed())?,
        None => {
            let files = newest_generations(&segments).map_err(failed())?;
            for file in missing(&files, FIRST) {
                check.damage(&segments.path(file), 0, MISSING.to_owned());
            }
            files
        }
    };
    for (n, file) in files.iter().enumerate() {
        check.file(*file, n + 1 == files.len()).map_err(failed())?;
    }
    if let Some(snapshot) = index {
        check.places(&snapshot, &index_path(dir));
    }
    Ok(check.report)
}

struct Check<'a> {
    segments: &'a Segments,
    store: StoreId,
    report: Report,
}

impl Check<'_> {
    /// The index, if it can be read.
    fn index(&mut self, disk: &dyn Disk, path: &Path) -> Option<Arc<Snapshot>> {
        // Opening would make a missing one.
        if disk.open(path, OpenMode::Existing).is_err() {
            self.damage(
                path,
                0,
                "there is no index: the next start makes it again".to_owned(),
            );
            return None;
        }
        let read = || -> Result<Arc<Snapshot>, IndexError> {
            let mut index = Index::open(disk, path)?;
            if !index.is_intact()? {
                return Err(IndexError::Damaged(
                    "its own checksums are wrong".to_owned(),
                ));
            }
            index.snapshot()
        };
        let read = catch_unwind(AssertUnwindSafe(read));
        let panicked = |_| Err(IndexError::Damaged("reading it failed".to_owned()));
        match read.unwrap_or_else(panicked) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                self.damage(path, 0, format!("{error}: rebuild it"));
                None
            }
        }
    }

    /// The files that the index points to, and those behind its last checkpoint.
    fn files_of(&mut self, snapshot: &Snapshot) -> io::Result<Vec<FileId>> {
        let known = snapshot.segments().unwrap_or_default();
        let right = |file: &FileId| {
            known.get(&file.segment).map_or(0, |usage| usage.generation) == file.generation
        };
        let files = self.segments.list()?;
        for (segment, usage) in &known {
            let file = FileId {
                segment: *segment,
                generation: usage.generation,
            };
            if !files.contains(&file) {
                self.damage(
                    &self.segments.path(file),
                    0,
                    "the file is missing".to_owned(),
                );
            }
        }
        Ok(files.into_iter().filter(right).collect())
    }

    fn file(&mut self, id: FileId, newest: bool) -> io::Result<()> {
        let file = self.segments.file(id)?;
        let path = self.segments.path(id);
        if !header_is_intact(&read_header(&*file)?, self.store, id) {
            self.damage(&path, 0, "the segment's header".to_owned());
        }
        let (salt, start) = (self.store.salt(), HEADER_BYTES as u64);
        let synced_below = match newest {
            true => Scanner::new(Arc::clone(&file), salt, start, 0)?.synced_below()?,
            false => u64::MAX,
        };
        let mut scanner = Scanner::new(file, salt, start, 0)?;
        loop {
            let expected = scanner.last_sequence() + 1;
            match scanner.next()? {
                None => return Ok(()),
                // Never acknowledged: the next start cuts it off.
                Some(Found::Damage { from, .. }) if expected >= synced_below => {
                    self.report.cut_bytes += scanner.length().saturating_sub(from);
                    return Ok(());
                }
                Some(Found::Damage { from, to }) => {
                    self.damage(&path, from, format!("{} bytes of records", to - from));
                }
                Some(Found::Record(record)) => {
                    self.report.records += 1;
                    if !scanner.body_is_intact(&record)? {
                        let number = record.header.sequence;
                        self.damage(&path, record.offset, format!("a body of record {number}"));
                    }
                }
            }
        }
    }

    /// Every body that the index knows is where it says.
    fn places(&mut self, snapshot: &Snapshot, path: &Path) {
        let places = match snapshot.places() {
            Ok(places) => places,
            Err(error) => return self.damage(path, 0, error.to_string()),
        };
        for entry in places {
            let what = match entry {
                Ok((id, place)) => match self.body_is_intact(&place) {
                    Ok(true) => continue,
                    Ok(false) => format!("body {id} is not whole"),
                    Err(error) => format!("body {id} cannot be read: {error}"),
                },
                Err(ReadError::Damaged(what)) => what,
                Err(error) => error.to_string(),
            };
            self.damage(path, 0, what);
        }
    }

    fn body_is_intact(&self, place: &Place) -> io::Result<bool> {
        let mut hasher = crc32fast::Hasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        for extent in &place.extents {
            let file = self.segments.file(extent.file)?;
            let (mut offset, mut rest) = (extent.offset, extent.length);
            while rest > 0 {
                let part = usize::try_from(rest)
                    .unwrap_or(BUFFER_BYTES)
                    .min(BUFFER_BYTES);
                let buffer = &mut buffer[..part];
                read_exact_at(&*file, buffer, offset)?;
                hasher.update(buffer);
                offset += part as u64;
                rest -= part as u64;
            }
        }
        Ok(place.is_whole() && hasher.finalize() == place.crc)
    }

    fn damage(&mut self, path: &Path, offset: u64, what: String) {
        self.report.damaged.push(Damage {
            path: path.to_owned(),
            offset,
            what,
        });
    }
}

/// Bytes of a body read at once.
const BUFFER_BYTES: usize = 256 * 1024;
