//! Where mail for an address goes: the one function that decides it, over a snapshot.
//!
//! Order for an address of a local domain: the address itself, the address without its tag, the
//! postmaster rule (RFC 5321 4.5.1), the domain's catch-all. Aliases and groups are followed with a
//! work list, never by recursion; depth and total are limited, and what was visited is not visited
//! again, so loops end. What an account forwards is followed like an alias; a circle of them that
//! reaches nobody ends in the mailbox of the first. Characters such as `%` and `!` have no meaning
//! here.
//!
//! The postmaster of a local domain always resolves: to its own entry, else to the installation's
//! postmaster from the settings, else to the first account of the domain that is in use, else to
//! the first one of the installation. `abuse` is the postmaster's where it has no entry (RFC 2142
//! 2). The host's own name and address literals have no other mail than the postmaster's, unless
//! the name is a local domain.

use std::collections::HashSet;

use super::{
    limits::{ALIAS_DEPTH_MAX, EXPANSION_MAX},
    record::Entry,
    snapshot::{LocalDomain, Snapshot},
};
use crate::{
    base::ids::AccountId,
    mail::{address::Address, envelope::ForwardPath},
};

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

/// What an address reaches, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Accounts here.
    pub accounts: Vec<AccountId>,
    /// Addresses elsewhere.
    pub forwards: Vec<Address>,
}

/// Why an alias or group does not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It comes back to itself and reaches nobody.
    #[error("it comes back to itself")]
    Loop,
    /// More than [`ALIAS_DEPTH_MAX`] aliases one behind the other.
    #[error("too many aliases one behind the other")]
    TooDeep,
    /// More than [`EXPANSION_MAX`] addresses.
    #[error("too many addresses")]
    TooMany,
    /// A record of it cannot be understood.
    #[error("a record is damaged")]
    Damaged,
}

impl Snapshot {
    /// Where mail for `path` goes.
    pub fn resolve(&self, path: &ForwardPath) -> Resolution {
        match path {
            ForwardPath::Address(address) => self.resolve_address(address),
            ForwardPath::Postmaster => {
                let mut expansion = Expansion::of(self, Through::Everything);
                expansion.host_postmaster();
                expansion.run()
            }
        }
    }

    /// Where mail for `address` goes.
    pub fn resolve_address(&self, address: &Address) -> Resolution {
        self.expand(address, Through::Everything)
    }

    /// Whether the account may send with this address (AUTH-07): mail for it reaches the account
    /// directly, by a tag, by aliases or as a catch-all, but not as a member of a group.
    pub fn owns(&self, account: AccountId, address: &Address) -> bool {
        match self.expand(address, Through::Aliases) {
            Resolution::Targets(targets) => targets.accounts.contains(&account),
            _ => false,
        }
    }

    fn expand(&self, address: &Address, through: Through) -> Resolution {
        if matches!(self.look_up(address), Found::NotLocal) {
            return Resolution::NotLocal;
        }
        let mut expansion = Expansion::of(self, through);
        expansion.work.push((address.clone(), 0));
        expansion.run()
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
        if let Some((local, entry)) = domain.entry(&folded) {
            return Found::Entry(domain, local, entry);
        }
        let separator = self.rules.tag_separator;
        if let Some((base, _)) = separator.and_then(|c| address.without_tag(c)) {
            let base = base.folded_local();
            if let Some((local, entry)) = domain.entry(&base) {
                return Found::Entry(domain, local, entry);
            }
            if [POSTMASTER, ABUSE].contains(&base.as_str()) {
                return Found::Postmaster(domain);
            }
        }
        if [POSTMASTER, ABUSE].contains(&folded.as_str()) || at_host && folded == MAILER_DAEMON {
            return Found::Postmaster(domain);
        }
        match domain.catch_all() {
            Some(target) => Found::CatchAll(domain, target),
            None => Found::Unknown,
        }
    }
}

/// Whether groups are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    Everything,
    Aliases,
}

/// What stands for one address.
enum Found<'a> {
    NotLocal,
    Unknown,
    Entry(&'a LocalDomain, &'a str, &'a Entry),
    Postmaster(&'a LocalDomain),
    HostPostmaster,
    CatchAll(&'a LocalDomain, &'a Address),
}

/// What was visited; a node is followed once.
#[derive(PartialEq, Eq, Hash)]
enum Node<'a> {
    Entry(&'a str, &'a str),
    CatchAll(&'a str),
    Postmaster,
    Forwarding(AccountId),
}

/// One resolution at work.
struct Expansion<'a> {
    snapshot: &'a Snapshot,
    through: Through,
    /// Addresses to look at, and how many aliases lie before each.
    work: Vec<(Address, usize)>,
    visited: HashSet<Node<'a>>,
    /// Addresses reached over all aliases.
    reached: usize,
    /// Who gets a postmaster's mail, or what he forwards in a circle, if nobody else does.
    fallback: Option<AccountId>,
    targets: Targets,
    accounts: HashSet<AccountId>,
    forwards: HashSet<Address>,
    /// A visited node was met again.
    met_again: bool,
    met_disabled: bool,
    unusable: Option<Unusable>,
}

impl<'a> Expansion<'a> {
    fn of(snapshot: &'a Snapshot, through: Through) -> Self {
        Self {
            snapshot,
            through,
            work: Vec::new(),
            visited: HashSet::new(),
            reached: 0,
            fallback: None,
            targets: Targets::default(),
            accounts: HashSet::new(),
            forwards: HashSet::new(),
            met_again: false,
            met_disabled: false,
            unusable: None,
        }
    }

    fn run(mut self) -> Resolution {
        while let Some((address, depth)) = self.work.pop() {
            self.step(address, depth);
            if let Some(unusable) = self.unusable {
                return Resolution::Unusable(unusable);
            }
        }
        if self.targets == Targets::default() {
            self.targets.accounts.extend(self.fallback);
        }
        if self.targets != Targets::default() {
            Resolution::Targets(self.targets)
        } else if self.met_disabled {
            Resolution::Disabled
        } else if self.met_again {
            Resolution::Unusable(Unusable::Loop)
        } else {
            Resolution::Unknown
        }
    }

    fn step(&mut self, address: Address, depth: usize) {
        match self.snapshot.look_up(&address) {
            Found::NotLocal => {
                if self.forwards.insert(address.clone()) {
                    self.targets.forwards.push(address);
                }
            }
            Found::Unknown => {}
            Found::Entry(domain, local, entry) => {
                self.entry(Node::Entry(domain.name.as_str(), local), entry, depth);
            }
            Found::Postmaster(domain) => self.postmaster(Some(domain), depth),
            Found::HostPostmaster => self.host_postmaster(),
            Found::CatchAll(domain, target) => {
                let node = Node::CatchAll(domain.name.as_str());
                self.follow(node, std::slice::from_ref(target), depth);
            }
        }
    }

    fn entry(&mut self, node: Node<'a>, entry: &Entry, depth: usize) {
        match entry {
            Entry::Account(id) => self.account(*id, depth),
            Entry::Alias(targets) => self.follow(node, targets, depth),
            Entry::Group(members) => {
                if self.through == Through::Everything {
                    self.follow(node, members, depth);
                }
            }
            Entry::Damaged => self.unusable = Some(Unusable::Damaged),
        }
    }

    fn account(&mut self, id: AccountId, depth: usize) {
        let snapshot = self.snapshot;
        match snapshot.account(id) {
            // An address outlives its account only when the account's record cannot be understood.
            None => self.unusable = Some(Unusable::Damaged),
            Some(account) if account.disabled => self.met_disabled = true,
            Some(account) => match &account.forwarding {
                Some(forwarding) if self.through == Through::Everything => {
                    if forwarding.keep {
                        self.reach(id);
                    }
                    self.fallback = self.fallback.or(Some(id));
                    self.follow(Node::Forwarding(id), &forwarding.to, depth);
                }
                _ => self.reach(id),
            },
        }
    }

    fn reach(&mut self, id: AccountId) {
        if self.accounts.insert(id) {
            self.targets.accounts.push(id);
        }
    }

    /// Puts the targets of `node` on the work list, unless they were on it before.
    fn follow(&mut self, node: Node<'a>, targets: &[Address], depth: usize) {
        if !self.visited.insert(node) {
            self.met_again = true;
            return;
        }
        let depth = depth.saturating_add(1);
        self.reached = self.reached.saturating_add(targets.len());
        if depth > ALIAS_DEPTH_MAX {
            self.unusable = Some(Unusable::TooDeep);
        } else if self.reached > EXPANSION_MAX {
            self.unusable = Some(Unusable::TooMany);
        } else {
            // The list is worked on from its end; the first target comes first.
            let targets = targets.iter().rev();
            self.work
                .extend(targets.map(|target| (target.clone(), depth)));
        }
    }

    /// A postmaster without an entry of its own.
    fn postmaster(&mut self, domain: Option<&LocalDomain>, depth: usize) {
        self.fallback = self
            .fallback
            .or_else(|| self.snapshot.first_account(domain));
        if let Some(target) = &self.snapshot.rules.postmaster {
            self.follow(Node::Postmaster, std::slice::from_ref(target), depth);
        }
    }

    /// `<Postmaster>` without a domain: the setting, else the postmaster of the oldest local
    /// domain.
    fn host_postmaster(&mut self) {
        let oldest = self.snapshot.oldest_domain();
        let entry = oldest.and_then(|domain| Some((domain, domain.entry(POSTMASTER)?)));
        match (&self.snapshot.rules.postmaster, entry) {
            (None, Some((domain, (local, entry)))) => {
                self.entry(Node::Entry(domain.name.as_str(), local), entry, 0);
            }
            _ => self.postmaster(oldest, 0),
        }
    }
}

/// RFC 5321 4.5.1: the name every domain with mail must have.
const POSTMASTER: &str = "postmaster";
/// RFC 2142 2: where misbehaviour of a domain is reported.
const ABUSE: &str = "abuse";
/// Who writes our reports (RFC 3464), and so gets the answers of people.
const MAILER_DAEMON: &str = "mailer-daemon";

#[cfg(test)]
mod tests;
