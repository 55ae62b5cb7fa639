//! Numbers, and sets of them (RFC 3501 9, RFC 9051 9).

use super::{Mistake, Parsed, Scanner};
use crate::imap::proto::{
    limits::NUMBER64_MAX,
    sequence::{MessageSet, NotASet, SequenceSet},
};

impl Scanner<'_> {
    /// `number`
    pub fn number(&mut self) -> Parsed<u32> {
        let digits = self.run(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        number.ok_or_else(|| Mistake::bad("a number from 0 to 4294967295 is expected"))
    }

    /// `number64` (RFC 9051 9)
    pub fn number64(&mut self) -> Parsed<u64> {
        let digits = self.run(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        let fits = number.filter(|number| *number <= NUMBER64_MAX);
        fits.ok_or_else(|| Mistake::bad("a number from 0 to 9223372036854775807 is expected"))
    }

    /// `nz-number64`
    pub fn nz_number64(&mut self) -> Parsed<u64> {
        match (self.peek(), self.number64()?) {
            (Some(b'0'), _) | (_, 0) => Err(Mistake::bad(
                "a number from 1 to 9223372036854775807 is expected",
            )),
            (_, number) => Ok(number),
        }
    }

    /// `nz-number`
    pub fn nz_number(&mut self) -> Parsed<u32> {
        match (self.peek(), self.number()?) {
            (Some(b'0'), _) | (_, 0) => {
                Err(Mistake::bad("a number from 1 to 4294967295 is expected"))
            }
            (_, number) => Ok(number),
        }
    }

    /// `sequence-set`, or `$` (RFC 5182 3).
    pub fn message_set(&mut self) -> Parsed<MessageSet> {
        if self.eat(b'$') {
            return Ok(MessageSet::Saved);
        }
        self.set().map(MessageSet::Listed)
    }

    /// `sequence-set` of numbers.
    pub fn set(&mut self) -> Parsed<SequenceSet> {
        let text = self.run(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b',' | b'*'));
        SequenceSet::parse(text).map_err(|error| match error {
            NotASet::Syntax => Mistake::bad("a set of numbers is expected, as in 1,3:5,8:*"),
            NotASet::TooMany => Mistake::bad("a set of numbers may have 10000 ranges"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::literal::Piece;

    fn line(text: &'static [u8]) -> [Piece<'static>; 1] {
        [Piece {
            text,
            literal: None,
        }]
    }

    #[test]
    fn numbers_of_octets_fit_63_bits() {
        for (text, number, nz) in [
            (&b"0"[..], Some(0), None),
            (b"1", Some(1), Some(1)),
            (b"01", Some(1), None),
            (b"4294967296", Some(1 << 32), Some(1 << 32)),
            (
                b"9223372036854775807",
                Some(NUMBER64_MAX),
                Some(NUMBER64_MAX),
            ),
            (b"9223372036854775808", None, None),
            (b"", None, None),
        ] {
            let pieces = line(text);
            assert_eq!(Scanner::new(&pieces, None).number64().ok(), number);
            assert_eq!(Scanner::new(&pieces, None).nz_number64().ok(), nz);
        }
    }

    #[test]
    fn numbers_fit_32_bits() {
        for (text, number, nz) in [
            (&b"0"[..], Some(0), None),
            (b"1", Some(1), Some(1)),
            (b"01", Some(1), None),
            (b"4294967295", Some(u32::MAX), Some(u32::MAX)),
            (b"4294967296", None, None),
            (b"99999999999999999999999", None, None),
            (b"", None, None),
            (b"-1", None, None),
        ] {
            let pieces = line(text);
            assert_eq!(
                Scanner::new(&pieces, None).number().ok(),
                number,
                "{text:?}"
            );
            assert_eq!(Scanner::new(&pieces, None).nz_number().ok(), nz, "{text:?}");
        }
    }
}
