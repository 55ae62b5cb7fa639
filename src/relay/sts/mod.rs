//! MTA-STS (RFC 8461): the policies of other domains, fetched, remembered and in force.
//!
//! A policy is looked for under the recipient's domain as it stands in the address, never under
//! what an alias leads to. Who may be on the way can keep a policy from being found the first time
//! and no more: one that was fetched is in force until its time is over, whatever fails meanwhile.

mod fetch;
mod policy;

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};

pub use fetch::Fetch;
pub use policy::{Mode, Policy, announced};

use super::{
    https::FetchError,
    tlsrpt::tally::{Outcome, of_handshake},
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        text::{Causes, Quoted},
    },
    dns::{Answer, Resolver},
    store::{Batch, Engine, Pages, ReadError, key},
};

/// The policies that are known. Cheap to clone.
#[derive(Clone)]
pub struct Policies(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    resolver: Arc<dyn Resolver>,
    fetch: Arc<dyn Fetch>,
    clock: Clock,
    /// Domains whose policy could not be fetched a moment ago, and why.
    failed: Cache<String, Outcome>,
}

/// A policy as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    /// What the record said when it was fetched.
    id: String,
    /// When, in milliseconds since 1970.
    fetched: u64,
    policy: Policy,
}

impl Known {
    fn ends(&self) -> Timestamp {
        Timestamp(self.fetched).plus(self.policy.holds())
    }

    fn holds(&self, now: Timestamp) -> bool {
        now < self.ends()
    }

    /// Whether it is to be fetched anew, where the record says `id`. A clock that was set back
    /// makes it old (DUR-07).
    fn wants(&self, id: &str, now: Timestamp) -> bool {
        let fetched = Timestamp(self.fetched);
        self.id != id || fetched > now || now.since(fetched) >= REFRESH.min(self.policy.holds() / 2)
    }
}

impl Policies {
    /// Kept in `engine`, announced through `resolver`, fetched by `fetch`.
    pub fn new(
        engine: Arc<dyn Engine>,
        resolver: Arc<dyn Resolver>,
        fetch: Arc<dyn Fetch>,
        clock: Clock,
    ) -> Self {
        let failed = Cache::builder()
            .max_capacity(FAILED_MAX)
            .time_to_live(FAILED_FOR)
            .build();
        Self(Arc::new(Inner {
            engine,
            resolver,
            fetch,
            clock,
            failed,
        }))
    }

    /// The policy of `domain` that is in force, if there is one, and what kept a new one from us.
    ///
    /// # Errors
    /// When it cannot be found out whether one was in force: then mail has to wait.
    pub(super) async fn of(
        &self,
        domain: &str,
    ) -> Result<(Option<Policy>, Option<Outcome>), ReadError> {
        let known = self.known(domain).await?;
        let asked = format!("_mta-sts.{domain}");
        let announced = match self.0.resolver.texts(&asked).await {
            Answer::Found(texts) => announced(&texts),
            // RFC 8461 5.1: who takes the record away does not end the policy.
            Answer::NoRecords | Answer::NoSuchName | Answer::Temporary(_) => None,
        };
        let now = self.0.clock.wall();
        let (fresh, trouble) = match announced {
            Some(id) if known.as_ref().is_none_or(|known| known.wants(&id, now)) => {
                match self.fetched(domain, id, now).await {
                    Ok(fresh) => (Some(fresh), None),
                    Err(trouble) => (None, Some(trouble)),
                }
            }
            _ => (None, None),
        };
        let in_force = fresh.or(known).map(|known| known.policy);
        let in_force = in_force.filter(|policy| policy.mode != Mode::None);
        Ok((in_force, trouble))
    }

    /// The policy that was fetched before, if its time is not over.
    async fn known(&self, domain: &str) -> Result<Option<Known>, ReadError> {
        let stored = self.0.engine.get(&key::sts_policy(domain)).await?;
        // One that cannot be read is fetched again.
        let known = stored.and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
        let now = self.0.clock.wall();
        Ok(known.filter(|known| known.holds(now)))
    }

    /// Fetches the policy of `domain` and keeps it.
    async fn fetched(&self, domain: &str, id: String, now: Timestamp) -> Result<Known, Outcome> {
        // RFC 8461 3.3: not again at once.
        if let Some(trouble) = self.0.failed.get(domain) {
            return Err(trouble);
        }
        let fetched = self.0.fetch.fetch(domain).await;
        let policy = fetched.and_then(|text| Policy::parse(&text).ok_or(FetchError::Malformed));
        let policy = match policy {
            Ok(policy) => policy,
            Err(error) => {
                let trouble = trouble(&error);
                self.0.failed.insert(domain.to_owned(), trouble);
                let (domain, error) = (Quoted::str(domain), Causes(&error).to_string());
                tracing::info!(%domain, error, "an MTA-STS policy could not be fetched");
                return Err(trouble);
            }
        };
        let fetched = Known {
            id,
            fetched: now.0,
            policy,
        };
        if let Err(error) = self.keep(domain, &fetched, now).await {
            tracing::warn!(error, "an MTA-STS policy could not be kept");
        }
        Ok(fetched)
    }

    /// Stores a policy; where there are too many, those go whose time is over, and then the one
    /// whose time is over next.
    async fn keep(&self, domain: &str, known: &Known, now: Timestamp) -> Result<(), String> {
        let value = serde_json::to_vec(known).map_err(|error| error.to_string())?;
        let own = key::sts_policy(domain);
        let mut batch = Batch::new();
        let mut pages = Pages::new(&*self.0.engine, key::sts_policies().prefix_range());
        let (mut count, mut first_over) = (0, None);
        while let Some(page) = pages
            .next()
            .await
            .map_err(|error| Causes(&error).to_string())?
        {
            for (key, value) in page.into_iter().filter(|(key, _)| *key != own) {
                let ends = serde_json::from_slice(&value).map_or(Timestamp(0), |k: Known| k.ends());
                if ends <= now {
                    batch.delete(key);
                    continue;
                }
                count += 1;
                if first_over.as_ref().is_none_or(|(at, _)| ends < *at) {
                    first_over = Some((ends, key));
                }
            }
        }
        if let (Some((_, key)), true) = (first_over, count >= POLICIES_MAX) {
            batch.delete(key);
        }
        batch.put(own, value);
        let committed = self.0.engine.commit(batch).await;
        committed.map_err(|error| Causes(&error).to_string())?;
        Ok(())
    }
}

/// What a failed fetch is to a report (RFC 8460 4.3.2.2).
fn trouble(error: &FetchError) -> Outcome {
    match error {
        FetchError::Malformed => Outcome::StsPolicyInvalid,
        FetchError::Connection(error) if of_handshake(error) != Outcome::ValidationFailure => {
            Outcome::StsWebpkiInvalid
        }
        _ => Outcome::StsPolicyFetchError,
    }
}

/// Policies that are kept.
const POLICIES_MAX: usize = 10_000;
/// Domains that are remembered not to have given theirs,
const FAILED_MAX: u64 = 10_000;
/// and for how long.
const FAILED_FOR: Duration = Duration::from_secs(300);
/// A policy is fetched again when it is so old: who can suppress its record must not outlast it
/// (RFC 8461 10.2).
const REFRESH: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests;
