//! MTA-STS policies: fetched over HTTPS, and what they do to deliveries.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use buzon::{
    base::future::BoxFuture,
    dns::Fake,
    relay::{
        Connector, FetchError, Https,
        sts::{Fetch, Policies},
    },
    smtp::client::{TlsClient, Transport},
    tls::client,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::RootCertStore};

use super::{
    mta::Mta,
    policy::{FIRST, Identity, SECOND, Servers, found, identity},
    world::{World, minutes},
};

/// The text of a policy, as if it was fetched.
struct Given(String);

impl Fetch for Given {
    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        let text = self.0.clone().into_bytes();
        Box::pin(async move { Ok(text) })
    }
}

/// A world in which there.example has a policy, and these certificates are believed.
pub(super) fn world(servers: &Servers, policy: &str, trusted: &[&Identity]) -> World {
    let mut world = World::new(Mta::good());
    world.connector = Some(Arc::new(servers.clone()));
    world
        .dns
        .add_text("_mta-sts.there.example", b"v=STSv1; id=1");
    let text = format!("version: STSv1\nmax_age: 86400\n{policy}");
    world.policies = Some(Policies::new(
        Arc::clone(&world.engine),
        Arc::new(world.dns.clone()),
        Arc::new(Given(text)),
        world.clock.clone(),
    ));
    let mut roots = RootCertStore::empty();
    for identity in trusted {
        roots.add(identity.certificate.clone()).unwrap();
    }
    world.tls = TlsClient::new(roots).unwrap();
    world
}

const NAMES_FIRST: &str = "mx: mx1.there.example\n";
const NAMES_BOTH: &str = "mx: *.there.example\n";

#[tokio::test(start_paused = true)]
#[expect(clippy::too_many_lines, reason = "one flat table")]
async fn tls_07_policies_decide_to_whom_mail_is_given() {
    let (first, stranger) = (identity("mx1.there.example"), identity("evil.example"));
    let second = identity("mx2.there.example");
    let (to_first, to_second) = (Some((FIRST, true)), Some((SECOND, true)));
    for (what, mode, names, offered, taken) in [
        (
            "good",
            "enforce",
            NAMES_FIRST,
            [Some(&first), None],
            to_first,
        ),
        // The best host has no good certificate: the next one.
        (
            "next",
            "enforce",
            NAMES_BOTH,
            [Some(&stranger), Some(&second)],
            to_second,
        ),
        // It is not even asked when the policy does not name it.
        (
            "named",
            "enforce",
            "mx: mx2.there.example\n",
            [None, Some(&second)],
            to_second,
        ),
        (
            "none named",
            "enforce",
            "mx: mx9.there.example\n",
            [Some(&first), Some(&second)],
            None,
        ),
        ("no TLS", "enforce", NAMES_BOTH, [None, None], None),
        (
            "strangers",
            "enforce",
            NAMES_BOTH,
            [Some(&stranger), Some(&stranger)],
            None,
        ),
        (
            "not named",
            "enforce",
            NAMES_FIRST,
            [Some(&stranger), Some(&second)],
            None,
        ),
        // RFC 8461 5: told of, and delivered.
        (
            "testing",
            "testing",
            NAMES_FIRST,
            [Some(&stranger), None],
            to_first,
        ),
        (
            "tested",
            "testing",
            NAMES_FIRST,
            [Some(&first), None],
            to_first,
        ),
        (
            "tested plain",
            "testing",
            NAMES_FIRST,
            [None, None],
            Some((FIRST, false)),
        ),
        (
            "tested, not named",
            "testing",
            "mx: x.example\n",
            [None, None],
            Some((FIRST, false)),
        ),
        (
            "switched off",
            "none",
            "",
            [None, None],
            Some((FIRST, false)),
        ),
    ] {
        let servers = Servers::default();
        servers.add(FIRST, offered[0]);
        servers.add(SECOND, offered[1]);
        let policy = format!("mode: {mode}\n{names}");
        let mut world = world(&servers, &policy, &[&first, &second]);
        world.submit(&["a@there.example"]).await;
        world.start();
        world.pass(minutes(1)).await;
        let expected = taken.map(|(ip, tls): (&str, bool)| (ip.to_owned(), tls));
        assert_eq!(servers.taken(), Vec::from_iter(expected), "{what}");
        if taken.is_none() {
            let reply = world.only().await.reply.unwrap();
            assert!(
                reply.contains("4.7.5") && reply.contains("MTA-STS"),
                "{what}: {reply}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tls_07_dane_stands_before_mta_sts() {
    let (first, stranger) = (identity("mx1.there.example"), identity("evil.example"));
    for (offered, record, delivered) in [
        // Good for the policy and not for DANE; and the other way round.
        (&first, &stranger.record, 0),
        (&stranger, &stranger.record, 1),
    ] {
        let servers = Servers::default();
        servers.add(FIRST, Some(offered));
        let policy = format!("mode: enforce\n{NAMES_FIRST}");
        let mut world = world(&servers, &policy, &[&first]);
        world
            .dns
            .set_mx("there.example", &[(10, "mx1.there.example")]);
        let about = "_25._tcp.mx1.there.example";
        for name in ["there.example", "mx1.there.example", about] {
            world.dns.set_secure(name);
        }
        world.dns.set_associations(about, found(record));
        world.submit(&["a@there.example"]).await;
        world.start();
        world.pass(minutes(1)).await;
        assert_eq!(servers.taken().len(), delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_requires_tls_goes_where_a_policy_names_the_server() {
    let first = identity("mx1.there.example");
    // RFC 8689 4.2.1: a policy that is only tried vouches for nobody.
    for (mode, delivered) in [("enforce", 1), ("testing", 0)] {
        let servers = Servers::default();
        servers.add(FIRST, Some(&first));
        let policy = format!("mode: {mode}\n{NAMES_FIRST}");
        let mut world = world(&servers, &policy, &[&first]);
        world.submit_requiring_tls("a@there.example").await;
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(servers.taken().len(), delivered, "{mode}");
        assert_eq!(world.postman.reports().len(), 1 - delivered, "{mode}");
    }
}

/// A web server that says one thing.
#[derive(Clone)]
struct Web {
    identity: Arc<Identity>,
    answer: Arc<Vec<u8>>,
    asked: Arc<Mutex<Vec<(SocketAddr, String)>>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Connector for Web {
    fn connect(
        &self,
        to: SocketAddr,
        _: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        let (ours, theirs) = tokio::io::duplex(4096);
        let web = self.clone();
        self.tasks.lock().unwrap().spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::clone(&web.identity.config));
            let Ok(mut stream) = acceptor.accept(theirs).await else {
                return;
            };
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                let Ok(length @ 1..) = stream.read(&mut piece).await else {
                    return;
                };
                asked.extend_from_slice(&piece[..length]);
            }
            let asked = String::from_utf8(asked).unwrap();
            web.asked.lock().unwrap().push((to, asked));
            if stream.write_all(&web.answer).await.is_ok() {
                let _ = stream.shutdown().await;
            }
        });
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn Transport>) })
    }
}

/// What is fetched from a server of this name that answers so.
async fn fetched(name: &str, address: &str, answer: &[u8]) -> (Result<Vec<u8>, String>, usize) {
    let identity = Arc::new(identity(name));
    let mut roots = RootCertStore::empty();
    roots.add(identity.certificate.clone()).unwrap();
    let web = Web {
        identity,
        answer: Arc::new(answer.to_vec()),
        asked: Arc::default(),
        tasks: Arc::default(),
    };
    let dns = Fake::new();
    dns.set_addresses("mta-sts.d.example", &[address.parse().unwrap()]);
    let https = Https {
        resolver: Arc::new(dns),
        connector: Arc::new(web.clone()),
        tls: client::verifying(roots).unwrap(),
        insecure_allow_private_targets: false,
    };
    let fetched = https.fetch("d.example").await;
    let asked = web.asked.lock().unwrap().clone();
    for (to, text) in &asked {
        assert_eq!(to.to_string(), format!("{address}:443"));
        assert!(
            text.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(text.contains("host: mta-sts.d.example\r\n"), "{text}");
    }
    (fetched.map_err(|error| error.to_string()), asked.len())
}

#[tokio::test(start_paused = true)]
async fn policies_are_fetched_over_https_from_one_host_and_no_other() {
    const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Length: 5\r\n\r\nhello";
    let host = "mta-sts.d.example";
    let public = "198.51.100.9";
    let (text, _) = fetched(host, public, GOOD).await;
    assert_eq!(text.unwrap(), b"hello");
    let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
    assert_eq!(fetched(host, public, chunked).await.0.unwrap(), b"hello");

    let with = |from: &str, to: &str| String::from_utf8_lossy(GOOD).replace(from, to).into_bytes();
    let redirect = with(
        "200 OK",
        "301 Moved\r\nLocation: https://mta-sts.d.example/x",
    );
    let mut large = with("Content-Length: 5\r\n", "");
    large.resize(70 * 1024, b'x');
    let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
    endless.resize(70 * 1024, b'x');
    for (what, name, address, answer, asked) in [
        ("redirect", host, public, redirect, 1),
        ("404", host, public, with("200 OK", "404 No"), 1),
        ("kind", host, public, with("text/plain", "text/html"), 1),
        ("large", host, public, large, 1),
        ("header", host, public, endless, 1),
        (
            "cut",
            host,
            public,
            with("Content-Length: 5", "Content-Length: 6"),
            1,
        ),
        ("not HTTP", host, public, b"220 mta\r\n".to_vec(), 1),
        // A certificate for another name; Q-05.
        ("name", "d.example", public, GOOD.to_vec(), 0),
        ("private", host, "127.0.0.1", GOOD.to_vec(), 0),
    ] {
        let (text, count) = fetched(name, address, &answer).await;
        assert!(text.is_err(), "{what}: {text:?}");
        assert_eq!(count, asked, "{what}");
    }
}
