//! The data directory: its lock, its format file, its paths.
//!
//! A directory that holds other things and no format file is never made a store: a slip in
//! `server.data` must not mix a store into somebody's files.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    disk::{Disk, Lock, OpenMode, read_exact_at, write_all_at},
    open::OpenError,
    segment::{Segments, StoreId},
};
use crate::base::{clock::Clock, ids::SortedId, random::Random};

/// A data directory on a disk.
#[derive(Clone, Copy)]
pub(super) struct Directory<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    pub(super) dir: &'a Path,
}

impl Directory<'_> {
    pub(super) fn lock(&self) -> Result<Box<dyn Lock>, OpenError> {
        self.disk
            .make_dir(self.dir)
            .map_err(self.failed("make the directory", self.dir))?;
        if let Some(parent) = self
            .dir
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            self.disk
                .sync_dir(parent)
                .map_err(self.failed("sync the directory", parent))?;
        }
        let path = self.dir.join("lock");
        let lock = self.disk.lock(&path).map_err(self.failed("lock", &path))?;
        lock.ok_or_else(|| OpenError::Locked(self.dir.to_owned()))
    }

    /// Whether there is a store; an error when there is none and none may be made. Changes nothing.
    pub(super) fn has_store(&self) -> Result<bool, OpenError> {
        let names = match self.disk.list(self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            names => names.map_err(self.failed("read", self.dir))?,
        };
        if names.iter().any(|name| name == FORMAT_NAME) {
            return Ok(true);
        }
        let foreign = |name: &&String| !BESIDE_FORMAT.contains(&name.as_str());
        if let Some(found) = names.iter().filter(foreign).min() {
            let printable = found.chars().filter(|char| !char.is_control());
            return Err(OpenError::Foreign {
                path: self.dir.to_owned(),
                found: printable.take(FOUND_NAME_CHARS).collect(),
            });
        }
        if names.iter().any(|name| name == JOURNAL_NAME) {
            let dir = self.dir.join(JOURNAL_NAME);
            let segments = Segments::new(Arc::clone(self.disk), dir);
            let files = segments.list().map_err(self.failed("read", self.dir))?;
            if !files.is_empty() {
                return Err(OpenError::NoFormat(self.dir.to_owned()));
            }
        }
        Ok(false)
    }

    /// What the format file says; a new store is given one.
    pub(super) fn format(&self) -> Result<StoreId, OpenError> {
        if self.has_store()? {
            return self.existing_format();
        }
        let store = StoreId(SortedId::fresh(Clock::system().wall(), &Random::system()));
        let text = format!("{FORMAT_PREFIX}{FORMAT}\n{}\n", store.0);
        let (unfinished, path) = (self.dir.join("format.tmp"), self.dir.join(FORMAT_NAME));
        let write = || {
            match self.disk.remove(&unfinished) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = self.disk.open(&unfinished, OpenMode::New)?;
            write_all_at(&*file, text.as_bytes(), 0)?;
            file.sync()?;
            self.disk.rename(&unfinished, &path)?;
            self.disk.sync_dir(self.dir)
        };
        write().map_err(self.failed("write", &path))?;
        Ok(store)
    }

    pub(super) fn existing_format(&self) -> Result<StoreId, OpenError> {
        let path = self.dir.join(FORMAT_NAME);
        let read = || -> io::Result<String> {
            let file = self.disk.open(&path, OpenMode::Existing)?;
            let length = file.len()?.min(FORMAT_BYTES_MAX);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            read_exact_at(&*file, &mut bytes, 0)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = match read() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.has_store()?;
                return Err(OpenError::NoStore(self.dir.to_owned()));
            }
            read => read.map_err(self.failed("read", &path))?,
        };
        let mut lines = text.lines();
        let version = lines
            .next()
            .and_then(|line| line.strip_prefix(FORMAT_PREFIX)?.split_whitespace().next());
        let version = version.ok_or_else(|| OpenError::NoFormat(self.dir.to_owned()))?;
        if version != FORMAT.to_string() {
            return Err(OpenError::Format {
                path: self.dir.to_owned(),
                found: version
                    .chars()
                    .filter(char::is_ascii_graphic)
                    .take(20)
                    .collect(),
                expected: FORMAT,
            });
        }
        let id = lines.next().and_then(|line| line.parse().ok());
        id.map(StoreId)
            .ok_or_else(|| OpenError::NoFormat(self.dir.to_owned()))
    }

    pub(super) fn segments(&self) -> Result<Arc<Segments>, OpenError> {
        let dir = self.dir.join(JOURNAL_NAME);
        let made = self
            .disk
            .make_dir(&dir)
            .and_then(|()| self.disk.sync_dir(self.dir));
        made.map_err(self.failed("make the directory", &dir))?;
        Ok(Arc::new(Segments::new(Arc::clone(self.disk), dir)))
    }

    pub(super) fn remove_if_there(&self, path: &Path) -> Result<(), OpenError> {
        match self.disk.remove(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(self.failed("remove", path)),
        }
    }

    pub(super) fn failed(
        &self,
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.to_owned();
        move |source| OpenError::Io {
            action,
            path,
            source,
        }
    }
}

/// Whether there is a store in `dir` that this program knows; an error when there is none and none
/// may be made. Changes nothing.
pub(super) fn exists(disk: &Arc<dyn Disk>, dir: &Path) -> Result<bool, OpenError> {
    let directory = Directory { disk, dir };
    let exists = directory.has_store()?;
    if exists {
        directory.existing_format()?;
    }
    Ok(exists)
}

pub(super) fn index_path(dir: &Path) -> PathBuf {
    dir.join("index.redb")
}

/// Present while the index is known to be bad.
pub(super) fn suspect_path(dir: &Path) -> PathBuf {
    dir.join("index.suspect")
}

const FORMAT_NAME: &str = "format";
const FORMAT_PREFIX: &str = "buzon store ";
/// Of all that is stored: the journal, the keys, and what the values say. Whatever an older version
/// would misread, or this one of an older, raises it.
const FORMAT: u32 = 4;
const FORMAT_BYTES_MAX: u64 = 1024;
const JOURNAL_NAME: &str = "journal";
/// What a directory without a format file may have: what an interrupted creation leaves, what a
/// file system puts into its root.
const BESIDE_FORMAT: &[&str] = &[
    JOURNAL_NAME,
    "lock",
    "format.tmp",
    "ballast",
    "index.redb",
    "index.rebuild",
    "index.suspect",
    "index.damaged",
    "control.sock",
    "lost+found",
];
/// Characters of a foreign file's name that an error repeats.
const FOUND_NAME_CHARS: usize = 60;
