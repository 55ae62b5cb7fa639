//! From a destination to a conversation: whom to call, and the calls until somebody answers.
//!
//! At most five addresses and two hosts that answered per attempt. A host that fails at TLS,
//! where TLS is opportunistic, is called once more without it. A host that does not want to talk
//! says nothing about the mail, so the next one is tried, and in the end the mail waits.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{net::TcpStream, time::timeout};

use super::{
    Destination, Shared,
    hosts::{Exchange, Target, Unroutable, exchanges, targets},
    pool::Session,
    socket,
    verdict::{Finding, shown, shown_error, unconnected, unopened},
};
use crate::{
    base::future::{BoxFuture, all},
    dns::Answer,
    mail::address::Domain,
    queue::record::Diagnosis,
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
    security: Security,
    login: Option<&'a Login>,
}

impl Shared {
    /// A fresh conversation with some host of `to`, or what its absence means for the mail.
    pub(super) async fn open(&self, to: &Destination) -> Result<Box<Session>, Finding> {
        let call = self.plan(to).await;
        let call = call.map_err(|why| Finding::unroutable(&why))?;
        let mut answered = 0;
        let mut last = None;
        for target in &call.targets {
            match self.call(&call, target, call.security).await {
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

    /// One call, and a second one without TLS where that may help.
    async fn call(
        &self,
        call: &Call<'_>,
        target: &Target,
        security: Security,
    ) -> Result<Box<Session>, NotOpened> {
        let host = shown(target);
        let mut tried = security;
        loop {
            let stream = self.connect(socket(target, call.port)).await;
            let stream = stream.map_err(|error| NotOpened {
                why: unconnected(&host, &shown_error(&error)),
                answer: false,
            })?;
            match self.converse(call, target, tried, stream).await {
                Ok(conversation) => {
                    return Ok(Box::new(Session {
                        conversation,
                        host,
                        messages: 0,
                    }));
                }
                Err(failure) if failure.is_tls() && tried == Security::Opportunistic => {
                    tracing::debug!(%host, error = %failure.cause, "again without TLS");
                    tried = Security::Plain;
                }
                Err(failure) => {
                    return Err(NotOpened {
                        why: unopened(&host, &failure),
                        answer: true,
                    });
                }
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
        target: &Target,
        security: Security,
        stream: Box<dyn Transport>,
    ) -> Result<Conversation, Failure> {
        let opening = Opening {
            name: &self.options.name,
            host: &target.host,
            security,
            tls: &self.parts.tls,
            login: call.login,
        };
        Conversation::open(stream, &opening, self.options.timeouts).await
    }

    /// Whom to call for `to`.
    async fn plan(&self, to: &Destination) -> Result<Call<'_>, Unroutable> {
        if let Some(route) = self.options.route(to) {
            return Ok(Call {
                targets: self.named(&route.host).await?,
                port: route.port,
                security: route.security,
                login: route.login.as_ref(),
            });
        }
        let targets = match to {
            Destination::Direct(domain) => self.direct(domain).await?,
            // A route that is named and not there cannot be: options do not change.
            Destination::Routed(_) | Destination::Smarthost | Destination::Here => Vec::new(),
        };
        Ok(Call {
            targets,
            port: self.options.port,
            security: self.options.security,
            login: None,
        })
    }

    /// The hosts of a domain, as the DNS has them.
    async fn direct(&self, domain: &Domain) -> Result<Vec<Target>, Unroutable> {
        let own = &self.options.own;
        let mut resolved = Vec::new();
        if let Some(ip) = domain.literal() {
            let exchange = Exchange {
                preference: 0,
                host: ip.to_string(),
            };
            resolved.push((exchange, Answer::Found(vec![ip])));
        } else {
            let answer = self.parts.resolver.mx(domain.as_str()).await;
            let mut random = |bound| self.parts.random.below(bound);
            let hosts = exchanges(domain.as_str(), answer, own, &mut random)?;
            // All at once (there are at most `EXCHANGES_MAX`): one slow name server must not keep
            // the best host waiting for the time of all.
            let questions = hosts.iter();
            let questions = questions.map(|mx| self.parts.resolver.addresses(&mx.host));
            let answers = all(questions.collect()).await;
            resolved.extend(hosts.into_iter().zip(answers));
        }
        targets(domain.as_str(), &resolved, own)
    }

    /// A host that the operator named: any address will do.
    async fn named(&self, host: &str) -> Result<Vec<Target>, Unroutable> {
        let answer = match host.parse::<IpAddr>() {
            Ok(ip) => Answer::Found(vec![ip]),
            Err(_) => self.parts.resolver.addresses(host).await,
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
            status: crate::queue::record::Status(4, why.status.1, why.status.2),
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
