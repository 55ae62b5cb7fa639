//! The bytes of messages that FETCH sends: BODY[...], BINARY[...], RFC822, RFC822.HEADER,
//! RFC822.TEXT.
//!
//! RFC 3501 6.4.5. A section is a span of the stored message, so it is copied from the store to the
//! client piece by piece. Only HEADER.FIELDS is made here, from one header. The length is said
//! before the bytes: when the store then fails in the middle, the connection ends.

use std::{io, ops::Range, sync::atomic::AtomicU64};

use bytes::Bytes;

use super::{
    fetch_binary::{self, Decoded},
    limits::DECODED_BYTES_HELD,
};
use crate::{
    base::{future::BoxFuture, pieces::Pieces},
    imap::proto::{
        dialog::Imap,
        encode::{binary_label, literal_header, literal8_header, section_label},
        fetch::FetchItem,
        section::{Partial, Section, SectionText},
    },
    mail::{
        excerpt,
        facts::{self, Facts},
        header::{Select, select_fields},
        imap_text,
        texts::HEADER_BYTES_MAX,
    },
    mailbox::{BodyPieces, Email, Mailboxes},
    net::{Gone, Turn, turn::Outgoing},
    store::ReadError,
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
    /// `BINARY[...]<...>`
    Binary(Vec<u32>),
    /// `BINARY.SIZE[...]`
    BinarySize(Vec<u32>),
}

/// The message that sections are taken from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) mailboxes: &'a Mailboxes,
    pub(super) email: &'a Email,
    pub(super) facts: &'a Facts,
    /// What the command has read only to know sizes (LIM-25).
    pub(super) sized: &'a AtomicU64,
}

/// A section of one message, ready to be sent.
pub(super) struct Opened<'a> {
    wanted: &'a Wanted,
    content: Content,
}

enum Content {
    /// Opened when its turn comes: those before it hold enough memory (LIM-36).
    Later,
    /// There is no such section.
    Nil,
    Made(Bytes),
    Stored(Stored),
    Decoded(Decoded),
    Number(u64),
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
        let labelled = |label, text| Self {
            label,
            section: facts::Section {
                part: Vec::new(),
                text,
            },
            partial: None,
        };
        let named = |name, text| labelled(Label::Name(name), text);
        let whole = facts::SectionText::Whole;
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
            FetchItem::Binary { path, partial, .. } => Self {
                partial: *partial,
                ..labelled(Label::Binary(path.clone()), whole)
            },
            FetchItem::BinarySize { path } => labelled(Label::BinarySize(path.clone()), whole),
            _ => return None,
        })
    }

    /// Ready to be sent; what is decoded may be kept up to `held_max` bytes.
    async fn content(&self, source: Source<'_>, held_max: usize) -> io::Result<Content> {
        let Source {
            mailboxes,
            email,
            facts,
            ..
        } = source;
        match &self.label {
            Label::Binary(path) => {
                let decoded = fetch_binary::decode(source, path, self.partial, held_max).await?;
                return Ok(decoded.map_or(Content::Nil, Content::Decoded));
            }
            Label::BinarySize(path) => {
                return Ok(Content::Number(fetch_binary::size(source, path).await?));
            }
            Label::Name(_) | Label::Section(_) => {}
        }
        let Some(span) = facts.section(&self.section) else {
            return Ok(Content::Nil);
        };
        let span = span.offset..span.end();
        let facts::SectionText::HeaderFields { names, select } = &self.section.text else {
            let span = cut(span, self.partial);
            return Ok(Content::Stored(Stored::open(mailboxes, email, span).await?));
        };
        let made = self.excerpted(facts, names, *select);
        if let Some(made) = made {
            return Ok(self.made(&made));
        }
        // LIM-29: what is longer is not looked at.
        let end = span.end.min(span.start.saturating_add(HEADER_BYTES_MAX));
        let mut header = mailboxes.body(email.blob, span.start..end).whole().await?;
        if end < span.end {
            header.extend_from_slice(b"\r\n\r\n");
        }
        Ok(self.made(&select_fields(&header, names, *select)))
    }

    /// The fields, when what is kept of the message's header tells them.
    fn excerpted(&self, facts: &Facts, names: &[String], select: Select) -> Option<Vec<u8>> {
        let excerpt = facts.excerpt.as_deref()?;
        let of_message = self.section.part.is_empty();
        of_message.then(|| excerpt::select(excerpt, names, select))?
    }

    /// RFC 3501 6.4.5: the part is cut from the selected fields.
    fn made(&self, fields: &[u8]) -> Content {
        let range = cut(0..fields.len() as u64, self.partial);
        Content::Made(slice(fields, range))
    }

    async fn send_decoded(
        &self,
        decoded: Decoded,
        source: Source<'_>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Gone> {
        let out = turn.output();
        match decoded.has_nul {
            // RFC 3516 4.3
            true => literal8_header(out, decoded.length),
            false => literal_header(out, decoded.length),
        }
        if let Some(small) = &decoded.small {
            out.bytes(small);
            return turn.make_room().await;
        }
        let Label::Binary(path) = &self.label else {
            return Ok(());
        };
        let again = fetch_binary::decode_again(source, path, self.partial);
        match again.map_err(Gone::Source)? {
            Some(mut octets) => turn.send_body(&mut octets, Outgoing::Octets).await,
            None => Ok(()),
        }
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

impl Content {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Later | Self::Nil | Self::Number(_) => 0,
            Self::Decoded(decoded) => decoded.small.as_ref().map_or(0, Bytes::len),
            Self::Made(bytes) => bytes.len(),
            Self::Stored(stored) => stored.first.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// Makes the sections of a message ready, as far as the memory for them goes.
pub(super) async fn open<'a>(
    source: Source<'_>,
    wanted: &'a [Wanted],
) -> io::Result<Vec<Opened<'a>>> {
    let mut opened = Vec::with_capacity(wanted.len());
    let mut held = 0_usize;
    for wanted in wanted {
        let content = match &wanted.label {
            Label::Name(_) | Label::Section(_) if held >= HELD_BYTES_MAX => Content::Later,
            // What cannot be decoded must be known before anything is said (RFC 3516 4.3).
            _ => {
                let room = HELD_BYTES_MAX.saturating_sub(held);
                wanted.content(source, room.min(DECODED_BYTES_HELD)).await?
            }
        };
        held = held.saturating_add(content.held_bytes());
        opened.push(Opened { wanted, content });
    }
    Ok(opened)
}

impl Opened<'_> {
    /// Sends the section as an item of the FETCH response that has begun.
    pub(super) async fn send(
        self,
        source: Source<'_>,
        turn: &mut Turn<'_, Imap>,
    ) -> Result<(), Gone> {
        let content = match self.content {
            Content::Later => {
                let content = turn.unless_gone(self.wanted.content(source, 0)).await;
                content.map_err(Gone::amid)?.map_err(Gone::Source)?
            }
            ready => ready,
        };
        let Wanted { label, partial, .. } = self.wanted;
        let out = turn.output();
        match label {
            Label::Name(name) => {
                out.text(name).bytes(b" ");
            }
            Label::Section(section) => {
                section_label(out, section, partial.map(|partial| partial.first));
            }
            Label::Binary(path) => {
                let origin = partial.map(|partial| partial.first);
                binary_label(out, "BINARY", path, origin);
            }
            Label::BinarySize(path) => binary_label(out, "BINARY.SIZE", path, None),
        }
        match content {
            Content::Nil | Content::Later => {
                out.bytes(b"NIL");
                Ok(())
            }
            Content::Made(bytes) => {
                literal_header(out, bytes.len() as u64);
                out.bytes(&bytes);
                turn.make_room().await
            }
            Content::Number(number) => {
                out.number(number);
                Ok(())
            }
            Content::Decoded(decoded) => self.wanted.send_decoded(decoded, source, turn).await,
            Content::Stored(mut stored) => {
                literal_header(out, stored.length);
                turn.send_body(&mut stored, Outgoing::Octets).await
            }
        }
    }
}

/// A part of a message as CATENATE copies it: its length and its bytes (RFC 4469 3); none when
/// there is no such part.
pub(super) async fn part(
    source: Source<'_>,
    section: &Section,
    partial: Option<Partial>,
) -> io::Result<Option<(u64, Box<dyn Pieces>)>> {
    let wanted = Wanted {
        label: Label::Name(""),
        section: stored_section(section),
        partial,
    };
    Ok(match wanted.content(source, 0).await? {
        Content::Later | Content::Nil | Content::Decoded(_) | Content::Number(_) => None,
        Content::Made(bytes) => {
            let length = bytes.len() as u64;
            let first = Some(bytes);
            let rest = source.mailboxes.body(source.email.blob, 0..0);
            Some((
                length,
                Box::new(Stored {
                    length,
                    first,
                    rest,
                }),
            ))
        }
        Content::Stored(stored) => Some((stored.length, Box::new(stored))),
    })
}

/// The envelope of a message as its header has it, which is more than what is stored of it.
pub(super) async fn whole_envelope(source: Source<'_>) -> io::Result<Vec<u8>> {
    let Source {
        mailboxes,
        email,
        facts,
        ..
    } = source;
    // LIM-29: one more byte, so that a field that is not whole is not looked at.
    let end = facts.header_length().min(HEADER_BYTES_MAX + 1);
    let header = mailboxes.body(email.blob, 0..end).whole().await?;
    Ok(imap_text::whole_envelope(&header))
}

/// Whether reading again would not help: what is stored is damaged or gone (DUR-09).
pub(super) fn is_damage(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(ReadError::Damaged(_) | ReadError::NoSuchBody))
}

/// RFC 3501 6.4.5: a part that begins behind the end is empty, one that reaches beyond it is cut.
pub(super) fn cut(span: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else {
        return span;
    };
    let start = span.start.saturating_add(partial.first).min(span.end);
    let end = start.saturating_add(partial.length).min(span.end);
    start..end
}

/// A copy: a share would keep all of what it is a part of in memory.
fn slice(bytes: &[u8], range: Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    Bytes::copy_from_slice(
        bytes
            .get(place(range.start)..place(range.end))
            .unwrap_or_default(),
    )
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

/// LIM-36: bytes of opened sections after which the next ones wait for their turn.
const HELD_BYTES_MAX: usize = 2 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_section_are_cut_at_its_end() {
        let partial = |first, length| Some(Partial { first, length });
        for (asked, found) in [
            (None, 10..30),
            (partial(0, 5), 10..15),
            (partial(0, 20), 10..30),
            (partial(0, u64::MAX), 10..30),
            (partial(19, 1), 29..30),
            (partial(19, 9), 29..30),
            (partial(20, 1), 30..30),
            (partial(u64::MAX, u64::MAX), 30..30),
        ] {
            assert_eq!(cut(10..30, asked), found, "{asked:?}");
        }
        assert_eq!(slice(b"abc", 1..9), "bc");
    }
}
