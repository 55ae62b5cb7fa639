//! Macro strings of SPF records (RFC 7208 7, 12). Pure.
//!
//! A pattern is checked when it is read, so expanding it cannot fail. The letters `c`, `r` and `t`
//! are for explanations only, which nobody is given here: elsewhere they are errors (7.2).

use std::{
    fmt::Write,
    net::{IpAddr, Ipv6Addr},
};

use super::record::Malformed;

/// A domain or a text with macros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Macro(Macro),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    letter: u8,
    /// It was written in upper case.
    escaped: bool,
    /// How many parts are kept, from the right; none of these is all.
    parts: Option<usize>,
    reversed: bool,
    delimiters: String,
}

/// What macros stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub local: &'a str,
    /// The domain of the sender.
    pub sender_domain: &'a str,
    /// The current domain.
    pub domain: &'a str,
    pub ip: IpAddr,
    pub helo: &'a str,
    /// The validated name of the address; needed only where [`Pattern::needs_name`].
    pub name: &'a str,
}

impl Pattern {
    /// Reads a domain-spec.
    pub(super) fn domain(text: &str) -> Result<Self, Malformed> {
        let pattern = Self::text(text)?;
        let ends_well = match pattern.0.last() {
            Some(Piece::Macro(_)) => true,
            Some(Piece::Literal(_)) => ends_in_top_label(text),
            None => false,
        };
        if ends_well {
            Ok(pattern)
        } else {
            Err(Malformed)
        }
    }

    /// Reads a macro-string.
    pub(super) fn text(text: &str) -> Result<Self, Malformed> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            rest = match (c, after.split_at_checked(1)) {
                ('%', Some(("%", after))) => {
                    literal.push('%');
                    after
                }
                ('%', Some(("_", after))) => {
                    literal.push(' ');
                    after
                }
                ('%', Some(("-", after))) => {
                    literal.push_str("%20");
                    after
                }
                ('%', Some(("{", after))) => {
                    let (inner, after) = after.split_once('}').ok_or(Malformed)?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Macro(Macro::parse(inner)?));
                    after
                }
                ('\u{21}'..='\u{24}' | '\u{26}'..='\u{7e}', _) => {
                    literal.push(c);
                    after
                }
                _ => return Err(Malformed),
            };
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    /// Whether the validated name of the client is asked for.
    pub(super) fn needs_name(&self) -> bool {
        let mut pieces = self.0.iter();
        pieces.any(|piece| matches!(piece, Piece::Macro(m) if m.letter == b'p'))
    }

    /// The domain that this is (RFC 7208 7.3): cut from the left until it has 253 characters.
    pub(super) fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Macro(found) => found.expand(values, &mut out),
            }
        }
        let mut shown = out.trim_end_matches('.');
        while shown.len() > DOMAIN_CHARS_MAX {
            match shown.split_once('.') {
                Some((_, rest)) => shown = rest,
                None => return String::new(),
            }
        }
        shown.to_owned()
    }
}

impl Macro {
    fn parse(text: &str) -> Result<Self, Malformed> {
        let (letter, rest) = text.split_at_checked(1).ok_or(Malformed)?;
        let letter = *letter.as_bytes().first().ok_or(Malformed)?;
        let lower = letter.to_ascii_lowercase();
        if !b"slodiphv".contains(&lower) {
            return Err(Malformed);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits).ok_or(Malformed)?;
        let parts = match number {
            "" => None,
            // More parts than any name has are all of them.
            number => Some(number.parse::<usize>().unwrap_or(usize::MAX)),
        };
        let (reversed, delimiters) = match rest.strip_prefix(['r', 'R']) {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let fit = delimiters.chars().all(|c| ".-+,/_=".contains(c));
        if parts == Some(0) || !fit {
            return Err(Malformed);
        }
        let delimiters = match delimiters {
            "" => ".",
            other => other,
        };
        Ok(Self {
            letter: lower,
            escaped: letter.is_ascii_uppercase(),
            parts,
            reversed,
            delimiters: delimiters.to_owned(),
        })
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let value = match self.letter {
            b's' => format!("{}@{}", values.local, values.sender_domain),
            b'l' => values.local.to_owned(),
            b'o' => values.sender_domain.to_owned(),
            b'd' => values.domain.to_owned(),
            b'i' => dotted(values.ip),
            b'p' => values.name.to_owned(),
            b'v' if values.ip.is_ipv4() => "in-addr".to_owned(),
            b'v' => "ip6".to_owned(),
            _ => values.helo.to_owned(),
        };
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.reversed {
            parts.reverse();
        }
        let skipped = self
            .parts
            .map_or(0, |kept| parts.len().saturating_sub(kept));
        let kept = parts.get(skipped..).unwrap_or_default().join(".");
        if self.escaped {
            escape(&kept, out);
        } else {
            out.push_str(&kept);
        }
    }
}

/// RFC 7208 7.3: an IPv6 address is its nibbles.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => nibbles(six),
    }
}

fn nibbles(six: Ipv6Addr) -> String {
    let octets = six.octets();
    let nibbles = octets.iter().flat_map(|octet| [octet >> 4, octet & 15]);
    let nibbles: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
    nibbles.join(".")
}

/// RFC 3986 2.3: what is not unreserved is escaped.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// RFC 7208 12 domain-end: a dot, a top label that is not all digits, perhaps one more dot.
fn ends_in_top_label(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Some((before, label)) = text.rsplit_once('.') else {
        return false;
    };
    let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    !before.is_empty()
        && !label.is_empty()
        && label.bytes().all(fit)
        && !label.bytes().all(|b| b.is_ascii_digit())
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 7208 7.3.
const DOMAIN_CHARS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_7208_7_4_expansion_examples() {
        let mut values = Values {
            local: "strong-bad",
            sender_domain: "email.example.com",
            domain: "email.example.com",
            ip: "192.0.2.3".parse().unwrap(),
            helo: "helo.example",
            name: "unknown",
        };
        for (pattern, expanded) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d3}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr}", "strong-bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            (
                "%{ir}.%{v}._spf.%{d2}",
                "3.2.0.192.in-addr._spf.example.com",
            ),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            (
                "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}",
                "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
            ),
            (
                "%{d2}.trusted-domains.example.net",
                "example.com.trusted-domains.example.net",
            ),
            ("%{S}", "strong-bad%40email.example.com"),
        ] {
            let read = Pattern::domain(pattern).unwrap();
            assert_eq!(read.expand(&values), expanded, "{pattern}");
        }
        values.ip = "2001:db8::cb01".parse().unwrap();
        let read = Pattern::domain("%{ir}.%{v}._spf.%{d2}").unwrap();
        assert_eq!(
            read.expand(&values),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.\
             ip6._spf.example.com"
        );
    }

    #[test]
    fn rfc_7208_7_3_a_long_name_loses_labels_on_the_left() {
        let values = Values {
            local: "x",
            sender_domain: "a.example",
            domain: &format!("{}.example.org", vec!["label"; 50].join(".")),
            ip: "192.0.2.3".parse().unwrap(),
            helo: "h",
            name: "unknown",
        };
        let expanded = Pattern::domain("%{d}").unwrap().expand(&values);
        assert!(expanded.len() <= DOMAIN_CHARS_MAX && expanded.len() > 240);
        assert!(expanded.ends_with("label.example.org"));
    }
}
