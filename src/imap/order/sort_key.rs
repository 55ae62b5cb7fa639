//! What messages are sorted by, as bytes that compare as the criteria do (RFC 5256 3).
//!
//! One buffer holds the keys of all messages; comparing two of them is comparing memory. Equal
//! keys leave messages in mailbox order. Sorting goes in steps, so that others run between them.

use std::{cmp::Reverse, collections::BinaryHeap, mem};

/// The keys of messages, one message after the other.
#[derive(Debug, Default)]
pub struct SortKeys {
    bytes: Vec<u8>,
    /// Where the key of each message ends.
    ends: Vec<usize>,
}

impl SortKeys {
    /// Adds a number to the key of the next message.
    pub fn number(&mut self, number: i64, reverse: bool) {
        // With its sign turned around a number compares as its bytes do.
        let ordered = number.cast_unsigned() ^ (1 << 63);
        self.put(ordered.to_be_bytes().into_iter(), reverse);
    }

    /// Adds a text to the key of the next message, already in the form in which texts are compared.
    pub fn text(&mut self, text: &str, reverse: bool) {
        let compared = text.bytes().take(TEXT_KEY_BYTES);
        // UTF-8 has no FF, so all bytes can be raised, and 00 ends a text before what continues it.
        let raised = compared.map(|byte| byte.saturating_add(1));
        self.put(raised.chain([0]), reverse);
    }

    fn put(&mut self, bytes: impl Iterator<Item = u8>, reverse: bool) {
        let mask = if reverse { 0xff } else { 0 };
        self.bytes.extend(bytes.map(|byte| byte ^ mask));
    }

    /// The key of the next message is complete.
    pub fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Bytes of memory that the keys take.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<usize>()
    }

    /// The messages being put in order.
    pub fn sorting(&self) -> Sorting<'_> {
        Sorting {
            keys: self,
            places: (0..self.ends.len()).collect(),
            runs_until: 0,
            heads: BinaryHeap::new(),
            order: Vec::with_capacity(self.ends.len()),
        }
    }

    fn key(&self, place: usize) -> &[u8] {
        let before = place
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let start = before.copied().unwrap_or(0);
        let end = self.ends.get(place).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

/// Messages being put in order: first runs of them, then the runs together.
#[derive(Debug)]
pub struct Sorting<'k> {
    keys: &'k SortKeys,
    /// Messages by their place among those that were added; in order within each run.
    places: Vec<usize>,
    /// Up to here there are runs.
    runs_until: usize,
    /// The first message of each run that is not in `order`: key, place, and where in `places`.
    /// Equal keys are ordered by place.
    heads: BinaryHeap<Reverse<(&'k [u8], usize, usize)>>,
    order: Vec<usize>,
}

impl Sorting<'_> {
    /// Does a millisecond's work or two; the order, when it is complete.
    pub fn step(&mut self) -> Option<Vec<usize>> {
        let keys = self.keys;
        let rest = self.places.get_mut(self.runs_until..).unwrap_or_default();
        if !rest.is_empty() {
            let length = rest.len().min(STEP_MESSAGES);
            let run = rest.get_mut(..length).unwrap_or_default();
            run.sort_by(|a, b| keys.key(*a).cmp(keys.key(*b)));
            self.put_head(self.runs_until);
            self.runs_until += length;
            return None;
        }
        for _ in 0..STEP_MESSAGES {
            let Some(Reverse((_, place, at))) = self.heads.pop() else {
                return Some(mem::take(&mut self.order));
            };
            self.order.push(place);
            if (at + 1) % STEP_MESSAGES > 0 {
                self.put_head(at + 1);
            }
        }
        None
    }

    fn put_head(&mut self, at: usize) {
        if let Some(place) = self.places.get(at).copied() {
            let head = (self.keys.key(place), place, at);
            self.heads.push(Reverse(head));
        }
    }
}

/// LIM-36: bytes of a text that count when messages are sorted by it or grouped by it.
pub const TEXT_KEY_BYTES: usize = 256;
/// LIM-25: messages that are put in order between two looks at the budget.
const STEP_MESSAGES: usize = 2048;

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    fn sorted(keys: &SortKeys) -> Vec<usize> {
        let mut sorting = keys.sorting();
        loop {
            if let Some(order) = sorting.step() {
                return order;
            }
        }
    }

    fn turned(order: Ordering, reverse: bool) -> Ordering {
        if reverse { order.reverse() } else { order }
    }

    proptest! {
        #[test]
        fn keys_compare_as_their_values_do(
            rows in proptest::collection::vec(
                ("[\u{0}ab\u{e9}\u{10ffff}]{0,3}", -2_i64..2, "[ab]{0,2}"), 0..20),
            reverse in any::<[bool; 3]>(),
        ) {
            let mut keys = SortKeys::default();
            for (text, number, more) in &rows {
                keys.text(text, reverse[0]);
                keys.number(*number, reverse[1]);
                keys.text(more, reverse[2]);
                keys.end();
            }
            let mut expected: Vec<usize> = (0..rows.len()).collect();
            expected.sort_by(|a, b| {
                let (a, b) = (&rows[*a], &rows[*b]);
                turned(a.0.as_bytes().cmp(b.0.as_bytes()), reverse[0])
                    .then(turned(a.1.cmp(&b.1), reverse[1]))
                    .then(turned(a.2.as_bytes().cmp(b.2.as_bytes()), reverse[2]))
            });
            prop_assert_eq!(sorted(&keys), expected);
        }
    }

    #[test]
    fn numbers_compare_with_their_signs() {
        let mut keys = SortKeys::default();
        for number in [i64::MAX, 0, -1, i64::MIN, 1] {
            keys.number(number, false);
            keys.end();
        }
        assert_eq!(sorted(&keys), [3, 2, 1, 4, 0]);
    }

    #[test]
    fn lim_36_a_key_has_256_bytes_of_a_text() {
        let mut keys = SortKeys::default();
        let long = "x".repeat(TEXT_KEY_BYTES);
        for behind in ["b", "a", ""] {
            keys.text(&(long.clone() + behind), false);
            keys.end();
        }
        keys.text(&long[1..], false);
        keys.end();
        assert_eq!(sorted(&keys), [3, 0, 1, 2]);
        let ends = 4 * size_of::<usize>();
        assert_eq!(keys.bytes(), 4 * (TEXT_KEY_BYTES + 1) - 1 + ends);
    }

    #[test]
    fn lim_25_many_messages_are_sorted_in_steps() {
        let mut keys = SortKeys::default();
        let count = 3 * STEP_MESSAGES + 7;
        for place in 0..count {
            keys.number(i64::try_from(place * 7919 % 1000).unwrap(), true);
            keys.end();
        }
        let mut expected: Vec<usize> = (0..count).collect();
        expected.sort_by_key(|place| Reverse(place * 7919 % 1000));
        let mut sorting = keys.sorting();
        for _ in 0..7 {
            assert_eq!(sorting.step(), None);
        }
        assert_eq!(sorting.step(), Some(expected));
    }
}
