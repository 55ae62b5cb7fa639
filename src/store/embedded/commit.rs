//! The committer: one thread that makes waiting batches durable, a group at a time.
//!
//! A group's batches are resolved in order, each against those before it, the overlays and the
//! index. Then one write, one sync, one short lock to make all of it visible, and the answers.
//! While a group syncs, the next one gathers in the queue. Readers never wait for any of this.

use std::{
    collections::HashMap,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    Shared,
    journal::{Group, Journal, JournalError},
    queue::{Commit, Job, PieceJob},
    record::{Piece, Place},
    stage::StagedBody,
};
use crate::{
    base::ids::BlobId,
    store::{
        engine::{Applied, CommitError},
        resolve::{Change, resolve},
    },
};

/// The thread's state between groups.
pub(super) struct Committer {
    shared: Arc<Shared>,
    journal: Journal,
    buffer: Vec<u8>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        Self {
            shared,
            journal,
            buffer: Vec::new(),
        }
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut jobs = Vec::new();
        while self.shared.queue.take(&mut jobs) {
            // A panic here is a bug, or something in the index that nobody thought of. The store
            // must not go on from a half-done group, and the next one not from that index.
            let done = catch_unwind(AssertUnwindSafe(|| self.group(&mut jobs)));
            if done.is_err() {
                self.shared.give_up_index();
            }
            for job in jobs.drain(..) {
                job.refuse(CommitError::Poisoned);
            }
        }
    }

    fn group(&mut self, jobs: &mut Vec<Job>) {
        if self.shared.has_failed() {
            return;
        }
        let asked = jobs.len();
        jobs.retain(|job| !matches!(job, Job::Turn));
        let asked = jobs.len() < asked;
        if asked || self.journal.wants_turn() {
            self.turn(asked);
        }
        if jobs.is_empty() || self.shared.has_failed() {
            return;
        }
        if !self.shared.upkeep.relieve(&self.shared) {
            return jobs.drain(..).for_each(|job| job.refuse(CommitError::Full));
        }
        let mut pending = Pending::new(self.journal.begin(mem::take(&mut self.buffer)));
        for job in jobs.drain(..) {
            match job {
                Job::Commit(commit) => pending.add_commit(&self.shared, commit),
                Job::Piece(piece) => pending.add_piece(piece),
                Job::Turn => {}
            }
        }
        let error = match self.write(&pending) {
            Ok(()) => return self.publish(pending),
            Err(JournalError::Full) => {
                tracing::warn!("the disk is full: changes were refused");
                self.shared.room.release_reserve();
                CommitError::Full
            }
            Err(JournalError::Broken(error)) => {
                self.shared.fail_io("journal", &error);
                CommitError::Poisoned
            }
        };
        let full = matches!(error, CommitError::Full);
        self.buffer = pending.refuse(|| {
            if full {
                CommitError::Full
            } else {
                CommitError::Poisoned
            }
        });
    }

    /// Begins a new segment between two groups. The next checkpoint names it, whatever else is in
    /// it: the segment before may hold nothing but abandoned pieces.
    fn turn(&mut self, asked: bool) {
        match self.journal.turn() {
            Ok(()) => {
                let position = self.journal.position();
                self.shared.view.write().active.turn(position);
                if asked {
                    self.shared.upkeep.call();
                }
            }
            // Without a call: the upkeep asks again in its next round, not at once and for ever.
            Err(JournalError::Full) if asked => self.shared.room.release_reserve(),
            // A long segment is better than a refused deletion. Tried again by the next group.
            Err(JournalError::Full) => {}
            Err(JournalError::Broken(error)) => self.shared.fail_io("journal", &error),
        }
    }

    fn write(&mut self, pending: &Pending) -> Result<(), JournalError> {
        if pending.group.is_empty() {
            return Ok(());
        }
        self.journal.write(&pending.group)?;
        if pending.committed.is_empty() {
            // Pieces alone: the batch that names them syncs them.
            return Ok(());
        }
        self.journal.sync()
    }

    fn publish(&mut self, pending: Pending) {
        let Pending {
            group,
            entries,
            bodies,
            overhead,
            committed,
            written,
            failed,
        } = pending;
        if !committed.is_empty() {
            let position = self.journal.position();
            let mut layers = self.shared.view.write();
            for (key, value) in entries {
                layers.active.put(key, value);
            }
            for (id, place) in bodies {
                layers.active.put_body(id, place);
            }
            layers.active.add_overhead(position.segment, overhead);
            layers.active.set_position(position);
        }
        self.buffer = group.into_buffer();
        // Nobody waits any more for an answer that cannot be sent; the commit happened all the
        // same.
        for done in committed {
            done.staged.iter().for_each(|staged| staged.set_committed());
            let _ = done.answer.send(Ok(done.applied));
        }
        for (answer, piece) in written {
            let _ = answer.send(Ok(piece));
        }
        for (answer, error) in failed {
            let _ = answer.send(Err(error));
        }
    }
}

type Answer<T> = oneshot::Sender<Result<T, CommitError>>;

/// A group being composed, and what is to be told about it.
struct Pending {
    group: Group,
    entries: HashMap<Bytes, Option<Bytes>>,
    bodies: Vec<(BlobId, Option<Arc<Place>>)>,
    overhead: u64,
    committed: Vec<Committed>,
    written: Vec<(Answer<Piece>, Piece)>,
    failed: Vec<(Answer<Applied>, CommitError)>,
}

/// A batch that happens with the group.
struct Committed {
    answer: Answer<Applied>,
    applied: Applied,
    staged: Vec<Arc<StagedBody>>,
}

impl Pending {
    fn new(group: Group) -> Self {
        Self {
            group,
            entries: HashMap::new(),
            bodies: Vec::new(),
            overhead: 0,
            committed: Vec::new(),
            written: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn add_piece(&mut self, job: PieceJob) {
        let piece = self.group.add_piece(&job.bytes, job.crc);
        job.pin.add(piece.extent.file.segment);
        self.written.push((job.answer, piece));
    }

    fn add_commit(&mut self, shared: &Arc<Shared>, commit: Commit) {
        let Commit {
            batch,
            bodies,
            contents,
            staged,
            answer,
            ..
        } = commit;
        if !staged.iter().all(|staged| staged.is_free(shared)) {
            let error = CommitError::Unacceptable("a staged body is not whole or not free");
            return self.failed.push((answer, error));
        }
        let view = |key: &[u8]| match self.entries.get(key) {
            Some(value) => Ok(value.clone()),
            None => shared.noticed(shared.view.get(key)),
        };
        let resolved = match resolve(batch, view) {
            Ok((resolved, _)) => resolved,
            Err(error) => return self.failed.push((answer, error)),
        };
        let time = shared.clock.wall().0;
        let (places, overhead) = self
            .group
            .add_batch(time, &bodies, &contents, &resolved.changes);
        self.overhead += overhead;
        let places = places.into_iter().map(Arc::new).map(Some);
        self.bodies
            .extend(bodies.iter().map(|body| body.id).zip(places));
        for change in resolved.changes {
            match change {
                Change::Put(key, value) => _ = self.entries.insert(key, Some(value)),
                Change::Delete(key) => _ = self.entries.insert(key, None),
                Change::DropBody(id) => self.bodies.push((id, None)),
            }
        }
        let applied = Applied {
            counters: resolved.counters,
        };
        self.committed.push(Committed {
            answer,
            applied,
            staged,
        });
    }

    /// Tells everybody that the group did not happen; the group's buffer is left.
    fn refuse(self, error: impl Fn() -> CommitError) -> Vec<u8> {
        for done in self.committed {
            let _ = done.answer.send(Err(error()));
        }
        for (answer, _) in self.written {
            let _ = answer.send(Err(error()));
        }
        for (answer, failed) in self.failed {
            let _ = answer.send(Err(failed));
        }
        self.group.into_buffer()
    }
}
