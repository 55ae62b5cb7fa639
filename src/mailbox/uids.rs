//! Sets of UIDs as ranges, the compact form in which log records name messages.
//!
//! Pure. Ranges are ascending, disjoint and not adjacent; a range holds both of its ends.

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

    #[test]
    fn neighbours_join() {
        let ranges: UidRanges = [1, 2, 3, 7, 9, 10].into_iter().collect();
        assert_eq!(ranges.ranges(), [(1, 3), (7, 7), (9, 10)]);
        let parts: Vec<_> = ranges.split(2).collect();
        assert_eq!(parts[1].ranges(), [(9, 10)]);
        assert!(UidRanges::default().is_empty());
    }
}
