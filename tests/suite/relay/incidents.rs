//! What goes wrong on our side: crashes, leases that run out, a store that fails or is full, a
//! stop.

use super::*;

/// A server that takes the content and never says so.
fn says_nothing_in_the_end() -> Mta {
    Mta::new(|seen| match seen.event {
        Event::Content(_) => Act::Silence,
        _ => Act::Usual,
    })
}

#[tokio::test(start_paused = true)]
async fn work_of_a_crashed_relay_is_taken_up_when_its_lease_ends() {
    let mut world = World::new(says_nothing_in_the_end());
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    assert_eq!(world.only().await.state, Standing::Attempting);
    world.crash().await;
    world.mta.change(|_| Act::Usual);
    world.start();
    world.pass(minutes(1)).await;
    assert_eq!(
        world.mta.contents().len(),
        1,
        "another's lease is respected"
    );
    world.drained(minutes(5)).await;
    assert_eq!(world.mta.contents().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn q_07_mail_that_crashes_the_server_three_times_is_held() {
    let mut world = World::new(says_nothing_in_the_end());
    let id = world.submit(&["a@there.example"]).await;
    for crashes in 1..=3 {
        world.start();
        world.pass(minutes(1)).await;
        assert_eq!(world.mta.contents().len(), crashes);
        world.crash().await;
        world.pass(minutes(6)).await;
    }
    world.start();
    world.pass(minutes(60)).await;
    assert_eq!(world.only().await.state, Standing::Held);
    assert_eq!(world.mta.contents().len(), 3);
    world.mta.change(|_| Act::Usual);
    let selection = Selection::Message(id);
    let changed = world.queue.apply(Action::Release, &selection).await;
    assert_eq!(changed.unwrap().changed, 1);
    world.drained(minutes(1)).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_longer_than_its_lease_keeps_it() {
    let mut world = World::new(says_nothing_in_the_end());
    world.submit(&["a@there.example"]).await;
    world.start();
    // RFC 5321 4.5.3.2.6: ten minutes for the final dot; the lease lasts five.
    world.pass(minutes(9)).await;
    assert_eq!(world.only().await.state, Standing::Attempting);
    assert_eq!(world.mta.contents().len(), 1);
    world.pass(minutes(2)).await;
    let waiting = world.only().await;
    assert_eq!(waiting.state, Standing::Waiting);
    assert!(waiting.reply.unwrap().contains("no answer within 600 s"));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_cannot_be_written_keeps_its_recipient() {
    let mta = Mta::new(|seen| match seen.command().starts_with("RCPT") {
        true => say("550 no"),
        false => Act::Usual,
    });
    let mut world = World::new(mta);
    world.postman.set_broken(true);
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    assert_eq!(world.only().await.state, Standing::Bouncing);
    world.postman.set_broken(false);
    world.drained(minutes(10)).await;
    assert_eq!(world.postman.reports().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_recorded_although_commits_conflict() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let mut world = World::over(Mta::good(), Arc::clone(&engine) as _);
    world.submit(&["a@there.example", "b@there.example"]).await;
    for n in [1, 3, 4] {
        engine.fail_commit(n, CommitFault::Conflict);
    }
    world.start();
    world.drained(minutes(1)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_delays_the_record_and_repeats_nothing() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let mut world = World::over(Mta::good(), Arc::clone(&engine) as _);
    world.submit(&["a@there.example"]).await;
    engine.fail_commit(2, CommitFault::Full);
    engine.fail_commit(3, CommitFault::Full);
    world.start();
    world.drained(minutes(1)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_is_in_flight_and_puts_back_what_does_not_end() {
    for (silent, delivered) in [(false, true), (true, false)] {
        let mta = Mta::new(move |seen| match seen.event {
            Event::Content(_) if silent => Act::Silence,
            _ => Act::Usual,
        });
        let world = World::new(mta.clone());
        world.submit(&["a@there.example"]).await;
        let relay = world.relay();
        // The stop comes when the content has been sent.
        let stop = async {
            while mta.contents().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        relay.run(stop).await;
        if delivered {
            assert_eq!(world.residue().await, 0);
        } else {
            let waiting = world.only().await;
            assert_eq!((waiting.state, waiting.attempts), (Standing::Waiting, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_at_the_final_dot_is_tried_again() {
    let mut breaks = 1;
    let mta = Mta::new(move |seen| {
        if matches!(seen.event, Event::Content(_)) && breaks > 0 {
            breaks -= 1;
            return Act::Close;
        }
        Act::Usual
    });
    let world = delivered(mta, &["a@there.example"]).await;
    // At least once: the first server may have kept its copy.
    assert_eq!(world.mta.contents().len(), 2);
    assert!(world.postman.reports().is_empty());
}
