//! What the upkeep thread knows about a disk that is nearly full, and what it says of it (DUR-04).
//!
//! As long as the shortage lasts, segments are compacted that would not be worth it otherwise, one
//! after the other. The operator is told when it begins, what is gained, what stands in the way
//! (once, not at every attempt), and when it is over.

use std::mem;

use super::{Options, compact::Candidate};
use crate::store::engine::Room;

/// Whether room is short, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    lasts: bool,
    said: Option<Hindrance>,
}

/// Why no room can be made for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// The index cannot be written, so nothing can be compacted.
    Checkpoint,
    /// What lives of a segment has no room for its copy.
    Copy,
    /// The journal has nothing left that is deleted, or too little of it.
    NothingDead,
}

impl Shortage {
    pub(super) fn lasts(&self) -> bool {
        self.lasts
    }

    /// Notes how the disk is; whether a shortage begins.
    pub(super) fn see(&mut self, room: Room, free_bytes: u64, options: &Options) -> bool {
        let lasts = room == Room::Low;
        let before = mem::replace(&mut self.lasts, lasts);
        if lasts == before {
            return false;
        }
        if lasts {
            tracing::warn!(
                free_bytes,
                low_water_bytes = options.low_water_bytes,
                "room is low: new mail is refused, and what is deleted is removed without delay"
            );
        } else {
            self.said = None;
            tracing::info!(free_bytes, "there is room again: mail is accepted");
        }
        lasts
    }

    /// Of a segment worth compacting, less than this lives.
    pub(super) fn below_percent(&self, options: &Options) -> u64 {
        match options.compact_below_percent {
            percent if self.lasts && percent > 0 => PERCENT_WHEN_SHORT.max(percent.into()),
            percent => percent.into(),
        }
    }

    /// A segment was compacted.
    pub(super) fn relieved(&mut self, of: &Candidate) {
        if self.lasts {
            let freed_bytes = of.length.saturating_sub(of.live);
            let segment = of.file.segment;
            tracing::info!(segment, freed_bytes, "room is low: a segment was compacted");
            self.said = None;
        }
    }

    /// What stood in the way does no more.
    pub(super) fn passed(&mut self, by: Hindrance) {
        self.said.take_if(|said| *said == by);
    }

    /// Something stands in the way of making room.
    pub(super) fn hindered(&mut self, by: Hindrance, needed_bytes: u64, free_bytes: u64) {
        // Without a checkpoint nobody knows what is deleted.
        let unknown = by == Hindrance::NothingDead && self.said == Some(Hindrance::Checkpoint);
        if unknown || self.said.replace(by) == Some(by) {
            return;
        }
        match by {
            Hindrance::Checkpoint => tracing::warn!(
                needed_bytes,
                free_bytes,
                "no room for the index: its checkpoint waits, and nothing can be compacted \
                 before it; other files on this disk must go"
            ),
            Hindrance::Copy => tracing::warn!(
                needed_bytes,
                free_bytes,
                "no room for the copy that compaction makes: it waits"
            ),
            Hindrance::NothingDead => tracing::warn!(
                free_bytes,
                "room is low and too little of what is stored is deleted to make more: delete \
                 mail or other files; mail deleted just now follows within a minute"
            ),
        }
    }
}

/// While room is short, a tenth of a segment is worth it.
const PERCENT_WHEN_SHORT: u64 = 90;
