//! Intake
use bytes::Bytes;

use crate::{
    base::ids::BlobId,
    store::{CommitError, Content},
};

/// A body on its way in.
pub struct Intake {}

/// A body that arrived whole and is not durable yet.
pub struct Arrived {
    /// Its name.
    pub blob: BlobId,
    /// Its bytes.
    pub content: Content,
    /// Their number.
    pub size: u64,
    /// What FETCH needs of it, encoded.
    pub facts: Bytes,
}

/// Why a body could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// There is no room on the disk.
    #[error("the store is full")]
    Full,
    /// Larger than any message can be.
    #[error("the message is too large")]
    TooLarge,
    /// The store failed.
    #[error("a body could not be stored")]
    Fault(#[source] CommitError),
}

impl Intake {
    /// Takes the next piece.
    pub async fn feed(&mut self, _piece: Bytes) -> Result<(), IntakeError> {
        unimplemented!()
    }
    /// Ends the body.
    pub async fn finish(self) -> Result<Arrived, IntakeError> {
        unimplemented!()
    }
}
