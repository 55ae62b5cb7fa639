//! The queue over the memory engine: leases, outcomes, damage, the operator's actions.

mod control;
mod pauses;
mod verbs;

use std::{sync::Arc, time::Duration};

use buzon::{
    base::{clock::Timestamp, ids::MessageId, random::Random},
    mail::{
        address::{Address, Domain},
        envelope::{MailOptions, RcptOptions, ReversePath},
        urgency::Hold,
    },
    queue::{
        Lease, Outcome, RecordError,
        admin::{Action, Filter, Selection, Standing},
        record::{Diagnosis, Due, Status},
    },
    store::{Batch, ReadError, fault::Fault, key, memory::Memory},
};
use tokio::time::Instant;

use crate::relay::{
    mta::Mta,
    world::{MESSAGE, World, minutes},
};

async fn due(world: &World) -> Vec<Due> {
    world.queue.due(None, 100).await.unwrap().rows
}

async fn claim_all(world: &World) -> Lease {
    let rows = due(world).await;
    world.queue.claim(&rows).await.unwrap().unwrap()
}

fn retry_at(at: Timestamp) -> Outcome {
    Outcome::Retry {
        at,
        why: Diagnosis::new(None, 0, Status(4, 0, 0), "later"),
        delay_told: false,
        late_told: false,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_is_not_due_until_its_lease_ends() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example", "b@y.example"]).await;
    let rows = due(&world).await;
    assert_eq!(rows.len(), 2);
    let lease = world.queue.claim(&rows).await.unwrap().unwrap();
    assert_eq!(lease.recipients.len(), 2);
    assert_eq!(lease.recipients[0].record.attempts, 1);
    assert!(due(&world).await.is_empty());
    assert!(world.queue.claim(&rows).await.unwrap().is_none());
    assert_eq!(world.queue.next_due().await.unwrap(), Some(lease.until()));
    world.pass(minutes(5)).await;
    assert_eq!(due(&world).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn dur_08_what_was_in_hand_at_a_crash_is_due_at_the_next_start() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example", "b@y.example"]).await;
    let rows = due(&world).await;
    let mut lost = world.queue.claim(&rows[..1]).await.unwrap().unwrap();
    let mut other = world.queue.claim(&rows[1..]).await.unwrap().unwrap();
    let later = retry_at(world.clock.wall().plus(minutes(3)));
    let outcome = [(other.recipients[0].n, later)];
    let recorded = world.queue.record(&mut other, &outcome, Batch::new()).await;
    recorded.unwrap();
    assert_eq!(world.queue.reclaim().await.unwrap(), 1);
    let again = due(&world).await;
    assert_eq!(again.len(), 1);
    // it is one of three.
    let lease = world.queue.claim(&again).await.unwrap().unwrap();
    let record = &lease.recipients[0].record;
    assert_eq!((record.attempts, record.unfinished), (2, 2));
    let result = world.queue.renew(&mut lost).await;
    assert!(matches!(result, Err(RecordError::LeaseLost)));
}

#[tokio::test(start_paused = true)]
async fn q_09_a_lost_lease_changes_nothing() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example"]).await;
    let mut first = claim_all(&world).await;
    world.pass(minutes(6)).await;
    let mut second = claim_all(&world).await;
    assert!(second.recipients[0].record.fence > first.recipients[0].record.fence);
    let finished = [(0, Outcome::Finished)];
    for result in [
        world.queue.renew(&mut first).await,
        world
            .queue
            .record(&mut first, &finished, Batch::new())
            .await,
        world.queue.release(first).await,
    ] {
        assert!(matches!(result, Err(RecordError::LeaseLost)));
    }
    let result = world
        .queue
        .record(&mut second, &finished, Batch::new())
        .await;
    result.unwrap();
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_last_recipient_takes_message_and_body_along() {
    let world = World::new(Mta::good());
    world
        .submit(&["a@x.example", "b@y.example", "c@z.example"])
        .await;
    let rows = due(&world).await;
    let mut leases = Vec::new();
    for row in rows.chunks(1) {
        leases.push(world.queue.claim(row).await.unwrap().unwrap());
    }
    let blob = leases[0].message.blob;
    for (at, lease) in leases.iter_mut().enumerate() {
        assert!(world.engine.body(blob, 0..1).await.is_ok());
        let outcome = [(lease.recipients[0].n, Outcome::Finished)];
        world
            .queue
            .record(lease, &outcome, Batch::new())
            .await
            .unwrap();
        assert!(lease.recipients.is_empty());
        assert_eq!(world.listed().await.len(), usize::from(at < 2));
    }
    assert!(matches!(
        world.engine.body(blob, 0..1).await,
        Err(ReadError::NoSuchBody)
    ));
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn two_last_recipients_at_once_leave_nothing_behind() {
    // Each of the two reads while the other one is still there; the store decides who comes last.
    let world = World::new(Mta::good());
    for _ in 0..20 {
        world.submit(&["a@x.example", "b@y.example"]).await;
        let rows = due(&world).await;
        let mut a = world.queue.claim(&rows[..1]).await.unwrap().unwrap();
        let mut b = world.queue.claim(&rows[1..]).await.unwrap().unwrap();
        let finish = async |lease: &mut Lease| loop {
            let outcome = [(lease.recipients[0].n, Outcome::Finished)];
            match world.queue.record(lease, &outcome, Batch::new()).await {
                Ok(()) => return,
                Err(RecordError::Conflict) => {}
                Err(error) => panic!("{error}"),
            }
        };
        tokio::join!(finish(&mut a), finish(&mut b));
        assert_eq!(world.residue().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_with_other_owners_stays() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example"]).await;
    let mut lease = claim_all(&world).await;
    let blob = lease.message.blob;
    let mut batch = Batch::new();
    batch.sum(key::body_owners(blob), 2);
    world.engine.commit(batch).await.unwrap();
    let outcome = [(0, Outcome::Finished)];
    world
        .queue
        .record(&mut lease, &outcome, Batch::new())
        .await
        .unwrap();
    assert!(world.engine.body(blob, 0..1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn released_work_is_as_if_it_had_not_been_claimed() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example"]).await;
    for _ in 0..5 {
        let lease = claim_all(&world).await;
        world.queue.release(lease).await.unwrap();
    }
    let left = world.only().await;
    assert_eq!((left.state, left.attempts), (Standing::Waiting, 0));
}

#[tokio::test(start_paused = true)]
async fn dur_10_damaged_records_do_not_stop_the_others() {
    let world = World::new(Mta::good());
    let broken = world.submit(&["a@x.example", "b@x.example"]).await;
    let orphan = world.submit(&["c@x.example"]).await;
    let sound = world.submit(&["d@x.example"]).await;
    let mut batch = Batch::new();
    batch.put(key::queue_recipient(broken, 0), b"nonsense".to_vec());
    batch.put(key::queue_message(orphan), b"nonsense".to_vec());
    let odd = key::queue_due(Timestamp(1), sound, 0);
    batch.put(odd, b"\xff".to_vec());
    world.engine.commit(batch).await.unwrap();

    let rows = due(&world).await;
    assert_eq!(rows.len(), 4);
    let of = |id: MessageId| {
        rows.iter()
            .filter(|r| r.message == id)
            .cloned()
            .collect::<Vec<_>>()
    };
    let lease = world.queue.claim(&of(broken)).await.unwrap().unwrap();
    assert_eq!(lease.recipients.len(), 1);
    assert!(world.queue.claim(&of(orphan)).await.unwrap().is_none());
    assert!(world.queue.claim(&of(sound)).await.unwrap().is_some());
    assert!(
        due(&world).await.is_empty(),
        "nothing is met again and again"
    );

    let shown = world.queue.show(broken).await.unwrap().unwrap();
    assert_eq!(shown.recipients[0].state, Standing::Damaged);
    let shown = world.queue.show(orphan).await.unwrap().unwrap();
    assert_eq!(
        (shown.sender, shown.recipients[0].state),
        (None, Standing::Held)
    );
    for (id, count) in [(broken, 1), (orphan, 1)] {
        let dropped = world
            .queue
            .apply(Action::Drop, &Selection::Message(id))
            .await;
        assert_eq!(dropped.unwrap().changed, count);
    }
    assert!(world.queue.show(orphan).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn dur_07_due_times_of_a_wrong_clock_are_made_due() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example"]).await;
    let mut lease = claim_all(&world).await;
    let far = world
        .clock
        .wall()
        .plus(Duration::from_secs(10 * 365 * 86_400));
    let outcome = [(0, retry_at(far))];
    world
        .queue
        .record(&mut lease, &outcome, Batch::new())
        .await
        .unwrap();
    assert!(due(&world).await.is_empty());
    assert_eq!(world.queue.reclamp().await.unwrap(), 1);
    assert_eq!(world.queue.reclamp().await.unwrap(), 0);
    assert_eq!(due(&world).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dur_07_due_times_within_the_schedule_stay() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example"]).await;
    let mut lease = claim_all(&world).await;
    let outcome = [(0, retry_at(world.clock.wall().plus(minutes(240))))];
    world
        .queue
        .record(&mut lease, &outcome, Batch::new())
        .await
        .unwrap();
    assert_eq!(world.queue.reclamp().await.unwrap(), 0);
}

/// The table of docs/STORE-queue.md: what each action does in each state.
#[tokio::test(start_paused = true)]
async fn every_action_in_every_state() {
    use Action as A;
    use Standing as S;
    for (state, action, expected) in [
        (S::Waiting, A::Retry, Some(S::Waiting)),
        (S::Waiting, A::Hold, Some(S::Held)),
        (S::Waiting, A::Release, Some(S::Waiting)),
        (S::Waiting, A::Bounce, Some(S::Bouncing)),
        (S::Waiting, A::Drop, None),
        (S::Held, A::Retry, Some(S::Held)),
        (S::Held, A::Hold, Some(S::Held)),
        (S::Held, A::Release, Some(S::Waiting)),
        (S::Held, A::Bounce, Some(S::Bouncing)),
        (S::Held, A::Drop, None),
        // RFC 4865: what its sender holds is released, and not by a mere retry.
        (S::Scheduled, A::Retry, Some(S::Scheduled)),
        (S::Scheduled, A::Release, Some(S::Waiting)),
        (S::Scheduled, A::Hold, Some(S::Held)),
        (S::Scheduled, A::Bounce, Some(S::Bouncing)),
        (S::Scheduled, A::Drop, None),
        (S::Bouncing, A::Hold, Some(S::Held)),
        (S::Attempting, A::Retry, Some(S::Attempting)),
        (S::Attempting, A::Hold, Some(S::Attempting)),
        (S::Attempting, A::Release, Some(S::Attempting)),
        (S::Attempting, A::Bounce, Some(S::Attempting)),
        (S::Attempting, A::Drop, Some(S::Attempting)),
    ] {
        let world = World::new(Mta::good());
        let options = MailOptions {
            release: (state == S::Scheduled).then(|| Hold::For(60).from(world.clock.wall())),
            ..MailOptions::default()
        };
        let to = [("a@x.example", RcptOptions::default())];
        let id = world.submit_asking(options, &to).await;
        let selection = Selection::Message(id);
        let apply = async |action| world.queue.apply(action, &selection).await.unwrap();
        let lease = match state {
            S::Waiting | S::Scheduled | S::Damaged => None,
            S::Held => Some(apply(A::Hold).await).and(None),
            S::Bouncing => Some(apply(A::Bounce).await).and(None),
            S::Attempting => Some(claim_all(&world).await),
        };
        let changed = apply(action).await;
        assert_eq!(changed.busy, usize::from(state == S::Attempting));
        let shown = world.queue.show(id).await.unwrap();
        let after = shown.map(|message| message.recipients[0].state);
        assert_eq!(after, expected, "{action:?} in {state:?}");
        // Whatever was done, there is exactly one row when there is to be one, and none otherwise.
        let rows = world.residue().await - usize::from(after.is_some());
        let due = matches!(
            after,
            Some(S::Waiting | S::Scheduled | S::Bouncing | S::Attempting)
        );
        assert_eq!(rows, usize::from(due));
        drop(lease);
    }
}

#[tokio::test(start_paused = true)]
async fn one_recipient_can_be_dropped_and_a_retry_is_due_now() {
    let world = World::new(Mta::good());
    let id = world.submit(&["a@x.example", "b@y.example"]).await;
    let b = Address::parse("b@y.example").unwrap();
    let selection = Selection::Recipient(id, b);
    let changed = world.queue.apply(Action::Drop, &selection).await.unwrap();
    assert_eq!(changed.changed, 1);
    let mut lease = claim_all(&world).await;
    let outcome = [(0, retry_at(world.clock.wall().plus(minutes(30))))];
    world
        .queue
        .record(&mut lease, &outcome, Batch::new())
        .await
        .unwrap();
    assert!(due(&world).await.is_empty());
    let all = world
        .queue
        .apply(Action::Retry, &Selection::Matching(Filter::default()))
        .await
        .unwrap();
    assert_eq!(all.changed, 1);
    assert_eq!(due(&world).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_everything_is_quick_and_writes_nothing_twice() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let world = World::over(Mta::good(), Arc::clone(&engine) as _);
    for _ in 0..600 {
        world.submit(&["a@x.example"]).await;
    }
    let all = Selection::Matching(Filter::default());
    let retry = || world.queue.apply(Action::Retry, &all);
    // All of them are due as they are.
    let commits = engine.commits();
    assert_eq!(retry().await.unwrap().changed, 600);
    assert_eq!(engine.commits(), commits);

    world
        .queue
        .apply(Action::Hold, &Selection::Matching(Filter::default()))
        .await
        .unwrap();
    world
        .queue
        .apply(Action::Release, &Selection::Matching(Filter::default()))
        .await
        .unwrap();
    for due in world.queue.due(None, 1000).await.unwrap().rows {
        let mut lease = world.queue.claim(&[due]).await.unwrap().unwrap();
        let outcome = [(0, retry_at(world.clock.wall().plus(minutes(30))))];
        let recorded = world.queue.record(&mut lease, &outcome, Batch::new());
        recorded.await.unwrap();
    }
    engine.delay_reads(Duration::from_millis(10));
    let begun = Instant::now();
    assert_eq!(retry().await.unwrap().changed, 600);
    assert!(begun.elapsed() < Duration::from_secs(1));
    engine.delay_reads(Duration::ZERO);
    assert_eq!(world.queue.due(None, 1000).await.unwrap().rows.len(), 600);
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_and_paged() {
    let world = World::new(Mta::good());
    world.submit(&["a@x.example", "b@y.example"]).await;
    world.pass(minutes(10)).await;
    let later = world.clock.wall();
    world
        .put("other@z.example", &["a@x.example"], None, MESSAGE)
        .await;
    let count = async |filter: &Filter| {
        let listing = world.queue.list(filter, None, 10).await.unwrap();
        assert_eq!(listing.next, None);
        listing.messages.len()
    };
    let of = |domain: &str| Filter {
        domain: Some(Domain::parse(domain).unwrap()),
        ..Filter::default()
    };
    assert_eq!(count(&Filter::default()).await, 2);
    assert_eq!(count(&of("x.example")).await, 2);
    assert_eq!(count(&of("y.example")).await, 1);
    assert_eq!(count(&of("z.example")).await, 0);
    let sender = Filter {
        sender: Some(ReversePath::Address("other@z.example".parse().unwrap())),
        ..Filter::default()
    };
    assert_eq!(count(&sender).await, 1);
    let nobody = Filter {
        sender: Some(ReversePath::Null),
        ..Filter::default()
    };
    assert_eq!(count(&nobody).await, 0);
    let old = Filter {
        received_before: Some(later),
        ..Filter::default()
    };
    assert_eq!(count(&old).await, 1);

    let first = world.queue.list(&Filter::default(), None, 1).await.unwrap();
    let next = first.next.unwrap().parse().unwrap();
    let second = world.queue.list(&Filter::default(), Some(next), 1).await;
    let second = second.unwrap();
    assert_eq!(second.next, None);
    assert_ne!(first.messages[0].id, second.messages[0].id);
    let json = serde_json::to_value(&second).unwrap();
    let shown = &json["messages"][0];
    assert_eq!(shown["sender"], "<other@z.example>");
    assert_eq!(shown["recipients"][0]["state"], "waiting");
}

#[tokio::test(start_paused = true)]
async fn a_message_to_five_hundred_goes_through_in_pieces() {
    let world = World::new(Mta::good());
    let to: Vec<_> = (0..500).map(|n| format!("u{n}@x.example")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let id = world.submit(&to).await;
    let hold = world
        .queue
        .apply(Action::Hold, &Selection::Message(id))
        .await;
    assert_eq!(hold.unwrap().changed, 500);
    assert_eq!(world.residue().await, 1);
    let shown = world.queue.show(id).await.unwrap().unwrap();
    assert_eq!(shown.recipients.len(), 500);
    let drop = world
        .queue
        .apply(Action::Drop, &Selection::Message(id))
        .await;
    assert_eq!(drop.unwrap().changed, 500);
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn ids_of_unknown_messages_are_harmless() {
    let world = World::new(Mta::good());
    let id = MessageId::fresh(world.clock.wall(), &Random::seeded(9));
    assert!(world.queue.show(id).await.unwrap().is_none());
    let changed = world
        .queue
        .apply(Action::Drop, &Selection::Message(id))
        .await;
    assert_eq!(changed.unwrap().changed, 0);
}
