//! SPF records as they are published. Pure.
//!
//! RFC 7208 4.5, 4.6, 5, 6, 12. A record that breaks the grammar anywhere is no record at all but a
//! permanent error (4.6), so everything is read before anything is asked. Not here: what the terms
//! come to (`spf`), macros (`spf::macros`).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::macros::Pattern;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub directives: Vec<Directive>,
    /// RFC 7208 6.1.
    pub redirect: Option<Pattern>,
}

/// RFC 7208 4.6.2: a mechanism, and what it means when it matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub qualifier: Qualifier,
    pub mechanism: Mechanism,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    All,
    Include(Pattern),
    A(Option<Pattern>, Prefixes),
    Mx(Option<Pattern>, Prefixes),
    Ptr(Option<Pattern>),
    Ip4(Ipv4Addr, u8),
    Ip6(Ipv6Addr, u8),
    Exists(Pattern),
}

/// How many bits of addresses are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub four: u8,
    pub six: u8,
}

/// The record breaks the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Whether a text is an SPF record (RFC 7208 4.5): the version stands alone.
pub(super) fn is_record(text: &[u8]) -> bool {
    let version = text.get(..VERSION.len());
    version.is_some_and(|version| version.eq_ignore_ascii_case(VERSION))
        && matches!(text.get(VERSION.len()), None | Some(b' '))
}

impl Record {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Malformed> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(Malformed);
        }
        let text = std::str::from_utf8(text).map_err(|_| Malformed)?;
        let terms = text.get(VERSION.len()..).ok_or(Malformed)?;
        let mut record = Self {
            directives: Vec::new(),
            redirect: None,
        };
        let mut explained = false;
        for term in terms.split(' ').filter(|term| !term.is_empty()) {
            match modifier(term) {
                Some(("redirect", value)) if record.redirect.is_none() => {
                    record.redirect = Some(Pattern::domain(value)?);
                }
                Some(("exp", value)) if !explained => {
                    // Nobody is told why: only its grammar counts.
                    Pattern::domain(value)?;
                    explained = true;
                }
                // RFC 7208 6: these two at most once.
                Some(("redirect" | "exp", _)) => return Err(Malformed),
                Some((_, value)) => drop(Pattern::text(value)?),
                None => record.directives.push(directive(term)?),
            }
        }
        Ok(record)
    }
}

/// The lower-case name and the value of a modifier.
fn modifier(term: &str) -> Option<(&'static str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut bytes = name.bytes();
    let fits = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let known = ["redirect", "exp"];
    let known = known.into_iter().find(|k| name.eq_ignore_ascii_case(k));
    fits.then_some((known.unwrap_or(""), value))
}

fn directive(term: &str) -> Result<Directive, Malformed> {
    let (qualifier, rest) = match term.split_at_checked(1) {
        Some(("+", rest)) => (Qualifier::Pass, rest),
        Some(("-", rest)) => (Qualifier::Fail, rest),
        Some(("~", rest)) => (Qualifier::SoftFail, rest),
        Some(("?", rest)) => (Qualifier::Neutral, rest),
        _ => (Qualifier::Pass, term),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, argument) = rest.split_at_checked(end).ok_or(Malformed)?;
    let mechanism = mechanism(&name.to_ascii_lowercase(), argument)?;
    Ok(Directive {
        qualifier,
        mechanism,
    })
}

/// `argument` begins with its colon or slash.
fn mechanism(name: &str, argument: &str) -> Result<Mechanism, Malformed> {
    let value = argument.strip_prefix(':');
    Ok(match name {
        "all" if argument.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(Pattern::domain(value.ok_or(Malformed)?)?),
        "exists" => Mechanism::Exists(Pattern::domain(value.ok_or(Malformed)?)?),
        "ptr" if argument.is_empty() => Mechanism::Ptr(None),
        "ptr" => Mechanism::Ptr(Some(Pattern::domain(value.ok_or(Malformed)?)?)),
        "a" | "mx" => {
            let (domain, prefixes) = with_prefixes(argument)?;
            let domain = match domain {
                "" => None,
                other => {
                    let domain = other.strip_prefix(':').ok_or(Malformed)?;
                    Some(Pattern::domain(domain)?)
                }
            };
            match name {
                "a" => Mechanism::A(domain, prefixes),
                _ => Mechanism::Mx(domain, prefixes),
            }
        }
        "ip4" => {
            let (network, bits) = network(value, 32)?;
            Mechanism::Ip4(network.parse().map_err(|_| Malformed)?, bits)
        }
        "ip6" => {
            let (network, bits) = network(value, 128)?;
            Mechanism::Ip6(network.parse().map_err(|_| Malformed)?, bits)
        }
        _ => return Err(Malformed),
    })
}

fn network(value: Option<&str>, most: u8) -> Result<(&str, u8), Malformed> {
    let value = value.ok_or(Malformed)?;
    match value.split_once('/') {
        None => Ok((value, most)),
        Some((network, bits)) => Ok((network, prefix(bits, most)?)),
    }
}

/// `[":" domain] ["/" bits] ["//" bits]`: the domain may have slashes too, so the end counts.
fn with_prefixes(argument: &str) -> Result<(&str, Prefixes), Malformed> {
    let mut prefixes = Prefixes { four: 32, six: 128 };
    let mut rest = argument;
    if let Some((before, bits)) = rest.rsplit_once("//")
        && is_number(bits)
    {
        prefixes.six = prefix(bits, 128)?;
        rest = before;
    }
    if let Some((before, bits)) = rest.rsplit_once('/')
        && is_number(bits)
    {
        prefixes.four = prefix(bits, 32)?;
        rest = before;
    }
    Ok((rest, prefixes))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn prefix(text: &str, most: u8) -> Result<u8, Malformed> {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if !is_number(text) || leading_zero {
        return Err(Malformed);
    }
    let bits = text.parse().ok().filter(|bits| *bits <= most);
    bits.ok_or(Malformed)
}

const VERSION: &[u8] = b"v=spf1";
/// SPF-01: longest record.
const RECORD_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7208_4_5_the_version_stands_alone() {
        for (text, is) in [
            ("v=spf1", true),
            ("V=SPF1 -all", true),
            ("v=spf10", false),
            ("v=spf1-all", false),
            ("v=spf", false),
        ] {
            assert_eq!(is_record(text.as_bytes()), is, "{text}");
        }
    }

    #[test]
    fn rfc_7208_12_grammar() {
        for good in [
            "v=spf1 +mx a:colo.example.com/28 -all",
            "v=spf1 a//64 mx/24//48 ip4:192.0.2.1 ip6:2001:db8::/32",
            "v=spf1 a:foo:bar/baz.example.com ?all",
            "v=spf1 unknown=%{s}x redirect=_spf.%{d2}",
            "v=spf1 exists:%{ir}.%{v}._spf.%{d} exp=e.%{d}",
            "v=spf1   ",
        ] {
            assert!(Record::parse(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in [
            "v=spf1 a:",
            "v=spf1 a/33",
            "v=spf1 a/032",
            "v=spf1 a//129",
            "v=spf1 a:111.222.33.44",
            "v=spf1 a:museum",
            "v=spf1 a:example.com/",
            "v=spf1 all:x",
            "v=spf1 include",
            "v=spf1 ip4:1.2.3",
            "v=spf1 ip4:1.2.3.4/",
            "v=spf1 ip6:::1::",
            "v=spf1 moo",
            "v=spf1 =x",
            "v=spf1 redirect=a.b redirect=a.b",
            "v=spf1 exists:%{x}.example.com",
            "v=spf1 exists:%{d.example.com",
            "v=spf1 exists:%{d0}.example.com",
            "v=spf1 exists:%(d).example.com",
            "v=spf1 -all moo=%a",
        ] {
            assert_eq!(Record::parse(bad.as_bytes()), Err(Malformed), "{bad}");
        }
        let long = format!("v=spf1{}", " mx".repeat(2000));
        assert_eq!(Record::parse(long.as_bytes()), Err(Malformed));
    }
}
