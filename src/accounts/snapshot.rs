//! All domains, accounts and addresses at one version, in memory.
//!
//! A snapshot never changes; a change makes the next one from it. The maps are persistent: a copy
//! of one shares all that is in it, so the next snapshot costs what it changes. Loading from the
//! store is in `directory`, resolving in `resolve`.

use std::{net::IpAddr, sync::Arc};

use rpds::{RedBlackTreeMapSync as Map, RedBlackTreeSetSync as Set};

use super::{
    record::{Account, DomainRecord, Entry},
    rewriting::RewritingSecret,
};
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
    /// Oldest first.
    pub(super) secrets: Arc<[RewritingSecret]>,
    domains: Map<Domain, LocalDomain>,
    accounts: Map<AccountId, Account>,
}

/// A domain whose mail is kept here.
#[derive(Clone, Debug)]
pub struct LocalDomain {
    /// Its name.
    pub name: Domain,
    pub(super) record: DomainRecord,
    /// By folded local part.
    entries: Map<String, Entry>,
    /// Accounts whose first address is in the domain.
    accounts: Set<AccountId>,
}

/// What resolving takes from the settings.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) tag_separator: Option<char>,
    pub(super) postmaster: Option<Address>,
    pub(super) host: Option<Domain>,
    pub(super) literals: Vec<IpAddr>,
    pub(super) disabled_take_mail: bool,
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
    PutSecrets(Vec<RewritingSecret>),
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
        self.domains.values()
    }

    /// The local domain of this name.
    pub fn domain(&self, name: &Domain) -> Option<&LocalDomain> {
        self.domains.get(name)
    }

    /// Whether mail for `domain` is kept here.
    pub fn is_local(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
    }

    /// Whether mail for `domain` comes here, if only for the postmaster.
    pub fn is_ours(&self, domain: &Domain) -> bool {
        self.is_local(domain) || self.rules.host.as_ref() == Some(domain)
    }

    /// All accounts, oldest first.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// The address whose tagged form `address` would be, were it not an address of its own.
    pub fn untagged(&self, address: &Address) -> Option<Address> {
        let separator = self.rules.tag_separator?;
        address.without_tag(separator).map(|(base, _)| base)
    }

    /// Whether mail is put into the mailboxes of this account.
    pub fn takes_mail(&self, account: &Account) -> bool {
        !account.disabled || self.rules.disabled_take_mail
    }

    /// The account of this number.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// The account that logs in with `name`: any address that is the account's own, also in a
    /// domain that stands for its own, or, when there is exactly one local domain, only the part
    /// before the at sign.
    pub fn login(&self, name: &str) -> Option<&Account> {
        let entry = if name.contains('@') {
            let address = Address::parse(name).ok()?;
            self.entry_for(&address)?
        } else {
            let (_, domain) = self.domains.first()?;
            if self.domains.size() > 1 {
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

    /// What is stored for this address, or for the same one of the domain that its domain stands
    /// for.
    pub(super) fn entry_for(&self, address: &Address) -> Option<&Entry> {
        let own = self.entry(address);
        own.or_else(|| {
            let other = self.domain(&address.domain)?.stands_for()?;
            let (_, entry) = self.domain(other)?.entry(&address.folded_local())?;
            Some(entry)
        })
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
                let known = self.domain(name).cloned();
                let mut domain = known.unwrap_or_else(|| LocalDomain::empty(name));
                domain.record = record.clone();
                self.domains.insert_mut(name.clone(), domain);
            }
            Edit::RemoveDomain(name) => {
                self.domains.remove_mut(name);
            }
            Edit::PutEntry(domain, local, entry) => self.edit_domain(domain, |domain| {
                domain.entries.insert_mut(local.clone(), entry.clone());
            }),
            Edit::RemoveEntry(domain, local) => self.edit_domain(domain, |domain| {
                domain.entries.remove_mut(local);
            }),
            Edit::PutAccount(account) => {
                self.edit_domain(&account.address.domain, |domain| {
                    domain.accounts.insert_mut(account.id);
                });
                self.accounts.insert_mut(account.id, (**account).clone());
                self.last_account = self.last_account.max(account.id.0);
            }
            Edit::RemoveAccount(id) => {
                let domain = self
                    .account(*id)
                    .map(|account| account.address.domain.clone());
                if let Some(domain) = domain {
                    self.edit_domain(&domain, |domain| {
                        domain.accounts.remove_mut(id);
                    });
                }
                self.accounts.remove_mut(id);
            }
            Edit::PutSecrets(secrets) => self.secrets = secrets.as_slice().into(),
        }
    }

    fn edit_domain(&mut self, name: &Domain, edit: impl FnOnce(&mut LocalDomain)) {
        if let Some(mut domain) = self.domain(name).cloned() {
            edit(&mut domain);
            self.domains.insert_mut(name.clone(), domain);
        }
    }
}

impl LocalDomain {
    fn empty(name: &Domain) -> Self {
        Self {
            name: name.clone(),
            record: DomainRecord::default(),
            entries: Map::default(),
            accounts: Set::default(),
        }
    }

    /// Where mail goes that no address of it takes.
    pub fn catch_all(&self) -> Option<&Address> {
        self.record.catch_all.as_ref()
    }

    /// The domain that it stands for, all of whose addresses are its addresses.
    pub fn stands_for(&self) -> Option<&Domain> {
        self.record.stands_for.as_ref()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_snapshot_shares_what_did_not_change() {
        let name = Domain::parse("example.org").unwrap();
        let mut before = Snapshot::default();
        before.apply(&Edit::PutDomain(name.clone(), DomainRecord::default()));
        for id in 1..=500 {
            let local = format!("user{id}");
            let entry = Entry::Account(AccountId(id));
            before.apply(&Edit::PutEntry(name.clone(), local, entry));
        }
        let mut after = before.clone();
        let local = "late".to_owned();
        after.apply(&Edit::PutEntry(name.clone(), local, Entry::Damaged));
        after.apply(&Edit::RemoveEntry(name.clone(), "user7".to_owned()));
        let entry = |snapshot: &Snapshot, local: &str| {
            let found = snapshot.domain(&name)?.entry(local);
            found.map(|(_, entry)| std::ptr::from_ref(entry))
        };
        let shared = (1..=500).map(|id| format!("user{id}"));
        let shared = shared.filter(|local| entry(&before, local) == entry(&after, local));
        assert_eq!(shared.count(), 499);
        assert!(entry(&before, "late").is_none() && entry(&before, "user7").is_some());
    }
}
