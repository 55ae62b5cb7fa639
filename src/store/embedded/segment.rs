//! The journal's files: their names, their headers, and the open handles shared by readers and
//! writer.
//!
//! A segment is `journal/00000007.seg`; its second generation, made by compaction, is
//! `journal/00000007-2.seg`. A file is complete when it has its final name.

use std::{
    collections::{HashMap, HashSet},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    disk::{Disk, File, OpenMode, read_exact_at},
    record::FileId,
};
use crate::base::ids::SortedId;

/// What names a store and guards its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoreId(pub(super) SortedId);

impl StoreId {
    /// Where record header checksums begin.
    pub(super) fn salt(self) -> u32 {
        crc32fast::hash(self.0.as_bytes())
    }
}

/// The first bytes of a segment file; records begin behind them.
pub(super) fn encode_header(store: StoreId, file: FileId) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[12..16].copy_from_slice(&file.segment.to_le_bytes());
    out[16..20].copy_from_slice(&file.generation.to_le_bytes());
    out[24..40].copy_from_slice(store.0.as_bytes());
    let crc = crc32fast::hash(&out[..40]);
    out[40..44].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether these are the first bytes of that file of that store.
pub(super) fn header_is_intact(bytes: &[u8], store: StoreId, file: FileId) -> bool {
    bytes == encode_header(store, file)
}

/// A journal file's name.
pub(super) fn file_name(file: FileId) -> String {
    match file.generation {
        0 => format!("{:08}.seg", file.segment),
        generation => format!("{:08}-{generation}.seg", file.segment),
    }
}

/// The name of a compacted file that is not complete yet.
pub(super) fn unfinished_name(file: FileId) -> String {
    format!("{:08}-{}.tmp", file.segment, file.generation)
}

/// Whether a name in the journal directory is one of [`unfinished_name`].
pub(super) fn is_unfinished(name: &str) -> bool {
    name.strip_suffix(".tmp")
        .is_some_and(|stem| parse_stem(stem).is_some())
}

/// The file of a name, if it is one.
pub(super) fn parse_name(name: &str) -> Option<FileId> {
    let file = parse_stem(name.strip_suffix(".seg")?)?;
    (file_name(file) == name).then_some(file)
}

fn parse_stem(stem: &str) -> Option<FileId> {
    let (segment, generation) = match stem.split_once('-') {
        Some((segment, generation)) => (segment, generation.parse().ok()?),
        None => (stem, 0),
    };
    Some(FileId {
        segment: segment.parse().ok()?,
        generation,
    })
}

/// Open journal files, a bounded number of them.
#[derive(Debug)]
pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<FileId, (Arc<dyn File>, u64)>,
    /// Removed files: a reader that opened one just before must not make its handle known.
    removed: HashSet<FileId>,
    /// Counts uses, for dropping the handle that was not used for longest.
    clock: u64,
}

impl Segments {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self {
            disk,
            dir,
            open: Mutex::default(),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    pub(super) fn path(&self, file: FileId) -> PathBuf {
        self.dir.join(file_name(file))
    }

    /// A handle of the file; `NotFound` when compaction has replaced it.
    pub(super) fn file(&self, id: FileId) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.cached(id) {
            return Ok(file);
        }
        // Opened without the lock; the second of two openers wins, which does no harm.
        let file: Arc<dyn File> = self.disk.open(&self.path(id), OpenMode::Existing)?.into();
        self.insert(id, Arc::clone(&file));
        Ok(file)
    }

    /// Makes the handle of a file known that was made just now.
    pub(super) fn insert_new(&self, id: FileId, file: Arc<dyn File>) {
        self.lock().removed.remove(&id);
        self.insert(id, file);
    }

    /// Removes the file from the disk; who has it open can go on reading.
    pub(super) fn remove(&self, id: FileId) -> io::Result<()> {
        let mut open = self.lock();
        let handle = open.files.remove(&id);
        open.removed.insert(id);
        drop(open);
        drop(handle);
        match self.disk.remove(&self.path(id)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Forgets all handles.
    pub(super) fn clear(&self) {
        self.lock().files.clear();
    }

    /// The files in the journal directory, in order of their numbers.
    pub(super) fn list(&self) -> io::Result<Vec<FileId>> {
        let names = self.disk.list(&self.dir)?;
        let mut files: Vec<_> = names.iter().filter_map(|name| parse_name(name)).collect();
        files.sort_unstable();
        Ok(files)
    }

    fn cached(&self, id: FileId) -> Option<Arc<dyn File>> {
        let mut open = self.lock();
        open.clock += 1;
        let clock = open.clock;
        let (file, used) = open.files.get_mut(&id)?;
        *used = clock;
        Some(Arc::clone(file))
    }

    fn insert(&self, id: FileId, file: Arc<dyn File>) {
        let mut open = self.lock();
        if open.removed.contains(&id) {
            return;
        }
        open.clock += 1;
        let clock = open.clock;
        open.files.insert(id, (file, clock));
        if open.files.len() > OPEN_FILES_MAX {
            let oldest = open
                .files
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(id, _)| *id);
            oldest.and_then(|id| open.files.remove(&id));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Segments that must have been there and are not: numbers from `first` on that are missing before
/// one of `files`. Compaction replaces files, it never takes a number away.
pub(super) fn missing(files: &[FileId], first: u32) -> Vec<FileId> {
    let mut expected = first;
    let mut missing = Vec::new();
    for file in files {
        if expected < file.segment {
            missing.push(FileId {
                segment: expected,
                generation: 0,
            });
        }
        expected = file.segment + 1;
    }
    missing
}

/// The header of a segment file as it stands on the disk; zeros where the file ends before.
pub(super) fn read_header(file: &dyn File) -> io::Result<[u8; HEADER_BYTES]> {
    let mut header = [0; HEADER_BYTES];
    match read_exact_at(file, &mut header, 0) {
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(header),
    }
}

/// What is said of a gap that [`missing`] finds.
pub(super) const MISSING: &str = "segments are missing before the next one";
/// Number of a store's first segment.
pub(super) const FIRST: u32 = 1;
/// Length of a segment file's header.
pub(super) const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"mail-log";
/// Version of the journal's format; also the store's, in the `format` file.
pub(super) const VERSION: u32 = 1;
/// Handles kept open for readers; each is a file descriptor.
const OPEN_FILES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_are_left_alone() {
        for (segment, generation) in [(1, 0), (99_999_999, 3), (123_456_789, 0)] {
            let file = FileId {
                segment,
                generation,
            };
            assert_eq!(parse_name(&file_name(file)), Some(file));
            assert!(is_unfinished(&unfinished_name(file)));
        }
        for name in [
            "1.seg",
            "00000001-0.seg",
            "00000001.tmp2",
            "x.seg",
            "00000001-1.tmp",
            "",
        ] {
            assert_eq!(parse_name(name), None, "{name}");
        }
        assert!(!is_unfinished("notes.tmp"));
    }

    #[test]
    fn a_header_names_its_store_and_file() {
        let store = StoreId(SortedId::from_bytes([7; 16]));
        let file = FileId {
            segment: 1,
            generation: 0,
        };
        let header = encode_header(store, file);
        assert!(header_is_intact(&header, store, file));
        assert!(!header_is_intact(
            &header,
            store,
            FileId {
                segment: 2,
                generation: 0
            }
        ));
    }
}
