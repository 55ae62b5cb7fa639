//! Content transfer encodings undone while the content passes by (RFC 2045 6, RFC 3516 4.3).
//!
//! Tolerant as the rest of this folder, and equal to it: what `charset` makes of a whole part is
//! made here of its pieces, however it is cut. Holds one line of quoted-printable at most.

use super::{body_text::TransferEncoding, charset};

/// Undoes one encoding.
#[derive(Debug)]
pub struct TransferDecoder {
    encoding: TransferEncoding,
    /// Of quoted-printable: the line that has not ended.
    line: Vec<u8>,
    /// Of base64: digits that are no three bytes yet, and how many.
    digits: (u32, u8),
}

impl TransferDecoder {
    /// At the beginning of a part.
    pub fn new(encoding: TransferEncoding) -> Self {
        Self {
            encoding,
            line: Vec::new(),
            digits: (0, 0),
        }
    }

    /// Appends to `out` what `piece` decodes to.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match self.encoding {
            TransferEncoding::Identity | TransferEncoding::Unknown => out.extend_from_slice(piece),
            TransferEncoding::Base64 => {
                for byte in piece {
                    self.base64(*byte, out);
                }
            }
            TransferEncoding::QuotedPrintable => {
                for part in piece.split_inclusive(|byte| *byte == b'\n') {
                    self.quoted_printable(part, out);
                }
            }
        }
    }

    /// Appends what is left at the end of the part.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.padding(out);
        let line = std::mem::take(&mut self.line);
        out.extend_from_slice(&charset::quoted_printable(&line));
    }

    fn base64(&mut self, byte: u8, out: &mut Vec<u8>) {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => return self.padding(out),
            _ => return,
        };
        let (bits, count) = self.digits;
        let bits = bits << 6 | u32::from(digit);
        self.digits = (bits, count + 1);
        if count == 3 {
            let [_, bytes @ ..] = bits.to_be_bytes();
            out.extend_from_slice(&bytes);
            self.digits = (0, 0);
        }
    }

    /// What digits before a padding, or the end, stand for.
    fn padding(&mut self, out: &mut Vec<u8>) {
        let (bits, count) = std::mem::take(&mut self.digits);
        let [_, first, second, _] = (bits << (6 * (4 - u32::from(count.min(4))))).to_be_bytes();
        match count {
            2 => out.push(first),
            3 => out.extend_from_slice(&[first, second]),
            // One digit alone carries six bits, less than a byte.
            _ => {}
        }
    }

    /// Takes up to one line.
    fn quoted_printable(&mut self, mut part: &[u8], out: &mut Vec<u8>) {
        while !part.is_empty() {
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            let (taken, rest) = part.split_at(part.len().min(room));
            self.line.extend_from_slice(taken);
            part = rest;
            if self.line.ends_with(b"\n") {
                out.extend_from_slice(&charset::quoted_printable(&self.line));
                self.line.clear();
            } else if self.line.len() == LINE_BYTES_MAX {
                // No line is as long (RFC 2045 6.7). Its first half is decoded as it stands, up
                // to an escape that the cut would fall into.
                let half = LINE_BYTES_MAX / 2;
                let before = self.line.get(..half).unwrap_or_default();
                let escape = before.iter().rev().take(2).position(|byte| *byte == b'=');
                let kept = self
                    .line
                    .split_off(half - escape.map_or(0, |back| back + 1));
                charset::hex_pairs(&self.line, b'=', out);
                self.line = kept;
            }
        }
    }
}

/// Bytes of a line of quoted-printable that is decoded as one.
const LINE_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded<'a>(
        encoding: TransferEncoding,
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<u8> {
        let mut decoder = TransferDecoder::new(encoding);
        let mut out = Vec::new();
        for piece in pieces {
            decoder.feed(piece, &mut out);
        }
        decoder.finish(&mut out);
        out
    }

    #[test]
    fn encodings_are_undone() {
        use TransferEncoding::{Base64, Identity, QuotedPrintable, Unknown};
        for (encoding, raw, content) in [
            (Identity, &b"a=3D\r\n"[..], &b"a=3D\r\n"[..]),
            (Unknown, b"a\r\n", b"a\r\n"),
            (Base64, b"aGVs\r\nbG8=", b"hello"),
            (Base64, b"aGVsbG8=aGVsbG8=", b"hellohello"),
            (Base64, b"AAA=", b"\0\0"),
            (Base64, b"a", b""),
            (QuotedPrintable, b"a=3Db=\r\nc  \r\n=00", b"a=bc\r\n\0"),
        ] {
            assert_eq!(decoded(encoding, [raw]), content, "{raw:?}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_not_held() {
        for before in ["", "a", "ab"] {
            let line = before.to_owned() + &"=41".repeat(LINE_BYTES_MAX);
            let mut decoder = TransferDecoder::new(TransferEncoding::QuotedPrintable);
            let mut out = Vec::new();
            decoder.feed(line.as_bytes(), &mut out);
            assert!(decoder.line.len() < LINE_BYTES_MAX && out.len() >= LINE_BYTES_MAX / 2);
            decoder.finish(&mut out);
            assert!(out == charset::quoted_printable(line.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn a_part_in_pieces_decodes_as_the_whole(
            raw in "([ -~\t]{0,20}(=[0-9A-F]{2}|=\r\n|\r\n|\n|= \n|==))*[a-z =]{0,5}",
            cuts in proptest::collection::vec(1_usize..9, 1..9),
        ) {
            let mut pieces = Vec::new();
            let (mut rest, mut cuts) = (raw.as_bytes(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            let whole = |encoding| match encoding {
                TransferEncoding::Base64 => charset::base64(raw.as_bytes()),
                _ => charset::quoted_printable(raw.as_bytes()),
            };
            for encoding in [TransferEncoding::Base64, TransferEncoding::QuotedPrintable] {
                prop_assert_eq!(decoded(encoding, pieces.iter().copied()), whole(encoding));
            }
        }
    }
}
