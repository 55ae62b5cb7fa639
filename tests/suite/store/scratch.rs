//! Throw-away data directories and small builders shared by the store's tests.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use buzon::{
    base::{clock::Clock, ids::BlobId},
    store::{Key, embedded::Options},
};
use bytes::Bytes;

/// A directory that is removed with its content when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("buzon-store-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The files as they are, as if the process had been killed now; the index perhaps left out.
    pub(crate) fn copy(&self, with_index: bool) -> Self {
        let copy = Self::new();
        let journal = |scratch: &Self| scratch.path().join("journal");
        std::fs::create_dir(journal(&copy)).unwrap();
        for (from, to) in [
            (self.path().to_owned(), copy.path().to_owned()),
            (journal(self), journal(&copy)),
        ] {
            for entry in std::fs::read_dir(from).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name();
                if entry.file_type().unwrap().is_file() && (with_index || name != "index.redb") {
                    std::fs::copy(entry.path(), to.join(name)).unwrap();
                }
            }
        }
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Small, and nothing happens on its own.
pub(crate) fn options() -> Options {
    Options {
        segment_bytes: 1 << 20,
        checkpoint_interval: Duration::from_secs(3600),
        overlay_bytes: 8 << 20,
        ballast_bytes: 0,
        low_water_bytes: 0,
        compact_below_percent: 0,
        index_slack_bytes: 0,
        clock: Clock::system(),
    }
}

pub(crate) fn key(text: impl AsRef<[u8]>) -> Key {
    Key::from_bytes(Bytes::copy_from_slice(text.as_ref()))
}

pub(crate) fn blob(n: u64) -> BlobId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&n.to_be_bytes());
    BlobId::from_bytes(bytes)
}

/// Bytes that tell from which body and which place they are.
pub(crate) fn content(n: u64, length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length + 8);
    for place in 0..=length / 8 {
        let word = (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (n * 7919);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}
