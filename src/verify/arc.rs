//! ARC chains (RFC 8617): what forwarders say they saw, sealed one over the other.
//!
//! A chain that holds proves who said it, not that it is true; it is believed only where the
//! administrator named the sealers (ARC-01). Fifty sets at most are looked at.

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::{
    canon::{BodyHash, Canon, Wanted},
    dkim::{self, DkimResult, Kind, Signature, key_of},
    header::{Authors, Header, unsigned},
    key::PublicKey,
    questions::Questions,
    tags::Tags,
    work::Work,
};
use crate::mail::algorithm::Algorithm;

/// RFC 8617 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArcResult {
    /// There is no chain.
    None,
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It cannot be found out now.
    TempError,
}

impl ArcResult {
    /// RFC 8601 2.7, RFC 8617 10.1.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
        }
    }
}

/// The ARC fields of a header.
#[derive(Clone, Debug)]
pub(super) enum Chain {
    /// There are none.
    None,
    /// They make no chain.
    Broken,
    /// They look like one, oldest first; there is at least one set.
    Sets(Vec<Set>),
}

/// What one forwarder added.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// Where its ARC-Authentication-Results stand.
    results: usize,
    /// Where its ARC-Message-Signature stands.
    message: usize,
    seal: Seal,
}

#[derive(Clone, Debug)]
struct Seal {
    place: usize,
    domain: String,
    selector: String,
    algorithm: Algorithm,
    value: Vec<u8>,
}

impl Chain {
    /// Reads the chain of a header (RFC 8617 5.2, steps 1 to 3), and the newest signature over the
    /// message.
    pub(super) fn read(header: &Header) -> (Self, Option<Signature>) {
        let fields = [RESULTS, MESSAGE, SEAL].map(|name| by_instance(header, name));
        let [Some(results), Some(messages), Some(seals)] = fields else {
            return (Self::Broken, None);
        };
        if results.is_empty() && messages.is_empty() && seals.is_empty() {
            return (Self::None, None);
        }
        let Some(sets) = sets(header, &results, &messages, &seals) else {
            return (Self::Broken, None);
        };
        let newest = sets.last().map(|set| set.message);
        let read = |place| Signature::read(header, place, Kind::Arc).ok();
        match newest.and_then(read) {
            Some(signature) => (Self::Sets(sets), Some(signature)),
            None => (Self::Broken, None),
        }
    }

    /// Whether it holds (RFC 8617 5.2, steps 4 to 7).
    pub(super) async fn check(
        &self,
        newest: Option<&Signature>,
        questions: Questions<'_>,
        message: (&Arc<Header>, &[BodyHash]),
        work: &Work,
        now: u64,
    ) -> ArcResult {
        let (sets, newest) = match (self, newest) {
            (Self::None, _) => return ArcResult::None,
            (Self::Sets(sets), Some(newest)) => (sets, newest),
            _ => return ArcResult::Fail,
        };
        if let Err((why, _)) = newest.verify(questions, message, work, now).await {
            return failed(why);
        }
        for count in (1..=sets.len()).rev() {
            let sets = sets.get(..count).unwrap_or_default();
            let Some(Set { seal, .. }) = sets.last() else {
                continue;
            };
            let key = match key_of(questions, &seal.domain, &seal.selector).await {
                Ok(key) if key.algorithm() == seal.algorithm => key,
                Ok(_) => return ArcResult::Fail,
                Err((why, _)) => return failed(why),
            };
            let (header, sets) = (Arc::clone(message.0), sets.to_vec());
            match work.run(move || sealed(&header, &sets, &key)).await {
                Some(true) => {}
                Some(false) => return ArcResult::Fail,
                None => return ArcResult::TempError,
            }
        }
        ArcResult::Pass
    }

    /// Whether the newest sealers are all trusted, back to one who saw DMARC pass for `author`.
    pub(super) fn vouches(&self, header: &Header, author: &str, trusted: &[String]) -> bool {
        let Self::Sets(sets) = self else {
            return false;
        };
        let known = |set: &&Set| trusted.contains(&set.seal.domain);
        let saw = |set: &Set| {
            let results = header.value(set.results);
            results.is_some_and(|results| saw_dmarc_pass(results, author))
        };
        sets.iter().rev().take_while(known).any(saw)
    }

    /// The places of its fields, in the order in which a seal covers them (RFC 8617 5.1.1).
    pub(super) fn places(&self) -> Vec<usize> {
        let sets = match self {
            Self::Sets(sets) => sets.as_slice(),
            Self::None | Self::Broken => &[],
        };
        let places = sets
            .iter()
            .flat_map(|set| [set.results, set.message, set.seal.place]);
        places.collect()
    }

    /// The number that comes next, whatever the chain is worth, and whether the newest seal says
    /// that it is worth nothing.
    pub(super) fn newest(&self, header: &Header) -> (u64, bool) {
        let tags = |place: &usize| Tags::parse(header.value(*place)?.split(';').next()?);
        let number = |place| tags(place)?.number("i")?.ok();
        let fields = [RESULTS, MESSAGE, SEAL].map(|name| header.places(name));
        // Where the number is not the first tag, the count of the fields is as good.
        let count = fields.iter().map(|places| places.len() as u64).max();
        let highest = fields.iter().copied().flatten().filter_map(number).max();
        let next = highest.max(count).unwrap_or(0).saturating_add(1);
        let failed = header.places(SEAL).iter().any(|place| {
            let tags = header.value(*place).and_then(Tags::parse);
            tags.and_then(|tags| tags.compact("cv")).as_deref() == Some("fail")
        });
        (next, failed)
    }

    /// The domain of the newest seal.
    pub(super) fn sealer(&self) -> Option<&str> {
        match self {
            Self::Sets(sets) => sets.last().map(|set| set.seal.domain.as_str()),
            Self::None | Self::Broken => None,
        }
    }
}

/// The domains that signed a header (DKIM) or sealed it last (ARC), each once, as far as it is
/// looked at.
pub fn signed_by(header: Bytes) -> Vec<String> {
    let header = Header::new(header);
    let (signatures, _) = dkim::signatures(&header, &Authors::Missing);
    let signers = signatures.into_iter().map(|signature| signature.domain);
    let (chain, _) = Chain::read(&header);
    let mut domains: Vec<String> = Vec::new();
    for domain in signers.chain(chain.sealer().map(str::to_owned)) {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}

/// Bodies that have to be hashed for a chain.
pub(super) fn wanted(newest: Option<&Signature>) -> Option<Wanted> {
    newest.map(|signature| signature.wanted)
}

fn failed(why: DkimResult) -> ArcResult {
    match why {
        DkimResult::TempError => ArcResult::TempError,
        _ => ArcResult::Fail,
    }
}

/// The places of a field by its instance number; none when one has no number or a number comes
/// twice, or there are too many.
fn by_instance(header: &Header, name: &str) -> Option<BTreeMap<u64, usize>> {
    let places = header.places(name);
    if places.len() > SETS_MAX {
        return None;
    }
    let mut found = BTreeMap::new();
    for place in places {
        let value = header.value(*place)?;
        // RFC 8617 4.1.1: in the results it is what stands first; elsewhere a tag among others.
        let list = match name {
            RESULTS => value.split(';').next()?,
            _ => value,
        };
        let number = Tags::parse(list)?.number("i")?.ok()?;
        if found.insert(number, *place).is_some() {
            return None;
        }
    }
    Some(found)
}

/// RFC 8617 5.2 step 3: whole sets, numbered from one, each sealed over a chain that held.
fn sets(
    header: &Header,
    results: &BTreeMap<u64, usize>,
    messages: &BTreeMap<u64, usize>,
    seals: &BTreeMap<u64, usize>,
) -> Option<Vec<Set>> {
    if results.len() != seals.len() || messages.len() != seals.len() {
        return None;
    }
    let mut sets = Vec::new();
    for (number, place) in (1..).zip(seals.values()) {
        let seal = Seal::read(header, *place, number)?;
        if !seals.contains_key(&number) {
            return None;
        }
        sets.push(Set {
            results: *results.get(&number)?,
            message: *messages.get(&number)?,
            seal,
        });
    }
    Some(sets)
}

impl Seal {
    fn read(header: &Header, place: usize, number: u64) -> Option<Self> {
        let tags = Tags::parse(header.value(place)?)?;
        // RFC 8617 4.1.3.
        if tags.find("h").is_some() {
            return None;
        }
        let (domain, selector) = dkim::owner(&tags)?;
        let verdict = tags.compact("cv")?;
        let expected = if number == 1 { "none" } else { "pass" };
        if verdict != expected {
            return None;
        }
        Some(Self {
            place,
            domain,
            selector,
            algorithm: dkim::algorithm(&tags).ok()?,
            value: BASE64_STANDARD.decode(tags.compact("b")?).ok()?,
        })
    }
}

/// RFC 8617 5.1.1: a seal covers all sets up to its own, its own seal last and unsigned.
fn sealed(header: &Header, sets: &[Set], key: &PublicKey) -> bool {
    let Some((last, before)) = sets.split_last() else {
        return false;
    };
    let mut text = Vec::new();
    let mut add = |place| Canon::Relaxed.field(header.field(place), &mut text);
    for set in before {
        add(set.results);
        add(set.message);
        add(set.seal.place);
    }
    add(last.results);
    add(last.message);
    unsigned(header.field(last.seal.place), Canon::Relaxed, &mut text);
    key.signed(&text, &last.seal.value)
}

/// Whether results say that DMARC passed for `author`.
fn saw_dmarc_pass(results: &str, author: &str) -> bool {
    let results = without_comments(results);
    results.split(';').any(|result| {
        let mut words = result.split_ascii_whitespace();
        let passed = words
            .next()
            .is_some_and(|method| method.eq_ignore_ascii_case("dmarc=pass"));
        passed
            && words.any(|word| {
                let of = word.split_once('=');
                of.is_some_and(|(property, value)| {
                    property.eq_ignore_ascii_case("header.from")
                        && value.eq_ignore_ascii_case(author)
                })
            })
    })
}

/// The text without what stands in parentheses and between quotes: there others are repeated.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => depth = depth.saturating_add(1),
            ')' if !quoted => depth = depth.saturating_sub(1),
            other if depth == 0 && !quoted => out.push(other),
            _ => {}
        }
    }
    out
}

/// ARC-01: sets of a chain.
pub(super) const SETS_MAX: usize = 50;
const RESULTS: &str = "arc-authentication-results";
const MESSAGE: &str = "arc-message-signature";
const SEAL: &str = "arc-seal";

#[cfg(test)]
mod tests;
