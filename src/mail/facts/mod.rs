//! What is kept about an email so that FETCH and SEARCH need not read it again.
//!
//! RFC 3501 6.4.4, 6.4.5, 7.4.2; RFC 9051 likewise. [`Facts`] is made once, when a message is
//! stored, from a scan of it; it holds ENVELOPE and BODYSTRUCTURE as they are sent and the place
//! of every part. Its stored form (`facts::codec`) never exceeds [`FACTS_BYTES_MAX`]: a message
//! with more structure than fits is told with its last parts as opaque ones. The message itself
//! is not affected.

mod codec;
#[cfg(test)]
mod corpus;
mod outline;
mod section;

use std::{borrow::Cow, ops::Range};

pub use self::{
    codec::Damaged,
    section::{Section, SectionText},
};
use super::{
    body_text::TransferEncoding,
    date::{Moment, parse_header_date},
    envelope_text::{self, Said},
    imap_text::{EnvelopeRoom, write_envelope, write_structure},
    message_id::{self, MessageIds},
    mime::{Part, PartKind, Scanned, Span, Text},
};

/// The facts about one email.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// RFC822.SIZE.
    pub size: u64,
    /// When its Date field says it was sent, if that can be understood.
    pub sent: Option<Moment>,
    /// ENVELOPE, as sent.
    pub envelope: Vec<u8>,
    /// Some header field was too long for the envelope: it does not show all of it.
    pub envelope_is_cut: bool,
    /// The ids of References, as `message_id` keeps them.
    pub references: Vec<u8>,
    /// BODYSTRUCTURE, as sent.
    pub structure: Vec<u8>,
    /// Where the extension data stand in the structure, which BODY lacks.
    extensions: Vec<Range<usize>>,
    /// What `mail::excerpt` keeps of the header, if it is whole.
    pub excerpt: Option<Text>,
    /// The parts, the first of which is the message; parents stand before their children.
    pub parts: Vec<PartFacts>,
}

/// The facts that SORT and THREAD need, read without the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head<'a> {
    /// As [`Facts::sent`].
    pub sent: Option<Moment>,
    /// As [`Facts::envelope`].
    pub envelope: &'a [u8],
    /// As [`Facts::references`].
    pub references: &'a [u8],
}

impl Head<'_> {
    /// The normalized id of Message-ID, if it holds one.
    pub fn message_id(&self) -> Option<Vec<u8>> {
        self.first_id("message-id")
    }

    /// The normalized ids that the message refers to, its parent's last (RFC 5256 3): those of
    /// References, else the first of In-Reply-To.
    pub fn references(&self) -> Vec<Vec<u8>> {
        if self.references.is_empty() {
            return self.first_id("in-reply-to").into_iter().collect();
        }
        message_id::references(self.references)
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// The normalized id of the message that began the thread, as far as this one tells: the first
    /// of References, else of In-Reply-To, else its own.
    pub fn first_of_thread(&self) -> Option<Vec<u8>> {
        let first = message_id::references(self.references).next();
        let replied = || self.first_id("in-reply-to");
        let first = first.map(<[u8]>::to_vec).or_else(replied);
        first.or_else(|| self.message_id())
    }

    fn first_id(&self, field: &str) -> Option<Vec<u8>> {
        match envelope_text::field(self.envelope, field) {
            Said::Text(text) => MessageIds::new(&text).next(),
            Said::Nothing | Said::Unknown => None,
        }
    }
}

/// The facts about one part of an email.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartFacts {
    /// The part around it; `None` only for the message itself.
    pub parent: Option<usize>,
    /// What it contains.
    pub kind: PartKind,
    /// Its header, with the empty line. The body follows it.
    pub header: Span,
    /// The length of its body.
    pub body_length: u64,
    /// How its content is encoded.
    pub encoding: TransferEncoding,
    /// Its charset, when there is text in it to search; empty when the header names none.
    pub text_charset: Option<Text>,
}

impl PartFacts {
    /// Its body.
    pub fn body(&self) -> Span {
        Span {
            offset: self.header.end(),
            length: self.body_length,
        }
    }

    fn of(part: &Part) -> Self {
        // Reports and other leaves of type message are fields and text (RFC 3462, 6533).
        let content_type = &part.content_type;
        let is_text = content_type.is_kind("text") || content_type.is_kind("message");
        let is_text = is_text && part.kind == PartKind::Leaf;
        let charset = part.content_type.parameter("charset").unwrap_or_default();
        let charset = charset.get(..CHARSET_BYTES_MAX).unwrap_or(charset);
        Self {
            parent: part.parent,
            kind: part.kind,
            header: part.header,
            body_length: part.body.length,
            encoding: TransferEncoding::of_name(part.encoding.as_deref().unwrap_or_default()),
            text_charset: is_text.then(|| charset.into()),
        }
    }
}

impl Facts {
    /// Those that SORT and THREAD need.
    pub fn as_head(&self) -> Head<'_> {
        Head {
            sent: self.sent,
            envelope: &self.envelope,
            references: &self.references,
        }
    }

    /// BODY: the structure without its extension data.
    pub fn basic_structure(&self) -> Vec<u8> {
        super::imap_text::without(&self.structure, self.extensions.iter().cloned())
    }

    /// Bytes of the message's header, with its empty line.
    pub fn header_length(&self) -> u64 {
        self.parts.first().map_or(0, |root| root.header.length)
    }

    /// The leaves that hold text, for SEARCH BODY and SEARCH TEXT.
    pub fn text_parts(&self) -> impl Iterator<Item = &PartFacts> {
        self.parts.iter().filter(|part| part.text_charset.is_some())
    }

    fn try_from_parts(scanned: &Scanned, parts: &[Part]) -> (Self, Vec<usize>) {
        let envelope_fields = scanned
            .parts
            .first()
            .and_then(|root| root.envelope.as_deref());
        let fields = envelope_fields.map_or_else(Default::default, Cow::Borrowed);
        let mut envelope = Vec::new();
        let envelope_is_cut = write_envelope(&mut envelope, &fields, EnvelopeRoom::TOP);
        let structure = write_structure(parts);
        let facts = Self {
            size: scanned.size,
            sent: fields.date.as_deref().and_then(parse_header_date),
            envelope,
            envelope_is_cut,
            references: message_id::kept_references(
                fields.references.as_deref().unwrap_or_default(),
            ),
            structure: structure.extensible,
            extensions: structure.extensions,
            excerpt: scanned.excerpt.clone(),
            parts: parts.iter().map(PartFacts::of).collect(),
        };
        (facts, structure.starts)
    }
}

/// The facts of a scanned message, with as many of its parts as fit [`FACTS_BYTES_MAX`].
impl From<&Scanned> for Facts {
    fn from(scanned: &Scanned) -> Self {
        let (mut facts, starts) = Self::try_from_parts(scanned, &scanned.parts);
        let mut length = facts.encode().len();
        if length > FACTS_BYTES_MAX && facts.excerpt.take().is_some() {
            length = facts.encode().len();
        }
        // The first guess is where the text of the structure fills three quarters of the room.
        let within = |start: &&usize| **start <= FACTS_BYTES_MAX / 4 * 3;
        let mut keep = starts.iter().take_while(within).count();
        while length > FACTS_BYTES_MAX && keep > 0 {
            let parts = outline::first_parts(&scanned.parts, keep);
            facts = Self::try_from_parts(scanned, &parts).0;
            facts.excerpt = None;
            length = facts.encode().len();
            keep = keep.saturating_sub(keep.div_ceil(4));
        }
        facts
    }
}

/// Longest stored form of [`Facts`]. LIM-30: it fits one value of the store.
pub const FACTS_BYTES_MAX: usize = 60 * 1024;
/// No charset's name is longer; a longer one is no charset.
const CHARSET_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::mime::{Bounds, Scanner};

    pub(super) fn facts_of(message: &[u8]) -> Facts {
        let mut scanner = Scanner::new(Bounds::default());
        scanner.feed(message);
        Facts::from(&scanner.finish())
    }

    /// Facts that fit, survive their stored form, and stay within the message.
    pub(super) fn check(facts: &Facts) {
        let stored = facts.encode();
        assert!(stored.len() <= FACTS_BYTES_MAX, "{}", stored.len());
        assert_eq!(Facts::decode(&stored).as_ref(), Ok(facts));
        assert!(
            facts
                .parts
                .iter()
                .all(|part| part.body().end() <= facts.size)
        );
    }

    #[test]
    fn facts_tell_what_fetch_and_search_ask() {
        let facts = facts_of(
            b"Date: Sat, 21 Nov 2026 23:30:00 -0800\r\nSubject: s\r\n\
              Content-Type: text/plain; charset=latin1\r\n\
              Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9\r\n",
        );
        check(&facts);
        assert_eq!(facts.sent.map(|sent| sent.day), Some(20_778));
        assert_eq!(facts.size - facts.header_length(), 5);
        assert!(facts.envelope.starts_with(b"(\"Sat, 21 Nov"));
        assert!(
            facts
                .basic_structure()
                .ends_with(b"\"quoted-printable\" 5 1)")
        );
        let text = facts.text_parts().next().unwrap();
        assert_eq!(text.encoding, TransferEncoding::QuotedPrintable);
        assert_eq!(text.text_charset.as_deref(), Some(&b"latin1"[..]));
    }

    #[test]
    fn the_head_tells_what_sort_and_thread_need() {
        let facts = facts_of(
            b"Date: 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <\"a\"@b>\r\n\
              In-Reply-To: <c@d> <e@f>\r\nReferences: <g@h>\r\n\t<c@d>\r\n\r\n",
        );
        check(&facts);
        let stored = facts.encode();
        let head = Facts::head(&stored).unwrap();
        assert_eq!(
            (head.sent, head.envelope),
            (facts.sent, &facts.envelope[..])
        );
        assert_eq!(head.message_id().as_deref(), Some(&b"a@b"[..]));
        assert_eq!(head.references(), [b"g@h".to_vec(), b"c@d".to_vec()]);
        for (header, ids) in [
            ("In-Reply-To: x <c@d> <e@f>\r\n", &["c@d"][..]),
            ("In-Reply-To: <c@d>\r\nReferences: none\r\n", &["c@d"]),
            ("References: none\r\n", &[]),
            ("Subject: <a@b>\r\n", &[]),
        ] {
            let stored = facts_of(format!("{header}\r\n").as_bytes()).encode();
            let head = Facts::head(&stored).unwrap();
            let expected: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
            assert_eq!(head.references(), expected, "{header}");
        }
        for length in 0..20 {
            assert_eq!(Facts::head(&stored[..length]), Err(Damaged));
        }
    }

    #[test]
    fn a_thread_is_told_by_the_id_that_began_it() {
        for (header, first) in [
            ("Message-ID: <a@b>\r\n", Some("a@b")),
            ("Message-ID: <a@b>\r\nIn-Reply-To: <c@d>\r\n", Some("c@d")),
            (
                "Message-ID: <a@b>\r\nIn-Reply-To: <c@d>\r\nReferences: <\"e\"@f> <c@d>\r\n",
                Some("e@f"),
            ),
            ("References: none\r\nMessage-ID: <a@b>\r\n", Some("a@b")),
            ("Message-ID: a@b\r\n", None),
            ("Subject: <a@b>\r\n", None),
        ] {
            let facts = facts_of(format!("{header}\r\n").as_bytes());
            let stored = facts.encode();
            let head = Facts::head(&stored).unwrap();
            assert_eq!(facts.as_head(), head);
            let found = head.first_of_thread();
            assert_eq!(found.as_deref(), first.map(str::as_bytes), "{header}");
        }
        let ids: String = (0..9_000).map(|n| format!("<{n}@x>\r\n ")).collect();
        let long = facts_of(format!("References: {ids}<y@x>\r\n\r\n").as_bytes());
        assert_eq!(long.as_head().first_of_thread().unwrap(), b"0@x");
    }

    #[test]
    fn fields_may_be_put_before_what_was_scanned() {
        let head = b"Return-Path: <a@b>\r\nReceived: from c\r\n\tby d; date\r\n";
        for message in [
            "",
            "\r\n",
            "\r\nx",
            "A: b",
            "From: a@b\r\nSubject: x\r\n\r\nhello\r\n",
            "Content-Type: multipart/mixed; boundary=a\r\n\r\nx\r\n--a\r\nB: c\r\n\r\ny\r\n\
             --a\r\nContent-Type: message/rfc822\r\n\r\nSubject: z\r\n\r\ny\r\n--a--\r\nend",
        ] {
            let whole = facts_of(&[head, message.as_bytes()].concat());
            let mut scanner = Scanner::new(Bounds::default());
            scanner.feed(message.as_bytes());
            let scanned = scanner.finish().behind(head.len() as u64);
            assert_eq!(Facts::from(&scanned), whole, "{message}");
        }
    }

    #[test]
    fn leaves_that_are_messages_hold_text() {
        for (kind, is_text) in [
            ("message/delivery-status", true),
            ("message/disposition-notification", true),
            ("message/feedback-report", true),
            ("message/global", true),
            ("message/global-delivery-status", true),
            ("message/partial", true),
            ("message/external-body", true),
            ("message/http", true),
            ("application/octet-stream", false),
        ] {
            let facts = facts_of(format!("Content-Type: {kind}\r\n\r\nx\r\n").as_bytes());
            assert_eq!(facts.text_parts().count(), usize::from(is_text), "{kind}");
        }
        let message = facts_of(b"Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n");
        assert_eq!(message.text_parts().count(), 1);
    }

    #[test]
    fn lim_30_monstrous_messages_have_small_facts() {
        let part = "--b\r\nContent-Type: text/plain; name=\"a rather long file name.txt\"\r\n\
                    Content-Disposition: attachment; filename=\"a rather long file name.txt\"\r\n\
                    \r\nx\r\n";
        let flat = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
            part.repeat(6_000)
        );
        let mut deep = String::new();
        for level in 0..99 {
            let id = "i".repeat(900);
            deep.push_str(&format!(
                "Content-ID: {id}\nContent-Type: multipart/mixed; boundary=b{level:03}\n\n\
                 --b{level:03}\n\n--b{level:03}\n"
            ));
        }
        let addresses = format!(
            "To: {}\r\n\r\n",
            "\"A. Name\" <user@example.org>, ".repeat(500_000)
        );
        let everything: String = [
            "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date",
        ]
        .iter()
        .chain(&[
            "In-Reply-To",
            "Message-ID",
            "Content-ID",
            "Content-Description",
        ])
        .map(|name| format!("{name}: {}\r\n", "\"\u{e9}\" <\"\\\"\"@b>,".repeat(9_000)))
        .collect();
        let quotes = format!(
            "Content-Type: a/b{}\r\n",
            "; x=\"\\\"\\\"\\\"\\\"\"".repeat(200)
        );
        for message in [
            flat.clone(),
            deep,
            addresses,
            everything.clone() + &quotes + &flat,
        ] {
            let facts = facts_of(message.as_bytes());
            check(&facts);
        }
        let facts = facts_of(flat.as_bytes());
        assert!(facts.parts.len() > 100 && facts.encode().len() > FACTS_BYTES_MAX / 2);
        // The last part stands for all that are not told one by one.
        let (root, last) = (&facts.parts[0], facts.parts.last().unwrap());
        assert_eq!(last.body().end(), root.body().end());
        assert!(facts_of(everything.as_bytes()).envelope_is_cut);
    }
}
