//! How much room the disk has, and the reserve that keeps a full disk usable (DUR-04).
//!
//! The reserve is a file of allocated blocks, `ballast`. It is given up when the disk is full, so
//! that opening, deleting and compacting still work; new bodies are refused until it can be had
//! again.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::disk::{Disk, OpenMode};
use crate::store::engine::Room;

/// Room on the disk below the data directory.
#[derive(Debug)]
pub(super) struct Space {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    low_water_bytes: u64,
    reserve_bytes: u64,
    reserve_missing: AtomicBool,
    /// Whether room was low when it was last asked for.
    was_low: AtomicBool,
    /// When the disk was asked last, and what it said.
    known: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        low_water_bytes: u64,
        reserve_bytes: u64,
    ) -> Self {
        let reserve_missing = AtomicBool::new(true);
        let (was_low, known) = (AtomicBool::new(false), Mutex::default());
        Self {
            disk,
            dir,
            low_water_bytes,
            reserve_bytes,
            reserve_missing,
            was_low,
            known,
        }
    }

    /// Finds the reserve of an earlier run; gives it up when the disk is full.
    pub(super) fn find_reserve(&self) -> io::Result<()> {
        let path = self.dir.join(RESERVE_NAME);
        let length = match self.disk.open(&path, OpenMode::Existing) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            opened => Some(opened?.len()?),
        };
        let whole = length.is_some_and(|length| 0 < length && length >= self.reserve_bytes);
        let wanted = self.reserve_bytes > 0;
        self.reserve_missing
            .store(!whole || !wanted, Ordering::Relaxed);
        if length.is_some() && (!whole || !wanted) {
            // Left by an attempt that was cut short, or of another size.
            self.disk.remove(&path)?;
        } else if whole && self.free_bytes_now()? < self.reserve_bytes {
            self.release_reserve();
        }
        Ok(())
    }

    /// Whether mail can be accepted. Low room must become a little more than enough before it is
    /// enough again, or every message and every deletion would change the answer.
    pub(super) fn room(&self) -> Room {
        let more = match self.was_low.load(Ordering::Relaxed) {
            true => self.low_water_bytes / RECOVERY_PART,
            false => 0,
        };
        let wanted = self.low_water_bytes.saturating_add(more);
        let low = self.free_bytes() < wanted || !self.accepts_bodies();
        self.was_low.store(low, Ordering::Relaxed);
        match low {
            true => Room::Low,
            false => Room::Enough,
        }
    }

    /// As [`Space::room`], asking the disk now; with the bytes that are free.
    pub(super) fn room_now(&self) -> (Room, u64) {
        let free = self.free_bytes_now().unwrap_or(u64::MAX);
        (self.room(), free)
    }

    /// Whether there is room for bodies; what is left without the reserve belongs to deletions.
    pub(super) fn accepts_bodies(&self) -> bool {
        self.has_reserve() || self.free_bytes() >= 2 * self.reserve_bytes
    }

    /// Gives the reserve's blocks to whoever writes next.
    pub(super) fn release_reserve(&self) {
        self.forget();
        if self.reserve_missing.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.disk.remove(&self.dir.join(RESERVE_NAME)) {
            Ok(()) => tracing::warn!("the disk is full: the reserve is in use"),
            Err(error) => tracing::warn!(%error, "the reserve could not be given up"),
        }
    }

    /// Takes the reserve again when there is room for it.
    pub(super) fn restore_reserve(&self) {
        if self.has_reserve() || self.free_bytes() < 2 * self.reserve_bytes {
            return;
        }
        let path = self.dir.join(RESERVE_NAME);
        let made = self.disk.open(&path, OpenMode::New);
        let made = made.and_then(|file| file.reserve(self.reserve_bytes));
        match made {
            Ok(()) => self.reserve_missing.store(false, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(%error, "the reserve could not be made");
                let _ = self.disk.remove(&path);
            }
        }
        self.forget();
    }

    /// Whether `bytes` can be written without the disk becoming full.
    pub(super) fn has(&self, bytes: u64) -> bool {
        self.free_bytes_now().is_ok_and(|free| free >= bytes)
    }

    fn has_reserve(&self) -> bool {
        self.reserve_bytes == 0 || !self.reserve_missing.load(Ordering::Relaxed)
    }

    fn free_bytes(&self) -> u64 {
        let now = Instant::now();
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some((asked, free)) if now.duration_since(asked) < KNOWN_FOR => free,
            // A disk that does not say is not a reason to refuse mail; writing will tell.
            _ => self.free_bytes_now().unwrap_or(u64::MAX),
        }
    }

    fn free_bytes_now(&self) -> io::Result<u64> {
        let free = self.disk.free_bytes(&self.dir)?;
        let known = Some((Instant::now(), free));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(free)
    }

    fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

const RESERVE_NAME: &str = "ballast";
/// Low room ends when so much of the low-water mark is free above it: an eighth.
const RECOVERY_PART: u64 = 8;
/// How long the disk's answer is good.
const KNOWN_FOR: Duration = Duration::from_secs(1);
