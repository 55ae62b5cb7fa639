//! Draft.
use std::ops::Range;

use crate::base::ids::ModSeq;

/// One session's picture.
#[derive(Debug)]
pub(super) struct View {
    uids: Vec<u32>,
    modseq: ModSeq,
    recent: Vec<Range<u32>>,
    gone: Vec<u32>,
}

impl View {
    pub(super) fn new(uids: &[u32], modseq: ModSeq, recent_from: u32) -> Self {
        let end = uids.last().map_or(1, |last| last.saturating_add(1));
        Self {
            uids: uids.to_vec(),
            modseq,
            recent: (recent_from < end)
                .then_some(recent_from..end)
                .into_iter()
                .collect(),
            gone: Vec::new(),
        }
    }
    pub(super) fn uids(&self) -> &[u32] {
        &self.uids
    }
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }
    pub(super) fn recent(&self) -> u32 {
        let shown = self.uids.iter().filter(|uid| self.is_recent(**uid)).count();
        u32::try_from(shown).unwrap_or(u32::MAX)
    }
    pub(super) fn is_recent(&self, uid: u32) -> bool {
        self.recent.iter().any(|range| range.contains(&uid))
    }
    pub(super) fn modseq(&self) -> ModSeq {
        self.modseq
    }
    pub(super) fn position(&self, uid: u32) -> Option<usize> {
        self.uids.binary_search(&uid).ok()
    }
    /// Notes what changed. Appended messages are shown from now on.
    pub(super) fn learn(
        &mut self,
        modseq: ModSeq,
        expunged: &[u32],
        appended: &[u32],
        recent_from: u32,
    ) {
        self.modseq = self.modseq.max(modseq);
        self.gone.extend(expunged);
        self.gone.sort_unstable();
        self.gone.dedup();
        self.uids.extend(appended);
        if let (Some(first), Some(last)) = (appended.first(), appended.last()) {
            let from = recent_from.max(*first);
            let end = last.saturating_add(1);
            if from < end {
                match self.recent.last_mut() {
                    Some(before) if before.end == from => before.end = end,
                    _ => self.recent.push(from..end),
                }
            }
        }
    }
    pub(super) fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }
    /// The numbers to say in EXPUNGE responses, in this order; the messages leave the view.
    pub(super) fn expunge(&mut self) -> Vec<u32> {
        let mut numbers = Vec::new();
        let gone = std::mem::take(&mut self.gone);
        let mut gone = gone.iter().peekable();
        let mut number = 1_u32;
        self.uids.retain(|uid| {
            while gone.next_if(|g| *g < uid).is_some() {}
            if gone.next_if_eq(&uid).is_some() {
                numbers.push(number);
                return false;
            }
            number += 1;
            true
        });
        numbers
    }
}
