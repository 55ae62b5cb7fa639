//! Several segments become one, without the emails that are gone.
//!
//! Each account's sections are disjoint ranges of emails, so the lists of one key are put one
//! behind the other. One block of each section is in memory at a time.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    codec::Unreadable,
    limits::{CLASS_BYTES, MERGED_SEGMENTS},
    segment::{Ending, Segment, Walk, Writer},
};
use crate::{base::ids::AccountId, store::embedded::disk::File};

/// The emails of one account that are there, as ranges: most have their neighbours still.
#[derive(Debug)]
pub(super) struct Living {
    from: u64,
    /// Distances from `from`, first and last, ascending.
    ranges: Vec<(u32, u32)>,
    count: u32,
}

impl Living {
    /// None above `from`.
    pub(super) fn above(from: u64) -> Self {
        Self {
            from,
            ranges: Vec::new(),
            count: 0,
        }
    }

    /// Adds one above all that were added.
    pub(super) fn add(&mut self, email: u64) {
        // No section reaches further.
        let Ok(distance) = u32::try_from(email.saturating_sub(self.from)) else {
            return;
        };
        self.count = self.count.saturating_add(1);
        match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(distance) => *last = distance,
            _ => self.ranges.push((distance, distance)),
        }
    }

    fn contains(&self, distance: u32) -> bool {
        if let [(first, last)] = self.ranges.as_slice() {
            return (*first..=*last).contains(&distance);
        }
        let place = self.ranges.partition_point(|(_, last)| *last < distance);
        self.ranges
            .get(place)
            .is_some_and(|(first, _)| *first <= distance)
    }
}

/// How many segments at the end of the catalog, by their lengths, should become one now.
///
/// Only neighbours are merged: segments are in the order in which they were written, so what lies
/// between two of them may hold emails between theirs, and a merged section must leave none out.
pub(super) fn due(lengths: &[u64]) -> usize {
    let class = |length: &u64| (length / CLASS_BYTES).max(1).ilog(MERGED_SEGMENTS as u64);
    let classes: Vec<u32> = lengths.iter().map(class).collect();
    let highest = classes.iter().max().copied().unwrap_or(0);
    for class in 0..=highest {
        // With the smaller ones between and behind them.
        let run = classes.iter().rev().take_while(|other| **other <= class);
        let (count, of_class) = run.fold((0, 0), |(count, of_class), other| {
            (count + 1, of_class + usize::from(*other == class))
        });
        if of_class >= MERGED_SEGMENTS {
            return count;
        }
    }
    0
}

/// Writes the segment `number`, which says what `segments`, neighbours in the catalog, say of the
/// emails in `living`.
pub(super) fn merge(
    segments: &[Arc<Segment>],
    living: &BTreeMap<AccountId, Living>,
    number: u64,
    file: &dyn File,
) -> Result<(), Unreadable> {
    let mut writer = Writer::new(file);
    for (account, living) in living {
        let mut sections = Vec::new();
        for segment in segments {
            if let (Some(section), Some(opened)) =
                (segment.sections.get(account), segment.section(*account)?)
            {
                sections.push((section.clone(), opened));
            }
        }
        sections.sort_by_key(|(section, _)| section.from);
        let from = living.from;
        if sections.first().is_none_or(|(first, _)| first.from < from) {
            continue;
        }
        let upto = sections.iter().map(|(section, _)| section.upto);
        let upto = upto.max().unwrap_or(from);
        if upto - from > u64::from(u32::MAX) {
            return Err(Unreadable::Damaged("a range of emails is too large"));
        }
        let mut ending = Ending {
            upto,
            emails: living.count,
            ..Ending::default()
        };
        let mut walks = Vec::with_capacity(sections.len());
        for (section, opened) in sections {
            let distance = (section.from - from) as u32;
            ending
                .always
                .extend(moved(&opened.always, distance, living));
            ending.newest = opened.newest.or(ending.newest);
            walks.push((distance, Walk::new(opened), None));
        }
        keys(&mut walks, living, &mut writer)?;
        writer.end_section(*account, from, &ending)?;
    }
    writer.finish(number)
}

/// A section on its way: how far its emails are moved, the rest of it, its next key.
type Source = (u32, Walk, Option<(u32, Vec<u32>)>);

fn keys(
    sources: &mut [Source],
    living: &Living,
    writer: &mut Writer<'_>,
) -> Result<(), Unreadable> {
    for (_, walk, next) in sources.iter_mut() {
        *next = walk.next()?;
    }
    loop {
        let next = sources
            .iter()
            .filter_map(|(_, _, next)| Some(next.as_ref()?.0));
        let Some(key) = next.min() else {
            return Ok(());
        };
        let mut emails = Vec::new();
        for (distance, walk, next) in sources.iter_mut() {
            if let Some((_, list)) = next.take_if(|(there, _)| *there == key) {
                emails.extend(moved(&list, *distance, living));
                *next = walk.next()?;
            }
        }
        if !emails.is_empty() {
            writer.key(key, &emails)?;
        }
    }
}

/// The living ones of `list`, counted from further back.
fn moved<'a>(list: &'a [u32], distance: u32, living: &'a Living) -> impl Iterator<Item = u32> + 'a {
    let moved = list
        .iter()
        .filter_map(move |email| email.checked_add(distance));
    moved.filter(|email| living.contains(*email))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_of_one_class_are_merged_with_the_smaller_ones_among_them() {
        let (small, large, huge) = (1_000, 30 * CLASS_BYTES, 1_000 * CLASS_BYTES);
        assert_eq!(due(&[]), 0);
        assert_eq!(due(&[small; MERGED_SEGMENTS - 1]), 0);
        assert_eq!(due(&[small; MERGED_SEGMENTS]), 6);
        // A large one is not written again for every few small ones.
        assert_eq!(due(&[large, small, small, small, small, small]), 0);
        assert_eq!(due(&[large, small, small, small, small, small, small]), 6);
        // What is small before a large one waits for it.
        assert_eq!(due(&[small, large, small, small, small, small, small]), 0);
        assert_eq!(due(&[large, large, small, large, large, large, large]), 7);
        assert_eq!(due(&[huge, large, large, large, large, large, large]), 6);
    }

    #[test]
    fn lim_36_emails_that_are_neighbours_take_no_room_each() {
        let mut living = Living::above(10);
        for email in (11..=1_000_000).filter(|email| email % 500_000 != 0) {
            living.add(email);
        }
        assert_eq!((living.ranges.len(), living.count), (2, 999_988));
        for (email, is_there) in [
            (11, true),
            (499_999, true),
            (500_000, false),
            (999_999, true),
        ] {
            assert_eq!(living.contains(email - 10), is_there, "{email}");
        }
        assert!(!living.contains(0) && !living.contains(u32::MAX));
    }

    /// The length of a segment, and the emails of each account in it.
    type Ranges = (u64, BTreeMap<usize, (u64, u64)>);

    proptest! {
        /// A section that leaves out an email of its range would hide it from every search.
        #[test]
        fn whatever_is_merged_the_sections_of_an_account_leave_nothing_out(
            batches in prop::collection::vec((0_u32..4, prop::collection::vec(1_u64..9, 3)), 1..80),
        ) {
            let mut upto = [0_u64; 3];
            let mut segments: Vec<Ranges> = Vec::new();
            for (class, counts) in batches {
                let length = CLASS_BYTES * 6_u64.pow(class);
                let mut sections = BTreeMap::new();
                // Some accounts have nothing new.
                for (account, count) in counts.iter().enumerate().filter(|(_, count)| **count > 3) {
                    sections.insert(account, (upto[account], upto[account] + count));
                    upto[account] += count;
                }
                segments.push((length, sections));
                loop {
                    let lengths: Vec<u64> = segments.iter().map(|(length, _)| *length).collect();
                    let run = due(&lengths);
                    if run == 0 {
                        break;
                    }
                    let mut merged = Ranges::default();
                    for (length, sections) in segments.split_off(segments.len() - run) {
                        merged.0 += length;
                        for (account, (from, upto)) in sections {
                            let range = merged.1.entry(account).or_insert((from, upto));
                            *range = (range.0.min(from), range.1.max(upto));
                        }
                    }
                    segments.push(merged);
                }
                for (account, upto) in upto.iter().enumerate() {
                    let mut behind = 0;
                    for (from, upto) in segments.iter().filter_map(|(_, of)| of.get(&account)) {
                        prop_assert_eq!(*from, behind);
                        behind = *upto;
                    }
                    prop_assert_eq!(behind, *upto);
                }
            }
        }
    }
}
