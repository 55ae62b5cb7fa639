//! What policies of the recipients' domains do to deliveries: servers with TLS, records about them.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use buzon::{
    base::future::BoxFuture,
    dns::{Answer, Tlsa},
    mail::address::Domain,
    relay::Connector,
    smtp::client::{TlsClient, Transport, conversation::Security},
};
use rcgen::PublicKeyData as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{
    mta::Mta,
    world::{World, minutes},
};

/// Servers by their addresses; those that are not listed refuse connections.
#[derive(Clone, Default)]
pub(super) struct Servers(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    known: HashMap<IpAddr, Option<Arc<ServerConfig>>>,
    manners: HashMap<IpAddr, Manner>,
    connects: Vec<IpAddr>,
    /// Where each message went, and whether in TLS.
    taken: Vec<(IpAddr, bool)>,
    tasks: JoinSet<()>,
}

/// What is odd about a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It does not know REQUIRETLS.
    Lacking,
    /// It says 220 to STARTTLS and nothing more,
    Hangs,
    /// or what is no handshake,
    Junk,
    /// or goes.
    Gone,
    /// It says 454 to STARTTLS.
    Later,
}

/// A server's certificate, and the record that speaks of its key.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) record: Tlsa,
}

pub(super) fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    certified(&made.cert, &made.signing_key)
}

/// The same, with a certificate that ended long ago.
pub(super) fn expired(name: &str) -> Identity {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    certified(&params.self_signed(&key).unwrap(), &key)
}

fn certified(cert: &rcgen::Certificate, signing_key: &rcgen::KeyPair) -> Identity {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    Identity {
        config: Arc::new(config),
        certificate: cert.der().clone(),
        record: Tlsa {
            usage: 3,
            selector: 1,
            matching: 0,
            data: signing_key.subject_public_key_info(),
        },
    }
}

impl Servers {
    /// A server, with TLS or without.
    pub(super) fn add(&self, address: &str, identity: Option<&Identity>) {
        let config = identity.map(|identity| Arc::clone(&identity.config));
        let address = address.parse().unwrap();
        self.0.lock().unwrap().known.insert(address, config);
    }

    pub(super) fn set_manner(&self, address: &str, manner: Manner) {
        let address = address.parse().unwrap();
        self.0.lock().unwrap().manners.insert(address, manner);
    }

    pub(super) fn taken(&self) -> Vec<(String, bool)> {
        let state = self.0.lock().unwrap();
        let taken = state.taken.iter();
        taken.map(|(ip, tls)| (ip.to_string(), *tls)).collect()
    }

    fn connects(&self) -> usize {
        self.0.lock().unwrap().connects.len()
    }

    async fn serve(self, ip: IpAddr, stream: Box<dyn Transport>, tls: Option<Arc<ServerConfig>>) {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mta\r\n").await.unwrap();
        let Some(true) = self.speak(ip, &mut stream, tls.is_some(), false).await else {
            return;
        };
        match self.manner(ip) {
            Some(Manner::Hangs) => std::future::pending().await,
            Some(Manner::Junk) => {
                // Not before the client has begun.
                let _ = stream.fill_buf().await;
                let _ = stream.write_all(b"502 5.5.1 what is this?\r\n").await;
                return;
            }
            Some(Manner::Gone) => return,
            Some(Manner::Lacking | Manner::Later) | None => {}
        }
        let acceptor = TlsAcceptor::from(tls.unwrap());
        if let Ok(stream) = acceptor.accept(stream.into_inner()).await {
            let stream: Box<dyn Transport> = Box::new(stream);
            let mut stream = BufReader::new(stream);
            self.speak(ip, &mut stream, false, true).await;
        }
    }

    fn manner(&self, ip: IpAddr) -> Option<Manner> {
        self.0.lock().unwrap().manners.get(&ip).copied()
    }

    /// Answers until the end, or until TLS begins.
    async fn speak(
        &self,
        ip: IpAddr,
        stream: &mut BufReader<Box<dyn Transport>>,
        offers: bool,
        encrypted: bool,
    ) -> Option<bool> {
        let mut content = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let answer: &[u8] = match line.trim_end().split([' ', ':']).next()? {
                "." if content => {
                    content = false;
                    self.0.lock().unwrap().taken.push((ip, encrypted));
                    b"250 taken\r\n"
                }
                _ if content => continue,
                "EHLO" if offers => b"250-mta\r\n250 STARTTLS\r\n",
                "EHLO" if self.manner(ip) == Some(Manner::Lacking) => {
                    b"250-mta\r\n250 8BITMIME\r\n"
                }
                "EHLO" => b"250-mta\r\n250-REQUIRETLS\r\n250 8BITMIME\r\n",
                "STARTTLS" if self.manner(ip) == Some(Manner::Later) => b"454 not now\r\n",
                "STARTTLS" => {
                    stream.write_all(b"220 go\r\n").await.ok()?;
                    return Some(true);
                }
                "DATA" => {
                    content = true;
                    b"354 go\r\n"
                }
                "QUIT" => b"221 bye\r\n",
                _ => b"250 ok\r\n",
            };
            stream.write_all(answer).await.ok()?;
        }
    }
}

impl Connector for Servers {
    fn connect(
        &self,
        to: SocketAddr,
        _: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        let mut state = self.0.lock().unwrap();
        state.connects.push(to.ip());
        let Some(tls) = state.known.get(&to.ip()).cloned() else {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        };
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let serving = self.clone().serve(to.ip(), Box::new(theirs), tls);
        state.tasks.spawn(serving);
        Box::pin(async move { Ok(Box::new(ours) as Box<dyn Transport>) })
    }
}

pub(super) const FIRST: &str = "198.51.100.1";
pub(super) const SECOND: &str = "198.51.100.2";

/// A world in which mail for there.example goes to the first of two servers; everything about it is
/// proven but what the test says.
pub(super) fn world(servers: &Servers) -> World {
    let mut world = World::new(Mta::good());
    world.connector = Some(Arc::new(servers.clone()));
    for host in ["mx1", "mx2"] {
        world.dns.set_secure(&format!("{host}.there.example"));
        world
            .dns
            .set_secure(&format!("_25._tcp.{host}.there.example"));
    }
    world.dns.set_secure("there.example");
    world
}

pub(super) fn found(record: &Tlsa) -> Answer<Vec<Tlsa>> {
    Answer::Found(vec![record.clone()])
}

pub(super) const ABOUT_FIRST: &str = "_25._tcp.mx1.there.example";
const ABOUT_SECOND: &str = "_25._tcp.mx2.there.example";

#[tokio::test(start_paused = true)]
async fn tls_07_records_decide_to_whom_mail_is_given() {
    let (right, wrong) = (identity("other.example"), identity("mx1.there.example"));
    let unusable = Tlsa {
        usage: 1,
        ..right.record.clone()
    };
    let temporary = || Answer::Temporary("SERVFAIL".to_owned());
    for (what, offered, records, becomes) in [
        ("right", Some(&right), found(&right.record), Ok(true)),
        ("wrong", Some(&right), found(&wrong.record), Err("DANE")),
        ("no TLS", None, found(&right.record), Err("DANE")),
        ("unknown", Some(&right), temporary(), Err("TLSA")),
        ("denied", Some(&right), Answer::NoRecords, Ok(true)),
        ("no name", None, Answer::NoSuchName, Ok(false)),
        ("unusable", Some(&right), found(&unusable), Ok(true)),
        ("unusable, no TLS", None, found(&unusable), Err("DANE")),
    ] {
        let servers = Servers::default();
        servers.add(FIRST, offered);
        let mut world = world(&servers);
        world
            .dns
            .set_mx("there.example", &[(10, "mx1.there.example")]);
        world.dns.set_associations(ABOUT_FIRST, records);
        world.submit(&["a@there.example"]).await;
        world.start();
        match becomes {
            Ok(tls) => {
                world.drained(minutes(1)).await;
                assert_eq!(servers.taken(), [(FIRST.to_owned(), tls)], "{what}");
            }
            Err(why) => {
                world.pass(minutes(1)).await;
                let reply = world.only().await.reply.unwrap();
                assert!(
                    reply.contains(why) && reply.contains("4.7.5"),
                    "{what}: {reply}"
                );
                assert!(servers.taken().is_empty(), "{what}");
                // What could not be found out is not a reason to go there and look.
                assert_eq!(servers.connects() > 0, why == "DANE", "{what}");
                // And nothing is lost by it.
                world.dns.set_associations(ABOUT_FIRST, Answer::NoRecords);
                world.drained(minutes(60)).await;
                assert_eq!(servers.taken().len(), 1, "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tls_07_a_host_that_fails_leaves_the_mail_to_the_next_one() {
    let (right, wrong) = (identity("a.example"), identity("b.example"));
    let servers = Servers::default();
    servers.add(FIRST, Some(&wrong));
    servers.add(SECOND, Some(&right));
    let mut world = world(&servers);
    world
        .dns
        .set_associations(ABOUT_FIRST, found(&right.record));
    world
        .dns
        .set_associations(ABOUT_SECOND, found(&right.record));
    world.submit(&["a@there.example"]).await;
    world.start();
    world.drained(minutes(1)).await;
    assert_eq!(servers.taken(), [(SECOND.to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn dns_03_what_is_not_proven_says_nothing() {
    let (right, wrong) = (identity("a.example"), identity("b.example"));
    for unproven in [
        "there.example",
        "mx1.there.example",
        ABOUT_FIRST,
        "switched off",
    ] {
        let servers = Servers::default();
        servers.add(FIRST, Some(&right));
        let mut world = World::new(Mta::good());
        world.connector = Some(Arc::new(servers.clone()));
        for name in ["there.example", "mx1.there.example", ABOUT_FIRST] {
            if name != unproven {
                world.dns.set_secure(name);
            }
        }
        world.options.dane = unproven != "switched off";
        world
            .dns
            .set_associations(ABOUT_FIRST, found(&wrong.record));
        world.submit(&["a@there.example"]).await;
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(servers.taken(), [(FIRST.to_owned(), true)], "{unproven}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_operators_word_stands_before_policies() {
    let (right, wrong) = (identity("a.example"), identity("b.example"));
    for (demanded, offered, works) in [
        (Security::Opportunistic, None, true),
        (Security::Encrypted, Some(&right), true),
        (Security::Encrypted, None, false),
        // From no authority that anybody knows.
        (Security::Required, Some(&right), false),
    ] {
        let servers = Servers::default();
        servers.add(FIRST, offered);
        let mut world = world(&servers);
        world
            .dns
            .set_associations(ABOUT_FIRST, found(&wrong.record));
        let domain = Domain::parse("there.example").unwrap();
        world.options.tls.insert(&domain, Some(demanded));
        world.submit(&["a@there.example"]).await;
        world.start();
        world.pass(minutes(1)).await;
        assert_eq!(servers.taken().len(), usize::from(works), "{demanded:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_requires_tls_goes_where_records_prove_the_server() {
    let right = identity("a.example");
    for (proven, delivered) in [(true, 1), (false, 0)] {
        let servers = Servers::default();
        servers.add(FIRST, Some(&right));
        let mut world = world(&servers);
        if proven {
            world
                .dns
                .set_associations(ABOUT_FIRST, found(&right.record));
        }
        world.submit_requiring_tls("a@there.example").await;
        world.start();
        world.drained(minutes(1)).await;
        // RFC 8689 4.2.1.
        assert_eq!(servers.taken().len(), delivered);
        assert_eq!(world.postman.reports().len(), 1 - delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_requires_tls_asks_each_host_for_it() {
    let right = identity("a.example");
    // RFC 8689 4.2.1: the first that lacks it is not the last word.
    for (second, delivered) in [(None, 1), (Some(Manner::Lacking), 0)] {
        let servers = Servers::default();
        servers.add(FIRST, Some(&right));
        servers.add(SECOND, Some(&right));
        servers.set_manner(FIRST, Manner::Lacking);
        if let Some(manner) = second {
            servers.set_manner(SECOND, manner);
        }
        let mut world = world(&servers);
        for about in [ABOUT_FIRST, ABOUT_SECOND] {
            world.dns.set_associations(about, found(&right.record));
        }
        world.submit_requiring_tls("a@there.example").await;
        // Other mail goes to the first, as before.
        world.submit(&["b@there.example"]).await;
        world.start();
        world.drained(minutes(1)).await;
        let mut taken = servers.taken();
        taken.sort();
        assert_eq!(taken[0].0, FIRST);
        let to_second = taken.iter().filter(|(ip, _)| ip == SECOND).count();
        assert_eq!((taken.len() - 1, to_second), (delivered, delivered));
        assert_eq!(world.postman.reports().len(), 1 - delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn mail_that_requires_tls_needs_to_know_who_the_host_is() {
    let first = identity("mx1.there.example");
    // RFC 8689 4.2.1: a certificate for a name that nobody proved proves nothing.
    for (proven, delivered) in [(true, 1), (false, 0)] {
        let servers = Servers::default();
        servers.add(FIRST, Some(&first));
        let mut world = match proven {
            true => world(&servers),
            false => {
                let mut world = World::new(Mta::good());
                world.connector = Some(Arc::new(servers.clone()));
                world
            }
        };
        let mut roots = RootCertStore::empty();
        roots.add(first.certificate.clone()).unwrap();
        world.tls = TlsClient::new(roots).unwrap();
        let domain = Domain::parse("there.example").unwrap();
        world.options.tls.insert(&domain, Some(Security::Required));
        world.submit_requiring_tls("a@there.example").await;
        world.submit(&["b@there.example"]).await;
        world.start();
        world.drained(minutes(1)).await;
        assert_eq!(servers.taken().len(), 1 + delivered);
        assert_eq!(world.postman.reports().len(), 1 - delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_proved_a_host_to_one_domain_proves_nothing_to_another() {
    let first = identity("mx1.there.example");
    let servers = Servers::default();
    servers.add(FIRST, Some(&first));
    let mut world = world(&servers);
    let mut roots = RootCertStore::empty();
    roots.add(first.certificate.clone()).unwrap();
    world.tls = TlsClient::new(roots).unwrap();
    // The same host, by a record that nobody proves.
    world
        .dns
        .set_mx("else.example", &[(10, "mx1.there.example")]);
    for name in ["there.example", "else.example"] {
        let domain = Domain::parse(name).unwrap();
        world.options.tls.insert(&domain, Some(Security::Required));
    }
    world.start();
    for (to, reports) in [("a@there.example", 0), ("a@else.example", 1)] {
        world.submit_requiring_tls(to).await;
        world.drained(minutes(1)).await;
        assert_eq!(servers.taken().len(), 1, "{to}");
        assert_eq!(world.postman.reports().len(), reports, "{to}");
    }
}
