//! The resolver that asks name servers: those of the system, or those that were named.
//!
//! What servers say, and how they are asked, is in `servers`; here it is kept, bounded in time, and
//! made what the rest of us asks for. Bounds of DNS-01: thirty seconds per question, answers kept
//! for a day at most and "there is none" for an hour, names checked.

use std::{net::IpAddr, time::Duration};

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use super::{
    Answer, Family, Located, Mx, Proven, Resolver, Service, Tlsa,
    cache::{Cache, Worth},
    servers::{Options, Reply, Servers, SetupError},
};
use crate::{base::future::BoxFuture, observe::story::asked};

/// Asks name servers, and remembers. Cheap to clone.
#[derive(Clone)]
pub struct System {
    servers: Servers,
    cache: Cache,
}

impl System {
    /// A resolver with a cache of its own.
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        Ok(Self {
            servers: Servers::new(options)?,
            cache: Cache::new(),
        })
    }

    /// Whether the name servers prove what is surely signed: who serves the root.
    pub async fn proves_the_root(&self) -> Answer<bool> {
        let (answer, worth) = self.asked(Name::root(), RecordType::NS).await;
        answer.map(|_| worth.secure)
    }

    /// The records of one type, in an answer that took a bounded time.
    async fn ask(&self, name: &str, kind: RecordType) -> Answer<Vec<RData>> {
        self.ask_whole(name, kind).await.0
    }

    /// The same, and what it is worth.
    async fn ask_whole(&self, name: &str, kind: RecordType) -> (Answer<Vec<RData>>, Worth) {
        let Some(name) = name_of(name) else {
            // What the DNS cannot spell does not exist in it.
            return (Answer::NoSuchName, Worth::default());
        };
        self.asked(name, kind).await
    }

    async fn asked(&self, name: Name, kind: RecordType) -> (Answer<Vec<RData>>, Worth) {
        if let Some(known) = self.cache.find(&name, kind) {
            told(&name, kind, &known.0, None);
            return known;
        }
        let reply = match timeout(QUESTION_MAX, self.servers.ask(&name, kind)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => Reply::negative(&error),
            Err(_) => Reply::temporary("the name servers did not answer in time"),
        };
        let Reply {
            answer,
            worth,
            secs,
        } = reply;
        self.cache.insert((&name, kind), (&answer, &worth), secs);
        told(&name, kind, &answer, Some(secs));
        (answer, worth)
    }
}

impl Resolver for System {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Answer<Vec<Mx>>> {
        Box::pin(async move { self.proven_mx(domain).await.answer })
    }

    fn proven_mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Proven<Vec<Mx>>> {
        Box::pin(async move {
            let (answer, worth) = self.ask_whole(domain, RecordType::MX).await;
            let answer = match answer.map(exchanges) {
                // Records that name nothing usable are not "no records": there must be no implicit
                // MX.
                Answer::Found(records) if records.is_empty() => {
                    Answer::Temporary("the MX records hold no host names".to_owned())
                }
                answer => answer,
            };
            Proven {
                answer,
                secure: worth.secure,
            }
        })
    }

    fn located<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Located> {
        Box::pin(async move {
            let (six, four) = tokio::join!(
                self.ask_whole(host, RecordType::AAAA),
                self.ask_whole(host, RecordType::A)
            );
            let found = |(answer, worth): &(Answer<Vec<RData>>, Worth)| {
                matches!(answer, Answer::Found(_)).then(|| worth.clone())
            };
            let worth = match (found(&six), found(&four)) {
                // Two families of one name lead to one place; where they do not, nothing is proven.
                (Some(six), Some(four)) if six != four => Worth::default(),
                (Some(worth), _) | (None, Some(worth)) => worth,
                (None, None) => Worth::default(),
            };
            let leads_to = worth.leads_to.as_ref();
            let mut proven_names = Vec::new();
            if worth.secure {
                proven_names.extend(leads_to.and_then(host_name));
                proven_names.push(host.to_owned());
            } else if leads_to.is_some() {
                // RFC 7672 2.2.2: an alias of a signed zone may lead out of it; the alias itself is
                // proven then.
                let (alias, worth) = self.ask_whole(host, RecordType::CNAME).await;
                let proven = worth.secure && matches!(alias, Answer::Found(_));
                proven_names.extend(proven.then(|| host.to_owned()));
            }
            Located {
                addresses: both(six.0.map(addresses), four.0.map(addresses)),
                proven_names,
            }
        })
    }

    fn associations<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Proven<Vec<Tlsa>>> {
        Box::pin(async move {
            let (answer, worth) = self.ask_whole(name, RecordType::TLSA).await;
            Proven {
                answer: answer.map(associations),
                secure: worth.secure,
            }
        })
    }

    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        Box::pin(async move {
            // At once: a name server that is slow about one family costs its time and no more.
            let (six, four) = tokio::join!(
                self.ask(host, RecordType::AAAA),
                self.ask(host, RecordType::A)
            );
            both(six.map(addresses), four.map(addresses))
        })
    }

    fn family<'a>(&'a self, host: &'a str, family: Family) -> BoxFuture<'a, Answer<Vec<IpAddr>>> {
        let kind = match family {
            Family::Four => RecordType::A,
            Family::Six => RecordType::AAAA,
        };
        Box::pin(async move { self.ask(host, kind).await.map(addresses) })
    }

    fn texts<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Vec<Vec<u8>>>> {
        Box::pin(async move { self.ask(name, RecordType::TXT).await.map(texts) })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Answer<Vec<Service>>> {
        Box::pin(async move { self.ask(name, RecordType::SRV).await.map(services) })
    }

    fn names(&self, address: IpAddr) -> BoxFuture<'_, Answer<Vec<String>>> {
        Box::pin(async move {
            let name = Name::from(address).to_ascii();
            self.ask(&name, RecordType::PTR).await.map(names)
        })
    }
}

/// Tells the story of the message that made us ask.
fn told(name: &Name, kind: RecordType, answer: &Answer<Vec<RData>>, secs: Option<u32>) {
    let outcome = match answer {
        Answer::Found(records) => format!("{} found", records.len()),
        Answer::NoRecords => "none".to_owned(),
        Answer::NoSuchName => "no such name".to_owned(),
        Answer::Temporary(why) => why.clone(),
    };
    let name = name.to_ascii();
    let name = name.trim_end_matches('.');
    asked::answered(name, &kind.to_string(), &outcome, secs);
}

/// A full name. Its labels may hold what no host name does: SPF spells senders in them (RFC 7208
/// 7.4).
fn name_of(text: &str) -> Option<Name> {
    if !text.is_ascii() {
        return None;
    }
    let labels = text.trim_end_matches('.').split('.').map(str::as_bytes);
    let mut name = Name::from_labels(labels).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The answers about two families as one. A family that could not be asked about matters only when
/// the other one has nothing.
fn both(six: Answer<Vec<IpAddr>>, four: Answer<Vec<IpAddr>>) -> Answer<Vec<IpAddr>> {
    match (six, four) {
        (Answer::Found(mut six), Answer::Found(four)) => {
            six.extend(four);
            Answer::Found(six)
        }
        (Answer::Found(found), _) | (_, Answer::Found(found)) => Answer::Found(found),
        (Answer::Temporary(why), _) | (_, Answer::Temporary(why)) => Answer::Temporary(why),
        (Answer::NoSuchName, Answer::NoSuchName) => Answer::NoSuchName,
        _ => Answer::NoRecords,
    }
}

fn exchanges(records: Vec<RData>) -> Vec<Mx> {
    let exchange = |data| match data {
        RData::MX(mx) => Some(Mx {
            preference: mx.preference,
            exchange: host_name(&mx.exchange)?,
        }),
        _ => None,
    };
    records.into_iter().filter_map(exchange).collect()
}

fn associations(records: Vec<RData>) -> Vec<Tlsa> {
    let association = |data| match data {
        RData::TLSA(tlsa) => Some(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data,
        }),
        _ => None,
    };
    records.into_iter().filter_map(association).collect()
}

fn addresses(records: Vec<RData>) -> Vec<IpAddr> {
    let address = |data| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    };
    records.into_iter().filter_map(address).collect()
}

fn texts(records: Vec<RData>) -> Vec<Vec<u8>> {
    let text = |data| match data {
        RData::TXT(txt) => Some(txt.txt_data.concat()),
        _ => None,
    };
    records.into_iter().filter_map(text).collect()
}

fn services(records: Vec<RData>) -> Vec<Service> {
    let service = |data| match data {
        RData::SRV(srv) => Some(Service {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target: host_name(&srv.target)?,
        }),
        _ => None,
    };
    records.into_iter().filter_map(service).collect()
}

fn names(records: Vec<RData>) -> Vec<String> {
    let name = |data| match data {
        RData::PTR(ptr) => host_name(&ptr.0).filter(|name| !name.is_empty()),
        _ => None,
    };
    records.into_iter().filter_map(name).collect()
}

/// The name in lower case without its final dot, if it is fit to be a host (DNS-01: any byte may
/// stand in a label). Underscores are against the rules and in use.
fn host_name(name: &Name) -> Option<String> {
    let fit = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !name.iter().all(|label| label.iter().all(fit)) {
        return None;
    }
    let text = name.to_ascii().to_ascii_lowercase();
    Some(text.trim_end_matches('.').to_owned())
}

/// DNS-01: a question is given up after this time, whatever its servers and aliases.
const QUESTION_MAX: Duration = Duration::from_secs(30);
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_02_one_family_is_enough_and_an_unknown_one_is_not_nothing() {
        let found = |ip: &str| Answer::Found(vec![ip.parse().unwrap()]);
        let temporary = || Answer::Temporary("x".to_owned());
        assert_eq!(
            both(found("::1"), found("127.0.0.1")),
            Answer::Found(vec!["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()])
        );
        assert_eq!(both(temporary(), found("127.0.0.1")), found("127.0.0.1"));
        assert_eq!(both(Answer::NoRecords, temporary()), temporary());
        assert_eq!(both(Answer::NoSuchName, temporary()), temporary());
        assert_eq!(
            both(Answer::NoSuchName, Answer::NoSuchName),
            Answer::NoSuchName
        );
        assert_eq!(
            both(Answer::NoRecords, Answer::NoSuchName),
            Answer::NoRecords
        );
    }

    #[test]
    fn dns_01_exchanges_with_odd_bytes_are_left_out() {
        let name = |labels: &[&[u8]]| Name::from_labels(labels.iter().copied()).unwrap();
        assert_eq!(
            host_name(&name(&[b"MX_1", b"Example", b"org"])).as_deref(),
            Some("mx_1.example.org")
        );
        assert_eq!(host_name(&Name::root()).as_deref(), Some(""));
        assert_eq!(host_name(&name(&[b"mx\r\nQUIT", b"org"])), None);
        assert_eq!(host_name(&name(&[b"a.b", b"org"])), None);
    }
}
