//! TLS reports (RFC 8460): what came of TLS with other domains, counted by day, told once a day.
//!
//! Sessions are counted in memory and written down every minute, so a crash loses a minute of
//! counts and nothing else. When a day is over, each domain that asks for reports in the DNS gets
//! one, and the commit that queues it removes what it was made of: no report goes twice by mail. It
//! goes whatever the policies say that it tells of, and is not counted itself (RFC 8460 3).
//! What has nowhere to go is tried for three days. All of it is bounded: domains, kinds of failure,
//! what one report says (`tally`).

mod record;
mod report;
pub(super) mod tally;

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::https::{FetchError, Https};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        future::BoxFuture,
        ids::MessageId,
        random::Random,
        text::{Causes, Quoted},
    },
    dns::{Answer, Resolver},
    mail::{address::Address, envelope::BodyKind},
    route::{PostError, Postman, Report},
    store::{Batch, Engine, Key, Pages, key},
};
use record::{Destination, destinations};
use report::Facts;
use tally::Tally;

/// Gives reports to web servers. Tests have one that keeps them.
pub trait Post: Send + Sync + 'static {
    /// Gives `report`, in gzip, to `host` at `path`.
    fn post<'a>(
        &'a self,
        host: &'a str,
        path: &'a str,
        report: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), FetchError>>;
}

impl Post for Https {
    fn post<'a>(
        &'a self,
        host: &'a str,
        path: &'a str,
        report: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), FetchError>> {
        // RFC 8460 5.4.
        Box::pin(self.post(host, path, ("application/tlsrpt+gzip", report)))
    }
}

/// What reports are made with.
pub struct Parts {
    /// Keeps what is counted.
    pub engine: Arc<dyn Engine>,
    /// Knows who wants reports.
    pub resolver: Arc<dyn Resolver>,
    /// Sends them by mail.
    pub postman: Arc<dyn Postman>,
    /// Sends them to web servers.
    pub post: Arc<dyn Post>,
    /// Wall time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Our name.
    pub organization: String,
    /// Whom to ask about a report, and whom it is from.
    pub contact: Address,
}

/// Counts sessions and reports them. Cheap to clone.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// What is not written down yet, by day and domain.
    pending: Mutex<BTreeMap<(u32, String), Tally>>,
}

/// How a report fared.
enum Told {
    /// It went out, or nobody wants it.
    Done,
    /// Another time.
    Later,
}

impl Ledger {
    /// Counts nothing yet.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            parts,
            pending: Mutex::default(),
        }))
    }

    /// Counts a session with a host of `domain`. What does not fit is not counted.
    pub(super) fn count(&self, domain: &str, session: Tally) {
        let day = day_of(self.0.parts.clock.wall());
        let mut pending = self.pending();
        let key = (day, domain.to_owned());
        if pending.len() < PENDING_MAX || pending.contains_key(&key) {
            pending.entry(key).or_default().merge(session);
        }
    }

    /// Writes down and reports, until `stop` resolves; then writes down what is left.
    pub(super) async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        // RFC 8460 4.1: not all reporters at midnight.
        let delay = Duration::from_secs(self.0.parts.random.below(DELAY_SECS_MAX)) + DELAY_MIN;
        let mut tell_at = Instant::now() + FIRST_TELL;
        let mut flush_at = Instant::now() + FLUSH_EVERY;
        loop {
            tokio::select! {
                () = &mut stop => break,
                () = sleep_until(flush_at.min(tell_at)) => {}
            }
            let now = Instant::now();
            if flush_at <= now {
                flush_at = now + FLUSH_EVERY;
                self.flush().await;
            }
            if tell_at <= now {
                tell_at = now + TELL_EVERY;
                tokio::select! {
                    () = &mut stop => break,
                    () = self.tell(delay) => {}
                }
            }
        }
        self.flush().await;
    }

    /// Writes down what was counted.
    async fn flush(&self) {
        let mut left = std::mem::take(&mut *self.pending());
        while let Some(first_behind) = left.keys().nth(ROWS_AT_ONCE).cloned() {
            let behind = left.split_off(&first_behind);
            self.flush_some(std::mem::replace(&mut left, behind)).await;
        }
        self.flush_some(left).await;
    }

    async fn flush_some(&self, some: BTreeMap<(u32, String), Tally>) {
        if some.is_empty() {
            return;
        }
        if let Err(error) = self.written(&some).await {
            tracing::warn!(error, "counts for TLS reports could not be written");
            for ((day, domain), tally) in some {
                let mut pending = self.pending();
                if pending.len() < PENDING_MAX {
                    pending.entry((day, domain)).or_default().merge(tally);
                }
            }
        }
    }

    async fn written(&self, pending: &BTreeMap<(u32, String), Tally>) -> Result<(), String> {
        let engine = &*self.0.parts.engine;
        let mut known = self.rows().await?;
        let mut batch = Batch::new();
        for ((day, domain), counted) in pending {
            let key = key::tls_tally(*day, domain);
            let stored = engine.get(&key).await;
            let stored = stored.map_err(|error| Causes(&error).to_string())?;
            if stored.is_none() {
                known += 1;
                if known > DOMAINS_MAX {
                    continue;
                }
            }
            let stored = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            let mut tally: Tally = stored.unwrap_or_default();
            tally.merge(counted.clone());
            let value = serde_json::to_vec(&tally).map_err(|error| error.to_string())?;
            batch.put(key, value);
        }
        let committed = engine.commit(batch).await;
        committed.map_err(|error| Causes(&error).to_string())?;
        Ok(())
    }

    /// How much is written down.
    async fn rows(&self) -> Result<usize, String> {
        let engine = &*self.0.parts.engine;
        let mut pages = Pages::new(engine, key::tls_tallies().prefix_range());
        let mut count = 0;
        while let Some(page) = pages
            .next()
            .await
            .map_err(|error| Causes(&error).to_string())?
        {
            count += page.len();
        }
        Ok(count)
    }

    /// Reports the days that are over for `delay`.
    async fn tell(&self, delay: Duration) {
        let now = self.0.parts.clock.wall();
        let engine = &*self.0.parts.engine;
        let mut pages = Pages::new(engine, key::tls_tallies().prefix_range());
        let mut flushed = Instant::now();
        loop {
            let page = match pages.next().await {
                Ok(Some(page)) => page,
                Ok(None) => return,
                Err(error) => {
                    let error = Causes(&error).to_string();
                    tracing::warn!(error, "counts for TLS reports could not be read");
                    return;
                }
            };
            for (key, value) in page {
                let Some((day, domain)) = key.day_and_domain() else {
                    self.forget(key).await;
                    continue;
                };
                let over = Timestamp::from_secs((i64::from(day) + 1) * SECONDS_PER_DAY);
                if now < over.plus(delay) {
                    // A clock that was set back makes days of the future (DUR-07).
                    if day > day_of(now) + 1 {
                        self.forget(key).await;
                    }
                    continue;
                }
                // Web servers that are slow must not keep counts from being written.
                if flushed.elapsed() >= FLUSH_EVERY {
                    self.flush().await;
                    flushed = Instant::now();
                }
                let tally = serde_json::from_slice(&value).unwrap_or_default();
                let late = now >= over.plus(delay).plus(PATIENCE);
                let told = self.told(&key, day, &domain, &tally).await;
                if matches!(told, Told::Later) && late {
                    let domain = Quoted::str(&domain);
                    tracing::info!(%domain, "a TLS report had nowhere to go and is given up");
                    self.forget(key).await;
                }
            }
        }
    }

    /// Reports one day to one domain.
    async fn told(&self, key: &Key, day: u32, domain: &str, tally: &Tally) -> Told {
        let Parts {
            resolver,
            organization,
            contact,
            ..
        } = &self.0.parts;
        let to = match resolver.texts(&format!("_smtp._tls.{domain}")).await {
            Answer::Found(texts) => destinations(&texts),
            Answer::NoRecords | Answer::NoSuchName => Vec::new(),
            Answer::Temporary(_) => return Told::Later,
        };
        let facts = Facts {
            organization,
            contact,
            domain,
            day,
            tally,
        };
        let mut posted = false;
        let mut mails = Vec::new();
        for destination in &to {
            match destination {
                Destination::Mail(address) => mails.push(address),
                Destination::Https { host, path } => {
                    posted |= self.posted(&facts, host, path).await
                }
            }
        }
        if mails.is_empty() && !posted && !to.is_empty() {
            return Told::Later;
        }
        self.mailed(key, &facts, mails).await
    }

    async fn posted(&self, facts: &Facts<'_>, host: &str, path: &str) -> bool {
        let posted = self.0.parts.post.post(host, path, facts.compressed()).await;
        let shown = Quoted::str(facts.domain);
        match posted {
            Ok(()) => tracing::info!(domain = %shown, host, "a TLS report was given away"),
            Err(ref error) => {
                let error = Causes(error).to_string();
                tracing::info!(domain = %shown, host, error, "a TLS report was not taken");
            }
        }
        posted.is_ok()
    }

    /// Queues the report for all of `to`, and removes what it was made of in the same commit.
    async fn mailed(&self, key: &Key, facts: &Facts<'_>, mut to: Vec<&Address>) -> Told {
        let now = self.0.parts.clock.wall();
        loop {
            let mut batch = Batch::new();
            let mut queued = Vec::new();
            let mut hopeless = None;
            for (at, address) in to.iter().enumerate() {
                let report = self.as_mail(facts, address, now);
                let line = report.first_line();
                match self.0.parts.postman.add_report(&mut batch, report).await {
                    Ok(posted) => queued.push((line, posted)),
                    Err(PostError::Undeliverable(_)) => {
                        hopeless = Some(at);
                        break;
                    }
                    Err(PostError::Fault(error)) => return later(facts, &*error),
                }
            }
            if let Some(at) = hopeless {
                to.remove(at);
                continue;
            }
            batch.delete(key.clone());
            if let Err(error) = self.0.parts.engine.commit(batch).await {
                return later(facts, &error);
            }
            for (line, posted) in queued {
                line.log();
                posted.announce();
            }
            return Told::Done;
        }
    }

    fn as_mail(&self, facts: &Facts<'_>, to: &Address, now: Timestamp) -> Report {
        let id = MessageId::fresh(now, &self.0.parts.random);
        Report {
            id,
            about: id,
            to: to.clone(),
            bytes: facts.message(to, now).into(),
            smtputf8: false,
            require_tls: false,
            despite_tls: true,
            body: BodyKind::SevenBit,
        }
    }

    async fn forget(&self, key: Key) {
        let mut batch = Batch::new();
        batch.delete(key);
        if let Err(error) = self.0.parts.engine.commit(batch).await {
            let error = Causes(&error).to_string();
            tracing::warn!(error, "counts for a TLS report could not be removed");
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, BTreeMap<(u32, String), Tally>> {
        self.0
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn later(facts: &Facts<'_>, error: &(dyn std::error::Error + 'static)) -> Told {
    let (domain, error) = (Quoted::str(facts.domain), Causes(error).to_string());
    tracing::warn!(%domain, error, "a TLS report could not be queued: it waits");
    Told::Later
}

fn day_of(time: Timestamp) -> u32 {
    u32::try_from(time.secs().div_euclid(SECONDS_PER_DAY)).unwrap_or(0)
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Domains that are counted between two writes,
const PENDING_MAX: usize = 2_000;
/// of which so many are written at once: each may take 64 KiB, and a batch 8 MiB.
const ROWS_AT_ONCE: usize = 100;
/// Rows of domains and days that are kept.
const DOMAINS_MAX: usize = 10_000;
/// How often counts are written down.
const FLUSH_EVERY: Duration = Duration::from_secs(60);
/// How often days that are over are looked for,
const TELL_EVERY: Duration = Duration::from_secs(3600);
/// the first time after a start.
const FIRST_TELL: Duration = Duration::from_secs(300);
/// RFC 8460 4.1: how long after its end a day is reported, at most.
const DELAY_SECS_MAX: u64 = 4 * 3600;
/// And at least: its last counts are written down by then.
const DELAY_MIN: Duration = Duration::from_secs(600);
/// How long a report that has nowhere to go is tried.
const PATIENCE: Duration = Duration::from_secs(3 * 86_400);

#[cfg(test)]
mod tests;
