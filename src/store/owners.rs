//! How many hold one stored body, and what happens when one lets go.
//!
//! A body has one owner unless its `BODY_OWNERS` sum says otherwise: mailboxes of several accounts and the queue
//! may hold the same bytes. Whoever lets go as the last one drops the body in the same batch. Both functions
//! only add to a batch; the conditions they add make concurrent owners conflict instead of miscount.

use super::{
    batch::Batch,
    engine::{Engine, ReadError},
    key,
};
use crate::base::ids::BlobId;

/// Says that a body made in this batch has `owners` owners from its beginning.
pub fn begin(batch: &mut Batch, blob: BlobId, owners: u32) {
    if owners > 1 {
        batch.sum(key::body_owners(blob), i64::from(owners));
    }
}

/// Gives up one ownership of `blob`: the last owner drops the body.
pub async fn release(
    engine: &dyn Engine,
    batch: &mut Batch,
    blob: BlobId,
) -> Result<(), ReadError> {
    let owners = key::body_owners(blob);
    let read = engine.get(&owners).await?;
    let count = read.as_deref().and_then(<[u8]>::first_chunk);
    let count = count.map_or(1, |bytes| i64::from_be_bytes(*bytes));
    batch.unchanged(owners.clone(), read.clone());
    if count > 1 {
        batch.sum(owners, -1);
    } else {
        if read.is_some() {
            batch.delete(owners);
        }
        batch.drop_body(blob);
    }
    Ok(())
}
