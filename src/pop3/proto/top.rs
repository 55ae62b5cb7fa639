//! Which octets TOP sends: the header, the empty line, and the first lines of the body (RFC 1939
//! 7).

/// Cuts a message that passes through in pieces.
#[derive(Clone, Debug)]
pub struct Top {
    in_header: bool,
    body_lines_left: u64,
    /// Nothing stands on the current line yet but perhaps a CR.
    line_is_empty: bool,
}

impl Top {
    /// Keeps the header and `lines` lines of the body.
    pub fn new(lines: u64) -> Self {
        Self {
            in_header: true,
            body_lines_left: lines,
            line_is_empty: true,
        }
    }

    /// How many bytes of `piece`, the next part of the message, are to be sent. Less than all of
    /// them means that the rest of the message is not.
    pub fn keep(&mut self, piece: &[u8]) -> usize {
        for (at, byte) in piece.iter().enumerate() {
            if !self.in_header && self.body_lines_left == 0 {
                return at;
            }
            match byte {
                b'\n' if self.in_header => {
                    self.in_header = !self.line_is_empty;
                    self.line_is_empty = true;
                }
                b'\n' => self.body_lines_left -= 1,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        piece.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn top_keeps_the_header_the_empty_line_and_the_lines_asked_for() {
        let message = b"A: 1\r\nB: 2\r\n\r\none\r\n\r\nthree\r\n";
        for (lines, kept) in [(0, 14), (1, 19), (2, 21), (3, 28), (9, 28)] {
            assert_eq!(Top::new(lines).keep(message), kept, "{lines}");
        }
        assert_eq!(Top::new(0).keep(b"A: 1\r\n"), 6);
        assert_eq!(Top::new(0).keep(b"\r\nbody"), 2);
        assert_eq!(Top::new(5).keep(b""), 0);
    }

    proptest! {
        #[test]
        fn splitting_the_message_changes_nothing(
            message in "([ab]?\r?\n?){0,12}", lines in 0_u64..4, cut in 0_usize..20,
        ) {
            let whole = Top::new(lines).keep(message.as_bytes());
            let (a, b) = message.as_bytes().split_at(cut.min(message.len()));
            let mut top = Top::new(lines);
            let first = top.keep(a);
            let both = if first < a.len() { first } else { first + top.keep(b) };
            prop_assert_eq!(both, whole);
        }
    }
}
