//! All domains, accounts and addresses at one version, in memory.
//!
//! A snapshot never changes; a change makes the next one from it. Domains are shared between
//! snapshots, so that the next one costs what it changes. Loading from the store is in `directory`,
//! resolving in `resolve`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use super::record::{Account, DomainRecord, Entry};
use crate::{
    base::ids::AccountId,
    mail::address::{Address, Domain, LocalPart},
};

/// Domains, accounts and addresses as they were at one version.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Number of changes made before.
    pub(super) version: u64,
    /// The last account number given out.
    pub(super) last_account: u64,
    pub(super) rules: Arc<Rules>,
    domains: BTreeMap<Domain, Arc<LocalDomain>>,
    accounts: BTreeMap<AccountId, Arc<Account>>,
}

/// A domain whose mail is kept here.
#[derive(Clone, Debug)]
pub struct LocalDomain {
    /// Its name.
    pub name: Domain,
    pub(super) record: DomainRecord,
    /// By folded local part.
    entries: BTreeMap<String, Entry>,
    /// Accounts whose first address is in the domain.
    accounts: BTreeSet<AccountId>,
}

/// What resolving takes from the settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) tag_separator: Option<char>,
    pub(super) postmaster: Option<Address>,
    pub(super) host: Option<Domain>,
    pub(super) literals: Vec<IpAddr>,
}

/// One step from a snapshot to the next.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    PutDomain(Domain, DomainRecord),
    RemoveDomain(Domain),
    /// Domain and folded local part.
    PutEntry(Domain, String, Entry),
    RemoveEntry(Domain, String),
    PutAccount(Box<Account>),
    RemoveAccount(AccountId),
}

impl Snapshot {
    /// Nothing yet.
    pub(super) fn empty(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// The local domains, by name.
    pub fn domains(&self) -> impl Iterator<Item = &LocalDomain> {
        self.domains.values().map(Arc::as_ref)
    }

    /// The local domain of this name.
    pub fn domain(&self, name: &Domain) -> Option<&LocalDomain> {
        self.domains.get(name).map(Arc::as_ref)
    }

    /// Whether mail for `domain` is kept here.
    pub fn is_local(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
    }

    /// All accounts, oldest first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values().map(Arc::as_ref)
    }

    /// The address whose tagged form `address` would be, were it not an address of its own.
    pub fn untagged(&self, address: &Address) -> Option<Address> {
        let separator = self.rules.tag_separator?;
        address.without_tag(separator).map(|(base, _)| base)
    }

    /// The account of this number.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).map(Arc::as_ref)
    }

    /// The account that logs in with `name`: any address that is the account's own, or, when
    /// there is exactly one local domain, only the part before the at sign.
    pub fn login(&self, name: &str) -> Option<&Account> {
        let entry = if name.contains('@') {
            let address = Address::parse(name).ok()?;
            self.entry(&address)?
        } else {
            let (_, domain) = self.domains.first_key_value()?;
            if self.domains.len() > 1 {
                return None;
            }
            let local = LocalPart::from_unquoted(name).ok()?;
            domain.entries.get(&local.folded())?
        };
        match entry {
            Entry::Account(id) => self.account(*id),
            Entry::Alias(_) | Entry::Group(_) | Entry::Damaged => None,
        }
    }

    /// What is stored for exactly this address.
    pub fn entry(&self, address: &Address) -> Option<&Entry> {
        let domain = self.domains.get(&address.domain)?;
        domain.entries.get(&address.folded_local())
    }

    /// The local domain that was added first.
    pub(super) fn oldest_domain(&self) -> Option<&LocalDomain> {
        self.domains().min_by_key(|domain| domain.record.created)
    }

    /// The first account that is in use, in `domain` when there is one.
    pub(super) fn first_account(&self, domain: Option<&LocalDomain>) -> Option<AccountId> {
        let in_use = |account: &&Account| !account.disabled;
        let of_domain = domain.and_then(|domain| {
            let mut accounts = domain.accounts.iter().filter_map(|id| self.account(*id));
            accounts.find(in_use)
        });
        of_domain
            .or_else(|| self.accounts().find(in_use))
            .map(|account| account.id)
    }

    /// Takes one step.
    pub(super) fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::PutDomain(name, record) => {
                let domain = self.domains.entry(name.clone());
                let domain = domain.or_insert_with(|| Arc::new(LocalDomain::empty(name)));
                let domain = Arc::make_mut(domain);
                domain.record = record.clone();
            }
            Edit::RemoveDomain(name) => {
                self.domains.remove(name);
            }
            Edit::PutEntry(domain, local, entry) => {
                if let Some(domain) = self.domains.get_mut(domain) {
                    let domain = Arc::make_mut(domain);
                    domain.entries.insert(local.clone(), entry.clone());
                }
            }
            Edit::RemoveEntry(domain, local) => {
                if let Some(domain) = self.domains.get_mut(domain) {
                    Arc::make_mut(domain).entries.remove(local);
                }
            }
            Edit::PutAccount(account) => {
                if let Some(domain) = self.domains.get_mut(&account.address.domain)
                    && !domain.accounts.contains(&account.id)
                {
                    Arc::make_mut(domain).accounts.insert(account.id);
                }
                let shared = Arc::new(account.as_ref().clone());
                self.accounts.insert(account.id, shared);
                self.last_account = self.last_account.max(account.id.0);
            }
            Edit::RemoveAccount(id) => {
                if let Some(account) = self.accounts.remove(id)
                    && let Some(domain) = self.domains.get_mut(&account.address.domain)
                {
                    Arc::make_mut(domain).accounts.remove(id);
                }
            }
        }
    }
}

impl LocalDomain {
    fn empty(name: &Domain) -> Self {
        Self {
            name: name.clone(),
            record: DomainRecord::default(),
            entries: BTreeMap::new(),
            accounts: BTreeSet::new(),
        }
    }

    /// Where mail goes that no address of it takes.
    pub fn catch_all(&self) -> Option<&Address> {
        self.record.catch_all.as_ref()
    }

    /// Its addresses: folded local part, and what it stands for.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(local, entry)| (local.as_str(), entry))
    }

    /// What is stored for this folded local part.
    pub(super) fn entry(&self, folded: &str) -> Option<(&str, &Entry)> {
        let (local, entry) = self.entries.get_key_value(folded)?;
        Some((local, entry))
    }
}
