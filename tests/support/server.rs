//! The whole server on in-memory pipes: the composition of the running one over the memory engine,
//! with a steered clock, a seeded random source and faults on demand. Only listeners are not here.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use buzon::{
    accounts::Directory,
    app::{door, servers::Servers, services::Services},
    base::{
        clock::{Clock, Timestamp},
        future::BoxFuture,
        ids::AccountId,
        random::Random,
        secret::Secret,
    },
    config::{Config, Place, raw::VerifyPolicy},
    dns::Fake,
    fulltext::{Fulltext, Phase},
    imap::server::ImapServer,
    mail::address::{Address, Domain},
    mailbox::Mailboxes,
    net::{
        Peer,
        gate::Gate,
        listen::{self, Arrival, Consumer, Security},
        sessions::{Opening, Sessions},
        shutdown::{self, Shutdown, Trigger},
        tasks::Tasks,
    },
    pop3,
    queue::Queue,
    relay::{Connector, Parts, Relay},
    route::{Reports, Router},
    smtp::{
        client::{TlsClient, Transport},
        server::Server as SmtpServer,
    },
    store::{fault::Fault, memory::Memory},
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

use super::client::Client;
use crate::store::disk::SimDisk;

/// Everything that runs, put together as the running server is, and the settings that transcripts
/// may change before they connect.
pub(crate) struct TestServer {
    pub(crate) engine: Arc<Fault>,
    pub(crate) clock: Clock,
    pub(crate) directory: Directory,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) queue: Queue,
    /// Not fed but by [`Self::index`].
    pub(crate) fulltext: Fulltext,
    /// What it is on, below `search`.
    pub(crate) search_disk: SimDisk,
    pub(crate) gate: Gate,
    pub(crate) tasks: Tasks,
    pub(crate) trigger: Trigger,
    pub(crate) shutdown: Shutdown,
    pub(crate) config: Config,
    /// What name servers say.
    pub(crate) dns: Fake,
    /// Where clients come from.
    pub(crate) client: IpAddr,
    /// By their short names.
    pub(crate) accounts: BTreeMap<String, AccountId>,
    router: Router,
    servers: Servers,
    tls: Arc<ServerConfig>,
    /// What outlives a crash.
    memory: Arc<Memory>,
    restarts: u64,
}

impl TestServer {
    /// A server for `example.org` with no accounts. The clock stands at 2026-01-01 00:00:00 UTC.
    pub(crate) async fn start() -> Self {
        let memory = Arc::new(Memory::new());
        let engine = Arc::new(Fault::new(memory.clone()));
        let clock = Clock::steered(Timestamp::from_secs(1_767_225_600));
        let config = config();
        let chance = (clock.clone(), Random::seeded(1));
        let mut services = Services::over(engine.clone(), chance, &config)
            .await
            .unwrap();
        let search_disk = SimDisk::new();
        services.fulltext = Fulltext::new(
            (Arc::new(search_disk.clone()), "search".into()),
            engine.clone(),
            services.mailboxes.clone(),
        );
        let domain = Domain::parse("example.org").unwrap();
        services.directory.add_domain(&domain).await.unwrap();
        let dns = Fake::new();
        let servers = Servers::new(services.clone(), Arc::new(dns.clone()), &config);
        let (trigger, shutdown) = shutdown::pair();
        Self {
            engine,
            clock,
            directory: services.directory,
            mailboxes: services.mailboxes,
            queue: services.queue,
            fulltext: services.fulltext,
            search_disk,
            gate: servers.gate.clone(),
            tasks: Tasks::default(),
            trigger,
            shutdown,
            config,
            dns,
            client: [192, 0, 2, 10].into(),
            accounts: BTreeMap::new(),
            router: services.router,
            servers,
            tls: certificate(),
            memory,
            restarts: 0,
        }
    }

    /// A relay over its queue, which reaches the world through `connector`.
    pub(crate) fn relay(&self, connector: Arc<dyn Connector>) -> Relay {
        let parts = Parts {
            queue: self.queue.clone(),
            resolver: Arc::new(self.dns.clone()),
            connector,
            policies: None,
            ledger: None,
            postman: Arc::new(Reports::new(self.router.clone())),
            tls: TlsClient::new(RootCertStore::empty()).unwrap(),
            clock: self.clock.clone(),
            random: Random::seeded(9),
        };
        let options = buzon::relay::Options {
            name: self.config.server.hostname.clone(),
            ..buzon::relay::Options::default()
        };
        Relay::new(parts, options)
    }

    /// Another index of texts, on `disk`.
    pub(crate) fn fulltext_on(&self, disk: &SimDisk) -> Fulltext {
        Fulltext::new(
            (Arc::new(disk.clone()), "search".into()),
            self.engine.clone(),
            self.mailboxes.clone(),
        )
    }

    /// Brings all mail into the index of texts.
    pub(crate) async fn index(&self) {
        index(&self.fulltext).await;
    }

    /// Another process over the same store, as after a crash. Who was connected is not any more.
    pub(crate) async fn restart(&mut self) {
        self.restarts += 1;
        self.engine = Arc::new(Fault::new(self.memory.clone()));
        // Another process draws other random numbers.
        let chance = (self.clock.clone(), Random::seeded(1 + self.restarts));
        let services = Services::over(self.engine.clone(), chance, &self.config);
        let mut services = services.await.unwrap();
        services.fulltext = Fulltext::new(
            (Arc::new(self.search_disk.clone()), "search".into()),
            self.engine.clone(),
            services.mailboxes.clone(),
        );
        let resolver = Arc::new(self.dns.clone());
        self.servers = Servers::new(services.clone(), resolver, &self.config);
        self.gate = self.servers.gate.clone();
        self.directory = services.directory;
        self.mailboxes = services.mailboxes;
        self.queue = services.queue;
        self.router = services.router;
        self.fulltext = services.fulltext;
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

    /// Makes an account that is nobody's own.
    pub(crate) async fn add_shared_account(&mut self, name: &str) -> AccountId {
        let address = address_of(name);
        let mailboxes = self.mailboxes.clone();
        let provision = move |batch: &mut buzon::store::Batch, id| mailboxes.provision(batch, id);
        let added = self.directory.add_shared_account(&address, &provision);
        let id = added.await.unwrap();
        self.accounts.insert(name.to_owned(), id);
        id
    }

    /// Connects to a port by its name in the configuration. TLS is up already where the port begins
    /// with it.
    pub(crate) async fn connect(&self, port: &str) -> Client {
        match port {
            "smtp" => Client::new(self.plain(self.smtp("smtp"))),
            "lmtp" => Client::new(self.plain(self.smtp("lmtp"))),
            "submission" => Client::new(self.plain(self.smtp("submission"))),
            "submissions" => secured(self.implicit(self.smtp("submissions"))).await,
            "imap" => Client::new(self.plain(self.imap("imap"))),
            "imaps" => secured(self.implicit(self.imap("imaps"))).await,
            "pop3" => Client::new(self.plain(self.pop3("pop3"))),
            "pop3s" => secured(self.implicit(self.pop3("pop3s"))).await,
            // Before TLS, for what a proxy says there.
            "raw-imaps" => Client::new(self.implicit(self.imap("imaps"))),
            other => panic!("no port is called {other}"),
        }
    }

    /// The SMTP server of a port.
    pub(crate) fn smtp(&self, name: &'static str) -> SmtpServer {
        let place = Place::Tcp(HERE);
        self.servers.smtp(&self.config, name, &place).unwrap()
    }

    /// The POP3 server of a port.
    pub(crate) fn pop3(&self, name: &'static str) -> pop3::server::Server {
        self.servers.pop3(&self.config, name)
    }

    /// The IMAP server of a port.
    pub(crate) fn imap(&self, name: &'static str) -> ImapServer {
        self.servers.imap(&self.config, name)
    }

    /// A connection to a port where TLS can be begun.
    pub(crate) fn plain<O: Opening>(&self, opening: O) -> DuplexStream {
        self.arrive(Sessions(opening), Security::Upgrade(Arc::clone(&self.tls)))
    }

    /// A connection to a port where TLS comes first.
    pub(crate) fn implicit<O: Opening>(&self, opening: O) -> DuplexStream {
        self.arrive(Sessions(opening), Security::Implicit(Arc::clone(&self.tls)))
    }

    /// A connection to `http`, which never has TLS.
    pub(crate) fn web(&self) -> DuplexStream {
        let server = self.servers.web(&self.config, "http").unwrap();
        self.arrive(server, Security::Plain)
    }

    fn arrive<C: Consumer>(&self, consumer: C, security: Security) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let peer = Peer {
            remote: SocketAddr::new(self.client, 40_000),
            local: HERE,
            tls: None,
            via: None,
        };
        let transport = Box::new(Pipe(theirs));
        let door = door(&self.config, consumer.name(), &Place::Tcp(HERE), security);
        let shared = listen::Shared {
            gate: self.gate.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        };
        listen::admit(
            Arrival { transport, peer },
            &Arc::new(consumer),
            &door,
            &shared,
        );
        ours
    }
}

/// A world in which nobody answers.
pub(crate) struct Nowhere;

impl Connector for Nowhere {
    fn connect(
        &self,
        _: SocketAddr,
        _: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

/// Where the server is.
const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 25);

/// A client that has begun TLS.
async fn secured(stream: DuplexStream) -> Client {
    let mut client = Client::new(stream);
    client.begin_tls().await.unwrap();
    client
}

/// Feeds `fulltext` until it has everything.
pub(crate) async fn index(fulltext: &Fulltext) {
    let all = async {
        for _ in 0..3600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let status = fulltext.status().await.unwrap();
            if status.phase == Phase::Waiting && status.left == 0 {
                return;
            }
        }
        panic!("the index is not whole after an hour");
    };
    fulltext.follow(all).await;
}

/// Our end of a pipe. Where the client has dropped its end that shows as a reset, as of a client
/// that was killed; one that has only closed its own side still listens.
struct Pipe(DuplexStream);

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(context, buffer))?;
        if buffer.filled().len() == before
            && let Poll::Ready(Err(_)) = Pin::new(&mut self.0).poll_write(context, b"")
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The defaults but for the name, room for many clients of one address, and the cheapest password
/// hash there is: these tests are not about its cost. Nobody asks who mail is from.
fn config() -> Config {
    let mut config = Config::default();
    config.server.hostname = "mx.example.org".to_owned();
    // Not what the machine's interfaces have.
    config.listen.smtp = vec![HERE];
    config.lmtp.from = vec!["192.0.2.0/24".parse().unwrap()];
    config.verify.policy = VerifyPolicy::Off;
    config.auth.argon2_memory_kib = 8;
    config.auth.argon2_passes = 1;
    config.accounts.tag_mailboxes = true;
    config.relay.backup_mx = vec!["backed.example".to_owned()];
    config.limits.connections = Some(1000);
    config.limits.connections_per_address = 1000;
    config.limits.mailbox_connections_per_address = 1000;
    config.limits.connects_per_minute = 1000;
    config.limits.sessions_per_account_and_address = 20;
    config.limits.sessions_per_account = 100;
    config
}

/// `alice` is `alice@example.org`.
pub(crate) fn address_of(name: &str) -> Address {
    if name.contains('@') {
        Address::parse(name).unwrap()
    } else {
        Address::parse(&format!("{name}@example.org")).unwrap()
    }
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
