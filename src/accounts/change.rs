//! The changes of the directory: each is decided on a snapshot and made in one commit.
//!
//! Every function says in its error what stands in the way. An alias or group that could not work
//! (it comes back to itself, it is too long) is refused when it is made, so that mail never finds
//! it.

use super::{
    directory::Directory,
    grants::GRANTS_MAX,
    keys::KEYS_MAX,
    limits::{ADDRESSES_PER_ACCOUNT_MAX, ANSWER_BYTES_MAX, EXPANSION_MAX, SUBJECT_BYTES_MAX},
    password::NotAPassword,
    record::{Account, DomainRecord, Entry},
    resolve::{Resolution, Unusable},
    snapshot::{Edit, LocalDomain, Snapshot},
};
use crate::{
    base::{ids::AccountId, secret::Secret},
    mail::address::{Address, Domain},
    store::{Batch, CommitError, ReadError, key},
};

/// Adds what a new account needs (its first mailboxes) to the commit that makes it.
pub type Provision<'a> = &'a (dyn Fn(&mut Batch, AccountId) + Send + Sync);

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// There is such a domain already.
    #[error("the domain exists already")]
    DomainExists,
    /// There is such an address already.
    #[error("the address exists already")]
    AddressExists,
    /// No such local domain.
    #[error("the domain is not a local domain")]
    UnknownDomain,
    /// No such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// No such alias, group or additional address.
    #[error("there is no such address of this kind")]
    UnknownAddress,
    /// The domain has addresses.
    #[error("the domain is in use: it still has {}", addresses(*.0))]
    DomainInUse(usize),
    /// An address literal cannot be a local domain.
    #[error("a local domain is a name, not an IP address")]
    NotAName,
    /// An account keeps the address it was made with.
    #[error("this is the first address of its account: it goes with the account")]
    FirstAddress,
    /// An alias or group needs targets.
    #[error("at least one target is needed")]
    NoTargets,
    /// More than a record holds.
    #[error("too many targets: {EXPANSION_MAX} at most, and 60 KiB as text")]
    TooManyTargets,
    /// One account's addresses.
    #[error("the account has {ADDRESSES_PER_ACCOUNT_MAX} addresses already")]
    TooManyAddresses,
    /// The alias or group would not work.
    #[error("mail for this address would reach nobody: {}", reason(*.0))]
    Unusable(Unusable),
    /// The domain has a key of this name.
    #[error("the domain has a key with this selector already: drop it first")]
    SelectorExists,
    /// The domain has no such key.
    #[error("the domain has no key with this selector; `buzon dkim list` shows all")]
    UnknownSelector,
    /// More keys than anybody needs.
    #[error("the domain has {KEYS_MAX} keys already: drop those that were given up")]
    TooManyKeys,
    /// The names of a group's owners would be no addresses.
    #[error("the name of a group is shorter: NAME-bounces must be an address, too")]
    NameTooLong,
    /// A domain stands for one that has its addresses itself.
    #[error("a domain stands for one that stands for no other: {0} is not such a domain")]
    StandsForNone(Domain),
    /// The domain has what only one that stands for itself can have.
    #[error("{0}")]
    StandsForItself(&'static str),
    /// The account may send with that already.
    #[error("the account may send with that already")]
    GrantExists,
    /// The account has no such grant.
    #[error("the account has no such grant; `buzon account send-as list` shows all")]
    UnknownGrant,
    /// One account's grants.
    #[error("the account has {GRANTS_MAX} grants already")]
    TooManyGrants,
    /// The text of an answer is too long.
    #[error("an answer is {ANSWER_BYTES_MAX} bytes at most, its subject {SUBJECT_BYTES_MAX}")]
    AnswerTooLong,
    /// Nobody logs in to it.
    #[error("a shared account has no password: nobody logs in to it")]
    Shared,
    /// Not possible as a password.
    #[error(transparent)]
    Password(#[from] NotAPassword),
    /// Others change the same things, or too many passwords are being hashed.
    #[error("the server is busy: try again")]
    Busy,
    /// No room on the disk.
    #[error("the store is full")]
    Full,
    /// The store failed.
    #[error("the accounts cannot be read")]
    Read(#[from] ReadError),
    /// The store failed.
    #[error("the change could not be stored")]
    Commit(#[source] CommitError),
}

impl From<CommitError> for DirectoryError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict => Self::Busy,
            CommitError::Full => Self::Full,
            CommitError::Read(error) => Self::Read(error),
            other => Self::Commit(other),
        }
    }
}

impl Directory {
    /// Makes `name` a local domain.
    pub async fn add_domain(&self, name: &Domain) -> Result<(), DirectoryError> {
        if name.literal().is_some() {
            return Err(DirectoryError::NotAName);
        }
        let record = DomainRecord {
            created: self.0.clock.wall(),
            ..DomainRecord::default()
        };
        self.change(|snapshot, _| {
            if snapshot.is_local(name) {
                return Err(DirectoryError::DomainExists);
            }
            Ok((vec![Edit::PutDomain(name.clone(), record.clone())], ()))
        })
        .await
    }

    /// Removes a local domain that no address uses any more.
    pub async fn remove_domain(&self, name: &Domain) -> Result<(), DirectoryError> {
        self.change(
            |snapshot, _| match local_domain(snapshot, name)?.entries().count() {
                0 if snapshot.is_stood_for(name) => Err(DirectoryError::StandsForItself(
                    "another domain stands for this one; `buzon domain list` shows which",
                )),
                0 => Ok((vec![Edit::RemoveDomain(name.clone())], ())),
                addresses => Err(DirectoryError::DomainInUse(addresses)),
            },
        )
        .await
    }

    /// Says where mail goes that no address of the domain takes; `None` refuses it.
    pub async fn set_catch_all(
        &self,
        name: &Domain,
        target: Option<&Address>,
    ) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let mut record = local_domain(snapshot, name)?.record.clone();
            if record.stands_for.is_some() && target.is_some() {
                let why = "the domain stands for another, whose catch-all is its own";
                return Err(DirectoryError::StandsForItself(why));
            }
            record.catch_all = target.cloned();
            let edits = vec![Edit::PutDomain(name.clone(), record)];
            if let Some(target) = target {
                works_after(snapshot, &edits, target)?;
            }
            Ok((edits, ()))
        })
        .await
    }

    /// Makes an account with its first address; `provision` adds its mailboxes to the same commit.
    pub async fn add_account(
        &self,
        address: &Address,
        password: &Secret<String>,
        provision: Provision<'_>,
    ) -> Result<AccountId, DirectoryError> {
        vacant(&*self.settled().await?, address)?;
        let verifier = self.hash(password).await?;
        self.add(address, (verifier, false), provision).await
    }

    /// Makes an account that is nobody's own: mail for it comes in as for any other, and its
    /// mailboxes are for those whom the rights are given to.
    pub async fn add_shared_account(
        &self,
        address: &Address,
        provision: Provision<'_>,
    ) -> Result<AccountId, DirectoryError> {
        let nobody = Secret::new(String::new());
        self.add(address, (nobody, true), provision).await
    }

    async fn add(
        &self,
        address: &Address,
        (verifier, shared): (Secret<String>, bool),
        provision: Provision<'_>,
    ) -> Result<AccountId, DirectoryError> {
        let created = self.0.clock.wall();
        self.change(|snapshot, batch| {
            vacant(snapshot, address)?;
            // The commit is conditional on the directory's version, so this is the number it takes.
            let id = AccountId(snapshot.last_account.saturating_add(1));
            batch.take_one(key::account_counter());
            provision(batch, id);
            let account = Account {
                id,
                address: address.clone(),
                verifier: verifier.clone(),
                quota_bytes: self.0.quota_bytes_default,
                created,
                disabled: false,
                shared,
                credentials: 0,
                forwarding: None,
                out_of_office: None,
                send_as: Vec::new(),
            };
            let entry = put_entry(address, Entry::Account(id));
            Ok((vec![entry, Edit::PutAccount(Box::new(account))], id))
        })
        .await
    }

    /// Replaces the password. What was logged in with the old one ends (AUTH-06).
    pub async fn set_password(
        &self,
        id: AccountId,
        password: &Secret<String>,
    ) -> Result<(), DirectoryError> {
        let snapshot = self.settled().await?;
        if snapshot.account(id).is_some_and(|account| account.shared) {
            return Err(DirectoryError::Shared);
        }
        let verifier = self.hash(password).await?;
        self.change_account(id, |account| {
            account.verifier = verifier.clone();
            account.credentials = account.credentials.saturating_add(1);
        })
        .await
    }

    /// Sets how many bytes the account's mailboxes may hold.
    pub async fn set_quota(&self, id: AccountId, bytes: u64) -> Result<(), DirectoryError> {
        self.change_account(id, |account| account.quota_bytes = bytes)
            .await
    }

    /// Takes an account out of use, or back into it.
    pub async fn set_disabled(&self, id: AccountId, disabled: bool) -> Result<(), DirectoryError> {
        self.change_account(id, |account| {
            account.disabled = disabled;
            account.credentials = account.credentials.saturating_add(1);
        })
        .await
    }

    /// Gives an account one more address of its own.
    pub async fn add_address(
        &self,
        id: AccountId,
        address: &Address,
    ) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            snapshot.account(id).ok_or(DirectoryError::UnknownAccount)?;
            vacant(snapshot, address)?;
            if snapshot.addresses_of(id).count() >= ADDRESSES_PER_ACCOUNT_MAX {
                return Err(DirectoryError::TooManyAddresses);
            }
            Ok((vec![put_entry(address, Entry::Account(id))], ()))
        })
        .await
    }

    /// Takes an additional address away from its account.
    pub async fn remove_address(&self, address: &Address) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let Some(Entry::Account(id)) = snapshot.entry(address) else {
                return Err(DirectoryError::UnknownAddress);
            };
            let first = snapshot.account(*id).map(|account| &account.address);
            if first.is_some_and(|first| is_same(first, address)) {
                return Err(DirectoryError::FirstAddress);
            }
            Ok((vec![remove_entry(address)], ()))
        })
        .await
    }

    /// Makes an address that stands for others, here or elsewhere.
    pub async fn add_alias(
        &self,
        address: &Address,
        targets: &[Address],
    ) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            vacant(snapshot, address)?;
            let edits = vec![alias_entry(address, targets)?];
            works_after(snapshot, &edits, address)?;
            Ok((edits, ()))
        })
        .await
    }

    /// Replaces the targets of an alias.
    pub async fn set_targets(
        &self,
        address: &Address,
        targets: &[Address],
    ) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let Some(Entry::Alias(_)) = snapshot.entry(address) else {
                return Err(DirectoryError::UnknownAddress);
            };
            let edits = vec![alias_entry(address, targets)?];
            works_after(snapshot, &edits, address)?;
            Ok((edits, ()))
        })
        .await
    }

    /// Removes an alias.
    pub async fn remove_alias(&self, address: &Address) -> Result<(), DirectoryError> {
        remove_list(self, address, |entry| {
            matches!(entry, Entry::Alias(_) | Entry::Damaged)
        })
        .await
    }

    pub(super) async fn change_account(
        &self,
        id: AccountId,
        edit: impl Fn(&mut Account),
    ) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let account = snapshot.account(id).ok_or(DirectoryError::UnknownAccount)?;
            let mut account = account.clone();
            edit(&mut account);
            Ok((vec![Edit::PutAccount(Box::new(account))], ()))
        })
        .await
    }
}

/// Removes what stands for an address, if it is of the right kind.
pub(super) async fn remove_list(
    directory: &Directory,
    address: &Address,
    is_kind: impl Fn(&Entry) -> bool,
) -> Result<(), DirectoryError> {
    directory
        .change(|snapshot, _| match snapshot.entry(address) {
            Some(entry) if is_kind(entry) => Ok((vec![remove_entry(address)], ())),
            _ => Err(DirectoryError::UnknownAddress),
        })
        .await
}

impl Snapshot {
    /// The addresses that are an account's own: domain and folded local part.
    pub(super) fn addresses_of(&self, id: AccountId) -> impl Iterator<Item = (&Domain, &str)> {
        self.domains().flat_map(move |domain| {
            let own = move |entry: &Entry| *entry == Entry::Account(id);
            let entries = domain.entries().filter(move |(_, entry)| own(entry));
            entries.map(|(local, _)| (&domain.name, local))
        })
    }
}

fn local_domain<'a>(
    snapshot: &'a Snapshot,
    name: &Domain,
) -> Result<&'a LocalDomain, DirectoryError> {
    snapshot.domain(name).ok_or(DirectoryError::UnknownDomain)
}

/// The address is of a local domain and stands for nothing yet.
pub(super) fn vacant(snapshot: &Snapshot, address: &Address) -> Result<(), DirectoryError> {
    local_domain(snapshot, &address.domain)?;
    match snapshot.entry(address) {
        Some(_) => Err(DirectoryError::AddressExists),
        None => Ok(()),
    }
}

/// Mail for `address` finds its way after these edits. That it reaches nobody today, because an
/// account is disabled or not made yet, is no reason to refuse.
pub(super) fn works_after(
    snapshot: &Snapshot,
    edits: &[Edit],
    address: &Address,
) -> Result<(), DirectoryError> {
    let mut next = snapshot.clone();
    for edit in edits {
        next.apply(edit);
    }
    match next.resolve_address(address) {
        Resolution::Unusable(unusable) => Err(DirectoryError::Unusable(unusable)),
        _ => Ok(()),
    }
}

fn alias_entry(address: &Address, targets: &[Address]) -> Result<Edit, DirectoryError> {
    match targets.len() {
        0 => Err(DirectoryError::NoTargets),
        1..=EXPANSION_MAX => Ok(put_entry(address, Entry::Alias(targets.to_vec()))),
        _ => Err(DirectoryError::TooManyTargets),
    }
}

pub(super) fn put_entry(address: &Address, entry: Entry) -> Edit {
    Edit::PutEntry(address.domain.clone(), address.folded_local(), entry)
}

fn remove_entry(address: &Address) -> Edit {
    Edit::RemoveEntry(address.domain.clone(), address.folded_local())
}

fn is_same(one: &Address, other: &Address) -> bool {
    one.domain == other.domain && one.folded_local() == other.folded_local()
}

fn addresses(count: usize) -> String {
    match count {
        1 => "1 address".to_owned(),
        many => format!("{many} addresses"),
    }
}

fn reason(unusable: Unusable) -> &'static str {
    match unusable {
        Unusable::Loop => "it comes back to itself",
        Unusable::TooDeep => "too many aliases one behind the other",
        Unusable::TooMany => "it stands for too many addresses",
        Unusable::Damaged => "a record it needs is damaged",
    }
}
