//! Where a domain wants reports: RFC 8460 3.
//!
//! Pure. A record that is not understood is none; of its destinations those that are not understood
//! are left out.

use std::net::IpAddr;

use crate::mail::address::{Address, Domain};

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// By mail.
    Mail(Address),
    /// By POST.
    Https {
        /// To this host,
        host: String,
        /// at this path, with its query.
        path: String,
    },
}

/// What the TXT records of `_smtp._tls` say, if just one of them is about reports.
pub(super) fn destinations(texts: &[Vec<u8>]) -> Vec<Destination> {
    let mut records = texts.iter().filter_map(|text| {
        let text = std::str::from_utf8(text).ok()?;
        let rest = text.strip_prefix("v=TLSRPTv1")?;
        rest.trim_start_matches([' ', '\t']).strip_prefix(';')
    });
    let (Some(fields), None) = (records.next(), records.next()) else {
        return Vec::new();
    };
    let mut fields = fields
        .split(';')
        .filter_map(|field| field.trim().split_once('='));
    let Some((_, uris)) = fields.find(|(name, _)| name.trim_end() == "rua") else {
        return Vec::new();
    };
    let uris = uris.split(',').map(str::trim);
    uris.filter_map(destination)
        .take(DESTINATIONS_MAX)
        .collect()
}

fn destination(uri: &str) -> Option<Destination> {
    if let Some(address) = after(uri, "mailto:") {
        // RFC 6068: what is behind a question mark are header fields, which nobody sets here.
        let address = address.split('?').next().unwrap_or_default();
        let address = Address::parse(&decoded(address)?).ok()?;
        return address.is_ascii().then_some(Destination::Mail(address));
    }
    let rest = after(uri, "https://")?;
    let (host, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let host = host.strip_suffix(":443").unwrap_or(host);
    // No other port and no address: the name is what the certificate is for.
    let host = Domain::parse(host).ok()?;
    if host.literal().is_some() || host.as_str().parse::<IpAddr>().is_ok() {
        return None;
    }
    let fits = path.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    fits.then(|| Destination::Https {
        host: host.as_str().to_owned(),
        path,
    })
}

/// What is behind a scheme, whose case does not matter.
fn after<'a>(uri: &'a str, scheme: &str) -> Option<&'a str> {
    let (begins, rest) = uri.split_at_checked(scheme.len())?;
    begins.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// RFC 3986 2.1.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// Destinations of one domain that get a report.
const DESTINATIONS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let shown = |destination| match destination {
            Destination::Mail(address) => address.to_string(),
            Destination::Https { host, path } => format!("{host} {path}"),
        };
        destinations(&texts).into_iter().map(shown).collect()
    }

    #[test]
    fn one_record_says_where_reports_go() {
        for (texts, expected) in [
            (
                &["v=TLSRPTv1; rua=mailto:a@b.example"][..],
                &["a@b.example"][..],
            ),
            (&["v=TLSRPTv1;rua=mailto:a@b.example;"], &["a@b.example"]),
            (
                &["v=TLSRPTv1; rua=MAILTO:a%2bb@c.example?subject=x , https://R.example/v1?a=b"],
                &["a+b@c.example", "r.example /v1?a=b"],
            ),
            (&["v=TLSRPTv1; rua=https://r.example"], &["r.example /"]),
            (&["v=TLSRPTv1; rua=https://r.example?x"], &["r.example /?x"]),
            (
                &["v=TLSRPTv1; rua=https://r.example:443/"],
                &["r.example /"],
            ),
            (
                &["x", "v=TLSRPTv1; later=1; rua=mailto:a@b.example"],
                &["a@b.example"],
            ),
            // Not understood.
            (&["v=TLSRPTv1; rua=https://r.example:8443/"], &[]),
            (&["v=TLSRPTv1; rua=https://127.0.0.1/"], &[]),
            (&["v=TLSRPTv1; rua=https://[::1]/"], &[]),
            (&["v=TLSRPTv1; rua=https://u@r.example/"], &[]),
            (&["v=TLSRPTv1; rua=https://r.example/a b"], &[]),
            (&["v=TLSRPTv1; rua=https://r.example/\r\nx"], &[]),
            (&["v=TLSRPTv1; rua=http://r.example/"], &[]),
            (&["v=TLSRPTv1; rua=mailto:a%0d%0ab@c.example"], &[]),
            (&["v=TLSRPTv1; rua=mailto:a%zz@c.example"], &[]),
            (&["v=TLSRPTv1; rua=mailto:"], &[]),
            (&["v=TLSRPTv1; rua="], &[]),
            (&["v=TLSRPTv1"], &[]),
            (&["v=TLSRPTv12; rua=mailto:a@b.example"], &[]),
            (&["V=tlsrptv1; rua=mailto:a@b.example"], &[]),
            // Which one?
            (
                &[
                    "v=TLSRPTv1; rua=mailto:a@b.example",
                    "v=TLSRPTv1; rua=mailto:c@b.example",
                ],
                &[],
            ),
            (&[], &[]),
        ] {
            assert_eq!(of(texts), expected, "{texts:?}");
        }
        let many = format!("v=TLSRPTv1; rua={}", ["mailto:a@b.example"; 50].join(","));
        assert_eq!(of(&[&many]).len(), DESTINATIONS_MAX);
    }

    proptest! {
        #[test]
        fn nothing_that_could_break_a_request_comes_out(uri in "https://[ -~\r\n\u{e9}]{0,40}") {
            for destination in destinations(&[format!("v=TLSRPTv1; rua={uri}").into_bytes()]) {
                if let Destination::Https { host, path } = destination {
                    prop_assert!(path.starts_with('/'));
                    let both = [host, path].concat();
                    prop_assert!(both.bytes().all(|b| b.is_ascii_graphic()));
                }
            }
        }
    }
}
