//! The worker's loop: scan, start, wait; and the end of it.
//!
//! New rows of the index of due times are at its end, so a wake-up looks at the last few seconds
//! only; once a minute, and whenever room was made for what did not fit on the board, the whole of
//! what is due is looked at, a bounded part of it at each turn of the loop: however much is due,
//! attempts begin in between. Wall time may jump, so nothing is slept longer than a minute. After a
//! stop, what was sent to its final dot waits for the answer for a while; all else is put back at
//! once (Q-01: with at most the attempt in flight repeated).

use std::{collections::HashMap, future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{oneshot, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until, timeout},
};

use super::{
    Destination, Relay, Shared,
    attempt::{Phase, part, work},
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
    /// When everything is looked at, or the look at everything goes on.
    full_at: Instant,
    /// Where it goes on; it has begun.
    rest: Option<Position>,
    /// Something that is due did not fit on the board when it was looked at last,
    left_over: bool,
    /// and room was made since then.
    room: bool,
    /// When what became due lately is looked at,
    recent_at: Instant,
    /// and where that goes on, when it was too much for one turn.
    recent: Option<Position>,
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

/// What a look at a part of what is due came to.
struct Scanned {
    /// All of it is on the board.
    fitted: bool,
    /// Where there is more.
    more: Option<Position>,
}

impl Plan {
    fn at_once() -> Self {
        let now = Instant::now();
        Self {
            full_at: now,
            rest: None,
            left_over: false,
            room: false,
            // All of it is about to be looked at.
            recent_at: now + FULL_EVERY,
            recent: None,
            reclamp_at: now,
            recalls: 0,
            rest_until: now,
        }
    }

    /// An attempt ended, so there may be room for what did not fit.
    fn room_was_made(&mut self) {
        self.room = true;
        self.look_again(Instant::now());
    }

    /// Begins a look at everything if it would find something to do; one that has begun comes to
    /// its end first.
    fn look_again(&mut self, now: Instant) {
        if self.rest.is_none() && self.left_over && self.room {
            self.full_at = now;
        }
    }

    /// A part of what is due was looked at: whether it fitted, and where there is more.
    fn looked(&mut self, found: Scanned, now: Instant) {
        self.left_over |= !found.fitted;
        self.full_at = match found.more {
            Some(_) => now,
            None => now + FULL_EVERY,
        };
        self.rest = found.more;
        self.look_again(now);
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
            (plan.rest, plan.recent, plan.full_at) = (None, None, now);
        }
        let (full, recent) = (plan.full_at <= now, plan.recent_at <= now);
        if now < plan.rest_until || !(full || recent) {
            return;
        }
        match self.look_at(plan, (full, recent), now).await {
            Ok(()) => {
                let is_more = plan.rest.is_some() || plan.recent.is_some();
                plan.recent_at = match plan.recent {
                    Some(_) => now,
                    None => self.next_due(now).await,
                };
                let least = if is_more { REST_MIN } else { Duration::ZERO };
                plan.rest_until = Instant::now() + (now.elapsed() * REST).clamp(least, REST_MAX);
            }
            Err(error) => {
                let error = Causes(&error);
                tracing::warn!(%error, "the queue could not be scanned");
                plan.full_at = now + FAULT_PAUSE;
                plan.recent_at = now + FAULT_PAUSE;
            }
        }
    }

    /// A part of everything, or what became due lately, or both.
    async fn look_at(
        &self,
        plan: &mut Plan,
        (full, recent): (bool, bool),
        now: Instant,
    ) -> Result<(), ReadError> {
        let mut whole = false;
        if full {
            let from = plan.rest.take();
            whole = from.is_none();
            if whole {
                (plan.left_over, plan.room) = (false, false);
            }
            let found = self.scan(from).await?;
            whole &= found.more.is_none();
            plan.looked(found, now);
        }
        if recent && !whole {
            let lately = || self.parts.queue.recently(RECENT);
            let from = plan.recent.take().unwrap_or_else(lately);
            let found = self.scan(Some(from)).await?;
            plan.left_over |= !found.fitted;
            plan.recent = found.more;
        }
        Ok(())
    }

    /// Puts what is due on the board, as much as is looked at in one turn.
    async fn scan(&self, from: Option<Position>) -> Result<Scanned, ReadError> {
        let pauses = self.parts.queue.pauses().await?;
        let mut found = Scanned {
            fitted: true,
            more: from,
        };
        for _ in 0..PAGES {
            let page = self.parts.queue.due(found.more.take(), PAGE).await?;
            for due in page.rows.into_iter().filter(|due| !pauses.hold(due)) {
                let to = self.options.destination(&due);
                let limits = self.options.limits(&to);
                found.fitted &= self.board().add(to, limits, due);
            }
            found.more = page.more;
            if found.more.is_none() {
                break;
            }
        }
        Ok(found)
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

    /// Ends what has not come to its final dot, waits for the answers to what has, and ends those
    /// that do not come.
    async fn finish(mut self, shared: &Shared, phase: &watch::Sender<Phase>) {
        for session in shared.pool().drain() {
            self.set.spawn(part(session.conversation));
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
/// but at least by this, if it goes on,
const REST_MIN: Duration = Duration::from_millis(1);
/// and not longer than this.
const REST_MAX: Duration = Duration::from_secs(1);
/// Rows read at once,
const PAGE: usize = 1000;
/// and how many times that in one turn of the loop.
const PAGES: usize = 8;
