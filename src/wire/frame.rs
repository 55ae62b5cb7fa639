//! How the end of an incoming body is known: by its own last line (DATA), or by a count (APPEND,
//! BDAT). What stands behind a counted body on its line is not of the body.

use bytes::{Bytes, BytesMut};

use super::{
    dot::{DotReader, Violations},
    input::Input,
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

    /// The next piece, taken from `input`.
    pub fn pull(&mut self, input: &mut Input) -> Pulled {
        match self {
            Self::Octets(0) => Pulled::End,
            Self::Octets(left) => {
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

    /// What the body contained that its protocol forbids.
    pub fn violations(&self) -> Violations {
        match self {
            Self::Dot(reader) => reader.violations(),
            Self::Octets(_) => Violations::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_body_ends_with_its_last_octet_however_it_is_split() {
        for step in 1..=5 {
            let (mut input, mut frame) = (Input::new(), Frame::Octets(3));
            let mut body = Vec::new();
            for bytes in b"abc)\r\n".chunks(step) {
                input.push(bytes);
                while let Pulled::Piece(piece) = frame.pull(&mut input) {
                    body.extend_from_slice(&piece);
                }
            }
            assert_eq!((&body[..], input.bytes()), (&b"abc"[..], &b")\r\n"[..]));
            assert_eq!(frame.pull(&mut input), Pulled::End);
        }
        let mut input = Input::new();
        assert_eq!(Frame::Octets(0).pull(&mut input), Pulled::End);
    }
}
