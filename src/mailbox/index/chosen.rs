//! What a change asks of the messages it is about: which of them are there, which it would change,
//! their UIDs as ranges, and what they come to in another mailbox.

use super::Index;
use crate::{
    base::ids::{ModSeq, Uid},
    mailbox::{
        flags::{FlagChange, FlagClasses, Keyword},
        limits::KEYWORDS_MAX,
        record::{Arrival, Arrivals, ArrivalsBuilder, SetNumbers},
        uids::UidRanges,
    },
};

impl Index {
    /// The messages of `uids` (in any order) that are here, ascending and once each.
    pub(in crate::mailbox) fn present(&self, uids: &[Uid]) -> Vec<usize> {
        let mut positions = Vec::with_capacity(uids.len());
        let mut next = 0;
        for uid in uids {
            // Clients name runs of messages, so the next one is where it is expected.
            if self.columns.uids.get(next) != Some(&uid.number()) {
                match self.position(*uid) {
                    Some(position) => next = position,
                    None => continue,
                }
            }
            positions.push(next);
            next += 1;
        }
        if !positions.is_sorted_by(|a, b| a < b) {
            positions.sort_unstable();
            positions.dedup();
        }
        positions
    }

    /// The messages at `positions` that a change would change.
    pub(in crate::mailbox) fn touched(
        &self,
        positions: &[usize],
        change: &FlagChange,
    ) -> Vec<usize> {
        let mut outcome: Vec<Option<bool>> = vec![None; self.sets.len()];
        let mut touches = |position: &usize| {
            let set = self.columns.sets[*position];
            match outcome.get_mut(set as usize) {
                Some(known) => *known.get_or_insert_with(|| self.sets.would_change(set, change)),
                None => false,
            }
        };
        positions
            .iter()
            .copied()
            .filter(|position| touches(position))
            .collect()
    }

    /// Of ascending `positions` those whose messages have not changed since, and the others.
    pub(in crate::mailbox) fn split_at(
        &self,
        positions: &[usize],
        since: ModSeq,
    ) -> (Vec<usize>, Vec<usize>) {
        let is_old = |position: &usize| self.columns.modseqs[*position] <= since.0;
        positions.iter().copied().partition(is_old)
    }

    /// The UIDs at ascending `positions`, as few ranges: one may run over UIDs that are gone for
    /// good.
    pub(in crate::mailbox) fn ranges(&self, positions: &[usize]) -> UidRanges {
        let mut ranges = UidRanges::default();
        let mut before = None;
        for &position in positions {
            let uid = self.columns.uids[position];
            if before.is_some_and(|before| before + 1 == position) {
                ranges.reach(uid);
            } else {
                ranges.push(uid);
            }
            before = Some(position);
        }
        ranges
    }

    /// The UIDs at `positions`.
    pub(in crate::mailbox) fn uids_at(&self, positions: &[usize]) -> Vec<Uid> {
        positions
            .iter()
            .filter_map(|position| self.uid_at(*position))
            .collect()
    }

    /// The keywords of the messages at `positions`.
    pub(in crate::mailbox) fn keywords_at(&self, positions: &[usize]) -> Vec<Keyword> {
        let mut used = vec![false; self.sets.len()];
        for &position in positions {
            if let Some(used) = used.get_mut(self.columns.sets[position] as usize) {
                *used = true;
            }
        }
        let sets = (0_u32..).zip(&used).filter(|(_, used)| **used);
        let mut keywords: Vec<Keyword> = sets
            .flat_map(|(set, _)| self.sets.keywords_of(set).cloned())
            .collect();
        keywords.sort();
        keywords.dedup();
        keywords
    }

    /// The messages at `positions` as arrivals for another mailbox at `saved`, in parts that fit
    /// into records. They keep those of their flags that are among `classes`.
    pub(in crate::mailbox) fn arrivals(
        &self,
        positions: &[usize],
        classes: FlagClasses,
        saved: u32,
    ) -> Vec<Arrivals> {
        let mut builder = ArrivalsBuilder::new(saved);
        let mut known = SetNumbers::default();
        for row in positions.iter().filter_map(|position| self.row(*position)) {
            let message = Arrival {
                email: row.email,
                set: row.set,
                internal_date: row.internal_date,
                size: row.size,
                crlf_missing: row.crlf_missing,
            };
            let flags = || classes.of(&self.sets.flags(row.set));
            builder.add(message, &mut known, flags);
        }
        builder.finish()
    }

    /// LIM-24: whether messages may get these keywords here.
    pub(in crate::mailbox) fn has_room_for(&self, keywords: &[Keyword]) -> bool {
        if keywords.is_empty() {
            return true;
        }
        let mut all = self.keywords();
        all.extend_from_slice(keywords);
        all.sort();
        all.dedup();
        all.len() <= KEYWORDS_MAX
    }
}
