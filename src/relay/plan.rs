//! Whom to call for a destination: the hosts that the operator named, or those of the DNS, with
//! what is known of the protection that they are owed.
//!
//! What the answers mean is decided in `hosts` (pure), how a host is protected in `protect`; here
//! the questions are asked. RFC 5321 5.1, RFC 7672 2.2, RFC 8461 5.

use std::net::{IpAddr, SocketAddr};

use tokio::time::Instant;

use super::{
    Destination, Route, Shared, Sources,
    hosts::{ADDRESSES_MAX, Exchange, Own, Target, Unroutable, exchanges, targets},
    pool::Place,
    protect::{By, Known, Protection},
    verdict::Finding,
};
use crate::{
    base::{
        future::{BoxFuture, all},
        text::Causes,
    },
    dns::{Answer, Located},
    mail::address::Domain,
    queue::record::{Advice, NamedHost, Status},
    smtp::client::{Login, conversation::Security},
};

/// How to call the hosts of a destination.
pub(super) struct Call<'a> {
    pub(super) to: &'a Destination,
    pub(super) targets: Vec<Target>,
    /// connections to a host at most.
    pub(super) connections: usize,
    pub(super) sources: Sources,
    pub(super) known: Known,
    pub(super) login: Option<&'a Login>,
}

/// Where to try when a host refuses everybody and another address may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Elsewhere {
    /// At an address of the other family than this one.
    Family(IpAddr),
    /// Anywhere but here.
    Address(IpAddr),
    /// Anywhere but at these, which lack what the message needs.
    Lacking(Vec<IpAddr>),
}

impl Elsewhere {
    /// What follows from what was found out at `address`, after what followed before.
    pub(super) fn of(
        findings: &[(u32, Finding)],
        address: IpAddr,
        before: Option<&Self>,
    ) -> Option<Self> {
        let mut advice = findings.iter().map(|(_, finding)| finding.advice());
        let first = advice.next().flatten()?;
        if advice.any(|other| other != Some(first)) {
            return None;
        }
        match (first, before) {
            (Advice::OtherFamily, None) => Some(Self::Family(address)),
            (Advice::OtherHost, None) => Some(Self::Address(address)),
            (Advice::AnyHost, None) => Some(Self::Lacking(vec![address])),
            // RFC 8689 4.2.1: each host; Q-06: that is called at all.
            (Advice::AnyHost, Some(Self::Lacking(known))) if known.len() < ADDRESSES_MAX => {
                let mut known = known.clone();
                known.push(address);
                Some(Self::Lacking(known))
            }
            _ => None,
        }
    }

    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        match self {
            Self::Family(not) => address.is_ipv4() != not.is_ipv4(),
            Self::Address(not) => address != *not,
            Self::Lacking(not) => !not.contains(&address),
        }
    }

    /// Whether the host that was left had failed, and is better not called for others either.
    pub(super) fn is_failure(&self) -> bool {
        !matches!(self, Self::Lacking(_))
    }
}

impl Call<'_> {
    /// Whether who the host is rests on nothing but what anybody may have put into the DNS, or on a
    /// policy that is not meant: then its certificate proves nothing (RFC 8689 4.2.1).
    pub(super) fn is_hearsay(&self, by: By) -> bool {
        match by {
            By::StsTesting => true,
            // He named the domain; who named the host?
            By::Operator => {
                matches!(self.to, Destination::Direct(_)) && self.known.domain.is_none()
            }
            By::Nobody | By::Dane | By::DaneUnusable | By::Sts => false,
        }
    }

    /// What a conversation is that this call may use.
    pub(super) fn place(&self, target: &Target, protection: &Protection) -> Place {
        // RFC 7672 3.2.2: a certificate may be for the domain; for another one it proves nothing.
        // Nor does it where another domain has named the host, and nobody proves that.
        let domain = self.known.domain.as_ref();
        let counts = matches!(protection.by, By::Dane | By::Operator);
        Place {
            host: target.host.clone(),
            to: target.socket(),
            from: self.sources.of(target.address),
            user: self.login.map(|login| login.user.clone()),
            asked: (protection.security, protection.name.clone(), protection.by),
            domain: domain.filter(|_| counts).cloned(),
        }
    }
}

impl Shared {
    /// Whom to call for `to`; `lax` for mail that policies do not hold.
    pub(super) async fn plan<'a>(
        &'a self,
        to: &'a Destination,
        lax: bool,
    ) -> Result<Call<'a>, Unroutable> {
        let options = &self.options;
        let connections = options.limits(to).connections;
        let demanded = match to {
            Destination::Direct(domain) | Destination::Routed(domain) => *options.tls.of(domain),
            Destination::Below(domain) => *options.tls.below(domain),
            Destination::Named(host) => return self.to_named(to, host).await,
            Destination::Smarthost | Destination::Here => None,
        };
        let mut known = Known {
            chosen: demanded,
            lax,
            ..Known::default()
        };
        if let Some(route) = options.route(to) {
            let chosen = Some(route.security).filter(|of| *of != Security::Opportunistic);
            known.chosen = known.chosen.or(chosen);
            return Ok(Call {
                to,
                targets: self.named(route, &mut known).await?,
                connections,
                sources: route.sources,
                known,
                login: route.login.as_ref(),
            });
        }
        let targets = match to {
            Destination::Direct(domain) => {
                self.ask_policy(domain, &mut known).await?;
                self.direct(domain, &mut known).await?
            }
            // A route that is named and not there cannot be: options do not change.
            _ => Vec::new(),
        };
        Ok(Call {
            to,
            targets,
            connections,
            sources: options.sources,
            known,
            login: None,
        })
    }

    /// The host that an operator named for this mail: as a route in its short form, and not us.
    async fn to_named<'a>(
        &'a self,
        to: &'a Destination,
        host: &NamedHost,
    ) -> Result<Call<'a>, Unroutable> {
        let route = Route {
            hosts: vec![(host.name.clone(), host.port.unwrap_or(self.options.port))],
            security: Security::Opportunistic,
            login: None,
            sources: self.options.sources,
        };
        let mut known = Known::default();
        let mut targets = self.named(&route, &mut known).await?;
        targets.retain(|target| !self.options.own.is_at(target.socket()));
        if targets.is_empty() {
            return Err(Unroutable::to_ourselves(&host.to_string()));
        }
        Ok(Call {
            to,
            targets,
            connections: self.options.limits.all().connections,
            sources: route.sources,
            known,
            login: None,
        })
    }

    /// The MTA-STS policy of a domain, where the operator leaves it to policies.
    async fn ask_policy(&self, domain: &Domain, known: &mut Known) -> Result<(), Unroutable> {
        domain.as_str().clone_into(&mut known.recipient);
        let Some(policies) = &self.parts.policies else {
            return Ok(());
        };
        if known.chosen.is_some() || known.lax || domain.literal().is_some() {
            return Ok(());
        }
        let found = policies.of(domain.as_str()).await;
        (known.sts, known.trouble) = found.map_err(|error| {
            let error = Causes(&error);
            Unroutable {
                permanent: false,
                status: Status(4, 3, 0),
                text: format!("the MTA-STS policy of {domain} could not be read: {error}"),
            }
        })?;
        Ok(())
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
        targets(
            domain.as_str(),
            &resolved,
            own,
            self.options.sources,
            &self.doubt(),
        )
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
        let own = Own {
            insecure_allow_private_targets: true,
            ..Default::default()
        };
        let names: Vec<_> = route.hosts.iter().map(|(host, _)| host.as_str()).collect();
        // A mistake in our configuration is no reason to return mail.
        let names = names.join(", ");
        let targets = targets(&names, &resolved, &own, route.sources, &self.doubt());
        targets.map_err(|why| Unroutable {
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

    /// How much speaks against calling an address before others that are as good.
    fn doubt(&self) -> impl Fn(SocketAddr) -> u8 {
        let now = Instant::now();
        move |to| self.recall().doubt(to, now)
    }
}
