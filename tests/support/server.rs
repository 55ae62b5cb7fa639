//! The whole server on in-memory pipes: real services over the memory engine, a steered clock, a
//! seeded random source, faults on demand.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use buzon::{
    accounts::{self, Cost, Directory},
    base::{
        clock::{Clock, Timestamp},
        future::BoxFuture,
        ids::AccountId,
        random::Random,
        secret::Secret,
    },
    imap::{
        self,
        server::{ImapServer, Quotas},
    },
    mail::address::{Address, Domain},
    mailbox::{self, Mailboxes},
    net::{
        Peer,
        authn::{Authn, Verifier, VerifyFault},
        conn::Conn,
        drive::drive,
        gate::{self, Gate},
        listen::Opening,
        shutdown::{self, Shutdown, Trigger},
        tasks::Tasks,
        throttle::{self, Throttle},
    },
    pop3::{self, server::Maildrops},
    queue::{self, Queue},
    route::Router,
    smtp::server::{Headroom, Options, Role, Server, Services},
    store::{Engine, fault::Fault, memory::Memory},
    wire::Protocol as _,
};
use tokio::{io::DuplexStream, time::Instant};
use tokio_rustls::rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::client::Client;

/// Everything that runs, and the settings that transcripts may change before they connect.
pub(crate) struct TestServer {
    pub(crate) engine: Arc<Fault>,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) headroom: Headroom,
    pub(crate) directory: Directory,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) queue: Queue,
    pub(crate) router: Router,
    pub(crate) maildrops: Maildrops,
    pub(crate) authn: Authn,
    pub(crate) gate: Gate,
    pub(crate) tasks: Tasks,
    pub(crate) trigger: Trigger,
    pub(crate) shutdown: Shutdown,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) settings: Settings,
    /// By their short names.
    pub(crate) accounts: BTreeMap<String, AccountId>,
}

/// What transcripts may change.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) message_bytes_max: u64,
    pub(crate) recipients_max: usize,
    pub(crate) transactions_max: u32,
    /// Passwords are taken without TLS.
    pub(crate) plaintext_auth: bool,
    pub(crate) any_sender: bool,
    /// Where clients come from.
    pub(crate) client: IpAddr,
}

impl TestServer {
    /// A server for `example.org` with no accounts. The clock stands at 2026-01-01 00:00:00 UTC.
    pub(crate) async fn start() -> Self {
        let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
        let store: Arc<dyn Engine> = engine.clone();
        let clock = Clock::steered(Timestamp::from_secs(1_767_225_600));
        let random = Random::seeded(1);
        let directory = directory(&store, &clock, &random).await;
        let mailboxes = Mailboxes::new(
            Arc::clone(&store),
            clock.clone(),
            random.clone(),
            mailbox::Options::default(),
        );
        let queue = Queue::new(
            Arc::clone(&store),
            clock.clone(),
            random.clone(),
            queue::Options::default(),
        );
        let router = Router::new(
            Arc::clone(&store),
            clock.clone(),
            directory.clone(),
            mailboxes.clone(),
            queue.clone(),
            &buzon::route::Options::default(),
        );
        let gate = Gate::new(gate::Options {
            connections_max: 1000,
            connections_per_address: 1000,
            sessions_per_account_and_address: 20,
            sessions_per_account: 100,
            connects_per_minute: 1000,
        });
        let throttle = Throttle::new(throttle::Options::default());
        let authn = Authn::new(Arc::new(Known(directory.clone())), throttle, gate.clone());
        let (trigger, shutdown) = shutdown::pair();
        Self {
            engine,
            clock,
            random,
            headroom: Headroom::default(),
            directory,
            mailboxes,
            queue,
            router,
            maildrops: Maildrops::default(),
            authn,
            gate,
            tasks: Tasks::default(),
            trigger,
            shutdown,
            tls: certificate(),
            settings: Settings {
                message_bytes_max: 50 * 1024 * 1024,
                recipients_max: 500,
                transactions_max: 100,
                plaintext_auth: false,
                any_sender: false,
                client: [192, 0, 2, 10].into(),
            },
            accounts: BTreeMap::new(),
        }
    }

    /// Makes `name@example.org` (or the full address) with the password `secret-name`.
    pub(crate) async fn add_account(&mut self, name: &str) -> AccountId {
        let address = address_of(name);
        let password = Secret::new(format!("secret-{name}"));
        let mailboxes = self.mailboxes.clone();
        let provision = move |batch: &mut buzon::store::Batch, id| mailboxes.provision(batch, id);
        let added = self.directory.add_account(&address, &password, &provision);
        let id = added.await.unwrap();
        self.accounts.insert(name.to_owned(), id);
        id
    }

    /// Connects to a port by its name in the configuration. TLS is up already where the port begins
    /// with it.
    pub(crate) async fn connect(&self, port: &str) -> Client {
        let smtp = |role, starttls| {
            let mut options = Options::new(role, "smtp", host());
            options.starttls = starttls;
            options.message_bytes_max = self.settings.message_bytes_max;
            options.recipients_max = self.settings.recipients_max;
            options.transactions_max = self.settings.transactions_max;
            options.insecure_auth_without_tls = self.settings.plaintext_auth;
            options.insecure_any_sender = self.settings.any_sender;
            Server::new(options, self.services())
        };
        match port {
            "smtp" => Client::new(self.plain(smtp(Role::Relay, true))),
            "submission" => Client::new(self.plain(smtp(Role::Submission, true))),
            "submissions" => self.implicit(smtp(Role::Submission, false)).await,
            "imap" => Client::new(self.plain(self.imap("imap"))),
            "imaps" => self.implicit(self.imap("imaps")).await,
            "pop3" => Client::new(self.plain(self.pop3("pop3"))),
            "pop3s" => self.implicit(self.pop3("pop3s")).await,
            other => panic!("no port is called {other}"),
        }
    }

    /// An IMAP server over these services.
    pub(crate) fn imap(&self, name: &'static str) -> ImapServer {
        ImapServer::new(
            self.mailboxes.clone(),
            self.authn.clone(),
            Arc::new(Known(self.directory.clone())),
            self.clock.clone(),
            imap::server::Options {
                name,
                host_name: host().to_string(),
                starttls: name == "imap",
                insecure_auth_without_tls: self.settings.plaintext_auth,
                message_bytes_max: self.settings.message_bytes_max,
            },
        )
    }

    fn pop3(&self, name: &'static str) -> pop3::server::Server {
        let options = pop3::server::Options {
            insecure_without_tls: self.settings.plaintext_auth,
            ..pop3::server::Options::default()
        };
        pop3::server::Server::new(
            name,
            options,
            self.authn.clone(),
            self.mailboxes.clone(),
            self.maildrops.clone(),
        )
    }

    /// What an SMTP server stands on.
    pub(crate) fn services(&self) -> Services {
        Services {
            router: self.router.clone(),
            mailboxes: self.mailboxes.clone(),
            directory: self.directory.clone(),
            authn: self.authn.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            headroom: self.headroom.clone(),
        }
    }

    /// A connection to a port where TLS can be begun.
    pub(crate) fn plain<O: Opening>(&self, opening: O) -> DuplexStream {
        let (ours, conn) = self.pipe();
        let upgrade = Some(Arc::clone(&self.tls));
        let shutdown = self.shutdown.clone();
        let address = conn.peer.remote.ip();
        match self.gate.admit(address, Instant::now()) {
            Ok(permit) => {
                let (protocol, service) = opening.open(&conn.peer, permit);
                self.tasks.spawn("session", async move {
                    drive(conn, protocol, service, upgrade, shutdown).await;
                });
            }
            Err(why) => {
                let mut conn = conn;
                self.tasks.spawn("turned-away", async move {
                    let protocol = opening.protocol();
                    protocol.encode(&protocol.farewell(why), &mut conn.output);
                    let _ = conn.flush().await;
                    conn.close().await;
                });
            }
        }
        ours
    }

    /// A connection to a port where TLS comes first.
    pub(crate) async fn implicit<O: Opening>(&self, opening: O) -> Client {
        let (ours, conn) = self.pipe();
        let config = Arc::clone(&self.tls);
        let shutdown = self.shutdown.clone();
        let permit = self
            .gate
            .admit(conn.peer.remote.ip(), Instant::now())
            .unwrap();
        self.tasks.spawn("session", async move {
            let conn = conn.upgrade(config).await.unwrap();
            let (protocol, service) = opening.open(&conn.peer, permit);
            drive(conn, protocol, service, None, shutdown).await;
        });
        let mut client = Client::new(ours);
        client.begin_tls().await.unwrap();
        client
    }

    fn pipe(&self) -> (DuplexStream, Conn) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let peer = Peer {
            remote: SocketAddr::new(self.settings.client, 40_000),
            local: SocketAddr::new([192, 0, 2, 1].into(), 25),
            tls: None,
        };
        (ours, Conn::new(Box::new(theirs), peer))
    }
}

/// The name the server gives itself.
pub(crate) fn host() -> Domain {
    Domain::parse("mx.example.org").unwrap()
}

/// `alice` is `alice@example.org`.
pub(crate) fn address_of(name: &str) -> Address {
    if name.contains('@') {
        Address::parse(name).unwrap()
    } else {
        Address::parse(&format!("{name}@example.org")).unwrap()
    }
}

async fn directory(store: &Arc<dyn Engine>, clock: &Clock, random: &Random) -> Directory {
    let options = accounts::Options {
        // The cheapest hash there is: these tests are not about its cost.
        cost: Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        },
        hashes_at_once: NonZeroUsize::MIN,
        ..accounts::Options::default()
    };
    let opened = Directory::open(Arc::clone(store), clock.clone(), random.clone(), options);
    let directory = opened.await.unwrap();
    let domain = Domain::parse("example.org").unwrap();
    directory.add_domain(&domain).await.unwrap();
    directory
}

/// A self-signed certificate; clients in tests believe all.
fn certificate() -> Arc<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["mx.example.org".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    Arc::new(config)
}

/// Passwords and quotas from the directory.
struct Known(Directory);

impl Verifier for Known {
    fn verify<'a>(
        &'a self,
        name: &'a str,
        password: &'a Secret<String>,
    ) -> BoxFuture<'a, Result<Option<AccountId>, VerifyFault>> {
        Box::pin(async move {
            self.0
                .verify(name, password)
                .await
                .map_err(|fault| match fault {
                    accounts::VerifyFault::Busy => VerifyFault::Busy,
                    fault @ accounts::VerifyFault::Read(_) => VerifyFault::Store(Box::new(fault)),
                })
        })
    }
}

impl Quotas for Known {
    fn quota_bytes(&self, account: AccountId) -> Option<u64> {
        let snapshot = self.0.snapshot();
        snapshot.account(account).map(|account| account.quota_bytes)
    }
}
