//! The directory: the snapshot in memory, how it is loaded and replaced, and how logins are
//! verified.
//!
//! Invariant: what a change was decided on is what it is committed on. Every change takes from
//! the directory's version counter and requires the version of its snapshot; the same holds for
//! changes by another process on a shared store. RFC 5321 3.5.3: nothing here tells a peer who
//! exists.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use super::{
    change::DirectoryError,
    hasher::{Busy, Hasher},
    limits::ATTEMPTS_MAX,
    password::{Argon, Cost, Prepared},
    record::{Account, DomainRecord, Entry, TooLong, decode_secrets, encode_secrets},
    snapshot::{Edit, Rules, Snapshot},
    verified::Verified,
};
use crate::{
    base::{
        clock::Clock,
        ids::{AccountId, Proof},
        random::Random,
        secret::Secret,
    },
    mail::address::{Address, Domain},
    store::{Batch, CommitError, Engine, Key, Pages, ReadError, key},
};

/// Domains, accounts and addresses. Cheap to clone.
#[derive(Clone)]
pub struct Directory(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) quota_bytes_default: u64,
    snapshot: RwLock<Arc<Snapshot>>,
    /// One change at a time in this process; the store's condition guards against others.
    changing: tokio::sync::Mutex<()>,
    /// A commit was begun and its effect on the snapshot is not known: read again before relying
    /// on it.
    unsettled: AtomicBool,
    argon: Argon,
    hasher: Hasher,
    verified: Mutex<Verified>,
    /// Counts the times when somebody's credentials may have changed (AUTH-06).
    credentials: watch::Sender<u64>,
    nobody: Secret<String>,
}

/// Settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a password hash costs (AUTH-01).
    pub cost: Cost,
    /// Hashes that run at the same time; one per core is right.
    pub hashes_at_once: NonZeroUsize,
    /// What separates `user` and `tag` in `user+tag`; `None` for no tags.
    pub tag_separator: Option<char>,
    /// Quota of a new account.
    pub quota_bytes_default: u64,
    /// Who gets the postmaster's mail of domains where nobody is named for it.
    pub postmaster: Option<Address>,
    /// The name of this host: mail for its postmaster is ours (RFC 5321 4.5.1), and nobody else's
    /// at it, unless it is a local domain.
    pub host: Option<Domain>,
    /// Our own IP addresses: mail for the postmaster at these literals is ours (RFC 5321 4.5.1).
    pub literals: Vec<IpAddr>,
    /// Accounts that are out of use take mail all the same.
    pub disabled_take_mail: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cost: Cost::default(),
            hashes_at_once: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            tag_separator: Some('+'),
            quota_bytes_default: 10 * 1024 * 1024 * 1024,
            postmaster: None,
            host: None,
            literals: Vec::new(),
            disabled_take_mail: false,
        }
    }
}

/// Why the directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The setting is outside of RFC 9106 3.1.
    #[error("the cost of password hashes is not possible: at least 8 KiB per lane and one pass")]
    Cost,
    /// The store failed.
    #[error("the accounts cannot be read")]
    Read(#[from] ReadError),
}

/// Why nothing can be said about a password now.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// Too many verifications wait already (AUTH-01).
    #[error("too many logins at once")]
    Busy,
    /// The store failed.
    #[error("the accounts cannot be read")]
    Read(#[from] ReadError),
}

impl Directory {
    /// Reads all domains, accounts and addresses of the store.
    pub async fn open(
        engine: Arc<dyn Engine>,
        clock: Clock,
        random: Random,
        options: Options,
    ) -> Result<Self, OpenError> {
        let argon = Argon::at(options.cost).ok_or(OpenError::Cost)?;
        let nobody = argon.verifier_of_nobody(&random).ok_or(OpenError::Cost)?;
        let rules = Arc::new(Rules {
            tag_separator: options.tag_separator,
            postmaster: options.postmaster,
            host: options.host,
            literals: options.literals,
            disabled_take_mail: options.disabled_take_mail,
        });
        let snapshot = load(engine.as_ref(), rules).await?;
        Ok(Self(Arc::new(Inner {
            engine,
            clock,
            verified: Mutex::new(Verified::new(&random)),
            random,
            quota_bytes_default: options.quota_bytes_default,
            snapshot: RwLock::new(Arc::new(snapshot)),
            changing: tokio::sync::Mutex::new(()),
            unsettled: AtomicBool::new(false),
            argon,
            hasher: Hasher::new(options.hashes_at_once),
            credentials: watch::Sender::new(0),
            nobody,
        })))
    }

    /// Everything as it is now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        let snapshot = self.0.snapshot.read();
        Arc::clone(&snapshot.unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything as it is now, read again when a change was given up half-way.
    pub async fn settled(&self) -> Result<Arc<Snapshot>, ReadError> {
        if self.0.unsettled.load(Ordering::Acquire) {
            let _turn = self.0.changing.lock().await;
            if self.0.unsettled.load(Ordering::Acquire) {
                self.read_again().await?;
            }
        }
        Ok(self.snapshot())
    }

    /// Reads everything again, after a change by somebody else.
    pub async fn reload(&self) -> Result<(), ReadError> {
        let _turn = self.0.changing.lock().await;
        self.read_again().await
    }

    /// Whose `name` and `password` are; `None` for whatever is not right: unknown, wrong and
    /// disabled take the same time (AUTH-05).
    pub async fn verify(
        &self,
        name: &str,
        password: &Secret<String>,
    ) -> Result<Option<Proof>, VerifyFault> {
        // LIM-40: the answer depends on the password alone, so it tells nothing about the name.
        let Ok(prepared) = Prepared::new(password) else {
            return Ok(None);
        };
        let snapshot = self.settled().await?;
        let account = snapshot.login(name).filter(|account| account.lets_in());
        let mark = account.map(|account| self.verified().mark(account, &prepared));
        if let (Some(account), Some(mark)) = (account, &mark)
            && self.verified().holds(mark, Instant::now())
        {
            return Ok(Some(account.proof()));
        }
        let verifier = account.map_or(&self.0.nobody, |account| &account.verifier);
        let matches = self.matches(verifier.clone(), prepared.clone()).await?;
        let (Some(account), Some(mark), true) = (account, mark, matches) else {
            return Ok(None);
        };
        // The account may have changed while the hash ran.
        let proof = account.proof();
        if !self.holds(proof) {
            return Ok(None);
        }
        self.verified().remember(mark, account.id, Instant::now());
        self.strengthen(account, &prepared).await;
        Ok(Some(proof))
    }

    /// Whether who proved this may stay: the account is there, in use, and its credentials are the
    /// same (AUTH-06).
    pub fn holds(&self, proof: Proof) -> bool {
        let snapshot = self.snapshot();
        let account = snapshot.account(proof.account);
        account.is_some_and(|account| account.lets_in() && account.proof() == proof)
    }

    /// What the one of this name would prove, if he may log in.
    pub fn vouched(&self, name: &str) -> Option<Proof> {
        let snapshot = self.snapshot();
        let account = snapshot.login(name)?;
        account.lets_in().then(|| account.proof())
    }

    /// Changes after somebody's credentials may have changed, perhaps without need: only
    /// [`Directory::holds`] says whose (AUTH-06).
    pub fn credential_changes(&self) -> watch::Receiver<u64> {
        self.0.credentials.subscribe()
    }

    /// The PHC string of a new password.
    pub(super) async fn hash(
        &self,
        password: &Secret<String>,
    ) -> Result<Secret<String>, DirectoryError> {
        let prepared = Prepared::new(password)?;
        self.hash_prepared(prepared).await
    }

    /// Makes the change that `decide` finds right for a snapshot, in one commit. `decide` may run
    /// several times. What it adds to the batch happens together with its edits.
    pub(super) async fn change<T>(
        &self,
        decide: impl Fn(&Snapshot, &mut Batch) -> Result<(Vec<Edit>, T), DirectoryError>,
    ) -> Result<T, DirectoryError> {
        let _turn = self.0.changing.lock().await;
        if self.0.unsettled.load(Ordering::Acquire) {
            self.read_again().await?;
        }
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.snapshot();
            let mut batch = Batch::new();
            let (edits, value) = decide(&snapshot, &mut batch)?;
            let read = stored_number(snapshot.version);
            batch.unchanged(key::directory_version(), read);
            batch.take_one(key::directory_version());
            for edit in &edits {
                edit.write(&mut batch)
                    .map_err(|TooLong| DirectoryError::TooManyTargets)?;
            }
            self.0.unsettled.store(true, Ordering::Release);
            match self.0.engine.commit(batch).await {
                Ok(_) => {
                    self.settle(&snapshot, &edits);
                    return Ok(value);
                }
                Err(CommitError::Conflict) => self.read_again().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(DirectoryError::Busy)
    }

    /// Replaces the snapshot by what the edits make of it.
    fn settle(&self, before: &Snapshot, edits: &[Edit]) {
        let mut next = before.clone();
        next.version = before.version.saturating_add(1);
        for edit in edits {
            next.apply(edit);
        }
        self.replace(next);
        for edit in edits {
            let id = match edit {
                Edit::PutAccount(account) => account.id,
                Edit::RemoveAccount(id) => *id,
                _ => continue,
            };
            self.verified().forget(id);
            let changed = before
                .account(id)
                .is_some_and(|old| !self.holds(old.proof()));
            if changed {
                self.tell_credentials_changed();
            }
        }
    }

    async fn read_again(&self) -> Result<(), ReadError> {
        let rules = Arc::clone(&self.snapshot().rules);
        let next = load(self.0.engine.as_ref(), rules).await?;
        self.replace(next);
        self.verified().forget_all();
        self.tell_credentials_changed();
        Ok(())
    }

    /// Said after the snapshot was replaced: who hears of it looks there.
    fn tell_credentials_changed(&self) {
        let count = |changes: &mut u64| *changes = changes.wrapping_add(1);
        self.0.credentials.send_modify(count);
    }

    fn replace(&self, next: Snapshot) {
        let next = Arc::new(next);
        let mut held = self
            .0
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = next;
        self.0.unsettled.store(false, Ordering::Release);
    }

    /// Hashes a password that was just verified again when the settings ask for more work now
    /// (AUTH-01). The login does not depend on it.
    async fn strengthen(&self, account: &Account, password: &Prepared) {
        if !self.0.argon.is_weak(account.verifier.expose()) {
            return;
        }
        let Ok(verifier) = self.hash_prepared(password.clone()).await else {
            return;
        };
        let changed = self.change(|snapshot, _| {
            let mut stronger = snapshot
                .account(account.id)
                .filter(|current| current.verifier == account.verifier)
                .ok_or(DirectoryError::UnknownAccount)?
                .clone();
            stronger.verifier = verifier.clone();
            Ok((vec![Edit::PutAccount(Box::new(stronger))], ()))
        });
        if let Err(error) = changed.await {
            tracing::warn!(account = %account.id, %error, "a password hash stays weak");
        }
    }

    async fn hash_prepared(&self, password: Prepared) -> Result<Secret<String>, DirectoryError> {
        let argon = self.0.argon.clone();
        let salt = self.0.random.bytes::<16>();
        let hash = self.0.hasher.run(move || argon.hash(&password, salt)).await;
        match hash {
            Ok(Some(verifier)) => Ok(verifier),
            Ok(None) | Err(Busy) => Err(DirectoryError::Busy),
        }
    }

    async fn matches(
        &self,
        verifier: Secret<String>,
        password: Prepared,
    ) -> Result<bool, VerifyFault> {
        let argon = self.0.argon.clone();
        let matches = self
            .0
            .hasher
            .run(move || argon.matches(verifier.expose(), &password));
        matches.await.map_err(|Busy| VerifyFault::Busy)
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, Verified> {
        let verified = self.0.verified.lock();
        verified.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Edit {
    /// The same step in the store.
    fn write(&self, batch: &mut Batch) -> Result<(), TooLong> {
        match self {
            Self::PutDomain(name, record) => {
                batch.put(key::domain(name.as_str()), record.encode()?);
            }
            Self::RemoveDomain(name) => {
                batch.delete(key::domain(name.as_str()));
            }
            Self::PutEntry(domain, local, entry) => {
                batch.put(key::address(domain.as_str(), local), entry.encode()?);
            }
            Self::RemoveEntry(domain, local) => {
                batch.delete(key::address(domain.as_str(), local));
            }
            Self::PutAccount(account) => {
                batch.put(key::account(account.id), account.encode()?);
            }
            Self::RemoveAccount(id) => {
                batch.delete(key::account(*id));
            }
            Self::PutSecrets(secrets) => {
                batch.put(key::rewriting_secrets(), encode_secrets(secrets)?);
            }
        }
        Ok(())
    }
}

/// Reads everything at one version. Pages are read one after the other, so the version is read
/// before and after them.
async fn load(engine: &dyn Engine, rules: Arc<Rules>) -> Result<Snapshot, ReadError> {
    for _ in 0..ATTEMPTS_MAX {
        let version = number(engine, &key::directory_version()).await?;
        let mut snapshot = Snapshot::empty(Arc::clone(&rules));
        scan(engine, &key::domains(), &mut snapshot, read_domain).await?;
        scan(engine, &key::addresses(), &mut snapshot, read_address).await?;
        scan(engine, &key::accounts(), &mut snapshot, read_account).await?;
        if let Some(stored) = engine.get(&key::rewriting_secrets()).await? {
            match decode_secrets(&stored) {
                Some(secrets) => snapshot.apply(&Edit::PutSecrets(secrets)),
                // DUR-10: others are made when they are needed.
                None => tracing::error!("the secrets of rewritten senders are damaged"),
            }
        }
        snapshot.last_account = number(engine, &key::account_counter()).await?;
        snapshot.version = version;
        if number(engine, &key::directory_version()).await? == version {
            return Ok(snapshot);
        }
    }
    let unrest = std::io::Error::other("the accounts change faster than they can be read");
    Err(ReadError::Io(unrest))
}

/// Turns each record below `prefix` into a step. What cannot be understood is logged and left out.
async fn scan(
    engine: &dyn Engine,
    prefix: &Key,
    snapshot: &mut Snapshot,
    read: impl Fn(&[u8], &Bytes) -> Option<Edit>,
) -> Result<(), ReadError> {
    let mut pages = Pages::new(engine, prefix.prefix_range());
    while let Some(entries) = pages.next().await? {
        for (key, value) in &entries {
            let fields = key.as_bytes().get(prefix.as_bytes().len()..);
            match read(fields.unwrap_or_default(), value) {
                Some(edit) => snapshot.apply(&edit),
                // DUR-10: one bad item never stops the rest.
                None => {
                    tracing::error!(key = ?key, "a stored account, domain or address is damaged")
                }
            }
        }
    }
    Ok(())
}

fn read_domain(name: &[u8], value: &Bytes) -> Option<Edit> {
    let name = Domain::parse(std::str::from_utf8(name).ok()?).ok()?;
    let record = DomainRecord::decode(value).unwrap_or_else(|| {
        tracing::error!(domain = %name, "a damaged domain has no catch-all");
        DomainRecord::default()
    });
    Some(Edit::PutDomain(name, record))
}

fn read_address(fields: &[u8], value: &Bytes) -> Option<Edit> {
    let (domain, local) = std::str::from_utf8(fields).ok()?.split_once('\0')?;
    let entry = Entry::decode(value);
    if entry == Entry::Damaged {
        tracing::error!(domain, local, "the record of an address is damaged");
    }
    let domain = Domain::parse(domain).ok()?;
    Some(Edit::PutEntry(domain, local.to_owned(), entry))
}

fn read_account(fields: &[u8], value: &Bytes) -> Option<Edit> {
    let id = AccountId(u64::from_be_bytes(*fields.first_chunk()?));
    let account = Account::decode(id, value)?;
    Some(Edit::PutAccount(Box::new(account)))
}

/// A counter's last number; zero before the first.
async fn number(engine: &dyn Engine, key: &Key) -> Result<u64, ReadError> {
    match engine.get(key).await? {
        None => Ok(0),
        Some(value) => match value.first_chunk() {
            Some(bytes) if value.len() == 8 => Ok(u64::from_be_bytes(*bytes)),
            _ => Err(ReadError::Damaged(format!("the counter {key:?}"))),
        },
    }
}

/// How a counter is stored.
fn stored_number(number: u64) -> Option<Bytes> {
    (number > 0).then(|| Bytes::copy_from_slice(&number.to_be_bytes()))
}
