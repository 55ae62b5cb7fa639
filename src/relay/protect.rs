//! How a host is called: whose word its security follows, and what a failure may lead to.
//!
//! TLS-07: what the operator said, else DANE (RFC 7672) where DNSSEC proves the way from the domain
//! to the host's TLSA records, else MTA-STS (RFC 8461), else whatever TLS there is. What cannot
//! be found out about a host whose way is proven keeps mail from it: an attacker can make questions
//! fail (RFC 7672 2.1.2).

use std::{collections::HashMap, fmt, sync::Arc};

use tokio_rustls::rustls::ClientConfig;

use super::{
    Shared,
    sts::{Mode, Policy},
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
    /// The names by which DNSSEC proves where a host is, for hosts that are named by a proven
    /// record or by the operator.
    pub(super) proven: HashMap<String, Vec<String>>,
    /// The domain's MTA-STS policy.
    pub(super) sts: Option<Policy>,
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
        }
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
    ) -> Result<Protection, Diagnosis> {
        if let Some(chosen) = known.chosen {
            return Ok(Protection::plainly(chosen, host, By::Operator));
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
                    let why = Diagnosis::new(Some(host), 0, Status(4, 7, 5), &text);
                    return Err(why.of(Class::Tls));
                }
                // Unproven records say nothing (RFC 7672 2.1.1).
                Answer::Found(_) | Answer::NoRecords | Answer::NoSuchName => {}
            }
        }
        let Some(policy) = &known.sts else {
            return Ok(Protection::plainly(
                Security::Opportunistic,
                host,
                By::Nobody,
            ));
        };
        match (policy.mode, policy.names(host)) {
            (Mode::Enforce, true) => Ok(Protection::plainly(Security::Required, host, By::Sts)),
            (Mode::Enforce, false) => {
                let text = "the MTA-STS policy of the domain does not name the host";
                Err(Diagnosis::new(Some(host), 0, Status(4, 7, 5), text).of(Class::Tls))
            }
            (_, true) => {
                let by = By::StsTesting;
                Ok(Protection::plainly(Security::Required, host, by))
            }
            (_, false) => {
                let host_shown = Quoted::str(host);
                tracing::info!(host = %host_shown, "its MTA-STS policy, in testing, names others");
                let by = By::StsTesting;
                Ok(Protection::plainly(Security::Opportunistic, host, by))
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
    ) -> Result<Protection, Diagnosis> {
        let fields = |tlsa: Tlsa| (tlsa.usage, tlsa.selector, tlsa.matching, tlsa.data);
        let usable = dane::associations(records.into_iter().map(fields));
        if usable.is_empty() {
            return Ok(Protection::plainly(
                Security::Encrypted,
                base,
                By::DaneUnusable,
            ));
        }
        // RFC 7672 3.2.2: where the records are, the host as it was named, and who named it.
        let mut names = vec![base, host];
        names.extend(known.domain.as_deref());
        let proof = dane::config(usable, &names)
            .map_err(|error| Diagnosis::new(Some(host), 0, Status(4, 3, 0), &error.to_string()))?;
        Ok(Protection {
            security: Security::Required,
            name: base.to_owned(),
            proof: Some(proof),
            by: By::Dane,
        })
    }
}
