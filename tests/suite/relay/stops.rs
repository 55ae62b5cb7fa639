//! A server that stops: what is given up at once, and what is waited for.

use std::time::Duration;

use buzon::queue::admin::Standing;
use tokio::{sync::oneshot, time::Instant};

use super::{
    mta::{Act, Event, Mta, Seen},
    world::World,
};

/// Runs a relay for a while and stops it; how long that took.
async fn stopped(world: &World) -> Duration {
    let (stop, asked) = oneshot::channel::<()>();
    let relay = world.relay();
    let running = relay.run(async {
        let _ = asked.await;
    });
    let stopping = async {
        world.pass(Duration::from_secs(20)).await;
        drop(stop);
        Instant::now()
    };
    let ((), begun) = tokio::join!(running, stopping);
    begun.elapsed()
}

/// A server that says nothing any more from this on.
fn silent_at(at: &'static str) -> Mta {
    Mta::new(move |seen: &Seen| match &seen.event {
        Event::Connect if at == "connect" => Act::Ignore,
        Event::Connect if at == "greeting" => Act::Silence,
        Event::Content(_) if at == "content" => Act::Silence,
        Event::Command(line) if line.starts_with(at) => Act::Silence,
        _ => Act::Usual,
    })
}

#[tokio::test(start_paused = true)]
async fn what_has_not_come_to_its_final_dot_is_put_back_at_once() {
    for at in ["connect", "greeting", "EHLO", "MAIL", "RCPT", "DATA"] {
        let world = World::new(silent_at(at));
        world.submit(&["a@there.example"]).await;
        let took = stopped(&world).await;
        assert!(took <= Duration::from_millis(1100), "{at}: {took:?}");
        let left = world.only().await;
        assert_eq!((left.state, left.attempts), (Standing::Waiting, 0), "{at}");
        assert!(left.due_secs <= Some(world.clock.wall().secs()), "{at}");
        assert!(world.mta.contents().is_empty(), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_final_dot_is_waited_for_but_not_for_ever() {
    let mut world = World::new(silent_at("content"));
    world.options.stop_timeout = Duration::from_secs(14);
    world.submit(&["a@there.example"]).await;
    let took = stopped(&world).await;
    assert_eq!(took.as_secs(), 14);
    assert_eq!(world.mta.contents().len(), 1);
    let left = world.only().await;
    assert_eq!((left.state, left.attempts), (Standing::Waiting, 0));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_a_goodbye_keeps_no_server_from_stopping() {
    let world = World::new(silent_at("QUIT"));
    world.submit(&["a@there.example"]).await;
    let (stop, asked) = oneshot::channel::<()>();
    let relay = world.relay();
    let running = relay.run(async {
        let _ = asked.await;
    });
    let stopping = async {
        // The connection waits for more mail.
        world.pass(Duration::from_secs(5)).await;
        assert_eq!(world.mta.contents().len(), 1);
        drop(stop);
        Instant::now()
    };
    let ((), begun) = tokio::join!(running, stopping);
    assert!(begun.elapsed() <= Duration::from_millis(1100));
}
