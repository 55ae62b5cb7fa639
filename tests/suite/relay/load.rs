//! What a large queue costs while nothing can be done about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use buzon::store::{fault::Fault, memory::Memory};

use super::{
    mta::{Act, Event, Mta},
    world::{World, minutes},
};

#[tokio::test(start_paused = true)]
async fn q_08_what_does_not_fit_on_the_board_is_not_looked_at_while_nothing_ends() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let mut world = World::over(Mta::new(|_| Act::Silence), engine.clone());
    for message in 0..21 {
        let to = (0..100).map(|n| format!("r{n}.{message}@there.example"));
        let to: Vec<_> = to.collect();
        let to: Vec<_> = to.iter().map(String::as_str).collect();
        world.submit(&to).await;
    }
    world.start();
    world.pass(minutes(2)).await;
    let before = engine.reads();
    world.pass(Duration::from_secs(50)).await;
    let reads = engine.reads() - before;
    assert!(reads < 50, "{reads} reads while every attempt waits");
    // And all of it is attempted.
    world.mta.change(|_| Act::Usual);
    world.drained(minutes(90)).await;
}

#[tokio::test(start_paused = true)]
async fn q_08_much_that_is_due_is_looked_at_in_parts_and_attempts_begin_in_between() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let (first, counter) = (Arc::new(AtomicU64::new(0)), Arc::clone(&engine));
    let seen_first = Arc::clone(&first);
    let mta = Mta::new(move |seen| {
        if seen.event == Event::Connect && seen_first.load(Ordering::Relaxed) == 0 {
            seen_first.store(counter.rows(), Ordering::Relaxed);
        }
        Act::Silence
    });
    let mut world = World::over(mta, engine.clone());
    for message in 0..150 {
        let to = (0..100).map(|n| format!("r{n}.{message}@there.example"));
        let to: Vec<_> = to.collect();
        let to: Vec<_> = to.iter().map(String::as_str).collect();
        world.submit(&to).await;
    }
    let before = engine.rows();
    world.start();
    world.pass(Duration::from_secs(10)).await;
    let first = first.load(Ordering::Relaxed) - before;
    assert!(
        (1000..=8_100).contains(&first),
        "{first} rows before the first attempt"
    );
    // One look at all of it and one at what came lately, and no other before its time.
    let rows = engine.rows() - before;
    assert!(
        (15_000..31_000).contains(&rows),
        "{rows} rows in ten seconds"
    );
    // What is behind the others in the store comes to its turn.
    world
        .dns
        .set_mx("last.example", &[(10, "mx2.there.example")]);
    world
        .mta
        .change(|seen| match seen.to.ip().to_string().as_str() {
            "198.51.100.2" => Act::Usual,
            _ => Act::Silence,
        });
    world.submit(&["z@last.example"]).await;
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.mta.contents().len(), 1);
}
