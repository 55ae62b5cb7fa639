//! Binary messages for servers that take none (RFC 3030 3): parts that say they are binary are
//! written in base64, and say so (RFC 2045 6.2).
//!
//! Pure, in one pass over the message behind the one that found its structure; holds one header
//! and less than a line. All else stays as it is, byte for byte. Signatures over what is rewritten
//! do not hold any more; that is the price of arriving. Not here: line ends (`smtp::client`).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    header::Fields,
    mime::{PartKind, Scanned, Span},
};

/// What is rewritten of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan(Vec<Stretch>);

/// A run of bytes that is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    span: Span,
    act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// A header, which names this encoding instead.
    Rename(&'static str),
    /// A body, in base64.
    Encode,
}

impl Plan {
    /// For a message of this structure.
    pub fn of(scanned: &Scanned) -> Self {
        let mut stretches = Vec::new();
        for part in &scanned.parts {
            let binary = part.encoding.as_deref().is_some_and(is_binary);
            // Headers are held while they pass.
            if !binary || part.header.length > HEADER_BYTES_MAX {
                continue;
            }
            let leaf = part.kind == PartKind::Leaf;
            // RFC 2045 6.4: what has parts is not encoded itself.
            let name = if leaf { "base64" } else { "8bit" };
            stretches.push(Stretch {
                span: part.header,
                act: Act::Rename(name),
            });
            if leaf {
                stretches.push(Stretch {
                    span: part.body,
                    act: Act::Encode,
                });
            }
        }
        stretches.retain(|stretch| stretch.span.length > 0);
        stretches.sort_by_key(|stretch| stretch.span.offset);
        Self(stretches)
    }
}

/// Rewrites a message that comes in pieces.
#[derive(Debug)]
pub struct Converter {
    plan: Plan,
    /// Which stretch is next, or under way.
    next: usize,
    /// Bytes that have come.
    at: u64,
    /// Of the stretch under way: a header so far, or what makes no whole line yet.
    held: Vec<u8>,
    /// A line of the body under way was written.
    begun: bool,
    /// What stays as it is has a zero byte.
    nul: bool,
}

/// The message has a zero byte where it does not say that it is binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message holds a zero byte outside of its binary parts")]
pub struct Unfit;

impl Converter {
    /// Follows `plan`.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            next: 0,
            at: 0,
            held: Vec::new(),
            begun: false,
            nul: false,
        }
    }

    /// Appends what becomes of the next piece to `out`.
    pub fn feed(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        while !piece.is_empty() {
            let Some(stretch) = self.plan.0.get(self.next).copied() else {
                self.keep(piece, out);
                return;
            };
            let within = self.at >= stretch.span.offset;
            let end = if within {
                stretch.span.end()
            } else {
                stretch.span.offset
            };
            let left = usize::try_from(end.saturating_sub(self.at)).unwrap_or(usize::MAX);
            let (now, later) = piece.split_at(left.min(piece.len()));
            if within {
                self.rewrite(stretch.act, now, out);
                self.pass(now);
                if self.at >= end {
                    self.end_stretch(stretch.act, out);
                }
            } else {
                self.keep(now, out);
                self.pass(now);
            }
            piece = later;
        }
    }

    /// Appends the end.
    ///
    /// # Errors
    /// When it cannot be sent so: what was appended is of no use.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Unfit> {
        // A message that is shorter than its structure says.
        if let Some(stretch) = self.plan.0.get(self.next).copied()
            && self.at > stretch.span.offset
        {
            self.end_stretch(stretch.act, out);
        }
        if self.nul { Err(Unfit) } else { Ok(()) }
    }

    fn pass(&mut self, bytes: &[u8]) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(length);
    }

    fn keep(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.nul |= bytes.contains(&0);
        out.extend_from_slice(bytes);
    }

    fn rewrite(&mut self, act: Act, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        if let Act::Encode = act {
            let held = std::mem::take(&mut self.held);
            let mut lines = held.chunks_exact(LINE_OCTETS);
            for line in lines.by_ref() {
                self.line(line, out);
            }
            self.held = lines.remainder().to_vec();
        }
    }

    fn end_stretch(&mut self, act: Act, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        match act {
            Act::Rename(name) => {
                let renamed = renamed(&held, name);
                self.keep(&renamed, out);
            }
            Act::Encode if held.is_empty() => {}
            Act::Encode => self.line(&held, out),
        }
        self.begun = false;
        self.next = self.next.saturating_add(1);
    }

    /// RFC 2045 6.8. The last line has no end of its own: what follows a body begins with one (RFC
    /// 2046 5.1.1).
    fn line(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(STANDARD.encode(octets).as_bytes());
    }
}

/// A header with this encoding instead of those that it names.
fn renamed(header: &[u8], name: &str) -> Vec<u8> {
    let (mut out, mut kept) = (Vec::with_capacity(header.len()), 0);
    let mut said = false;
    for field in Fields::new(header) {
        if !field.is("Content-Transfer-Encoding") {
            continue;
        }
        out.extend_from_slice(header.get(kept..field.span.start).unwrap_or_default());
        if !std::mem::replace(&mut said, true) {
            let field = format!("Content-Transfer-Encoding: {name}\r\n");
            out.extend_from_slice(field.as_bytes());
        }
        kept = field.span.end;
    }
    out.extend_from_slice(header.get(kept..).unwrap_or_default());
    out
}

/// RFC 2045 6.1: the word, perhaps with a comment behind it.
fn is_binary(encoding: &[u8]) -> bool {
    let encoding = encoding.trim_ascii();
    let end = encoding
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b'(' | b';'));
    let word = encoding.get(..end.unwrap_or(encoding.len()));
    word.is_some_and(|word| word.eq_ignore_ascii_case(b"binary"))
}

/// LIM-29: longest header that is rewritten.
const HEADER_BYTES_MAX: u64 = 1 << 20;
/// RFC 2045 6.8: 76 characters.
const LINE_OCTETS: usize = 57;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mail::mime::{Bounds, Scanner};

    fn converted(message: &[u8], pieces: usize) -> (Vec<u8>, Result<(), Unfit>) {
        let mut scanner = Scanner::new(Bounds::default());
        scanner.feed(message);
        let mut converter = Converter::new(Plan::of(&scanner.finish()));
        let mut out = Vec::new();
        for piece in message.chunks(pieces.max(1)) {
            converter.feed(piece, &mut out);
        }
        let end = converter.finish(&mut out);
        (out, end)
    }

    fn text(message: &[u8]) -> String {
        let (out, end) = converted(message, usize::MAX);
        assert_eq!(end, Ok(()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn binary_parts_become_base64_and_the_rest_stays() {
        let single = b"A: b\r\ncontent-transfer-encoding : Binary (x)\r\nC: d\r\n\r\n\0\n\r.";
        assert_eq!(
            text(single),
            "A: b\r\nContent-Transfer-Encoding: base64\r\nC: d\r\n\r\nAAoNLg=="
        );
        let several = b"Content-Type: multipart/mixed; boundary=x\r\n\
            Content-Transfer-Encoding: binary\r\n\r\npre\r\n--x\r\n\
            Content-Transfer-Encoding: binary\r\n\r\n\0\r\n--x\r\n\r\nplain\n\r\n--x--\r\nend";
        assert_eq!(
            text(several),
            "Content-Type: multipart/mixed; boundary=x\r\n\
             Content-Transfer-Encoding: 8bit\r\n\r\npre\r\n--x\r\n\
             Content-Transfer-Encoding: base64\r\n\r\nAA==\r\n--x\r\n\r\nplain\n\r\n--x--\r\nend"
        );
        let plain = b"A: b\r\n\r\ntext\r\n";
        assert_eq!(text(plain).as_bytes(), plain);
        let long = [
            &b"Content-Transfer-Encoding: binary\r\n\r\n"[..],
            &[0_u8; 115],
        ]
        .concat();
        let lines: Vec<_> = text(&long).lines().map(str::len).collect();
        assert_eq!(lines, [33, 0, 76, 76, 4]);
    }

    #[test]
    fn lim_29_a_header_beyond_measure_is_not_rewritten() {
        let field = "A: b\r\n".repeat(200_000);
        let message = format!("{field}Content-Transfer-Encoding: binary\r\n\r\nx");
        assert_eq!(text(message.as_bytes()), message);
    }

    #[test]
    fn a_zero_byte_where_none_may_be_cannot_be_sent() {
        assert_eq!(converted(b"A: b\r\n\r\na\0b", 3).1, Err(Unfit));
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            body in proptest::collection::vec(any::<u8>(), 0..300), cut in 1_usize..80,
        ) {
            let head = &b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\
                Content-Transfer-Encoding: binary\r\n\r\n"[..];
            let message = [head, &body, b"\r\n--x--\r\n"].concat();
            prop_assert_eq!(converted(&message, cut), converted(&message, usize::MAX));
        }
    }
}
