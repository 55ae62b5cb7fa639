//! Message bytes as they go through DATA or BDAT: RFC 5321 4.5.2 (transparency), 2.3.8 (lines),
//! RFC 3030 2.
//!
//! Pure. Whatever was stored, what is written has CRLF and only CRLF between lines and at the end,
//! and no line beyond 998 bytes, so none is refused for its length (LIM-12). For DATA there is a
//! dot before each dot that begins a line, and the final dot: no content can end DATA early, at any
//! server (smuggling). Chunks are counted and need neither; their lines are the same, because the
//! next server may send them on with DATA; only to one that takes binary content (RFC 3030 3) does
//! such content go as it is.

use crate::wire::fold::Fold;

/// Writes content, in any portions.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Breaks lines that are too long.
    fold: Fold,
    /// A CR was read whose LF, if there is one, is still to come.
    after_cr: bool,
    form: Form,
}

/// How content is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// By DATA: with dots.
    #[default]
    Dotted,
    /// By BDAT: in the same lines, without dots.
    Counted,
    /// By BDAT, as it is: binary content has no lines (RFC 3030 3).
    AsIs,
}

impl Encoder {
    /// For chunks.
    pub fn counted() -> Self {
        Self {
            form: Form::Counted,
            ..Self::default()
        }
    }

    /// For chunks of binary content.
    pub(super) fn as_is() -> Self {
        Self {
            form: Form::AsIs,
            ..Self::default()
        }
    }

    /// Appends the transparent form of `content` to `out`.
    pub fn encode(&mut self, content: &[u8], out: &mut Vec<u8>) {
        if self.form == Form::AsIs {
            out.extend_from_slice(content);
            return;
        }
        out.reserve(content.len() + 64);
        let mut rest = content;
        while let Some(byte) = rest.first().copied() {
            if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                // The CR before it has ended the line already.
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            match byte {
                b'\r' | b'\n' => {
                    self.fold.end_line(out);
                    self.after_cr = byte == b'\r';
                    rest = rest.get(1..).unwrap_or_default();
                }
                _ => {
                    let end = memchr::memchr2(b'\r', b'\n', rest);
                    let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
                    self.text(text, out);
                    rest = after;
                }
            }
        }
    }

    /// Appends what ends the content: the end of its last line, and for DATA the final dot on a
    /// line of its own.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.fold.at_start() {
            self.fold.end_line(out);
        }
        if self.form == Form::Dotted {
            out.extend_from_slice(b".\r\n");
        }
    }

    /// Text without line ends.
    fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.form == Form::Dotted && self.fold.at_start() && text.first() == Some(&b'.') {
            // RFC 5321 4.5.2. The doubled dot does not count for the length: the peer removes it.
            out.push(b'.');
        }
        self.fold.text(text, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::fold::LINE_BYTES_MAX;

    fn encoded(portions: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        for portion in portions {
            encoder.encode(portion, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn dots_and_line_ends_are_made_transparent() {
        for (content, wire) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".\r\n", b"..\r\n.\r\n"),
            (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"..a\r\n", b"...a\r\n.\r\n"),
            // Smuggling: none of these reaches a peer as it stands.
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\rb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n.\r\nMAIL", b"a\r\n..\r\nMAIL\r\n.\r\n"),
            (b"a\r\r\nb", b"a\r\n\r\nb\r\n.\r\n"),
            (b"a\r\n\n.\r\n", b"a\r\n\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(encoded(&[content]), wire, "{content:?}");
        }
    }

    #[test]
    fn chunks_have_the_same_lines_without_the_dots() {
        for (content, wire) in [
            (&b""[..], &b""[..]),
            (b"a", b"a\r\n"),
            (b".\r\n.", b".\r\n.\r\n"),
            (b"a\n.\nb\r.\r\r\n", b"a\r\n.\r\nb\r\n.\r\n\r\n"),
        ] {
            let (mut encoder, mut out) = (Encoder::counted(), Vec::new());
            encoder.encode(content, &mut out);
            encoder.finish(&mut out);
            assert_eq!(out, wire, "{content:?}");
        }
    }

    #[test]
    fn binary_content_goes_as_it_is() {
        let content = b"a\n.\r\0\rb";
        let (mut encoder, mut out) = (Encoder::as_is(), Vec::new());
        encoder.encode(content, &mut out);
        encoder.finish(&mut out);
        assert_eq!(out, content);
    }

    #[test]
    fn lim_12_no_line_beyond_998_is_sent() {
        let longest = |wire: &[u8]| {
            let lines = wire.split(|b| *b == b'\n');
            lines
                .map(|line| line.len().saturating_sub(1))
                .max()
                .unwrap()
        };
        for length in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX] {
            let line = vec![b'x'; length];
            assert_eq!(longest(&encoded(&[&line])), length);
        }
        let line = vec![b'x'; LINE_BYTES_MAX + 1];
        let wire = encoded(&[&line]);
        assert_eq!(longest(&wire), LINE_BYTES_MAX);
        assert!(wire.ends_with(b"x\r\n x\r\n.\r\n"));
        // Characters stay whole.
        let wide = "\u{20ac}".repeat(1000);
        let wire = String::from_utf8(encoded(&[wide.as_bytes()])).unwrap();
        assert!(longest(wire.as_bytes()) <= LINE_BYTES_MAX);
        assert_eq!(wire.matches('\u{20ac}').count(), 1000);
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing_and_the_wire_is_canonical(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    &b"\r"[..], b"\n", b"\r\n", b".", b"ab", b"\xe2\x82", b"\xac",
                    &[b'y'; 995], &[b'z'; 3],
                ]),
                0..24,
            ),
        ) {
            let whole = parts.concat();
            let wire = encoded(&parts);
            prop_assert_eq!(&wire, &encoded(&[&whole]));
            let bytes: Vec<_> = whole.chunks(1).collect();
            prop_assert_eq!(&wire, &encoded(&bytes));
            // Without its final dot, the wire has no lone CR or LF and no line that is just a dot.
            let body = wire.strip_suffix(b".\r\n").unwrap();
            let text = String::from_utf8_lossy(body).replace("\r\n", "\0");
            prop_assert!(!text.contains(['\r', '\n']));
            for line in text.split('\0') {
                prop_assert!(line != "." && line.len() <= 3 * LINE_BYTES_MAX);
            }
        }
    }
}
