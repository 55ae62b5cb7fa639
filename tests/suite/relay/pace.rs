//! How fast the relay goes: rests, greylisting, rates, schedules of certain domains; and that what
//! hangs holds up nobody else.

use std::time::Duration;

use buzon::{
    base::ids::AccountId,
    mail::{address::Domain, by_domain::ByDomain},
    queue::schedule::Schedule,
    relay::{Limits, Rate},
};

use super::{
    mta::{Act, Event, Mta, say},
    world::{MESSAGE, World, minutes},
};

#[tokio::test(start_paused = true)]
async fn q_03_who_greylists_is_asked_again_after_the_first_wait() {
    let mut refusals = 3;
    let mta = Mta::new(move |seen| {
        if seen.command().starts_with("RCPT") && refusals > 0 {
            refusals -= 1;
            return say("450 4.2.0 Greylisted, see http://postgrey.example/help");
        }
        Act::Usual
    });
    let mut world = World::new(mta);
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(12)).await;
    let left = world.only().await;
    assert_eq!((left.attempts, left.class), (3, Some("greylisted")));
    world.drained(minutes(4)).await;
    assert_eq!(world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn q_03_who_asks_for_less_has_a_rest_and_others_are_not_charged() {
    let mta = Mta::new(|seen| match seen.command().starts_with("MAIL") {
        true => Act::SayAndClose("421 4.7.0 too many messages\r\n".to_owned()),
        false => Act::Usual,
    });
    let mut world = World::new(mta);
    for _ in 0..20 {
        world.submit(&["a@there.example"]).await;
    }
    world.start();
    world.pass(Duration::from_secs(20)).await;
    let messages = world.listed().await;
    let tried = messages.iter().flat_map(|message| &message.recipients);
    let tried = tried.filter(|recipient| recipient.attempts > 0);
    let classes: Vec<_> = tried.map(|recipient| recipient.class).collect();
    assert_eq!(classes, [Some("rate-limited"); 5]);
    // The operator sees it while it lasts.
    let (now, news) = (world.clock.wall(), world.queue.news());
    let rests = news.rests(now, 10);
    let [(what, rest)] = rests.as_slice() else {
        panic!("{rests:?}")
    };
    assert_eq!(what, "there.example");
    assert!(
        (5..=11).contains(&(rest.until_secs - now.secs())),
        "{rest:?}"
    );
    assert!(
        rest.why
            .as_ref()
            .unwrap()
            .contains("421 4.7.0 too many messages")
    );
    assert!(news.rests(now.plus(Duration::from_secs(11)), 10).is_empty());
    assert_eq!(world.mta.connects(), 5);
    // Thirty seconds later it is asked again, by fewer; it still does not like us.
    world.pass(Duration::from_secs(20)).await;
    let before = world.mta.connects();
    assert!((6..=7).contains(&before), "{before}");
    // The next rest is twice as long.
    world.pass(Duration::from_secs(40)).await;
    assert_eq!(world.mta.connects(), before);
    world.mta.change(|_| Act::Usual);
    world.pass(Duration::from_secs(30)).await;
    // All that was not charged went at once, what was waits for its time.
    assert_eq!(world.mta.contents().len(), 20 - before);
    world.drained(minutes(10)).await;
    assert_eq!(world.mta.contents().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_a_destination_is_kept() {
    let mut world = World::new(Mta::good());
    let mut limits = ByDomain::new(Limits::default());
    let slow = Limits {
        rate: Some(Rate {
            count: 4,
            per: minutes(1),
        }),
        ..Limits::default()
    };
    limits.insert(&Domain::parse("there.example").unwrap(), slow);
    world.options.limits = limits;
    for _ in 0..12 {
        world.submit(&["a@there.example"]).await;
    }
    world.start();
    for minute in 1..=3 {
        world.pass(Duration::from_secs(59)).await;
        assert_eq!(world.mta.contents().len(), minute * 4);
        world.pass(Duration::from_secs(1)).await;
    }
    world.drained(minutes(1)).await;
}

#[tokio::test(start_paused = true)]
async fn q_02_a_domain_has_a_schedule_of_its_own() {
    let mta = Mta::new(|seen| match seen.command().starts_with("RCPT") {
        true => say("451 4.3.0 not now"),
        false => Act::Usual,
    });
    let schedule = Schedule {
        first: vec![minutes(1)],
        give_up_after: minutes(10),
        ..Schedule::default()
    };
    let mut world = World::with_schedule_for(mta, "there.example", schedule);
    world.submit(&["a@there.example"]).await;
    world.start();
    world.drained(minutes(12)).await;
    let attempts = world.mta.commands();
    let attempts = attempts.iter().filter(|c| c.starts_with("RCPT")).count();
    // Its other host is tried each time, too.
    assert!((20..=24).contains(&attempts), "{attempts}");
    let report = world.postman.reports().remove(0);
    assert!(report.contains("troubles"), "{report}");
}

/// A world in which every host but those of there.example takes connections and says nothing.
fn hanging() -> World {
    let mta = Mta::new(|seen| {
        let there = ["198.51.100.1:25", "198.51.100.2:25"];
        match seen.event {
            Event::Connect if !there.contains(&seen.to.to_string().as_str()) => Act::Silence,
            _ => Act::Usual,
        }
    });
    let mut world = World::new(mta);
    world.options.attempts_max = 100;
    world
}

fn hang(world: &World, domain: &str) {
    let host = format!("mx.{domain}");
    world.dns.set_mx(domain, &[(10, &host)]);
    world
        .dns
        .set_addresses(&host, &["203.0.113.1".parse().unwrap()]);
}

/// Another account's message goes within seconds.
async fn other_mail_goes(world: &World) {
    let other = Some(AccountId(2));
    let before = world.mta.contents().len();
    world
        .put("other@here.example", &["b@there.example"], other, MESSAGE)
        .await;
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.mta.contents().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn q_08_a_large_mailing_to_a_domain_that_hangs_holds_up_nobody() {
    let mut world = hanging();
    hang(&world, "hangs.example");
    let names: Vec<_> = (0..5_000).map(|n| format!("u{n}@hangs.example")).collect();
    for some in names.chunks(500) {
        let some: Vec<_> = some.iter().map(String::as_str).collect();
        world.submit(&some).await;
    }
    world.start();
    world.pass(Duration::from_secs(5)).await;
    other_mail_goes(&world).await;
    world.pass(minutes(10)).await;
    other_mail_goes(&world).await;
}

#[tokio::test(start_paused = true)]
async fn q_08_a_thousand_domains_that_hang_hold_up_nobody() {
    let mut world = hanging();
    for n in 0..1_000 {
        let domain = format!("d{n}.example");
        hang(&world, &domain);
        world.submit(&[&format!("a@{domain}")]).await;
    }
    world.start();
    world.pass(Duration::from_secs(5)).await;
    // 75 of a hundred attempts are what one sender has.
    assert_eq!(world.mta.connects(), 75);
    other_mail_goes(&world).await;
    // Now the destination is known to answer: the large sender's own mail goes, too.
    world.submit(&["a@there.example"]).await;
    world.pass(Duration::from_secs(2)).await;
    assert_eq!(world.mta.contents().len(), 2);
    world.pass(minutes(7)).await;
    other_mail_goes(&world).await;
}
