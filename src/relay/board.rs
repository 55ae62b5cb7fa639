//! What is due and not yet begun, sorted by destination: who is served next, and how many at once.
//!
//! Pure. Destinations take turns, so a large backlog for one does not delay the others; within one
//! destination what has priority goes first, though never all the time (RFC 6710), and senders take
//! turns, so one who sends much does not delay the others. Each
//! destination has a window of attempts at the same time that grows while they succeed and shrinks
//! when it refuses; a shrunk one is remembered for a while. The board is bounded;
//! what does not fit stays in the store and is found by a later scan. When a destination has no
//! room, whoever has most on the board gives way to those who have less.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::Destination;
use crate::{
    base::ids::MessageId,
    queue::record::{Due, Source},
};

/// The board.
#[derive(Debug)]
pub(super) struct Board {
    /// Attempts at the same time for one destination, at most.
    window_max: usize,
    lanes: HashMap<Destination, Lane>,
    /// Destinations with work, in the order of their turns.
    turns: VecDeque<Destination>,
    /// Everything on the board or just taken from it.
    known: HashSet<(MessageId, u32)>,
    /// Windows that are smaller than a first one, of destinations that have no lane; and until when
    /// they count.
    shrunk: HashMap<Destination, (usize, Instant)>,
    /// Destinations for which nothing is begun, and until when.
    paused: HashMap<Destination, Instant>,
}

/// The work for one destination.
#[derive(Debug)]
struct Lane {
    /// What waits: with priority, without a word, and what has time.
    bands: [Band; 3],
    /// How many wait in all.
    waiting: usize,
    /// How many groups were taken: says whose turn it is.
    taken: usize,
    running: usize,
    /// Conversations that are open.
    open: usize,
    window: usize,
    /// Deliveries since the window last changed.
    successes: usize,
}

/// What waits of one kind of priority.
#[derive(Debug, Default)]
struct Band {
    /// By sender; none of these is empty. Each is in the order of [`rank`].
    senders: HashMap<Source, VecDeque<Due>>,
    /// Senders with work, in the order of their turns.
    turns: VecDeque<Source>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            bands: Default::default(),
            waiting: 0,
            taken: 0,
            running: 0,
            open: 0,
            window: WINDOW_FIRST,
            successes: 0,
        }
    }
}

/// Recipients of one message that go to one destination.
pub(super) type Group = Vec<Due>;

impl Board {
    /// An empty board for so many attempts at the same time to one destination.
    pub(super) fn new(window_max: usize) -> Self {
        Self {
            window_max: window_max.max(1),
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            known: HashSet::new(),
            shrunk: HashMap::new(),
            paused: HashMap::new(),
        }
    }

    /// Puts a due recipient on the board; false when it, or another one that gave way to it, is
    /// left in the store for now.
    pub(super) fn add(&mut self, to: Destination, due: Due) -> bool {
        if self.known.contains(&(due.message, due.n)) {
            return true;
        }
        let waiting = self.lanes.get(&to).map_or(0, |lane| lane.waiting);
        let full = self.known.len() >= BOARD_MAX || waiting >= LANE_MAX;
        if full {
            let lane = self.lanes.get_mut(&to);
            let Some(gone) = lane.and_then(|lane| lane.give_way(&due)) else {
                return false;
            };
            self.known.remove(&(gone.message, gone.n));
        }
        let lane = self.lanes.entry(to.clone()).or_insert_with(|| Lane {
            window: self.shrunk.remove(&to).map_or(WINDOW_FIRST, |(w, _)| w),
            ..Lane::default()
        });
        self.known.insert((due.message, due.n));
        lane.put(due);
        if lane.waiting == 1 {
            self.turns.push_back(to);
        }
        !full
    }

    /// Begins an attempt: the next destination in turn whose window has room, and its first
    /// message.
    pub(super) fn start(&mut self) -> Option<(Destination, Group)> {
        for _ in 0..self.turns.len() {
            let to = self.turns.pop_front()?;
            let lane = self.lanes.entry(to.clone()).or_default();
            let full = lane.running >= lane.window.min(self.window_max);
            if full || self.paused.contains_key(&to) {
                self.turns.push_back(to);
                continue;
            }
            let group = lane.take();
            lane.running += 1;
            if lane.waiting > 0 {
                self.turns.push_back(to.clone());
            }
            return Some((to, group));
        }
        None
    }

    /// The next message for a destination, for an attempt that goes on with its connection.
    pub(super) fn next(&mut self, to: &Destination) -> Option<Group> {
        let lane = self.lanes.get_mut(to)?;
        // A window that shrank below what runs ends this attempt.
        if lane.waiting == 0 || lane.running > lane.window.min(self.window_max) {
            return None;
        }
        let group = lane.take();
        if lane.waiting == 0 {
            self.turns.retain(|turn| turn != to);
        }
        Some(group)
    }

    /// What was taken is now in the store's hands, under a lease or otherwise.
    pub(super) fn forget(&mut self, group: &[Due]) {
        for due in group {
            self.known.remove(&(due.message, due.n));
        }
    }

    /// An attempt ended.
    pub(super) fn end(&mut self, to: &Destination, now: Instant) {
        let Some(lane) = self.lanes.get_mut(to) else {
            return;
        };
        lane.running = lane.running.saturating_sub(1);
        if lane.running > 0 || lane.waiting > 0 {
            return;
        }
        let window = lane.window;
        self.lanes.remove(to);
        if window < WINDOW_FIRST && self.shrunk.len() < SHRUNK_MAX {
            self.shrunk.insert(to.clone(), (window, now + SHRUNK_FOR));
        }
    }

    /// Lets go of what counts no more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.shrunk.retain(|_, (_, until)| *until > now);
        self.paused.retain(|_, until| *until > now);
    }

    /// Begins nothing for `to` for a while: its host is busy with other mail of ours.
    pub(super) fn pause(&mut self, to: &Destination, until: Instant) {
        if self.paused.len() < PAUSED_MAX {
            self.paused.insert(to.clone(), until);
        }
    }

    /// When the next pause is over.
    pub(super) fn next_pause_end(&self) -> Option<Instant> {
        self.paused.values().min().copied()
    }

    /// The destination took a message.
    pub(super) fn succeeded(&mut self, to: &Destination) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.successes += 1;
            if lane.successes >= lane.window && lane.window < self.window_max {
                lane.window += 1;
                lane.successes = 0;
            }
        }
    }

    /// The destination cannot be reached, or wants less of us.
    pub(super) fn refused(&mut self, to: &Destination) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.window = (lane.window / 2).max(1);
            lane.successes = 0;
        }
    }

    /// A conversation with the destination was opened.
    pub(super) fn opened(&mut self, to: &Destination) {
        self.lanes.entry(to.clone()).or_default().open += 1;
    }

    /// A conversation with the destination is over, or waits.
    pub(super) fn closed(&mut self, to: &Destination) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.open = lane.open.saturating_sub(1);
        }
    }

    /// Whether the destination talks to another attempt: then it is not down, it only wants no more
    /// of us.
    pub(super) fn is_talking(&self, to: &Destination) -> bool {
        self.lanes.get(to).is_some_and(|lane| lane.open > 0)
    }
}

impl Lane {
    fn put(&mut self, due: Due) {
        if let Some(band) = self.bands.get_mut(band_of(&due)) {
            band.put(due);
            self.waiting += 1;
        }
    }

    /// The first recipient of the sender whose turn it is, and the others of its message that stand
    /// right behind it.
    fn take(&mut self) -> Group {
        let order = TURNS.get(self.taken % TURNS.len()).unwrap_or(&TURNS[0]);
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

    /// Takes out what can wait longer than `other`: the last recipient of the sender who has most
    /// of lower priority, or who has most of the same, if that leaves him with no less than the
    /// sender of `other` will have.
    fn give_way(&mut self, other: &Due) -> Option<Due> {
        let band = band_of(other);
        let lower = self.bands.iter_mut().skip(band + 1).rev();
        let gone = lower.filter_map(|band| band.give_way(None)).next();
        let same = self.bands.get_mut(band);
        let gone = gone.or_else(|| same?.give_way(Some(other.turn.source)))?;
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
        let (source, longest) = self.senders.iter_mut().max_by_key(|(_, q)| q.len())?;
        if has.is_some_and(|has| longest.len() < has + 2) {
            return None;
        }
        let (gone, source) = (longest.pop_back(), *source);
        if longest.is_empty() {
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
/// attempts at the same time for a destination that is new to us.
pub(super) const WINDOW_FIRST: usize = 5;
/// and at most, unless the operator wants fewer.
pub(super) const WINDOW_MAX: usize = 20;
/// how long a destination that wanted less of us gets less: beyond the first waits of the
/// schedule.
pub(super) const SHRUNK_FOR: Duration = Duration::from_secs(30 * 60);
/// Destinations of which that is remembered.
pub(super) const SHRUNK_MAX: usize = 1_000;
/// Destinations that are paused at the same time.
pub(super) const PAUSED_MAX: usize = 1_000;
/// RFC 5321 4.5.3.1.8: every server takes this many recipients in one transaction.
pub(super) const RECIPIENTS_MAX: usize = 100;
/// Recipients on the board.
pub(super) const BOARD_MAX: usize = 20_000;
/// Recipients on the board for one destination.
pub(super) const LANE_MAX: usize = 2_000;

#[cfg(test)]
mod tests;
