//! The header of a message as signatures see it: fields by name, from the last one upwards
//! (RFC 6376 5.4.2). Pure.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;

use super::canon::Canon;
use crate::mail::{
    address::Domain,
    header::Fields,
    mime::{AddressEntry, Bounds, parse_addresses},
};

/// A header that came with a message, byte for byte.
pub(super) struct Header {
    block: Bytes,
    fields: Vec<Range<usize>>,
    /// The places of a name, given in lower case, from the top.
    places: HashMap<Vec<u8>, Vec<usize>>,
}

impl Header {
    pub(super) fn new(block: Bytes) -> Self {
        let mut fields = Vec::new();
        let mut places: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for field in Fields::new(&block) {
            let name = field.name.to_ascii_lowercase();
            places.entry(name).or_default().push(fields.len());
            fields.push(field.span);
        }
        Self {
            block,
            fields,
            places,
        }
    }

    /// Where the fields of this lower-case name are, from the top.
    pub(super) fn places(&self, name: &str) -> &[usize] {
        self.places.get(name.as_bytes()).map_or(&[], Vec::as_slice)
    }

    /// The whole field at a place.
    pub(super) fn field(&self, place: usize) -> &[u8] {
        let span = self.fields.get(place).cloned().unwrap_or_default();
        self.block.get(span).unwrap_or_default()
    }

    /// The text of the value at a place; none when it is no UTF-8.
    pub(super) fn value(&self, place: usize) -> Option<&str> {
        let field = Fields::new(self.field(place)).next()?;
        std::str::from_utf8(field.value).ok()
    }

    /// Adds the fields that `names` choose, in canonical form. What is not there adds nothing: a
    /// field that is added later breaks the signature.
    pub(super) fn chosen(&self, names: &[String], canon: Canon, out: &mut Vec<u8>) {
        let mut used: HashMap<&str, usize> = HashMap::new();
        for name in names {
            let places = self.places(name);
            let used = used.entry(name).or_default();
            *used = used.saturating_add(1);
            let place = places
                .len()
                .checked_sub(*used)
                .and_then(|at| places.get(at));
            if let Some(place) = place {
                canon.field(self.field(*place), out);
            }
        }
    }

    /// Whether a field that readers see stands there again, beside those that `names` choose: what
    /// was added may be what is shown (RFC 6376 8.15).
    pub(super) fn is_added_to(&self, names: &[String]) -> bool {
        SHOWN.iter().any(|name| {
            let signed = names.iter().filter(|signed| signed == name).count();
            signed > 0 && self.places(name).len() > signed
        })
    }

    /// Adds the signing field itself, with nothing in its `b=` and no line end (RFC 6376 3.7).
    pub(super) fn signing(&self, place: usize, canon: Canon, out: &mut Vec<u8>) {
        unsigned(self.field(place), canon, out);
    }
}

/// A signing field as it is signed.
pub(super) fn unsigned(field: &[u8], canon: Canon, out: &mut Vec<u8>) {
    let mut emptied = Vec::with_capacity(field.len());
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(0);
    let (name, value) = field
        .split_at_checked(colon.saturating_add(1))
        .unwrap_or((field, &[]));
    emptied.extend_from_slice(name);
    for (number, spec) in value.split(|byte| *byte == b';').enumerate() {
        if number > 0 {
            emptied.push(b';');
        }
        let equals = spec.iter().position(|byte| *byte == b'=');
        match equals.and_then(|at| spec.split_at_checked(at)) {
            Some((tag, _)) if tag.trim_ascii() == b"b" => {
                emptied.extend_from_slice(tag);
                emptied.push(b'=');
            }
            _ => emptied.extend_from_slice(spec),
        }
    }
    canon.field(&emptied, out);
    out.truncate(out.len().saturating_sub(2));
}

/// Whom a message says it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Authors {
    /// There is no From.
    Missing,
    /// All of them in these domains, of which there is at least one.
    Domains(Vec<String>),
    /// More than one From, or one that names nobody, or somebody who has no domain.
    Unclear,
}

impl Authors {
    /// DMARC-01: one From, and only addresses in it.
    pub(super) fn of(header: &Header) -> Self {
        let place = match header.places("from") {
            [] => return Self::Missing,
            [only] => *only,
            _ => return Self::Unclear,
        };
        let Some(field) = Fields::new(header.field(place)).next() else {
            return Self::Unclear;
        };
        let mut domains: Vec<String> = Vec::new();
        let bounds = Bounds::default();
        let entries = parse_addresses(&field.unfolded(), &bounds);
        if entries.len() >= bounds.addresses {
            return Self::Unclear;
        }
        for entry in entries {
            let AddressEntry::Mailbox(mailbox) = entry else {
                continue;
            };
            if mailbox.ignored {
                return Self::Unclear;
            }
            // `Example, Inc. <news@example.com>`: a piece of a name that nobody quoted.
            if mailbox.host.is_empty() && !mailbox.local.contains(&b'@') {
                continue;
            }
            let text = std::str::from_utf8(&mailbox.host).ok();
            let domain = text.and_then(|text| Domain::parse(text.trim()).ok());
            let Some(domain) = domain.filter(|domain| domain.literal().is_none()) else {
                return Self::Unclear;
            };
            let domain = domain.as_str().trim_end_matches('.').to_owned();
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
        match domains.len() {
            0 => Self::Unclear,
            1..=AUTHOR_DOMAINS_MAX => Self::Domains(domains),
            _ => Self::Unclear,
        }
    }
}

/// Fields of which there is one at most (RFC 5322 3.6, RFC 2045), and that readers see or
/// programs act on.
const SHOWN: &[&str] = &[
    "subject",
    "date",
    "to",
    "cc",
    "reply-to",
    "content-type",
    "content-transfer-encoding",
    "mime-version",
];
/// Domains of one From whose policies are asked for.
const AUTHOR_DOMAINS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Header {
        Header::new(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn rfc_6376_5_4_2_fields_are_chosen_from_the_last_one_upwards() {
        let header = header("A: 1\r\nB: 2\r\na: 3\r\n");
        let names = ["a", "a", "a", "c", "b"].map(str::to_owned);
        let mut out = Vec::new();
        header.chosen(&names, Canon::Simple, &mut out);
        assert_eq!(out, b"a: 3\r\nA: 1\r\nB: 2\r\n");
    }

    #[test]
    fn rfc_6376_3_7_only_the_signature_itself_is_left_out() {
        for (field, signed) in [
            ("S: a=1; b=xyz\r\n\tabc; bh=q\r\n", "S: a=1; b=; bh=q"),
            ("S: b = xyz", "S: b ="),
            ("S: bb=1;\r\n b=", "S: bb=1;\r\n b="),
            ("S: a=b=c; b=d;", "S: a=b=c; b=;"),
        ] {
            let mut out = Vec::new();
            unsigned(field.as_bytes(), Canon::Simple, &mut out);
            assert_eq!(out, signed.as_bytes(), "{field}");
        }
    }

    #[test]
    fn dmarc_01_one_from_with_addresses_only() {
        let domains =
            |list: &[&str]| Authors::Domains(list.iter().copied().map(str::to_owned).collect());
        for (text, authors) in [
            ("To: a@b.example\r\n", Authors::Missing),
            ("From: A <a@B.example>\r\n", domains(&["b.example"])),
            (
                "From: a@b.example, c@d.example\r\n",
                domains(&["b.example", "d.example"]),
            ),
            (
                "From: \"x@y.example\" <a@b.example>\r\n",
                domains(&["b.example"]),
            ),
            (
                "From: a@b.example\r\nFROM : c@d.example\r\n",
                Authors::Unclear,
            ),
            (
                "From: Example, Inc. <news@b.example>\r\n",
                domains(&["b.example"]),
            ),
            ("From: a@b.example@, <c@d.example>\r\n", Authors::Unclear),
            (
                "From: a@b.example <c@d.example> <e@f.example>\r\n",
                Authors::Unclear,
            ),
            ("From: <a@b.example> c@d.example\r\n", Authors::Unclear),
            ("From: <a@b.example> (c)\r\n", domains(&["b.example"])),
            ("From: a\r\n", Authors::Unclear),
            ("From: a, b\r\n", Authors::Unclear),
            ("From:\r\n", Authors::Unclear),
            ("From: a@[192.0.2.1]\r\n", Authors::Unclear),
        ] {
            assert_eq!(Authors::of(&header(text)), authors, "{text}");
        }
    }
}
