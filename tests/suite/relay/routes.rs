//! Hosts that the operator named: which mail goes to them, who logs in, where connections come
//! from.

use buzon::{
    base::secret::Secret,
    mail::address::Domain,
    relay::{Route, Sources, Way},
    smtp::client::{Login, Proof, conversation::Security},
};

use super::{
    mta::{Act, Event, Mta, Seen, say},
    world::{World, minutes},
};

fn route(host: &str, port: u16) -> Route {
    Route {
        hosts: vec![(host.to_owned(), port)],
        security: Security::Plain,
        login: None,
        sources: Sources::default(),
    }
}

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn login(insecure_without_tls: bool) -> Login {
    Login {
        user: "me".to_owned(),
        proof: Proof::Password(Secret::new("secret".to_owned())),
        mechanism: None,
        insecure_without_tls,
    }
}

#[tokio::test(start_paused = true)]
async fn routes_and_a_smarthost_replace_the_dns() {
    let offers = |seen: &Seen| match seen.command().split(' ').next() {
        Some("EHLO") => say("250-mta\r\n250 AUTH LOGIN PLAIN"),
        Some("AUTH") => say("235 2.7.0 welcome"),
        _ => Act::Usual,
    };
    let mut world = World::new(Mta::new(offers));
    let inside = route("10.0.0.1", 2525);
    let routes = &mut world.options.routes;
    routes.insert(domain("inside.example"), inside.clone());
    routes.insert_below(domain("inside.example"), inside);
    routes.insert(domain("there.example"), Way::Mx);
    world.options.smarthost = Some(Route {
        login: Some(login(true)),
        ..route("mx2.there.example", 587)
    });
    world.submit(&["a@inside.example"]).await;
    // One transaction for all domains that go the same way.
    world
        .submit(&["a@x.inside.example", "a@y.inside.example"])
        .await;
    world.submit(&["a@one.example", "a@two.example"]).await;
    world.submit(&["a@there.example"]).await;
    world.start();
    world.drained(minutes(1)).await;
    let mut called: Vec<_> = world.mta.called().iter().map(ToString::to_string).collect();
    called.sort();
    assert_eq!(
        called,
        [
            "10.0.0.1:2525",
            "10.0.0.1:2525",
            "198.51.100.1:25",
            "198.51.100.2:587"
        ]
    );
    let auth = "AUTH PLAIN AG1lAHNlY3JldA==".to_owned();
    let commands = world.mta.commands();
    assert_eq!(commands.iter().filter(|line| **line == auth).count(), 1);
    assert_eq!(world.mta.contents().len(), 4, "one for all of a way");
}

#[tokio::test(start_paused = true)]
async fn credentials_stay_here_without_verified_tls() {
    let mta = Mta::new(|seen| match seen.command().split(' ').next() {
        Some("EHLO") => say("250-mta\r\n250 AUTH PLAIN"),
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    world.options.smarthost = Some(Route {
        security: Security::Opportunistic,
        login: Some(login(false)),
        ..route("mx1.there.example", 587)
    });
    world.submit(&["a@one.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    assert!(world.only().await.reply.unwrap().contains("credentials"));
    assert!(!world.mta.commands().iter().any(|c| c.starts_with("AUTH")));
}

#[tokio::test(start_paused = true)]
async fn a_refused_login_delays_and_says_why() {
    let mta = Mta::new(|seen| match seen.command().split(' ').next() {
        Some("EHLO") => say("250-mta\r\n250 AUTH PLAIN"),
        Some("AUTH") => say("535 5.7.8 your password is old"),
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    world.options.smarthost = Some(Route {
        login: Some(login(true)),
        ..route("mx1.there.example", 587)
    });
    world.submit(&["a@one.example"]).await;
    world.start();
    world.pass(minutes(1)).await;
    let reply = world.only().await.reply.unwrap();
    assert!(reply.contains("your password is old"), "{reply}");
    assert!(world.postman.reports().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_hosts_of_a_route_are_tried_in_their_order() {
    let mta = Mta::new(|seen| match (&seen.event, seen.to.port()) {
        (Event::Connect, 1001) => Act::Refuse,
        (Event::Connect, 1002) => Act::SayAndClose("554 not you\r\n".to_owned()),
        _ => Act::Usual,
    });
    let mut world = World::new(mta);
    let hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].into_iter();
    let hosts = hosts
        .zip(1001..)
        .map(|(host, port)| (host.to_owned(), port));
    let all = Route {
        hosts: hosts.collect(),
        ..route("x", 1)
    };
    world.options.routes.insert(domain("one.example"), all);
    world.submit(&["a@one.example"]).await;
    world.start();
    world.drained(minutes(1)).await;
    let ports: Vec<_> = world.mta.called().iter().map(|to| to.port()).collect();
    assert_eq!(ports, [1001, 1002, 1003]);
}

#[tokio::test(start_paused = true)]
async fn connections_come_from_where_the_operator_wants() {
    let ip = |text: &str| text.parse().unwrap();
    for (to, from) in [
        ("a@there.example", Some(("198.51.100.1:25", "192.0.2.7"))),
        (
            "a@six.example",
            Some(("[2001:db8:0:1::1]:25", "2001:db8::7")),
        ),
        ("a@none.example", None),
    ] {
        let mut world = World::new(Mta::good());
        let addresses = ["2001:db8:0:1::1", "198.51.100.1"].map(ip);
        world.dns.set_addresses("mx1.there.example", &addresses);
        world.options.sources = Sources::new(&[ip("192.0.2.7")]).unwrap();
        let sources = Sources::new(&[ip("2001:db8::7")]).unwrap();
        for (to, host) in [
            ("six.example", "mx1.there.example"),
            ("none.example", "198.51.100.9"),
        ] {
            let route = Route {
                sources,
                ..route(host, 25)
            };
            world.options.routes.insert(domain(to), route);
        }
        world.submit(&[to]).await;
        world.start();
        world.pass(minutes(1)).await;
        let called = world.mta.called().first().map(ToString::to_string);
        let source = world.mta.sources().first().copied().flatten();
        let source = source.map(|ip| ip.to_string());
        assert_eq!(called.as_deref(), from.map(|(to, _)| to), "{to}");
        assert_eq!(source.as_deref(), from.map(|(_, from)| from), "{to}");
        if from.is_none() {
            let reply = world.only().await.reply.unwrap();
            assert!(reply.contains("source address"), "{reply}");
        }
    }
}
