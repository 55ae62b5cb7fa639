//! What an operator does to the queue by filters, a page at a time, and by ways of his own.

use buzon::{
    base::clock::Timestamp,
    mail::{
        address::{Address, Domain},
        envelope::ReversePath,
    },
    queue::{
        Outcome,
        admin::{Action, Filter, MessageSummary, Selection, Standing},
        record::{Diagnosis, Status, Via},
    },
    relay::{Route, Sources},
    smtp::client::conversation::Security,
    store::Batch,
};

use super::{due, retry_at};
use crate::relay::{
    mta::{Act, Event, Mta, say},
    world::{World, minutes},
};

fn addresses(messages: &[MessageSummary]) -> Vec<&str> {
    let recipients = messages.iter().flat_map(|message| &message.recipients);
    let addresses = recipients.map(|recipient| recipient.address.as_deref().unwrap());
    addresses.collect()
}

/// A world with three messages: two recipients that wait with different words, one that is held,
/// and one from somebody else that is due.
async fn mixed() -> World {
    let world = World::new(Mta::good());
    world.submit(&["grey@x.example", "busy@y.example"]).await;
    for row in due(&world).await {
        let mut lease = world.queue.claim(&[row]).await.unwrap().unwrap();
        let words = match lease.recipients[0].record.address.folded_local().as_str() {
            "grey" => Diagnosis::new(Some("mx"), 451, Status(4, 7, 1), "Greylisted, come back"),
            _ => Diagnosis::new(None, 0, Status(4, 4, 1), "connection refused"),
        };
        let outcome = Outcome::Retry {
            at: world.clock.wall().plus(minutes(30)),
            why: words,
            delay_told: false,
            late_told: false,
        };
        let outcomes = [(lease.recipients[0].n, outcome)];
        let recorded = world.queue.record(&mut lease, &outcomes, Batch::new());
        recorded.await.unwrap();
    }
    let held = world.submit(&["held@x.example"]).await;
    let held = Selection::Message(held);
    let hold = world.queue.apply(Action::Hold, &held).await;
    assert_eq!(hold.unwrap().changed, 1);
    world.pass(minutes(10)).await;
    let content = b"Subject: x\r\n\r\nx\r\n";
    world
        .put("other@z.example", &["due@x.example"], None, content)
        .await;
    world
}

/// Filters by their names, and whom they find in [`mixed`].
fn filters(world: &World) -> Vec<(Filter, Vec<&'static str>)> {
    let all = Filter::default;
    let error = |words: &str| Filter {
        error: Some(words.to_owned()),
        ..all()
    };
    let state = |state| Filter {
        state: Some(state),
        ..all()
    };
    let x = Some(Domain::parse("x.example").unwrap());
    let old = Some(Timestamp(world.clock.wall().0 - 300_000));
    let other = Some(ReversePath::Address("other@z.example".parse().unwrap()));
    let both = ["grey@x.example", "busy@y.example"];
    vec![
        (
            all(),
            [&both[..], &["held@x.example", "due@x.example"]].concat(),
        ),
        (error("greylist"), vec!["grey@x.example"]),
        (error("451"), vec!["grey@x.example"]),
        (error("4.4.1"), vec!["busy@y.example"]),
        (error("refused"), vec!["busy@y.example"]),
        (error("nothing of it"), vec![]),
        (state(Standing::Held), vec!["held@x.example"]),
        (
            state(Standing::Waiting),
            [&both[..], &["due@x.example"]].concat(),
        ),
        (state(Standing::Damaged), vec![]),
        (
            Filter {
                domain: x,
                received_before: old,
                ..all()
            },
            vec!["grey@x.example", "held@x.example"],
        ),
        (
            Filter {
                sender: other.clone(),
                ..all()
            },
            vec!["due@x.example"],
        ),
        (
            Filter {
                sender: other,
                state: Some(Standing::Held),
                ..all()
            },
            vec![],
        ),
        (
            Filter {
                recipient: Some(Address::parse("busy@y.example").unwrap()),
                ..all()
            },
            vec!["busy@y.example"],
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn filters_choose_what_is_listed_and_what_is_done() {
    for at in 0..filters(&mixed().await).len() {
        let world = mixed().await;
        let (filter, expected) = filters(&world).swap_remove(at);
        let listed = world.queue.list(&filter, None, 10).await.unwrap();
        assert_eq!(addresses(&listed.messages), expected, "{filter:?}");
        let others = listed.messages.iter().map(|message| message.others);
        let whole = expected.len() + others.sum::<usize>();
        assert!(whole <= 4 && (filter != Filter::default() || whole == 4));
        let all = Selection::Matching(filter.clone());
        let dropped = world.queue.apply(Action::Drop, &all).await;
        assert_eq!(dropped.unwrap().changed, expected.len());
        let left = world.listed().await;
        let left = addresses(&left);
        assert_eq!(left.len(), 4 - expected.len());
        assert!(!left.iter().any(|left| expected.contains(left)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_message_is_in_nobodys_way_but_its_own() {
    use buzon::store::key;
    let world = World::new(Mta::good());
    let orphan = world.submit(&["a@x.example"]).await;
    let broken = world.submit(&["b@x.example"]).await;
    let mut batch = Batch::new();
    batch.put(key::queue_message(orphan), b"nonsense".to_vec());
    batch.put(key::queue_recipient(broken, 0), b"nonsense".to_vec());
    world.engine.commit(batch).await.unwrap();
    let damaged = Filter {
        state: Some(Standing::Damaged),
        ..Filter::default()
    };
    let listed = world.queue.list(&damaged, None, 10).await.unwrap();
    assert_eq!(listed.messages[0].id, broken.to_string());
    // Whose mail it is cannot be known, so it is nobody's.
    let sender = Filter {
        sender: Some(ReversePath::Null),
        ..Filter::default()
    };
    for filter in [sender, damaged] {
        let count = usize::from(filter.state.is_some());
        let all = Selection::Matching(filter);
        let done = world.queue.apply(Action::Drop, &all).await;
        assert_eq!(done.unwrap().changed, count);
    }
    assert_eq!(world.listed().await[0].id, orphan.to_string());
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_is_listed_and_changed_in_steps() {
    let world = World::new(Mta::good());
    let many: Vec<_> = (0..700).map(|n| format!("u{n}@x.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    // More than one page of recipients, with one message over the edge of a page.
    for to in [&many[..600], &many[..700], &many[..3]] {
        world.submit(to).await;
        world.pass(minutes(1)).await;
    }
    let (mut from, mut listed) = (None, Vec::new());
    loop {
        let page = world.queue.list(&Filter::default(), from, 2).await.unwrap();
        let counts = page.messages.iter();
        listed.extend(counts.map(|message| (message.recipients.len(), message.others)));
        let Some(next) = page.next else { break };
        from = Some(next.parse().unwrap());
    }
    assert_eq!(listed, [(100, 500), (100, 600), (3, 0)]);

    let (mut from, mut steps, mut changed) = (None, 0, 0);
    loop {
        let all = Filter::default();
        let step = world.queue.apply_some(Action::Hold, &all, from).await;
        let (some, next) = step.unwrap();
        (steps, changed) = (steps + 1, changed + some.changed);
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(changed, 1303);
    assert!(steps > 1);
    assert!(due(&world).await.is_empty());
}

/// To which hosts connections were made.
fn connects(world: &World) -> Vec<String> {
    let seen = world.mta.seen();
    let connects = seen.iter().filter(|seen| seen.event == Event::Connect);
    connects.map(|seen| seen.to.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn rerouted_mail_goes_where_the_operator_says() {
    let route = |host: &str, port| Route {
        hosts: vec![(host.to_owned(), port)],
        security: Security::Opportunistic,
        login: None,
        sources: Sources::default(),
    };
    for (via, place) in [
        (Some("198.51.100.7:2525"), "198.51.100.7:2525"),
        (Some("mx2.there.example"), "198.51.100.2:25"),
        (Some("mx"), "198.51.100.1:25"),
        (Some("smarthost"), "10.0.0.2:587"),
        (None, "10.0.0.1:26"),
    ] {
        let mut world = World::new(Mta::good());
        let domain = Domain::parse("there.example").unwrap();
        world.options.routes.insert(domain, route("10.0.0.1", 26));
        world.options.smarthost = Some(route("10.0.0.2", 587));
        let id = world.submit(&["a@there.example"]).await;
        let via: Option<Via> = via.map(|text| text.parse().unwrap());
        let reroute = Action::Reroute(via.as_ref());
        let changed = world.queue.apply(reroute, &Selection::Message(id)).await;
        assert_eq!(changed.unwrap().changed, 1);
        let shown = world.only().await.via;
        assert_eq!(shown, via.as_ref().map(ToString::to_string));
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(connects(&world), [place]);
        assert_eq!(world.residue().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_dead_host_goes_another_way_at_once() {
    let dead = "198.51.100.1:25".parse().unwrap();
    // The host takes calls and says nothing, so its window is full for minutes.
    let mut world = World::new(Mta::new(move |seen| match seen.to == dead {
        true => Act::Silence,
        false => Act::Usual,
    }));
    world
        .dns
        .set_mx("slow.example", &[(10, "mx1.there.example")]);
    for _ in 0..30 {
        world.submit(&["a@slow.example"]).await;
    }
    world.start();
    world.pass(minutes(1)).await;
    let waiting = Filter {
        state: Some(Standing::Waiting),
        ..Filter::default()
    };
    let via: Via = "198.51.100.7".parse().unwrap();
    let reroute = Action::Reroute(Some(&via));
    let waiting = Selection::Matching(waiting);
    let changed = world.queue.apply(reroute, &waiting).await;
    let changed = changed.unwrap().changed;
    assert!(changed >= 20, "{changed}");
    world.pass(minutes(1) / 6).await;
    assert_eq!(world.listed().await.len(), 30 - changed);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_way_is_not_rerouted() {
    let world = World::new(Mta::good());
    let id = world.submit(&["a@x.example"]).await;
    let via: Via = "mx".parse().unwrap();
    let message = Selection::Message(id);
    let apply = async |action| world.queue.apply(action, &message).await.unwrap();
    apply(Action::Hold).await;
    let reroute = Action::Reroute(Some(&via));
    assert_eq!(apply(reroute).await.changed, 1);
    // A hold stays one.
    assert_eq!(world.only().await.state, Standing::Held);
    apply(Action::Bounce).await;
    assert_eq!(apply(Action::Reroute(None)).await.unaffected, 1);
    assert_eq!(world.only().await.via.as_deref(), Some("mx"));
}

#[tokio::test(start_paused = true)]
async fn a_way_to_ourselves_is_not_gone() {
    let mut world = World::new(Mta::good());
    let listener = "192.0.2.9:2525".parse().unwrap();
    world.options.own.listeners.push(listener);
    let us = ["192.0.2.9".parse().unwrap()];
    world.dns.set_addresses("us.example", &us);
    let id = world.submit(&["a@x.example"]).await;
    let via: Via = "us.example:2525".parse().unwrap();
    let reroute = Action::Reroute(Some(&via));
    let changed = world.queue.apply(reroute, &Selection::Message(id)).await;
    assert_eq!(changed.unwrap().changed, 1);
    world.start();
    world.pass(minutes(1)).await;
    let left = world.only().await;
    assert!(left.reply.unwrap().contains("would come back"));
    assert_eq!(world.mta.connects(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_read_before_a_reroute_is_not_attempted() {
    let world = World::new(Mta::new(|_| say("421 no")));
    let id = world.submit(&["a@x.example"]).await;
    let before = due(&world).await;
    let via: Via = "mx".parse().unwrap();
    let reroute = Action::Reroute(Some(&via));
    // At the very moment at which it is due, so that the row has the same key.
    let changed = world.queue.apply(reroute, &Selection::Message(id)).await;
    assert_eq!(changed.unwrap().changed, 1);
    assert!(world.queue.claim(&before).await.unwrap().is_none());
    let after = due(&world).await;
    let mut lease = world.queue.claim(&after).await.unwrap().unwrap();
    let outcome = [(0, retry_at(world.clock.wall().plus(minutes(5))))];
    let recorded = world.queue.record(&mut lease, &outcome, Batch::new());
    recorded.await.unwrap();
    // It stays on its way.
    assert_eq!(world.only().await.via.as_deref(), Some("mx"));
}
