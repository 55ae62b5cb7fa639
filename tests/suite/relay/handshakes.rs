//! TLS that fails, in each way and under each policy: who gets the mail all the same, and who never
//! does (TLS-07).

use buzon::{mail::address::Domain, smtp::client::conversation::Security};

use super::{
    policy::{self, ABOUT_FIRST, FIRST, Identity, Manner, Servers, expired, found, identity},
    sts,
    world::{World, minutes},
};

/// What is wrong with the server.
struct Server {
    what: &'static str,
    identity: Option<Identity>,
    manner: Option<Manner>,
    /// Whether mail goes there: without a policy, with a record of its key, with one of another
    /// key, with an enforced policy.
    goes: [bool; 4],
}

const NAME: &str = "mx1.there.example";

fn servers() -> Vec<Server> {
    let server = |what, identity, manner, goes| Server {
        what,
        identity,
        manner,
        goes,
    };
    let odd = |what, manner| {
        let goes = [true, false, false, false];
        server(what, Some(identity(NAME)), Some(manner), goes)
    };
    vec![
        server(
            "good",
            Some(identity(NAME)),
            None,
            [true, true, false, true],
        ),
        // RFC 7672 3.1.1: neither names nor dates say anything beside the key.
        server(
            "expired",
            Some(expired(NAME)),
            None,
            [true, true, false, false],
        ),
        server(
            "another name",
            Some(identity("mx9.there.example")),
            None,
            [true, true, false, false],
        ),
        server("no TLS", None, None, [true, false, false, false]),
        odd("a handshake that hangs", Manner::Hangs),
        odd("no handshake", Manner::Junk),
        odd("the end of the connection", Manner::Gone),
        odd("454", Manner::Later),
    ]
}

/// Whether mail goes there in an hour, and what is said of it if not.
async fn goes(mut world: World, servers: &Servers) -> Result<(), String> {
    // One host, so that nobody else takes it.
    world.dns.set_mx("there.example", &[(10, NAME)]);
    world.submit(&["a@there.example"]).await;
    world.start();
    world.pass(minutes(60)).await;
    assert!(world.postman.reports().is_empty(), "it only waits");
    match servers.taken().len() {
        0 => Err(world.only().await.reply.unwrap()),
        1 => Ok(()),
        more => panic!("{more} copies"),
    }
}

#[tokio::test(start_paused = true)]
async fn tls_07_each_failure_of_tls_keeps_mail_from_who_is_to_prove_himself() {
    for case in servers() {
        let Server {
            what,
            identity: own,
            manner,
            goes: expected,
        } = case;
        let servers = || {
            let servers = Servers::default();
            servers.add(FIRST, own.as_ref());
            if let Some(manner) = manner {
                servers.set_manner(FIRST, manner);
            }
            servers
        };
        let other = identity(NAME);
        let key = own.as_ref().unwrap_or(&other).record.clone();
        for (policy, expected) in ["none", "right key", "other key"].into_iter().zip(expected) {
            let servers = servers();
            let world = policy::world(&servers);
            match policy {
                "right key" => world.dns.set_associations(ABOUT_FIRST, found(&key)),
                "other key" => {
                    let stranger = identity(NAME).record;
                    world.dns.set_associations(ABOUT_FIRST, found(&stranger));
                }
                _ => {}
            }
            let came = goes(world, &servers).await;
            assert_eq!(came.is_ok(), expected, "{what}, {policy}: {came:?}");
            assert!(came.err().is_none_or(|why| why.contains("4.7.5")), "{what}");
        }
        let trusted: Vec<_> = own.iter().collect();
        let servers_of_policy = servers();
        let policy = format!("mode: enforce\nmx: {NAME}\n");
        let world = sts::world(&servers_of_policy, &policy, &trusted);
        let came = goes(world, &servers_of_policy).await;
        assert_eq!(came.is_ok(), expected[3], "{what}, MTA-STS: {came:?}");
        assert!(came.err().is_none_or(|why| why.contains("4.7.5")), "{what}");
        // What the operator demands is not told apart from it.
        let servers = servers();
        let mut world = sts::world(&servers, "mode: none\n", &trusted);
        let domain = Domain::parse("there.example").unwrap();
        world.options.tls.insert(&domain, Some(Security::Required));
        let came = goes(world, &servers).await;
        assert_eq!(came.is_ok(), expected[3], "{what}, operator: {came:?}");
    }
}
