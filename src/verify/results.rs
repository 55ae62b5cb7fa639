//! The Authentication-Results field (RFC 8601): what we found out, for those who read the message
//! after us. Pure.
//!
//! Everything of a peer is cut down to what may stand in a token, so nothing can end a result or a
//! line.

use std::{fmt::Write, net::IpAddr};

use super::{
    arc::ArcResult,
    dkim::Finding,
    dmarc::{DmarcResult, Policy},
    spf::SpfResult,
};

/// RFC 8601 3: whether the client's address has a name that leads back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Iprev {
    /// This one.
    Pass(String),
    /// It has names, and none leads back.
    Fail,
    /// It cannot be found out now.
    TempError,
    /// It has no name.
    PermError,
    /// Nobody knows the address.
    Unasked,
}

impl Iprev {
    fn name(&self) -> &'static str {
        match self {
            Self::Pass(_) => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
            Self::Unasked => "none",
        }
    }
}

/// All that was found out.
#[derive(Debug)]
pub(super) struct Results<'a> {
    pub host: &'a str,
    pub ip: Option<IpAddr>,
    pub iprev: &'a Iprev,
    /// What the client called itself, and what that came to.
    pub helo: (&'a str, SpfResult),
    /// The same for the sender's domain.
    pub sender: Option<(&'a str, SpfResult)>,
    pub signatures: &'a [Finding],
    /// The author's domain, if there is one.
    pub author: Option<&'a str>,
    pub dmarc: (DmarcResult, Option<Policy>),
    /// The chain, and who sealed it last.
    pub arc: (ArcResult, Option<&'a str>),
    /// Why the domain's policy is not followed, if it is not.
    pub overridden: Option<&'static str>,
}

impl Results<'_> {
    /// The field with its line endings.
    pub(super) fn to_field(&self) -> String {
        let mut out = format!("Authentication-Results: {}", token(self.host));
        let ip = self.ip.map(|ip| match ip.to_canonical() {
            IpAddr::V4(four) => four.to_string(),
            // RFC 8601 2.2: colons are not for tokens.
            IpAddr::V6(six) => format!("\"{six}\""),
        });
        // RFC 8601 3 has no word for an address that is not known.
        if let Some(ip) = ip {
            let iprev = self.iprev.name();
            next(&mut out, &format!("iprev={iprev} policy.iprev={ip}"));
        }
        let (helo, result) = self.helo;
        next(
            &mut out,
            &format!("spf={} smtp.helo={}", result.name(), token(helo)),
        );
        if let Some((domain, result)) = self.sender {
            let domain = token(domain);
            next(
                &mut out,
                &format!("spf={} smtp.mailfrom={domain}", result.name()),
            );
        }
        for signature in self.signatures {
            next(&mut out, &dkim(signature));
        }
        if self.signatures.is_empty() {
            next(&mut out, "dkim=none");
        }
        next(&mut out, &self.dmarc());
        let (arc, sealer) = self.arc;
        if arc != ArcResult::None {
            let mut text = format!("arc={}", arc.name());
            if let Some(sealer) = sealer {
                // Writing to a String cannot fail.
                let _ = write!(text, " header.d={}", token(sealer));
            }
            next(&mut out, &text);
        }
        out.push_str("\r\n");
        out
    }

    fn dmarc(&self) -> String {
        let (result, policy) = self.dmarc;
        let mut text = format!("dmarc={}", result.name());
        if let Some(why) = self.overridden {
            let _ = write!(text, " reason=\"{why}\"");
        }
        if let Some(author) = self.author {
            let _ = write!(text, " header.from={}", token(author));
        }
        if let Some(policy) = policy {
            let _ = write!(text, " policy.dmarc={}", policy.name());
        }
        text
    }
}

fn dkim(found: &Finding) -> String {
    let mut text = format!("dkim={}", found.result.name());
    if !found.reason.is_empty() {
        let _ = write!(text, " reason=\"{}\"", found.reason);
    }
    if !found.domain.is_empty() {
        let (domain, selector) = (token(&found.domain), token(&found.selector));
        let algorithm = found.algorithm;
        let _ = write!(
            text,
            " header.d={domain} header.s={selector} header.a={algorithm}"
        );
    }
    if !found.mark.is_empty() {
        // Base64 has characters that are not for tokens (RFC 6008 4).
        let _ = write!(text, " header.b=\"{}\"", found.mark);
    }
    text
}

fn next(out: &mut String, result: &str) {
    out.push_str(";\r\n\t");
    out.push_str(result);
}

/// Letters, digits and marks of names; the rest as `?`, which nobody takes for them, and then in
/// quotes (RFC 8601 2.2), as an address literal is.
fn token(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let keep = |c: char| match c {
        c if plain(c) || matches!(c, '[' | ']' | ':') => c,
        _ => '?',
    };
    let kept: String = text.chars().take(TOKEN_CHARS_MAX).map(keep).collect();
    match !kept.is_empty() && kept.chars().all(plain) {
        true => kept,
        false => format!("\"{kept}\""),
    }
}

/// Longest name that is repeated.
const TOKEN_CHARS_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::{super::dkim::DkimResult, *};

    #[test]
    fn rfc_8601_2_2_what_is_no_token_is_quoted() {
        for (text, shown) in [
            ("a-b_c.example", "a-b_c.example"),
            ("[192.0.2.1]", "\"[192.0.2.1]\""),
            ("[IPv6:::1]", "\"[IPv6:::1]\""),
            ("a\"; \\b", "\"a????b\""),
            ("", "\"\""),
        ] {
            assert_eq!(token(text), shown);
        }
    }

    #[test]
    fn rfc_8601_nothing_of_a_peer_ends_a_result() {
        let results = Results {
            host: "mx.example",
            ip: Some("2001:db8::1".parse().unwrap()),
            iprev: &Iprev::Fail,
            helo: ("x; spf=pass\r\nX: y", SpfResult::None),
            sender: Some(("a (b)", SpfResult::SoftFail)),
            signatures: &[Finding {
                result: DkimResult::Fail,
                reason: "the body was changed",
                domain: "d.example".to_owned(),
                selector: "s".to_owned(),
                algorithm: "rsa-sha256",
                mark: "ab/+cdef".to_owned(),
            }],
            author: Some("f.example"),
            dmarc: (DmarcResult::Fail, Some(Policy::Reject)),
            arc: (ArcResult::Pass, Some("l.example")),
            overridden: Some("a trusted sealer saw it pass"),
        };
        assert_eq!(
            results.to_field(),
            "Authentication-Results: mx.example;\r\n\
             \tiprev=fail policy.iprev=\"2001:db8::1\";\r\n\
             \tspf=none smtp.helo=\"x??spf?pass??X:?y\";\r\n\
             \tspf=softfail smtp.mailfrom=\"a??b?\";\r\n\
             \tdkim=fail reason=\"the body was changed\" header.d=d.example header.s=s \
             header.a=rsa-sha256 header.b=\"ab/+cdef\";\r\n\
             \tdmarc=fail reason=\"a trusted sealer saw it pass\" header.from=f.example \
             policy.dmarc=reject;\r\n\
             \tarc=pass header.d=l.example\r\n"
        );
    }
}
