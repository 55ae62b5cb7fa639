//! A disk in memory that fails when told to and forgets what was not synced.
//!
//! Reads of a file can fail. Every changing operation counts. The n-th can fail once, find the
//! disk full, or be the moment the power goes. After that, each 512-byte block written since its
//! file's last sync is there or not, each file is as long as it was or as it became, and of the
//! names made or changed since the directory's last sync a first part is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

use buzon::{
    base::random::Random,
    store::embedded::disk::{Disk, File, Lock, OpenMode},
};

/// What the n-th operation meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It fails with EIO; nothing of it happened.
    Fails,
    /// A write is done by half and says so; other operations succeed.
    Short,
    /// A write is done by half, then the disk is full; other operations succeed.
    Full,
    /// Nothing happens any more.
    PowerLoss,
}

/// What of the unsynced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survives {
    Nothing,
    Some(u64),
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk(Arc<(Mutex<State>, Condvar)>);

#[derive(Debug)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory was synced.
    renames: Vec<Change>,
    locked: BTreeSet<PathBuf>,
    operations: u64,
    trouble: Option<(u64, Trouble)>,
    /// A file of which the next reads fail: how many go well before, how many fail.
    unreadable: Option<(usize, u64, u64)>,
    dead: bool,
    /// How many syncs of files may still be done; the others wait. `None` for all.
    syncs: Option<u32>,
    /// How many wait.
    held: u32,
    capacity: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Make(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn dir(&self) -> Option<&Path> {
        let (Self::Make(path, _) | Self::Remove(path) | Self::Rename(path, _)) = self;
        path.parent()
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Make(path, file) => _ = names.insert(path.clone(), *file),
            Self::Remove(path) => _ = names.remove(path),
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    durable_length: usize,
    /// What was durable of the blocks written since the last sync.
    undo: BTreeMap<usize, Vec<u8>>,
}

impl Content {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        self.remember(offset, offset + bytes.len());
        if self.bytes.len() < offset + bytes.len() {
            grow(&mut self.bytes, offset + bytes.len());
        }
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn set_len(&mut self, length: usize) {
        if length < self.bytes.len() {
            self.remember(length, self.bytes.len());
        }
        self.bytes.truncate(length);
        grow(&mut self.bytes, length);
    }

    fn remember(&mut self, from: usize, to: usize) {
        for block in from / BLOCK..to.div_ceil(BLOCK) {
            let bytes = &self.bytes;
            self.undo.entry(block).or_insert_with(|| {
                let start = (block * BLOCK).min(bytes.len());
                bytes[start..(start + BLOCK).min(bytes.len())].to_vec()
            });
        }
    }

    fn sync(&mut self) {
        self.durable_length = self.bytes.len();
        self.undo.clear();
    }

    fn after_power_loss(mut self, mut keep: impl FnMut() -> bool) -> Self {
        let length = if keep() {
            self.bytes.len()
        } else {
            self.durable_length
        };
        self.bytes
            .resize(self.bytes.len().max(self.durable_length), 0);
        for (block, old) in std::mem::take(&mut self.undo) {
            if !keep() {
                let start = (block * BLOCK).min(self.bytes.len());
                let end = (start + BLOCK).min(self.bytes.len());
                self.bytes[start..end].fill(0);
                let end = end.min(start + old.len());
                self.bytes[start..end].copy_from_slice(&old[..end - start]);
            }
        }
        self.bytes.truncate(length);
        grow(&mut self.bytes, length);
        self.durable_length = length;
        self
    }
}

/// `resize` goes byte by byte in a debug build.
fn grow(bytes: &mut Vec<u8>, length: usize) {
    let missing = length.saturating_sub(bytes.len());
    bytes.extend_from_slice(&vec![0; missing]);
}

const BLOCK: usize = 512;

impl SimDisk {
    pub(crate) fn new() -> Self {
        let state = Mutex::new(State {
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            locked: BTreeSet::new(),
            operations: 0,
            trouble: None,
            unreadable: None,
            dead: false,
            syncs: None,
            held: 0,
            capacity: u64::MAX,
        });
        Self(Arc::new((state, Condvar::new())))
    }

    /// Lets so many syncs of files be done and holds the others back; `None` lets all go.
    pub(crate) fn allow_syncs(&self, syncs: Option<u32>) {
        self.lock().syncs = syncs;
        self.0.1.notify_all();
    }

    /// Waits until somebody waits for a sync.
    pub(crate) async fn holds_a_sync(&self) {
        while self.lock().held == 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until there were so many operations.
    pub(crate) async fn reaches(&self, operations: u64) {
        while self.operations() < operations {
            tokio::task::yield_now().await;
        }
    }

    /// The `n`-th operation from now (1 is the next) meets `trouble`.
    pub(crate) fn trouble(&self, n: u64, trouble: Trouble) {
        let mut state = self.lock();
        state.trouble = Some((state.operations + n, trouble));
    }

    /// After `good` more reads of the file at `path`, `bad` fail with EIO.
    pub(crate) fn fail_reads(&self, path: &Path, good: u64, bad: u64) {
        let mut state = self.lock();
        state.unreadable = Some((state.names[path], good, bad));
    }

    /// Whether a read has failed since it was said that some will.
    pub(crate) fn has_failed_to_read(&self, bad: u64) -> bool {
        self.lock()
            .unreadable
            .is_some_and(|(_, _, left)| left < bad)
    }

    /// Changing operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How many bytes all files together may have.
    pub(crate) fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// Bytes of all files, and of reserved room.
    pub(crate) fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Names of the files below `dir`.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Removes a file behind the engine's back.
    pub(crate) fn delete(&self, path: &Path) {
        let mut state = self.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// A file's bytes.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        state.files[state.names[path]].bytes.clone()
    }

    /// Changes a file's bytes behind the engine's back.
    pub(crate) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.lock();
        let file = state.names[path];
        edit(&mut state.files[file].bytes);
        state.files[file].sync();
    }

    /// The same files on a disk of its own, nothing locked or in trouble: what a killed process
    /// leaves.
    pub(crate) fn copy(&self) -> Self {
        let state = self.lock();
        let mut files = state.files.clone();
        files.iter_mut().for_each(Content::sync);
        let names = state.names.clone();
        Self::with(files, names, state.capacity)
    }

    /// What the disk holds after the power was gone.
    pub(crate) fn after_power_loss(&self, survives: Survives) -> Self {
        let state = self.lock();
        let random = match survives {
            Survives::Some(seed) => Random::seeded(seed),
            Survives::Nothing => Random::seeded(0),
        };
        let keep = || match survives {
            Survives::Nothing => false,
            Survives::Some(_) => random.below(2) == 0,
        };
        let mut names = state.durable_names.clone();
        let dirs: BTreeSet<_> = state.renames.iter().filter_map(Change::dir).collect();
        for dir in dirs {
            let of_dir = || {
                state
                    .renames
                    .iter()
                    .filter(|change| change.dir() == Some(dir))
            };
            let count = of_dir().count();
            let kept = match survives {
                Survives::Nothing => 0,
                Survives::Some(_) => random.below(count as u64 + 1).try_into().unwrap(),
            };
            of_dir()
                .take(kept)
                .for_each(|change| change.apply(&mut names));
        }
        let files = state
            .files
            .iter()
            .cloned()
            .map(|file| file.after_power_loss(keep))
            .collect();
        Self::with(files, names, state.capacity)
    }

    fn with(files: Vec<Content>, names: BTreeMap<PathBuf, usize>, capacity: u64) -> Self {
        let disk = Self::new();
        {
            let mut state = disk.lock();
            state.files = files;
            state.durable_names = names.clone();
            state.names = names;
            state.capacity = capacity;
        }
        disk
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// Counts an operation; says whether it is in trouble.
    fn operation(&self) -> io::Result<(MutexGuard<'_, State>, Option<Trouble>)> {
        let mut state = self.lock();
        if state.dead {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        state.operations += 1;
        let at = state.operations;
        let trouble = state
            .trouble
            .filter(|(n, _)| *n == at)
            .map(|(_, trouble)| trouble);
        match trouble {
            Some(Trouble::PowerLoss) => {
                state.dead = true;
                Err(io::Error::from_raw_os_error(EIO))
            }
            Some(Trouble::Fails) => Err(io::Error::from_raw_os_error(EIO)),
            trouble => Ok((state, trouble)),
        }
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl State {
    fn fails_to_read(&mut self, file: usize) -> bool {
        match &mut self.unreadable {
            Some((unreadable, 0, bad)) if *unreadable == file && *bad > 0 => {
                *bad -= 1;
                true
            }
            Some((unreadable, good, _)) if *unreadable == file => {
                *good = good.saturating_sub(1);
                false
            }
            _ => false,
        }
    }

    fn used(&self) -> u64 {
        let named: BTreeSet<_> = self.names.values().collect();
        let size = |file: &usize| self.files[*file].bytes.len() as u64;
        named.into_iter().map(size).sum()
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let exists = self.lock().names.get(path).copied();
        let file = match (mode, exists) {
            (OpenMode::Existing, None) => return Err(ErrorKind::NotFound.into()),
            (OpenMode::New, Some(_)) => return Err(ErrorKind::AlreadyExists.into()),
            (OpenMode::Existing, Some(file)) => file,
            (OpenMode::New, None) => {
                let (mut state, _) = self.operation()?;
                state.files.push(Content::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_owned(), file);
                state.renames.push(Change::Make(path.to_owned(), file));
                file
            }
        };
        Ok(Box::new(SimFile {
            disk: self.clone(),
            file,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        let mut names: BTreeSet<_> = state
            .names
            .keys()
            .filter_map(|path| path.strip_prefix(dir).ok())
            .filter_map(|rest| rest.iter().next()?.to_str())
            .map(str::to_owned)
            .collect();
        names.remove("");
        Ok(names.into_iter().collect())
    }

    fn make_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.lock().names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        let (mut state, _) = self.operation()?;
        state.names.remove(path);
        state.renames.push(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut state, _) = self.operation()?;
        let change = Change::Rename(from.to_owned(), to.to_owned());
        change.apply(&mut state.names);
        state.renames.push(change);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let (mut state, _) = self.operation()?;
        let changes = std::mem::take(&mut state.renames);
        for change in changes {
            if change.dir() == Some(dir) {
                change.apply(&mut state.durable_names);
            } else {
                state.renames.push(change);
            }
        }
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let state = self.lock();
        Ok(state.capacity.saturating_sub(state.used()))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let free = self.lock().locked.insert(path.to_owned());
        let lock = SimLock(self.clone(), path.to_owned());
        if free {
            return Ok(Some(Box::new(lock)));
        }
        std::mem::forget(lock);
        Ok(None)
    }
}

#[derive(Debug)]
struct SimLock(SimDisk, PathBuf);

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.lock().locked.remove(&self.1);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.lock();
        if state.dead || state.fails_to_read(self.file) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let bytes = &state.files[self.file].bytes;
        let start = usize::try_from(offset).unwrap().min(bytes.len());
        let end = (start + buffer.len()).min(bytes.len());
        buffer[..end - start].copy_from_slice(&bytes[start..end]);
        Ok(end - start)
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> usize {
        // Half of it, so that the waiting way is taken too.
        let half = buffer.len() / 2;
        self.read_at(&mut buffer[..half], offset).unwrap_or(0)
    }

    fn write_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let (mut state, trouble) = self.disk.operation()?;
        let mut bytes = Vec::new();
        slices
            .iter()
            .for_each(|slice| bytes.extend_from_slice(slice));
        let length = state.files[self.file].bytes.len() as u64;
        let grows = (offset + bytes.len() as u64).saturating_sub(length);
        let full = trouble == Some(Trouble::Full) || state.used() + grows > state.capacity;
        let written = match trouble {
            Some(Trouble::Short) => bytes.len().div_ceil(2),
            _ if full => bytes.len() / 2,
            _ => bytes.len(),
        };
        let offset = usize::try_from(offset).unwrap();
        state.files[self.file].write(&bytes[..written], offset);
        if full && written < bytes.len() {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(written)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut state, _) = self.disk.operation()?;
        let held = |state: &mut State| state.syncs == Some(0);
        state.held += 1;
        let mut state = self.disk.0.1.wait_while(state, held).unwrap();
        state.held -= 1;
        state.syncs = state.syncs.map(|left| left - 1);
        state.files[self.file].sync();
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let (mut state, _) = self.disk.operation()?;
        state.files[self.file].set_len(usize::try_from(length).unwrap());
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.lock().files[self.file].bytes.len() as u64)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        let (mut state, _) = self.disk.operation()?;
        if state.used() + length > state.capacity {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        state.files[self.file].set_len(usize::try_from(length).unwrap());
        Ok(())
    }
}
