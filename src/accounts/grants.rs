//! Which senders an account may use beside its own: addresses or whole domains that an operator
//! granted (AUTH-07).
//!
//! Its own are all addresses whose mail reaches it by itself, by aliases, by a tag or as a
//! catch-all, and the groups it owns. A grant is the operator's word, so it may be of a domain that
//! is kept elsewhere; nobody asks here what that domain says of it (SPF, DMARC).

use std::{fmt, str::FromStr};

use super::{change::DirectoryError, directory::Directory, record::Entry, snapshot::Snapshot};
use crate::{
    base::ids::AccountId,
    mail::address::{Address, AddressError, Domain},
};

/// A sender that an account may use, though its mail goes elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// This address, with any tag.
    Address(Address),
    /// All addresses of a domain, and of none below it: `@example.org`.
    Domain(Domain),
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

impl FromStr for Grant {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix('@') {
            Some(domain) => Domain::parse(domain).map(Self::Domain),
            None => Address::parse(text).map(Self::Address),
        }
    }
}

impl Snapshot {
    /// Whether the account may send with this address (AUTH-07): as its own, or by a grant.
    pub fn may_send(&self, account: AccountId, address: &Address) -> bool {
        self.owns(account, address) || self.is_granted(account, address)
    }

    fn is_granted(&self, account: AccountId, address: &Address) -> bool {
        let Some(account) = self.account(account) else {
            return false;
        };
        let plain = self.untagged(address);
        let covers = |grant: &Grant| match grant {
            Grant::Domain(domain) => *domain == address.domain,
            Grant::Address(granted) => {
                is_same(granted, address) || plain.as_ref().is_some_and(|p| is_same(granted, p))
            }
        };
        account.send_as.iter().any(covers)
    }

    /// Addresses that the account may send with, for people: its own first, then grants, then
    /// aliases that name it and groups that it owns; at most `most` of them.
    pub fn senders_of(&self, id: AccountId, most: usize) -> Vec<String> {
        let own = self.addresses_of(id);
        let own = own.filter_map(|(domain, local)| Some(address_at(local, domain)?.to_string()));
        let grants = self.account(id).into_iter();
        let grants = grants.flat_map(|account| account.send_as.iter().map(Grant::to_string));
        let named = self.domains().flat_map(|domain| {
            let of_lists = domain.entries().filter_map(move |(local, entry)| {
                let listed = match entry {
                    Entry::Alias(targets) => targets,
                    Entry::Group(group) => &group.owners,
                    Entry::Account(_) | Entry::Damaged => return None,
                };
                let is_him = |one: &Address| self.entry(one) == Some(&Entry::Account(id));
                listed
                    .iter()
                    .any(is_him)
                    .then(|| address_at(local, &domain.name))?
            });
            of_lists.map(|address| address.to_string())
        });
        own.chain(grants).chain(named).take(most).collect()
    }
}

impl Directory {
    /// Lets an account send with an address or a domain.
    pub async fn add_grant(&self, id: AccountId, grant: &Grant) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let account = snapshot.account(id).ok_or(DirectoryError::UnknownAccount)?;
            if account.send_as.contains(grant) {
                return Err(DirectoryError::GrantExists);
            }
            if account.send_as.len() >= GRANTS_MAX {
                return Err(DirectoryError::TooManyGrants);
            }
            let mut account = account.clone();
            account.send_as.push(grant.clone());
            Ok((vec![account.put()], ()))
        })
        .await
    }

    /// Takes a grant away.
    pub async fn remove_grant(&self, id: AccountId, grant: &Grant) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let account = snapshot.account(id).ok_or(DirectoryError::UnknownAccount)?;
            let mut account = account.clone();
            account.send_as.retain(|one| one != grant);
            match snapshot.account(id) {
                Some(before) if before.send_as.len() > account.send_as.len() => {
                    Ok((vec![account.put()], ()))
                }
                _ => Err(DirectoryError::UnknownGrant),
            }
        })
        .await
    }
}

fn address_at(local: &str, domain: &Domain) -> Option<Address> {
    let local = crate::mail::address::LocalPart::from_unquoted(local).ok()?;
    let domain = domain.clone();
    Some(Address { local, domain })
}

fn is_same(one: &Address, other: &Address) -> bool {
    one.domain == other.domain && one.folded_local() == other.folded_local()
}

/// Grants of one account.
pub(super) const GRANTS_MAX: usize = 100;
