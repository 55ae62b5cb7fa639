//! Bytes waiting to be written to a peer.
//!
//! Encoders append here; nothing peer-made may be appended except through types that cannot hold
//! CR, LF or NUL, or counted as a literal.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// The unsent bytes of one direction of a connection.
#[derive(Debug, Default)]
pub struct Output {
    bytes: BytesMut,
}

impl Output {
    /// An empty output.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends formatted text.
    pub fn display(&mut self, what: impl fmt::Display) -> &mut Self {
        // Writing into a growing buffer cannot fail.
        let _ = fmt::write(self, format_args!("{what}"));
        self
    }

    /// Appends a decimal number; the fast path of FETCH.
    pub fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0_u8; 20];
        let mut rest = number;
        let mut used = 0;
        for place in digits.iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        let shown = digits.get(digits.len() - used..).unwrap_or_default();
        self.bytes.extend_from_slice(shown);
        self
    }

    /// Appends CRLF.
    pub fn crlf(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Where a framing appends.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What waits.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes everything.
    pub fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// Forgets everything; memory beyond `keep` bytes of capacity is given back.
    pub fn clear(&mut self, keep: usize) {
        if self.bytes.capacity() > keep {
            self.bytes = BytesMut::new();
        } else {
            self.bytes.clear();
        }
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_display_writes_them() {
        for number in [0, 7, 10, 99, 100, 4_294_967_295, u64::MAX] {
            let mut output = Output::new();
            output.number(number);
            assert_eq!(output.as_bytes(), number.to_string().as_bytes());
        }
    }
}
