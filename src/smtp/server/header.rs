//! What is done to the header of a message that comes in. Pure.
//!
//! Everywhere: a Return-Path of others and a result that claims to be ours are removed (HDR-01),
//! limits are checked (LIM-29), hops are counted (LIM-31). On submission (RFC 6409 8): From, Date
//! and Message-ID are added when missing, Bcc is removed. All else stays as it is, byte for byte
//! and in its order. A header ends at its empty line, or at the first line that belongs to no
//! field: an empty line is put before that, so that nobody takes more for the header than we did.

use bytes::{Bytes, BytesMut};

use super::limits::{FIELD_BYTES_MAX, FIELDS_MAX, RECEIVED_FIELDS_MAX};
use crate::mail::{
    address::{Address, Domain, LocalPart},
    date::HeaderDate,
    envelope::ReversePath,
    header::{Field, Fields},
    mime::{AddressEntry, Bounds, parse_addresses},
};

/// What decides over a header.
#[derive(Debug)]
pub(super) struct Rules {
    /// This host: the name that no foreign result may bear.
    pub host: Domain,
    /// What submission adds, on submission.
    pub submission: Option<Additions>,
}

/// What submission adds when it is missing.
#[derive(Debug)]
pub(super) struct Additions {
    /// For From.
    pub sender: ReversePath,
    /// For Date.
    pub secs: i64,
    /// For Message-ID, left of the at sign.
    pub id: String,
}

/// A header that is fit to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fit {
    /// To be written before the rest of the message, behind our own trace fields.
    pub bytes: Bytes,
    /// Whom From and Sender name; only on submission.
    pub authors: Vec<Author>,
    /// The Message-ID, cut, for the log.
    pub message_id: Option<String>,
}

/// One who is named in From: an address, or something that is none.
pub(super) type Author = Option<Address>;

/// Why a header is not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// LIM-29: a field is too long.
    FieldTooLong,
    /// LIM-29: it has too many fields.
    TooManyFields,
    /// LIM-31: it has too many Received fields.
    Loop,
    /// RFC 5322 3.6: From stands there once.
    TwoFroms,
    /// There is no From, and no sender to make one of.
    NoFrom,
}

/// How a header ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// At an empty line.
    EmptyLine,
    /// At a line that is neither a field nor goes on with one (RFC 5322 2.2, 2.2.3): somebody
    /// typed text and no header, or broke it.
    Text,
}

/// Looks for the end of a header that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct HeaderEnd {
    /// Where the first line begins that was not looked at.
    line: usize,
    /// No line ends between there and here.
    searched: usize,
}

impl HeaderEnd {
    /// Where the header at the front of `text` ends, and how. `text` is what it was before, and
    /// perhaps more.
    pub(super) fn find(&mut self, text: &[u8]) -> Option<(usize, Ending)> {
        loop {
            let unsearched = text.get(self.searched..)?;
            let Some(found) = memchr::memchr(b'\n', unsearched) else {
                self.searched = text.len();
                return None;
            };
            let end = self.searched.saturating_add(found).saturating_add(1);
            let line = text.get(self.line..end)?;
            if line == b"\r\n" {
                return Some((self.line, Ending::EmptyLine));
            }
            let goes_on = self.line > 0 && matches!(line.first(), Some(b' ' | b'\t'));
            if !goes_on && !begins_field(line) {
                return Some((self.line, Ending::Text));
            }
            (self.line, self.searched) = (end, end);
        }
    }
}

/// Whether a line begins with a field's name: printable ASCII and a colon, white space before that
/// tolerated (RFC 5322 2.2, 4.5.8).
fn begins_field(line: &[u8]) -> bool {
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(_)) = (parts.next(), parts.next()) else {
        return false;
    };
    let name = name.trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// Makes `block`, the fields of a header, fit to be stored.
pub(super) fn fit(block: &Bytes, rules: &Rules) -> Result<Fit, Unfit> {
    let found = Found::in_block(block, rules)?;
    let mut bytes = BytesMut::new();
    let mut authors = found.authors;
    let mut message_id = found.message_id;
    if let Some(additions) = &rules.submission {
        if found.froms > 1 {
            return Err(Unfit::TwoFroms);
        }
        if found.froms == 0 {
            let sender = additions.sender.address().ok_or(Unfit::NoFrom)?;
            bytes.extend_from_slice(format!("From: <{sender}>\r\n").as_bytes());
            authors.push(Some(sender.clone()));
        }
        if !found.date {
            bytes.extend_from_slice(format!("Date: {}\r\n", HeaderDate(additions.secs)).as_bytes());
        }
        if message_id.is_none() {
            let added = format!("<{}@{}>", additions.id, rules.host);
            bytes.extend_from_slice(format!("Message-ID: {added}\r\n").as_bytes());
            message_id = Some(added);
        }
    }
    if bytes.is_empty() && found.removed.is_empty() {
        let bytes = block.clone();
        return Ok(Fit {
            bytes,
            authors,
            message_id,
        });
    }
    let mut kept = 0;
    for span in found.removed {
        bytes.extend_from_slice(block.get(kept..span.start).unwrap_or_default());
        kept = span.end;
    }
    bytes.extend_from_slice(block.get(kept..).unwrap_or_default());
    let bytes = bytes.freeze();
    Ok(Fit {
        bytes,
        authors,
        message_id,
    })
}

/// What a header holds.
#[derive(Debug, Default)]
struct Found {
    fields: usize,
    received: usize,
    froms: usize,
    date: bool,
    message_id: Option<String>,
    authors: Vec<Author>,
    removed: Vec<std::ops::Range<usize>>,
}

impl Found {
    fn in_block(block: &[u8], rules: &Rules) -> Result<Self, Unfit> {
        let mut found = Self::default();
        for field in Fields::new(block) {
            found.field(field, rules)?;
        }
        Ok(found)
    }

    fn field(&mut self, field: Field<'_>, rules: &Rules) -> Result<(), Unfit> {
        self.fields += 1;
        if self.fields > FIELDS_MAX {
            return Err(Unfit::TooManyFields);
        }
        if field.span.len() > FIELD_BYTES_MAX {
            return Err(Unfit::FieldTooLong);
        }
        let submission = rules.submission.is_some();
        match field.name.to_ascii_lowercase().as_slice() {
            b"received" => self.received += 1,
            b"return-path" => self.removed.push(field.span),
            b"authentication-results" if is_ours(&field, &rules.host) => {
                self.removed.push(field.span);
            }
            b"bcc" | b"resent-bcc" if submission => self.removed.push(field.span),
            b"date" => self.date = true,
            b"message-id" if self.message_id.is_none() => {
                self.message_id = Some(shown(&field));
            }
            b"from" => {
                self.froms += 1;
                if submission {
                    self.authors.extend(authors(&field));
                }
            }
            // RFC 5322 3.6.2: who sends for the author is named like him.
            b"sender" if submission => self.authors.extend(authors(&field)),
            _ => {}
        }
        if self.received > RECEIVED_FIELDS_MAX {
            return Err(Unfit::Loop);
        }
        Ok(())
    }
}

/// The beginning of a field's value.
fn shown(field: &Field<'_>) -> String {
    let value = field.unfolded();
    let start = value.get(..MESSAGE_ID_BYTES_MAX).unwrap_or(&value);
    String::from_utf8_lossy(start).into_owned()
}

/// Everyone named in a From field; a field that names nobody names one who is no address.
fn authors(field: &Field<'_>) -> Vec<Author> {
    let entries = parse_addresses(&field.unfolded(), &Bounds::default());
    let authors: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| match entry {
            AddressEntry::Mailbox(mailbox) => Some(address(&mailbox.local, &mailbox.host)),
            AddressEntry::GroupStart(_) => Some(None),
            AddressEntry::GroupEnd => None,
        })
        .collect();
    if authors.is_empty() {
        vec![None]
    } else {
        authors
    }
}

fn address(local: &[u8], host: &[u8]) -> Author {
    let local = LocalPart::from_unquoted(std::str::from_utf8(local).ok()?).ok()?;
    let domain = Domain::parse(std::str::from_utf8(host).ok()?).ok()?;
    Some(Address { local, domain })
}

/// Whether an Authentication-Results field bears this host's name (RFC 8601 2.2, 5): after comments
/// and white space, up to the version or the semicolon.
fn is_ours(field: &Field<'_>, host: &Domain) -> bool {
    let value = field.unfolded();
    let value = String::from_utf8_lossy(&value);
    let name = after_comments(&value);
    let name = match name.strip_prefix('"') {
        Some(quoted) => unquoted(quoted),
        None => {
            let end = name.find([';', ' ', '\t', '(']).unwrap_or(name.len());
            name.get(..end).unwrap_or_default().to_owned()
        }
    };
    let name = name.trim().trim_end_matches('.');
    name.eq_ignore_ascii_case(host.as_str()) || Domain::parse(name).is_ok_and(|name| name == *host)
}

/// What a quoted string says up to its end (RFC 5322 3.2.4), given without its first quote.
fn unquoted(quoted: &str) -> String {
    let mut text = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => text.extend(chars.next()),
            other => text.push(other),
        }
    }
    text
}

/// `text` without the white space and comments at its front.
fn after_comments(text: &str) -> &str {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if depth > 0 => escaped = true,
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            ' ' | '\t' => {}
            _ if depth > 0 => {}
            _ => return text.get(at..).unwrap_or_default(),
        }
    }
    ""
}

/// How much of a Message-ID the log repeats.
const MESSAGE_ID_BYTES_MAX: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Domain {
        Domain::parse("mx.example").unwrap()
    }

    fn relay(block: &str) -> Result<String, Unfit> {
        let rules = Rules {
            host: host(),
            submission: None,
        };
        fit(&Bytes::copy_from_slice(block.as_bytes()), &rules)
            .map(|fit| String::from_utf8(fit.bytes.to_vec()).unwrap())
    }

    fn submit(block: &str, sender: &ReversePath) -> Result<(String, Vec<String>), Unfit> {
        let rules = Rules {
            host: host(),
            submission: Some(Additions {
                sender: sender.clone(),
                secs: 0,
                id: "01abc".to_owned(),
            }),
        };
        fit(&Bytes::copy_from_slice(block.as_bytes()), &rules).map(|fit| {
            let name = |author: &Author| {
                author
                    .as_ref()
                    .map_or_else(|| "?".to_owned(), Address::to_string)
            };
            (
                String::from_utf8(fit.bytes.to_vec()).unwrap(),
                fit.authors.iter().map(name).collect(),
            )
        })
    }

    fn sender() -> ReversePath {
        ReversePath::Address(Address::parse("alice@example.org").unwrap())
    }

    #[test]
    fn hdr_01_what_only_we_may_say_is_removed_and_the_rest_stays() {
        let kept = "Received: a\r\nSubject: b\r\n\tc\r\nBcc: d\r\n";
        assert_eq!(relay(kept).unwrap(), kept);
        for forged in [
            "Return-Path: <x@y>\r\n",
            "RETURN-PATH : <x@y>\r\n",
            "Authentication-Results: mx.example; spf=pass\r\n",
            "Authentication-Results: MX.Example 1; spf=pass\r\n",
            "Authentication-Results: (a (b) \\) c) mx.example; spf=pass\r\n",
            "Authentication-Results:\r\n\t\"mx.example\"; spf=pass\r\n",
            "Authentication-Results: mx.example(x); none\r\n",
            "Authentication-Results: \"m\\x.exampl\\e\"; spf=pass\r\n",
            "Authentication-Results: mx.example.; none\r\n",
        ] {
            let header = format!("A: 1\r\n{forged}B: 2\r\n{forged}");
            assert_eq!(relay(&header).unwrap(), "A: 1\r\nB: 2\r\n", "{forged:?}");
        }
        for foreign in [
            "Authentication-Results: other.example; spf=pass\r\n",
            "Authentication-Results: a.mx.example; spf=pass\r\n",
            "Authentication-Results: (mx.example) other.example; none\r\n",
            "X-Return-Path: x\r\n",
        ] {
            assert_eq!(relay(foreign).unwrap(), foreign);
        }
    }

    #[test]
    fn a_header_ends_where_no_field_goes_on_however_it_arrives() {
        use Ending::{EmptyLine, Text};
        for (text, end) in [
            ("A: b\r\n\r\ntext", Some((6, EmptyLine))),
            ("A: b\r\n\r\n", Some((6, EmptyLine))),
            ("\r\ntext", Some((0, EmptyLine))),
            ("A: b\r\n", None),
            ("A: b\r\n c\r\n\td\r\n \r\nE : f\r\n", None),
            ("A: b\r\ntext\r\nC: d\r\n\r\n", Some((6, Text))),
            ("A: b\r\n text\r\nno field\r\n", Some((13, Text))),
            ("hello\r\nthere: x\r\n", Some((0, Text))),
            ("hello there: x\r\n", Some((0, Text))),
            (" A: b\r\n", Some((0, Text))),
            (": b\r\n", Some((0, Text))),
            ("\u{e9}: b\r\n", Some((0, Text))),
            ("hello", None),
            ("", None),
        ] {
            let found = HeaderEnd::default().find(text.as_bytes());
            assert_eq!(found, end, "{text:?}");
            let mut pieces = HeaderEnd::default();
            let found = (0..=text.len()).find_map(|cut| pieces.find(&text.as_bytes()[..cut]));
            assert_eq!(found, end, "{text:?}");
        }
    }

    #[test]
    fn lim_29_fields_are_bounded_in_length_and_number() {
        let field = |length: usize| format!("A: {}\r\n", "x".repeat(length - 5));
        assert!(relay(&field(FIELD_BYTES_MAX)).is_ok());
        assert_eq!(relay(&field(FIELD_BYTES_MAX + 1)), Err(Unfit::FieldTooLong));
        assert!(relay(&"A: 1\r\n".repeat(FIELDS_MAX)).is_ok());
        assert_eq!(
            relay(&"A: 1\r\n".repeat(FIELDS_MAX + 1)),
            Err(Unfit::TooManyFields)
        );
    }

    #[test]
    fn lim_31_more_than_a_hundred_hops_are_a_loop() {
        assert!(relay(&"Received: x\r\n".repeat(RECEIVED_FIELDS_MAX)).is_ok());
        let loops = relay(&"RECEIVED: x\r\n".repeat(RECEIVED_FIELDS_MAX + 1));
        assert_eq!(loops, Err(Unfit::Loop));
    }

    #[test]
    fn submission_adds_what_is_missing_and_hides_bcc() {
        let (header, authors) = submit("Bcc: b@x\r\nSubject: s\r\n", &sender()).unwrap();
        assert_eq!(
            header,
            "From: <alice@example.org>\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\n\
             Message-ID: <01abc@mx.example>\r\nSubject: s\r\n"
        );
        assert_eq!(authors, ["alice@example.org"]);
        let whole = "From: A <alice@example.org>\r\nDate: x\r\nMessage-Id: <y>\r\n";
        assert_eq!(submit(whole, &sender()).unwrap().0, whole);
    }

    #[test]
    fn auth_07_everyone_named_in_from_is_found() {
        for (from, expected) in [
            ("alice@example.org", &["alice@example.org"][..]),
            (
                "A <alice@example.org>, bob@x.example",
                &["alice@example.org", "bob@x.example"],
            ),
            ("\"alice@example.org\" <bob@x.example>", &["bob@x.example"]),
            ("alice@example.org (bob@x.example)", &["alice@example.org"]),
            ("\r\n\t<bob@x.example>", &["bob@x.example"]),
            ("us: bob@x.example;", &["?", "bob@x.example"]),
            ("", &["?"]),
            ("alice", &["?"]),
        ] {
            let (_, authors) = submit(&format!("From: {from}\r\n"), &sender()).unwrap();
            assert_eq!(authors, expected, "{from:?}");
        }
        let two = "From: alice@example.org\r\nfrom : bob@x.example\r\n";
        assert_eq!(submit(two, &sender()), Err(Unfit::TwoFroms));
        assert_eq!(submit("A: b\r\n", &ReversePath::Null), Err(Unfit::NoFrom));
    }
}
