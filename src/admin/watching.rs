//! What is paused of the queue, how much waits for whom, and what happens to it.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    operations::{Operations, Outcome, Refusal, domain},
    request::Filters,
};
use crate::{
    mail::{address::Domain, envelope::ReversePath},
    queue::{
        QueueFault,
        admin::{Census, Counts, Filter, MessageSummary},
        news::{Event, Rest, Traffic},
    },
};

impl Operations {
    pub(super) async fn queue_pause(&self, of: Option<&str>) -> Outcome {
        let domain = of.map(domain).transpose()?;
        let new = self.queue.pause(domain.as_ref()).await?;
        let paused = self.paused().await?;
        Ok(json!({ "changed": new, "paused": paused }))
    }

    pub(super) async fn queue_resume(&self, of: Option<&str>) -> Outcome {
        let domain = of.map(domain).transpose()?;
        let ended = self.queue.resume(domain.as_ref()).await?;
        let paused = self.paused().await?;
        Ok(json!({ "changed": ended, "paused": paused }))
    }

    /// What is paused, `all` first, and since when.
    pub(super) async fn paused(&self) -> Result<Value, Refusal> {
        let pauses = self.queue.pauses().await.map_err(QueueFault::from)?;
        let all = pauses.all.map(|since| ("all".to_owned(), since));
        let domains = pauses.domains.iter();
        let domains = domains.map(|(domain, since)| (domain.to_string(), *since));
        let paused = all.into_iter().chain(domains);
        let paused =
            paused.map(|(what, since)| json!({ "what": what, "since_secs": since.secs() }));
        Ok(paused.collect())
    }

    /// Which destinations have a rest, until when and why.
    pub(super) fn resting(&self) -> Value {
        let rests = self.queue.news().rests(self.clock.wall(), RESTS_MAX);
        let told = |(what, rest): (String, Rest)| {
            let Rest { until_secs, why } = rest;
            json!({ "what": what, "until_secs": until_secs, "why": why })
        };
        rests.into_iter().map(told).collect()
    }

    /// Those of them that mail for these domains and by these ways may have to wait for.
    pub(super) fn resting_for(&self, message: &MessageSummary) -> Value {
        let is_meant = |what: &str| {
            let below = what.strip_prefix('*');
            let mut recipients = message.recipients.iter();
            recipients.any(|to| {
                let domain = to
                    .address
                    .as_deref()
                    .and_then(|to| Some(to.rsplit_once('@')?.1));
                match (&to.via, domain) {
                    (Some(via), _) => via == what,
                    (None, Some(domain)) => {
                        domain == what
                            || what == "smarthost"
                            || below.is_some_and(|below| domain.ends_with(below))
                    }
                    (None, None) => false,
                }
            })
        };
        let mut resting = self.resting();
        if let Value::Array(all) = &mut resting {
            all.retain(|rest| {
                rest.get("what")
                    .and_then(Value::as_str)
                    .is_some_and(is_meant)
            });
        }
        resting
    }

    pub(super) async fn queue_stats(&self, limit: usize) -> Outcome {
        let census = self.queue.census().await?;
        let traffic = self.queue.news().traffic();
        let mut sums = Traffic::default();
        traffic.values().for_each(|of| sums.include(of));
        let mut total = counted(&census.total, Some(&sums))?;
        if let Value::Object(fields) = &mut total {
            // What is the window of all, or the last word of all, says nothing.
            fields.retain(|name, _| name != "window" && name != "last_words");
        }
        Ok(json!({
            "counted_secs": census.at.secs(),
            "paused": self.paused().await?,
            "resting": self.resting(),
            "total": total,
            "uncounted": census.uncounted,
            "destinations": rows(&census, &traffic, limit)?,
            "destinations_known": names(&census, &traffic).len(),
        }))
    }

    pub(super) fn queue_watch(
        &self,
        from: Option<u64>,
        filters: &Filters,
    ) -> Result<Value, Refusal> {
        let filter = self.filter(filters)?;
        let mut seen = self.queue.news().since(from, EVENTS_AT_ONCE);
        seen.events.retain(|event| is_wanted(event, &filter));
        Ok(serde_json::to_value(seen)?)
    }
}

/// All destinations of which something is known.
fn names<'a>(census: &'a Census, traffic: &'a HashMap<String, Traffic>) -> Vec<&'a String> {
    let only = traffic.keys();
    let only = only.filter(|name| !census.destinations.contains_key(*name));
    census.destinations.keys().chain(only).collect()
}

/// The destinations with most waiting, then those with most traffic.
fn rows(
    census: &Census,
    traffic: &HashMap<String, Traffic>,
    limit: usize,
) -> Result<Vec<Value>, Refusal> {
    let mut names = names(census, traffic);
    names.sort_by_cached_key(|name| {
        let waiting = census.destinations.get(*name).map_or(0, Counts::all);
        let moved = traffic.get(*name).map_or(0, |of| of.attempts);
        (std::cmp::Reverse((waiting, moved)), (*name).clone())
    });
    names.truncate(limit.clamp(1, ROWS_MAX));
    let none = Counts::default();
    let row = |name: &String| -> Outcome {
        let counts = census.destinations.get(name).unwrap_or(&none);
        let mut row = counted(counts, traffic.get(name))?;
        if let Value::Object(fields) = &mut row {
            fields.insert("destination".to_owned(), name.as_str().into());
            if let Some(words) = counts.words() {
                fields.insert("last_words".to_owned(), words.into());
            }
        }
        Ok(row)
    };
    names.into_iter().map(row).collect()
}

/// Counts and sums in one object.
fn counted(counts: &Counts, traffic: Option<&Traffic>) -> Outcome {
    let mut value = serde_json::to_value(counts)?;
    let nothing = Traffic::default();
    let sums = serde_json::to_value(traffic.unwrap_or(&nothing))?;
    if let (Value::Object(fields), Value::Object(more)) = (&mut value, sums) {
        fields.extend(more);
    }
    Ok(value)
}

/// Whether an event is about what the filter names.
fn is_wanted(event: &Event, filter: &Filter) -> bool {
    let of = |domain: &Domain| {
        let is_there = |to: &String| {
            to.rsplit_once('@')
                .is_some_and(|(_, at)| at == domain.as_str())
        };
        event.to.iter().any(is_there)
    };
    let from = |sender: &ReversePath| sender.to_string() == event.sender;
    let said = |words: &String| {
        let said = event.reply.as_ref().map(|reply| reply.to_lowercase());
        said.is_some_and(|said| said.contains(words.as_str()))
    };
    filter.domain.as_ref().is_none_or(of)
        && filter
            .recipient
            .as_ref()
            .is_none_or(|to| event.to.contains(&to.to_string()))
        && filter.sender.as_ref().is_none_or(from)
        && filter.error.as_ref().is_none_or(said)
}

/// Events of one answer.
const EVENTS_AT_ONCE: usize = 500;
/// Rests of one answer.
const RESTS_MAX: usize = 100;
/// Destinations of one answer.
const ROWS_MAX: usize = 10_000;
