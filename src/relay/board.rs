//! What is due and not yet begun, sorted by destination: who is served next, and how many at once.
//!
//! Pure. Destinations take turns, so a large backlog for one does not delay the others, and so do
//! the senders to one of them (`lane`; Q-08). Each destination has its pace (`pace`; ).
//! Attempts are scarce when many destinations hang: then one that does not talk to us has one
//! attempt, and the last quarter of all is for those that do and for senders who have few. The
//! board is bounded; what does not fit stays in the store and is found by a later scan. One sender
//! has half of what is left of it at most, and whoever has most gives way to those who have less.

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
use lane::Lane;
use pace::Pace;
pub use pace::{Limits, Rate};

mod lane;
mod pace;

/// The board.
#[derive(Debug)]
pub(super) struct Board {
    /// Attempts at the same time.
    attempts_max: usize,
    lanes: HashMap<Destination, Lane>,
    /// Destinations with work, in the order of their turns.
    turns: VecDeque<Destination>,
    /// Everything on the board or just taken from it.
    known: HashSet<(MessageId, u32)>,
    /// How much of that each sender has.
    held: HashMap<Source, usize>,
    /// Attempts that run, and how many of them each sender began.
    running: usize,
    begun: HashMap<Source, usize>,
    /// The paces of destinations that have no lane; and until when they count.
    kept: HashMap<Destination, (Pace, Instant)>,
    /// When something that waits for its time only may begin.
    wakes_at: Option<Instant>,
    /// The destination with the most work when it was last looked for, and how much was added
    /// since.
    heaviest: (Option<Destination>, usize),
}

/// Recipients of one message that go to one destination.
pub(super) type Group = Vec<Due>;

/// An attempt that begins.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) to: Destination,
    pub(super) group: Group,
    /// Who has it on his account.
    pub(super) source: Source,
}

impl Board {
    /// An empty board for so many attempts at the same time.
    pub(super) fn new(attempts_max: usize) -> Self {
        Self {
            attempts_max,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            known: HashSet::new(),
            held: HashMap::new(),
            running: 0,
            begun: HashMap::new(),
            kept: HashMap::new(),
            wakes_at: None,
            heaviest: (None, 0),
        }
    }

    /// Puts a due recipient on the board, to whose destination so much is allowed; false when it,
    /// or another one that gave way to it, is left in the store for now.
    pub(super) fn add(&mut self, to: Destination, limits: Limits, due: Due) -> bool {
        if self.known.contains(&(due.message, due.n)) {
            return true;
        }
        let full = self.is_full_for(&to, due.turn.source);
        if full && !self.make_way(&to, &due) {
            return false;
        }
        *self.held.entry(due.turn.source).or_default() += 1;
        self.known.insert((due.message, due.n));
        self.heaviest.1 += 1;
        let lane = self.lane(&to, limits);
        lane.put(due);
        if lane.waiting == 1 {
            self.turns.push_back(to);
        }
        !full
    }

    /// The lane of a destination, at the pace that it had.
    fn lane(&mut self, to: &Destination, limits: Limits) -> &mut Lane {
        let kept = &mut self.kept;
        self.lanes.entry(to.clone()).or_insert_with(|| {
            let known = kept.remove(to).map(|(pace, _)| pace);
            Lane::new(known.unwrap_or_else(|| Pace::new(limits)))
        })
    }

    fn is_full_for(&self, to: &Destination, source: Source) -> bool {
        let free = BOARD_MAX.saturating_sub(self.known.len());
        let held = self.held.get(&source).copied().unwrap_or(0);
        held >= free || self.waiting(to) >= LANE_MAX
    }

    fn waiting(&self, to: &Destination) -> usize {
        self.lanes.get(to).map_or(0, |lane| lane.waiting)
    }

    /// makes room at the expense of who has most.
    fn make_way(&mut self, to: &Destination, due: &Due) -> bool {
        let crowded = self.known.len() >= BOARD_MAX || self.waiting(to) >= LANE_MAX;
        let lane = self.lanes.get_mut(to).filter(|_| crowded);
        let mut gone = lane.and_then(|lane| lane.give_way(due));
        if gone.is_none() && self.waiting(to) < LANE_MAX {
            let whose = (!crowded).then_some(due.turn.source);
            gone = self.spare(self.waiting(to), whose);
        }
        match gone {
            Some(gone) => self.forget(&[gone]),
            None => return false,
        }
        true
    }

    /// Takes something from the destination that has most, if it has more than one for which so
    /// much waits.
    fn spare(&mut self, waiting: usize, whose: Option<Source>) -> Option<Due> {
        let has_more = |lane: &Lane| lane.waiting > waiting + 1;
        let known = self.heaviest.0.as_ref();
        let known = known
            .and_then(|to| self.lanes.get(to))
            .is_some_and(has_more);
        // Looking at all lanes for each recipient would cost more than it is worth.
        if !known && self.heaviest.1 >= self.lanes.len() {
            let lanes = self.lanes.iter();
            let most = lanes.max_by_key(|(_, lane)| lane.waiting);
            self.heaviest = (most.map(|(to, _)| to.clone()), 0);
        }
        let to = self.heaviest.0.clone()?;
        let lane = self.lanes.get_mut(&to).filter(|lane| has_more(lane))?;
        lane.spare(whose)
    }

    /// Begins an attempt: the next destination in turn that has room, and its first message.
    pub(super) fn start(&mut self, now: Instant) -> Option<Start> {
        self.wakes_at = None;
        let mut wakes_at: Option<Instant> = None;
        for _ in 0..self.turns.len() {
            if self.running >= self.attempts_max {
                return None;
            }
            let to = self.turns.pop_front()?;
            let (may, until) = self.may_start(&to, now);
            if !may {
                let earlier = wakes_at.into_iter().chain(until).min();
                wakes_at = earlier;
                self.turns.push_back(to);
                continue;
            }
            let Some(lane) = self.lanes.get_mut(&to) else {
                continue;
            };
            let group = lane.take();
            lane.pace.begin(group.len(), now);
            lane.running += 1;
            self.running += 1;
            if lane.waiting > 0 {
                self.turns.push_back(to.clone());
            }
            let source = group.first().map_or(Source(0), |due| due.turn.source);
            *self.begun.entry(source).or_default() += 1;
            return Some(Start { to, group, source });
        }
        self.wakes_at = wakes_at;
        None
    }

    /// Whether an attempt may begin for this destination; if not, and only for its time, when.
    fn may_start(&self, to: &Destination, now: Instant) -> (bool, Option<Instant>) {
        let Some(lane) = self.lanes.get(to) else {
            return (false, None);
        };
        if lane.running >= lane.pace.window() {
            return (false, None);
        }
        if let Some(until) = lane.pace.starts_at(now) {
            return (false, Some(until));
        }
        let talks = lane.open > 0 || lane.pace.is_known(now) || *to == Destination::Here;
        let source = lane.next_source().unwrap_or_default();
        let begun = self.begun.get(&source).copied().unwrap_or(0);
        let most = self.attempts_max;
        let may = match self.running {
            _ if talks => true,
            running if running < most / 2 => true,
            // it may hang like all the others.
            _ if lane.running > 0 => false,
            running if running < most - most / 4 => true,
            running if running < most - most / 8 => begun < (most / 8).max(1),
            _ => false,
        };
        (may, None)
    }

    /// When something that only waits for its time may begin: known after [`Board::start`] found
    /// nothing.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.wakes_at
    }

    /// The next message for a destination, for an attempt that goes on with its connection.
    pub(super) fn next(&mut self, to: &Destination, now: Instant) -> Option<Group> {
        let lane = self.lanes.get_mut(to)?;
        // A window that shrank below what runs ends this attempt.
        let may = lane.running <= lane.pace.window() && lane.pace.waits_until(now).is_none();
        if lane.waiting == 0 || !may {
            return None;
        }
        let group = lane.take();
        lane.pace.begin(group.len(), now);
        if lane.waiting == 0 {
            self.turns.retain(|turn| turn != to);
        }
        Some(group)
    }

    /// What was taken is now in the store's hands, under a lease or otherwise.
    pub(super) fn forget(&mut self, group: &[Due]) {
        for due in group {
            if self.known.remove(&(due.message, due.n)) {
                less(&mut self.held, due.turn.source);
            }
        }
    }

    /// An attempt ended, which this sender had on his account.
    pub(super) fn end(&mut self, to: &Destination, source: Source, now: Instant) {
        self.running = self.running.saturating_sub(1);
        less(&mut self.begun, source);
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.running = lane.running.saturating_sub(1);
        }
        self.close(to, now);
    }

    /// Gives up the lane of a destination for which nothing is left, and keeps its pace.
    fn close(&mut self, to: &Destination, now: Instant) {
        let idle = |lane: &&Lane| lane.running == 0 && lane.waiting == 0;
        if self.lanes.get(to).filter(idle).is_none() {
            return;
        }
        let Some(Lane { pace, .. }) = self.lanes.remove(to) else {
            return;
        };
        if let Some(until) = pace.kept_until(now) {
            if self.kept.len() >= KEPT_MAX {
                self.forget_a_pace();
            }
            self.kept.insert(to.clone(), (pace, until));
        }
    }

    /// Of those that hold us back none goes while there are others, then the oldest.
    fn forget_a_pace(&mut self) {
        let kept = self.kept.iter();
        let first = kept.min_by_key(|(_, (pace, until))| (pace.is_restrained(), *until));
        if let Some(to) = first.map(|(to, _)| to.clone()) {
            self.kept.remove(&to);
        }
    }

    /// Forgets what waits: it is in the store, and found there by the next look at all of it.
    pub(super) fn clear(&mut self, now: Instant) {
        let gone: Vec<_> = self.lanes.values_mut().flat_map(Lane::clear).collect();
        self.forget(&gone);
        self.turns.clear();
        let all: Vec<_> = self.lanes.keys().cloned().collect();
        for to in all {
            self.close(&to, now);
        }
    }

    /// Lets go of what counts no more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.kept.retain(|_, (_, until)| *until > now);
    }

    /// What was heard of a destination. Answers for how long it has a rest, if one begins.
    pub(super) fn heard(
        &mut self,
        to: &Destination,
        what: Heard,
        now: Instant,
    ) -> Option<Duration> {
        let pace = &mut self.lanes.get_mut(to)?.pace;
        match what {
            Heard::Taken => pace.succeeded(),
            Heard::Deferred => pace.deferred(),
            Heard::Nothing => pace.shrink(),
            Heard::Busy => pace.busy(now),
            Heard::Less => return pace.rest(now),
        }
        None
    }

    /// A conversation with the destination was opened.
    pub(super) fn opened(&mut self, to: &Destination, now: Instant) {
        // An attempt for it runs, so there is a lane.
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.open += 1;
            lane.pace.talked(now);
        }
    }

    /// A conversation with the destination is over, or waits.
    pub(super) fn closed(&mut self, to: &Destination) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.open = lane.open.saturating_sub(1);
        }
    }

    /// How many attempts for a destination may run at the same time.
    pub(super) fn window(&self, to: &Destination) -> Option<usize> {
        let lane = self.lanes.get(to)?;
        Some(lane.pace.window())
    }

    /// Whether the destination talks to another attempt: then it is not down, it only wants no more
    /// of us.
    pub(super) fn is_talking(&self, to: &Destination) -> bool {
        self.lanes.get(to).is_some_and(|lane| lane.open > 0)
    }
}

/// What a destination let us know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It took a message.
    Taken,
    /// It put a message off, for a reason that may be us.
    Deferred,
    /// It asked for less.
    Less,
    /// It could not be spoken to.
    Nothing,
    /// Nothing: other mail has all connections to its host that there may be.
    Busy,
}

/// One less of it; what has none is not counted.
fn less(counts: &mut HashMap<Source, usize>, source: Source) {
    if let Some(count) = counts.get_mut(&source) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&source);
        }
    }
}

/// destinations whose pace is remembered while nothing is going on.
pub(super) const KEPT_MAX: usize = 1_000;
/// RFC 5321 4.5.3.1.8: every server takes this many recipients in one transaction.
pub(super) const RECIPIENTS_MAX: usize = 100;
/// Recipients on the board.
pub(super) const BOARD_MAX: usize = 20_000;
/// Recipients on the board for one destination.
pub(super) const LANE_MAX: usize = 2_000;

#[cfg(test)]
mod tests;
