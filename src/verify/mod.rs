//! Who a message is from: SPF, DKIM, DMARC and ARC, checked before it is taken; and the signatures
//! that say it of ours ([`Draft`]).
//!
//! [`Verifier`] looks at a header when it has ended, hashes the body while it passes, and at the
//! end asks the DNS and gives its [`Findings`]: a field for the message and a verdict. A message is
//! never whole in memory. Everything it asks shares one deadline; what could not be found out
//! delays a message only where it would decide, and never speaks for it. Not here: what is answered
//! to the client (`smtp/server`), what is asked how (`dns`), content.

mod arc;
mod canon;
mod der;
mod dkim;
mod dmarc;
mod header;
mod key;
mod questions;
mod results;
mod rsa;
mod seal;
mod sign;
mod spf;
mod tags;
mod work;

pub use arc::signed_by;
pub use seal::Sealable;
pub use sign::{Draft, Signer, SigningKey};
pub use work::Work;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use self::{
    arc::{ArcResult, Chain},
    canon::BodyHashes,
    dkim::{DkimResult, Finding, Signature},
    dmarc::{By, Discovered, DmarcResult, Identifier, Outcome, Policy},
    header::{Authors, Header},
    questions::Questions,
    results::{Iprev, Results},
    spf::{Identity, SpfResult},
};
use crate::{
    base::{
        clock::Timestamp,
        future::{BoxFuture, all},
        random::Random,
    },
    dns::{Answer, Family, Resolver},
    mail::{address::Domain, envelope::ReversePath},
};

/// Settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// What this host calls itself in results.
    pub host: Domain,
    /// Whether policies are followed, or only told.
    pub enforced: bool,
    /// Domains of forwarders whose word counts (ARC-01), in lower case.
    pub trusted_sealers: Vec<String>,
    /// How long all questions about one message may take.
    pub time_max: Duration,
}

/// Verifies messages. Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    options: Options,
    resolver: Arc<dyn Resolver>,
    random: Random,
    work: Work,
}

/// A message that is being looked at.
pub struct Examination {
    header: Arc<Header>,
    authors: Authors,
    signatures: Vec<Signature>,
    /// What is wrong with the signatures that cannot be checked.
    unusable: Vec<Finding>,
    chain: Chain,
    newest_seal: Option<Signature>,
    body: BodyHashes,
}

/// Who brings it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// From here, if that is known: else its address says nothing of it.
    pub ip: Option<IpAddr>,
    /// What it called itself.
    pub helo: &'a str,
    /// MAIL FROM.
    pub sender: &'a ReversePath,
}

/// What was found out.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The Authentication-Results field.
    pub field: Bytes,
    /// What to do with the message.
    pub verdict: Verdict,
    /// The name of the client's address, if it leads back to it.
    pub reverse_name: Option<String>,
    /// The results on one line, for the log.
    pub summary: String,
    /// Nobody is answered who claims to have sent it: DMARC does not pass though there is a policy,
    /// or SPF says that the sender is forged.
    pub doubtful: bool,
    /// For who passes it on, if that was asked for.
    pub sealable: Option<Sealable>,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing speaks against it.
    Accept,
    /// Its author's domain wants it treated as suspicious.
    Quarantine,
    /// Its author's domain wants it refused.
    Refuse,
    /// From names nobody whom one could ask.
    Unclear,
    /// What decides cannot be found out now.
    Defer,
}

impl Verdict {
    /// Its name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Quarantine => "quarantine",
            Self::Refuse => "refuse",
            Self::Unclear => "unclear",
            Self::Defer => "defer",
        }
    }
}

impl Examination {
    /// Takes the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        self.body.feed(piece);
    }
}

impl Verifier {
    /// Asks `resolver`.
    pub fn new(options: Options, resolver: Arc<dyn Resolver>, random: Random) -> Self {
        Self(Arc::new(Inner {
            options,
            resolver,
            random,
            work: Work::default(),
        }))
    }

    /// Begins with the header of a message as it came, which may be `sealed` and passed on.
    pub fn examine(&self, header: Bytes, sealed: bool) -> Examination {
        let header = Header::new(header);
        let authors = Authors::of(&header);
        let (signatures, unusable) = dkim::signatures(&header, &authors);
        let (chain, newest_seal) = Chain::read(&header);
        let wanted = signatures.iter().map(|signature| signature.wanted);
        let wanted = wanted.chain(arc::wanted(newest_seal.as_ref()));
        let body = BodyHashes::new(wanted.chain(sealed.then_some(seal::WANTED)));
        Examination {
            header: Arc::new(header),
            authors,
            signatures,
            unusable,
            chain,
            newest_seal,
            body,
        }
    }

    /// Ends with the end of the body: asks, and judges.
    pub async fn judge(
        &self,
        examination: Examination,
        client: Client<'_>,
        now: Timestamp,
    ) -> Findings {
        let inner = &*self.0;
        let until = Instant::now() + inner.options.time_max;
        let questions = Questions::new(&*inner.resolver, until);
        let now = u64::try_from(now.secs()).unwrap_or(0);
        let Examination {
            header,
            authors,
            signatures,
            unusable,
            chain,
            newest_seal,
            body,
        } = examination;
        let bodies = body.finish();
        let message = (&header, bodies.as_slice());
        let candidates = candidates(client, &signatures);
        let dkim = signatures.into_iter().map(|signature| -> BoxFuture<'_, _> {
            Box::pin(signature.check(questions, message, &inner.work, now))
        });
        let arc = chain.check(newest_seal.as_ref(), questions, message, &inner.work, now);
        let (iprev, (helo, sender), mut signatures, discovered, arc) = tokio::join!(
            iprev(questions, client.ip),
            spf(questions, client),
            all(dkim.collect()),
            policies(questions, &authors, &candidates),
            arc
        );
        signatures.extend(unusable);
        let identifiers = identifiers(client, (helo, sender), &signatures);
        let draw = inner.random.below(100);
        let judged = discovered
            .iter()
            .map(|found| found.judge(&identifiers, draw));
        let outcomes: Vec<_> = judged.collect();
        let outcome = joined(&authors, &outcomes);
        let vouched = self.vouches(&chain, &header, &authors);
        let (verdict, overridden) = self.verdict(&authors, outcome, arc, vouched);
        let author = match &authors {
            Authors::Domains(domains) => domains.first().map(String::as_str),
            Authors::Missing | Authors::Unclear => None,
        };
        let results = Results {
            host: inner.options.host.as_str(),
            ip: client.ip,
            iprev: &iprev,
            helo: (client.helo, helo),
            sender: sender
                .zip(sender_domain(client.sender))
                .map(|(r, d)| (d, r)),
            signatures: &signatures,
            author,
            dmarc: (outcome.result, outcome.policy),
            arc: (arc, chain.sealer()),
            overridden,
        };
        let field = results.to_field();
        let refused = matches!(
            outcome.result,
            DmarcResult::Fail | DmarcResult::TempError | DmarcResult::PermError
        );
        Findings {
            sealable: Sealable::of(message, (&chain, arc), &field),
            field: field.into(),
            verdict,
            doubtful: (refused && overridden.is_none()) || sender == Some(SpfResult::Fail),
            summary: summary(&results),
            reverse_name: match iprev {
                Iprev::Pass(name) => Some(name),
                _ => None,
            },
        }
    }

    /// Whether trusted forwarders saw DMARC pass for all authors.
    fn vouches(&self, chain: &Chain, header: &Header, authors: &Authors) -> bool {
        let trusted = &self.0.options.trusted_sealers;
        match authors {
            Authors::Domains(domains) => {
                let mut domains = domains.iter();
                domains.all(|domain| chain.vouches(header, domain, trusted))
            }
            Authors::Missing | Authors::Unclear => false,
        }
    }

    /// What is done, and why it is not what the policy says.
    fn verdict(
        &self,
        authors: &Authors,
        outcome: Outcome,
        arc: ArcResult,
        vouched: bool,
    ) -> (Verdict, Option<&'static str>) {
        let bad = outcome.disposition > Policy::None;
        let (verdict, overridden) = match (outcome.result, arc) {
            _ if !bad => (Verdict::Accept, None),
            (_, ArcResult::Pass) if vouched => {
                (Verdict::Accept, Some("a trusted sealer saw it pass"))
            }
            // With the chain's keys at hand it might be taken.
            (_, ArcResult::TempError) if vouched => (Verdict::Defer, None),
            (DmarcResult::TempError, _) => (Verdict::Defer, None),
            _ if *authors == Authors::Unclear => (Verdict::Unclear, None),
            _ if outcome.disposition == Policy::Reject => (Verdict::Refuse, None),
            _ => (Verdict::Quarantine, None),
        };
        if self.0.options.enforced {
            (verdict, overridden)
        } else {
            (Verdict::Accept, overridden)
        }
    }
}

/// What the authors' domains want done.
async fn policies(
    questions: Questions<'_>,
    authors: &Authors,
    candidates: &[String],
) -> Vec<Discovered> {
    let domains: &[String] = match authors {
        Authors::Domains(domains) => domains,
        Authors::Missing | Authors::Unclear => &[],
    };
    let asked = domains.iter().map(|domain| -> BoxFuture<'_, Discovered> {
        Box::pin(dmarc::discover(questions, domain, candidates))
    });
    all(asked.collect()).await
}

/// RFC 8601 3.
async fn iprev(questions: Questions<'_>, ip: Option<IpAddr>) -> Iprev {
    let Some(ip) = ip else {
        return Iprev::Unasked;
    };
    // It decides nothing.
    let questions = questions.within(REVERSE_MAX);
    let ip = ip.to_canonical();
    let family = if ip.is_ipv4() {
        Family::Four
    } else {
        Family::Six
    };
    let names = match questions.names(ip).await {
        Answer::Found(names) => names,
        Answer::NoRecords | Answer::NoSuchName => return Iprev::PermError,
        Answer::Temporary(_) => return Iprev::TempError,
    };
    let mut result = Iprev::Fail;
    for name in names.into_iter().take(REVERSE_NAMES_MAX) {
        match questions.family(&name, family).await {
            Answer::Found(addresses) if addresses.contains(&ip) => return Iprev::Pass(name),
            Answer::Temporary(_) => result = Iprev::TempError,
            _ => {}
        }
    }
    result
}

/// What HELO and MAIL FROM come to; the second only when there is a sender.
async fn spf(questions: Questions<'_>, client: Client<'_>) -> (SpfResult, Option<SpfResult>) {
    let Some(ip) = client.ip else {
        // RFC 7208 2.6.1: nothing can be said of it.
        let sender = sender_domain(client.sender);
        return (SpfResult::None, sender.map(|_| SpfResult::None));
    };
    let helo = Identity {
        ip,
        domain: client.helo,
        local: "postmaster",
        helo: client.helo,
    };
    let sender = async {
        let address = client.sender.address()?;
        let identity = Identity {
            domain: sender_domain(client.sender)?,
            local: address.local.as_str(),
            ..helo
        };
        Some(spf::check_host(questions, identity).await)
    };
    tokio::join!(spf::check_host(questions, helo), sender)
}

/// The domain of MAIL FROM; an address literal has no record.
fn sender_domain(sender: &ReversePath) -> Option<&str> {
    sender.address().map(|address| address.domain.as_str())
}

/// The domain that SPF may vouch for: that of MAIL FROM, or HELO for the null sender.
fn spf_domain(client: Client<'_>) -> &str {
    sender_domain(client.sender).unwrap_or(client.helo)
}

/// The name as it is compared.
fn plain(domain: &str) -> String {
    domain.trim_end_matches('.').to_ascii_lowercase()
}

/// The domains that may turn out to vouch for a message, each once.
fn candidates(client: Client<'_>, signatures: &[Signature]) -> Vec<String> {
    let signers = signatures.iter().map(|signature| signature.domain.as_str());
    let mut found: Vec<String> = Vec::new();
    for domain in std::iter::once(spf_domain(client)).chain(signers) {
        let domain = plain(domain);
        if !found.contains(&domain) {
            found.push(domain);
        }
    }
    found
}

/// DMARC-01: MAIL FROM by SPF, HELO for the null sender; and the domains of signatures.
fn identifiers(
    client: Client<'_>,
    (helo, sender): (SpfResult, Option<SpfResult>),
    signatures: &[Finding],
) -> Vec<Identifier> {
    let domain = spf_domain(client);
    let result = sender.unwrap_or(helo);
    let mut found = Vec::new();
    let mut add = |domain: &str, by, unknown| {
        found.push(Identifier {
            domain: plain(domain),
            by,
            unknown,
        });
    };
    match result {
        SpfResult::Pass => add(domain, By::Spf, false),
        SpfResult::TempError => add(domain, By::Spf, true),
        _ => {}
    }
    for signature in signatures {
        match signature.result {
            DkimResult::Pass => add(&signature.domain, By::Dkim, false),
            DkimResult::TempError => add(&signature.domain, By::Dkim, true),
            _ => {}
        }
    }
    found
}

/// The outcomes of all authors' domains as one: the worst of them.
fn joined(authors: &Authors, outcomes: &[Outcome]) -> Outcome {
    let none = |result, disposition| Outcome {
        result,
        policy: None,
        disposition,
    };
    match authors {
        Authors::Missing => none(DmarcResult::PermError, Policy::None),
        Authors::Unclear => none(DmarcResult::PermError, Policy::Reject),
        Authors::Domains(_) => {
            let worst = outcomes
                .iter()
                .max_by_key(|outcome| (outcome.disposition, outcome.result != DmarcResult::Pass));
            worst
                .copied()
                .unwrap_or_else(|| none(DmarcResult::None, Policy::None))
        }
    }
}

/// The results on one line, for the log.
fn summary(results: &Results<'_>) -> String {
    let dkim: Vec<&str> = results.signatures.iter().map(|s| s.result.name()).collect();
    let spf = results.sender.map_or(results.helo.1, |(_, result)| result);
    let dkim = if dkim.is_empty() {
        "none".to_owned()
    } else {
        dkim.join(",")
    };
    let (dmarc, arc) = (results.dmarc.0.name(), results.arc.0.name());
    format!("spf={} dkim={dkim} dmarc={dmarc} arc={arc}", spf.name())
}

/// Whether `name` is `domain` or lies below it.
fn lies_in(name: &str, domain: &str) -> bool {
    let (name, domain) = (name.trim_end_matches('.'), domain.trim_end_matches('.'));
    let Some(cut) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    match name.split_at_checked(cut) {
        Some((before, end)) => {
            end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
        }
        None => false,
    }
}

/// How long the names of the client's address may take.
const REVERSE_MAX: Duration = Duration::from_secs(5);
/// Names of the client's address that are asked about.
const REVERSE_NAMES_MAX: usize = 5;

#[cfg(test)]
mod tests;
