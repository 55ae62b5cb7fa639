//! What waits for the committer, bounded, and what a waiting job is.
//!
//! Senders wait for a place without blocking a thread; the committer takes everything that waits at
//! once.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use super::{
    record::{NamedBody, Piece},
    stage::{Pin, StagedBody},
};
use crate::store::{
    batch::Batch,
    engine::{Applied, CommitError},
};

/// Something for the committer.
#[derive(Debug)]
pub(super) enum Job {
    Commit(Commit),
    Piece(PieceJob),
    /// Begin a new segment, so that the newest one can be compacted. Nobody waits for it, and it
    /// takes no place.
    Turn,
}

/// A batch, with its bodies prepared by the task that sent it.
#[derive(Debug)]
pub(super) struct Commit {
    /// Without its bodies.
    pub(super) batch: Batch,
    /// The bytes of that.
    pub(super) batch_bytes: usize,
    pub(super) bodies: Vec<NamedBody>,
    /// Parallel to `bodies`; a staged body has no content.
    pub(super) contents: Vec<Option<Bytes>>,
    /// Kept until the commit is visible, so that compaction leaves their pieces alone.
    pub(super) staged: Vec<Arc<StagedBody>>,
    pub(super) answer: oneshot::Sender<Result<Applied, CommitError>>,
}

/// A piece of a body that is being staged.
#[derive(Debug)]
pub(super) struct PieceJob {
    pub(super) bytes: Bytes,
    pub(super) crc: u32,
    pub(super) pin: Arc<Pin>,
    pub(super) answer: oneshot::Sender<Result<Piece, CommitError>>,
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Commit(commit) => {
                let contents = commit.contents.iter().flatten().map(Bytes::len);
                commit.batch_bytes + contents.sum::<usize>()
            }
            Self::Piece(piece) => piece.bytes.len(),
            Self::Turn => 0,
        }
    }

    /// Answers with an error.
    pub(super) fn refuse(self, error: CommitError) {
        // Who does not wait for the answer any more does not need it.
        match self {
            Self::Commit(commit) => _ = commit.answer.send(Err(error)),
            Self::Piece(piece) => _ = piece.answer.send(Err(error)),
            Self::Turn => {}
        }
    }
}

/// Jobs on their way to the committer.
#[derive(Debug)]
pub(super) struct Queue {
    places: Semaphore,
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            places: Semaphore::new(JOBS_MAX),
            waiting: Mutex::default(),
            filled: Condvar::new(),
        }
    }

    /// Waits for a place and leaves the job there; `Closed` after [`Queue::close`].
    pub(super) async fn push(&self, job: Job) -> Result<(), CommitError> {
        let place = self
            .places
            .acquire()
            .await
            .map_err(|_| CommitError::Closed)?;
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(CommitError::Closed);
        }
        place.forget();
        waiting.jobs.push_back(job);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Asks for a new segment, once.
    pub(super) fn push_turn(&self) {
        let mut waiting = self.lock();
        let asked = waiting.jobs.iter().any(|job| matches!(job, Job::Turn));
        if !waiting.closed && !asked {
            waiting.jobs.push_back(Job::Turn);
            drop(waiting);
            self.filled.notify_one();
        }
    }

    /// Waits for jobs and takes all of them, up to a good group's size; `false` when the queue is
    /// closed and empty. Blocks.
    pub(super) fn take(&self, out: &mut Vec<Job>) -> bool {
        let mut waiting = self.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self
                .filled
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        while bytes < GROUP_BYTES {
            let Some(job) = waiting.jobs.pop_front() else {
                break;
            };
            bytes += job.bytes();
            out.push(job);
        }
        drop(waiting);
        let turns = out.iter().filter(|job| matches!(job, Job::Turn)).count();
        self.places.add_permits(out.len() - turns);
        true
    }

    /// Refuses further jobs; what waits is still done.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.places.close();
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Jobs that may wait at once.
const JOBS_MAX: usize = 4096;
/// Bytes after which a group is long enough.
const GROUP_BYTES: usize = 16 * 1024 * 1024;
