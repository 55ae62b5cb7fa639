//! The server from start to end: ports, services, tasks, signals, shutdown in phases.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};
use tokio_rustls::rustls::ServerConfig;

use super::{
    StartError, demo, outbound, owner,
    ports::{self, Port, Socket},
    servers::Servers,
    services::Services,
    settings,
};
use crate::{
    admin::{Request, request::Password, socket},
    base::{clock::Clock, secret::Secret, text::Causes},
    config::{Config, Misfit, Place},
    dns::{self, Resolver},
    net::{
        listen::{Consumer, Door, Security, Shared, listen},
        sessions::Sessions,
        shutdown::{self, Shutdown, Trigger},
        tasks::Tasks,
    },
    queue::Queue,
    tls::{
        self,
        certificate::{Certificate, CertificateError},
    },
};

/// Runs the server until a signal ends it. With a demo, its accounts are made and `demo.json` is
/// written once every port answers.
///
/// # Errors
/// When it cannot start, and when the store failed while it ran (DUR-03), or a task that it needs
/// ended.
pub async fn serve(config: Config, demo: Option<&demo::Demo>) -> Result<(), StartError> {
    harden();
    for key in config.insecure_keys() {
        tracing::warn!(key, "this setting weakens security");
    }
    if let Some(warning) = owner::warning_before(&config.server.data)
        && demo.is_none()
    {
        tracing::warn!("{warning}");
    }
    // What can fail for the operator's reasons comes first: no port answers before all is well.
    let certificate = certificate_of(&config)?;
    if let Err(error) = certificate.validity() {
        // Mail without a valid certificate is better than none.
        tracing::warn!(%error, "clients will refuse the certificate");
    }
    let services = Services::open(&config).await?;
    let ports = ports::bind(&config)?;
    if let Some(demo) = demo {
        make_accounts(&services, demo).await?;
    }
    let signals = Signals::new().map_err(|error| StartError::System("signals", error))?;
    let (trigger, stop) = shutdown::pair();
    let tasks = Tasks::default();
    let resolver = dns::System::new(&settings::dns(&config))
        .map_err(|error| StartError::Dns(Causes(&error).to_string()))?;
    let server = Server {
        config,
        services,
        resolver: Arc::new(resolver),
        certificate,
        tasks,
        stop,
    };
    server.start_background()?;
    server.start_listeners(ports)?;
    if let Some(demo) = demo {
        demo.announce()?;
        // Nobody may be reading; `demo.json` says the same.
        let _ = writeln!(io::stdout(), "{}", demo.welcome());
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(hostname = %server.config.server.hostname, "ready");
    let failed = server.wait(signals).await;
    server.stop(&trigger).await;
    match failed {
        None => Ok(()),
        Some((what, why)) => Err(StartError::System(what, io::Error::other(why))),
    }
}

struct Server {
    config: Config,
    services: Services,
    /// One for all, with one cache.
    resolver: Arc<dyn Resolver>,
    certificate: Arc<Certificate>,
    tasks: Tasks,
    stop: Shutdown,
}

impl Server {
    /// The tasks that no connection belongs to.
    fn start_background(&self) -> Result<(), StartError> {
        let mailboxes = self.services.mailboxes.clone();
        let mut stop = self.stop.clone();
        self.tasks.spawn_essential("mailbox upkeep", async move {
            mailboxes.maintain(async { stop.requested().await }).await;
        });
        let (fulltext, on) = (self.services.fulltext.clone(), self.config.search.index);
        let mut stop = self.stop.clone();
        // Not essential: searches do without.
        self.tasks.spawn("search index", async move {
            match on {
                true => fulltext.follow(async { stop.requested().await }).await,
                false => fulltext.switch_off().await,
            }
        });
        let relay = outbound::relay(&self.services, &self.resolver, &self.config)?;
        let queue = self.services.queue.clone();
        let mut stop = self.stop.clone();
        self.tasks.spawn_essential("relay", async move {
            reclaim(&queue).await;
            relay.run(async { stop.requested().await }).await
        });
        let path = socket::path_in(&self.config.server.data);
        let listener =
            socket::bind(&path).map_err(|error| StartError::Socket(path.clone(), error))?;
        let operations = self.services.operations();
        let mut stop = self.stop.clone();
        self.tasks.spawn_essential("local socket", async move {
            socket::serve(listener, operations, async move { stop.requested().await }).await;
        });
        Ok(())
    }

    fn start_listeners(&self, ports: Vec<Port>) -> Result<(), StartError> {
        let config = &self.config;
        let servers = Servers::new(self.services.clone(), Arc::clone(&self.resolver), config);
        let shared = Shared {
            gate: servers.gate.clone(),
            tasks: self.tasks.clone(),
            shutdown: self.stop.clone(),
        };
        let tls = |alpn: &str| tls::server::config(Arc::clone(&self.certificate), alpn);
        let (smtp, imap, pop3) = (tls("smtp")?, tls("imap")?, tls("pop3")?);
        let web = tls("http/1.1")?;
        for port in ports {
            let Port {
                name,
                place,
                listener,
            } = port;
            tracing::info!(port = name, address = %place, "listening");
            let open = |tls: &Arc<ServerConfig>| Open {
                door: settings::door(config, name, &place, security(name, &place, tls)),
                listener,
                name,
                shared: shared.clone(),
            };
            match name {
                "imap" | "imaps" => open(&imap).serve(Sessions(servers.imap(config, name))),
                "pop3" | "pop3s" => open(&pop3).serve(Sessions(servers.pop3(config, name))),
                "http" | "https" => open(&web).serve(servers.web(config, name)?),
                _ => open(&smtp).serve(Sessions(servers.smtp(config, name, &place)?)),
            }
        }
        Ok(())
    }

    /// Waits for the end: a signal, or what the server cannot go on without, and why.
    async fn wait(&self, mut signals: Signals) -> Option<(&'static str, String)> {
        let mut failed = self.services.engine.failed();
        let mut alive = tokio::time::interval(WATCHDOG);
        loop {
            tokio::select! {
                why = &mut failed => {
                    tracing::error!(why, "the store failed: ending, to recover");
                    return Some(("the store failed", why));
                }
                task = self.tasks.essential_ended() => {
                    tracing::error!(task, "a task ended that the server needs: ending");
                    return Some(("a task ended", task.to_owned()));
                }
                _ = signals.interrupt.recv() => return None,
                _ = signals.terminate.recv() => return None,
                // The certificate is read again; the rest of the configuration needs a restart.
                _ = signals.hangup.recv() => log_reload(self.certificate.reload()),
                _ = alive.tick() => {
                    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
                    if let Some(outcome) = self.certificate.refresh() {
                        log_reload(outcome);
                    }
                }
            }
        }
    }

    /// Stop accepting, let sessions and attempts finish, close the store; a deadline for all of it.
    async fn stop(&self, trigger: &Trigger) {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        tracing::info!("stopping");
        trigger.pull();
        let patience = self.config.server.shutdown.0;
        if timeout(patience, self.tasks.all_ended()).await.is_err() {
            let running = self.tasks.running();
            let waiting_for: Vec<_> = running
                .iter()
                .map(|(name, n)| format!("{n} {name}"))
                .collect();
            let waiting_for = waiting_for.join(", ");
            tracing::warn!(waiting_for, "ended without waiting longer");
        }
        self.services.close().await;
        let _ = std::fs::remove_file(socket::path_in(&self.config.server.data));
        tracing::info!("stopped");
    }
}

/// A bound port and what it shares with the others.
struct Open {
    listener: Socket,
    name: &'static str,
    door: Door,
    shared: Shared,
}

impl Open {
    fn serve<C: Consumer>(self, consumer: C) {
        let tasks = self.shared.tasks.clone();
        let listening = listen(self.listener, Arc::new(consumer), self.door, self.shared);
        tasks.spawn_essential(self.name, listening);
    }
}

/// The names of the ports that begin with TLS end in s (RFC 8314 3).
fn security(name: &str, place: &Place, tls: &Arc<ServerConfig>) -> Security {
    match (name.ends_with('s'), place) {
        (_, Place::Unix(_)) => Security::Plain,
        (false, _) if name == "http" => Security::Plain,
        (true, Place::Tcp(_)) => Security::Implicit(Arc::clone(tls)),
        (false, Place::Tcp(_)) => Security::Upgrade(Arc::clone(tls)),
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

fn log_reload(outcome: Result<(), CertificateError>) {
    match outcome {
        Ok(()) => tracing::info!("the certificate was read again"),
        Err(error) => tracing::error!(%error, "the certificate stays as it was"),
    }
}

/// Loads the configured certificate.
pub(super) fn certificate_of(config: &Config) -> Result<Arc<Certificate>, StartError> {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(chain), Some(key)) => Ok(Arc::new(Certificate::load(chain, key, Clock::system())?)),
        _ => Err(Misfit::new("tls", "certificate and key are needed").into()),
    }
}

/// The store has one owner: whoever had mail in hand ended with the server before.
async fn reclaim(queue: &Queue) {
    match queue.reclaim().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "mail was in hand when the server ended; due now"),
        Err(error) => {
            // Its leases run out.
            tracing::warn!(error = %Causes(&error), "mail that was in hand could not be found");
        }
    }
}

/// The demo's domain and accounts, unless an earlier start made them.
async fn make_accounts(services: &Services, demo: &demo::Demo) -> Result<(), StartError> {
    let operations = services.operations();
    let snapshot = services.directory.snapshot();
    if snapshot.domains().count() == 0 {
        operations
            .execute(Request::DomainAdd {
                name: demo::DOMAIN.to_owned(),
            })
            .await;
    }
    for account in &demo.accounts {
        if services
            .directory
            .snapshot()
            .login(&account.address)
            .is_some()
        {
            continue;
        }
        let password = Password(Secret::new(account.password.clone()));
        let request = Request::AccountAdd {
            address: account.address.clone(),
            password,
        };
        if let crate::admin::Answer::Refused(why) = operations.execute(request).await {
            return Err(StartError::Account(account.address.clone(), why));
        }
    }
    Ok(())
}

/// SYS-04: no core dumps, no ptrace by others of the same user: memory holds mail and passwords.
fn harden() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process stays dumpable");
    }
}

/// How often systemd hears that we are alive, and the certificate's files are looked at; the unit
/// allows three times as much.
const WATCHDOG: Duration = Duration::from_secs(20);
