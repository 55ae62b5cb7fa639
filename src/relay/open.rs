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

use tokio::{net::TcpStream, time::timeout};

use super::{
    Destination, Shared,
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
    dns::Answer,
    mail::address::Domain,
    queue::record::{Diagnosis, Status},
    smtp::client::{
        Conversation, Failure, Login, Transport,
        conversation::{Opening, Security},
    },
};

/// Makes connections. Tests have one that makes pipes.
pub trait Connector: Send + Sync + 'static {
    /// A connection to `to`.
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Transport>>>;
}

/// Makes TCP connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Connector for Tcp {
    fn connect(&self, to: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

/// How to call the hosts of a destination.
struct Call<'a> {
    targets: Vec<Target>,
    port: u16,
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
        let mut protections: HashMap<&str, Result<Protection, Diagnosis>> = HashMap::new();
        for target in &call.targets {
            let host = target.host.as_str();
            if !protections.contains_key(host) {
                let protection = self.protection(&call.known, (host, call.port)).await;
                protections.insert(host, protection);
            }
            let called = match protections.get(host) {
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
            let stream = self.connect(socket(target, call.port)).await;
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

    async fn connect(&self, to: SocketAddr) -> io::Result<Box<dyn Transport>> {
        let connecting = self.parts.connector.connect(to);
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
            Destination::Smarthost | Destination::Here => None,
        };
        let mut known = Known {
            chosen: demanded.copied(),
            ..Known::default()
        };
        if let Some(route) = options.route(to) {
            let chosen = Some(route.security).filter(|of| *of != Security::Opportunistic);
            known.chosen = known.chosen.or(chosen);
            return Ok(Call {
                targets: self.named(&route.host, &mut known).await?,
                port: route.port,
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
            Destination::Routed(_) | Destination::Smarthost | Destination::Here => Vec::new(),
        };
        Ok(Call {
            targets,
            port: options.port,
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
        let own = &self.options.own;
        let mut resolved = Vec::new();
        if let Some(ip) = domain.literal() {
            let exchange = Exchange {
                preference: 0,
                host: ip.to_string(),
            };
            resolved.push((exchange, Answer::Found(vec![ip])));
        } else {
            let records = self.parts.resolver.proven_mx(domain.as_str()).await;
            // RFC 7672 2.2.1: what an unproven record names proves nothing. Where there is none,
            // the domain itself is the host, and its own answer counts (2.2.2).
            let proven = records.secure || !matches!(records.answer, Answer::Found(_));
            let mut random = |bound| self.parts.random.below(bound);
            let hosts = exchanges(domain.as_str(), records.answer, own, &mut random)?;
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
        targets(domain.as_str(), &resolved, own)
    }

    /// A host that the operator named: any address will do.
    async fn named(&self, host: &str, known: &mut Known) -> Result<Vec<Target>, Unroutable> {
        let answer = match host.parse::<IpAddr>() {
            Ok(ip) => Answer::Found(vec![ip]),
            Err(_) => {
                let located = self.parts.resolver.located(host).await;
                if self.options.dane {
                    known.proven.insert(host.to_owned(), located.proven_names);
                }
                located.addresses
            }
        };
        let exchange = Exchange {
            preference: 0,
            host: host.to_owned(),
        };
        let own = super::hosts::Own {
            insecure_allow_private_targets: true,
            ..Default::default()
        };
        // A mistake in our configuration is no reason to return mail.
        targets(host, &[(exchange, answer)], &own).map_err(|why| Unroutable {
            permanent: false,
            status: Status(4, why.status.1, why.status.2),
            ..why
        })
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
