//! A stream of bytes given out piece by piece: how message bodies travel between floors that must
//! not know each other (the store gives, a connection sends).

use std::io;

use bytes::Bytes;

use super::future::BoxFuture;

/// Something that yields bytes in order, in pieces of a bounded size, until it ends.
pub trait Pieces: Send {
    /// The next piece, never empty; `None` at the end. After an error the stream is over.
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>>;
}

/// Pieces that are all in memory already: one of them.
#[derive(Debug)]
pub struct Whole(Option<Bytes>);

impl Whole {
    /// Yields `bytes` once, or nothing when they are empty.
    pub fn new(bytes: Bytes) -> Self {
        Self(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

impl Pieces for Whole {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        let piece = self.0.take();
        Box::pin(async move { Ok(piece) })
    }
}
