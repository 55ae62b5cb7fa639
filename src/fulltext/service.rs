//! The service: narrowing searches, and the state that the operator sees. The work of indexing is
//! in `feeder`.
//!
//! Nothing of mail depends on it. Whatever goes wrong, the answer is "no idea", and a search reads
//! what it must.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;
use tokio::sync::Notify;

use super::{
    catalog::{Catalog, Home},
    codec::Unreadable,
    query::{EmailSet, Query},
};
use crate::{
    base::{ids::AccountId, text::Causes},
    mailbox::{MailboxFault, Mailboxes},
    store::{Engine, Pages, ReadError, embedded::disk::Disk, key},
};

/// The index of texts. Cheap to clone; the default is none.
#[derive(Clone, Default)]
pub struct Fulltext(pub(super) Option<Arc<Core>>);

/// Shared by all handles.
pub(super) struct Core {
    pub(super) home: Home,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) mailboxes: Mailboxes,
    /// The index as searches see it; `None` while there is none that can be used.
    catalog: Mutex<Option<Arc<Catalog>>>,
    phase: Mutex<Phase>,
    /// The index must be made again.
    pub(super) condemned: AtomicBool,
    pub(super) wake: Notify,
}

/// What the index is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub enum Phase {
    /// There is none, by the configuration.
    Off,
    /// No server runs that could feed it.
    Resting,
    /// It is being fed.
    Working,
    /// All is in it, but for what came in the last seconds.
    Waiting,
    /// It cannot go on for now.
    Paused(String),
}

/// How far the index is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// What it is doing.
    #[serde(flatten)]
    pub phase: Phase,
    /// Accounts that have or had mail.
    pub accounts: u64,
    /// Emails in the index.
    pub emails: u64,
    /// Emails that are not in it yet, at most.
    pub left: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// In how many files.
    pub segments: u64,
}

impl Fulltext {
    /// The index in the directory `dir`, fed once [`Self::follow`] runs.
    pub fn new(
        (disk, dir): (Arc<dyn Disk>, PathBuf),
        engine: Arc<dyn Engine>,
        mailboxes: Mailboxes,
    ) -> Self {
        Self(Some(Arc::new(Core {
            home: Home { disk, dir },
            engine,
            mailboxes,
            catalog: Mutex::default(),
            phase: Mutex::new(Phase::Resting),
            condemned: AtomicBool::new(false),
            wake: Notify::new(),
        })))
    }

    /// Which emails of `account` may be what `query` asks for; `None` when all may. When nobody
    /// waits for it any more it ends soon, and `held` is let go then, not before (LIM-25).
    pub async fn narrow<H: Send + 'static>(
        &self,
        account: AccountId,
        query: Query,
        held: H,
    ) -> Option<EmailSet> {
        let core = self.0.as_ref()?;
        let catalog = core.catalog().filter(|_| query.narrows())?;
        let waiting = Waiting::default();
        let given_up = Arc::clone(&waiting.0);
        let found = tokio::task::spawn_blocking(move || {
            let found = catalog.find(account, &query, &given_up);
            drop(held);
            found
        });
        let found = found.await;
        drop(waiting);
        match found {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                core.condemn_if_damaged(&error);
                tracing::warn!(error = %Causes(&error), "a search reads all messages");
                None
            }
            // A bug: the panic hook told of it.
            Err(_) => None,
        }
    }

    /// Removes the index, for a server that has none: what mail it says would be out of date.
    pub async fn switch_off(&self) {
        let Some(core) = &self.0 else { return };
        core.set_phase(Phase::Off);
        if let Err(error) = core.clear().await {
            tracing::warn!(error = %Causes(&error), "the search index cannot be removed");
        }
    }

    /// Has the index made again.
    ///
    /// # Errors
    /// When no server feeds it and its files cannot be removed.
    pub async fn rebuild(&self) -> Result<(), Unreadable> {
        let Some(core) = &self.0 else { return Ok(()) };
        match core.phase() {
            Phase::Resting | Phase::Off => {
                core.set_catalog(None);
                core.clear().await
            }
            _ => {
                core.condemn();
                Ok(())
            }
        }
    }

    /// How far it is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn status(&self) -> Result<Status, MailboxFault> {
        let mut status = Status {
            phase: Phase::Off,
            accounts: 0,
            emails: 0,
            left: 0,
            bytes: 0,
            segments: 0,
        };
        let Some(core) = &self.0 else {
            return Ok(status);
        };
        status.phase = core.phase();
        let catalog = match core.catalog() {
            Some(catalog) => catalog,
            None if status.phase == Phase::Resting => {
                core.open().await.map(Arc::new).unwrap_or_default()
            }
            None => Arc::default(),
        };
        for (account, last) in core.accounts().await? {
            status.accounts += 1;
            status.left += last.saturating_sub(catalog.upto(account));
        }
        status.emails = catalog.emails();
        status.bytes = catalog.bytes();
        status.segments = catalog.segments.len() as u64;
        Ok(status)
    }
}

/// Somebody waits; dropped, it says that nobody does.
#[derive(Default)]
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Core {
    pub(super) fn catalog(&self) -> Option<Arc<Catalog>> {
        lock(&self.catalog).clone()
    }

    pub(super) fn set_catalog(&self, catalog: Option<Arc<Catalog>>) {
        *lock(&self.catalog) = catalog;
    }

    pub(super) fn phase(&self) -> Phase {
        lock(&self.phase).clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Has the index made again; until then nobody asks it.
    pub(super) fn condemn(&self) {
        self.condemned.store(true, Ordering::Release);
        self.set_catalog(None);
        self.wake.notify_one();
    }

    pub(super) fn condemn_if_damaged(&self, error: &Unreadable) {
        if let Unreadable::Damaged(_) = error {
            self.condemn();
        }
    }

    pub(super) async fn open(&self) -> Result<Catalog, Unreadable> {
        let home = self.home.clone();
        blocking(move || home.open()).await
    }

    pub(super) async fn clear(&self) -> Result<(), Unreadable> {
        let home = self.home.clone();
        blocking(move || home.clear()).await
    }

    /// The accounts that mail can be in, each with the number of its last email.
    pub(super) async fn accounts(&self) -> Result<Vec<(AccountId, u64)>, ReadError> {
        let mut pages = Pages::new(&*self.engine, key::email_counters().prefix_range());
        let mut accounts = Vec::new();
        while let Some(entries) = pages.next().await? {
            for (key, value) in &entries {
                let last = value
                    .first_chunk()
                    .map_or(0, |number| u64::from_be_bytes(*number));
                accounts.extend(key.account().map(|account| (account, last)));
            }
        }
        Ok(accounts)
    }
}

/// Does what waits for the disk on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Unreadable> + Send + 'static,
) -> Result<T, Unreadable> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
