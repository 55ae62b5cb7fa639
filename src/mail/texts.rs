//! The texts of an email that a search compares with: where each stands, and what it is read as.
//!
//! Pure: spans out, bytes in, folded texts out; reading is the caller's. SEARCH and the index of
//! texts both go by this, so what is cut for one is cut for the other at the same place. RFC 3501
//! 6.4.4: the fields as the envelope tells them, the fields of the header, the headers of the
//! parts, and the text parts.

use super::{
    body_text, envelope_text,
    facts::{Facts, PartFacts},
    header::Fields,
    mime::Span,
    words,
};

/// The header of the message, as far as it is looked at.
pub fn header_span(facts: &Facts) -> Span {
    let length = facts.header_length().min(HEADER_BYTES_MAX);
    Span { offset: 0, length }
}

/// The fields of a header that was read: lower-case names, texts folded as lines.
pub fn fields(header: &[u8]) -> impl Iterator<Item = (String, String)> {
    Fields::new(header).map(|field| {
        let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
        (name, line(field.value))
    })
}

/// A field as TEXT looks at it.
pub fn whole_field(name: &str, text: &str) -> String {
    format!("{}: {text}", body_text::fold(name))
}

/// What an envelope says of all the fields that it tells of: lower-case names, texts folded as
/// lines.
pub fn envelope_fields(envelope: &[u8]) -> impl Iterator<Item = (&'static str, String)> {
    envelope_text::fields(envelope).map(|(name, text)| (name, line(&text)))
}

/// An undecoded text, folded as a line.
pub fn line(undecoded: &[u8]) -> String {
    body_text::fold_line(&words::decode(undecoded))
}

/// The texts behind the header of the message, in their order.
pub fn behind_header(facts: &Facts) -> impl Iterator<Item = PartText<'_>> {
    facts.parts.iter().enumerate().flat_map(|(at, part)| {
        let header = (at > 0).then_some(PartText::Header(part));
        let charset = part.text_charset.as_deref();
        let content = charset.map(|charset| PartText::Content(part, charset));
        header.into_iter().chain(content)
    })
}

/// One of these texts.
#[derive(Clone, Copy, Debug)]
pub enum PartText<'a> {
    /// The header of a part.
    Header(&'a PartFacts),
    /// The content of a text part, and its charset.
    Content(&'a PartFacts, &'a [u8]),
}

impl PartText<'_> {
    /// What is to be read of it.
    pub fn span(&self) -> Span {
        match self {
            Self::Header(part) => {
                let length = part.header.length.min(HEADER_BYTES_MAX);
                Span {
                    length,
                    ..part.header
                }
            }
            Self::Content(part, _) => {
                let bound = u64::try_from(body_text::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
                let body = part.body();
                let length = body.length.min(bound);
                Span { length, ..body }
            }
        }
    }

    /// Whether white space does not count, as in a header field.
    pub fn is_line(&self) -> bool {
        matches!(self, Self::Header(_))
    }

    /// The text in these bytes, folded.
    pub fn folded(&self, raw: &[u8]) -> String {
        match self {
            Self::Header(_) => line(raw),
            Self::Content(part, charset) => {
                body_text::fold(&body_text::decode(raw, part.encoding, charset))
            }
        }
    }
}

/// LIM-29: bytes of a header whose fields are looked at.
pub const HEADER_BYTES_MAX: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::mime::{Bounds, Scanner};

    fn facts_of(message: &[u8]) -> Facts {
        let mut scanner = Scanner::new(Bounds::default());
        scanner.feed(message);
        Facts::from(&scanner.finish())
    }

    fn bytes(message: &[u8], span: Span) -> &[u8] {
        let at = |place: u64| usize::try_from(place).unwrap();
        &message[at(span.offset)..at(span.end())]
    }

    #[test]
    fn the_texts_of_an_email_are_its_fields_its_parts_headers_and_its_text_parts() {
        let message = b"Subject: =?utf-8?q?=C3=A9?=\r\n\ttwo\r\nX-Own: a\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-ID: c\r\n\r\nd\r\ne\r\n\
            --b\r\nContent-Type: image/png\r\n\r\nf\r\n--b--\r\n";
        let facts = facts_of(message);
        let envelope: Vec<_> = envelope_fields(&facts.envelope).collect();
        assert_eq!(envelope, [("subject", "E\u{301} TWO".to_owned())]);
        let header = bytes(message, header_span(&facts));
        let fields: Vec<_> = fields(header)
            .map(|(name, text)| whole_field(&name, &text))
            .collect();
        assert_eq!(fields[0], "SUBJECT: E\u{301} TWO");
        assert_eq!(fields[1], "X-OWN: A");
        let texts: Vec<_> = behind_header(&facts)
            .map(|text| (text.is_line(), text.folded(bytes(message, text.span()))))
            .collect();
        let expected = [
            (true, "CONTENT-ID: C"),
            (false, "D\r\nE"),
            (true, "CONTENT-TYPE: IMAGE/PNG"),
        ];
        let expected = expected.map(|(is_line, text)| (is_line, text.to_owned()));
        assert_eq!(texts, expected);
    }

    #[test]
    fn lim_29_of_a_long_header_only_the_beginning_is_looked_at() {
        let line = format!("X: {}\r\n", "x".repeat(990));
        let long = line.repeat(1_100);
        let message = format!("{long}Content-Type: multipart/mixed; boundary=b\r\n\r\n");
        let facts = facts_of(message.as_bytes());
        assert_eq!(header_span(&facts).length, HEADER_BYTES_MAX);
        let part = PartFacts {
            header: Span {
                offset: 7,
                length: HEADER_BYTES_MAX + 9,
            },
            body_length: u64::MAX / 2,
            ..PartFacts::default()
        };
        assert_eq!(PartText::Header(&part).span().length, HEADER_BYTES_MAX);
        let content = PartText::Content(&part, b"").span();
        assert_eq!(content.offset, HEADER_BYTES_MAX + 16);
        assert_eq!(content.length, body_text::TEXT_BYTES_MAX as u64);
    }
}
