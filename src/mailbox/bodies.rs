//! Bodies going out: part of a stored body, piece by piece, never whole in memory (LIM-36).

use std::{fmt, io, ops::Range, sync::Arc};

use bytes::Bytes;

use super::limits::{PIECE_BYTES, WHOLE_BYTES_MAX};
use crate::{
    base::{future::BoxFuture, ids::BlobId, pieces::Pieces},
    store::{Engine, ReadError},
};

/// Part of a body, piece by piece.
pub struct BodyPieces {
    engine: Arc<dyn Engine>,
    blob: BlobId,
    rest: Range<u64>,
}

impl BodyPieces {
    pub(super) fn new(engine: Arc<dyn Engine>, blob: BlobId, span: Range<u64>) -> Self {
        Self {
            engine,
            blob,
            rest: span,
        }
    }

    async fn read_next(&mut self) -> io::Result<Option<Bytes>> {
        let left = self.rest.end.saturating_sub(self.rest.start);
        if left == 0 {
            return Ok(None);
        }
        let size = if left <= WHOLE_BYTES_MAX {
            left
        } else {
            PIECE_BYTES
        };
        let piece = self.rest.start..self.rest.start + size;
        self.rest.start = piece.end;
        match self.engine.body(self.blob, piece).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => {
                self.rest = 0..0;
                Err(match error {
                    ReadError::Io(error) => error,
                    other => io::Error::other(other),
                })
            }
        }
    }
}

impl BodyPieces {
    /// All of it; the caller bounds it.
    pub async fn whole(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = self.read_next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }
}

impl Pieces for BodyPieces {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(self.read_next())
    }
}

impl fmt::Debug for BodyPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyPieces({}, {:?})", self.blob, self.rest)
    }
}
