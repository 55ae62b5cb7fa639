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

/// The emails of one account that are there, ascending.
pub(super) type Living = BTreeMap<AccountId, Vec<u64>>;

/// Which segments, by their lengths, should become one now; the places of them.
pub(super) fn due(lengths: &[u64]) -> Vec<usize> {
    let mut classes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, length) in lengths.iter().enumerate() {
        let ratio = (length / CLASS_BYTES).max(1);
        classes
            .entry(ratio.ilog(MERGED_SEGMENTS as u64))
            .or_default()
            .push(place);
    }
    let mut due = Vec::new();
    for (_, places) in classes {
        // With the smaller ones, which would be merged into the result soon.
        due.extend(places);
        if due.len() >= MERGED_SEGMENTS {
            return due;
        }
    }
    Vec::new()
}

/// Writes the segment `number`, which says what `segments` say of the emails in `living`.
pub(super) fn merge(
    segments: &[Arc<Segment>],
    living: &Living,
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
        let (Some((first, _)), Some((last, _))) = (sections.first(), sections.last()) else {
            continue;
        };
        let (from, upto) = (first.from, last.upto);
        if upto - from > u64::from(u32::MAX) {
            return Err(Unreadable::Damaged("a range of emails is too large"));
        }
        let living: Vec<u32> = living
            .iter()
            .filter(|email| (from + 1..=upto).contains(email))
            .map(|email| (email - from) as u32)
            .collect();
        let mut ending = Ending {
            upto,
            emails: u32::try_from(living.len()).unwrap_or(u32::MAX),
            ..Ending::default()
        };
        let mut walks = Vec::with_capacity(sections.len());
        for (section, opened) in sections {
            let distance = (section.from - from) as u32;
            ending
                .always
                .extend(moved(&opened.always, distance, &living));
            ending.newest = opened.newest.or(ending.newest);
            walks.push((distance, Walk::new(opened), None));
        }
        keys(&mut walks, &living, &mut writer)?;
        writer.end_section(*account, from, &ending)?;
    }
    writer.finish(number)
}

/// A section on its way: how far its emails are moved, the rest of it, its next key.
type Source = (u32, Walk, Option<(u32, Vec<u32>)>);

fn keys(sources: &mut [Source], living: &[u32], writer: &mut Writer<'_>) -> Result<(), Unreadable> {
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
fn moved<'a>(list: &'a [u32], distance: u32, living: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let moved = list
        .iter()
        .filter_map(move |email| email.checked_add(distance));
    moved.filter(|email| living.binary_search(email).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_of_one_class_are_merged_with_all_smaller_ones() {
        let (small, large) = (1_000, 30 * CLASS_BYTES);
        assert!(due(&[small; MERGED_SEGMENTS - 1]).is_empty());
        assert_eq!(due(&[small; MERGED_SEGMENTS]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(
            due(&[large, small, small, small, small, small, small]),
            [1, 2, 3, 4, 5, 6]
        );
        assert_eq!(
            due(&[large, large, large, large, small, small]),
            [4, 5, 0, 1, 2, 3]
        );
    }
}
