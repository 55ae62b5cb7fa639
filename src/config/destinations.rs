//! `[relay.destinations]`: what is different towards some domains.

use serde::{Deserialize, Serialize};

use super::{
    load::Misfit,
    ranges::{self, Rule},
    raw::Config,
    units::{Rate, Span},
};

/// `[relay.destinations."example.com"]`: what is not said is as in `[relay]` and `[queue]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Destination {
    /// Attempts at once.
    pub connections: Option<usize>,
    /// Recipients in a time.
    pub rate: Option<Rate>,
    /// As `queue.retry`.
    pub retry: Option<Vec<Span>>,
    /// As `queue.retry_max`.
    pub retry_max: Option<Span>,
    /// As `queue.give_up`.
    pub give_up: Option<Span>,
    /// As `queue.delay_notice`.
    pub delay_notice: Option<Span>,
}

impl Destination {
    /// With what `general` says where this says nothing.
    pub fn or(self, general: &Self) -> Self {
        let general = general.clone();
        Self {
            connections: self.connections.or(general.connections),
            rate: self.rate.or(general.rate),
            retry: self.retry.or(general.retry),
            retry_max: self.retry_max.or(general.retry_max),
            give_up: self.give_up.or(general.give_up),
            delay_notice: self.delay_notice.or(general.delay_notice),
        }
    }
}

/// Every value is inside of its range.
pub(super) fn check(config: &Config) -> Result<(), Misfit> {
    for (name, given) in &config.relay.destinations {
        let key = |field: &str| format!("relay.destinations.{name}.{field}");
        let mut rules: Vec<Rule> = Vec::new();
        if let Some(connections) = given.connections {
            rules.push(ranges::count(key("connections"), connections, 1..=100_000));
        }
        if let Some(rate) = given.rate {
            rules.push(ranges::count(key("rate"), rate.count as usize, 1..=1 << 30));
        }
        if let Some(waits) = &given.retry {
            rules.extend(ranges::waits(key("retry"), waits));
        }
        for (field, span) in [
            ("retry_max", given.retry_max),
            ("give_up", given.give_up),
            ("delay_notice", given.delay_notice),
        ] {
            rules.extend(span.map(|span| ranges::patience(key(field), span)));
        }
        rules.iter().try_for_each(Rule::obeyed)?;
    }
    Ok(())
}
