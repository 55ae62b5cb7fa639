//! Times on their way through the relay: what must not go yet (RFC 4865), what is wanted soon (RFC
//! 2852), and what a server takes at once (RFC 9422).

use buzon::{
    base::ids::AccountId,
    mail::{
        dsn::Notify,
        envelope::{MailOptions, RcptOptions},
        urgency::{By, Hold},
    },
    queue::admin::{Action, Selection, Standing},
    route::Refusal,
};

use super::{
    mta::{Act, Event, Mta, Seen, say},
    world::{MESSAGE, World, minutes},
};

fn wanted(world: &World, by: &str) -> MailOptions {
    MailOptions {
        deliver_by: By::parse(by).map(|by| by.from(world.clock.wall())),
        ..MailOptions::default()
    }
}

fn held(world: &World, secs: u32) -> MailOptions {
    MailOptions {
        release: Some(Hold::For(secs).from(world.clock.wall())),
        ..MailOptions::default()
    }
}

fn asking(notify: &str) -> RcptOptions {
    RcptOptions {
        notify: Notify::parse(notify),
        original: None,
    }
}

/// Offers this beside the usual, and answers RCPT so.
fn server(offer: &'static str, rcpt: &'static str) -> Mta {
    Mta::new(move |seen: &Seen| match &seen.event {
        Event::Command(line) if line.starts_with("EHLO") => {
            say(&format!("250-mta\r\n250-DSN\r\n250 {offer}"))
        }
        Event::Command(line) if line.starts_with("RCPT") => say(rcpt),
        _ => Act::Usual,
    })
}

/// Everything that is said about one recipient, until nothing is queued.
async fn told(mta: Mta, by: &str, notify: &str) -> (World, Vec<String>) {
    let mut world = World::new(mta);
    let to = [("a@there.example", asking(notify))];
    world.submit_asking(wanted(&world, by), &to).await;
    world.start();
    world.drained(minutes(60 * 24 * 7)).await;
    assert_eq!(world.residue().await, 0);
    let reports = world.postman.reports();
    (world, reports)
}

#[tokio::test(start_paused = true)]
async fn what_must_not_go_yet_waits_whatever_wakes_the_relay() {
    let mut world = World::new(Mta::good());
    let to = [("a@there.example", RcptOptions::default())];
    let id = world.submit_asking(held(&world, 7200), &to).await;
    world.start();
    world.pass(minutes(60)).await;
    let selection = Selection::Message(id);
    let retried = world.queue.apply(Action::Retry, &selection).await.unwrap();
    assert_eq!((retried.changed, retried.unaffected), (0, 1));
    let node = "there.example".parse().unwrap();
    world.queue.hasten(&node, false).await.unwrap();
    assert_eq!(world.queue.reclamp().await.unwrap(), 0);
    world.pass(minutes(59)).await;
    assert_eq!(world.only().await.state, Standing::Scheduled);
    assert_eq!(world.mta.connects(), 0);
    world.pass(minutes(2)).await;
    assert_eq!(world.mta.contents(), [MESSAGE]);
    assert_eq!(world.residue().await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_let_it_go_before() {
    let mut world = World::new(Mta::good());
    let to = [("a@there.example", RcptOptions::default())];
    let id = world.submit_asking(held(&world, 7200), &to).await;
    world.start();
    let selection = Selection::Message(id);
    let changed = world.queue.apply(Action::Release, &selection).await;
    assert_eq!(changed.unwrap().changed, 1);
    world.pass(minutes(1)).await;
    assert_eq!(world.mta.contents(), [MESSAGE]);
}

#[tokio::test(start_paused = true)]
async fn dur_07_what_no_sender_may_ask_for_was_asked_under_a_wrong_clock() {
    let world = World::new(Mta::good());
    let to = [("a@there.example", RcptOptions::default())];
    world.submit_asking(held(&world, 999_999_999), &to).await;
    assert_eq!(world.queue.reclamp().await.unwrap(), 1);
    assert_eq!(world.only().await.state, Standing::Waiting);
}

#[tokio::test(start_paused = true)]
async fn patience_begins_when_the_message_goes() {
    let mta = server("X", "450 4.2.1 busy");
    let mut world = World::new(mta);
    let to = [("a@there.example", asking("FAILURE,DELAY"))];
    let days = 20 * 86_400;
    world.submit_asking(held(&world, days), &to).await;
    let begun = world.clock.wall();
    world.start();
    world.drained(minutes(60 * 24 * 30)).await;
    let times = world.postman.times();
    let hours = |at: usize| times[at].1.since(begun).as_secs() / 3600;
    assert_eq!(times.len(), 2);
    assert_eq!(hours(0), 20 * 24 + 4);
    assert!((25 * 24..25 * 24 + 5).contains(&hours(1)), "{times:?}");
    let report = &world.postman.reports()[1];
    assert!(report.contains("\r\nFuture-Release-Request: for;1728000\r\n"));
}

#[tokio::test(start_paused = true)]
async fn mailboxes_here_get_it_when_its_time_has_come_and_once() {
    let mut world = World::new(Mta::good());
    let accounts = [(1, "SUCCESS"), (2, "FAILURE")];
    world.hold(held(&world, 3600), &accounts).await;
    world.start();
    world.pass(minutes(59)).await;
    assert!(world.postman.copies().is_empty());
    // A crash changes nothing.
    world.crash().await;
    world.start();
    world.drained(minutes(5)).await;
    assert_eq!(world.residue().await, 0);
    let copies = world.postman.copies();
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].1, [AccountId(1), AccountId(2)]);
    let reports = world.postman.reports();
    assert_eq!(reports.len(), 1);
    for line in [
        "Action: delivered",
        "Final-Recipient: rfc822; 1@here.example",
    ] {
        assert!(reports[0].lines().any(|is| is == line), "{}", reports[0]);
    }
    assert!(!reports[0].contains("2@here.example"));
    assert_eq!(world.mta.connects(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_here_that_has_no_place_is_tried_again_and_one_that_is_gone_is_told_of() {
    for (refusal, status) in [
        (Refusal::OverQuota, None),
        (Refusal::UnknownRecipient, Some("Status: 5.1.1\r\n")),
    ] {
        let mut world = World::new(Mta::good());
        world.hold(held(&world, 60), &[(1, "FAILURE")]).await;
        world.postman.set_refusal(Some(refusal));
        world.start();
        world.pass(minutes(2)).await;
        assert!(world.postman.copies().is_empty());
        world.postman.set_refusal(None);
        world.drained(minutes(30)).await;
        let reports = world.postman.reports();
        assert_eq!(world.postman.copies().len(), usize::from(status.is_none()));
        assert_eq!(reports.len(), usize::from(status.is_some()));
        assert!(reports.iter().all(|r| r.contains(status.unwrap())));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_late_goes_back_when_its_sender_wants_it_so() {
    let (world, reports) = told(server("DELIVERBY", "450 4.2.1 busy"), "600;R", "FAILURE").await;
    let times = world.postman.times();
    assert_eq!(times.len(), 1, "{reports:?}");
    for part in ["Action: failed\r\nStatus: 5.4.7\r\n", "Deliver-By-Date: "] {
        assert!(reports[0].contains(part), "{}", reports[0]);
    }
    let commands = world.mta.commands();
    let begun: Vec<_> = commands.iter().filter(|c| c.starts_with("MAIL")).collect();
    assert!(begun[0].contains(" BY=600;R") || begun[0].contains(" BY=599;R"));
    // Never with a time that is over.
    assert!(
        begun
            .iter()
            .all(|line| !line.contains("BY=0") && !line.contains("BY=-"))
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_late_is_told_of_and_goes_on() {
    let (world, reports) = told(server("DELIVERBY", "450 4.2.1 busy"), "600;N", "DELAY").await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("Action: delayed\r\nStatus: 4.4.7\r\n"));
    let (_, first) = world.postman.times()[0];
    let begun = world.clock.wall().0 - first.0;
    assert!(begun > 0);
    let commands = world.mta.commands();
    assert!(
        commands.iter().any(|line| line.contains(" BY=-")),
        "{commands:?}"
    );
    for notify in ["NEVER", "FAILURE"] {
        let mta = server("DELIVERBY", "450 4.2.1 busy");
        let (_, reports) = told(mta, "600;N", notify).await;
        assert!(reports.iter().all(|r| !r.contains("Action: delayed")));
    }
}

#[tokio::test(start_paused = true)]
async fn who_passes_it_on_tells_of_it_where_that_is_wanted() {
    for (offer, by, notify, action) in [
        ("DELIVERBY", "60;R", "FAILURE", None),
        ("DELIVERBY", "60;RT", "FAILURE", Some("relayed")),
        ("DELIVERBY", "60;NT", "NEVER", None),
        ("DELIVERBY", "60;N", "FAILURE", None),
        // RFC 2852 4: nobody will tell of a delay from here on.
        ("X", "60;N", "FAILURE", Some("relayed")),
        ("X", "60;N", "NEVER", None),
        ("X", "60;R", "FAILURE", Some("failed")),
        ("DELIVERBY 120", "60;R", "FAILURE", Some("failed")),
    ] {
        let (_, reports) = told(server(offer, "250 ok"), by, notify).await;
        let told = format!("Action: {}\r\n", action.unwrap_or_default());
        assert_eq!(
            reports.len(),
            usize::from(action.is_some()),
            "{offer} {by} {notify}"
        );
        assert!(
            reports.iter().all(|report| report.contains(&told)),
            "{reports:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn binary_mail_goes_as_it_is_or_in_base64() {
    const BINARY: &[u8] = b"Content-Transfer-Encoding: binary\r\n\r\n\0\n";
    const BASE64: &[u8] = b"Content-Transfer-Encoding: base64\r\n\r\nAAo=\r\n";
    for (offer, content, arrives) in [
        ("BINARYMIME\r\n250-CHUNKING", BINARY, Some(BINARY)),
        ("CHUNKING", BINARY, Some(BASE64)),
        ("8BITMIME", BINARY, Some(BASE64)),
        // A zero byte where the message does not say that one may be.
        ("CHUNKING", b"A: b\r\n\r\n\0", None),
    ] {
        let lines = format!("250-mta\r\n250-{offer}\r\n250 SIZE");
        let mta = Mta::new(move |seen| match &seen.event {
            Event::Command(line) if line.starts_with("EHLO") => say(&lines),
            _ => Act::Usual,
        });
        let mut world = World::new(mta);
        world.submit_binary("a@there.example", content).await;
        world.start();
        world.drained(minutes(60)).await;
        let expected: Vec<_> = arrives.into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(world.mta.contents(), expected, "{offer}");
        let reports = world.postman.reports();
        assert_eq!(reports.len(), usize::from(arrives.is_none()));
        assert!(reports.iter().all(|r| r.contains("Status: 5.6.1\r\n")));
    }
}

#[tokio::test(start_paused = true)]
async fn rfc_9422_what_a_server_does_not_take_at_once_goes_in_the_next_transaction() {
    let mta = Mta::new(|seen| match &seen.event {
        Event::Command(line) if line.starts_with("EHLO") => {
            say("250-mta\r\n250 LIMITS RCPTMAX=2 MAILMAX=2")
        }
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    let to = ["a@there.example", "b@there.example", "c@there.example"];
    world
        .submit(&[to[0], to[1], to[2], "d@there.example", "e@there.example"])
        .await;
    world.start();
    world.drained(minutes(5)).await;
    assert_eq!(world.mta.contents(), [MESSAGE, MESSAGE, MESSAGE]);
    assert_eq!(world.mta.connects(), 2);
    assert!(world.postman.reports().is_empty());
}
