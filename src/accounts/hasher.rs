//! Where password hashes run: on blocking threads, one per core at most, and few may wait
//! (AUTH-01).
//!
//! The hash is expensive on purpose, so it must not become the way to stop the server: what does
//! not fit into the queue is a temporary failure at once. A caller that goes away leaves the
//! queue; a hash that has begun keeps its place until it is done.

use std::{num::NonZeroUsize, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::limits::HASHES_WAITING_MAX;

/// Bounds how many hashes run and wait.
pub(super) struct Hasher {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// Too many hashes wait, or the runtime ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

impl Hasher {
    /// At most `at_once` hashes run at the same time.
    pub(super) fn new(at_once: NonZeroUsize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(at_once.get())),
            waiting: Arc::new(Semaphore::new(HASHES_WAITING_MAX)),
        }
    }

    /// Runs `work` when its turn comes.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let permit = self.turn().await?;
        let work = tokio::task::spawn_blocking(move || {
            let value = work();
            drop(permit);
            value
        });
        work.await.map_err(|_| Busy)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Busy> {
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(permit) => return Ok(permit),
            Err(TryAcquireError::Closed) => return Err(Busy),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map_err(|_| Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[tokio::test]
    async fn auth_01_one_hash_too_many_is_a_temporary_failure_at_once() {
        let hasher = Arc::new(Hasher::new(NonZeroUsize::MIN));
        let (release, gate) = sync_channel::<()>(0);
        let mut running = Box::pin(hasher.run(move || gate.recv().is_ok()));
        assert!(futures_poll(running.as_mut()).await.is_none());
        let mut waiting = Vec::new();
        for n in 0..HASHES_WAITING_MAX {
            let mut next = Box::pin(hasher.run(move || n));
            assert!(futures_poll(next.as_mut()).await.is_none());
            waiting.push(next);
        }
        assert_eq!(hasher.run(|| 0).await, Err(Busy));
        // Who goes away gives its place to another.
        waiting.pop();
        let mut last = Box::pin(hasher.run(|| 0));
        assert!(futures_poll(last.as_mut()).await.is_none());
        release.send(()).unwrap();
        assert_eq!(running.await, Ok(true));
        for (n, next) in waiting.into_iter().enumerate() {
            assert_eq!(next.await, Ok(n));
        }
        assert_eq!(last.await, Ok(0));
    }

    /// Polls once.
    async fn futures_poll<T>(
        mut future: std::pin::Pin<&mut (impl Future<Output = T> + ?Sized)>,
    ) -> Option<T> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match future.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
