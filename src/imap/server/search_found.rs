//! What a search has found of one text that it looks for, and how relevant that is (RFC 6203 4).
//!
//! Pure. Without FUZZY a text is there or it is not; with it each of its words is more or less
//! close to one that is there.

use crate::mail::fuzzy;

/// What was found of a needle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The needle as it stands.
    pub(super) whole: bool,
    /// For each of its words, how close the closest one is.
    pub(super) words: Vec<u8>,
}

impl Found {
    /// Nothing is to be found any more by looking further.
    pub(super) fn is_all(&self) -> bool {
        self.whole && self.words.iter().all(|closeness| *closeness == 100)
    }

    /// RFC 6203: all words, in whatever order; or the needle as it stands, as without FUZZY.
    pub(super) fn is_enough(&self) -> bool {
        self.whole || !self.words.is_empty() && self.words.iter().all(|closeness| *closeness > 0)
    }

    /// Adds what was found elsewhere in the same email.
    pub(super) fn add(&mut self, other: &Self) {
        self.whole |= other.whole;
        self.words
            .resize(self.words.len().max(other.words.len()), 0);
        for (here, there) in self.words.iter_mut().zip(&other.words) {
            *here = (*here).max(*there);
        }
    }

    /// From 1 to 100.
    pub(super) fn relevancy(&self) -> u32 {
        let count = u32::try_from(self.words.len()).unwrap_or(u32::MAX).max(1);
        let sum: u32 = self
            .words
            .iter()
            .map(|closeness| u32::from(*closeness))
            .sum();
        let mean = match self.whole {
            true => (sum / count).max(u32::from(fuzzy::CONTAINS)),
            // The words are there, but not next to each other.
            false if count > 1 => sum * 9 / (10 * count),
            false => sum / count,
        };
        // The least there is: two letters differ in each of some words.
        mean.saturating_sub(LEAST).max(1) * 100 / (100 - LEAST)
    }

    /// The same, when the header did not suffice.
    pub(super) fn relevancy_in_body(&self) -> u32 {
        self.relevancy() * IN_BODY_PERCENT / 100
    }
}

/// What is in a body is less than what is said in the header.
const IN_BODY_PERCENT: u32 = 80;
/// See [`Found::relevancy`].
const LEAST: u32 = 35;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relevancy_is_from_1_to_100_and_closer_is_more() {
        let found = |whole, words: &[u8]| Found {
            whole,
            words: words.to_vec(),
        };
        let falling = [
            found(true, &[100, 100]),
            found(false, &[100, 100]),
            found(true, &[100, 0]),
            found(false, &[60, 60]),
            found(false, &[40, 40]),
        ];
        let relevancy: Vec<u32> = falling.iter().map(Found::relevancy).collect();
        assert_eq!(relevancy, [100, 84, 53, 29, 1]);
        assert!(falling.iter().all(Found::is_enough));
        assert!(!found(false, &[100, 0]).is_enough() && !found(false, &[]).is_enough());
        let mut sum = found(false, &[100, 0]);
        sum.add(&found(false, &[40, 60]));
        assert_eq!(sum, found(false, &[100, 60]));
    }
}
