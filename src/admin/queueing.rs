//! Operations on waiting mail.
//!
//! None takes longer than a few seconds, however long the queue is: what is left begins where the
//! answer says, and the one who asked goes on from there.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    operations::{Operations, Outcome, Refusal, domain, parsed},
    request::{Filters, QueueAction, QueueRequest, Selected},
};
use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::envelope::ReversePath,
    queue::{
        admin::{Action, Changed, Filter, Selection, Standing},
        record::{NamedHost, Via},
    },
};

/// What of the configuration decides on the ways that queued mail can go.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// There is a smarthost.
    pub smarthost: bool,
    /// The names of this server.
    pub names: Vec<String>,
    /// Where it takes mail.
    pub listeners: Vec<SocketAddr>,
    /// The port of the world's mail servers.
    pub port: u16,
}

impl Operations {
    pub(super) async fn queue(&self, request: QueueRequest) -> Outcome {
        match request {
            QueueRequest::List {
                filters,
                from,
                limit,
            } => self.queue_list(&filters, from.as_deref(), limit).await,
            QueueRequest::Show { id } => match self.queue.show(message_id(&id)?).await? {
                Some(summary) => {
                    let mut shown = serde_json::to_value(&summary)?;
                    if let Value::Object(fields) = &mut shown {
                        fields.insert("resting".to_owned(), self.resting_for(&summary));
                    }
                    Ok(shown)
                }
                None => Err(Refusal::NoMessage(id)),
            },
            QueueRequest::Change { action, selected } => self.queue_change(action, selected).await,
            QueueRequest::Pause { domain } => self.queue_pause(domain.as_deref()).await,
            QueueRequest::Resume { domain } => self.queue_resume(domain.as_deref()).await,
            QueueRequest::Stats { limit } => self.queue_stats(limit).await,
            QueueRequest::Watch { from, filters } => self.queue_watch(from, &filters),
        }
    }

    async fn queue_list(&self, filters: &Filters, from: Option<&str>, limit: usize) -> Outcome {
        let filter = self.filter(filters)?;
        let limit = limit.clamp(1, LISTED_MESSAGES_MAX);
        let mut from = from.map(message_id).transpose()?;
        let begun = Instant::now();
        let mut messages = Vec::new();
        loop {
            let page = self.queue.list(&filter, from, limit - messages.len());
            let page = page.await?;
            messages.extend(page.messages);
            let done = messages.len() >= limit || begun.elapsed() >= STEP_TIME;
            match page.next {
                Some(next) if !done => from = Some(message_id(&next)?),
                next => {
                    let paused = self.paused().await?;
                    return Ok(json!({
                        "messages": messages,
                        "next": next,
                        "paused": paused,
                        "resting": self.resting(),
                    }));
                }
            }
        }
    }

    async fn queue_change(&self, action: QueueAction, selected: Selected) -> Outcome {
        let way = match &action {
            QueueAction::Reroute { to } => self.way(to)?,
            _ => None,
        };
        let action = match action {
            QueueAction::Retry => Action::Retry,
            QueueAction::Hold => Action::Hold,
            QueueAction::Release => Action::Release,
            QueueAction::Bounce => Action::Bounce,
            QueueAction::Drop => Action::Drop,
            QueueAction::Reroute { .. } => Action::Reroute(way.as_ref()),
        };
        let Selected {
            id,
            filters,
            all,
            from,
        } = selected;
        if let Some(id) = id {
            return self.change_one(action, id, &filters).await;
        }
        if filters == Filters::default() && !all {
            return Err(Refusal::NothingSelected);
        }
        let filter = self.filter(&filters)?;
        let mut from = from.as_deref().map(message_id).transpose()?;
        let (begun, mut changed) = (Instant::now(), Changed::default());
        loop {
            let some = self.queue.apply_some(action, &filter, from).await;
            // What was done is done, whatever came then.
            self.queue.acted(action);
            let (some, next) = some?;
            changed.add(some);
            from = next;
            if from.is_none() || begun.elapsed() >= STEP_TIME {
                break;
            }
        }
        let mut answer = serde_json::to_value(changed)?;
        if let (Value::Object(fields), Some(next)) = (&mut answer, from) {
            fields.insert("next".to_owned(), next.to_string().into());
        }
        Ok(answer)
    }

    async fn change_one(&self, action: Action<'_>, id: String, filters: &Filters) -> Outcome {
        let message = message_id(&id)?;
        let selection = match &filters.recipient {
            Some(recipient) => Selection::Recipient(message, parsed(recipient)?),
            None => Selection::Message(message),
        };
        let changed = self.queue.apply(action, &selection).await?;
        if changed == Changed::default() {
            return Err(Refusal::NoMessage(id));
        }
        Ok(serde_json::to_value(changed)?)
    }

    pub(super) fn filter(&self, given: &Filters) -> Result<Filter, Refusal> {
        let now = self.clock.wall();
        let older = |secs: u64| Timestamp(now.0.saturating_sub(secs.saturating_mul(1000)));
        Ok(Filter {
            domain: given.domain.as_deref().map(domain).transpose()?,
            recipient: given.recipient.as_deref().map(parsed).transpose()?,
            state: given.state.as_deref().map(standing).transpose()?,
            error: given.error.as_deref().map(str::to_lowercase),
            sender: given.sender.as_deref().map(reverse_path).transpose()?,
            received_before: given.older_than_secs.map(older),
        })
    }

    /// Where mail shall go; where it would go, without.
    fn way(&self, to: &str) -> Result<Option<Via>, Refusal> {
        if to == "default" {
            return Ok(None);
        }
        let via = to.parse().map_err(|_| Refusal::NotOne {
            given: to.to_owned(),
            wanted: "HOST, HOST:PORT, smarthost, mx or default",
        })?;
        match &via {
            Via::Smarthost if !self.ways.smarthost => Err(Refusal::NoSmarthost),
            Via::Host(host) if self.ways.lead_back(host) => {
                Err(Refusal::ToOurselves(to.to_owned()))
            }
            _ => Ok(Some(via)),
        }
    }
}

impl Ways {
    /// Whether a host is this server, as far as its name says; where a name leads is looked at when
    /// mail goes there.
    fn lead_back(&self, host: &NamedHost) -> bool {
        let port = host.port.unwrap_or(self.port);
        let mut listeners = self.listeners.iter();
        match host.name.parse::<IpAddr>() {
            Ok(ip) => self.listeners.contains(&(ip.to_canonical(), port).into()),
            Err(_) => {
                let ours = self.names.contains(&host.name);
                ours && listeners.any(|listener| listener.port() == port)
            }
        }
    }
}

/// An address, or `<>` for mail that has no sender: reports.
fn reverse_path(text: &str) -> Result<ReversePath, Refusal> {
    match text {
        "<>" => Ok(ReversePath::Null),
        text => parsed(text).map(ReversePath::Address),
    }
}

fn standing(text: &str) -> Result<Standing, Refusal> {
    serde_json::from_value(text.into()).map_err(|_| Refusal::NotOne {
        given: text.to_owned(),
        wanted: "a state: waiting, scheduled, bouncing, attempting, held or damaged",
    })
}

fn message_id(text: &str) -> Result<MessageId, Refusal> {
    let wanted = "a message id: 26 letters and digits, as `buzon queue list` shows them";
    text.parse().map_err(|_| Refusal::NotOne {
        given: text.to_owned(),
        wanted,
    })
}

/// Messages of one answer.
const LISTED_MESSAGES_MAX: usize = 1_000;
/// How long one request goes on: one operator is served at a time.
const STEP_TIME: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_that_lead_back_are_known() {
        let ways = Ways {
            smarthost: false,
            names: vec!["mx.here.example".to_owned()],
            listeners: ["192.0.2.1:25", "192.0.2.1:587", "[2001:db8::1]:25"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
            port: 25,
        };
        for (host, back) in [
            ("192.0.2.1", true),
            ("192.0.2.1:587", true),
            ("192.0.2.1:2525", false),
            ("192.0.2.2", false),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::1", true),
            ("mx.here.example", true),
            ("MX.here.example:587", true),
            ("mx.here.example:26", false),
            ("other.example", false),
        ] {
            assert_eq!(ways.lead_back(&host.parse().unwrap()), back, "{host}");
        }
    }
}
