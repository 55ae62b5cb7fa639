//! How the end of an incoming body is known: by its own last line (DATA), or by a count (APPEND,
//! BDAT).

use bytes::{Bytes, BytesMut};

use super::{
    dot::{DotReader, Violations},
    input::{Input, Line},
};

/// Longest piece of a body handed out at once, in bytes.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A body being received.
#[derive(Debug)]
pub enum Frame {
    /// Ends at CRLF "." CRLF (RFC 5321 4.1.1.4).
    Dot(DotReader),
    /// Ends after this many more octets (RFC 3501 4.3).
    Octets(u64),
    /// Ends after this many more octets and the line end that must follow them (RFC 3501 6.3.11).
    Literal {
        /// Octets still to come.
        left: u64,
        /// How the line behind them turned out.
        behind: Behind,
    },
}

/// The line behind a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Not read yet.
    Unread,
    /// Nothing but its end.
    Empty,
    /// Text, which was dropped.
    Text,
}

/// What a frame gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// Some of the body, never empty.
    Piece(Bytes),
    /// Nothing before more input arrives.
    NeedMore,
    /// The body has ended; its framing is consumed.
    End,
}

impl Frame {
    /// A body that ends at a lone dot.
    pub fn dot() -> Self {
        Self::Dot(DotReader::new())
    }

    /// A body of this many octets with a line end behind it.
    pub fn literal(octets: u64) -> Self {
        Self::Literal {
            left: octets,
            behind: Behind::Unread,
        }
    }

    /// The next piece, taken from `input`.
    pub fn pull(&mut self, input: &mut Input) -> Pulled {
        match self {
            Self::Octets(0) => Pulled::End,
            Self::Literal { left: 0, behind } => {
                if *behind == Behind::Unread {
                    *behind = match input.line(0) {
                        Line::NeedMore => return Pulled::NeedMore,
                        Line::Whole(_) => Behind::Empty,
                        Line::TooLong | Line::Endless => Behind::Text,
                    };
                }
                Pulled::End
            }
            Self::Octets(left) | Self::Literal { left, .. } => {
                let want = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(PIECE_BYTES_MAX);
                let piece = input.take(want);
                *left -= piece.len() as u64;
                if piece.is_empty() {
                    Pulled::NeedMore
                } else {
                    Pulled::Piece(piece)
                }
            }
            Self::Dot(reader) => {
                if reader.ended() {
                    return Pulled::End;
                }
                // Grown once: a CR or a dot may still be held back from the piece before.
                let mut piece = BytesMut::with_capacity(input.len().min(PIECE_BYTES_MAX) + 2);
                let taken = reader.read(input.bytes(), PIECE_BYTES_MAX, &mut piece);
                input.skip(taken);
                match (piece.is_empty(), reader.ended()) {
                    (false, _) => Pulled::Piece(piece.freeze()),
                    (true, true) => Pulled::End,
                    (true, false) => Pulled::NeedMore,
                }
            }
        }
    }

    /// What the body contained, or what stood behind it, that its protocol forbids.
    pub fn violations(&self) -> Violations {
        match self {
            Self::Dot(reader) => reader.violations(),
            Self::Octets(_) => Violations::default(),
            Self::Literal { behind, .. } => Violations {
                text_behind: *behind == Behind::Text,
                ..Violations::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_ends_with_its_line_and_text_behind_it_is_reported() {
        for (bytes, text_behind, left) in [
            (&b"abc\r\nNOOP\r\n"[..], false, &b"NOOP\r\n"[..]),
            (b"abc\nNOOP\r\n", false, b"NOOP\r\n"),
            (b"abc {3+}\r\nxyz\r\n", true, b"xyz\r\n"),
            (b"abcd\nNOOP\r\n", true, b"NOOP\r\n"),
        ] {
            let (mut input, mut frame) = (Input::new(), Frame::literal(3));
            let mut body = Vec::new();
            for byte in bytes {
                input.push(&[*byte]);
                if let Pulled::Piece(piece) = frame.pull(&mut input) {
                    body.extend_from_slice(&piece);
                }
            }
            assert_eq!(body, b"abc");
            assert_eq!(frame.pull(&mut input), Pulled::End);
            assert_eq!(frame.violations().text_behind, text_behind, "{bytes:?}");
            let mut whole = Input::new();
            whole.push(bytes);
            let mut frame = Frame::literal(3);
            while frame.pull(&mut whole) != Pulled::End {}
            assert_eq!(frame.violations().text_behind, text_behind, "{bytes:?}");
            assert_eq!(whole.bytes(), left);
        }
    }
}
