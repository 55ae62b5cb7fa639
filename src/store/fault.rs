//! An engine that fails when told to: wraps another one, for the tests of whatever stands on a
//! store.
//!
//! Counts commits and reads, and lets the n-th one fail: refused, in conflict, or crashed before or
//! after it happened. Reads take as long as is asked for, and something else can be made to happen
//! right before a commit. After a crash the engine is poisoned, as a real one is after a failed
//! sync (DUR-03); wrap the inner engine again to see what a restart would see. It is not a fault
//! layer for disks: that one lies below the embedded engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::ready,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, time::sleep};

use super::{
    batch::Batch,
    engine::{
        Applied, CommitError, Engine, KeyRange, Order, Page, PageLimit, ReadError, Room, Stage,
    },
    key::Key,
};
use crate::base::{future::BoxFuture, ids::BlobId};

/// An engine with faults to come.
pub struct Fault {
    inner: Arc<dyn Engine>,
    plan: Mutex<Plan>,
    crashed: watch::Sender<bool>,
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Answers [`CommitError::Conflict`]; nothing happened.
    Conflict,
    /// Answers [`CommitError::Full`]; nothing happened.
    Full,
    /// Answers [`CommitError::Poisoned`], now and from now on; nothing happened.
    CrashBefore,
    /// Answers [`CommitError::Poisoned`], now and from now on; the batch happened.
    CrashAfter,
}

#[derive(Default)]
struct Plan {
    commits: u64,
    reads: u64,
    rows: u64,
    commit_faults: BTreeMap<u64, CommitFault>,
    preludes: BTreeMap<u64, BoxFuture<'static, ()>>,
    read_faults: BTreeSet<u64>,
    /// How long each read takes.
    delay: Duration,
    room: Option<Room>,
}

impl Fault {
    /// Wraps `inner`; nothing fails yet.
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Self {
            inner,
            plan: Mutex::default(),
            crashed: watch::Sender::new(false),
        }
    }

    /// The `n`-th commit from now (1 is the next) fails.
    pub fn fail_commit(&self, n: u64, fault: CommitFault) {
        let mut plan = self.plan();
        let at = plan.commits + n;
        plan.commit_faults.insert(at, fault);
    }

    /// Right before the `n`-th commit from now (1 is the next), this happens: somebody was faster.
    pub fn before_commit(&self, n: u64, what: BoxFuture<'static, ()>) {
        let mut plan = self.plan();
        let at = plan.commits + n;
        plan.preludes.insert(at, what);
    }

    /// The `n`-th read from now (1 is the next; of a key, a page or a body) fails with an I/O
    /// error.
    pub fn fail_read(&self, n: u64) {
        let mut plan = self.plan();
        let at = plan.reads + n;
        plan.read_faults.insert(at);
    }

    /// Every read takes this long from now on.
    pub fn delay_reads(&self, each: Duration) {
        self.plan().delay = each;
    }

    /// What [`Engine::room`] answers from now on; `None` for what the inner engine says.
    pub fn set_room(&self, room: Option<Room>) {
        self.plan().room = room;
    }

    /// Commits asked for so far.
    pub fn commits(&self) -> u64 {
        self.plan().commits
    }

    /// Reads asked for so far.
    pub fn reads(&self) -> u64 {
        self.plan().reads
    }

    /// Rows that were read in pages so far.
    pub fn rows(&self) -> u64 {
        self.plan().rows
    }

    /// Counts a read and lets it fail or pass, when its time has come.
    fn read(&self) -> impl Future<Output = Result<(), ReadError>> + Send + use<> {
        let mut plan = self.plan();
        plan.reads += 1;
        let at = plan.reads;
        let (fails, delay) = (plan.read_faults.remove(&at), plan.delay);
        async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            match fails {
                true => Err(ReadError::Io(io::Error::other("a fault was asked for"))),
                false => Ok(()),
            }
        }
    }

    fn next_commit(&self) -> (Option<BoxFuture<'static, ()>>, Option<CommitFault>) {
        let mut plan = self.plan();
        plan.commits += 1;
        let at = plan.commits;
        (plan.preludes.remove(&at), plan.commit_faults.remove(&at))
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan();
        f.debug_struct("Fault")
            .field("commits", &plan.commits)
            .field("reads", &plan.reads)
            .finish_non_exhaustive()
    }
}

impl Engine for Fault {
    fn get<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Result<Option<Bytes>, ReadError>> {
        let read = self.read();
        Box::pin(async move {
            read.await?;
            self.inner.get(key).await
        })
    }

    fn page(
        &self,
        range: KeyRange,
        limit: PageLimit,
        order: Order,
    ) -> BoxFuture<'_, Result<Page, ReadError>> {
        let read = self.read();
        Box::pin(async move {
            read.await?;
            let page = self.inner.page(range, limit, order).await?;
            self.plan().rows += page.entries.len() as u64;
            Ok(page)
        })
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Applied, CommitError>> {
        Box::pin(async move {
            let (prelude, fault) = self.next_commit();
            if let Some(prelude) = prelude {
                prelude.await;
            }
            if *self.crashed.borrow() {
                return Err(CommitError::Poisoned);
            }
            match fault {
                None => return self.inner.commit(batch).await,
                Some(CommitFault::Conflict) => return Err(CommitError::Conflict),
                Some(CommitFault::Full) => return Err(CommitError::Full),
                Some(CommitFault::CrashBefore) => {}
                Some(CommitFault::CrashAfter) => _ = self.inner.commit(batch).await?,
            }
            self.crashed.send_replace(true);
            Err(CommitError::Poisoned)
        })
    }

    fn stage(&self) -> BoxFuture<'_, Result<Box<dyn Stage>, CommitError>> {
        if *self.crashed.borrow() {
            return Box::pin(ready(Err(CommitError::Poisoned)));
        }
        self.inner.stage()
    }

    fn body(&self, id: BlobId, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ReadError>> {
        let read = self.read();
        Box::pin(async move {
            read.await?;
            self.inner.body(id, range).await
        })
    }

    fn room(&self) -> Room {
        let room = self.plan().room;
        room.unwrap_or_else(|| self.inner.room())
    }

    fn failed(&self) -> BoxFuture<'_, String> {
        let mut crashed = self.crashed.subscribe();
        Box::pin(async move {
            tokio::select! {
                reason = self.inner.failed() => reason,
                _ = crashed.wait_for(|crashed| *crashed) => "a crash was asked for".to_owned(),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
