//! What messages are sorted by, as bytes that compare as the criteria do (RFC 5256 3).
//!
//! One buffer holds the keys of all messages; comparing two of them is comparing memory. Equal
//! keys leave messages in mailbox order, because the sort is stable.

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
        // UTF-8 has no FF, so all bytes can be raised, and 00 ends a text before what continues it.
        let raised = text.bytes().map(|byte| byte.saturating_add(1));
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

    /// The messages in their order, by their place among those that were added.
    pub fn sorted(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.ends.len()).collect();
        places.sort_by(|a, b| self.key(*a).cmp(self.key(*b)));
        places
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

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

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
            prop_assert_eq!(keys.sorted(), expected);
        }
    }

    #[test]
    fn numbers_compare_with_their_signs() {
        let mut keys = SortKeys::default();
        for number in [i64::MAX, 0, -1, i64::MIN, 1] {
            keys.number(number, false);
            keys.end();
        }
        assert_eq!(keys.sorted(), [3, 2, 1, 4, 0]);
    }
}
