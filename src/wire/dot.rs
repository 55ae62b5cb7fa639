//! Dot framing: lines, a lone dot at the end, leading dots doubled (RFC 5321 4.5.2, RFC 1939 3).
//!
//! Reading is strict, against smuggling: data ends only at the bytes CR LF "." CR LF, wherever the
//! input is split; a bare CR or LF never counts as a line end, is passed through as it is and is
//! reported, so the receiver can refuse the message after its real end. Writing takes canonical
//! CRLF text only.

use bytes::{BufMut, BytesMut};

/// Reads dot-framed data.
#[derive(Clone, Debug)]
pub struct DotReader {
    state: State,
    violations: Violations,
    line_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a line, after CRLF (or at the very beginning).
    LineStart,
    /// Within a line.
    Text,
    /// After CR within a line; the CR is not given out yet.
    Cr,
    /// After a dot at the start of a line; the dot is not given out yet.
    Dot,
    /// After dot and CR at the start of a line; neither is given out yet.
    DotCr,
    End,
}

/// What the data contained that SMTP forbids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// A CR that no LF follows (RFC 5321 2.3.8).
    pub bare_cr: bool,
    /// An LF that no CR precedes (RFC 5321 2.3.8).
    pub bare_lf: bool,
    /// A zero byte (RFC 5321 4.5.3.1 has no place for it; RFC 5322 4 calls it obsolete).
    pub nul: bool,
    /// Longest line in bytes, without its end (RFC 5321 4.5.3.1.6). Bare ones count as ends here:
    /// who does not refuse them makes line ends of them.
    pub longest_line_bytes: usize,
}

impl DotReader {
    /// Ready for the first line.
    pub fn new() -> Self {
        Self {
            state: State::LineStart,
            violations: Violations::default(),
            line_bytes: 0,
        }
    }

    /// Whether the lone dot was read.
    pub fn ended(&self) -> bool {
        self.state == State::End
    }

    /// What was found so far.
    pub fn violations(&self) -> Violations {
        self.violations
    }

    /// Consumes from `input`, appends the data to `out` until it holds `max` bytes, and returns how
    /// many input bytes were consumed. Stops right behind the final CRLF.
    pub fn read(&mut self, input: &[u8], max: usize, out: &mut BytesMut) -> usize {
        let mut rest = input;
        while !self.ended() && out.len() < max {
            let begins = self.state == State::LineStart && rest.first().is_some_and(is_plain);
            if begins || self.state == State::Text {
                let room = max - out.len();
                let (text, behind) = rest.split_at(self.lines(rest.get(..room).unwrap_or(rest)));
                out.put_slice(text);
                self.state = State::Text;
                rest = behind;
                if out.len() >= max {
                    break;
                }
            }
            let Some((byte, behind)) = rest.split_first() else {
                break;
            };
            rest = behind;
            self.byte(*byte, out);
        }
        input.len() - rest.len()
    }

    /// How much of `text`, which begins within a line, can be copied in one go: lines that end and
    /// begin as most do, up to the first special byte of another kind.
    fn lines(&mut self, text: &[u8]) -> usize {
        let mut begun = 0;
        for at in memchr::memchr3_iter(b'\r', b'\n', 0, text) {
            if at < begun {
                // The LF of a line end.
                continue;
            }
            self.line_bytes += at - begun;
            match text.get(at..) {
                Some([b'\r', b'\n', next, ..]) if is_plain(next) => {
                    self.end_measure();
                    begun = at + 2;
                }
                _ => return at,
            }
        }
        self.line_bytes += text.len() - begun;
        text.len()
    }

    fn byte(&mut self, byte: u8, out: &mut BytesMut) {
        match (self.state, byte) {
            (State::LineStart, b'.') => self.state = State::Dot,
            (State::LineStart | State::Text, b'\r') => self.state = State::Cr,
            (State::LineStart | State::Text, other) => self.plain(other, out),
            (State::Cr, b'\n') => {
                out.put_slice(b"\r\n");
                self.end_line();
            }
            (State::Cr, b'\r') => {
                self.bare_cr(out);
                self.state = State::Cr;
            }
            (State::Cr, other) => {
                self.bare_cr(out);
                self.plain(other, out);
            }
            (State::Dot, b'\r') => self.state = State::DotCr,
            // RFC 5321 4.5.2: a leading dot followed by anything else is removed.
            (State::Dot, other) => self.plain(other, out),
            (State::DotCr, b'\n') => {
                self.end_measure();
                self.state = State::End;
            }
            (State::DotCr, b'\r') => {
                self.bare_cr(out);
                self.state = State::Cr;
            }
            (State::DotCr, other) => {
                self.bare_cr(out);
                self.plain(other, out);
            }
            (State::End, _) => {}
        }
    }

    fn plain(&mut self, byte: u8, out: &mut BytesMut) {
        self.violations.nul |= byte == 0;
        out.put_u8(byte);
        if byte == b'\n' {
            self.violations.bare_lf = true;
            self.end_measure();
        } else {
            self.line_bytes += 1;
        }
        self.state = State::Text;
    }

    fn bare_cr(&mut self, out: &mut BytesMut) {
        self.violations.bare_cr = true;
        out.put_u8(b'\r');
        self.end_measure();
        self.state = State::Text;
    }

    fn end_line(&mut self) {
        self.end_measure();
        self.state = State::LineStart;
    }

    fn end_measure(&mut self) {
        let longest = &mut self.violations.longest_line_bytes;
        *longest = (*longest).max(self.line_bytes);
        self.line_bytes = 0;
    }
}

/// Whether a line may begin with this, and nothing is to be said of it.
fn is_plain(byte: &u8) -> bool {
    !matches!(byte, b'.' | b'\r' | b'\n' | 0)
}

impl Default for DotReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes dot-framed data from text whose lines end in CRLF.
#[derive(Clone, Debug)]
pub struct DotWriter {
    at_line_start: bool,
    /// The last two bytes; a line end before the first.
    last: [u8; 2],
}

impl DotWriter {
    /// At the beginning of the data.
    pub fn new() -> Self {
        Self {
            at_line_start: true,
            last: *b"\r\n",
        }
    }

    /// Appends `text` to `out` with leading dots doubled. Any LF counts as a line end here, so that
    /// what a lenient reader might take for a line start is protected too.
    pub fn write(&mut self, text: &[u8], out: &mut BytesMut) {
        let mut rest = text;
        while let Some(first) = rest.first() {
            if self.at_line_start && *first == b'.' {
                out.put_u8(b'.');
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
            let (line, behind) = rest.split_at(end);
            out.put_slice(line);
            self.at_line_start = line.last() == Some(&b'\n');
            self.last = match *line {
                [.., before, last] => [before, last],
                [only] => [self.last[1], only],
                [] => self.last,
            };
            rest = behind;
        }
    }

    /// Ends the data: a line end if the text had none, then the lone dot. A bare LF is none: strict
    /// readers wait for CRLF, dot, CRLF.
    pub fn finish(self, out: &mut BytesMut) {
        match self.last {
            [b'\r', b'\n'] => {}
            [_, b'\r'] => out.put_slice(b"\n"),
            _ => out.put_slice(b"\r\n"),
        }
        out.put_slice(b".\r\n");
    }
}

impl Default for DotWriter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8]) -> (Vec<u8>, usize, DotReader) {
        let (mut reader, mut out) = (DotReader::new(), BytesMut::new());
        let taken = reader.read(input, usize::MAX, &mut out);
        (out.to_vec(), taken, reader)
    }

    #[test]
    fn data_ends_only_at_crlf_dot_crlf() {
        for (input, data, ended) in [
            (&b".\r\n"[..], &b""[..], true),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", true),
            (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n", true),
            (b"a\n.\r\nb", b"a\n.\r\nb", false),
            (b"a\n.\nb", b"a\n.\nb", false),
            (b"a\r\n.\nb", b"a\r\n\nb", false),
            (b"a\r\n.\rb", b"a\r\n\rb", false),
            (b"a\r.\r\n", b"a\r.\r\n", false),
            (b"a\r\r\n.\r\n", b"a\r\r\n", true),
            (b"a\r\n.\r\r\n.\r\n", b"a\r\n\r\r\n", true),
            (b"\r\n.\r\n", b"\r\n", true),
        ] {
            let (out, _, reader) = read(input);
            assert_eq!((out.as_slice(), reader.ended()), (data, ended), "{input:?}");
        }
        assert_eq!(read(b"a\r\n.\r\nQUIT\r\n").1, 6);
    }

    #[test]
    fn written_data_ends_at_a_whole_line_however_it_is_cut() {
        for (text, framed) in [
            (&b""[..], &b".\r\n"[..]),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b"a\r", b"a\r\n.\r\n"),
            (b"a\n", b"a\n\r\n.\r\n"),
            (b"\n", b"\n\r\n.\r\n"),
            (b".\n.a\r\n", b"..\n..a\r\n.\r\n"),
        ] {
            for cut in 0..=text.len() {
                let (mut writer, mut out) = (DotWriter::new(), BytesMut::new());
                writer.write(&text[..cut], &mut out);
                writer.write(&text[cut..], &mut out);
                writer.finish(&mut out);
                assert_eq!(out, framed, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn forbidden_bytes_and_the_longest_line_are_reported() {
        assert!(read(b"a\nb\r\n.\r\n").2.violations().bare_lf);
        assert!(read(b"a\rb\r\n.\r\n").2.violations().bare_cr);
        assert!(read(b"a\r\n.\rb\r\n.\r\n").2.violations().bare_cr);
        assert!(read(b"\0\r\n.\r\n").2.violations().nul);
        let clean = read(b"ab\r\nabcd\r\n\r\n.\r\n").2.violations();
        assert_eq!(
            clean,
            Violations {
                longest_line_bytes: 4,
                ..Violations::default()
            }
        );
    }

    #[test]
    fn lim_12_a_line_is_measured_up_to_any_end() {
        for (input, longest) in [
            (&b"ab\nabc\na\r\n.\r\n"[..], 3),
            (b"ab\rabc\ra\r\n.\r\n", 3),
            (b"ab\r\rabcd\r\n.\r\n", 4),
            (b"ab\r\n.\rabcd\r\n.\r\n", 4),
            (b"abc", 0),
        ] {
            let found = read(input).2.violations().longest_line_bytes;
            assert_eq!(found, longest, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            bytes in proptest::collection::vec(
                prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(0), Just(b'a')], 0..60),
            cuts in proptest::collection::vec(1_usize..7, 1..30),
            max in 1_usize..9,
        ) {
            let (expected, taken, whole) = read(&bytes);
            let (mut reader, mut found, mut rest) = (DotReader::new(), Vec::new(), &bytes[..]);
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() && !reader.ended() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                let mut offered = &rest[..cut];
                while !offered.is_empty() && !reader.ended() {
                    let mut out = BytesMut::new();
                    let used = reader.read(offered, max, &mut out);
                    found.extend_from_slice(&out);
                    offered = &offered[used..];
                    rest = &rest[used..];
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(bytes.len() - rest.len(), taken);
            prop_assert_eq!(reader.violations(), whole.violations());
        }

        #[test]
        fn reading_undoes_writing(
            lines in proptest::collection::vec("[.a]{0,4}", 0..12), cut in 0_usize..40,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let (a, b) = text.as_bytes().split_at(cut.min(text.len()));
            let (mut writer, mut framed) = (DotWriter::new(), BytesMut::new());
            writer.write(a, &mut framed);
            writer.write(b, &mut framed);
            writer.finish(&mut framed);
            let (data, taken, reader) = read(&framed);
            prop_assert_eq!(data, text.as_bytes());
            prop_assert_eq!(taken, framed.len());
            prop_assert!(reader.ended());
        }
    }
}
