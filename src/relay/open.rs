//! From a destination to a conversation: whom to call, and the calls until somebody answers.
//!
//! At most five addresses and two hosts that answered per attempt. A host that fails at TLS,
//! where TLS is opportunistic, is called once more without it; one that fails what a policy demands
//! is not spoken to (TLS-07). A host that does not want to talk says nothing about the mail, so the
//! next one is tried, and in the end the mail waits.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{net::TcpSocket, time::timeout};

use super::{
    Destination, Route, Shared, Sources,
    hosts::{Exchange, Target, Unroutable, exchanges, targets},
    pool::Session,
    protect::{By, Known, Protection},
    socket,
    sts::Policy,
    verdict::{Finding, shown, shown_error, unconnected, unopened},
};
use crate::{
    base::{
        future::{BoxFuture, all},
        text::Causes,
    },
    dns::{Answer, Located},
    mail::address::Domain,
    queue::record::{Diagnosis, Status},
    smtp::client::{
        Conversation, Failure, Login, Transport,
        conversation::{Opening, Security},
    },
};

/// Makes connections. Tests have one that makes pipes.
pub trait Connector: Send + Sync + 'static {
    /// A connection to `to`, from an address of ours or from any.
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>>;
}

/// Makes TCP connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Connector for Tcp {
    fn connect(
        &self,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let socket = match to {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if let Some(from) = from {
                socket
                    .bind((from, 0).into())
                    .map_err(|error| unbound(from, &error))?;
            }
            let stream = socket.connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

/// A source address that is not ours: a setting to mend, not the other side's doing.
fn unbound(from: IpAddr, error: &io::Error) -> io::Error {
    let text = format!("connections cannot come from {from} (source): {error}");
    tracing::warn!(%from, %error, "the source address for connections out cannot be used");
    io::Error::new(io::ErrorKind::AddrNotAvailable, text)
}

/// How to call the hosts of a destination.
struct Call<'a> {
    targets: Vec<Target>,
    sources: Sources,
    known: Known,
    login: Option<&'a Login>,
}

impl Shared {
    /// A fresh conversation with some host of `to`, or what its absence means for the mail.
    pub(super) async fn open(&self, to: &Destination) -> Result<Box<Session>, Finding> {
        let call = self.plan(to).await;
        let call = call.map_err(|why| Finding::unroutable(&why))?;
        let mut answered = 0;
        let mut last = None;
        let mut protections: HashMap<(&str, u16), Result<Protection, Diagnosis>> = HashMap::new();
        for target in &call.targets {
            let host = (target.host.as_str(), target.port);
            if !protections.contains_key(&host) {
                let protection = self.protection(&call.known, host).await;
                protections.insert(host, protection);
            }
            let called = match protections.get(&host) {
                Some(Ok(protection)) => self.call(&call, target, protection.clone()).await,
                Some(Err(why)) => Err(NotOpened {
                    why: why.clone(),
                    answer: false,
                }),
                None => continue,
            };
            match called {
                Ok(session) => return Ok(session),
                Err(NotOpened { why, answer }) => {
                    tracing::debug!(host = %shown(target), why = why.text(), "host did not do");
                    answered += usize::from(answer);
                    last = Some(why);
                }
            }
            if answered >= SESSIONS_MAX {
                break;
            }
        }
        let none = || unconnected("no host", "there is no address");
        Err(Finding::Later(last.unwrap_or_else(none)))
    }

    /// One call, and another one with less TLS where that may help.
    async fn call(
        &self,
        call: &Call<'_>,
        target: &Target,
        mut protection: Protection,
    ) -> Result<Box<Session>, NotOpened> {
        let host = shown(target);
        loop {
            let stream = self.connect(target, call.sources).await;
            let stream = stream.map_err(|error| NotOpened {
                why: unconnected(&host, &shown_error(&error)),
                answer: false,
            })?;
            match self.converse(call, &protection, stream).await {
                Ok(mut conversation) => {
                    if protection.by == By::StsTesting {
                        // RFC 8689 4.2.1 wants a policy that is meant.
                        conversation.distrust();
                    }
                    return Ok(Box::new(Session {
                        conversation,
                        host,
                        by: protection.by,
                        messages: 0,
                    }));
                }
                Err(failure) => match protection.weakened(&failure) {
                    Some(weaker) => {
                        tracing::debug!(%host, error = %failure.cause, "again with less TLS");
                        protection = weaker;
                    }
                    None => {
                        return Err(NotOpened {
                            why: unopened(&host, &failure, protection.by),
                            answer: true,
                        });
                    }
                },
            }
        }
    }

    async fn connect(&self, to: &Target, sources: Sources) -> io::Result<Box<dyn Transport>> {
        let from = sources.of(to.address);
        let connecting = self.parts.connector.connect(socket(to), from);
        match timeout(self.options.connect_timeout, connecting).await {
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn converse(
        &self,
        call: &Call<'_>,
        protection: &Protection,
        stream: Box<dyn Transport>,
    ) -> Result<Conversation, Failure> {
        let opening = Opening {
            name: &self.options.name,
            host: &protection.name,
            proof: protection.proof.as_ref(),
            security: protection.security,
            tls: &self.parts.tls,
            login: call.login,
            random: &self.parts.random,
        };
        Conversation::open(stream, &opening, self.options.timeouts).await
    }

    /// Whom to call for `to`.
    async fn plan(&self, to: &Destination) -> Result<Call<'_>, Unroutable> {
        let options = &self.options;
        let demanded = match to {
            Destination::Direct(domain) | Destination::Routed(domain) => options.tls.get(domain),
            _ => None,
        };
        let mut known = Known {
            chosen: demanded.copied(),
            ..Known::default()
        };
        if let Some(route) = options.route(to) {
            let chosen = Some(route.security).filter(|of| *of != Security::Opportunistic);
            known.chosen = known.chosen.or(chosen);
            return Ok(Call {
                targets: self.named(route, &mut known).await?,
                sources: route.sources,
                known,
                login: route.login.as_ref(),
            });
        }
        let targets = match to {
            Destination::Direct(domain) => {
                known.sts = self.policy(domain, &known).await?;
                self.direct(domain, &mut known).await?
            }
            // A route that is named and not there cannot be: options do not change.
            _ => Vec::new(),
        };
        Ok(Call {
            targets,
            sources: options.sources,
            known,
            login: None,
        })
    }

    /// The MTA-STS policy of a domain, where the operator leaves it to policies.
    async fn policy(&self, domain: &Domain, known: &Known) -> Result<Option<Policy>, Unroutable> {
        let Some(policies) = &self.parts.policies else {
            return Ok(None);
        };
        if known.chosen.is_some() || domain.literal().is_some() {
            return Ok(None);
        }
        policies.of(domain.as_str()).await.map_err(|error| {
            let error = Causes(&error);
            Unroutable {
                permanent: false,
                status: Status(4, 3, 0),
                text: format!("the MTA-STS policy of {domain} could not be read: {error}"),
            }
        })
    }

    /// The hosts of a domain, as the DNS has them.
    async fn direct(&self, domain: &Domain, known: &mut Known) -> Result<Vec<Target>, Unroutable> {
        let (own, port) = (&self.options.own, self.options.port);
        let mut resolved = Vec::new();
        if let Some(ip) = domain.literal() {
            let exchange = Exchange {
                preference: 0,
                host: ip.to_string(),
                port,
            };
            resolved.push((exchange, Answer::Found(vec![ip])));
        } else {
            let records = self.parts.resolver.proven_mx(domain.as_str()).await;
            // RFC 7672 2.2.1: what an unproven record names proves nothing. Where there is none,
            // the domain itself is the host, and its own answer counts (2.2.2).
            let proven = records.secure || !matches!(records.answer, Answer::Found(_));
            let mut random = |bound| self.parts.random.below(bound);
            let hosts = exchanges(domain.as_str(), records.answer, (own, port), &mut random)?;
            // All at once (there are at most `EXCHANGES_MAX`): one slow name server must not keep
            // the best host waiting for the time of all.
            let questions = hosts.iter();
            let questions = questions.map(|mx| self.parts.resolver.located(&mx.host));
            let answers = all(questions.collect()).await;
            for (exchange, located) in hosts.into_iter().zip(answers) {
                if proven && self.options.dane {
                    let host = exchange.host.clone();
                    known.proven.insert(host, located.proven_names);
                    known.domain = Some(domain.as_str().to_owned());
                }
                resolved.push((exchange, located.addresses));
            }
        }
        targets(domain.as_str(), &resolved, own, self.options.sources)
    }

    /// Hosts that the operator named, in his order: any address will do.
    async fn named(&self, route: &Route, known: &mut Known) -> Result<Vec<Target>, Unroutable> {
        let questions = route.hosts.iter();
        let questions = questions.map(|(host, _)| self.located(host));
        let answers = all(questions.collect()).await;
        let mut resolved = Vec::new();
        for (preference, ((host, port), located)) in (0..).zip(route.hosts.iter().zip(answers)) {
            if self.options.dane {
                known.proven.insert(host.clone(), located.proven_names);
            }
            let exchange = Exchange {
                preference,
                host: host.clone(),
                port: *port,
            };
            resolved.push((exchange, located.addresses));
        }
        let own = super::hosts::Own {
            insecure_allow_private_targets: true,
            ..Default::default()
        };
        let names: Vec<_> = route.hosts.iter().map(|(host, _)| host.as_str()).collect();
        // A mistake in our configuration is no reason to return mail.
        targets(&names.join(", "), &resolved, &own, route.sources).map_err(|why| Unroutable {
            permanent: false,
            status: Status(4, why.status.1, why.status.2),
            ..why
        })
    }

    /// Where a host is that may itself be an address.
    fn located<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Located> {
        match host.parse::<IpAddr>() {
            Ok(ip) => Box::pin(async move {
                Located {
                    addresses: Answer::Found(vec![ip]),
                    proven_names: Vec::new(),
                }
            }),
            Err(_) => self.parts.resolver.located(host),
        }
    }
}

/// A host was not spoken to.
struct NotOpened {
    why: Diagnosis,
    /// Whether it answered at all.
    answer: bool,
}

/// hosts that answered and did not do, before an attempt ends.
const SESSIONS_MAX: usize = 2;
