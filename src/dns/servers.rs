//! Asking name servers: those of the system, or those that were named; and what they say of one
//! question.
//!
//! Bounds of DNS-01: two tries of five seconds per server, 64 records per set. Random ports and
//! ids, the check of the question, EDNS and the change to TCP are hickory's. No search list and no
//! hosts file: a mail domain is a full name in the DNS.
//!
//! DNS-03: what name servers say of DNSSEC (the AD bit, RFC 6840 5.7) counts when the operator says
//! that they can be trusted, and is not asked for otherwise. Such a server resolves aliases itself,
//! so the answer that has the bit is the whole one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

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

use super::{Answer, cache::Worth};

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

/// How they are asked.
#[derive(Clone)]
pub(super) enum Servers {
    /// Whatever they say of DNSSEC is not heard.
    Any(TokioResolver),
    /// They check DNSSEC for us.
    Trusted(RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>),
}

/// What a question brought, and for how many seconds it holds.
pub(super) struct Reply {
    pub(super) answer: Answer<Vec<RData>>,
    pub(super) worth: Worth,
    pub(super) secs: u32,
}

impl Servers {
    pub(super) fn new(options: &Options) -> Result<Self, SetupError> {
        let servers = if options.servers.is_empty() {
            let (system, _) = read_system_conf().map_err(SetupError)?;
            system.name_servers().to_vec()
        } else {
            options.servers.iter().map(server).collect()
        };
        let provider = TokioRuntimeProvider::default();
        Ok(if options.trust_ad {
            let context =
                PoolContext::new(resolver_options(), TlsConfig::new().map_err(SetupError)?);
            let pool = NameServerPool::from_config(servers, Arc::new(context), provider);
            Self::Trusted(RetryDnsHandle::new(pool, resolver_options().attempts))
        } else {
            // Only the servers: a search list would find mail domains that nobody meant.
            let config = ResolverConfig::from_name_servers(servers);
            let resolver = TokioResolver::builder_with_config(config, provider)
                .with_options(resolver_options())
                .build();
            Self::Any(resolver.map_err(SetupError)?)
        })
    }

    /// What they say of one question.
    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Result<Reply, NetError> {
        let (reply, end) = self.once(name, kind).await?;
        // DNS-02: aliases that do not end say nothing; libraries and some servers take the last one
        // that they looked at for a name without records.
        match end.filter(|_| kind != RecordType::CNAME) {
            Some(end) if self.is_alias(&end).await? => {
                Ok(Reply::temporary("the aliases of the name do not end"))
            }
            _ => Ok(reply),
        }
    }

    /// One question; where it ended, when there are no records and nobody vouches for that (RFC
    /// 2308 2.2).
    async fn once(&self, name: &Name, kind: RecordType) -> Result<(Reply, Option<Name>), NetError> {
        let error = match self {
            Self::Any(resolver) => match resolver.lookup(name.clone(), kind).await {
                Ok(lookup) => return Ok((Reply::of(lookup.answers(), kind), None)),
                Err(error) => error,
            },
            Self::Trusted(pool) => match pool.send(proof_wanted(name, kind)).first_answer().await {
                Ok(response) => {
                    let reply = Reply::proven(&response, name, kind);
                    let vouched = response.soa().is_some() || reply.answer != Answer::NoRecords;
                    let end = || reply.worth.leads_to.clone().unwrap_or_else(|| name.clone());
                    let end = (!vouched).then(end);
                    return Ok((reply, end));
                }
                Err(error) => error,
            },
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
        let found = match self {
            Self::Any(resolver) => {
                let found = resolver.lookup(name.clone(), kind).await;
                found.map(|lookup| Reply::of(lookup.answers(), kind))
            }
            Self::Trusted(pool) => {
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

    pub(super) fn negative(error: &NetError) -> Self {
        Self {
            answer: negative(error),
            worth: Worth::default(),
            secs: negative_secs(error),
        }
    }

    pub(super) fn temporary(why: &str) -> Self {
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

/// Whether a record is a text with a version, as policies and keys are.
fn has_version(data: &RData) -> bool {
    match data {
        RData::TXT(txt) => txt.txt_data.first().is_some_and(|t| t.starts_with(b"v=")),
        _ => false,
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

/// DNS-01: aliases that one question follows.
const ALIASES_MAX: usize = 8;
/// DNS-01: what fits through every network in one piece.
const PAYLOAD_MAX: u16 = 1232;
/// DNS-01: records of one set that are looked at.
const RECORDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use hickory_resolver::net::NoRecords;

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

    #[tokio::test]
    async fn dns_01_servers_can_be_named_with_their_ports() {
        let options = Options {
            servers: vec!["127.0.0.1:5353".parse().unwrap()],
            trust_ad: false,
        };
        assert!(Servers::new(&options).is_ok());
        let config = server(&options.servers[0]);
        assert!(config.connections.iter().all(|c| c.port == 5353));
    }
}
