//! The worker's loop: scan, start, wait; and the end of it.
//!
//! New rows of the index of due times are at its end, so a wake-up looks at the last few seconds
//! only; once a minute, and whenever room was made for what did not fit on the board, the whole of
//! what is due is looked at. Wall time may jump, so nothing is slept longer than a minute. After a
//! stop, attempts in flight are finished; those that do not end in time put their recipients back
//! with at most the attempt in flight repeated).

use std::{collections::HashMap, future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Destination, Relay, Shared,
    attempt::{Phase, work},
    board::Start,
};
use crate::{
    base::text::Causes,
    queue::{Position, record::Source},
    store::ReadError,
};

/// The worker's tasks; for which destination each is, and on whose account.
struct Tasks {
    set: JoinSet<()>,
    of: HashMap<Id, (Destination, Source)>,
}

/// What to look at next, and when.
struct Plan {
    full_at: Instant,
    /// Something that is due did not fit on the board.
    left_over: bool,
    recent_at: Instant,
    reclamp_at: Instant,
    /// How often the queue had called everything back at the last look.
    recalls: u64,
    /// No look before: under load, looking must not become the work.
    rest_until: Instant,
}

impl Relay {
    /// Works until `stop` resolves and attempts in flight have ended; what they were is written
    /// down then.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let Some(ledger) = &self.0.parts.ledger else {
            return self.work(stop).await;
        };
        let (ended, over) = oneshot::channel::<()>();
        let working = async {
            self.work(stop).await;
            drop(ended);
        };
        let over = async {
            // An error is the end, too.
            let _ = over.await;
        };
        tokio::join!(working, ledger.run(over));
    }

    async fn work(&self, stop: impl Future<Output = ()>) {
        let shared = &self.0;
        let (phase, _) = watch::channel(Phase::Running);
        let mut tasks = Tasks {
            set: JoinSet::new(),
            of: HashMap::new(),
        };
        let mut stop = pin!(stop);
        let mut plan = Plan::at_once();
        loop {
            shared.look(&mut plan).await;
            tasks.start(shared, &phase);
            let expiry = shared.pool().next_expiry();
            let next = plan.next(expiry.into_iter().chain(shared.board().wakes_at()).min());
            tokio::select! {
                () = &mut stop => break,
                () = shared.parts.queue.woken() => plan.recent_at = Instant::now(),
                Some(ended) = tasks.set.join_next_with_id(), if !tasks.set.is_empty() => {
                    tasks.ended(shared, ended);
                    plan.room_was_made();
                }
                () = sleep_until(next) => tasks.part(shared),
            }
        }
        tasks.finish(shared, &phase).await;
    }
}

impl Plan {
    fn at_once() -> Self {
        let now = Instant::now();
        Self {
            full_at: now,
            left_over: false,
            recent_at: now,
            reclamp_at: now,
            recalls: 0,
            rest_until: now,
        }
    }

    /// An attempt ended, so there may be room for what did not fit.
    fn room_was_made(&mut self) {
        if self.left_over {
            self.full_at = Instant::now();
        }
    }

    /// When the worker has something to do, if nothing else happens.
    fn next(&self, expiry: Option<Instant>) -> Instant {
        let look = self.full_at.min(self.recent_at).max(self.rest_until);
        let next = look.min(self.reclamp_at);
        expiry.map_or(next, |expiry| next.min(expiry))
    }
}

impl Shared {
    /// Looks at what is due, as far as it is time for it, and plans the next look.
    async fn look(&self, plan: &mut Plan) {
        let now = Instant::now();
        self.board().expire(now);
        if plan.reclamp_at <= now {
            plan.reclamp_at = now + RECLAMP_EVERY;
            match self.parts.queue.reclamp().await {
                Ok(0) => {}
                Ok(count) => tracing::warn!(count, "mail was due in the far future; due now"),
                Err(error) => {
                    let error = Causes(&error);
                    tracing::warn!(%error, "the queue's due times could not be checked");
                }
            }
        }
        let recalls = self.parts.queue.recalls();
        if recalls != plan.recalls {
            plan.recalls = recalls;
            self.board().clear(now);
            plan.full_at = now;
        }
        let full = plan.full_at <= now;
        if now < plan.rest_until || (!full && plan.recent_at > now) {
            return;
        }
        let from = if full {
            None
        } else {
            Some(self.parts.queue.recently(RECENT))
        };
        match self.scan(from).await {
            Ok(all) => {
                if full || !all {
                    plan.full_at = now + FULL_EVERY;
                    plan.left_over = !all;
                }
                plan.recent_at = self.next_due(now).await;
                plan.rest_until = Instant::now() + (now.elapsed() * REST).min(REST_MAX);
            }
            Err(error) => {
                let error = Causes(&error);
                tracing::warn!(%error, "the queue could not be scanned");
                plan.full_at = now + FAULT_PAUSE;
                plan.recent_at = now + FAULT_PAUSE;
            }
        }
    }

    /// Puts what is due on the board; answers whether all of it fitted.
    async fn scan(&self, from: Option<Position>) -> Result<bool, ReadError> {
        let pauses = self.parts.queue.pauses().await?;
        let (mut from, mut all) = (from, true);
        loop {
            let page = self.parts.queue.due(from, PAGE).await?;
            for due in page.rows.into_iter().filter(|due| !pauses.hold(due)) {
                let to = self.options.destination(&due);
                let limits = self.options.limits(&to);
                all &= self.board().add(to, limits, due);
            }
            from = page.more;
            if from.is_none() {
                return Ok(all);
            }
        }
    }

    /// When the next recipient becomes due; not later than a wall clock may be trusted.
    async fn next_due(&self, now: Instant) -> Instant {
        let wall = self.parts.clock.wall();
        match self.parts.queue.next_due().await {
            Ok(Some(at)) => now + at.since(wall).clamp(Duration::from_millis(1), FULL_EVERY),
            Ok(None) => now + FULL_EVERY,
            Err(_) => now + FAULT_PAUSE,
        }
    }
}

impl Tasks {
    /// Begins as many attempts as may run.
    fn start(&mut self, shared: &Arc<Shared>, phase: &watch::Sender<Phase>) {
        loop {
            let begun = shared.board().start(Instant::now());
            let Some(Start { to, group, source }) = begun else {
                return;
            };
            let attempt = work(Arc::clone(shared), to.clone(), group, phase.subscribe());
            let id = self.set.spawn(attempt).id();
            self.of.insert(id, (to, source));
        }
    }

    /// Says goodbye on connections that waited long enough.
    fn part(&mut self, shared: &Shared) {
        for session in shared.pool().expired(Instant::now()) {
            self.set.spawn(session.conversation.quit());
        }
    }

    fn ended(&mut self, shared: &Shared, ended: Result<(Id, ()), JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => {
                // Its lease runs out; three of these in a row hold the message.
                tracing::error!(%error, "an attempt ended in a bug");
                error.id()
            }
        };
        if let Some((to, source)) = self.of.remove(&id) {
            shared.board().end(&to, source, Instant::now());
        }
    }

    /// Lets attempts in flight end, and ends those that do not.
    async fn finish(mut self, shared: &Shared, phase: &watch::Sender<Phase>) {
        for session in shared.pool().drain() {
            self.set.spawn(session.conversation.quit());
        }
        for (step, time) in [
            (Phase::Draining, shared.options.stop_timeout),
            (Phase::Aborting, ABORT_TIME),
        ] {
            phase.send_replace(step);
            let all = async { while self.set.join_next().await.is_some() {} };
            if timeout(time, all).await.is_ok() {
                return;
            }
        }
        tracing::warn!(count = self.set.len(), "attempts did not end in time");
        self.set.shutdown().await;
    }
}

/// A wake-up looks back this far: enqueueing takes time between the reading of the clock and the
/// commit.
const RECENT: Duration = Duration::from_secs(5);
/// Between looks at everything that is due.
const FULL_EVERY: Duration = Duration::from_secs(60);
/// DUR-07: between looks for due times that no schedule can have set.
const RECLAMP_EVERY: Duration = Duration::from_secs(3600);
/// Before the next look when the store failed.
const FAULT_PAUSE: Duration = Duration::from_secs(5);
/// For attempts to put back what they hold, after their [`super::Options::stop_timeout`].
pub const ABORT_TIME: Duration = Duration::from_secs(5);
/// A look is followed by a rest of this many times its duration,
const REST: u32 = 9;
/// but not longer than this.
const REST_MAX: Duration = Duration::from_secs(1);
/// Rows read at once.
const PAGE: usize = 1000;
