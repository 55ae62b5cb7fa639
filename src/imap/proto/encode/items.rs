//! FETCH responses in wire form (RFC 3501 7.4.2), item by item, without a value in between.

use super::astring;
use crate::{
    imap::proto::section::{Section, SectionText},
    wire::Output,
};

/// The items of one FETCH response, with spaces between them. What goes to its [`Items::item`]
/// begins with the item's name.
#[derive(Debug)]
pub struct Items<'o> {
    out: &'o mut Output,
    separator: &'static [u8],
}

/// How a FETCH response names its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageName {
    /// By its message number.
    Number(u32),
    /// By its UID, to a client without message numbers (RFC 9586).
    Uid(u32),
}

impl<'o> Items<'o> {
    /// `* n FETCH (`, or `* n UIDFETCH (`
    pub fn begin(out: &'o mut Output, message: MessageName) -> Self {
        let (number, what) = match message {
            MessageName::Number(number) => (number, " FETCH ("),
            MessageName::Uid(uid) => (uid, " UIDFETCH ("),
        };
        out.bytes(b"* ").number(u64::from(number)).text(what);
        Self {
            out,
            separator: b"",
        }
    }

    /// Where the next item goes.
    pub fn item(&mut self) -> &mut Output {
        self.out.bytes(std::mem::replace(&mut self.separator, b" "))
    }

    /// `)` and the line end.
    pub fn end(self) {
        self.out.bytes(b")\r\n");
    }
}

/// `BODY[...]<origin>` and a space: what stands before the octets of a section (RFC 3501 7.4.2).
pub fn section_label(out: &mut Output, section: &Section, origin: Option<u64>) {
    out.bytes(b"BODY[");
    let mut separator: &[u8] = b"";
    for number in &section.path {
        out.bytes(separator).number(u64::from(*number));
        separator = b".";
    }
    if let Some(text) = &section.text {
        out.bytes(separator);
        section_text(out, text);
    }
    out.bytes(b"]");
    if let Some(origin) = origin {
        out.bytes(b"<").number(origin).bytes(b">");
    }
    out.bytes(b" ");
}

/// `BINARY[...]<origin>` or `BINARY.SIZE[...]`, and a space (RFC 3516 4.3).
pub fn binary_label(out: &mut Output, name: &str, path: &[u32], origin: Option<u64>) {
    out.text(name).bytes(b"[");
    let mut separator: &[u8] = b"";
    for number in path {
        out.bytes(separator).number(u64::from(*number));
        separator = b".";
    }
    out.bytes(b"]");
    if let Some(origin) = origin {
        out.bytes(b"<").number(origin).bytes(b">");
    }
    out.bytes(b" ");
}

fn section_text(out: &mut Output, text: &SectionText) {
    match text {
        SectionText::Header => out.bytes(b"HEADER"),
        SectionText::Text => out.bytes(b"TEXT"),
        SectionText::Mime => out.bytes(b"MIME"),
        SectionText::HeaderFields { names, not } => {
            out.bytes(if *not {
                b"HEADER.FIELDS.NOT (".as_slice()
            } else {
                b"HEADER.FIELDS ("
            });
            let mut separator: &[u8] = b"";
            for name in names {
                out.bytes(separator);
                astring(out, name.as_str().as_bytes());
                separator = b" ";
            }
            out.bytes(b")")
        }
    };
}

/// `~{n}` and a line end; that many octets must follow, and there may be NUL among them.
pub fn literal8_header(out: &mut Output, octets: u64) {
    out.bytes(b"~");
    literal_header(out, octets);
}

/// `{n}` and a line end; that many octets must follow.
pub fn literal_header(out: &mut Output, octets: u64) {
    out.bytes(b"{").number(octets).bytes(b"}\r\n");
}
