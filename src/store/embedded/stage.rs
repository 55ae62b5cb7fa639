//! Large bodies on their way into the journal, piece by piece, before their batch.
//!
//! A piece is a record of its own, written without a sync of its own: the sync of the batch that
//! names it covers it. Pieces that no batch names are garbage that compaction elides; until then a
//! [`Pin`] keeps compaction away from the segments they are in.

use std::{
    any::Any,
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use crc32fast::Hasher;
use tokio::sync::oneshot;

use super::{
    Shared,
    queue::{Job, PieceJob},
    record::Piece,
};
use crate::{
    base::future::BoxFuture,
    store::{
        batch::Staged,
        engine::{CommitError, Stage},
    },
};

/// The segments in which staged bodies have pieces that no visible batch names yet.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<Vec<Weak<Pin>>>);

impl Pins {
    pub(super) fn pin(&self) -> Arc<Pin> {
        let pin = Arc::new(Pin::default());
        let mut pins = self.lock();
        pins.retain(|pin| pin.strong_count() > 0);
        pins.push(Arc::downgrade(&pin));
        pin
    }

    /// Whether compaction must leave `segment` alone.
    pub(super) fn holds(&self, segment: u32) -> bool {
        self.lock()
            .iter()
            .filter_map(Weak::upgrade)
            .any(|pin| pin.lock().contains(&segment))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Pin>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the segments of one staged body from compaction while it lives.
#[derive(Debug, Default)]
pub(super) struct Pin(Mutex<BTreeSet<u32>>);

impl Pin {
    pub(super) fn add(&self, segment: u32) {
        self.lock().insert(segment);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A staged body that waits for its batch: the token in [`Staged`].
#[derive(Debug)]
pub(super) struct StagedBody {
    pub(super) pieces: Arc<[Piece]>,
    pub(super) length: u64,
    pub(super) crc: u32,
    committed: AtomicBool,
    /// Which engine staged it.
    home: Weak<Shared>,
    _pin: Arc<Pin>,
}

impl StagedBody {
    /// Whether a batch of this engine may name the body: all of it was written, and no batch has
    /// it.
    pub(super) fn is_free(&self, home: &Arc<Shared>) -> bool {
        let written: u64 = self.pieces.iter().map(|piece| piece.extent.length).sum();
        self.home.as_ptr() == Arc::as_ptr(home)
            && written == self.length
            && !self.committed.load(Ordering::Relaxed)
    }

    pub(super) fn set_committed(&self) {
        self.committed.store(true, Ordering::Relaxed);
    }
}

/// A body arriving in pieces.
pub(super) struct Staging {
    shared: Arc<Shared>,
    pieces: Vec<Piece>,
    length: u64,
    hasher: Hasher,
    pin: Arc<Pin>,
}

impl Staging {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let pin = shared.pins.pin();
        Self {
            shared,
            pieces: Vec::new(),
            length: 0,
            hasher: Hasher::new(),
            pin,
        }
    }

    /// Writes a piece that is not empty; with its checksum.
    async fn write(&mut self, bytes: Bytes) -> Result<(Piece, Hasher), CommitError> {
        self.shared.accepts_bodies()?;
        let crc = crc32fast::hash(&bytes);
        let length = bytes.len() as u64;
        // Counted before it is written: an append that failed or was given up in the middle
        // leaves a body that cannot be committed.
        self.length += length;
        let (answer, written) = oneshot::channel();
        let pin = Arc::clone(&self.pin);
        let job = PieceJob {
            bytes,
            crc,
            pin,
            answer,
        };
        self.shared.queue.push(Job::Piece(job)).await?;
        let piece = self.shared.answered(written).await?;
        Ok((piece, Hasher::new_with_initial_len(crc, length)))
    }
}

impl Stage for Staging {
    fn append(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            if piece.is_empty() {
                return Ok(());
            }
            let (piece, hasher) = self.write(piece).await?;
            self.pieces.push(piece);
            self.hasher.combine(&hasher);
            Ok(())
        })
    }

    fn prepend(&mut self, piece: Bytes) -> BoxFuture<'_, Result<(), CommitError>> {
        Box::pin(async move {
            if piece.is_empty() {
                return Ok(());
            }
            // A batch names its pieces in the order of the body; where they lie is all the same.
            let (piece, mut hasher) = self.write(piece).await?;
            self.pieces.insert(0, piece);
            hasher.combine(&self.hasher);
            self.hasher = hasher;
            Ok(())
        })
    }

    fn finish(self: Box<Self>) -> Staged {
        let length = self.length;
        let token: Arc<dyn Any + Send + Sync> = Arc::new(StagedBody {
            pieces: self.pieces.into(),
            length,
            crc: self.hasher.finalize(),
            committed: AtomicBool::new(false),
            home: Arc::downgrade(&self.shared),
            _pin: self.pin,
        });
        Staged { length, token }
    }
}
