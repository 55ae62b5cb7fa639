//! Sets of numbers as ranges; a range holds both of its ends.
//!
//! Pure.

/// Sorts the ranges and joins those that overlap or touch.
pub fn join(ranges: &mut Vec<(u32, u32)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let touches = later.0 <= earlier.1.saturating_add(1);
        if touches {
            earlier.1 = earlier.1.max(later.1);
        }
        touches
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_or_touch_are_one() {
        for (given, joined) in [
            (vec![], vec![]),
            (vec![(5, 7), (1, 2)], vec![(1, 2), (5, 7)]),
            (vec![(1, 2), (3, 4), (6, 6)], vec![(1, 4), (6, 6)]),
            (vec![(1, 9), (2, 3), (9, 12)], vec![(1, 12)]),
            (
                vec![(1, u32::MAX), (u32::MAX, u32::MAX)],
                vec![(1, u32::MAX)],
            ),
        ] {
            let mut ranges = given.clone();
            join(&mut ranges);
            assert_eq!(ranges, joined, "{given:?}");
        }
    }
}
