//! What waits for one destination, and in which order it goes.
//!
//! Pure. What has priority goes first, though never all the time (RFC 6710); within one kind of
//! priority senders take turns, and one sender's messages go by priority and by how long they wait
//!

use std::collections::{HashMap, VecDeque};

use super::{Group, RECIPIENTS_MAX, pace::Pace};
use crate::queue::record::{Due, Source};

/// The work for one destination.
#[derive(Debug)]
pub(super) struct Lane {
    /// What waits: with priority, without a word, and what has time.
    bands: [Band; 3],
    /// How many wait in all.
    pub(super) waiting: usize,
    /// How many groups were taken: says whose turn it is.
    taken: usize,
    pub(super) running: usize,
    /// Conversations that are open.
    pub(super) open: usize,
    pub(super) pace: Pace,
}

/// What waits of one kind of priority.
#[derive(Debug, Default)]
struct Band {
    /// By sender; none of these is empty. Each is in the order of [`rank`].
    senders: HashMap<Source, VecDeque<Due>>,
    /// Senders with work, in the order of their turns.
    turns: VecDeque<Source>,
}

impl Lane {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            bands: Default::default(),
            waiting: 0,
            taken: 0,
            running: 0,
            open: 0,
            pace,
        }
    }

    pub(super) fn put(&mut self, due: Due) {
        if let Some(band) = self.bands.get_mut(band_of(&due)) {
            band.put(due);
            self.waiting += 1;
        }
    }

    /// The sender whose turn it is.
    pub(super) fn next_source(&self) -> Option<Source> {
        let order = self.order().iter();
        let mut bands = order.filter_map(|at| self.bands.get(*at));
        bands.find_map(|band| band.turns.front().copied())
    }

    /// The first recipient of the sender whose turn it is, and the others of its message that stand
    /// right behind it.
    pub(super) fn take(&mut self) -> Group {
        let order = self.order();
        self.taken = self.taken.wrapping_add(1);
        for at in order {
            let group = self.bands.get_mut(*at).map(Band::take).unwrap_or_default();
            if !group.is_empty() {
                self.waiting -= group.len();
                return group;
            }
        }
        Group::new()
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> Vec<Due> {
        self.waiting = 0;
        let bands = self.bands.iter_mut().map(std::mem::take);
        let senders = bands.flat_map(|band| band.senders.into_values());
        senders.flatten().collect()
    }

    fn order(&self) -> &'static [usize; 3] {
        TURNS.get(self.taken % TURNS.len()).unwrap_or(&TURNS[0])
    }

    /// Takes out what can wait longer than `other`: the last recipient of the sender who has most
    /// of lower priority, or who has most of the same, if that leaves him with no less than the
    /// sender of `other` will have.
    pub(super) fn give_way(&mut self, other: &Due) -> Option<Due> {
        let band = band_of(other);
        let lower = self.bands.iter_mut().skip(band + 1).rev();
        let gone = lower.filter_map(|band| band.give_way(None)).next();
        let same = self.bands.get_mut(band);
        let gone = gone.or_else(|| same?.give_way(Some(other.turn.source)))?;
        self.waiting -= 1;
        Some(gone)
    }

    /// Takes out what can wait longest, of this sender or of who has most.
    pub(super) fn spare(&mut self, source: Option<Source>) -> Option<Due> {
        let bands = self.bands.iter_mut().rev();
        let gone = bands.filter_map(|band| match source {
            Some(source) => band.last_of(source),
            None => band.give_way(None),
        });
        let gone = { gone }.next()?;
        self.waiting -= 1;
        Some(gone)
    }
}

impl Band {
    fn put(&mut self, due: Due) {
        let source = due.turn.source;
        let queue = self.senders.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        let place = queue.partition_point(|other| rank(other) <= rank(&due));
        queue.insert(place, due);
    }

    fn take(&mut self) -> Group {
        let mut group = Group::new();
        let Some(source) = self.turns.pop_front() else {
            return group;
        };
        let Some(queue) = self.senders.get_mut(&source) else {
            return group;
        };
        while let Some(due) = queue.front() {
            let same = group
                .first()
                .is_none_or(|first: &Due| first.message == due.message);
            if !same || group.len() >= RECIPIENTS_MAX {
                break;
            }
            group.extend(queue.pop_front());
        }
        if queue.is_empty() {
            self.senders.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        group
    }

    fn give_way(&mut self, other: Option<Source>) -> Option<Due> {
        let has = other.map(|other| self.senders.get(&other).map_or(0, VecDeque::len));
        let (source, longest) = self.senders.iter().max_by_key(|(_, q)| q.len())?;
        if has.is_some_and(|has| longest.len() < has + 2) {
            return None;
        }
        let source = *source;
        self.last_of(source)
    }

    /// Takes out the last one of this sender.
    fn last_of(&mut self, source: Source) -> Option<Due> {
        let queue = self.senders.get_mut(&source)?;
        let gone = queue.pop_back();
        if queue.is_empty() {
            self.senders.remove(&source);
            self.turns.retain(|turn| *turn != source);
        }
        gone
    }
}

fn band_of(due: &Due) -> usize {
    match due.turn.priority.value() {
        1.. => 0,
        0 => 1,
        ..0 => 2,
    }
}

/// The order of one sender's messages of one band: each step of priority counts as much as some
/// time of waiting, so that nothing waits for ever (RFC 6710 5).
fn rank(due: &Due) -> u64 {
    let earlier = i64::from(due.turn.priority.value()) * STEP_MILLIS;
    due.at.0.saturating_add_signed(-earlier)
}

/// Which band comes first at each turn: what has priority has most turns, and never all.
const TURNS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 1, 2],
    [1, 0, 2],
    [0, 1, 2],
    [1, 0, 2],
    [2, 1, 0],
];
/// What a step of priority is worth.
const STEP_MILLIS: i64 = 10 * 60 * 1000;
