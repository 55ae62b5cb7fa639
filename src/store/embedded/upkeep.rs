//! The upkeep thread: checkpoints, the reserve, compaction; all that nobody waits for.
//!
//! A checkpoint freezes the active overlay, brings it into the index in one durable transaction
//! together with the journal position, and drops it. It owns the index; a failed transaction or
//! read is answered by opening the index anew, and when that fails too, by stopping the store.

use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    Shared,
    compact::{self, Abandoned, Choice, Compacted, Wanted},
    disk::{OpenMode, is_full},
    index::{Index, IndexError, Snapshot},
    overlay::Overlay,
    record::FileId,
    shortage::{Hindrance, Shortage},
};
use crate::store::engine::ReadError;

/// How others talk to the thread.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: bool,
    closing: bool,
    /// Whether a read of the index failed since it was looked at.
    read_failed: bool,
    /// Checkpoints tried.
    attempts: u64,
    /// Whether the last one failed.
    failed: bool,
    waiters: Vec<oneshot::Sender<bool>>,
    compaction_waiters: Vec<oneshot::Sender<usize>>,
}

impl Upkeep {
    /// Asks for a checkpoint soon.
    fn request(&self) -> u64 {
        let mut state = self.lock();
        state.wanted = true;
        let attempts = state.attempts;
        drop(state);
        self.wake.notify_one();
        attempts
    }

    /// Wakes the thread.
    pub(super) fn call(&self) {
        self.request();
    }

    /// A read of the index failed.
    pub(super) fn read_failed(&self) {
        self.lock().read_failed = true;
        self.request();
    }

    /// Asks for a checkpoint; the answer is whether everything committed before is in the index.
    pub(super) fn checkpoint(&self) -> oneshot::Receiver<bool> {
        let (answer, done) = oneshot::channel();
        self.lock().waiters.push(answer);
        self.request();
        done
    }

    /// Asks for a compaction of all that is worth it; the answer is how many segments that was.
    pub(super) fn compact(&self) -> oneshot::Receiver<usize> {
        let (answer, done) = oneshot::channel();
        self.lock().compaction_waiters.push(answer);
        self.request();
        done
    }

    /// Holds the committer back while the overlays are too large; `false` when that does not
    /// end because the index cannot be written. Blocks.
    pub(super) fn relieve(&self, shared: &Shared) -> bool {
        let limit = shared.options.overlay_bytes;
        let active = || shared.view.read().active.bytes();
        if active() <= limit {
            return true;
        }
        let seen = self.request();
        if active() <= 2 * limit {
            return true;
        }
        let mut state = self.lock();
        while state.attempts == seen && !state.closing {
            state = self
                .done
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let failed = state.failed;
        drop(state);
        !failed || active() <= 4 * limit
    }

    /// Ends the thread after a last checkpoint.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.wake.notify_one();
        self.done.notify_all();
    }

    /// Waits for a call or for `time` to pass; `true` when the thread must end.
    fn wait(&self, time: Duration) -> bool {
        let state = self.lock();
        let idle = |state: &mut State| !state.wanted && !state.closing;
        let waited = self.wake.wait_timeout_while(state, time, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = false;
        state.closing
    }

    /// Waits a moment, or until there is something more urgent than compaction.
    fn pause(&self, time: Duration) -> Pause {
        let idle = |state: &mut State| !state.wanted && !state.closing;
        let waited = self.wake.wait_timeout_while(self.lock(), time, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut state.wanted) {
            _ if state.closing => Pause::Closing,
            true => Pause::Called,
            false => Pause::Over,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a pause of the compaction ended.
enum Pause {
    Over,
    Called,
    Closing,
}

/// The thread's own state.
pub(super) struct Caretaker {
    shared: Arc<Shared>,
    index: Option<Index>,
    /// Segments that could not be compacted, until the next start.
    incompressible: BTreeSet<u32>,
    /// Lengths of segments that are written no more.
    lengths: HashMap<FileId, u64>,
    /// Whether bodies may have died since no segment was found worth compacting, or since the index
    /// could not be read for it.
    may_be_dead: bool,
    shortage: Shortage,
}

impl Caretaker {
    pub(super) fn new(shared: Arc<Shared>, index: Index) -> Self {
        Self {
            shared,
            index: Some(index),
            incompressible: BTreeSet::new(),
            lengths: HashMap::new(),
            may_be_dead: true,
            shortage: Shortage::default(),
        }
    }

    /// Works until the engine closes.
    pub(super) fn run(mut self) {
        if catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            // A bug, or something in the index that nobody thought of.
            self.shared.give_up_index();
            self.shared.upkeep.close();
        }
    }

    fn work(&mut self) {
        loop {
            let closing = self
                .shared
                .upkeep
                .wait(self.shared.options.checkpoint_interval);
            self.checkpoint();
            if closing {
                return;
            }
            self.shared.room.restore_reserve();
            self.look_at_room();
            self.compact();
        }
    }

    /// Notes whether the disk is nearly full: then what was not worth compacting may be (DUR-04).
    fn look_at_room(&mut self) {
        let (room, free) = self.shared.room.room_now();
        if self.shortage.see(room, free, &self.shared.options) {
            self.may_be_dead = true;
        }
    }

    /// Compacts: one segment slowly; all of them when somebody waits for it or room is needed.
    fn compact(&mut self) {
        let waiters = std::mem::take(&mut self.shared.upkeep.lock().compaction_waiters);
        let waited_for = !waiters.is_empty();
        let pace = match waited_for {
            true => Duration::ZERO,
            false => compact::PAUSE,
        };
        let mut done = 0;
        while self.compact_one(pace) {
            done += 1;
            let goes_on = waited_for || self.shortage.lasts();
            if !goes_on || !self.pause(pace) {
                break;
            }
            if !waited_for {
                self.checkpoint();
                self.shared.room.restore_reserve();
                self.look_at_room();
            }
        }
        for waiter in waiters {
            // Who gave up waiting does not need the answer.
            let _ = waiter.send(done);
        }
    }

    fn compact_one(&mut self, pace: Duration) -> bool {
        let Some(snapshot) = self.shared.view.read().index.clone() else {
            return false;
        };
        if !self.may_be_dead || self.shared.has_failed() {
            return false;
        }
        let choice = self.candidate(&snapshot);
        let Some(candidate) = choice.best else {
            // A turn that a full disk refuses is asked for again.
            self.may_be_dead = self.turn_if_short(&snapshot) || choice.waits;
            return false;
        };
        if !self.has_room_beside_mail(candidate.live) {
            let needed = candidate.live + self.index_slack();
            let free = self.shared.room.room_now().1;
            self.shortage.hindered(Hindrance::Copy, needed, free);
            return false;
        }
        let file = candidate.file;
        let shared = Arc::clone(&self.shared);
        let mut pause = || self.pause(pace);
        let compacted = match compact::rewrite(&shared, &snapshot, file, &mut pause) {
            Ok(compacted) => compacted,
            Err(Abandoned::Interrupted) => return false,
            Err(Abandoned::Io(error)) if is_full(&error) => return false,
            // Nothing is wrong with the segment: the index is opened anew, or was meanwhile. Not at
            // once again, should it fail for ever.
            Err(Abandoned::Index(error @ ReadError::Io(_))) => {
                self.shared.notice(&error);
                let error: &dyn Error = &error;
                tracing::warn!(error, "a compaction could not read the index: it waits");
                self.may_be_dead = false;
                return false;
            }
            Err(error) => {
                if let Abandoned::Index(error) = &error {
                    self.shared.notice(error);
                }
                let path = self.shared.segments.path(file);
                let error: &dyn Error = &error;
                tracing::warn!(path = %path.display(), error, "a segment was not compacted");
                self.incompressible.insert(file.segment);
                return false;
            }
        };
        let adopted = self.adopt(&compacted);
        if adopted {
            self.shortage.relieved(&candidate);
        }
        adopted
    }

    fn candidate(&mut self, snapshot: &Snapshot) -> Choice {
        let wanted = Wanted {
            below_percent: self.shortage.below_percent(&self.shared.options),
            skip: &self.incompressible,
        };
        let chosen = compact::candidate(&self.shared, snapshot, &wanted, &mut self.lengths);
        self.shared.noticed(chosen).unwrap_or_else(|error| {
            tracing::warn!(%error, "no segment could be chosen for compaction");
            Choice::default()
        })
    }

    /// When room is needed and only the newest segment could give some, another one is begun;
    /// whether that was asked for.
    fn turn_if_short(&mut self, snapshot: &Snapshot) -> bool {
        if !self.shortage.lasts() {
            return false;
        }
        let below = self.shortage.below_percent(&self.shared.options);
        match compact::newest_is_worth_it(&self.shared, snapshot, below) {
            Ok(true) => {
                self.shared.queue.push_turn();
                return true;
            }
            Ok(false) => {
                let free = self.shared.room.room_now().1;
                self.shortage.hindered(Hindrance::NothingDead, 0, free);
            }
            Err(error) => tracing::warn!(%error, "the newest segment's use is not known"),
        }
        false
    }

    /// Lets others have the disk for this long, or only does what was asked for meanwhile; `false`
    /// when compaction must stop. A checkpoint in between does no harm: what dies meanwhile is
    /// found when the index is pointed to the new file.
    fn pause(&mut self, time: Duration) -> bool {
        match self.shared.upkeep.pause(time) {
            Pause::Over => {}
            Pause::Called => self.checkpoint(),
            Pause::Closing => return false,
        }
        !self.shared.has_failed()
    }

    /// Points the index to a new file and removes the old one.
    fn adopt(&mut self, compacted: &Compacted) -> bool {
        let Compacted {
            old,
            moves,
            overhead,
        } = compacted;
        let Some(index) = &self.index else {
            return false;
        };
        let relocated = index
            .relocate(*old, moves, *overhead)
            .and_then(|()| index.snapshot());
        match relocated {
            Ok(snapshot) => {
                let former = self.shared.view.write().index.replace(snapshot);
                drop(former);
                let removed = self.shared.segments.remove(*old);
                if let Err(error) = removed {
                    tracing::warn!(%error, "a compacted segment's old file could not be removed");
                }
                true
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a compaction failed");
                self.reopen(&error);
                false
            }
        }
    }

    /// One checkpoint, and word of it to who waits.
    pub(super) fn checkpoint(&mut self) {
        self.look_at_index();
        let waiters = std::mem::take(&mut self.shared.upkeep.lock().waiters);
        let left = self.shared.view.read().frozen.is_some();
        let done = !self.shared.has_failed()
            && self.write_overlay()
            // What an earlier failure left was not all.
            && (!left || self.write_overlay());
        let mut state = self.shared.upkeep.lock();
        state.attempts += 1;
        state.failed = !done;
        drop(state);
        self.shared.upkeep.done.notify_all();
        for waiter in waiters {
            // Who gave up waiting does not need the answer.
            let _ = waiter.send(done);
        }
    }

    fn write_overlay(&mut self) -> bool {
        let Some(overlay) = self.freeze() else {
            return true;
        };
        let bytes = overlay.bytes() as u64 * INDEX_GROWTH;
        if !self.has_room_beside_mail(bytes) {
            let needed = bytes + self.index_slack();
            let free = self.shared.room.room_now().1;
            self.shortage.hindered(Hindrance::Checkpoint, needed, free);
            return false;
        }
        let Some(index) = &self.index else {
            return false;
        };
        let written = index.checkpoint(&overlay).and_then(|()| index.snapshot());
        match written {
            Ok(snapshot) => {
                let mut layers = self.shared.view.write();
                layers.index = Some(snapshot);
                let old = layers.frozen.take();
                drop(layers);
                self.may_be_dead = true;
                self.shortage.passed(Hindrance::Checkpoint);
                drop(old);
                true
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "a checkpoint failed");
                self.reopen(&error);
                false
            }
        }
    }

    /// The overlay to be written: one left by a failed attempt, or the active one, frozen now.
    fn freeze(&self) -> Option<Arc<Overlay>> {
        let mut layers = self.shared.view.write();
        if layers.frozen.is_none() && !layers.active.is_empty() {
            let fresh = Overlay::starting_at(layers.active.position());
            let full = std::mem::replace(&mut layers.active, fresh);
            layers.frozen = Some(Arc::new(full));
        }
        layers.frozen.clone()
    }

    /// Room that a transaction of the index wants beside what it brings in: at worst every page of
    /// it is written again. It must not meet a full disk in its middle.
    fn index_slack(&self) -> u64 {
        let most = self.shared.options.index_slack_bytes;
        let path = self.shared.index_path();
        let file = self.shared.disk.open(&path, OpenMode::Existing);
        let length = file.and_then(|file| file.len());
        length.map_or(most, |length| most.min(length + INDEX_SLACK_BYTES_MIN))
    }

    /// Whether `bytes` can be written, at the cost of the reserve if need be.
    fn has_room_beside_mail(&self, bytes: u64) -> bool {
        let wanted = bytes + self.index_slack();
        if !self.shared.room.has(wanted) {
            self.shared.room.release_reserve();
        }
        self.shared.room.has(wanted)
    }

    /// Opens the index anew after a failed read, unless that was done since.
    fn look_at_index(&mut self) {
        let failed = std::mem::take(&mut self.shared.upkeep.lock().read_failed);
        if !failed || self.shared.has_failed() {
            return;
        }
        if let Some(Err(error)) = self.index.as_ref().map(Index::probe) {
            tracing::error!(error = &error as &dyn Error, "reading the index failed");
            self.reopen(&error);
        }
    }

    /// The index refuses everything after an error; a fresh handle may not.
    fn reopen(&mut self, cause: &IndexError) {
        if let IndexError::Damaged(_) = cause {
            return self.shared.give_up_index();
        }
        self.index = None;
        let opened = Index::open(&*self.shared.disk, &self.shared.index_path());
        match opened.and_then(|index| Ok((index.snapshot()?, index))) {
            Ok((snapshot, index)) => {
                self.shared.view.write().index = Some(snapshot);
                self.index = Some(index);
            }
            Err(IndexError::Damaged(_)) => self.shared.give_up_index(),
            Err(IndexError::Io(error)) => self.shared.fail_io("index", &error),
        }
    }
}

/// Pages written for each byte of an overlay, at worst about this many times over.
const INDEX_GROWTH: u64 = 3;
/// Slack that an index of no size would want.
const INDEX_SLACK_BYTES_MIN: u64 = 1024 * 1024;
