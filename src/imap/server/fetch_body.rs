//! The bytes of messages that FETCH sends: BODY[...], RFC822, RFC822.HEADER, RFC822.TEXT.
//!
//! RFC 3501 6.4.5. A section is a span of the stored message, so it is copied from the store to the
//! client piece by piece. Only HEADER.FIELDS is made here, from one header. The length is said
//! before the bytes: when the store then fails in the middle, the connection ends.

use std::{io, ops::Range};

use bytes::Bytes;

use crate::{
    base::{future::BoxFuture, pieces::Pieces},
    imap::proto::{
        dialog::Imap,
        encode::{literal_header, section_label},
        fetch::FetchItem,
        section::{Partial, Section, SectionText},
    },
    mail::{
        facts::{self, Facts},
        header::{Select, select_fields},
    },
    mailbox::{BodyPieces, Email, Mailboxes},
    net::{Gone, Turn, turn::Outgoing},
};

/// One section that is asked for.
#[derive(Debug)]
pub(super) struct Wanted {
    label: Label,
    section: facts::Section,
    partial: Option<Partial>,
}

/// What stands before the bytes.
#[derive(Clone, Debug)]
enum Label {
    /// `RFC822` and its kin.
    Name(&'static str),
    /// `BODY[...]<...>`
    Section(Section),
}

/// A section of one message, ready to be sent.
pub(super) struct Opened<'a> {
    wanted: &'a Wanted,
    content: Content,
}

enum Content {
    /// There is no such section.
    Nil,
    Made(Bytes),
    Stored(Stored),
}

/// A span of a stored message whose first piece has been read.
struct Stored {
    length: u64,
    first: Option<Bytes>,
    rest: BodyPieces,
}

impl Wanted {
    /// The section that an item names; none when it is about no bytes.
    pub(super) fn new(item: &FetchItem) -> Option<Self> {
        let named = |name, text| Self {
            label: Label::Name(name),
            section: facts::Section {
                part: Vec::new(),
                text,
            },
            partial: None,
        };
        Some(match item {
            FetchItem::Rfc822 => named("RFC822", facts::SectionText::Whole),
            FetchItem::Rfc822Header => named("RFC822.HEADER", facts::SectionText::Header),
            FetchItem::Rfc822Text => named("RFC822.TEXT", facts::SectionText::Text),
            FetchItem::Section {
                section, partial, ..
            } => Self {
                label: Label::Section(section.clone()),
                section: stored_section(section),
                partial: *partial,
            },
            _ => return None,
        })
    }

    async fn open<'a>(
        &'a self,
        mailboxes: &Mailboxes,
        email: &Email,
        facts: &Facts,
    ) -> io::Result<Opened<'a>> {
        let content = match facts.section(&self.section) {
            None => Content::Nil,
            Some(span) => {
                let span = span.offset..span.end();
                self.content(mailboxes, email, span).await?
            }
        };
        Ok(Opened {
            wanted: self,
            content,
        })
    }

    async fn content(
        &self,
        mailboxes: &Mailboxes,
        email: &Email,
        span: Range<u64>,
    ) -> io::Result<Content> {
        let facts::SectionText::HeaderFields { names, select } = &self.section.text else {
            let span = cut(span, self.partial);
            return Ok(Content::Stored(Stored::open(mailboxes, email, span).await?));
        };
        let header = read(mailboxes, email, span).await?;
        let made = Bytes::from(select_fields(&header, names, *select));
        // RFC 3501 6.4.5: the part is cut from the selected fields.
        let range = cut(0..made.len() as u64, self.partial);
        Ok(Content::Made(slice(&made, range)))
    }
}

impl Stored {
    /// Reads the first piece, so that it is known that there is one.
    async fn open(mailboxes: &Mailboxes, email: &Email, span: Range<u64>) -> io::Result<Self> {
        let length = span.end - span.start;
        let mut rest = mailboxes.body(email.blob, span);
        let first = if length == 0 {
            None
        } else {
            rest.next().await?
        };
        Ok(Self {
            length,
            first,
            rest,
        })
    }
}

impl Pieces for Stored {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        match self.first.take() {
            Some(first) => Box::pin(std::future::ready(Ok(Some(first)))),
            None => self.rest.next(),
        }
    }
}

/// Makes all sections of a message ready.
pub(super) async fn open<'a>(
    mailboxes: &Mailboxes,
    email: &Email,
    facts: &Facts,
    wanted: &'a [Wanted],
) -> io::Result<Vec<Opened<'a>>> {
    let mut opened = Vec::with_capacity(wanted.len());
    for section in wanted {
        opened.push(section.open(mailboxes, email, facts).await?);
    }
    Ok(opened)
}

impl Opened<'_> {
    /// Sends the section as an item of the FETCH response that has begun.
    pub(super) async fn send(self, turn: &mut Turn<'_, Imap>) -> Result<(), Gone> {
        let Wanted { label, partial, .. } = self.wanted;
        let out = turn.output();
        match label {
            Label::Name(name) => {
                out.text(name).bytes(b" ");
            }
            Label::Section(section) => {
                section_label(out, section, partial.map(|partial| partial.first));
            }
        }
        match self.content {
            Content::Nil => {
                out.bytes(b"NIL");
                Ok(())
            }
            Content::Made(bytes) => {
                literal_header(out, bytes.len() as u64);
                out.bytes(&bytes);
                turn.make_room().await
            }
            Content::Stored(mut stored) => {
                literal_header(out, stored.length);
                turn.send_body(&mut stored, Outgoing::Octets).await
            }
        }
    }
}

/// Reads a header whole; what is longer than LIM-29 is not looked at.
async fn read(mailboxes: &Mailboxes, email: &Email, span: Range<u64>) -> io::Result<Vec<u8>> {
    let end = span.end.min(span.start.saturating_add(HEADER_BYTES_MAX));
    let mut header = Vec::new();
    let mut pieces = mailboxes.body(email.blob, span.start..end);
    while let Some(piece) = pieces.next().await? {
        header.extend_from_slice(&piece);
    }
    Ok(header)
}

/// RFC 3501 6.4.5: a part that begins behind the end is empty, one that reaches beyond it is cut.
fn cut(span: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else {
        return span;
    };
    let start = span
        .start
        .saturating_add(u64::from(partial.first))
        .min(span.end);
    let end = start
        .saturating_add(u64::from(partial.length))
        .min(span.end);
    start..end
}

fn slice(bytes: &Bytes, range: Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(place(range.start)..place(range.end))
}

fn stored_section(section: &Section) -> facts::Section {
    let text = match &section.text {
        None => facts::SectionText::Whole,
        Some(SectionText::Header) => facts::SectionText::Header,
        Some(SectionText::Text) => facts::SectionText::Text,
        Some(SectionText::Mime) => facts::SectionText::Mime,
        Some(SectionText::HeaderFields { names, not }) => facts::SectionText::HeaderFields {
            names: names.iter().map(|name| name.as_str().to_owned()).collect(),
            select: if *not { Select::Except } else { Select::Only },
        },
    };
    facts::Section {
        part: section.path.clone(),
        text,
    }
}

/// LIM-29: bytes of a header whose fields are looked at.
const HEADER_BYTES_MAX: u64 = 1024 * 1024;
