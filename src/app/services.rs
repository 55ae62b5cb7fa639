//! The services over one store, made from the configuration; what the server and a command share.

use std::sync::Arc;

use tokio::sync::watch;

use super::{StartError, owner, settings};
use crate::{
    accounts::Directory,
    admin::Operations,
    base::{
        clock::Clock,
        future::BoxFuture,
        ids::{AccountId, Proof},
        random::Random,
        secret::Secret,
    },
    config::Config,
    imap::server::Quotas,
    mail::{
        envelope::{Envelope, ForwardPath, ReversePath},
        trace::return_path,
    },
    mailbox::Mailboxes,
    net::authn::{Verifier, VerifyFault},
    queue::Queue,
    relay::{PostError, Posted, Postman, Report},
    route::{self, Acceptance, Origin, Router},
    store::{Batch, Engine, embedded::Embedded},
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
    /// Mail to other servers.
    pub queue: Queue,
    /// Where mail goes.
    pub router: Router,
}

impl Services {
    /// Opens the store and what works on it.
    ///
    /// # Errors
    /// When the store is another user's, in use, of another version or damaged beyond use.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        owner::check(&config.server.data)?;
        let engine = Embedded::open(&config.server.data, settings::store(config))?;
        Self::over(engine, (Clock::system(), Random::system()), config).await
    }

    /// What works on an open store, with this time and chance.
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
            settings::queue(config),
        );
        let router = Router::new(
            Arc::clone(&engine),
            clock.clone(),
            directory.clone(),
            mailboxes.clone(),
            queue.clone(),
            &route::Options {
                recipients_per_hour: config.smtp.recipients_per_hour,
            },
        );
        Ok(Self {
            engine,
            clock,
            random,
            directory,
            mailboxes,
            queue,
            router,
        })
    }

    /// Ends the store's work.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// The operator's door.
    pub fn operations(&self) -> Operations {
        let (directory, mailboxes) = (self.directory.clone(), self.mailboxes.clone());
        Operations::new(directory, mailboxes, self.queue.clone())
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

    fn holds(&self, proof: Proof) -> bool {
        self.0.holds(proof)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.credential_changes()
    }
}

/// Tells the IMAP server how much an account may hold.
pub(super) struct AccountQuotas(pub(super) Directory);

impl Quotas for AccountQuotas {
    fn quota_bytes(&self, account: AccountId) -> Option<u64> {
        self.0
            .snapshot()
            .account(account)
            .map(|account| account.quota_bytes)
    }
}

/// Lets the relay put reports where mail goes, in the commit that ends what they are about.
pub(super) struct Reports {
    pub(super) router: Router,
    pub(super) mailboxes: Mailboxes,
}

impl Postman for Reports {
    fn add_report<'a>(
        &'a self,
        batch: &'a mut Batch,
        report: Report,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        Box::pin(async move {
            let to = ForwardPath::Address(report.to.clone());
            let target = self
                .router
                .recipient(&Origin::Ourselves, &to)
                .await
                .map_err(fault)?;
            let target = target.map_err(|refusal| PostError::Undeliverable(refusal.to_string()))?;
            let mut intake = self.mailboxes.intake();
            // RFC 5321 4.4: of final delivery; the queue leaves it out.
            let field = return_path(&ReversePath::Null);
            let return_path_bytes = field.len();
            intake.feed(field.into()).await.map_err(fault)?;
            intake.feed(report.bytes).await.map_err(fault)?;
            let acceptance = Acceptance {
                id: report.id,
                origin: Origin::Ourselves,
                envelope: Envelope {
                    sender: ReversePath::Null,
                    recipients: vec![report.to],
                    body: report.body,
                    smtputf8: report.smtputf8,
                },
                targets: vec![target],
                arrived: intake.finish().await.map_err(fault)?,
                return_path_bytes,
            };
            let composed = self
                .router
                .compose(batch, &acceptance)
                .map_err(|refusal| PostError::Undeliverable(refusal.to_string()))?;
            let (id, targets) = (acceptance.id, acceptance.targets);
            Ok(Posted::then(move || {
                composed.copies(targets).log(id);
                drop(composed);
            }))
        })
    }
}

fn fault(error: impl std::error::Error + Send + Sync + 'static) -> PostError {
    PostError::Fault(Box::new(error))
}
