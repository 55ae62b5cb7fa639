//! SPF (RFC 7208): whether a host may use a domain in HELO or MAIL FROM.
//!
//! `check_host` of RFC 7208 4, with its bounds of 4.6.4 (SPF-01): ten terms that ask, two answers
//! without anything, ten hosts of an MX, and the time that the caller's [`Questions`] have. A name
//! server that does not answer makes a temporary error, never another result. Explanations are not
//! fetched: nobody is refused for SPF alone.

mod macros;
mod record;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::{
    macros::{Pattern, Values},
    record::{Directive, Mechanism, Prefixes, Qualifier, Record},
};
use super::{lies_in, questions::Questions};
use crate::{
    base::future::BoxFuture,
    dns::{Answer, Family},
};

/// RFC 7208 2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpfResult {
    /// There is no record, or nothing to ask for.
    None,
    /// The record says nothing about the host.
    Neutral,
    /// The host may use the domain.
    Pass,
    /// The host may not.
    Fail,
    /// Probably it may not.
    SoftFail,
    /// It could not be found out now.
    TempError,
    /// The record cannot be understood or asks too much.
    PermError,
}

impl SpfResult {
    /// RFC 8601 2.7.2.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Who is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub ip: IpAddr,
    /// Whose record is asked for.
    pub domain: &'a str,
    /// The local part of the sender; `postmaster` when there is none (RFC 7208 4.3).
    pub local: &'a str,
    pub helo: &'a str,
}

/// RFC 7208 4.
pub(super) async fn check_host(questions: Questions<'_>, identity: Identity<'_>) -> SpfResult {
    // RFC 7208 4.3: names that the DNS cannot have, or of one label, have no record.
    if identity.domain.starts_with('[')
        || !is_name(identity.domain)
        || !identity.domain.trim_end_matches('.').contains('.')
    {
        return SpfResult::None;
    }
    let mut check = Check {
        questions,
        identity: Identity {
            ip: identity.ip.to_canonical(),
            ..identity
        },
        terms: 0,
        voids: 0,
        name: None,
    };
    match check.host(identity.domain).await {
        Ok(result) => result,
        Err(Stop::TempError) => SpfResult::TempError,
        Err(Stop::PermError) => SpfResult::PermError,
    }
}

struct Check<'a> {
    questions: Questions<'a>,
    identity: Identity<'a>,
    /// Terms that asked, so far.
    terms: usize,
    /// Answers without anything, so far.
    voids: usize,
    /// The validated name of the client, once it was looked for.
    name: Option<String>,
}

/// What ends the check at once.
enum Stop {
    TempError,
    PermError,
}

impl<'a> Check<'a> {
    /// The result for `domain`; what is included or redirected to comes here again. How deep that
    /// goes is bounded by the number of terms.
    fn host<'s>(&'s mut self, domain: &'s str) -> BoxFuture<'s, Result<SpfResult, Stop>> {
        Box::pin(async move {
            let Some(record) = self.record(domain).await? else {
                return Ok(SpfResult::None);
            };
            for directive in &record.directives {
                if self.matches(directive, domain).await? {
                    return Ok(match directive.qualifier {
                        Qualifier::Pass => SpfResult::Pass,
                        Qualifier::Fail => SpfResult::Fail,
                        Qualifier::SoftFail => SpfResult::SoftFail,
                        Qualifier::Neutral => SpfResult::Neutral,
                    });
                }
            }
            let Some(redirect) = &record.redirect else {
                // RFC 7208 4.7.
                return Ok(SpfResult::Neutral);
            };
            self.term()?;
            let target = self.expand(Some(redirect), domain).await?;
            match self.host(&target).await? {
                // RFC 7208 6.1.
                SpfResult::None => Err(Stop::PermError),
                result => Ok(result),
            }
        })
    }

    /// RFC 7208 4.4, 4.5.
    async fn record(&self, domain: &str) -> Result<Option<Record>, Stop> {
        if !is_name(domain) {
            return Ok(None);
        }
        let texts = match self.questions.texts(domain).await {
            Answer::Found(texts) => texts,
            Answer::NoRecords | Answer::NoSuchName => return Ok(None),
            Answer::Temporary(_) => return Err(Stop::TempError),
        };
        let mut records = texts.iter().filter(|text| record::is_record(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(only), None) => Record::parse(only).map(Some).map_err(|_| Stop::PermError),
            (Some(_), Some(_)) => Err(Stop::PermError),
        }
    }

    async fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, Stop> {
        let ip = self.identity.ip;
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, bits) => Ok(same_network(ip, (*network).into(), *bits)),
            Mechanism::Ip6(network, bits) => Ok(same_network(ip, (*network).into(), *bits)),
            Mechanism::Include(target) => {
                self.term()?;
                let target = self.expand(Some(target), domain).await?;
                // RFC 7208 5.2.
                match self.host(&target).await? {
                    SpfResult::Pass => Ok(true),
                    SpfResult::None => Err(Stop::PermError),
                    _ => Ok(false),
                }
            }
            Mechanism::A(target, prefixes) => {
                self.term()?;
                let target = self.expand(target.as_ref(), domain).await?;
                self.has_address(&target, *prefixes).await
            }
            Mechanism::Mx(target, prefixes) => {
                self.term()?;
                let target = self.expand(target.as_ref(), domain).await?;
                self.has_exchange(&target, *prefixes).await
            }
            Mechanism::Ptr(target) => {
                self.term()?;
                let target = self.expand(target.as_ref(), domain).await?;
                let names = self.validated_names().await;
                Ok(names.iter().any(|name| lies_in(name, &target)))
            }
            Mechanism::Exists(target) => {
                self.term()?;
                let target = self.expand(Some(target), domain).await?;
                // RFC 7208 5.7: A records, whatever the client's address is.
                let answer = self.addresses(&target, Family::Four).await;
                Ok(!self.counted(answer)?.is_empty())
            }
        }
    }

    async fn has_address(&mut self, host: &str, prefixes: Prefixes) -> Result<bool, Stop> {
        let answer = self.addresses(host, self.family()).await;
        let addresses = self.counted(answer)?;
        Ok(self.any_same(&addresses, prefixes))
    }

    async fn has_exchange(&mut self, domain: &str, prefixes: Prefixes) -> Result<bool, Stop> {
        let answer = match is_name(domain) {
            true => self.questions.mx(domain).await,
            false => Answer::NoSuchName,
        };
        let mut exchanges = self.counted(answer)?;
        // RFC 7208 4.6.4.
        if exchanges.len() > MX_HOSTS_MAX {
            return Err(Stop::PermError);
        }
        exchanges.sort();
        for mx in exchanges {
            match self.addresses(&mx.exchange, self.family()).await {
                Answer::Found(addresses) if self.any_same(&addresses, prefixes) => {
                    return Ok(true);
                }
                Answer::Temporary(_) => return Err(Stop::TempError),
                _ => {}
            }
        }
        Ok(false)
    }

    /// RFC 7208 5.5: the names of the client that lead back to it.
    async fn validated_names(&self) -> Vec<String> {
        let ip = self.identity.ip;
        let Answer::Found(names) = self.questions.names(ip).await else {
            return Vec::new();
        };
        let mut validated = Vec::new();
        for name in names.into_iter().take(PTR_NAMES_MAX) {
            if let Answer::Found(addresses) = self.addresses(&name, self.family()).await
                && addresses.contains(&ip)
            {
                validated.push(name);
            }
        }
        validated
    }

    async fn addresses(&self, host: &str, family: Family) -> Answer<Vec<IpAddr>> {
        if !is_name(host) {
            return Answer::NoSuchName;
        }
        self.questions.family(host, family).await
    }

    /// The target of a term: what its pattern comes to, or the domain itself.
    async fn expand(&mut self, target: Option<&Pattern>, domain: &str) -> Result<String, Stop> {
        let Some(pattern) = target else {
            return Ok(domain.to_owned());
        };
        if pattern.needs_name() && self.name.is_none() {
            // RFC 7208 4.6.4 counts the macro as it counts the mechanism.
            self.term()?;
            let names = self.validated_names().await;
            // RFC 7208 7.3: the domain's own name first, then one below it, then any.
            let exact = names.iter().find(|name| name.eq_ignore_ascii_case(domain));
            let below = || names.iter().find(|name| lies_in(name, domain));
            let name = exact.or_else(below).or_else(|| names.first());
            self.name = Some(name.map_or_else(|| "unknown".to_owned(), Clone::clone));
        }
        let identity = &self.identity;
        let values = Values {
            local: identity.local,
            sender_domain: identity.domain,
            domain,
            ip: identity.ip,
            helo: identity.helo,
            name: self.name.as_deref().unwrap_or("unknown"),
        };
        Ok(pattern.expand(&values))
    }

    fn any_same(&self, addresses: &[IpAddr], prefixes: Prefixes) -> bool {
        let ip = self.identity.ip;
        let bits = match ip {
            IpAddr::V4(_) => prefixes.four,
            IpAddr::V6(_) => prefixes.six,
        };
        addresses.iter().any(|other| same_network(ip, *other, bits))
    }

    fn family(&self) -> Family {
        match self.identity.ip {
            IpAddr::V4(_) => Family::Four,
            IpAddr::V6(_) => Family::Six,
        }
    }

    /// RFC 7208 4.6.4: one more term that asks.
    fn term(&mut self) -> Result<(), Stop> {
        self.terms = self.terms.saturating_add(1);
        if self.terms > TERMS_MAX {
            Err(Stop::PermError)
        } else {
            Ok(())
        }
    }

    /// What was found; RFC 7208 4.6.4 bounds how often that may be nothing.
    fn counted<T>(&mut self, answer: Answer<Vec<T>>) -> Result<Vec<T>, Stop> {
        match answer {
            Answer::Found(found) => Ok(found),
            Answer::Temporary(_) => Err(Stop::TempError),
            Answer::NoRecords | Answer::NoSuchName => {
                self.voids = self.voids.saturating_add(1);
                if self.voids > VOIDS_MAX {
                    Err(Stop::PermError)
                } else {
                    Ok(Vec::new())
                }
            }
        }
    }
}

/// Whether the first `bits` bits are the same; addresses of different families never are.
fn same_network(a: IpAddr, b: IpAddr, bits: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let kept = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into()));
            let kept = kept.unwrap_or(0);
            Ipv4Addr::to_bits(a) & kept == Ipv4Addr::to_bits(b) & kept
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let kept = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into()));
            let kept = kept.unwrap_or(0);
            Ipv6Addr::to_bits(a) & kept == Ipv6Addr::to_bits(b) & kept
        }
        _ => false,
    }
}

/// Whether the DNS can have this name (RFC 1035 2.3.4).
fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| (1..=63).contains(&label.len());
    (1..=253).contains(&name.len()) && name.split('.').all(label)
}

/// SPF-01: terms that ask the DNS.
const TERMS_MAX: usize = 10;
/// SPF-01: answers of these terms that hold nothing.
const VOIDS_MAX: usize = 2;
/// SPF-01: hosts that an MX may name.
const MX_HOSTS_MAX: usize = 10;
/// RFC 7208 4.6.4: names of an address that are looked at.
const PTR_NAMES_MAX: usize = 10;

#[cfg(test)]
mod tests;
