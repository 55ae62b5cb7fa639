//! The bytes of stored mailbox records: variable-length numbers, differences, flag sets, UID
//! ranges.
//!
//! Pure. Reading never panics and never allocates more than the input could hold: what is stored
//! may be damaged (DUR-09, DUR-10).

use super::{
    flags::{FlagSet, Keyword, SystemFlags},
    uids::UidRanges,
};

/// The bytes are not what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// Appends `value` in groups of seven bits, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends how far `value` is from `before`, in either direction.
pub(super) fn put_step(out: &mut Vec<u8>, before: u64, value: u64) {
    let step = value.wrapping_sub(before).cast_signed();
    put_number(out, ((step << 1) ^ (step >> 63)).cast_unsigned());
}

/// Appends the size of a message, and how many octets of CRLF its last line lacks: 0 to 2.
pub(super) fn put_size(out: &mut Vec<u8>, size: u32, crlf_missing: u8) {
    put_number(out, u64::from(size) * SIZE_STEP + u64::from(crlf_missing));
}

/// Appends a flag set.
pub(super) fn put_flags(out: &mut Vec<u8>, flags: &FlagSet) {
    out.push(flags.system.bits());
    put_number(out, flags.keywords().len() as u64);
    for keyword in flags.keywords() {
        put_number(out, keyword.as_str().len() as u64);
        out.extend_from_slice(keyword.as_str().as_bytes());
    }
}

/// Appends UID ranges.
pub(super) fn put_ranges(out: &mut Vec<u8>, uids: &UidRanges) {
    put_number(out, uids.ranges().len() as u64);
    let mut behind = 0;
    for &(first, last) in uids.ranges() {
        put_number(out, u64::from(first) - behind);
        put_number(out, u64::from(last - first));
        behind = u64::from(last) + 1;
    }
}

/// A last line lacks 0, 1 or 2 octets of CRLF.
const SIZE_STEP: u64 = 3;

/// Reads what the functions above wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// `Ok` when everything was read.
    pub(super) fn end(self) -> Result<(), Undecodable> {
        self.rest.is_empty().then_some(()).ok_or(Undecodable)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Undecodable> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Undecodable)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Undecodable)?;
        self.rest = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Undecodable> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Undecodable> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Undecodable> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(super) fn number(&mut self) -> Result<u64, Undecodable> {
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Result<u64, Undecodable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Undecodable);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Undecodable)
    }

    pub(super) fn small(&mut self) -> Result<u32, Undecodable> {
        u32::try_from(self.number()?).map_err(|_| Undecodable)
    }

    /// What [`put_size`] wrote.
    pub(super) fn size(&mut self) -> Result<(u32, u8), Undecodable> {
        let number = self.number()?;
        let size = u32::try_from(number / SIZE_STEP).map_err(|_| Undecodable)?;
        Ok((size, (number % SIZE_STEP) as u8))
    }

    pub(super) fn step(&mut self, before: u64) -> Result<u64, Undecodable> {
        let folded = self.number()?;
        let step = (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed();
        Ok(before.wrapping_add(step.cast_unsigned()))
    }

    /// A number of items that take at least `bytes_each` bytes each.
    pub(super) fn count(&mut self, bytes_each: usize) -> Result<usize, Undecodable> {
        let count = usize::try_from(self.number()?).map_err(|_| Undecodable)?;
        if count > self.rest.len() / bytes_each {
            return Err(Undecodable);
        }
        Ok(count)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Undecodable> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Undecodable)
    }

    pub(super) fn flags(&mut self) -> Result<FlagSet, Undecodable> {
        let system = SystemFlags::from_bits(self.byte()?).ok_or(Undecodable)?;
        let keywords = (0..self.count(2)?)
            .map(|_| Keyword::parse(self.text()?).map_err(|_| Undecodable))
            .collect::<Result<_, _>>()?;
        Ok(FlagSet::new(system, keywords))
    }

    pub(super) fn ranges(&mut self) -> Result<UidRanges, Undecodable> {
        let count = self.count(2)?;
        let mut ranges = UidRanges::default();
        let mut behind = 0_u64;
        for _ in 0..count {
            let first = behind.checked_add(self.number()?).ok_or(Undecodable)?;
            let last = first.checked_add(self.number()?).ok_or(Undecodable)?;
            let range = (
                u32::try_from(first).map_err(|_| Undecodable)?,
                u32::try_from(last).map_err(|_| Undecodable)?,
            );
            if range.0 == 0 {
                return Err(Undecodable);
            }
            ranges.push_range(range.0, range.1);
            behind = last + 1;
        }
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_steps_survive(values in prop::collection::vec(any::<u64>(), 0..20)) {
            let mut out = Vec::new();
            let mut before = 0;
            for value in &values {
                put_number(&mut out, *value);
                put_step(&mut out, before, *value);
                before = *value;
            }
            let mut reader = Reader::new(&out);
            let mut before = 0;
            for value in &values {
                prop_assert_eq!(reader.number(), Ok(*value));
                prop_assert_eq!(reader.step(before), Ok(*value));
                before = *value;
            }
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn sizes_survive(size in any::<u32>(), missing in 0_u8..3) {
            let mut out = Vec::new();
            put_size(&mut out, size, missing);
            prop_assert_eq!(Reader::new(&out).size(), Ok((size, missing)));
        }

        #[test]
        fn dur_10_any_bytes_are_read_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let _ = Reader::new(&bytes).flags();
            let _ = Reader::new(&bytes).ranges();
            let _ = Reader::new(&bytes).text();
            let _ = Reader::new(&bytes).step(5);
        }
    }

    #[test]
    fn a_count_beyond_the_input_is_refused_before_anything_is_allocated() {
        let mut out = Vec::new();
        put_number(&mut out, u64::MAX);
        assert_eq!(Reader::new(&out).ranges(), Err(Undecodable));
        assert_eq!(Reader::new(&[0xff; 11]).number(), Err(Undecodable));
    }
}
