//! Pauses, numbers, and what is told to who watches.

use buzon::{
    mail::address::Domain,
    queue::{
        PAUSES_MAX, PauseError,
        admin::{Action, Selection, Standing},
    },
};

use super::due;
use crate::relay::{
    mta::{Act, Mta, say},
    world::{World, minutes},
};

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_attempted_for_a_paused_domain() {
    let mut world = World::new(Mta::good());
    world
        .dns
        .set_mx("other.example", &[(10, "mx2.there.example")]);
    let there = domain("there.example");
    assert!(world.queue.pause(Some(&there)).await.unwrap());
    assert!(!world.queue.pause(Some(&there)).await.unwrap());
    world.submit(&["a@there.example", "b@other.example"]).await;
    // Whoever asks for it does not get it, either.
    let rows = due(&world).await;
    assert_eq!(rows.len(), 2);
    world.start();
    world.pass(minutes(10)).await;
    let left = world.only().await;
    assert_eq!((left.state, left.attempts), (Standing::Waiting, 0));
    assert_eq!(world.mta.contents().len(), 1);
    // A restart changes nothing.
    world.crash().await;
    world.reopen();
    assert!(!world.queue.pause(Some(&there)).await.unwrap());
    world.start();
    world.pass(minutes(2)).await;
    assert_eq!(world.only().await.attempts, 0);
    assert!(world.queue.resume(Some(&there)).await.unwrap());
    assert!(!world.queue.resume(Some(&there)).await.unwrap());
    world.drained(minutes(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_all_ends_with_all_others() {
    let mut world = World::new(Mta::good());
    world.queue.pause(None).await.unwrap();
    world.queue.pause(Some(&domain("x.example"))).await.unwrap();
    let id = world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(10)).await;
    assert_eq!(world.only().await.attempts, 0);
    // Who gives up on mail need not wait for the end of the pause.
    let other = world.submit(&["b@there.example"]).await;
    let bounce = Selection::Message(other);
    world.queue.apply(Action::Bounce, &bounce).await.unwrap();
    world.pass(minutes(1)).await;
    assert_eq!(world.postman.reports().len(), 1);
    assert_eq!(world.listed().await[0].id, id.to_string());
    assert!(world.queue.resume(None).await.unwrap());
    let pauses = world.queue.pauses().await.unwrap();
    assert!(pauses.all.is_none() && pauses.domains.is_empty());
    world.drained(minutes(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_stands_ready_is_paused_too() {
    let silent = |_: &crate::relay::mta::Seen| Act::Silence;
    let mut world = World::new(Mta::new(silent));
    for _ in 0..30 {
        world.submit(&["a@there.example"]).await;
    }
    world.start();
    world.pass(minutes(1)).await;
    let begun = world.mta.connects();
    world.queue.pause(None).await.unwrap();
    world.mta.change(|_| Act::Usual);
    world.pass(minutes(30)).await;
    // Those in hand came to their end, and no others began.
    assert!(
        world.mta.connects() <= begun * 2,
        "{}",
        world.mta.connects()
    );
    assert!(world.listed().await.len() >= 20);
    world.queue.resume(None).await.unwrap();
    world.drained(minutes(60)).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_domains_can_be_paused() {
    let world = World::new(Mta::good());
    for n in 0..PAUSES_MAX {
        let domain = domain(&format!("d{n}.example"));
        assert!(world.queue.pause(Some(&domain)).await.unwrap());
    }
    let one_more = world.queue.pause(Some(&domain("more.example"))).await;
    assert!(matches!(one_more, Err(PauseError::TooMany)));
    assert!(world.queue.pause(None).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_counted_by_domain() {
    let world = World::new(Mta::good());
    world
        .submit(&["a@x.example", "b@x.example", "c@y.example"])
        .await;
    world.pass(minutes(1)).await;
    let held = world.submit(&["d@y.example"]).await;
    let held = Selection::Message(held);
    world.queue.apply(Action::Hold, &held).await.unwrap();
    let rows = due(&world).await;
    let _lease = world.queue.claim(&rows[..1]).await.unwrap().unwrap();
    let census = world.queue.census().await.unwrap();
    let counts = |name: &str| {
        let counts = &census.destinations[name];
        (counts.waiting, counts.due, counts.attempting, counts.held)
    };
    assert_eq!(counts("x.example"), (1, 1, 1, 0));
    assert_eq!(counts("y.example"), (1, 1, 0, 1));
    assert_eq!((census.total.all(), census.uncounted), (4, 0));
    let now = world.clock.wall().secs();
    assert_eq!(census.total.oldest_secs, Some(now - 60));
    assert_eq!(census.destinations["y.example"].next_secs, Some(now - 60));
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told_and_summed() {
    let mut world = World::new(Mta::new(|seen| match seen.command() {
        line if line.starts_with("RCPT TO:<b@") => say("450 4.2.1 busy"),
        line if line.starts_with("RCPT TO:<c@") => say("550 5.1.1 nobody"),
        _ => Act::Usual,
    }));
    let to = ["a@there.example", "b@there.example", "c@there.example"];
    world.submit(&to).await;
    world.start();
    world.pass(minutes(1)).await;
    let seen = world.queue.news().since(Some(0), 100);
    let events: Vec<_> = seen.events.iter().map(|event| event.event).collect();
    assert_eq!(events, ["attempted", "sent", "deferred", "bounced"]);
    assert_eq!(seen.events[0].recipients, 3);
    let deferred = &seen.events[2];
    assert_eq!(deferred.to, ["b@there.example"]);
    assert_eq!(deferred.sender, "<user@here.example>");
    assert_eq!(deferred.reply.as_deref(), Some("450 4.2.1 busy"));
    assert!(deferred.next_secs.is_some());
    let traffic = world.queue.news().traffic();
    let there = &traffic["there.example"];
    assert_eq!((there.attempts, there.connections_opened), (1, 1));
    assert_eq!((there.delivered, there.deferred, there.failed), (1, 1, 1));
    assert!(there.bytes > 0 && there.window.is_some());
    assert!(there.last_words.as_ref().unwrap().contains("nobody"));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_find_nobody_are_counted_too() {
    let mut world = World::new(Mta::new(|_| Act::Refuse));
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    let traffic = world.queue.news().traffic();
    let there = &traffic["there.example"];
    assert_eq!((there.attempts, there.connections_opened), (1, 0));
    assert_eq!((there.deferred, there.window), (1, Some(2)));
}
