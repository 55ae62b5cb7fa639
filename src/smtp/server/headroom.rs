//! How many connections may hold a large header at the same time (LIM-37).
//!
//! A header is held whole until it ends (LIM-29), so without this bound anybody with enough
//! connections could fill the memory with headers that never end. Shared by all ports.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::limits::LARGE_HEADERS_MAX;

/// Room for large headers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Headroom(Arc<Semaphore>);

/// Room for one; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Large {
    _permit: OwnedSemaphorePermit,
}

impl Headroom {
    /// Room for one large header, if there is any.
    pub(super) fn take(&self) -> Option<Large> {
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit.ok().map(|_permit| Large { _permit })
    }
}

impl Default for Headroom {
    /// All of it.
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LARGE_HEADERS_MAX)))
    }
}
