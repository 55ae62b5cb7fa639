//! Numbers and lists of numbers as bytes, for segments.
//!
//! Pure. What is read back may be damaged: reading never panics and says so.

/// Why an index cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The disk failed.
    #[error("the search index cannot be read or written")]
    Io(#[from] std::io::Error),
    /// Something else than what was written is there.
    #[error("the search index is damaged: {0}")]
    Damaged(&'static str),
}

/// A number in groups of seven bits, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads bytes from front to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Unreadable::Damaged("a number is too long"))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (array, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(*array)
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Unreadable> {
        self.array().map(u64::from_le_bytes)
    }
}

const CUT: Unreadable = Unreadable::Damaged("something is cut off");

/// A list of ascending numbers, with its length before it: as steps or, where they lie close, as
/// bits.
pub(super) fn put_list(out: &mut Vec<u8>, scratch: &mut Vec<u8>, numbers: &[u32]) {
    scratch.clear();
    let mut before = 0;
    for number in numbers {
        put_number(scratch, u64::from(number - before));
        before = *number;
    }
    let (first, last) = match numbers {
        [first, .., last] => (*first, *last),
        _ => (0, u32::MAX),
    };
    let bits = (last - first) as usize / 8 + 1;
    if bits + 5 < scratch.len() {
        scratch.clear();
        put_number(scratch, u64::from(first));
        let start = scratch.len();
        scratch.resize(start + bits, 0);
        for number in numbers {
            let bit = (number - first) as usize;
            scratch[start + bit / 8] |= 1 << (bit % 8);
        }
        put_number(out, (scratch.len() as u64) << 1 | 1);
    } else {
        put_number(out, (scratch.len() as u64) << 1);
    }
    out.extend_from_slice(scratch);
}

/// The bytes of the next list, not looked at yet.
pub(super) fn take_list<'a>(reader: &mut Reader<'a>) -> Result<List<'a>, Unreadable> {
    let said = reader.number()?;
    let length = usize::try_from(said >> 1).map_err(|_| CUT)?;
    Ok(List {
        bits: said & 1 == 1,
        bytes: reader.bytes(length)?,
    })
}

/// A stored list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List<'a> {
    bits: bool,
    bytes: &'a [u8],
}

impl List<'_> {
    pub(super) fn numbers(self) -> Result<Vec<u32>, Unreadable> {
        let mut reader = Reader(self.bytes);
        let far = |_| Unreadable::Damaged("a number is too large");
        // Each takes a byte at least, or a bit.
        let each = if self.bits { 8 } else { 1 };
        let mut numbers = Vec::with_capacity(self.bytes.len().saturating_mul(each));
        if self.bits {
            let first = u32::try_from(reader.number()?).map_err(far)?;
            for (at, byte) in reader.0.iter().enumerate() {
                let at = u32::try_from(at).map_err(far)?;
                let set = (0..8).filter(|bit| byte >> bit & 1 == 1);
                numbers.extend(set.filter_map(|bit| first.checked_add(at.checked_mul(8)? + bit)));
            }
            return Ok(numbers);
        }
        let mut number = 0_u64;
        while !reader.is_empty() {
            number = number.saturating_add(reader.number()?);
            numbers.push(u32::try_from(number).map_err(far)?);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_come_back(
            numbers in prop_oneof![
                prop::collection::btree_set(any::<u32>(), 0..50),
                prop::collection::btree_set(0..300_u32, 0..250),
                prop::collection::btree_set(1_000_000..1_000_100_u32, 0..100),
            ],
        ) {
            let numbers: Vec<u32> = BTreeSet::into_iter(numbers).collect();
            let (mut out, mut scratch) = (Vec::new(), Vec::new());
            put_list(&mut out, &mut scratch, &numbers);
            let length = out.len();
            out.push(9);
            let mut reader = Reader(&out);
            prop_assert_eq!(take_list(&mut reader).unwrap().numbers().unwrap(), numbers);
            prop_assert_eq!(reader.0, &[9]);
            for cut in 0..length {
                prop_assert!(take_list(&mut Reader(&out[..cut])).is_err());
            }
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(list) = take_list(&mut Reader(&bytes)) {
                let _ = list.numbers();
            }
            let _ = Reader(&bytes).number();
        }
    }

    #[test]
    fn close_numbers_take_a_bit_each() {
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        put_list(&mut out, &mut scratch, &Vec::from_iter(1..=8000));
        assert!(out.len() < 1010, "{}", out.len());
    }
}
