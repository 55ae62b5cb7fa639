//! The resolver that asks name servers: those of the system, or those that were named.
//!
//! Bounds of DNS-01: two tries of five seconds per server, thirty seconds per question, 64 records
//! per set, answers kept for a day at most and "there is none" for an hour, names checked. Random
//! ports and ids, the check of the question, EDNS and the change to TCP are hickory's. No search
//! list and no hosts file: a mail domain is a full name in the DNS.
//!
//! DNS-03: what name servers say of DNSSEC (the AD bit, RFC 6840 5.7) counts when the operator says
//! that they can be trusted, and is not asked for otherwise. Such a server resolves aliases itself,
//! so the answer that has the bit is the whole one.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_resolver::{
    NameServerPool, PoolContext, TlsConfig, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{
        DnsError, NetError,
        runtime::TokioRuntimeProvider,
        xfer::{DnsHandle as _, FirstAnswer as _, RetryDnsHandle},
    },
    proto::{
        op::{DnsRequest, DnsRequestOptions, Edns, Message, Query, ResponseCode},
        rr::{Name, RData, Record, RecordType},
    },
    system_conf::read_system_conf,
};
use tokio::time::timeout;

use super::{
    Answer, Family, Located, Mx, Proven, Resolver, Service, Tlsa,
    cache::{Cache, Worth},
};
use crate::{base::future::BoxFuture, observe::story::asked};

/// Which name servers to ask.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These, in this order; the system's when there are none.
    pub servers: Vec<SocketAddr>,
    /// They check DNSSEC, and nobody is on the way to them.
    pub trust_ad: bool,
}

/// The resolver could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the name servers of the system could not be read")]
pub struct SetupError(#[source] NetError);

/// Asks name servers, and remembers. Cheap to clone.
#[derive(Clone)]
pub struct System {
    servers: Servers,
    cache: Cache,
}

/// How they are asked.
#[derive(Clone)]
enum Servers {
    /// Whatever they say of DNSSEC is not heard.
    Any(TokioResolver),
    /// They check DNSSEC for us.
    Trusted(RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>),
}

/// What a question brought, and for how many seconds it holds.
struct Reply {
    answer: Answer<Vec<RData>>,
    worth: Worth,
    secs: u32,
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
        let provider = TokioRuntimeProvider::default();
        let servers = if options.trust_ad {
            let context =
                PoolContext::new(resolver_options(), TlsConfig::new().map_err(SetupError)?);
            let pool = NameServerPool::from_config(servers, Arc::new(context), provider);
            Servers::Trusted(RetryDnsHandle::new(pool, resolver_options().attempts))
        } else {
            // Only the servers: a search list would find mail domains that nobody meant.
            let config = ResolverConfig::from_name_servers(servers);
            let resolver = TokioResolver::builder_with_config(config, provider)
                .with_options(resolver_options())
                .build();
            Servers::Any(resolver.map_err(SetupError)?)
        };
        Ok(Self {
            servers,
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
        let asked = async {
            let (reply, end) = self.once(&name, kind).await?;
            // DNS-02: aliases that do not end say nothing; libraries and some servers take the
            // last one that they looked at for a name without records.
            match end.filter(|_| kind != RecordType::CNAME) {
                Some(end) if self.is_alias(&end).await? => {
                    Ok(Reply::temporary("the aliases of the name do not end"))
                }
                _ => Ok(reply),
            }
        };
        let reply = match timeout(QUESTION_MAX, asked).await {
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

impl System {
    /// One question; where it ended, when there are no records and nobody vouches for that (RFC
    /// 2308 2.2).
    async fn once(&self, name: &Name, kind: RecordType) -> Result<(Reply, Option<Name>), NetError> {
        let error = match &self.servers {
            Servers::Any(resolver) => match resolver.lookup(name.clone(), kind).await {
                Ok(lookup) => return Ok((Reply::of(lookup.answers(), kind), None)),
                Err(error) => error,
            },
            Servers::Trusted(pool) => {
                match pool.send(proof_wanted(name, kind)).first_answer().await {
                    Ok(response) => {
                        let reply = Reply::proven(&response, name, kind);
                        let vouched = response.soa().is_some() || reply.answer != Answer::NoRecords;
                        let end = || reply.worth.leads_to.clone().unwrap_or_else(|| name.clone());
                        let end = (!vouched).then(end);
                        return Ok((reply, end));
                    }
                    Err(error) => error,
                }
            }
        };
        let end = match &error {
            NetError::Dns(DnsError::NoRecordsFound(none))
                if none.response_code == ResponseCode::NoError && none.soa.is_none() =>
            {
                Some(none.query.name().clone())
            }
            _ => None,
        };
        Ok((Reply::negative(&error), end))
    }

    /// Whether a name stands for another one.
    async fn is_alias(&self, name: &Name) -> Result<bool, NetError> {
        let kind = RecordType::CNAME;
        let found = match &self.servers {
            Servers::Any(resolver) => {
                let found = resolver.lookup(name.clone(), kind).await;
                found.map(|lookup| Reply::of(lookup.answers(), kind))
            }
            Servers::Trusted(pool) => {
                let found = pool.send(proof_wanted(name, kind)).first_answer().await;
                found.map(|response| Reply::of(&response.answers, kind))
            }
        };
        match found {
            Ok(reply) => Ok(matches!(reply.answer, Answer::Found(_))),
            Err(error) => match negative::<()>(&error) {
                Answer::Temporary(_) => Err(error),
                _ => Ok(false),
            },
        }
    }
}

impl Reply {
    /// The records of one type among those of an answer.
    fn of<'a>(all: impl IntoIterator<Item = &'a Record>, kind: RecordType) -> Self {
        let (mut secs, mut records) = (None, Vec::new());
        for record in all {
            secs = Some(secs.unwrap_or(u32::MAX).min(record.ttl));
            if record.data.record_type() == kind {
                records.push(&record.data);
            }
        }
        // Of texts beyond all measure, those that say what they are for.
        records.sort_by_key(|data| !has_version(data));
        records.truncate(RECORDS_MAX);
        let records: Vec<_> = records.into_iter().cloned().collect();
        Self {
            answer: match records.is_empty() {
                true => Answer::NoRecords,
                false => Answer::Found(records),
            },
            worth: Worth::default(),
            secs: secs.unwrap_or(0),
        }
    }

    /// The answer of a server that checks DNSSEC and resolves aliases: the records at their end.
    fn proven(response: &Message, name: &Name, kind: RecordType) -> Self {
        let mut at = name;
        for _ in 0..ALIASES_MAX {
            let alias = response
                .answers
                .iter()
                .find_map(|record| match &record.data {
                    RData::CNAME(to) if kind != RecordType::CNAME && record.name == *at => {
                        Some(&to.0)
                    }
                    _ => None,
                });
            match alias {
                Some(to) => at = to,
                None => break,
            }
        }
        let of_chain = response.answers.iter();
        let of_chain = of_chain.filter(|record| {
            record.name == *at
                || matches!(record.data, RData::CNAME(_)) && kind != RecordType::CNAME
        });
        let mut reply = Self::of(of_chain, kind);
        reply.worth = Worth {
            secure: response.authentic_data,
            leads_to: (at != name).then(|| at.clone()),
        };
        if reply.answer == Answer::NoRecords && response.response_code == ResponseCode::NXDomain {
            reply.answer = Answer::NoSuchName;
        }
        reply
    }

    fn negative(error: &NetError) -> Self {
        Self {
            answer: negative(error),
            worth: Worth::default(),
            secs: negative_secs(error),
        }
    }

    fn temporary(why: &str) -> Self {
        Self {
            answer: Answer::Temporary(why.to_owned()),
            worth: Worth::default(),
            secs: 0,
        }
    }
}

/// A question that asks for the AD bit (RFC 6840 5.7); no signatures, which nobody here reads.
fn proof_wanted(name: &Name, kind: RecordType) -> DnsRequest {
    let mut message = Message::query();
    message.add_query(Query::query(name.clone(), kind));
    message.metadata.recursion_desired = true;
    message.metadata.authentic_data = true;
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD_MAX);
    message.edns = Some(edns);
    let mut options = DnsRequestOptions::default();
    options.edns_payload_len = PAYLOAD_MAX;
    DnsRequest::new(message, options)
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
    options.edns_payload_len = PAYLOAD_MAX;
    // It would be bounded in messages of any size; ours is in bytes.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// DNS-01: a question is given up after this time, whatever its servers and aliases.
const QUESTION_MAX: Duration = Duration::from_secs(30);
/// DNS-01: aliases that one question follows.
const ALIASES_MAX: usize = 8;
/// DNS-01: what fits through every network in one piece.
const PAYLOAD_MAX: u16 = 1232;
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
            trust_ad: false,
        };
        assert!(System::new(&options).is_ok());
        let config = server(&options.servers[0]);
        assert!(config.connections.iter().all(|c| c.port == 5353));
    }
}
