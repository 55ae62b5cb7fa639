//! What is due and not yet begun, sorted by destination: who is served next, and how many at once.
//!
//! Pure. Destinations take turns, so a large backlog for one does not delay the others. Each
//! has a window of attempts at the same time that grows while they succeed and shrinks when the
//! destination refuses. The board is bounded; what does not fit stays in the store and is
//! found by a later scan.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Destination;
use crate::{base::ids::MessageId, queue::record::Due};

/// The board.
#[derive(Debug, Default)]
pub(super) struct Board {
    lanes: HashMap<Destination, Lane>,
    /// Destinations with work, in the order of their turns.
    turns: VecDeque<Destination>,
    /// Everything on the board or just taken from it.
    known: HashSet<(MessageId, u32)>,
}

/// The work for one destination.
#[derive(Debug)]
struct Lane {
    waiting: VecDeque<Due>,
    running: usize,
    /// Conversations that are open.
    open: usize,
    window: usize,
    /// Deliveries since the window last changed.
    successes: usize,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
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
    /// Puts a due recipient on the board; false when there is no room for it now.
    pub(super) fn add(&mut self, to: Destination, due: Due) -> bool {
        if self.known.contains(&(due.message, due.n)) {
            return true;
        }
        let waiting = self.lanes.get(&to).map_or(0, |lane| lane.waiting.len());
        if self.known.len() >= BOARD_MAX || waiting >= LANE_MAX {
            return false;
        }
        let lane = self.lanes.entry(to.clone()).or_default();
        self.known.insert((due.message, due.n));
        lane.waiting.push_back(due);
        if lane.waiting.len() == 1 {
            self.turns.push_back(to);
        }
        true
    }

    /// Begins an attempt: the next destination in turn whose window has room, and its first
    /// message.
    pub(super) fn start(&mut self) -> Option<(Destination, Group)> {
        for _ in 0..self.turns.len() {
            let to = self.turns.pop_front()?;
            let lane = self.lanes.entry(to.clone()).or_default();
            if lane.running >= lane.window {
                self.turns.push_back(to);
                continue;
            }
            let group = lane.take();
            lane.running += 1;
            if !lane.waiting.is_empty() {
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
        if lane.waiting.is_empty() || lane.running > lane.window {
            return None;
        }
        let group = lane.take();
        if lane.waiting.is_empty() {
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
    pub(super) fn end(&mut self, to: &Destination) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.running = lane.running.saturating_sub(1);
            if lane.running == 0 && lane.waiting.is_empty() {
                self.lanes.remove(to);
            }
        }
    }

    /// The destination took a message.
    pub(super) fn succeeded(&mut self, to: &Destination) {
        if let Some(lane) = self.lanes.get_mut(to) {
            lane.successes += 1;
            if lane.successes >= lane.window && lane.window < WINDOW_MAX {
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
    /// The first recipient, and the others of its message that stand right behind it.
    fn take(&mut self) -> Group {
        let mut group = Group::new();
        while let Some(due) = self.waiting.front() {
            let same = group
                .first()
                .is_none_or(|first: &Due| first.message == due.message);
            if !same || group.len() >= RECIPIENTS_MAX {
                break;
            }
            group.extend(self.waiting.pop_front());
        }
        group
    }
}

/// attempts at the same time for a destination that is new to us.
pub(super) const WINDOW_FIRST: usize = 5;
/// and at most.
pub(super) const WINDOW_MAX: usize = 20;
/// RFC 5321 4.5.3.1.8: every server takes this many recipients in one transaction.
pub(super) const RECIPIENTS_MAX: usize = 100;
/// Recipients on the board.
pub(super) const BOARD_MAX: usize = 20_000;
/// Recipients on the board for one destination.
pub(super) const LANE_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::clock::Timestamp, mail::address::Domain};

    fn to(domain: &str) -> Destination {
        Destination::Direct(Domain::parse(domain).unwrap())
    }

    fn due(message: u16, n: u32) -> Due {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&message.to_be_bytes());
        Due {
            at: Timestamp(0),
            message: MessageId::from_bytes(id),
            n,
            domain: Domain::parse("d.example").unwrap(),
        }
    }

    #[test]
    fn recipients_of_one_message_go_together() {
        let mut board = Board::default();
        for n in 0..=100 {
            assert!(board.add(to("a.example"), due(1, n)));
        }
        board.add(to("a.example"), due(2, 0));
        assert_eq!(board.start().unwrap().1.len(), RECIPIENTS_MAX);
        assert_eq!(board.next(&to("a.example")).unwrap(), [due(1, 100)]);
        assert_eq!(board.next(&to("a.example")).unwrap(), [due(2, 0)]);
        assert!(board.next(&to("a.example")).is_none() && board.start().is_none());
    }

    #[test]
    fn q_08_destinations_take_turns() {
        let mut board = Board::default();
        for message in 0..10 {
            board.add(to("a.example"), due(message, 0));
        }
        board.add(to("b.example"), due(99, 0));
        assert_eq!(board.start().unwrap().0, to("a.example"));
        assert_eq!(board.start().unwrap().0, to("b.example"));
        assert_eq!(board.start().unwrap().0, to("a.example"));
    }

    #[test]
    fn q_06_windows_begin_at_5_grow_to_20_and_shrink() {
        let mut board = Board::default();
        let a = to("a.example");
        for message in 0..200 {
            board.add(a.clone(), due(message, 0));
        }
        let starts = |board: &mut Board| std::iter::from_fn(|| board.start()).count();
        assert_eq!(starts(&mut board), WINDOW_FIRST);
        for _ in 0..1000 {
            board.succeeded(&a);
        }
        assert_eq!(starts(&mut board), WINDOW_MAX - WINDOW_FIRST);
        board.refused(&a);
        assert!(board.next(&a).is_none(), "20 run and 10 may");
        for _ in 0..10 {
            board.end(&a);
        }
        assert!(board.next(&a).is_some());
        for _ in 0..10 {
            board.refused(&a);
            board.end(&a);
        }
        assert_eq!(starts(&mut board), 1);
    }

    #[test]
    fn nothing_is_on_the_board_twice_until_it_is_forgotten() {
        let mut board = Board::default();
        let a = to("a.example");
        assert!(board.add(a.clone(), due(1, 0)) && board.add(a.clone(), due(1, 0)));
        let (_, group) = board.start().unwrap();
        assert_eq!(group.len(), 1);
        board.add(a.clone(), due(1, 0));
        assert!(board.start().is_none());
        board.forget(&group);
        board.add(a, due(1, 0));
        assert!(board.start().is_some());
    }

    #[test]
    fn one_destination_cannot_fill_the_board() {
        let mut board = Board::default();
        let mut added = 0;
        while board.add(to("a.example"), due(added, 0)) {
            added += 1;
        }
        assert_eq!(usize::from(added), LANE_MAX);
        assert!(board.add(to("b.example"), due(u16::MAX, 0)));
    }
}
