//! The MIME structure of a message, found in one pass over its bytes.
//!
//! RFC 2045, 2046, 2183, 3282, 5322, 6532. [`Scanner`] takes a message in pieces of any size and
//! gives [`Scanned`]: an arena of parts, in which a parent stands before its children, with the
//! place of each in the message. It holds one header field and the beginning of one line, never a
//! body. What exceeds a bound becomes an opaque part; nothing is an error, and the message stays
//! as it is. Not here: how IMAP writes a structure (`mail::imap_text`) and stores it
//! (`mail::facts`).

mod addresses;
mod bounds;
mod content;
mod fields;
mod lexer;
mod line;
mod scanner;

pub use self::{
    addresses::{AddressEntry, Mailbox, parse_addresses},
    bounds::{Bounds, EnvelopeBounds},
    content::{ContentType, Disposition, Parameter},
    scanner::Scanner,
};

/// A run of bytes of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where it begins, from the first byte of the message.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
}

impl Span {
    /// The offset after its last byte.
    pub fn end(self) -> u64 {
        self.offset.saturating_add(self.length)
    }

    /// From `start` up to `end`; empty when that lies before it.
    pub fn between(start: u64, end: u64) -> Self {
        Self {
            offset: start,
            length: end.saturating_sub(start),
        }
    }
}

/// What a part may contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// No other part.
    #[default]
    Leaf,
    /// Parts between boundaries, at least one.
    Multipart,
    /// A message, which is its only child.
    Message,
}

/// One part of a message; the first is the message itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The part around it; `None` only for the first one. Always less than its own index.
    pub parent: Option<usize>,
    /// What it may contain.
    pub kind: PartKind,
    /// Its header, with the empty line if it has one.
    pub header: Span,
    /// Its body, without the line break that belongs to a boundary (RFC 2046 5.1.1).
    pub body: Span,
    /// Line feeds in its body.
    pub lines: u64,
    /// Its type; never absent once the part is complete.
    pub content_type: ContentType,
    /// Content-ID.
    pub id: Option<Text>,
    /// Content-Description, not decoded.
    pub description: Option<Text>,
    /// Content-Transfer-Encoding.
    pub encoding: Option<Text>,
    /// Content-Disposition.
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub languages: Vec<Text>,
    /// Content-Location.
    pub location: Option<Text>,
    /// Content-MD5.
    pub md5: Option<Text>,
    /// The envelope fields, when this is a message: the first part, or the child of a message part.
    pub envelope: Option<Box<EnvelopeFields>>,
}

/// Bytes of a header field: unfolded, without NUL, perhaps not ASCII, not decoded.
pub type Text = Box<[u8]>;

/// The fields of a message header that IMAP's ENVELOPE shows, unfolded and not decoded.
/// Of fields that may stand once the first counts; address fields that stand twice are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvelopeFields {
    /// Date.
    pub date: Option<Text>,
    /// Subject.
    pub subject: Option<Text>,
    /// From.
    pub from: Option<Text>,
    /// Sender.
    pub sender: Option<Text>,
    /// Reply-To.
    pub reply_to: Option<Text>,
    /// To.
    pub to: Option<Text>,
    /// Cc.
    pub cc: Option<Text>,
    /// Bcc.
    pub bcc: Option<Text>,
    /// In-Reply-To.
    pub in_reply_to: Option<Text>,
    /// Message-ID.
    pub message_id: Option<Text>,
    /// References, which ENVELOPE does not show but THREAD needs; of a long one the end.
    pub references: Option<Text>,
    /// A field was too long and has been cut.
    pub cut: bool,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// All parts, parents first; the first is the message.
    pub parts: Vec<Part>,
    /// Bytes of the message.
    pub size: u64,
    /// Line feeds in the message.
    pub lines: u64,
    /// What `mail::excerpt` keeps of its header.
    pub excerpt: Option<Text>,
}

impl Scanned {
    /// Bytes of the message's header, with its empty line.
    pub fn header_length(&self) -> u64 {
        self.parts.first().map_or(0, |root| root.header.length)
    }

    /// What a scan finds when `length` bytes of fields stand before the header. They are fields
    /// that are no part of the structure or of the envelope; `top` and what else is told of lines
    /// and bytes is still of what was scanned.
    #[must_use]
    pub fn behind(mut self, length: u64) -> Self {
        self.size = self.size.saturating_add(length);
        for part in &mut self.parts {
            let at = match part.parent {
                // The fields become part of the first header.
                None => &mut part.header.length,
                Some(_) => &mut part.header.offset,
            };
            *at = at.saturating_add(length);
            part.body.offset = part.body.offset.saturating_add(length);
        }
        self
    }
}
