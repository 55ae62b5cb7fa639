//! The services over one store, made from the configuration; what the server and a command share.

use std::sync::Arc;

use tokio::sync::watch;

use super::{StartError, owner, settings};
use crate::{
    accounts::Directory,
    admin::{Operations, Ways},
    base::{
        clock::Clock,
        future::BoxFuture,
        ids::{AccountId, Proof},
        random::Random,
        secret::Secret,
    },
    config::Config,
    fulltext::Fulltext,
    imap::server::{People, Person},
    mailbox::Mailboxes,
    net::authn::{Verifier, VerifyFault},
    queue::Queue,
    route::Router,
    store::{
        Engine,
        embedded::{Embedded, disk::RealDisk},
    },
};

/// Everything that works on the store. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    /// The store.
    pub engine: Arc<dyn Engine>,
    /// What time it is.
    pub clock: Clock,
    /// Where chance comes from.
    pub random: Random,
    /// Domains, accounts, addresses.
    pub directory: Directory,
    /// Mailboxes.
    pub mailboxes: Mailboxes,
    /// The index of texts.
    pub fulltext: Fulltext,
    /// Mail to other servers.
    pub queue: Queue,
    /// Where mail goes.
    pub router: Router,
    /// Where queued mail can go.
    pub ways: Ways,
}

impl Services {
    /// Opens the store and what works on it.
    ///
    /// # Errors
    /// When the store is another user's, open to others, in use, of another version or damaged
    /// beyond use.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let data = &config.server.data;
        owner::check(data)?;
        // Says so first when these are somebody's other files.
        Embedded::exists(data)?;
        owner::check_closed(data)?;
        let engine = Embedded::open(data, settings::store(config))?;
        let mut services = Self::over(engine, (Clock::system(), Random::system()), config).await?;
        services.fulltext = Fulltext::new(
            (Arc::new(RealDisk), data.join("search")),
            Arc::clone(&services.engine),
            services.mailboxes.clone(),
        );
        Ok(services)
    }

    /// What works on an open store, with this time and chance; without an index of texts.
    ///
    /// # Errors
    /// When accounts cannot be read or a value of the configuration is no good.
    pub async fn over(
        engine: Arc<dyn Engine>,
        (clock, random): (Clock, Random),
        config: &Config,
    ) -> Result<Self, StartError> {
        let directory = Directory::open(
            Arc::clone(&engine),
            clock.clone(),
            random.clone(),
            settings::accounts(config)?,
        )
        .await?;
        let mailboxes = Mailboxes::new(
            Arc::clone(&engine),
            clock.clone(),
            random.clone(),
            settings::mailboxes(config),
        );
        let queue = Queue::new(
            Arc::clone(&engine),
            clock.clone(),
            random.clone(),
            settings::queue(config)?,
        );
        let router = Router::new(
            Arc::clone(&engine),
            clock.clone(),
            directory.clone(),
            mailboxes.clone(),
            queue.clone(),
            &settings::route(config)?,
        );
        Ok(Self {
            engine,
            clock,
            random,
            directory,
            mailboxes,
            fulltext: Fulltext::default(),
            queue,
            router,
            ways: settings::ways(config),
        })
    }

    /// Ends the store's work.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// The operator's door.
    pub fn operations(&self) -> Operations {
        let (directory, mailboxes) = (self.directory.clone(), self.mailboxes.clone());
        Operations::new(
            directory,
            mailboxes,
            self.queue.clone(),
            self.fulltext.clone(),
            (self.clock.clone(), self.random.clone()),
        )
        .with_ways(self.ways.clone())
    }
}

/// Lets the mechanism that serves the protocols ask the accounts.
pub(super) struct Passwords(pub(super) Directory);

impl Verifier for Passwords {
    fn verify<'a>(
        &'a self,
        name: &'a str,
        password: &'a Secret<String>,
    ) -> BoxFuture<'a, Result<Option<Proof>, VerifyFault>> {
        Box::pin(async move {
            self.0
                .verify(name, password)
                .await
                .map_err(|fault| match fault {
                    crate::accounts::VerifyFault::Busy => VerifyFault::Busy,
                    fault @ crate::accounts::VerifyFault::Read(_) => {
                        VerifyFault::Store(Box::new(fault))
                    }
                })
        })
    }

    fn account(&self, name: &str) -> Option<AccountId> {
        self.0.snapshot().login(name).map(|account| account.id)
    }

    fn vouched(&self, name: &str) -> Option<Proof> {
        self.0.vouched(name)
    }

    fn holds(&self, proof: Proof) -> bool {
        self.0.holds(proof)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.credential_changes()
    }
}

/// Tells the IMAP server of the accounts.
pub(super) struct Accounts(pub(super) Directory);

impl People for Accounts {
    fn quota_bytes(&self, account: AccountId) -> Option<u64> {
        self.0
            .snapshot()
            .account(account)
            .map(|account| account.quota_bytes)
    }
    fn account(&self, name: &str) -> Option<AccountId> {
        self.0.snapshot().login(name).map(|account| account.id)
    }

    fn person(&self, account: AccountId) -> Option<Person> {
        let snapshot = self.0.snapshot();
        let account = snapshot.account(account)?;
        Some(Person {
            address: account.address.to_string(),
            shared: account.shared,
        })
    }
}
