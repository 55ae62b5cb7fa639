//! The bytes of a queued message, read from the store piece by piece.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::{Queue, record::MessageRecord};
use crate::{
    base::{future::BoxFuture, ids::BlobId, pieces::Pieces},
    store::{Engine, ReadError},
};

/// A stored message on its way out.
pub struct StoredBody {
    engine: Arc<dyn Engine>,
    /// What comes first, until it came.
    head: Bytes,
    blob: BlobId,
    at: u64,
    end: u64,
}

impl Queue {
    /// The whole of a queued message as it is sent, from its first byte.
    pub fn body(&self, message: &MessageRecord) -> StoredBody {
        let sent = message.sent(u64::MAX);
        StoredBody {
            engine: Arc::clone(&self.0.engine),
            head: message.head.clone().into(),
            blob: message.blob,
            at: sent.start,
            end: sent.end,
        }
    }

    /// The first `bytes_max` bytes of what is sent without its head, or all when that is less.
    pub async fn beginning(
        &self,
        message: &MessageRecord,
        bytes_max: u64,
    ) -> Result<Bytes, ReadError> {
        let sent = message.sent(bytes_max);
        if sent.is_empty() {
            return Ok(Bytes::new());
        }
        self.0.engine.body(message.blob, sent).await
    }
}

impl Pieces for StoredBody {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            if !self.head.is_empty() {
                return Ok(Some(std::mem::take(&mut self.head)));
            }
            if self.at >= self.end {
                return Ok(None);
            }
            let end = self.end.min(self.at.saturating_add(PIECE_BYTES_MAX));
            let read = self.engine.body(self.blob, self.at..end).await;
            let piece = read.map_err(io::Error::other)?;
            self.at = end;
            Ok(Some(piece).filter(|piece| !piece.is_empty()))
        })
    }
}

/// A piece: what one connection holds of a body at a time.
const PIECE_BYTES_MAX: u64 = 64 * 1024;
