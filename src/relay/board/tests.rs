//! Whose turn it is, in which order, and what gives way.

use std::time::Duration;

use super::{
    pace::{KEPT_FOR, WINDOW_FIRST},
    *,
};
use crate::{
    base::clock::Timestamp,
    mail::{address::Domain, urgency::Priority},
    queue::record::Turn,
};

fn to(domain: &str) -> Destination {
    Destination::Direct(Domain::parse(domain).unwrap())
}

/// A board, and what is allowed for each destination.
struct Tried {
    board: Board,
    limits: Limits,
}

impl std::ops::Deref for Tried {
    type Target = Board;

    fn deref(&self) -> &Board {
        &self.board
    }
}

impl std::ops::DerefMut for Tried {
    fn deref_mut(&mut self) -> &mut Board {
        &mut self.board
    }
}

impl Tried {
    fn add(&mut self, to: Destination, due: Due) -> bool {
        self.board.add(to, self.limits, due)
    }
}

/// With so many attempts for one destination, and in all.
fn board_of(connections: usize, attempts_max: usize) -> Tried {
    let limits = Limits {
        connections,
        rate: None,
    };
    Tried {
        board: Board::new(attempts_max),
        limits,
    }
}

fn board() -> Tried {
    board_of(Limits::default().connections, usize::MAX)
}

fn start(board: &mut Tried) -> Option<(Destination, Group)> {
    board
        .start(Instant::now())
        .map(|start| (start.to, start.group))
}

fn next(board: &mut Tried, to: &Destination) -> Option<Group> {
    board.next(to, Instant::now())
}

/// Many messages at once, whatever was taken before.
fn widen(board: &mut Tried, to: &Destination) {
    for _ in 0..1000 {
        board.heard(to, Heard::Taken, Instant::now());
    }
}

fn due(message: u16, n: u32) -> Due {
    due_of(1, message, n)
}

fn due_of(source: u64, message: u16, n: u32) -> Due {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&message.to_be_bytes());
    Due {
        at: Timestamp(0),
        message: MessageId::from_bytes(id),
        n,
        domain: Domain::parse("d.example").unwrap(),
        turn: Turn {
            source: Source(source),
            ..Turn::default()
        },
        here: false,
        over: false,
        via: None,
    }
}

#[test]
fn recipients_of_one_message_go_together() {
    let mut board = board();
    for n in 0..=100 {
        assert!(board.add(to("a.example"), due(1, n)));
    }
    board.add(to("a.example"), due(2, 0));
    assert_eq!(start(&mut board).unwrap().1.len(), RECIPIENTS_MAX);
    assert_eq!(next(&mut board, &to("a.example")).unwrap(), [due(1, 100)]);
    assert_eq!(next(&mut board, &to("a.example")).unwrap(), [due(2, 0)]);
    assert!(next(&mut board, &to("a.example")).is_none() && start(&mut board).is_none());
}

#[tokio::test(start_paused = true)]
async fn q_06_a_destination_whose_host_is_busy_begins_nothing_for_a_while() {
    let (mut board, now) = (board(), Instant::now());
    board.add(to("a.example"), due(1, 0));
    board.add(to("a.example"), due(2, 0));
    start(&mut board).unwrap();
    board.heard(&to("a.example"), Heard::Busy, now);
    assert!(start(&mut board).is_none());
    let until = board.wakes_at().unwrap();
    assert!(until > now);
    // Who has a connection goes on.
    assert_eq!(next(&mut board, &to("a.example")).unwrap(), [due(2, 0)]);
    board.add(to("a.example"), due(3, 0));
    tokio::time::advance(until - now).await;
    assert_eq!(start(&mut board).unwrap().0, to("a.example"));
}

#[test]
fn q_08_destinations_take_turns() {
    let mut board = board();
    for message in 0..10 {
        board.add(to("a.example"), due(message, 0));
    }
    board.add(to("b.example"), due(99, 0));
    assert_eq!(start(&mut board).unwrap().0, to("a.example"));
    assert_eq!(start(&mut board).unwrap().0, to("b.example"));
    assert_eq!(start(&mut board).unwrap().0, to("a.example"));
}

#[test]
fn q_08_senders_to_one_destination_take_turns() {
    let mut board = board();
    let a = to("a.example");
    for message in 0..10 {
        board.add(a.clone(), due_of(1, message, 0));
        board.add(a.clone(), due_of(1, message, 1));
    }
    board.add(a.clone(), due_of(2, 20, 0));
    board.add(a.clone(), due_of(3, 30, 0));
    let mut order = vec![start(&mut board).unwrap().1];
    order.extend(std::iter::from_fn(|| next(&mut board, &a)).take(4));
    let order: Vec<_> = order
        .iter()
        .map(|g| (g[0].turn.source.0, g.len()))
        .collect();
    assert_eq!(order, [(1, 2), (2, 1), (3, 1), (1, 2), (1, 2)]);
}

#[test]
fn q_08_who_has_most_on_a_full_board_gives_way() {
    let mut board = board();
    let a = to("a.example");
    let mut message = 0;
    while board.add(a.clone(), due_of(1, message, 0)) {
        message += 1;
    }
    // There is room for the other, and what gave way is left in the store.
    assert!(!board.add(a.clone(), due_of(2, 30_000, 0)));
    let left = due_of(1, message - 1, 0);
    assert!(!board.known.contains(&(left.message, left.n)));
    assert_eq!(start(&mut board).unwrap().1[0].turn.source, Source(1));
    assert_eq!(next(&mut board, &a).unwrap()[0].turn.source, Source(2));
    // Both have half of it in the end, and neither more at the expense of the other.
    for message in 30_000..=u16::MAX {
        board.add(a.clone(), due_of(2, message, 0));
    }
    assert_eq!(board.waiting(&a), LANE_MAX);
    for source in [1, 2] {
        // One of each was taken and not forgotten.
        assert_eq!(board.held[&Source(source)], LANE_MAX / 2 + 1);
    }
    let known = board.known.len();
    for message in 0..message {
        board.add(a.clone(), due_of(1, message, 0));
    }
    assert_eq!(board.known.len(), known);
}

#[tokio::test(start_paused = true)]
async fn q_06_windows_begin_at_5_grow_to_20_and_shrink() {
    let mut board = board();
    let (a, now) = (to("a.example"), Instant::now());
    for message in 0..200 {
        board.add(a.clone(), due(message, 0));
    }
    let starts = |board: &mut Tried| std::iter::from_fn(|| start(board)).count();
    assert_eq!(starts(&mut board), WINDOW_FIRST);
    widen(&mut board, &a);
    assert_eq!(starts(&mut board), 20 - WINDOW_FIRST);
    board.heard(&a, Heard::Nothing, now);
    assert!(next(&mut board, &a).is_none(), "20 run and 10 may");
    for _ in 0..10 {
        board.end(&a, Source(1), now);
    }
    assert!(next(&mut board, &a).is_some());
    for _ in 0..10 {
        board.heard(&a, Heard::Nothing, now);
        board.end(&a, Source(1), now);
    }
    assert_eq!(starts(&mut board), 1);
}

/// Puts ten messages up, lets as many attempts begin as may, and has `ends` happen before they end
/// and the rest is taken away; answers how many began.
fn round(board: &mut Tried, to: &Destination, ends: &[Heard], now: Instant) -> usize {
    for message in 0..10 {
        board.add(to.clone(), due(message, 0));
    }
    let begun = std::iter::from_fn(|| board.start(now)).count();
    for what in ends {
        board.heard(to, *what, now);
    }
    if let Some(lane) = board.lanes.get_mut(to) {
        while lane.waiting > 0 {
            lane.take();
        }
    }
    board.turns.clear();
    board.known.clear();
    for _ in 0..begun.max(1) {
        board.end(to, Source(1), now);
    }
    assert!(board.lanes.is_empty());
    begun
}

#[tokio::test(start_paused = true)]
async fn q_03_a_window_that_shrank_is_remembered_for_a_while() {
    let (a, now) = (to("a.example"), Instant::now());
    let mut board = board();
    let twice = [Heard::Nothing, Heard::Nothing];
    assert_eq!(round(&mut board, &a, &twice, now), WINDOW_FIRST);
    board.expire(now + KEPT_FOR - Duration::from_secs(1));
    assert_eq!(round(&mut board, &a, &[], now), 1);
    board.expire(now + KEPT_FOR);
    assert_eq!(round(&mut board, &a, &[], now), WINDOW_FIRST);
}

#[tokio::test(start_paused = true)]
async fn q_03_who_wants_less_of_us_has_a_rest() {
    let (a, now) = (to("a.example"), Instant::now());
    let mut board = board();
    let less = [Heard::Less, Heard::Less];
    assert_eq!(round(&mut board, &a, &less, now), WINDOW_FIRST);
    // It is remembered without a lane.
    assert_eq!(round(&mut board, &a, &[], now), 0);
    board.add(a.clone(), due(1, 0));
    assert!(board.start(now).is_none() && board.next(&a, now).is_none());
    let until = board.wakes_at().unwrap();
    assert_eq!(until - now, Duration::from_secs(30));
    // The others are not concerned.
    board.add(to("b.example"), due(2, 0));
    assert_eq!(board.start(now).unwrap().to, to("b.example"));
    assert_eq!(board.start(until).unwrap().to, a);
}

#[tokio::test(start_paused = true)]
async fn q_03_only_so_many_paces_are_remembered_and_the_restrained_longest() {
    let mut board = board();
    let now = Instant::now();
    let once = |board: &mut Tried, n: u16, what| {
        let to = to(&format!("d{n}.example"));
        board.add(to.clone(), due(n, 0));
        assert!(board.start(now).is_some());
        board.opened(&to, now);
        board.heard(&to, what, now);
        board.closed(&to);
        board.end(&to, Source(1), now);
    };
    once(&mut board, 0, Heard::Nothing);
    for n in 1..=u16::try_from(KEPT_MAX).unwrap() {
        once(&mut board, n, Heard::Taken);
    }
    assert_eq!(board.kept.len(), KEPT_MAX);
    assert!(board.kept.contains_key(&to("d0.example")));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_over_many_connections() {
    let limits = Limits {
        connections: 20,
        rate: Some(Rate {
            count: 2,
            per: Duration::from_secs(60),
        }),
    };
    let mut board = Tried {
        board: Board::new(100),
        limits,
    };
    let (a, mut now) = (to("a.example"), Instant::now());
    for message in 0..4 {
        board.add(a.clone(), due(message, 0));
    }
    assert!(board.start(now).is_some());
    assert!(board.next(&a, now).is_none() && board.start(now).is_none());
    for _ in 1..4 {
        board.end(&a, Source(1), now);
        let until = board.wakes_at().unwrap();
        assert_eq!(until - now, Duration::from_secs(30));
        now = until;
        assert!(board.start(now).is_some());
        assert!(board.start(now).is_none());
    }
}

/// A board on which `dead` destinations have something of this sender each, and hang.
fn hanging(dead: u16, source: u64, attempts_max: usize) -> (Tried, usize) {
    let mut board = board_of(20, attempts_max);
    for n in 0..dead {
        for m in 0..5 {
            let message = n * 5 + m;
            board.add(to(&format!("d{n}.example")), due_of(source, message, 0));
        }
    }
    let begun = std::iter::from_fn(|| start(&mut board)).count();
    (board, begun)
}

#[test]
fn q_08_attempts_that_hang_leave_room_for_others() {
    for (dead, begun) in [(20, 50), (1000, 75)] {
        let (mut board, hang) = hanging(dead, 1, 100);
        assert_eq!(hang, begun, "{dead} dead destinations");
        // Whoever has few attempts begins some, also for a destination that nobody knows.
        board.add(to("new.example"), due_of(2, 60_000, 0));
        assert_eq!(start(&mut board).unwrap().0, to("new.example"));
        // What talks is served, whoever has what.
        board.opened(&to("d0.example"), Instant::now());
        assert_eq!(
            start(&mut board).map(|start| start.0),
            Some(to("d0.example"))
        );
    }
}

#[test]
fn q_08_many_senders_whose_mail_hangs_leave_room_for_what_talks() {
    let mut board = board_of(20, 100);
    for n in 0..1000 {
        board.add(to(&format!("d{n}.example")), due_of(u64::from(n), n, 0));
    }
    let begun = std::iter::from_fn(|| start(&mut board)).count();
    assert_eq!(begun, 100 - 100 / 8);
    board.add(to("good.example"), due_of(1, 60_000, 0));
    board.opened(&to("good.example"), Instant::now());
    assert_eq!(start(&mut board).unwrap().0, to("good.example"));
}

#[test]
fn q_08_few_attempts_are_enough_to_begin() {
    for attempts_max in 1..=4 {
        let (_, begun) = hanging(10, 1, attempts_max);
        assert!(begun >= 1 && begun <= attempts_max, "{attempts_max}");
    }
}

#[test]
fn q_08_one_sender_has_half_of_the_board_at_most() {
    let mut board = board();
    let mut n = 0_u16;
    // Many destinations, so that none has too much.
    while board.add(to(&format!("d{}.example", n % 100)), due_of(1, n, 0)) {
        n += 1;
    }
    assert_eq!(usize::from(n), BOARD_MAX / 2);
    assert!(board.add(to("d0.example"), due_of(2, 60_000, 0)));
    // His own mail to others does not wait for his large backlogs.
    assert!(!board.add(to("other.example"), due_of(1, 60_001, 0)));
    assert_eq!(board.waiting(&to("other.example")), 1);
    assert_eq!(board.held[&Source(1)], BOARD_MAX / 2);
}

#[test]
fn q_06_an_operator_may_want_fewer() {
    let mut board = board_of(2, usize::MAX);
    for message in 0..10 {
        board.add(to("a.example"), due(message, 0));
    }
    assert_eq!(std::iter::from_fn(|| start(&mut board)).count(), 2);
}

#[test]
fn nothing_is_on_the_board_twice_until_it_is_forgotten() {
    let mut board = board();
    let a = to("a.example");
    assert!(board.add(a.clone(), due(1, 0)) && board.add(a.clone(), due(1, 0)));
    let (_, group) = start(&mut board).unwrap();
    assert_eq!(group.len(), 1);
    board.add(a.clone(), due(1, 0));
    assert!(start(&mut board).is_none());
    board.forget(&group);
    board.add(a, due(1, 0));
    assert!(start(&mut board).is_some());
}

#[test]
fn one_destination_cannot_fill_the_board() {
    let mut board = board();
    let mut added = 0;
    while board.add(to("a.example"), due(added, 0)) {
        added += 1;
    }
    assert_eq!(usize::from(added), LANE_MAX);
    assert!(board.add(to("b.example"), due(u16::MAX, 0)));
}

fn due_with(priority: i8, message: u16, at: u64) -> Due {
    let mut due = due_of(u64::from(message), message, 0);
    due.turn.priority = Priority::new(priority).unwrap();
    due.at = Timestamp(at);
    due
}

/// The priorities of the next `count` that are taken.
fn taken(board: &mut Tried, count: usize) -> Vec<i8> {
    let mut next = || match start(board) {
        Some((_, group)) => group[0].turn.priority.value(),
        None => panic!("nothing is left"),
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn priority_goes_first_and_nothing_waits_for_ever() {
    let mut board = board_of(usize::MAX, usize::MAX);
    for message in 0..12 {
        let priority = [-3, 0, 4][usize::from(message) % 3];
        board.add(to("a.example"), due_with(priority, message, 0));
    }
    widen(&mut board, &to("a.example"));
    let order = taken(&mut board, 12);
    assert_eq!(order[..6], [4, 4, 0, 4, 0, -3]);
    assert_eq!(order[6..], [4, 0, 0, -3, -3, -3]);
}

#[test]
fn one_senders_messages_go_by_priority_and_by_how_long_they_wait() {
    let mut board = board_of(usize::MAX, usize::MAX);
    for (priority, message, at) in [(1, 1, 0), (9, 2, 60_000), (9, 3, 6_000_000)] {
        let mut due = due_with(priority, message, at);
        due.turn.source = Source(1);
        due.at.0 += 100_000_000;
        board.add(to("a.example"), due);
    }
    widen(&mut board, &to("a.example"));
    assert_eq!(taken(&mut board, 3), [9, 1, 9]);
}

#[test]
fn what_has_time_gives_way_to_what_has_priority() {
    let mut board = board();
    for message in 0..LANE_MAX {
        let message = u16::try_from(message).unwrap();
        assert!(board.add(to("a.example"), due_with(-1, message, 0)));
    }
    assert!(!board.add(to("a.example"), due_with(-9, 9_999, 0)));
    assert!(!board.known.contains(&(due(9_999, 0).message, 0)));
    assert!(!board.add(to("a.example"), due_with(0, 10_000, 0)));
    assert!(board.known.contains(&(due(10_000, 0).message, 0)));
    assert_eq!(board.lanes[&to("a.example")].waiting, LANE_MAX);
}
