//! What came of TLS with the hosts of one domain on one day: RFC 8460 4.3.
//!
//! Pure. A session counts once, as a success or as a failure of the policy that it followed. How
//! many policies and kinds of failure are told apart is bounded (the hosts are a stranger's to
//! choose); what is beyond it counts in the sums alone, or not at all.

use std::error::Error;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::{self, CertificateError};

use crate::smtp::client::{Cause, Failure, classify::Stage};

/// The sessions of a day with the hosts of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::relay) struct Tally {
    pub(super) policies: Vec<Counted>,
}

/// Those under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    pub(super) policy: Policy,
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) details: Vec<(Detail, u64)>,
}

/// A policy as reports name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::relay) struct Policy {
    /// Of which kind.
    pub(in crate::relay) kind: Kind,
    /// What it says, line by line or record by record.
    pub(in crate::relay) strings: Vec<String>,
    /// The domain it is about: with DANE, the name that has the records.
    pub(in crate::relay) domain: String,
    /// The hosts it names.
    pub(in crate::relay) hosts: Vec<String>,
}

/// The kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::relay) enum Kind {
    /// TLSA records.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// None.
    NoPolicyFound,
}

/// A kind of failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::relay) struct Detail {
    /// What failed.
    pub(in crate::relay) result: Outcome,
    /// The host.
    pub(in crate::relay) host: String,
    /// Where it is, where it was called.
    pub(in crate::relay) ip: Option<String>,
    /// Where we called from, where that is known.
    #[serde(default)]
    pub(in crate::relay) from: Option<String>,
    /// More about it.
    pub(in crate::relay) reason: String,
}

/// RFC 8460 4.3.1, 4.3.2: what fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::relay) enum Outcome {
    /// STARTTLS is not offered, or refused.
    StarttlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// It is not valid any more.
    CertificateExpired,
    /// Nobody who is trusted vouches for it.
    CertificateNotTrusted,
    /// Something else.
    ValidationFailure,
    /// No TLSA record can be used.
    TlsaInvalid,
    /// The resolver gave no valid records.
    DnssecInvalid,
    /// The policy could not be fetched.
    StsPolicyFetchError,
    /// What was fetched is none.
    StsPolicyInvalid,
    /// The policy's host did not prove its name.
    StsWebpkiInvalid,
}

impl Tally {
    /// One session.
    pub(in crate::relay) fn of(policy: Policy, failure: Option<Detail>) -> Self {
        let failed = u64::from(failure.is_some());
        Self {
            policies: vec![Counted {
                policy: policy.shortened(),
                successes: 1 - failed,
                failures: failed,
                details: failure
                    .map(|detail| (detail.shortened(), 1))
                    .into_iter()
                    .collect(),
            }],
        }
    }

    /// All of both.
    pub(super) fn merge(&mut self, other: Self) {
        for counted in other.policies {
            let mut known = self.policies.iter_mut();
            if let Some(known) = known.find(|known| known.policy == counted.policy) {
                known.merge(counted);
            } else if self.policies.len() < POLICIES_MAX {
                self.policies.push(counted);
            }
        }
    }
}

impl Counted {
    fn merge(&mut self, other: Self) {
        self.successes = self.successes.saturating_add(other.successes);
        self.failures = self.failures.saturating_add(other.failures);
        for (detail, count) in other.details {
            let mut known = self.details.iter_mut();
            if let Some((_, known)) = known.find(|(known, _)| *known == detail) {
                *known = known.saturating_add(count);
            } else if self.details.len() < DETAILS_MAX {
                self.details.push((detail, count));
            }
        }
    }
}

impl Policy {
    /// A policy of this kind about `domain`.
    pub(in crate::relay) fn new(kind: Kind, domain: &str) -> Self {
        Self {
            kind,
            strings: Vec::new(),
            domain: domain.to_owned(),
            hosts: Vec::new(),
        }
    }

    fn shortened(mut self) -> Self {
        for texts in [&mut self.strings, &mut self.hosts] {
            texts.truncate(STRINGS_MAX);
            texts.iter_mut().for_each(shorten);
        }
        self
    }
}

impl Detail {
    fn shortened(mut self) -> Self {
        shorten(&mut self.host);
        shorten(&mut self.reason);
        self
    }
}

/// Cuts a text, and leaves nothing in it that is not ASCII, or that takes more than a byte in JSON.
fn shorten(text: &mut String) {
    let shown = |c: char| match c {
        '"' | '\\' => '\'',
        c if c.is_ascii_graphic() || c == ' ' => c,
        _ => '?',
    };
    *text = text.chars().take(STRING_CHARS_MAX).map(shown).collect();
}

/// What a failure to open a conversation is to a report; nothing, when it has nothing to do with
/// TLS.
pub(in crate::relay) fn outcome(failure: &Failure) -> Option<(Outcome, String)> {
    if failure.stage != Stage::StartTls {
        return None;
    }
    let outcome = match &failure.cause {
        Cause::TlsNotOffered | Cause::Refused(_) => Outcome::StarttlsNotSupported,
        Cause::Tls(error) => of_handshake(error),
        _ => Outcome::ValidationFailure,
    };
    Some((outcome, failure.cause.to_string()))
}

/// What a handshake failed with, if it was the certificate.
pub(in crate::relay) fn of_handshake(error: &std::io::Error) -> Outcome {
    let inner = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Outcome::CertificateHostMismatch
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Outcome::CertificateExpired
            }
            _ => Outcome::CertificateNotTrusted,
        },
        // What our own comparison with TLSA records says.
        Some(rustls::Error::General(_)) => Outcome::CertificateNotTrusted,
        _ => Outcome::ValidationFailure,
    }
}

/// Policies of one domain on one day that are told apart.
const POLICIES_MAX: usize = 8;
/// Kinds of failures under one policy that are.
const DETAILS_MAX: usize = 8;
/// Lines or records of a policy that are kept,
const STRINGS_MAX: usize = 8;
/// and characters of each.
const STRING_CHARS_MAX: usize = 160;

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;

    use super::*;

    fn detail(result: Outcome, host: &str) -> Detail {
        Detail {
            result,
            host: host.to_owned(),
            ip: None,
            from: None,
            reason: "why".to_owned(),
        }
    }

    fn session(n: u8) -> Tally {
        let kind = [Kind::Tlsa, Kind::Sts, Kind::NoPolicyFound][usize::from(n % 3)];
        let failure = (n % 2 == 1).then(|| detail(Outcome::TlsaInvalid, &format!("mx{}", n % 5)));
        Tally::of(Policy::new(kind, "d.example"), failure)
    }

    proptest! {
        #[test]
        fn every_session_counts_once_in_whatever_order(
            sessions in prop::collection::vec(0u8..30, 0..60),
        ) {
            let mut at_once = Tally::default();
            let mut halves = [Tally::default(), Tally::default()];
            for (at, n) in sessions.iter().enumerate() {
                at_once.merge(session(*n));
                halves[at % 2].merge(session(*n));
            }
            let [mut first, second] = halves;
            first.merge(second);
            let sums = |tally: &Tally| {
                let mut sums: Vec<_> = tally
                    .policies
                    .iter()
                    .map(|c| (format!("{:?}", c.policy.kind), c.successes, c.failures))
                    .collect();
                sums.sort();
                sums
            };
            prop_assert_eq!(sums(&at_once), sums(&first));
            let total: u64 = at_once.policies.iter().map(|c| c.successes + c.failures).sum();
            prop_assert_eq!(total, sessions.len() as u64);
            let stored = serde_json::to_vec(&at_once).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Tally>(&stored).unwrap(), at_once);
        }
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let mut tally = Tally::default();
        for n in 0..1000 {
            let policy = Policy::new(Kind::Sts, "d.example");
            let host = format!("mx{n}");
            tally.merge(Tally::of(policy, Some(detail(Outcome::TlsaInvalid, &host))));
            let policy = Policy::new(Kind::Tlsa, &host);
            tally.merge(Tally::of(policy, None));
        }
        assert_eq!(tally.policies.len(), POLICIES_MAX);
        assert_eq!(tally.policies[0].failures, 1000);
        assert_eq!(tally.policies[0].details.len(), DETAILS_MAX);
        let mut long = Policy::new(Kind::Sts, "d.example");
        long.strings = vec!["\u{e9}\r\n".repeat(1000); 1000];
        let long = Tally::of(long, None);
        assert!(serde_json::to_vec(&long).unwrap().len() < 4096);
    }

    #[test]
    fn what_strangers_make_as_long_as_they_can_fits_into_a_record() {
        let mut tally = Tally::default();
        let long = "\"\\".repeat(1000);
        for n in 0..POLICIES_MAX {
            for m in 0..DETAILS_MAX {
                let domain = format!("{n}{}", "d".repeat(252));
                let mut policy = Policy::new(Kind::NoPolicyFound, &domain);
                policy.strings = vec![long.clone(); 100];
                policy.hosts = vec![long.clone(); 100];
                let detail = Detail {
                    result: Outcome::CertificateHostMismatch,
                    host: format!("{m}{}", "h".repeat(252)),
                    ip: Some("2001:db8:1111:2222:3333:4444:5555:6666".to_owned()),
                    from: Some("2001:db8:1111:2222:3333:4444:5555:6666".to_owned()),
                    reason: long.clone(),
                };
                let mut session = Tally::of(policy, Some(detail));
                session.policies[0].failures = u64::MAX / 100;
                session.policies[0].details[0].1 = u64::MAX / 100;
                tally.merge(session);
            }
        }
        assert_eq!(tally.policies.len(), POLICIES_MAX);
        let stored = serde_json::to_vec(&tally).unwrap();
        assert!(stored.len() < 64 * 1024, "{}", stored.len());
    }

    #[test]
    fn failures_have_their_names() {
        let handshake = |error: rustls::Error| Cause::Tls(io::Error::other(error));
        let certificate = |error| handshake(rustls::Error::InvalidCertificate(error));
        for (stage, cause, expected) in [
            (
                Stage::StartTls,
                Cause::TlsNotOffered,
                Some(Outcome::StarttlsNotSupported),
            ),
            (
                Stage::StartTls,
                certificate(CertificateError::NotValidForName),
                Some(Outcome::CertificateHostMismatch),
            ),
            (
                Stage::StartTls,
                certificate(CertificateError::Expired),
                Some(Outcome::CertificateExpired),
            ),
            (
                Stage::StartTls,
                certificate(CertificateError::UnknownIssuer),
                Some(Outcome::CertificateNotTrusted),
            ),
            (
                Stage::StartTls,
                handshake(rustls::Error::General("x".to_owned())),
                Some(Outcome::CertificateNotTrusted),
            ),
            (
                Stage::StartTls,
                Cause::Tls(io::ErrorKind::UnexpectedEof.into()),
                Some(Outcome::ValidationFailure),
            ),
            (
                Stage::StartTls,
                Cause::Closed,
                Some(Outcome::ValidationFailure),
            ),
            (Stage::Greeting, Cause::Closed, None),
            (Stage::Hello, Cause::OutOfTurn, None),
        ] {
            let shown = format!("{stage} {cause}");
            let found = outcome(&Failure { stage, cause });
            assert_eq!(found.map(|(outcome, _)| outcome), expected, "{shown}");
        }
    }
}
