//! The few operations of a file system that the embedded engine needs, small enough to lie through.
//!
//! [`RealDisk`] is the machine's; tests bring one that fails the n-th operation and loses what was
//! not synced. Directories are made 0700 and files 0600. Everything here blocks.

use std::{
    fmt,
    fs::{self, DirBuilder, OpenOptions, TryLockError},
    io::{self, ErrorKind, IoSlice, IoSliceMut},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{FallocateFlags, OFlags, fallocate, statvfs},
    io::{Errno, ReadWriteFlags, preadv2, pwritev},
};

/// A file system as the engine uses it.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>>;

    /// Names in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory whose parent exists; no error when it is there already.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames a file within a directory, replacing what has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Bytes that can still be written below `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;

    /// Takes the exclusive lock of the file at `path`, made if need be; `None` when another process
    /// has it. Held until the guard is dropped.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// An open file.
pub trait File: fmt::Debug + Send + Sync {
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Reads what can be had without waiting for the disk; zero when that is nothing.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> usize;

    /// Writes some of the bytes, in order; answers how many.
    fn write_at(&self, bytes: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;

    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;

    /// Cuts or grows the file; what is new is zero.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|length| length == 0)
    }

    /// Takes room on the disk for the first `length` bytes.
    fn reserve(&self, length: u64) -> io::Result<()>;
}

/// A held lock.
pub trait Lock: fmt::Debug + Send + Sync {}

/// What must be so when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// The file exists.
    Existing,
    /// The file does not exist and is made.
    New,
}

/// Fills `buffer` from `offset`; `UnexpectedEof` when the file ends before.
pub(super) fn read_exact_at(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => done += n,
        }
    }
    Ok(())
}

/// Writes all of `bytes` at `offset`.
pub(super) fn write_all_at(file: &dyn File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = file.write_at(&[IoSlice::new(bytes)], offset)?;
        if n == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        bytes = &bytes[n..];
        offset += n as u64;
    }
    Ok(())
}

/// Whether an error says that there is no room, rather than that the disk is broken.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

/// The machine's file system.
#[derive(Clone, Copy, Debug)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(FILE_MODE);
        options.custom_flags(NO_LINK);
        options.create_new(mode == OpenMode::New);
        Ok(Box::new(RealFile(options.open(path)?)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // Names that are not text are not ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(DIR_MODE).create(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            made => made,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let facts = statvfs(dir)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(NO_LINK);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct RealLock(#[expect(dead_code, reason = "closing the file releases the lock")] fs::File);

impl Lock for RealLock {}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        let mut slices = [IoSliceMut::new(buffer)];
        // Any error here is met again, and reported, by the read that may wait.
        preadv2(&self.0, &mut slices, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
    }

    fn write_at(&self, bytes: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        loop {
            match pwritev(&self.0, &bytes[..bytes.len().min(SLICES_MAX)], offset) {
                Err(Errno::INTR) => {}
                written => return Ok(written?),
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        Ok(fallocate(&self.0, FallocateFlags::empty(), 0, length)?)
    }
}

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// SYS-05: a file of the store is never a link to one elsewhere.
const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// The kernel takes at most this many pieces in one write (IOV_MAX).
const SLICES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sys_05_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let opened = [&file, &link].map(|path| RealDisk.open(path, OpenMode::Existing).is_ok());
        let locked = [&file, &link].map(|path| RealDisk.lock(path).is_ok());
        assert_eq!((opened, locked), ([true, false], [true, false]));
    }
}
