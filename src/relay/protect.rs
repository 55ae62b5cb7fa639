//! How a host is called: whose word its security follows, and what a failure may lead to.
//!
//! TLS-07: what the operator said, else DANE (RFC 7672) where DNSSEC proves the way from the domain
//! to the host's TLSA records, else MTA-STS (RFC 8461), else whatever TLS there is. What cannot
//! be found out about a host whose way is proven keeps mail from it: an attacker can make questions
//! fail (RFC 7672 2.1.2).

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio_rustls::rustls::ClientConfig;

use super::{
    Destination, Shared,
    sts::{Mode, Policy},
    tlsrpt::tally::{self, Detail, Kind, Outcome, Tally},
};
use crate::{
    base::text::Quoted,
    dns::{Answer, Tlsa},
    queue::record::{Class, Diagnosis, Status},
    smtp::client::{Failure, classify::Stage, conversation::Security},
    tls::dane,
};

/// How a host is called.
#[derive(Clone)]
pub(super) struct Protection {
    pub(super) security: Security,
    /// The name that it is asked for, and that its certificate is for.
    pub(super) name: String,
    /// What proves it instead.
    pub(super) proof: Option<Arc<ClientConfig>>,
    pub(super) by: By,
    /// What the report to the domain says of it; the operator's word is nobody's business.
    pub(super) told: Option<Told>,
}

/// What a report says of a policy.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) policy: tally::Policy,
    /// What is wrong with it already, whatever comes of the session.
    pub(super) flaw: Option<(Outcome, &'static str)>,
}

/// A host that is not called, and what a report says of that.
#[derive(Clone)]
pub(super) struct Unfit {
    pub(super) why: Diagnosis,
    pub(super) told: Option<Told>,
}

/// Whose word it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum By {
    /// Nobody's: encrypted if that is possible.
    Nobody,
    /// The operator's.
    Operator,
    /// TLSA records.
    Dane,
    /// TLSA records, of which none can be used: encrypted, to whomever (RFC 7672 2.2).
    DaneUnusable,
    /// An MTA-STS policy's that is enforced.
    Sts,
    /// An MTA-STS policy's that is only tried: who fails is told of, and gets the mail.
    StsTesting,
}

impl By {
    /// Whether the recipients' domain has a say, and the last word.
    pub(super) fn is_policy(self) -> bool {
        matches!(self, Self::Dane | Self::DaneUnusable | Self::Sts)
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "opportunistic",
            Self::Operator => "operator",
            Self::Dane => "DANE",
            Self::DaneUnusable => "DANE without a usable record",
            Self::Sts => "MTA-STS",
            Self::StsTesting => "MTA-STS testing",
        })
    }
}

/// What is known of a destination when its hosts are called.
#[derive(Default)]
pub(super) struct Known {
    /// What the operator decided.
    pub(super) chosen: Option<Security>,
    /// RFC 8460 3: the mail goes whatever policies demand, and is not told of in reports.
    pub(super) lax: bool,
    /// The names by which DNSSEC proves where a host is, for hosts that are named by a proven
    /// record or by the operator.
    pub(super) proven: HashMap<String, Vec<String>>,
    /// The domain's MTA-STS policy.
    pub(super) sts: Option<Policy>,
    /// What kept a policy from us.
    pub(super) trouble: Option<Outcome>,
    /// The domain whose mail it is.
    pub(super) recipient: String,
    /// The domain, when its hosts are named by a proven record: a name that certificates from a
    /// trust anchor may be for (RFC 7672 3.2.2).
    pub(super) domain: Option<String>,
}

impl Protection {
    fn plainly(security: Security, host: &str, by: By) -> Self {
        Self {
            security,
            name: host.to_owned(),
            proof: None,
            by,
            told: None,
        }
    }

    fn told(mut self, policy: tally::Policy, flaw: Option<(Outcome, &'static str)>) -> Self {
        self.told = Some(Told { policy, flaw });
        self
    }

    /// What may be tried with the same host after `failure`.
    pub(super) fn weakened(&self, failure: &Failure) -> Option<Self> {
        let weaker = match self.security {
            // RFC 8461 5: as if there was no policy.
            Security::Required if self.by == By::StsTesting && failure.stage == Stage::StartTls => {
                let (host, error) = (Quoted::str(&self.name), failure.cause.to_string());
                tracing::info!(%host, error, "fails its MTA-STS policy, which is in testing");
                Security::Opportunistic
            }
            // RFC 7435: without a policy, plain text is better than no mail.
            Security::Opportunistic if failure.is_tls() => Security::Plain,
            _ => return None,
        };
        Some(Self {
            security: weaker,
            ..self.clone()
        })
    }
}

impl Shared {
    /// How to call `host` at `port`.
    pub(super) async fn protection(
        &self,
        known: &Known,
        (host, port): (&str, u16),
    ) -> Result<Protection, Box<Unfit>> {
        if let Some(chosen) = known.chosen {
            return Ok(Protection::plainly(chosen, host, By::Operator));
        }
        if known.lax {
            return Ok(Protection::plainly(
                Security::Opportunistic,
                host,
                By::Nobody,
            ));
        }
        let names = known.proven.get(host).map_or(&[][..], Vec::as_slice);
        for base in names {
            let asked = format!("_{port}._tcp.{base}");
            let found = self.parts.resolver.associations(&asked).await;
            match found.answer {
                Answer::Found(records) if found.secure => {
                    return self.dane(known, base, host, records);
                }
                // RFC 7672 2.1.2: never taken for "there is none".
                Answer::Temporary(why) => {
                    let text = format!("the TLSA records of {asked} could not be found out: {why}");
                    let flaw = Outcome::DnssecInvalid;
                    let policy = tally::Policy::new(Kind::Tlsa, base);
                    return Err(Unfit::boxed(host, &text, (policy, flaw)));
                }
                // Unproven records say nothing (RFC 7672 2.1.1).
                Answer::Found(_) | Answer::NoRecords | Answer::NoSuchName => {}
            }
        }
        match &known.sts {
            Some(policy) => by_sts(policy, &known.recipient, host),
            None => {
                let none = Protection::plainly(Security::Opportunistic, host, By::Nobody);
                let policy = tally::Policy::new(Kind::NoPolicyFound, &known.recipient);
                let flaw = known.trouble.map(|trouble| (trouble, "no policy was had"));
                Ok(none.told(policy, flaw))
            }
        }
    }

    /// What TLSA records that were found at `base` demand of `host`.
    fn dane(
        &self,
        known: &Known,
        base: &str,
        host: &str,
        records: Vec<Tlsa>,
    ) -> Result<Protection, Box<Unfit>> {
        let mut policy = tally::Policy::new(Kind::Tlsa, base);
        if self.parts.ledger.is_some() {
            policy.strings = records.iter().map(ToString::to_string).collect();
        }
        policy.hosts = vec![host.to_owned()];
        let fields = |tlsa: Tlsa| (tlsa.usage, tlsa.selector, tlsa.matching, tlsa.data);
        let usable = dane::associations(records.into_iter().map(fields));
        if usable.is_empty() {
            let any = Protection::plainly(Security::Encrypted, base, By::DaneUnusable);
            let flaw = (Outcome::TlsaInvalid, "no record can be used");
            return Ok(any.told(policy, Some(flaw)));
        }
        // RFC 7672 3.2.2: where the records are, the host as it was named, and who named it.
        let mut names = vec![base, host];
        names.extend(known.domain.as_deref());
        let proof = dane::config(usable, &names).map_err(|error| {
            Box::new(Unfit {
                why: Diagnosis::new(Some(host), 0, Status(4, 3, 0), &error.to_string()),
                told: None,
            })
        })?;
        Ok(Protection {
            security: Security::Required,
            name: base.to_owned(),
            proof: Some(proof),
            by: By::Dane,
            told: Some(Told { policy, flaw: None }),
        })
    }

    /// Counts a session with `host` for the report to the domain `to`: what came of it, if TLS
    /// failed.
    pub(super) fn count(
        &self,
        to: &Destination,
        (told, host): (Option<&Told>, (&str, Option<Ends>)),
        failure: Option<(Outcome, String)>,
    ) {
        // RFC 8460 1.1: a smarthost and a route are between the operators.
        let (Some(ledger), Destination::Direct(domain)) = (&self.parts.ledger, to) else {
            return;
        };
        let Some(Told { policy, flaw }) = told.filter(|_| domain.literal().is_none()) else {
            return;
        };
        let flaw = flaw.map(|(outcome, why)| (outcome, why.to_owned()));
        let detail = failure.or(flaw).map(|(result, reason)| Detail {
            result,
            host: host.0.to_owned(),
            ip: host.1.map(|ends| ends.to.ip().to_string()),
            from: host
                .1
                .and_then(|ends| self.source(ends))
                .map(|ip| ip.to_string()),
            reason,
        });
        ledger.count(domain.as_str(), Tally::of(policy.clone(), detail));
    }
}

/// The ends of a connection, as far as they were chosen.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) from: Option<IpAddr>,
    pub(super) to: SocketAddr,
}

impl Shared {
    /// Our address in a connection.
    fn source(&self, ends: Ends) -> Option<IpAddr> {
        ends.from.or_else(|| self.parts.connector.source(ends.to))
    }
}

impl Unfit {
    fn boxed(host: &str, text: &str, (policy, flaw): (tally::Policy, Outcome)) -> Box<Self> {
        Box::new(Self {
            why: Diagnosis::new(Some(host), 0, Status(4, 7, 5), text).of(Class::Tls),
            told: Some(Told {
                policy,
                flaw: Some((flaw, "the host was not called")),
            }),
        })
    }
}

/// What an MTA-STS policy demands of `host`.
fn by_sts(policy: &Policy, domain: &str, host: &str) -> Result<Protection, Box<Unfit>> {
    let mut told = tally::Policy::new(Kind::Sts, domain);
    told.strings = policy.lines();
    told.hosts.clone_from(&policy.mx);
    let required = |by| Protection::plainly(Security::Required, host, by);
    match (policy.mode, policy.names(host)) {
        (Mode::Enforce, true) => Ok(required(By::Sts).told(told, None)),
        (Mode::Enforce, false) => {
            let text = "the MTA-STS policy of the domain does not name the host";
            Err(Unfit::boxed(host, text, (told, Outcome::ValidationFailure)))
        }
        (_, true) => Ok(required(By::StsTesting).told(told, None)),
        (_, false) => {
            let shown = Quoted::str(host);
            tracing::info!(host = %shown, "its MTA-STS policy, in testing, names others");
            let any = Protection::plainly(Security::Opportunistic, host, By::StsTesting);
            let flaw = (Outcome::ValidationFailure, "the policy names other hosts");
            Ok(any.told(told, Some(flaw)))
        }
    }
}
