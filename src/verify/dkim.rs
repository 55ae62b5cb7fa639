//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463): read from a header, and checked against the key
//! of their domain.
//!
//! DKIM-01: ten signatures of a message are looked at, those of the author's domain first. A
//! signature counts only when all of it holds; one that leaves a part of the body unsigned holds
//! but gives no credit (RFC 6376 8.2).

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    canon::{BodyHash, Canon, Wanted},
    header::{Authors, Header},
    key::{BadKey, PublicKey},
    lies_in,
    questions::Questions,
    tags::Tags,
    work::Work,
};
use crate::{
    dns::Answer,
    mail::{address::Domain, algorithm::Algorithm},
};

/// RFC 8601 2.7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DkimResult {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It is not one that we accept.
    Policy,
    /// It cannot be understood.
    Neutral,
    /// Its key cannot be had now.
    TempError,
    /// It can never hold.
    PermError,
}

impl DkimResult {
    /// RFC 8601 2.7.1.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// A result and why it is not a better one.
pub(super) type Judged = (DkimResult, &'static str);

/// What was found out about a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub result: DkimResult,
    pub reason: &'static str,
    /// Of the signature, as far as it could be read.
    pub domain: String,
    pub selector: String,
    pub algorithm: &'static str,
    /// The beginning of the signature, to tell it from others (RFC 6008).
    pub mark: String,
}

/// A signature.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    /// Where it stands in the header.
    pub place: usize,
    pub domain: String,
    pub selector: String,
    pub algorithm: Algorithm,
    pub value: Vec<u8>,
    body_hash: Vec<u8>,
    header_canon: Canon,
    pub wanted: Wanted,
    /// The names of the signed fields, in lower case.
    names: Vec<String>,
    /// The domain of the agent (`i=`) when that is not the domain itself.
    agent: Option<String>,
    expires: Option<u64>,
}

/// The signatures of a header that are checked, and what is wrong with the others.
pub(super) fn signatures(header: &Header, authors: &Authors) -> (Vec<Signature>, Vec<Finding>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    let places = header.places("dkim-signature");
    for place in places.iter().take(FIELDS_LOOKED_AT_MAX) {
        match Signature::read(header, *place, Kind::Dkim) {
            Ok(signature) => good.push(signature),
            Err((result, reason)) => bad.push(Finding {
                result,
                reason,
                domain: String::new(),
                selector: String::new(),
                algorithm: "",
                mark: String::new(),
            }),
        }
    }
    let of_author = |signature: &Signature| match authors {
        Authors::Domains(domains) => domains
            .iter()
            .any(|author| lies_in(author, &signature.domain) || lies_in(&signature.domain, author)),
        Authors::Missing | Authors::Unclear => false,
    };
    good.sort_by_key(|signature| !of_author(signature));
    good.truncate(SIGNATURES_MAX);
    bad.truncate(SIGNATURES_MAX.saturating_sub(good.len()));
    (good, bad)
}

/// Whose grammar a signature follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A DKIM-Signature.
    Dkim,
    /// An ARC-Message-Signature (RFC 8617 4.1.2): no version, and `i=` is a number.
    Arc,
}

impl Signature {
    /// Reads the signature at a place of a header.
    pub(super) fn read(header: &Header, place: usize, kind: Kind) -> Result<Self, Judged> {
        let neutral = |reason| (DkimResult::Neutral, reason);
        let text = header
            .value(place)
            .ok_or_else(|| neutral("it is not UTF-8"))?;
        let tags = Tags::parse(text).ok_or_else(|| neutral("it is not a list of tags"))?;
        if kind == Kind::Dkim && tags.compact("v").as_deref() != Some("1") {
            return Err(neutral("its version is unknown"));
        }
        let algorithm = algorithm(&tags)?;
        let bytes = |name| {
            let text = tags.compact(name)?;
            BASE64_STANDARD.decode(text).ok().filter(|b| !b.is_empty())
        };
        let value = bytes("b").ok_or_else(|| neutral("it has no signature"))?;
        let body_hash = bytes("bh").ok_or_else(|| neutral("it has no hash of the body"))?;
        let (domain, selector) = owner(&tags).ok_or_else(|| neutral("its domain is none"))?;
        let (header_canon, canon) =
            canons(&tags).ok_or_else(|| neutral("its forms are unknown"))?;
        let names = names(&tags).ok_or_else(|| neutral("it names no fields"))?;
        // RFC 6376 5.4, 6.1.1; RFC 8617 4.1.2 has it for chains too.
        if !names.iter().any(|name| name == "from") {
            return Err((DkimResult::PermError, "it does not sign From"));
        }
        // RFC 8617 4.1.2.
        if kind == Kind::Arc && names.iter().any(|name| name == "arc-seal") {
            return Err((DkimResult::PermError, "it signs a seal"));
        }
        let number = |name| match tags.number(name) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(())) => Err(neutral("a number of it is none")),
        };
        let (made, expires) = (number("t")?, number("x")?);
        // RFC 6376 3.5.
        if let (Some(made), Some(expires)) = (made, expires)
            && expires < made
        {
            return Err((DkimResult::PermError, "it ends before it begins"));
        }
        if let Some(query) = tags.compact("q")
            && !query.split(':').any(|method| method == "dns/txt")
        {
            return Err(neutral("its key cannot be asked for"));
        }
        let length = number("l")?;
        let agent = match tags.compact("i").filter(|_| kind == Kind::Dkim) {
            None => None,
            Some(agent) => agent_domain(&agent, &domain)?,
        };
        Ok(Self {
            place,
            domain,
            selector,
            algorithm,
            value,
            body_hash,
            header_canon,
            wanted: Wanted { canon, length },
            names,
            agent,
            expires,
        })
    }

    /// Checks it (RFC 6376 6.1).
    pub(super) async fn check(
        self,
        questions: Questions<'_>,
        message: (&Arc<Header>, &[BodyHash]),
        work: &Work,
        now: u64,
    ) -> Finding {
        let (result, reason) = match self.verify(questions, message, work, now).await {
            Ok(()) => (DkimResult::Pass, ""),
            Err(judged) => judged,
        };
        let mut mark = BASE64_STANDARD.encode(&self.value);
        mark.truncate(MARK_CHARS);
        Finding {
            result,
            reason,
            mark,
            algorithm: self.algorithm.name(),
            domain: self.domain,
            selector: self.selector,
        }
    }

    /// Whether it holds.
    pub(super) async fn verify(
        &self,
        questions: Questions<'_>,
        (header, bodies): (&Arc<Header>, &[BodyHash]),
        work: &Work,
        now: u64,
    ) -> Result<(), Judged> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err((DkimResult::Fail, "the signature expired"));
        }
        let body = bodies.iter().find(|body| body.wanted == self.wanted);
        let body = body.ok_or((DkimResult::Neutral, "the body was not hashed"))?;
        if body.digest != self.body_hash || self.wanted.length > Some(body.total) {
            return Err((DkimResult::Fail, "the body was changed"));
        }
        let key = key_of(questions, &self.domain, &self.selector).await?;
        if key.algorithm() != self.algorithm {
            return Err((DkimResult::PermError, "the key is of another kind"));
        }
        if key.strict && self.agent.is_some() {
            return Err((DkimResult::PermError, "the key is not for this agent"));
        }
        let (message_header, signature) = (header, self.clone());
        let header = Arc::clone(header);
        let holds = work.run(move || signature.holds(&header, &key)).await;
        let added = message_header.is_added_to(&self.names);
        match (holds, self.wanted.length) {
            (Some(true), _) if added => Err((DkimResult::Policy, "a field was added")),
            (None, _) => Err((DkimResult::TempError, "there was no time to check it")),
            (Some(false), _) => Err((DkimResult::Fail, "the signature does not hold")),
            (Some(true), Some(length)) if length < body.total => {
                Err((DkimResult::Policy, "a part of the body is not signed"))
            }
            (Some(true), _) => Ok(()),
        }
    }

    fn holds(&self, header: &Header, key: &PublicKey) -> bool {
        let mut text = Vec::new();
        header.chosen(&self.names, self.header_canon, &mut text);
        header.signing(self.place, self.header_canon, &mut text);
        key.signed(&text, &self.value)
    }
}

/// The key that a domain publishes (RFC 6376 3.6.2).
pub(super) async fn key_of(
    questions: Questions<'_>,
    domain: &str,
    selector: &str,
) -> Result<PublicKey, Judged> {
    let name = format!("{selector}._domainkey.{domain}");
    let texts = match questions.texts(&name).await {
        Answer::Found(texts) => texts,
        Answer::NoRecords | Answer::NoSuchName => {
            return Err((DkimResult::PermError, "there is no key"));
        }
        Answer::Temporary(_) => return Err((DkimResult::TempError, "the key cannot be had now")),
    };
    let mut why = BadKey::Invalid;
    // RFC 6376 3.6.2.2 leaves open which of several counts; the first that is one does.
    for text in texts {
        match PublicKey::parse(&text) {
            Ok(key) => return Ok(key),
            Err(bad) => why = bad,
        }
    }
    Err(match why {
        BadKey::Invalid => (DkimResult::PermError, "the key is not one"),
        BadKey::Revoked => (DkimResult::PermError, "the key was given up"),
        BadKey::Size => (DkimResult::Policy, "the key is too short or too long"),
    })
}

/// RFC 8301 3.1: SHA-1 proves nothing.
pub(super) fn algorithm(tags: &Tags<'_>) -> Result<Algorithm, Judged> {
    match tags.compact("a").as_deref() {
        Some("rsa-sha256") => Ok(Algorithm::RsaSha256),
        Some("ed25519-sha256") => Ok(Algorithm::Ed25519Sha256),
        Some("rsa-sha1") => Err((DkimResult::Policy, "SHA-1 proves nothing")),
        _ => Err((DkimResult::Neutral, "its algorithm is unknown")),
    }
}

/// The domain and the selector.
pub(super) fn owner(tags: &Tags<'_>) -> Option<(String, String)> {
    let domain = name(&tags.compact("d")?)?;
    let selector = name(&tags.compact("s")?)?;
    Some((domain, selector))
}

/// A name of the DNS in lower case (RFC 8616 3 allows U-labels).
fn name(text: &str) -> Option<String> {
    if text.len() <= NAME_BYTES_MAX && text.is_ascii() {
        let label = |label: &str| {
            let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            (1..=63).contains(&label.len()) && label.bytes().all(fit)
        };
        let fit = text.split('.').all(label);
        return fit.then(|| text.to_ascii_lowercase());
    }
    let domain = Domain::parse(text).ok()?;
    let named = domain.literal().is_none();
    named.then(|| domain.as_str().trim_end_matches('.').to_owned())
}

/// The forms of the header and of the body.
fn canons(tags: &Tags<'_>) -> Option<(Canon, Canon)> {
    let canon = |text: &str| match text {
        "simple" => Some(Canon::Simple),
        "relaxed" => Some(Canon::Relaxed),
        _ => None,
    };
    let given = tags.compact("c");
    match given.as_deref().unwrap_or("simple").split_once('/') {
        Some((header, body)) => Some((canon(header)?, canon(body)?)),
        None => Some((canon(given.as_deref().unwrap_or("simple"))?, Canon::Simple)),
    }
}

fn names(tags: &Tags<'_>) -> Option<Vec<String>> {
    let list = tags.compact("h")?.to_ascii_lowercase();
    let names: Vec<String> = list.split(':').map(str::to_owned).collect();
    let fit = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    names.iter().all(fit).then_some(names)
}

/// RFC 6376 3.5 `i=`: the domain of the agent, when it is not the signing domain.
fn agent_domain(agent: &str, domain: &str) -> Result<Option<String>, Judged> {
    let outside = (DkimResult::PermError, "its agent is of another domain");
    let (_, of) = agent.rsplit_once('@').ok_or(outside)?;
    let of = name(of).ok_or(outside)?;
    if of == domain {
        Ok(None)
    } else if lies_in(&of, domain) {
        Ok(Some(of))
    } else {
        Err(outside)
    }
}

/// DKIM-01: signatures that are checked.
const SIGNATURES_MAX: usize = 10;
/// Signatures that are read, to find those of the author.
const FIELDS_LOOKED_AT_MAX: usize = 100;
/// Longest name.
const NAME_BYTES_MAX: usize = 253;
/// RFC 6008 4: as many characters tell signatures apart.
const MARK_CHARS: usize = 8;

#[cfg(test)]
mod tests;
