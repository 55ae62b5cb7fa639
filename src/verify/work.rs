//! Where signatures are made and checked: on blocking threads, a few at once. A long header or an
//! RSA key must not hold up the connections that share an async thread.

use std::{num::NonZeroUsize, sync::Arc};

use tokio::sync::Semaphore;

/// Bounds how many run. Who waits is a connection, and those are bounded. Cheap to clone.
#[derive(Clone)]
pub struct Work(Arc<Semaphore>);

impl Work {
    /// At most `at_once` run at the same time.
    pub fn new(at_once: NonZeroUsize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.get())))
    }

    /// What `work` comes to when its turn came; none when the runtime ends.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let work = tokio::task::spawn_blocking(move || {
            let value = work();
            drop(permit);
            value
        });
        work.await.ok()
    }
}

impl Default for Work {
    /// One for each core.
    fn default() -> Self {
        let cores = std::thread::available_parallelism();
        Self::new(cores.unwrap_or(NonZeroUsize::MIN))
    }
}
