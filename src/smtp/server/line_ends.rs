//! Line ends of submitted messages: a bare CR or LF becomes CRLF. Pure.
//!
//! Done before anything looks at the message, so that everyone after it sees the same lines
//! (`quirk::BARE_LINE_ENDS_ON_SUBMISSION`). The end of data was found before, strictly.

use bytes::{BufMut, Bytes, BytesMut};

/// Makes all line ends CRLF, piece by piece.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    /// The last byte was a CR whose LF, if it has one, is still to come. Its line end was written.
    after_cr: bool,
}

impl LineEnds {
    /// The next piece with CRLF for every line end; the piece itself when nothing was to be done.
    pub(super) fn push(&mut self, piece: Bytes) -> Bytes {
        if !self.after_cr && is_canonical(&piece) {
            return piece;
        }
        let mut out = BytesMut::with_capacity(piece.len().saturating_add(64));
        for byte in &piece {
            match (*byte, std::mem::take(&mut self.after_cr)) {
                (b'\n', true) => {}
                (b'\n', false) => out.put_slice(b"\r\n"),
                (b'\r', _) => {
                    out.put_slice(b"\r\n");
                    self.after_cr = true;
                }
                (other, _) => out.put_u8(other),
            }
        }
        out.freeze()
    }
}

/// Whether each CR has its LF within the piece, and each LF its CR.
fn is_canonical(piece: &[u8]) -> bool {
    let mut before = 0;
    for byte in piece {
        if (*byte == b'\n') != (before == b'\r') {
            return false;
        }
        before = *byte;
    }
    before != b'\r'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(text: &[u8]) -> Vec<u8> {
        LineEnds::default()
            .push(Bytes::copy_from_slice(text))
            .to_vec()
    }

    #[test]
    fn quirk_bare_line_ends_become_crlf() {
        for (text, canonical) in [
            ("a\r\nb\r\n", "a\r\nb\r\n"),
            ("a\nb\r\n", "a\r\nb\r\n"),
            ("a\rb\r\n", "a\r\nb\r\n"),
            ("a\r\r\n", "a\r\n\r\n"),
            ("a\n\nb", "a\r\n\r\nb"),
            ("a\n\rb", "a\r\n\r\nb"),
            ("a\n.\nb\r\n", "a\r\n.\r\nb\r\n"),
            ("", ""),
        ] {
            assert_eq!(whole(text.as_bytes()), canonical.as_bytes(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            text in "[ab\r\n]{0,40}", cuts in proptest::collection::vec(1_usize..6, 1..20),
        ) {
            let (mut ends, mut found) = (LineEnds::default(), Vec::new());
            let mut rest = text.as_bytes();
            let mut cuts = cuts.iter().cycle();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                found.extend_from_slice(&ends.push(Bytes::copy_from_slice(now)));
                rest = later;
            }
            prop_assert_eq!(&found, &whole(text.as_bytes()));
            // What comes out stays as it is.
            prop_assert_eq!(whole(&found), found);
        }
    }
}
