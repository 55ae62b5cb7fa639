//! How much memory the bodies on their way in may take together (LIM-37).
//!
//! A body keeps what it got room for and goes to the store with the rest: whoever holds room can
//! always finish, so nobody waits for room that another one holds. Who got none waits only for its
//! turn to write, which is a matter of the disk, not of other peers.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::limits::{BODIES_PASSING_MAX, BODY_BYTES_FREE};

/// The room of all bodies of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct BodyMemory {
    kept: Arc<Semaphore>,
    passing: Arc<Semaphore>,
}

/// The room of one body; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Room(Option<OwnedSemaphorePermit>);

impl BodyMemory {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            kept: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            passing: Arc::new(Semaphore::new(BODIES_PASSING_MAX)),
        }
    }

    /// Lets `room` grow to `bytes`; `false` when there is not that much just now.
    pub(super) fn grow(&self, room: &mut Room, bytes: usize) -> bool {
        let held = room.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.saturating_sub(BODY_BYTES_FREE).saturating_sub(held);
        if more == 0 {
            return true;
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        match (
            Arc::clone(&self.kept).try_acquire_many_owned(more),
            &mut room.0,
        ) {
            (Ok(more), Some(held)) => held.merge(more),
            (Ok(more), none) => *none = Some(more),
            (Err(_), _) => return false,
        }
        true
    }

    /// Waits for the turn to write a body past the memory.
    pub(super) async fn pass(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.passing.acquire().await.ok()
    }

    #[cfg(test)]
    pub(super) fn free_bytes(&self) -> usize {
        self.kept.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[test]
    fn lim_37_room_is_given_up_to_the_budget_and_comes_back() {
        let memory = BodyMemory::new(1000);
        let (mut one, mut two) = (Room::default(), Room::default());
        // What is free costs nothing.
        assert!(memory.grow(&mut one, BODY_BYTES_FREE));
        assert_eq!(memory.free_bytes(), 1000);
        assert!(memory.grow(&mut one, BODY_BYTES_FREE + 400));
        assert!(memory.grow(&mut two, BODY_BYTES_FREE + 599));
        assert!(memory.grow(&mut one, BODY_BYTES_FREE + 401));
        assert!(!memory.grow(&mut one, BODY_BYTES_FREE + 402));
        // Nobody lost what he had.
        assert_eq!(memory.free_bytes(), 0);
        drop(two);
        assert!(memory.grow(&mut one, BODY_BYTES_FREE + 1000));
        drop(one);
        assert_eq!(memory.free_bytes(), 1000);
    }

    #[tokio::test]
    async fn lim_37_only_so_many_bodies_are_written_past_the_memory_at_once() {
        let memory = BodyMemory::new(0);
        let mut turns = Vec::new();
        for _ in 0..BODIES_PASSING_MAX {
            turns.push(memory.pass().await);
        }
        let mut next = pin!(memory.pass());
        let mut context = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        turns.pop();
        assert!(matches!(next.poll(&mut context), Poll::Ready(Some(_))));
    }
}
