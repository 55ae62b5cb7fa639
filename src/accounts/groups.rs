//! Distribution lists: who is in them, who runs them, who may write to them.
//!
//! A group is one address. Its mail goes to its members, with the group as the one who sends it on
//! (`route::listing`); what cannot be delivered comes back to its owners. Beside its own address
//! three more reach the owners, unless something else has these names: `NAME-owner`,
//! `NAME-request` (RFC 2142 6) and `NAME-bounces`.

use super::{
    change::{DirectoryError, put_entry, remove_list, vacant, works_after},
    directory::Directory,
    limits::EXPANSION_MAX,
    record::Entry,
    snapshot::Snapshot,
};
use crate::{
    base::ids::AccountId,
    mail::{
        address::{Address, LocalPart},
        envelope::ReversePath,
    },
};

/// A distribution list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Who gets its mail: accounts, aliases, groups, addresses elsewhere.
    pub members: Vec<Address>,
    /// Who runs it, and hears of what cannot be delivered; nobody: the domain's postmaster.
    pub owners: Vec<Address>,
    /// Who may write to it.
    pub senders: Senders,
}

/// Who may write to a group. Its owners always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Senders {
    /// Everybody.
    Anyone,
    /// Its members.
    #[default]
    Members,
    /// Nobody but its owners.
    Owners,
    /// These.
    Listed(Vec<Address>),
}

/// Who wants to write to a group.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The account that logged in.
    pub account: Option<AccountId>,
    /// What MAIL said.
    pub sender: &'a ReversePath,
}

impl Snapshot {
    /// Whether `writer` may write to the group of this address. Of those who did not log in, only
    /// addresses elsewhere are believed: our own users log in.
    pub fn may_write(&self, writer: Writer<'_>, group: &Address) -> bool {
        let Some(Entry::Group(group)) = self.entry(group) else {
            return false;
        };
        let more: &[Address] = match &group.senders {
            Senders::Anyone => return true,
            Senders::Members => &group.members,
            Senders::Owners => &[],
            Senders::Listed(listed) => listed,
        };
        let people = self.people(group.owners.iter().chain(more));
        let by_account = writer
            .account
            .is_some_and(|id| people.accounts.contains(&id));
        let elsewhere = writer.sender.address();
        by_account || elsewhere.is_some_and(|sender| is_among(sender, &people.forwards))
    }

    /// Whom an alias or a group stands for, as it was set.
    pub fn listed(&self, address: &Address) -> Option<&[Address]> {
        match self.entry_for(address)? {
            Entry::Group(group) => Some(&group.members),
            Entry::Alias(targets) => Some(targets),
            Entry::Account(_) | Entry::Damaged => None,
        }
    }

    /// Whether the account is a member or an owner of this group, or one whom this alias reaches.
    pub fn is_in(&self, account: AccountId, address: &Address) -> bool {
        let owners = match self.entry_for(address) {
            Some(Entry::Group(group)) => group.owners.as_slice(),
            _ => &[],
        };
        let listed = self.listed(address).unwrap_or_default();
        let people = self.people(listed.iter().chain(owners));
        people.accounts.contains(&account)
    }
}

/// Whether an address elsewhere is one of these. What case means there is not ours to say (RFC 5321
/// 2.4), but nobody writes to a list under two names that differ in it.
fn is_among(sender: &Address, known: &[Address]) -> bool {
    let folded = sender.folded_local();
    let is_it = |one: &Address| one.domain == sender.domain && one.folded_local() == folded;
    known.iter().any(is_it)
}

impl Directory {
    /// Makes a distribution list.
    pub async fn add_group(&self, address: &Address, group: &Group) -> Result<(), DirectoryError> {
        fits(address, group)?;
        self.change(|snapshot, _| {
            vacant(snapshot, address)?;
            let edits = vec![put_entry(address, Entry::Group(Box::new(group.clone())))];
            works_after(snapshot, &edits, address)?;
            Ok((edits, ()))
        })
        .await
    }

    /// Changes a distribution list.
    pub async fn change_group(
        &self,
        address: &Address,
        edit: impl Fn(&mut Group),
    ) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let Some(Entry::Group(group)) = snapshot.entry(address) else {
                return Err(DirectoryError::UnknownAddress);
            };
            let mut group = group.clone();
            edit(&mut group);
            fits(address, &group)?;
            let edits = vec![put_entry(address, Entry::Group(group))];
            works_after(snapshot, &edits, address)?;
            Ok((edits, ()))
        })
        .await
    }

    /// Removes a distribution list.
    pub async fn remove_group(&self, address: &Address) -> Result<(), DirectoryError> {
        remove_list(self, address, |entry| {
            matches!(entry, Entry::Group(_) | Entry::Damaged)
        })
        .await
    }
}

/// The group can be stored, and the names of its owners are addresses.
fn fits(address: &Address, group: &Group) -> Result<(), DirectoryError> {
    if group.members.is_empty() {
        return Err(DirectoryError::NoTargets);
    }
    let listed = match &group.senders {
        Senders::Listed(listed) => listed.len(),
        _ => 0,
    };
    let longest = group.members.len().max(group.owners.len()).max(listed);
    if longest > EXPANSION_MAX {
        return Err(DirectoryError::TooManyTargets);
    }
    bounces_of(address)
        .map(|_| ())
        .ok_or(DirectoryError::NameTooLong)
}

/// Where what a group's mail cannot be delivered for comes back to: the sender of its mail.
pub fn bounces_of(group: &Address) -> Option<Address> {
    with_suffix(group, BOUNCES)
}

/// Where people reach a group's owners.
pub fn owner_of(group: &Address) -> Option<Address> {
    with_suffix(group, OWNER)
}

fn with_suffix(group: &Address, suffix: &str) -> Option<Address> {
    let local = format!("{}{suffix}", group.local.as_str());
    Some(Address {
        local: LocalPart::from_unquoted(&local).ok()?,
        domain: group.domain.clone(),
    })
}

/// The name of the group whose owners this folded name reaches, if there is such a group.
pub(super) fn group_of_owner(folded: &str) -> Option<&str> {
    let suffixes = [BOUNCES, OWNER, REQUEST];
    suffixes
        .iter()
        .find_map(|suffix| folded.strip_suffix(suffix))
        .filter(|name| !name.is_empty())
}

const BOUNCES: &str = "-bounces";
const OWNER: &str = "-owner";
const REQUEST: &str = "-request";
