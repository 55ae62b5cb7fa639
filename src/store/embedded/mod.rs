//! The embedded engine: a journal that is the mail, and an index that is a cache of it.
//!
//! A commit is appended to the journal, synced with everything that waits beside it, made visible
//! in an overlay in memory, and answered. Checkpoints bring overlays into the index later.
//! docs/STORE.md has the layout on disk, the formats and the crash argument.
//!
//! Two threads: the committer is the only writer of the journal, the upkeep thread the only writer
//! of the index. Reads take no part in either. Locks (the view's layers, the queue, the upkeep
//! state) are never held across I/O, and never one while another is taken; only a close keeps
//! `running` locked until both threads have ended.

mod body;
mod commit;
mod compact;
mod directory;
pub mod disk;
mod index;
mod journal;
mod open;
mod overlay;
mod queue;
mod record;
mod replay;
mod room;
mod scan;
mod segment;
mod shortage;
mod stage;
mod upkeep;
mod verify;

use std::{
    fmt,
    future::ready,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

pub use open::OpenError;
pub use replay::{Damage, Report};

use self::{
    commit::Committer,
    directory::{index_path, suspect_path},
    disk::{Disk, Lock, OpenMode, RealDisk},
    journal::Journal,
    open::Opened,
    overlay::View,
    queue::{Commit, Job, Queue},
    record::{Held, NamedBody},
    room::Space,
    segment::{Segments, StoreId},
    stage::{Pins, StagedBody, Staging},
    upkeep::{Caretaker, Upkeep},
};
use super::{
    batch::{Batch, Body, Content},
    engine::{
        Applied, CommitError, Engine, KeyRange, Order, Page, PageLimit, ReadError, Room, Stage,
    },
    key::Key,
    resolve::check_bounds,
};
use crate::base::{clock::Clock, future::BoxFuture, ids::BlobId};

/// What can be chosen about an embedded store.
#[derive(Clone, Debug)]
pub struct Options {
    /// A journal segment of this length is followed by the next one.
    pub segment_bytes: u64,
    /// Time between checkpoints of the index; bounds what a start after a crash replays.
    pub checkpoint_interval: Duration,
    /// Uncheckpointed changes in memory that bring a checkpoint forward. Commits wait at twice as
    /// much.
    pub overlay_bytes: usize,
    /// Size of the reserve that keeps a full disk usable; zero for none.
    pub ballast_bytes: u64,
    /// With less room on the disk than this, [`Room::Low`].
    pub low_water_bytes: u64,
    /// A segment of which less than this is alive is compacted; zero for never.
    pub compact_below_percent: u8,
    /// A checkpoint is not begun without room for what it is thought to write and for the index's
    /// own length, or this where that is less.
    pub index_slack_bytes: u64,
    /// Source of the time stamps in the journal.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 128 * MIB,
            checkpoint_interval: Duration::from_secs(5),
            overlay_bytes: 32 * 1024 * 1024,
            ballast_bytes: 64 * MIB,
            low_water_bytes: 256 * MIB,
            compact_below_percent: 60,
            index_slack_bytes: 16 * MIB,
            clock: Clock::system(),
        }
    }
}

/// The engine.
pub struct Embedded {
    shared: Arc<Shared>,
    report: Report,
}

/// What ends when the engine closes.
#[derive(Debug)]
struct Running {
    committer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    /// Released last.
    lock: Box<dyn Lock>,
}

/// What the engine's threads, its readers and its stages have in common.
#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    clock: Clock,
    store: StoreId,
    segments: Arc<Segments>,
    view: View,
    queue: Queue,
    upkeep: Upkeep,
    pins: Pins,
    room: Space,
    has_failed: AtomicBool,
    failure: watch::Sender<Option<String>>,
    running: Mutex<Option<Running>>,
}

impl Embedded {
    /// Opens the store in `dir`, making it when there is none. Replays what the last run did not
    /// checkpoint; blocks while it does.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, OpenError> {
        Self::open_on(Arc::new(RealDisk), dir, options)
    }

    /// [`Embedded::open`] on a file system that may lie.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
    ) -> Result<Arc<Self>, OpenError> {
        let opened = open::open(&disk, dir, &options)?;
        let Opened {
            lock,
            store,
            segments,
            space,
            index,
            snapshot,
            overlay,
            end,
            report,
        } = opened;
        let failed = |source| OpenError::Io {
            action: "run",
            path: dir.to_owned(),
            source,
        };
        let segment_bytes = options.segment_bytes;
        let journal = Journal::resume(Arc::clone(&segments), store, segment_bytes, end);
        let journal = journal.map_err(failed)?;
        let shared = Arc::new(Shared {
            disk,
            dir: dir.to_owned(),
            clock: options.clock.clone(),
            options,
            store,
            segments,
            view: View::new(overlay, snapshot),
            queue: Queue::new(),
            upkeep: Upkeep::default(),
            pins: Pins::default(),
            room: space,
            has_failed: AtomicBool::new(false),
            failure: watch::Sender::new(None),
            running: Mutex::new(None),
        });
        let committer = Committer::new(Arc::clone(&shared), journal);
        let caretaker = Caretaker::new(Arc::clone(&shared), index);
        let upkeep = spawn("store-upkeep", move || caretaker.run()).map_err(failed)?;
        let committer = match spawn("store-commit", move || committer.run()) {
            Ok(committer) => committer,
            Err(error) => {
                shared.upkeep.close();
                return Err(failed(error));
            }
        };
        *shared.running() = Some(Running {
            committer,
            upkeep,
            lock,
        });
        Ok(Arc::new(Self { shared, report }))
    }

    /// Whether there is a store in `dir` that this program knows; an error when it is unknown, or
    /// when there is none and none can be made there. Changes nothing, whoever has the store open.
    pub fn exists(dir: &Path) -> Result<bool, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        directory::exists(&disk, dir)
    }

    /// Makes the index of the store in `dir` again from its journal. The store must not be open.
    pub fn rebuild(dir: &Path, options: &Options) -> Result<Report, OpenError> {
        Self::rebuild_on(Arc::new(RealDisk), dir, options)
    }

    /// [`Embedded::rebuild`] on a file system that may lie.
    pub fn rebuild_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &Options,
    ) -> Result<Report, OpenError> {
        open::rebuild(&disk, dir, options)
    }

    /// Reads the whole store in `dir` and reports what is damaged. The store must not be open.
    pub fn verify(dir: &Path) -> Result<Report, OpenError> {
        Self::verify_on(Arc::new(RealDisk), dir)
    }

    /// [`Embedded::verify`] on a file system that may lie.
    pub fn verify_on(disk: Arc<dyn Disk>, dir: &Path) -> Result<Report, OpenError> {
        verify::verify(&disk, dir)
    }

    /// What opening found.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Brings everything committed so far into the index; whether that worked.
    pub async fn checkpoint(&self) -> bool {
        self.shared.upkeep.checkpoint().await.unwrap_or(false)
    }

    /// Compacts now, after a checkpoint, all segments worth it; answers how many. Otherwise that
    /// happens slowly, on its own.
    pub async fn compact(&self) -> usize {
        self.shared.upkeep.compact().await.unwrap_or(0)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.shared.shut_down();
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("dir", &self.shared.dir)
            .finish_non_exhaustive()
    }
}

impl Engine for Embedded {
    /// Index pages are small and mostly in memory: read in place.
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        Box::pin(ready(
            self.shared.noticed(self.shared.view.get(key.as_bytes())),
        ))
    }

    fn page(
        &self,
        range: KeyRange,
        limit: PageLimit,
        order: Order,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(ready(
            self.shared
                .noticed(self.shared.view.page(&range, limit, order)),
        ))
    }

    fn commit(&self, mut batch: Batch) -> BoxFuture<'_, Result<Applied, CommitError>> {
        Box::pin(async move {
            let (answer, done) = oneshot::channel();
            let bodies = std::mem::take(&mut batch.bodies);
            if !bodies.is_empty() {
                self.shared.accepts_bodies()?;
            }
            let job = self.shared.prepared(batch, bodies, answer)?;
            self.shared.queue.push(Job::Commit(job)).await?;
            self.shared.answered(done).await
        })
    }

    fn stage(&self) -> BoxFuture<'_, Result<Box<dyn Stage>, CommitError>> {
        let stage: Result<Box<dyn Stage>, CommitError> = match self.shared.accepts_bodies() {
            Ok(()) => Ok(Box::new(Staging::new(Arc::clone(&self.shared)))),
            Err(error) => Err(error),
        };
        Box::pin(ready(stage))
    }

    fn body(&self, id: BlobId, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        Box::pin(body::read(&self.shared, id, range))
    }

    fn room(&self) -> Room {
        self.shared.room.room()
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        let mut failure = self.shared.failure.subscribe();
        Box::pin(async move {
            let reason = failure.wait_for(Option::is_some).await;
            let reason = reason.ok().and_then(|reason| reason.clone());
            reason.unwrap_or_default()
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let closed = tokio::task::spawn_blocking(move || shared.shut_down()).await;
            if let Err(error) = closed {
                tracing::error!(%error, "closing the store failed");
            }
        })
    }
}

impl Shared {
    /// Ends the threads after what is queued, and releases the directory. Blocks.
    fn shut_down(&self) {
        // Kept locked: a second caller returns when the work is done, not before.
        let mut running = self.running();
        let Some(Running {
            committer,
            upkeep,
            lock,
        }) = running.take()
        else {
            return;
        };
        self.queue.close();
        // Threads catch their panics and report them as a failure of the store.
        let _ = committer.join();
        self.upkeep.close();
        let _ = upkeep.join();
        let mut layers = self.view.write();
        let index = layers.index.take();
        drop(layers);
        drop(index);
        self.segments.clear();
        drop(lock);
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops all writing for good (DUR-03).
    fn fail(&self, reason: &str) {
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            tracing::error!(reason, "the store stops writing");
            self.failure.send_replace(Some(reason.to_owned()));
        }
    }

    fn fail_io(&self, what: &str, error: &io::Error) {
        self.fail(&format!(
            "writing the {what} in {} failed: {error}",
            self.dir.display()
        ));
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Passes on what a read of the index came to.
    fn noticed<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        read.inspect_err(|error| self.notice(error))
    }

    /// A read of the index failed. Damage: counters read from it could be given twice. A disk that
    /// failed once: the index is of no use before it is opened anew.
    fn notice(&self, error: &ReadError) {
        match error {
            ReadError::Damaged(_) => self.give_up_index(),
            ReadError::Io(_) => self.upkeep.read_failed(),
            _ => {}
        }
    }

    /// The index is damaged: the next start makes it again.
    fn give_up_index(&self) {
        if self.has_failed() {
            return;
        }
        let marked = self.disk.open(&suspect_path(&self.dir), OpenMode::New);
        let marked = marked.and_then(|_| self.disk.sync_dir(&self.dir));
        if let Err(error) = marked {
            tracing::error!(%error, "the index could not be marked as damaged");
        }
        self.fail("the index is damaged; the next start makes it again from the journal");
    }

    fn index_path(&self) -> PathBuf {
        index_path(&self.dir)
    }

    fn accepts_bodies(&self) -> Result<(), CommitError> {
        if self.has_failed() {
            return Err(CommitError::Poisoned);
        }
        if self.room.accepts_bodies() {
            Ok(())
        } else {
            Err(CommitError::Full)
        }
    }

    /// Everything about the bodies that the committer need not spend its time on.
    fn prepared(
        self: &Arc<Self>,
        batch: Batch,
        bodies: Vec<Body>,
        answer: oneshot::Sender<Result<Applied, CommitError>>,
    ) -> Result<Commit, CommitError> {
        let batch_bytes = check_bounds(&batch)?;
        let mut named = Vec::with_capacity(bodies.len());
        let mut contents = Vec::with_capacity(bodies.len());
        let mut staged = Vec::new();
        for Body { id, content } in bodies {
            let length = content.length();
            match content {
                Content::Bytes(bytes) => {
                    let crc = crc32fast::hash(&bytes);
                    named.push(NamedBody {
                        id,
                        length,
                        crc,
                        held: Held::Inline,
                    });
                    contents.push(Some(bytes));
                }
                Content::Staged(content) => {
                    let content = content.token.downcast::<StagedBody>().map_err(|_| {
                        CommitError::Unacceptable("a body was staged in another engine")
                    })?;
                    let held = Held::Pieces(Arc::clone(&content.pieces));
                    let (length, crc) = (content.length, content.crc);
                    named.push(NamedBody {
                        id,
                        length,
                        crc,
                        held,
                    });
                    contents.push(None);
                    staged.push(content);
                }
            }
        }
        let pieces: usize = staged.iter().map(|staged| staged.pieces.len()).sum();
        if pieces > PIECES_MAX {
            return Err(CommitError::Unacceptable("a batch has too many pieces"));
        }
        Ok(Commit {
            batch,
            batch_bytes,
            bodies: named,
            contents,
            staged,
            answer,
        })
    }

    /// The committer's answer; it drops the question only when it stops.
    async fn answered<T>(
        &self,
        answer: oneshot::Receiver<Result<T, CommitError>>,
    ) -> Result<T, CommitError> {
        match answer.await {
            Ok(answer) => answer,
            Err(_) if self.has_failed() => Err(CommitError::Poisoned),
            Err(_) => Err(CommitError::Closed),
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Pieces of all staged bodies of one batch: a bound for the memory of who reads its record.
const PIECES_MAX: usize = 500_000;
const MIB: u64 = 1024 * 1024;
