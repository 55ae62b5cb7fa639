//! Whose turn it is, in which order, and what gives way.

use super::*;
use crate::{
    base::clock::Timestamp,
    mail::{address::Domain, urgency::Priority},
    queue::record::Turn,
};

fn to(domain: &str) -> Destination {
    Destination::Direct(Domain::parse(domain).unwrap())
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
    }
}

#[test]
fn recipients_of_one_message_go_together() {
    let mut board = Board::new(WINDOW_MAX);
    for n in 0..=100 {
        assert!(board.add(to("a.example"), due(1, n)));
    }
    board.add(to("a.example"), due(2, 0));
    assert_eq!(board.start().unwrap().1.len(), RECIPIENTS_MAX);
    assert_eq!(board.next(&to("a.example")).unwrap(), [due(1, 100)]);
    assert_eq!(board.next(&to("a.example")).unwrap(), [due(2, 0)]);
    assert!(board.next(&to("a.example")).is_none() && board.start().is_none());
}

#[tokio::test]
async fn q_06_a_paused_destination_begins_nothing_until_its_time() {
    let (mut board, now) = (Board::new(WINDOW_MAX), Instant::now());
    let until = now + Duration::from_secs(3);
    board.add(to("a.example"), due(1, 0));
    board.pause(&to("a.example"), until);
    board.add(to("b.example"), due(2, 0));
    assert_eq!(board.start().unwrap().0, to("b.example"));
    assert!(board.start().is_none());
    assert_eq!(board.next_pause_end(), Some(until));
    board.expire(now);
    assert!(board.start().is_none());
    board.expire(until);
    assert_eq!(board.start().unwrap().0, to("a.example"));
    assert_eq!(board.next_pause_end(), None);
    for n in 0..=PAUSED_MAX {
        board.pause(&to(&format!("d{n}.example")), until);
    }
    assert_eq!(board.paused.len(), PAUSED_MAX);
}

#[test]
fn q_08_destinations_take_turns() {
    let mut board = Board::new(WINDOW_MAX);
    for message in 0..10 {
        board.add(to("a.example"), due(message, 0));
    }
    board.add(to("b.example"), due(99, 0));
    assert_eq!(board.start().unwrap().0, to("a.example"));
    assert_eq!(board.start().unwrap().0, to("b.example"));
    assert_eq!(board.start().unwrap().0, to("a.example"));
}

#[test]
fn q_08_senders_to_one_destination_take_turns() {
    let mut board = Board::new(WINDOW_MAX);
    let a = to("a.example");
    for message in 0..10 {
        board.add(a.clone(), due_of(1, message, 0));
        board.add(a.clone(), due_of(1, message, 1));
    }
    board.add(a.clone(), due_of(2, 20, 0));
    board.add(a.clone(), due_of(3, 30, 0));
    let mut order = vec![board.start().unwrap().1];
    order.extend(std::iter::from_fn(|| board.next(&a)).take(4));
    let order: Vec<_> = order
        .iter()
        .map(|g| (g[0].turn.source.0, g.len()))
        .collect();
    assert_eq!(order, [(1, 2), (2, 1), (3, 1), (1, 2), (1, 2)]);
}

#[test]
fn q_08_who_has_most_on_a_full_board_gives_way() {
    let mut board = Board::new(WINDOW_MAX);
    let a = to("a.example");
    let mut message = 0;
    while board.add(a.clone(), due_of(1, message, 0)) {
        message += 1;
    }
    // There is room for the other, and what gave way is left in the store.
    assert!(!board.add(a.clone(), due_of(2, 30_000, 0)));
    let left = due_of(1, message - 1, 0);
    assert!(!board.known.contains(&(left.message, left.n)));
    assert_eq!(board.start().unwrap().1[0].turn.source, Source(1));
    assert_eq!(board.next(&a).unwrap()[0].turn.source, Source(2));
    // Both have half of it in the end, and neither more at the expense of the other.
    for message in 30_000..=u16::MAX {
        board.add(a.clone(), due_of(2, message, 0));
    }
    let lane = &board.lanes[&a];
    assert_eq!(lane.waiting, LANE_MAX);
    assert!(
        lane.bands[1]
            .senders
            .values()
            .all(|queue| queue.len() == LANE_MAX / 2)
    );
    let known = board.known.len();
    for message in 0..message {
        board.add(a.clone(), due_of(1, message, 0));
    }
    assert_eq!(board.known.len(), known);
}

#[tokio::test(start_paused = true)]
async fn q_06_windows_begin_at_5_grow_to_20_and_shrink() {
    let mut board = Board::new(WINDOW_MAX);
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
        board.end(&a, Instant::now());
    }
    assert!(board.next(&a).is_some());
    for _ in 0..10 {
        board.refused(&a);
        board.end(&a, Instant::now());
    }
    assert_eq!(starts(&mut board), 1);
}

#[tokio::test(start_paused = true)]
async fn q_03_a_window_that_shrank_is_remembered_for_a_while() {
    let (a, now) = (to("a.example"), Instant::now());
    let mut board = Board::new(WINDOW_MAX);
    // How many attempts begin when so much is due.
    let starts = |board: &mut Board| {
        for message in 0..10 {
            board.add(a.clone(), due(message, 0));
        }
        std::iter::from_fn(|| board.start()).count()
    };
    let drain = |board: &mut Board, running: usize| {
        while let Some(lane) = board.lanes.get_mut(&a)
            && lane.waiting > 0
        {
            lane.take();
        }
        board.turns.clear();
        board.known.clear();
        for _ in 0..running {
            board.end(&a, now);
        }
        assert!(board.lanes.is_empty());
    };
    assert_eq!(starts(&mut board), WINDOW_FIRST);
    board.refused(&a);
    board.refused(&a);
    drain(&mut board, WINDOW_FIRST);
    board.expire(now + SHRUNK_FOR - Duration::from_secs(1));
    assert_eq!(starts(&mut board), 1);
    drain(&mut board, 1);
    board.expire(now + SHRUNK_FOR);
    assert_eq!(starts(&mut board), WINDOW_FIRST);
}

#[tokio::test(start_paused = true)]
async fn q_03_only_so_many_windows_are_remembered() {
    let mut board = Board::new(WINDOW_MAX);
    for n in 0..=u16::try_from(SHRUNK_MAX).unwrap() {
        let to = to(&format!("d{n}.example"));
        board.add(to.clone(), due(n, 0));
        board.start();
        board.refused(&to);
        board.end(&to, Instant::now());
    }
    assert_eq!(board.shrunk.len(), SHRUNK_MAX);
}

#[test]
fn q_06_an_operator_may_want_fewer() {
    let mut board = Board::new(2);
    for message in 0..10 {
        board.add(to("a.example"), due(message, 0));
    }
    assert_eq!(std::iter::from_fn(|| board.start()).count(), 2);
}

#[test]
fn nothing_is_on_the_board_twice_until_it_is_forgotten() {
    let mut board = Board::new(WINDOW_MAX);
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
    let mut board = Board::new(WINDOW_MAX);
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
fn taken(board: &mut Board, count: usize) -> Vec<i8> {
    let mut next = || match board.start() {
        Some((_, group)) => group[0].turn.priority.value(),
        None => panic!("nothing is left"),
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn priority_goes_first_and_nothing_waits_for_ever() {
    let mut board = Board::new(usize::MAX);
    board.lanes.entry(to("a.example")).or_default().window = usize::MAX;
    for message in 0..12 {
        let priority = [-3, 0, 4][usize::from(message) % 3];
        board.add(to("a.example"), due_with(priority, message, 0));
    }
    let order = taken(&mut board, 12);
    assert_eq!(order[..6], [4, 4, 0, 4, 0, -3]);
    assert_eq!(order[6..], [4, 0, 0, -3, -3, -3]);
}

#[test]
fn one_senders_messages_go_by_priority_and_by_how_long_they_wait() {
    let mut board = Board::new(usize::MAX);
    board.lanes.entry(to("a.example")).or_default().window = usize::MAX;
    for (priority, message, at) in [(1, 1, 0), (9, 2, 60_000), (9, 3, 6_000_000)] {
        let mut due = due_with(priority, message, at);
        due.turn.source = Source(1);
        due.at.0 += 100_000_000;
        board.add(to("a.example"), due);
    }
    assert_eq!(taken(&mut board, 3), [9, 1, 9]);
}

#[test]
fn what_has_time_gives_way_to_what_has_priority() {
    let mut board = Board::new(WINDOW_MAX);
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
