//! What a large queue costs while nothing can be done about it.

use std::{sync::Arc, time::Duration};

use buzon::store::{fault::Fault, memory::Memory};

use super::{
    mta::{Act, Mta},
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
