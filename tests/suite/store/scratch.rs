//! Throw-away data directories and small builders shared by the store's tests.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use buzon::{
    base::{clock::Clock, ids::BlobId},
    store::{Batch, CommitError, Content, Engine, Key, embedded::Options},
};
use bytes::Bytes;
use tempfile::TempDir;

/// A directory that is removed with its content when dropped.
#[derive(Debug)]
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The files as they are, as if the process had been killed now; the index perhaps left out.
    pub(crate) fn copy(&self, with_index: bool) -> Self {
        // A kill stops all files at one moment; a checkpoint or a compaction may go on beside this.
        loop {
            let before = self.files();
            let copy = Self::new();
            std::fs::create_dir(copy.path().join("journal")).unwrap();
            let copied = before.keys().all(|name| {
                let skip = !with_index && name == Path::new("index.redb");
                skip || std::fs::copy(self.path().join(name), copy.path().join(name)).is_ok()
            });
            if copied && self.files() == before {
                return copy;
            }
        }
    }

    /// All files, by their names below the directory, with what changes when they are written.
    fn files(&self) -> BTreeMap<PathBuf, (u64, SystemTime)> {
        let mut files = BTreeMap::new();
        for below in ["", "journal"] {
            for entry in std::fs::read_dir(self.path().join(below)).unwrap() {
                let entry = entry.unwrap();
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                if found.is_file() {
                    let state = (found.len(), found.modified().unwrap());
                    files.insert(Path::new(below).join(entry.file_name()), state);
                }
            }
        }
        files
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
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

/// A body, and a key that says so.
pub(crate) async fn add_body(
    engine: &dyn Engine,
    n: u64,
    length: usize,
) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.body(blob(n), Content::Bytes(content(n, length)));
    batch.put(key(format!("body/{n}")), b"here".to_vec());
    engine.commit(batch).await.map(|_| ())
}

/// Drops what [`add_body`] made.
pub(crate) async fn drop_body(engine: &dyn Engine, n: u64) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.drop_body(blob(n)).delete(key(format!("body/{n}")));
    engine.commit(batch).await.map(|_| ())
}

/// Whether the body is there as it was made.
pub(crate) async fn whole(engine: &dyn Engine, n: u64, length: usize) -> bool {
    let body = engine.body(blob(n), 0..length as u64).await;
    body.is_ok_and(|bytes| bytes == content(n, length))
}
