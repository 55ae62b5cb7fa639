//! Connections: which address of which host, in which order, how many, and for whose mail again.

use std::time::Duration;

use buzon::{mail::by_domain::ByDomain, relay::Limits, smtp::client::conversation::Security};

use super::{
    mta::{Act, Event, Mta, Seen, say},
    world::{World, minutes},
};

/// Nobody answers at addresses that begin so.
fn silent(prefix: &'static str) -> Mta {
    Mta::new(move |seen: &Seen| match seen.event {
        Event::Connect if seen.to.ip().to_string().starts_with(prefix) => Act::Ignore,
        _ => Act::Usual,
    })
}

/// So many connections to each destination.
fn at_once(connections: usize) -> ByDomain<Limits> {
    let rate = None;
    Limits { connections, rate }.into()
}

fn called(world: &World) -> Vec<String> {
    let called = world.mta.called();
    called.iter().map(|to| to.ip().to_string()).collect()
}

/// Gives `mx1.there.example` these addresses.
fn addressed(world: &World, addresses: &[&str]) {
    let addresses: Vec<_> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    world.dns.set_addresses("mx1.there.example", &addresses);
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_is_overtaken_and_remembered() {
    let mut world = World::new(silent("2001:"));
    addressed(&world, &["2001:db8:0:1::1", "198.51.100.1"]);
    world.start();
    world.submit(&["a@there.example"]).await;
    world.drained(Duration::from_secs(3)).await;
    assert_eq!(called(&world), ["2001:db8:0:1::1", "198.51.100.1"]);
    // The one that won waits for more; it is used while the other one is not called again.
    world.submit(&["b@there.example"]).await;
    world.drained(Duration::from_secs(1)).await;
    assert_eq!(called(&world).len(), 2);
    // Nor is it waited for when nothing waits, though nobody saw it fail.
    world.pass(minutes(1)).await;
    world.submit(&["c@there.example"]).await;
    world.drained(Duration::from_secs(1)).await;
    assert_eq!(called(&world)[2..], ["198.51.100.1"]);
}

#[tokio::test(start_paused = true)]
async fn q_06_two_addresses_of_a_host_are_one_of_its_connections() {
    let mut world = World::new(silent("2001:"));
    addressed(&world, &["2001:db8:0:1::1", "198.51.100.1"]);
    world.options.limits = at_once(1);
    world.start();
    world.submit(&["a@there.example"]).await;
    world.drained(Duration::from_secs(3)).await;
    assert_eq!(called(&world), ["2001:db8:0:1::1", "198.51.100.1"]);
}

#[tokio::test(start_paused = true)]
async fn q_03_another_address_is_tried_at_once_where_the_refusal_says_so() {
    let six = "2001:db8:0:1::1";
    for (verb, words, addresses, tried, taken) in [
        // What refuses IPv6 may take the same by IPv4.
        (
            "RCPT",
            "550 5.7.1 this message does not meet IPv6 sending guidelines",
            &[six, "198.51.100.1"][..],
            &[six, "198.51.100.1"][..],
            true,
        ),
        (
            "RCPT",
            "550 5.7.1 this message does not meet IPv6 sending guidelines",
            &[six, "2001:db8:0:1::2"],
            &[six],
            false,
        ),
        (
            "MAIL",
            "451 4.3.0 temporary local problem",
            &[six, "198.51.100.1"],
            &[six, "198.51.100.1"],
            true,
        ),
        (
            "RCPT",
            "550 5.1.1 user unknown",
            &[six, "198.51.100.1"],
            &[six],
            false,
        ),
    ] {
        let refuses = move |seen: &Seen| match seen.command().starts_with(verb) {
            true if seen.to.is_ipv6() => say(words),
            _ => Act::Usual,
        };
        let mut world = World::new(Mta::new(refuses));
        let only = [(10, "mx1.there.example")];
        world.dns.set_mx("there.example", &only);
        addressed(&world, addresses);
        world.start();
        world.submit(&["a@there.example"]).await;
        world.drained(Duration::from_secs(2)).await;
        assert_eq!(called(&world), tried, "{words}");
        let (contents, reports) = (world.mta.contents(), world.postman.reports());
        let fates = (contents.len(), reports.len());
        assert_eq!(fates, if taken { (1, 0) } else { (0, 1) }, "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_goes_last_the_next_time() {
    let mut world = World::new(Mta::new(|seen| {
        match seen.event == Event::Connect && seen.to.is_ipv6() {
            true => Act::Refuse,
            false => Act::Usual,
        }
    }));
    addressed(&world, &["2001:db8:0:1::1", "198.51.100.1"]);
    world.start();
    for _ in 0..2 {
        world.submit(&["a@there.example"]).await;
        world.drained(Duration::from_secs(1)).await;
        // Nothing waits any more.
        world.pass(minutes(1)).await;
    }
    let expected = ["2001:db8:0:1::1", "198.51.100.1", "198.51.100.1"];
    assert_eq!(called(&world), expected);
    // And is not held against it for ever.
    world.pass(minutes(15)).await;
    world.submit(&["a@there.example"]).await;
    world.drained(Duration::from_secs(1)).await;
    assert_eq!(called(&world)[3], "2001:db8:0:1::1");
}

#[tokio::test(start_paused = true)]
async fn rfc_5321_5_1_a_backup_is_called_only_when_better_hosts_failed() {
    let mut world = World::new(silent("198.51.100.1"));
    world.start();
    world.submit(&["a@there.example"]).await;
    world.pass(Duration::from_secs(29)).await;
    assert_eq!(called(&world), ["198.51.100.1"]);
    world.drained(Duration::from_secs(5)).await;
    assert_eq!(called(&world), ["198.51.100.1", "198.51.100.2"]);
    // While the better one is known not to answer, what waits at the backup is used.
    world.submit(&["a@there.example"]).await;
    world.drained(Duration::from_secs(1)).await;
    assert_eq!(called(&world).len(), 2);
    // But nothing else is begun there first.
    world.pass(minutes(1)).await;
    world.submit(&["a@there.example"]).await;
    world.pass(minutes(1)).await;
    assert_eq!(called(&world)[2], "198.51.100.1");
}

#[tokio::test(start_paused = true)]
async fn q_06_a_host_of_many_domains_gets_no_more_connections_than_one() {
    let mut world = World::new(Mta::good());
    world.options.limits = at_once(2);
    for n in 0..10 {
        let domain = format!("d{n}.example");
        world.dns.set_mx(
            &domain,
            &[(10, "mx1.there.example"), (20, "mx2.there.example")],
        );
        world.submit(&[&format!("a@{domain}")]).await;
    }
    world.start();
    world.drained(Duration::from_secs(30)).await;
    assert_eq!(world.mta.contents().len(), 10);
    let (mut open, mut most) = (0_i32, 0);
    for seen in world.mta.seen() {
        open += match seen.event {
            Event::Connect => 1,
            Event::Gone => -1,
            _ if seen.command() == "QUIT" => -1,
            _ => 0,
        };
        most = most.max(open);
        // A busy host is no reason to go to its backup.
        assert_eq!(seen.to.ip().to_string(), "198.51.100.1");
    }
    assert_eq!(most, 2);
}

#[tokio::test(start_paused = true)]
async fn q_06_domains_of_one_host_share_its_connections() {
    let mut world = World::new(Mta::good());
    for domain in ["one.example", "two.example", "three.example"] {
        world.dns.set_mx(domain, &[(10, "mx1.there.example")]);
    }
    // This one asks for more.
    let three = "three.example".parse().unwrap();
    world.options.tls.insert(&three, Some(Security::Required));
    world.start();
    for (to, connects) in [
        ("a@one.example", 1),
        ("a@two.example", 1),
        ("b@one.example", 1),
    ] {
        world.submit(&[to]).await;
        world.drained(Duration::from_secs(1)).await;
        assert_eq!(world.mta.connects(), connects, "{to}");
    }
    world.submit(&["a@three.example"]).await;
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.mta.connects(), 2);
    assert_eq!(world.mta.contents().len(), 3);
    assert!(world.only().await.reply.unwrap().contains("STARTTLS"));
}
