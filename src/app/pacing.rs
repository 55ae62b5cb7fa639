//! What is different towards some domains, from the configuration to the queue and the relay:
//! retry schedules, connections, rates.

use crate::{
    config::{Config, Misfit, destinations::Destination},
    mail::{address::Domain, by_domain::ByDomain},
    queue::schedule::Schedule,
    relay::{Limits, Rate},
};

/// Attempts and rates.
pub(super) fn limits(config: &Config) -> Result<ByDomain<Limits>, Misfit> {
    let most = config.relay.attempts_per_destination;
    let limits = |given: &Destination| Limits {
        connections: given.connections.unwrap_or(most),
        rate: given.rate.map(|rate| Rate {
            count: rate.count,
            per: rate.per,
        }),
    };
    by_domain(config, limits)
}

/// Retry schedules.
pub(super) fn schedules(config: &Config) -> Result<ByDomain<Schedule>, Misfit> {
    let queue = &config.queue;
    let schedule = |given: &Destination| {
        let waits = given.retry.as_ref().unwrap_or(&queue.retry).iter();
        Schedule {
            first: waits.map(|span| span.0).collect(),
            longest: given.retry_max.unwrap_or(queue.retry_max).0,
            give_up_after: given.give_up.unwrap_or(queue.give_up).0,
            delay_notice_after: Some(given.delay_notice.unwrap_or(queue.delay_notice).0),
        }
    };
    by_domain(config, schedule)
}

/// What a name of `[relay.destinations]` stands for; the general ones first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    All,
    /// With how many labels it has.
    Below(usize, Domain),
    One(Domain),
}

/// The settings of every domain, each with those of the more general names behind it.
fn by_domain<T>(config: &Config, of: impl Fn(&Destination) -> T) -> Result<ByDomain<T>, Misfit> {
    let given = config.relay.destinations.iter();
    let named = given.map(|(name, given)| Ok((parsed(name)?, given)));
    let mut named = named.collect::<Result<Vec<_>, Misfit>>()?;
    named.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut all = ByDomain::new(Destination::default());
    let mut by = ByDomain::new(of(all.all()));
    for (name, given) in named {
        match name {
            Name::All => {
                by = ByDomain::new(of(given));
                all = ByDomain::new(given.clone());
            }
            Name::Below(_, domain) => {
                let given = given.clone().or(all.above(&domain));
                by.insert_below(&domain, of(&given));
                all.insert_below(&domain, given);
            }
            Name::One(domain) => {
                let given = given.clone().or(all.above(&domain));
                by.insert(&domain, of(&given));
            }
        }
    }
    Ok(by)
}

fn parsed(name: &str) -> Result<Name, Misfit> {
    if name == "*" {
        return Ok(Name::All);
    }
    let wrong = |why: &str| {
        let text = format!("{why}: a domain is needed, or \"*.\" and a domain, or \"*\" for all");
        Misfit::new(format!("relay.destinations.{name}"), text)
    };
    let (below, rest) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name),
    };
    let domain = Domain::parse(rest).map_err(|error| wrong(&error.to_string()))?;
    match (below, domain.literal()) {
        (false, _) => Ok(Name::One(domain)),
        (true, None) => Ok(Name::Below(domain.as_str().split('.').count(), domain)),
        (true, Some(_)) => Err(wrong("nothing is below an address")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_said_of_a_domain_is_said_by_the_more_general_names() {
        let config = config(
            "[relay]\nattempts_per_destination = 7\n\
             [relay.destinations.\"*\"]\nrate = \"100/min\"\n\
             [relay.destinations.\"*.a.example\"]\nconnections = 3\n\
             [relay.destinations.\"*.b.a.example\"]\nretry = [\"1m\", \"2m\"]\n\
             [relay.destinations.\"x.b.a.example\"]\nconnections = 1\ngive_up = \"1h\"\n",
        );
        let domain = |name: &str| Domain::parse(name).unwrap();
        let (limits, schedules) = (limits(&config).unwrap(), schedules(&config).unwrap());
        let rate = Some(Rate {
            count: 100,
            per: Duration::from_secs(60),
        });
        for (name, connections, waits, hours) in [
            ("other.example", 7, 4, 120),
            ("a.example", 7, 4, 120),
            ("y.a.example", 3, 4, 120),
            ("y.b.a.example", 3, 2, 120),
            ("x.b.a.example", 1, 2, 1),
        ] {
            let expected = Limits { connections, rate };
            assert_eq!(*limits.of(&domain(name)), expected, "{name}");
            let schedule = schedules.of(&domain(name));
            assert_eq!(schedule.first.len(), waits, "{name}");
            assert_eq!(schedule.give_up_after.as_secs(), hours * 3600, "{name}");
        }
    }

    #[test]
    fn names_that_are_none_are_told() {
        for name in ["a b", "*.[192.0.2.1]", "*.*.a.example", ""] {
            let text = format!("[relay.destinations.\"{name}\"]\nconnections = 1\n");
            let error = limits(&config(&text)).unwrap_err().to_string();
            assert!(error.starts_with("relay.destinations."), "{error}");
            assert!(error.contains("\"*\" for all"), "{error}");
        }
    }
}
