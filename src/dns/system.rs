//! The resolver that asks name servers: those of the system, or those that were named.
//!
//! Bounds of DNS-01: two tries of five seconds per server, thirty seconds per question, 64 records
//! per set, answers kept for a day at most and "there is none" for an hour, names checked. Random
//! ports and ids, the check of the question, EDNS and the change to TCP are hickory's. No search
//! list and no hosts file: a mail domain is a full name in the DNS.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
    system_conf::read_system_conf,
};
use tokio::time::timeout;

use super::{Answer, Family, Mx, Resolver, Service, cache::Cache};
use crate::{base::future::BoxFuture, observe::story::asked};

/// Which name servers to ask.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These, in this order; the system's when there are none.
    pub servers: Vec<SocketAddr>,
}

/// The resolver could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of the system could not be read")]
pub struct SetupError(#[source] NetError);

/// Asks name servers, and remembers. Cheap to clone.
#[derive(Clone)]
pub struct System {
    resolver: TokioResolver,
    cache: Cache,
}

impl System {
    /// A resolver with a cache of its own.
    pub fn new(options: &Options) -> Result<Self, SetupError> {
        let servers = if options.servers.is_empty() {
            let (system, _) = read_system_conf().map_err(SetupError)?;
            system.name_servers().to_vec()
        } else {
            options.servers.iter().map(server).collect()
        };
        // Only the servers: a search list would find mail domains that nobody meant.
        let config = ResolverConfig::from_name_servers(servers);
        let provider = TokioRuntimeProvider::default();
        TokioResolver::builder_with_config(config, provider)
            .with_options(resolver_options())
            .build()
            .map(|resolver| Self {
                resolver,
                cache: Cache::new(),
            })
            .map_err(SetupError)
    }

    /// The records of one type, in an answer that took a bounded time.
    async fn ask(&self, name: &str, kind: RecordType) -> Answer<Vec<RData>> {
        let Some(name) = name_of(name) else {
            // What the DNS cannot spell does not exist in it.
            return Answer::NoSuchName;
        };
        if let Some(known) = self.cache.find(&name, kind) {
            told(&name, kind, &known, None);
            return known;
        }
        let asked = match timeout(QUESTION_MAX, self.resolver.lookup(name.clone(), kind)).await {
            Ok(Ok(lookup)) => {
                let answers = lookup.answers().iter();
                let holds = answers.clone().map(|record| record.ttl).min();
                let of_kind = answers.filter(|record| record.data.record_type() == kind);
                let mut records: Vec<&RData> = of_kind.map(|record| &record.data).collect();
                // Of texts beyond all measure, those that say what they are for.
                records.sort_by_key(|data| !has_version(data));
                records.truncate(RECORDS_MAX);
                let records: Vec<_> = records.into_iter().cloned().collect();
                let answer = match records.is_empty() {
                    true => Answer::NoRecords,
                    false => Answer::Found(records),
                };
                (answer, holds.unwrap_or(0))
            }
            Ok(Err(error)) => (negative(&error), negative_secs(&error)),
            Err(_) => {
                let why = "the name servers did not answer in time".to_owned();
                (Answer::Temporary(why), 0)
            }
        };
        let (answer, secs) = asked;
        self.cache.insert((&name, kind), &answer, secs);
        told(&name, kind, &answer, Some(secs));
        answer
    }
}

impl Resolver for System {
    fn mx<'a>(&'a self, domain: &'a str) -> BoxFuture<'a, Answer<Vec<Mx>>> {
        Box::pin(async move {
            match self.ask(domain, RecordType::MX).await.map(exchanges) {
                // Records that name nothing usable are not "no records": there must be no implicit
                // MX.
                Answer::Found(records) if records.is_empty() => {
                    Answer::Temporary("the MX records hold no host names".to_owned())
                }
                answer => answer,
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

/// Whether a record is a text with a version, as policies and keys are.
fn has_version(data: &RData) -> bool {
    match data {
        RData::TXT(txt) => txt.txt_data.first().is_some_and(|t| t.starts_with(b"v=")),
        _ => false,
    }
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

/// DNS-02: only NXDOMAIN and an empty answer are answers; everything else is a lack of one.
fn negative<T>(error: &NetError) -> Answer<T> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Answer::NoSuchName,
            ResponseCode::NoError => Answer::NoRecords,
            code => Answer::Temporary(format!("a name server said: {code}")),
        },
        NetError::Timeout => Answer::Temporary("the name servers did not answer".to_owned()),
        error => Answer::Temporary(error.to_string()),
    }
}

/// How long there is nothing; without a word of its zone not at all (RFC 2308 5).
fn negative_secs(error: &NetError) -> u32 {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => none.negative_ttl.unwrap_or(0),
        _ => 0,
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

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let with_port = connections.into_iter().map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, with_port.collect())
}

fn resolver_options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_secs(5);
    // Beside the first one: two in all.
    options.attempts = 1;
    options.edns0 = true;
    options.edns_payload_len = 1232;
    // It would be bounded in messages of any size; ours is in bytes.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// DNS-01: a question is given up after this time, whatever its servers and aliases.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// DNS-01: records of one set that are looked at.
const RECORDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use hickory_resolver::{net::NoRecords, proto::op::Query};

    use super::*;

    #[test]
    fn dns_02_missing_and_unknown_are_never_mixed() {
        let none = |code| NetError::from(NoRecords::new(Query::default(), code));
        for (error, answer) in [
            (none(ResponseCode::NXDomain), Answer::NoSuchName),
            (none(ResponseCode::NoError), Answer::NoRecords),
        ] {
            assert_eq!(negative::<()>(&error), answer);
        }
        for error in [
            none(ResponseCode::ServFail),
            none(ResponseCode::Refused),
            NetError::Timeout,
            NetError::Busy,
            NetError::NoConnections,
            NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)),
            NetError::Dns(DnsError::DnssecBogus),
        ] {
            assert!(matches!(negative::<()>(&error), Answer::Temporary(_)));
        }
    }

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

    #[tokio::test]
    async fn dns_01_servers_can_be_named_with_their_ports() {
        let options = Options {
            servers: vec!["127.0.0.1:5353".parse().unwrap()],
        };
        assert!(System::new(&options).is_ok());
        let config = server(&options.servers[0]);
        assert!(config.connections.iter().all(|c| c.port == 5353));
    }
}
