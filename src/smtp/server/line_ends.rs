//! Lines of submitted messages: a bare CR or LF becomes CRLF, and a line that is too long to be
//! sent on is folded as it would be then (LIM-12). Pure.
//!
//! Done before anything looks at the message, so that everyone after it sees the same lines
//! (`quirk::BARE_LINE_ENDS_ON_SUBMISSION`): what is stored and signed is what is sent. The end of
//! data was found before, strictly.

use bytes::Bytes;

use crate::wire::fold::Fold;

/// Makes all line ends CRLF and all lines short, piece by piece.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    /// The last byte was a CR whose LF, if it has one, is still to come. Its line end was written.
    after_cr: bool,
    fold: Fold,
}

impl LineEnds {
    /// The next piece with CRLF for every line end, in lines that can be sent; the piece itself
    /// when nothing was to be done.
    pub(super) fn push(&mut self, piece: Bytes) -> Bytes {
        if !self.after_cr && is_canonical(&piece) && self.fold.pass(&piece) {
            return piece;
        }
        let mut out = Vec::with_capacity(piece.len().saturating_add(64));
        for byte in &piece {
            match (*byte, std::mem::take(&mut self.after_cr)) {
                (b'\n', true) => {}
                (b'\n', false) => self.fold.end_line(&mut out),
                (b'\r', _) => {
                    self.fold.end_line(&mut out);
                    self.after_cr = true;
                }
                (other, _) => self.fold.text(&[other], &mut out),
            }
        }
        out.into()
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

    #[test]
    fn lim_12_lines_are_folded_before_anybody_looks_at_them() {
        let long = "x".repeat(2000);
        let folded = format!(
            "{}\r\n {}\r\n {}\r\n",
            &long[..998],
            &long[..997],
            &long[..5]
        );
        let text = format!("{long}\r\n");
        assert_eq!(whole(text.as_bytes()), folded.as_bytes());
        assert_eq!(whole(folded.as_bytes()), folded.as_bytes());
        let (mut ends, mut found) = (LineEnds::default(), Vec::new());
        for piece in text.as_bytes().chunks(300) {
            found.extend_from_slice(&ends.push(Bytes::copy_from_slice(piece)));
        }
        assert_eq!(found, folded.as_bytes());
    }

    proptest! {
        #[test]
        fn splitting_input_changes_nothing(
            few in "[ab\r\n]{0,40}",
            many in 960_usize..1030,
            cuts in proptest::collection::vec(1_usize..6, 1..20),
        ) {
            let text = format!("{few}{}\u{20ac}\u{e9}{few}", "c".repeat(many));
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
