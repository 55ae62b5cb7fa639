//! Sets of UIDs as ranges, the compact form in which log records name messages.
//!
//! Pure. Ranges are ascending, disjoint and not adjacent; a range holds both of its ends.

use crate::base::ranges;

/// Ascending, disjoint ranges of UIDs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UidRanges(Vec<(u32, u32)>);

impl UidRanges {
    /// Appends a UID that is above all that are there.
    pub(super) fn push(&mut self, uid: u32) {
        self.push_range(uid, uid);
    }

    /// Appends a range that is above all that are there; joins it to the last one when it can.
    pub(super) fn push_range(&mut self, first: u32, last: u32) {
        match self.0.last_mut() {
            Some(before) if before.1.checked_add(1) == Some(first) => before.1 = last,
            _ => self.0.push((first, last)),
        }
    }

    /// Stretches the last range to `uid`; there is nothing between.
    pub(super) fn reach(&mut self, uid: u32) {
        match self.0.last_mut() {
            Some(before) => before.1 = uid,
            None => self.push(uid),
        }
    }

    /// The ranges.
    pub(super) fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These ranges, in any order; they may overlap.
    pub(super) fn merged(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges::join(&mut ranges);
        Self(ranges)
    }

    /// What is also in one of these ascending, disjoint ranges.
    pub(super) fn among(&self, others: &[(u32, u32)]) -> Self {
        let (mut both, mut rest) = (Self::default(), others.iter().peekable());
        for &(first, last) in &self.0 {
            while let Some(&&(other_first, other_last)) = rest.peek() {
                if other_first > last {
                    break;
                }
                let from = first.max(other_first);
                let until = last.min(other_last);
                if from <= until {
                    both.push_range(from, until);
                }
                if other_last > last {
                    break;
                }
                rest.next();
            }
        }
        both
    }

    /// What is not among these ascending UIDs.
    pub(super) fn without(&self, uids: &[u32]) -> Self {
        let mut kept = Self::default();
        for &(first, last) in &self.0 {
            let start = uids.partition_point(|uid| *uid < first);
            let inside = uids.get(start..).unwrap_or_default().iter();
            let mut from = first;
            for &uid in inside.take_while(|uid| **uid <= last) {
                if from < uid {
                    kept.push_range(from, uid - 1);
                }
                from = uid.saturating_add(1);
            }
            if from <= last && !(from == u32::MAX && uids.last() == Some(&from)) {
                kept.push_range(from, last);
            }
        }
        kept
    }

    /// The ranges, for those who keep them.
    pub(super) fn into_ranges(self) -> Vec<(u32, u32)> {
        self.0
    }

    /// The same UIDs in parts of at most `most` ranges each.
    pub(super) fn split(&self, most: usize) -> impl Iterator<Item = Self> + '_ {
        self.0.chunks(most).map(|part| Self(part.to_vec()))
    }
}

impl FromIterator<u32> for UidRanges {
    /// Collects ascending UIDs.
    fn from_iter<I: IntoIterator<Item = u32>>(uids: I) -> Self {
        let mut ranges = Self::default();
        for uid in uids {
            ranges.push(uid);
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    fn all(ranges: &UidRanges) -> BTreeSet<u32> {
        ranges.ranges().iter().flat_map(|&(a, b)| a..=b).collect()
    }

    fn some_ranges() -> impl Strategy<Value = Vec<(u32, u32)>> {
        let range = (1_u32..60, 0_u32..6).prop_map(|(first, more)| (first, first + more));
        proptest::collection::vec(range, 0..8)
    }

    proptest! {
        #[test]
        fn ranges_are_sets(a in some_ranges(), b in some_ranges(), c in some_ranges()) {
            let (a, b) = (UidRanges::merged(a), UidRanges::merged(b));
            let uids = all(&UidRanges::merged(c));
            let gone: Vec<u32> = uids.iter().copied().collect();
            let (both, rest) = (a.among(b.ranges()), a.without(&gone));
            prop_assert_eq!(all(&both), &all(&a) & &all(&b));
            prop_assert_eq!(all(&rest), &all(&a) - &uids);
            for ranges in [&a, &both, &rest] {
                let again = UidRanges::merged(ranges.ranges().to_vec());
                prop_assert_eq!(again.ranges(), ranges.ranges());
            }
        }
    }

    #[test]
    fn the_last_uid_of_all_can_be_left_out() {
        let all = UidRanges::merged(vec![(1, u32::MAX)]);
        assert_eq!(all.without(&[u32::MAX]).ranges(), [(1, u32::MAX - 1)]);
        assert_eq!(all.without(&[1, 2]).ranges(), [(3, u32::MAX)]);
        assert!(UidRanges::merged(vec![(7, 7)]).without(&[7]).is_empty());
    }

    #[test]
    fn neighbours_join() {
        let ranges: UidRanges = [1, 2, 3, 7, 9, 10].into_iter().collect();
        assert_eq!(ranges.ranges(), [(1, 3), (7, 7), (9, 10)]);
        let parts: Vec<_> = ranges.split(2).collect();
        assert_eq!(parts[1].ranges(), [(9, 10)]);
        assert!(UidRanges::default().is_empty());
    }
}
