//! Where mail for an address goes: the one function that decides it, over a snapshot.
//!
//! Order for an address of a local domain: the address itself (an account's, an alias, a group);
//! the owners of a group (`NAME-owner` and the like); the same two for the address without its tag;
//! for a domain that stands for another all of that there; the postmaster rule (RFC 5321 4.5.1);
//! the domain's catch-all. How it is followed is in `expansion`. Characters such as `%` and `!`
//! have no meaning here.
//!
//! The postmaster of a local domain always resolves: to its own entry, else to the installation's
//! postmaster from the settings, else to the first account of the domain that is in use, else to
//! the first one of the installation. `abuse` is the postmaster's where it has no entry (RFC 2142
//! 2). The host's own name and address literals have no other mail than the postmaster's, unless
//! the name is a local domain.

use super::{
    groups::{Group, group_of_owner},
    record::Entry,
    snapshot::{LocalDomain, Snapshot},
};
use crate::{
    base::ids::AccountId,
    mail::{address::Address, envelope::ForwardPath},
};
use expansion::{Expansion, Through, Within};

/// What an address comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Its domain is not kept here.
    NotLocal,
    /// Its domain is kept here, and nothing in it takes this address.
    Unknown,
    /// It reaches only accounts that are out of use.
    Disabled,
    /// What is configured for it does not work; mail should wait at its sender until it does.
    Unusable(Unusable),
    /// It reaches these, at least one.
    Targets(Targets),
}

/// What there is about mail that decides where it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailKind {
    /// It has no sender: what is reported to a group is for its owners, and no list ever sends it
    /// on.
    pub report: bool,
    /// It is for Junk: what accounts forward they keep instead, and nobody elsewhere takes it for
    /// mail of theirs.
    pub suspicious: bool,
}

/// What an address reaches, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Accounts here.
    pub accounts: Vec<AccountId>,
    /// Addresses elsewhere.
    pub forwards: Vec<Address>,
    /// Groups that send it on to their members.
    pub lists: Vec<List>,
    /// The tags under which accounts were reached.
    pub tags: Vec<(AccountId, Box<str>)>,
}

/// Whom a group sends its mail on to; nobody who gets it otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The group.
    pub address: Address,
    /// Accounts here.
    pub accounts: Vec<AccountId>,
    /// Addresses elsewhere.
    pub forwards: Vec<Address>,
}

impl Targets {
    /// Whether nobody is reached.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many are reached.
    pub fn count(&self) -> usize {
        let lists = self.lists.iter();
        let listed = lists.map(|list| list.accounts.len().saturating_add(list.forwards.len()));
        let direct = self.accounts.len().saturating_add(self.forwards.len());
        listed.fold(direct, usize::saturating_add)
    }

    /// All accounts, by lists and without.
    pub fn all_accounts(&self) -> impl Iterator<Item = AccountId> {
        let listed = self.lists.iter().flat_map(|list| &list.accounts);
        self.accounts.iter().chain(listed).copied()
    }

    /// Whether all of it stays here.
    pub fn is_local(&self) -> bool {
        self.forwards.is_empty() && self.lists.iter().all(|list| list.forwards.is_empty())
    }
}

/// Why an alias or group does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It comes back to itself and reaches nobody.
    #[error("it comes back to itself")]
    Loop,
    /// More than [`ALIAS_DEPTH_MAX`](super::limits::ALIAS_DEPTH_MAX) aliases one behind the other.
    #[error("too many aliases one behind the other")]
    TooDeep,
    /// More than [`EXPANSION_MAX`](super::limits::EXPANSION_MAX) addresses.
    #[error("too many addresses")]
    TooMany,
    /// A record of it cannot be understood.
    #[error("a record is damaged")]
    Damaged,
}

impl Snapshot {
    /// Where mail for `path` goes.
    pub fn resolve(&self, path: &ForwardPath) -> Resolution {
        self.resolve_kind(path, MailKind::default())
    }

    /// Where mail of this kind for `path` goes.
    pub fn resolve_kind(&self, path: &ForwardPath, kind: MailKind) -> Resolution {
        let through = match (path, kind.report) {
            (ForwardPath::Address(_), true) => Through::Reports,
            _ => Through::Everything,
        };
        let expansion = Expansion::of(self, through).keeping(kind.suspicious);
        match path {
            ForwardPath::Address(address) => self.expanded(expansion, address),
            ForwardPath::Postmaster => expansion.of_host(),
        }
    }

    /// Where mail for `address` goes.
    pub fn resolve_address(&self, address: &Address) -> Resolution {
        self.expand(address, Through::Everything)
    }

    /// Whether the address is the account's (AUTH-07): mail for it reaches the account directly, by
    /// a tag, by aliases or as a catch-all, or it is a group that the account owns. Members of a
    /// group do not send with it.
    pub fn owns(&self, account: AccountId, address: &Address) -> bool {
        match self.expand(address, Through::Senders) {
            Resolution::Targets(targets) => targets.accounts.contains(&account),
            _ => false,
        }
    }

    fn expand(&self, address: &Address, through: Through) -> Resolution {
        self.expanded(Expansion::of(self, through), address)
    }

    fn expanded<'a>(&'a self, expansion: Expansion<'a>, address: &Address) -> Resolution {
        if matches!(self.look_up(address), Found::NotLocal) {
            return Resolution::NotLocal;
        }
        // What everybody must be able to reach, no group keeps to itself (RFC 5321 4.5.1).
        let within = match self.is_postmasters(address) {
            true => Within::Plain,
            false => Within::Direct,
        };
        expansion.run_from([address], within)
    }

    /// The people behind these addresses, by groups, too.
    pub(super) fn people<'l>(&self, listed: impl IntoIterator<Item = &'l Address>) -> Targets {
        match Expansion::of(self, Through::People).run_from(listed, Within::Plain) {
            Resolution::Targets(targets) => targets,
            _ => Targets::default(),
        }
    }

    fn is_postmasters(&self, address: &Address) -> bool {
        let plain = self.untagged(address);
        let folded = plain.as_ref().unwrap_or(address).folded_local();
        [POSTMASTER, ABUSE].contains(&folded.as_str())
    }

    /// One step: what stands for this address, without following it.
    fn look_up(&self, address: &Address) -> Found<'_> {
        if let Some(ip) = address.domain.literal() {
            return match self.rules.literals.contains(&ip) {
                false => Found::NotLocal,
                // RFC 5321 4.5.1, 4.1.3: at our own address literals only the postmaster has mail.
                true if address.folded_local() == POSTMASTER => Found::HostPostmaster,
                true => Found::Unknown,
            };
        }
        let at_host = self.rules.host.as_ref() == Some(&address.domain);
        let folded = address.folded_local();
        let Some(domain) = self.domain(&address.domain) else {
            return match at_host {
                false => Found::NotLocal,
                true if [POSTMASTER, MAILER_DAEMON].contains(&folded.as_str()) => {
                    Found::HostPostmaster
                }
                true => Found::Unknown,
            };
        };
        if let Some(found) = self.named(domain, address, &folded) {
            return found;
        }
        let stood_for = domain.stands_for().and_then(|name| self.domain(name));
        if let Some(found) = stood_for.and_then(|kept| self.named(kept, address, &folded)) {
            return found;
        }
        let domain = stood_for.unwrap_or(domain);
        if [POSTMASTER, ABUSE].contains(&folded.as_str()) || at_host && folded == MAILER_DAEMON {
            return Found::Postmaster(domain);
        }
        match domain.catch_all() {
            Some(target) => Found::CatchAll(domain, target),
            None => Found::Unknown,
        }
    }

    /// What stands for this address by its name, with its tag or without.
    fn named<'a>(
        &self,
        domain: &'a LocalDomain,
        address: &Address,
        folded: &str,
    ) -> Option<Found<'a>> {
        if let Some(found) = entry_or_owners(domain, folded) {
            return Some(found);
        }
        let base = self.untagged(address)?.folded_local();
        let found = entry_or_owners(domain, &base);
        found.or_else(|| {
            let postmasters = [POSTMASTER, ABUSE].contains(&base.as_str());
            postmasters.then_some(Found::Postmaster(domain))
        })
    }
}

fn entry_or_owners<'a>(domain: &'a LocalDomain, folded: &str) -> Option<Found<'a>> {
    if let Some((local, entry)) = domain.entry(folded) {
        return Some(Found::Entry(domain, local, entry));
    }
    match domain.entry(group_of_owner(folded)?) {
        Some((local, Entry::Group(group))) => Some(Found::Owners(domain, local, group)),
        _ => None,
    }
}

/// What stands for one address.
enum Found<'a> {
    NotLocal,
    Unknown,
    Entry(&'a LocalDomain, &'a str, &'a Entry),
    /// Those who run a group.
    Owners(&'a LocalDomain, &'a str, &'a Group),
    Postmaster(&'a LocalDomain),
    HostPostmaster,
    CatchAll(&'a LocalDomain, &'a Address),
}

/// RFC 5321 4.5.1: the name every domain with mail must have.
const POSTMASTER: &str = "postmaster";
/// RFC 2142 2: where misbehaviour of a domain is reported.
const ABUSE: &str = "abuse";
/// Who writes our reports (RFC 3464), and so gets the answers of people.
const MAILER_DAEMON: &str = "mailer-daemon";

mod expansion;
#[cfg(test)]
mod tests;
