//! Our server, as far as outbound mail goes, over a store that outlives it: route, queue and relay.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use buzon::{
    app::services::Services,
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, EmailId},
        pieces::Pieces as _,
        random::Random,
        secret::Secret,
    },
    config::Config,
    dns::Fake,
    mail::{
        address::{Address, Domain},
        by_domain::ByDomain,
    },
    relay::{Options, Parts, Relay, hosts::Own, sts::Policies, tlsrpt},
    route::Reports,
    smtp::client::conversation::Security,
    store::{Batch, fault::Fault, memory::Memory},
};
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    guard::{Web, client},
    remote::Remotes,
};
use crate::relay::tlsrpt::Collector;

/// Our server between two starts.
pub(super) struct Node {
    pub(super) engine: Arc<Fault>,
    pub(super) services: Services,
    stop: Option<oneshot::Sender<()>>,
    running: JoinSet<()>,
}

/// What is there before the server and after it.
pub(super) struct Ground {
    pub(super) memory: Arc<Memory>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) dns: Fake,
    pub(super) remotes: Remotes,
    pub(super) web: Web,
    /// What our operator demands of the servers of some domains.
    pub(super) demands: HashMap<Domain, Security>,
}

impl Node {
    /// Starts it.
    pub(super) async fn start(ground: &Ground) -> Self {
        let engine = Arc::new(Fault::new(ground.memory.clone()));
        let chance = (ground.clock.clone(), ground.random.clone());
        let mut config = Config::default();
        config.server.hostname = NAME.to_owned();
        config.auth.argon2_memory_kib = 8;
        config.auth.argon2_passes = 1;
        let services = Services::over(engine.clone(), chance, &config);
        let services = services.await.unwrap();
        let resolver = Arc::new(ground.dns.clone());
        let postman = Arc::new(Reports::new(services.router.clone()));
        let ledger = tlsrpt::Parts {
            engine: engine.clone(),
            resolver: resolver.clone(),
            postman: postman.clone(),
            post: Arc::new(Collector { takes: true }),
            clock: ground.clock.clone(),
            random: ground.random.clone(),
            organization: NAME.to_owned(),
            contact: Address::parse("tls@example.org").unwrap(),
        };
        let web = Arc::new(ground.web.clone());
        let policies = Policies::new(engine.clone(), resolver.clone(), web, ground.clock.clone());
        let parts = Parts {
            policies: Some(policies),
            ledger: Some(tlsrpt::Ledger::new(ledger)),
            queue: services.queue.clone(),
            resolver,
            connector: Arc::new(ground.remotes.clone()),
            postman,
            tls: client(),
            clock: ground.clock.clone(),
            random: ground.random.clone(),
        };
        services.queue.reclaim().await.unwrap();
        let mut tls = ByDomain::new(None);
        for (domain, demanded) in &ground.demands {
            tls.insert(domain, Some(*demanded));
        }
        let options = Options { tls, ..options() };
        let relay = Relay::new(parts, options);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        running.spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            relay.run(stopped).await;
        });
        Self {
            engine,
            services,
            stop: Some(stop),
            running,
        }
    }

    /// Who writes from here, or is written to.
    pub(super) async fn add(&self, who: &str) -> AccountId {
        let directory = &self.services.directory;
        let domain = Domain::parse("example.org").unwrap();
        // The second time it is there.
        let _ = directory.add_domain(&domain).await;
        let address = Address::parse(&format!("{who}@example.org")).unwrap();
        let password = Secret::new("secret".to_owned());
        let provision = |batch: &mut Batch, id| self.services.mailboxes.provision(batch, id);
        let added = directory.add_account(&address, &password, &provision);
        added.await.unwrap()
    }

    /// Kills it where it stands.
    pub(super) async fn kill(&mut self) {
        self.running.shutdown().await;
    }

    /// Lets it end in order, which it does in time.
    pub(super) async fn stop(&mut self) {
        drop(self.stop.take());
        let most = options().stop_timeout + buzon::relay::ABORT_TIME + Duration::from_secs(1);
        let ended = tokio::time::timeout(most, self.running.join_next()).await;
        ended.expect("the relay stops in time").unwrap().unwrap();
    }

    /// The messages of an account.
    pub(super) async fn messages(&self, account: AccountId) -> Vec<Vec<u8>> {
        let mailboxes = &self.services.mailboxes;
        let mut found = Vec::new();
        let (mut last, mut emails) = (EmailId(0), Vec::new());
        loop {
            let some = mailboxes.emails_after(account, last).await.unwrap();
            let Some((id, _)) = some.last() else { break };
            last = *id;
            emails.extend(some);
        }
        for (_, email) in emails {
            let email = email.unwrap();
            let mut text = Vec::new();
            let mut pieces = mailboxes.body(email.blob, 0..email.size);
            while let Some(piece) = pieces.next().await.unwrap() {
                text.extend_from_slice(&piece);
            }
            found.push(text);
        }
        found
    }
}

fn options() -> Options {
    Options {
        name: NAME.to_owned(),
        own: Own {
            names: vec![NAME.to_owned()],
            addresses: vec![OWN],
            ..Own::default()
        },
        ..Options::default()
    }
}

pub(super) fn beginning() -> Timestamp {
    Timestamp::from_secs(1_800_000_000)
}

pub(super) const NAME: &str = "mail.example.org";
pub(super) const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 9));
