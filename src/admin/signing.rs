//! The operator's requests about the keys that sign mail (DKIM), and what to publish of them.

use std::time::Duration;

use serde_json::{Value, json};

use super::operations::{Operations, Outcome, Refusal};
use crate::{
    accounts::{DkimKey, LocalDomain},
    base::{clock::Timestamp, secret::Secret},
    mail::{address::Domain, algorithm::Algorithm, civil::Date},
    verify::{SigningKey, Work},
};

impl Operations {
    /// Makes keys for a domain, which begin to sign after `delay_secs`.
    pub(super) async fn dkim_generate(
        &self,
        domain: &str,
        kinds: &[String],
        delay_secs: u64,
    ) -> Outcome {
        let name = self.domain(domain)?;
        let algorithms = kinds.iter().map(|kind| {
            Algorithm::of_key_type(kind).ok_or_else(|| Refusal::NotOne {
                given: kind.clone(),
                wanted: "a kind of key: rsa or ed25519",
            })
        });
        let mut algorithms = algorithms.collect::<Result<Vec<_>, Refusal>>()?;
        if algorithms.is_empty() {
            algorithms = Algorithm::ALL.into();
        }
        let now = self.clock.wall();
        let work = Work::default();
        let mut keys: Vec<DkimKey> = Vec::new();
        for algorithm in algorithms {
            let random = self.random.clone();
            let made = work.run(move || SigningKey::generate(algorithm, &random));
            let private = made.await.flatten().ok_or(Refusal::NoKey)?;
            keys.push(DkimKey {
                selector: self.selector(&name, algorithm, now),
                algorithm,
                created: now,
                signs_from: now.plus(Duration::from_secs(delay_secs)),
                private: Secret::new(private),
            });
        }
        self.directory.add_keys(&name, &keys).await?;
        let snapshot = self.directory.snapshot();
        let domain = snapshot.domain(&name).ok_or(Refusal::NoDomain(name))?;
        let is_new = |key: &&DkimKey| keys.iter().any(|new| new.selector == key.selector);
        let shown = domain.keys().iter().filter(is_new);
        Ok(shown.map(|key| shown_key(domain, key, now)).collect())
    }

    /// The keys of one domain, or of all.
    pub(super) fn dkim_list(&self, domain: Option<&str>) -> Outcome {
        let only = domain.map(|name| self.domain(name)).transpose()?;
        let (snapshot, now) = (self.directory.snapshot(), self.clock.wall());
        let domains = snapshot.domains();
        let domains =
            domains.filter(|domain| only.as_ref().is_none_or(|only| *only == domain.name));
        let keys = domains.flat_map(|domain| {
            let keys = domain.keys().iter();
            keys.map(move |key| shown_key(domain, key, now))
        });
        Ok(keys.collect())
    }

    /// Gives a key up.
    pub(super) async fn dkim_drop(&self, domain: &str, selector: &str) -> Outcome {
        let name = self.domain(domain)?;
        self.directory.drop_key(&name, selector).await?;
        Ok(json!({ "domain": name.as_str(), "selector": selector, "removed": true }))
    }

    /// A selector that tells the day and the kind: `20261121r`, and `20261121rb` for a second one.
    fn selector(&self, domain: &Domain, algorithm: Algorithm, now: Timestamp) -> String {
        let letter = algorithm.key_type().chars().next().unwrap_or('k');
        let base = format!("{}{letter}", day(now).replace('-', ""));
        let snapshot = self.directory.snapshot();
        let keys = snapshot.domain(domain).map_or(&[][..], LocalDomain::keys);
        let mut names = std::iter::once(base.clone());
        let mut more = ('b'..='z').map(|letter| format!("{base}{letter}"));
        let free = |name: &String| keys.iter().all(|key| key.selector != *name);
        names.find(free).or_else(|| more.find(free)).unwrap_or(base)
    }
}

fn shown_key(domain: &LocalDomain, key: &DkimKey, now: Timestamp) -> Value {
    let signs = domain.signing_keys(now).contains(&key);
    let state = match (signs, key.signs_from > now) {
        (true, _) => "signs".to_owned(),
        (false, true) => format!("signs from {}", day(key.signs_from)),
        (false, false) => "only published".to_owned(),
    };
    let public = SigningKey::read(key.algorithm, key.private.expose());
    json!({
        "domain": domain.name.as_str(),
        "selector": key.selector,
        "kind": key.algorithm.key_type(),
        "created": day(key.created),
        "state": state,
        "name": format!("{}._domainkey.{}", key.selector, domain.name),
        "record": public.map(|key| key.record()),
    })
}

/// `2026-11-21`.
fn day(time: Timestamp) -> String {
    let date = Date::of_day(time.secs().div_euclid(86_400));
    let (year, month, day) = (date.year(), date.month(), date.day());
    format!("{year:04}-{month:02}-{day:02}")
}
