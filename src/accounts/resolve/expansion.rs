//! Following an address to everybody it reaches.
//!
//! With a work list, never by recursion; depth and total are limited, and what was visited is not
//! visited again, so loops end. What an account forwards is followed like an alias; a circle of
//! them that reaches nobody ends in the mailbox of the first. Everybody is reached once, and what
//! is reached in a group belongs to that group: a group within it is part of it.

use std::collections::HashSet;

use super::{Found, List, POSTMASTER, Resolution, Targets, Unusable};
use crate::{
    accounts::{
        groups::Group,
        limits::{ALIAS_DEPTH_MAX, EXPANSION_MAX, LISTS_MAX},
        record::Entry,
        snapshot::{LocalDomain, Snapshot},
    },
    base::ids::AccountId,
    mail::address::{Address, LocalPart},
};

/// What is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// All that mail follows.
    Everything,
    /// What mail without a sender follows: groups lead to their owners.
    Reports,
    /// What makes somebody the owner of an address: aliases, and of groups their owners.
    Senders,
    /// Aliases and groups, to people and no further.
    People,
}

/// Whose mail it is that an address on the work list gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// The sender's.
    Direct,
    /// The sender's, also when a group leads on.
    Plain,
    /// That of the list with this number.
    List(usize),
}

/// What was visited; a node is followed once.
#[derive(PartialEq, Eq, Hash)]
enum Node<'a> {
    Entry(&'a str, &'a str),
    Owners(&'a str, &'a str),
    CatchAll(&'a str),
    Postmaster,
    Forwarding(AccountId),
}

/// Where on its way an address is met.
#[derive(Clone, Copy)]
struct Place {
    /// How many aliases lie before it.
    depth: usize,
    within: Within,
}

/// One resolution at work.
pub(super) struct Expansion<'a> {
    snapshot: &'a Snapshot,
    through: Through,
    /// What accounts forward stays with them.
    keeps: bool,
    /// Addresses to look at.
    work: Vec<(Address, Place)>,
    visited: HashSet<Node<'a>>,
    /// Addresses reached over all aliases.
    reached: usize,
    /// Who gets a postmaster's mail, or what he forwards in a circle, if nobody else does.
    fallback: Option<AccountId>,
    /// Who is asked for the mail of owners if none of them is reached.
    postmaster: Option<Address>,
    targets: Targets,
    accounts: HashSet<AccountId>,
    forwards: HashSet<Address>,
    /// A visited node was met again.
    met_again: bool,
    met_disabled: bool,
    unusable: Option<Unusable>,
}

impl<'a> Expansion<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, through: Through) -> Self {
        Self {
            snapshot,
            through,
            keeps: false,
            work: Vec::new(),
            visited: HashSet::new(),
            reached: 0,
            fallback: None,
            postmaster: None,
            targets: Targets::default(),
            accounts: HashSet::new(),
            forwards: HashSet::new(),
            met_again: false,
            met_disabled: false,
            unusable: None,
        }
    }

    /// The same, with what accounts forward left in their mailboxes.
    pub(super) fn keeping(self, keeps: bool) -> Self {
        Self { keeps, ..self }
    }

    /// Whom the postmaster of this host is.
    pub(super) fn of_host(mut self) -> Resolution {
        self.host_postmaster();
        self.run()
    }

    /// Whom these addresses reach.
    pub(super) fn run_from<'l>(
        mut self,
        addresses: impl IntoIterator<Item = &'l Address>,
        within: Within,
    ) -> Resolution {
        let place = Place { depth: 0, within };
        let addresses = addresses.into_iter();
        self.work
            .extend(addresses.map(|address| (address.clone(), place)));
        self.run()
    }

    fn run(mut self) -> Resolution {
        loop {
            while let Some((address, place)) = self.work.pop() {
                self.step(address, place);
                if let Some(unusable) = self.unusable {
                    return Resolution::Unusable(unusable);
                }
            }
            match self.postmaster.take() {
                Some(postmaster) if self.targets.is_empty() => {
                    let within = Within::Plain;
                    self.work.push((postmaster, Place { depth: 0, within }));
                }
                _ => break,
            }
        }
        if self.targets.is_empty() {
            self.targets.accounts.extend(self.fallback);
        }
        let has_some = |list: &List| !list.accounts.is_empty() || !list.forwards.is_empty();
        self.targets.lists.retain(has_some);
        if !self.targets.is_empty() {
            Resolution::Targets(self.targets)
        } else if self.met_disabled {
            Resolution::Disabled
        } else if self.met_again {
            Resolution::Unusable(Unusable::Loop)
        } else {
            Resolution::Unknown
        }
    }

    fn step(&mut self, address: Address, place: Place) {
        match self.snapshot.look_up(&address) {
            Found::NotLocal => self.reach_elsewhere(address, place),
            Found::Unknown => {}
            Found::Entry(_, local, Entry::Account(id)) => {
                self.account(*id, (&address, local), place);
            }
            Found::Entry(domain, local, entry) => self.entry((domain, local), entry, place),
            Found::Owners(domain, local, group) => self.owners((domain, local), group, place),
            Found::Postmaster(domain) => self.postmaster(Some(domain), place),
            Found::HostPostmaster => self.host_postmaster(),
            Found::CatchAll(domain, target) => {
                let node = Node::CatchAll(domain.name.as_str());
                self.follow(node, std::slice::from_ref(target), place);
            }
        }
    }

    /// What stands for more than an account.
    fn entry(&mut self, (domain, local): (&'a LocalDomain, &'a str), entry: &'a Entry, at: Place) {
        let node = Node::Entry(domain.name.as_str(), local);
        match entry {
            Entry::Account(id) => self.account_itself(*id, at),
            Entry::Alias(targets) => self.follow(node, targets, at),
            Entry::Group(group) => match (self.through, at.within) {
                (Through::Senders, _) => self.follow(node, &group.owners, at),
                (Through::Reports, Within::Direct) => self.owners((domain, local), group, at),
                (_, Within::Direct) => {
                    let within = self.begin_list(domain, local);
                    self.follow(node, &group.members, Place { within, ..at });
                }
                (_, Within::Plain | Within::List(_)) => self.follow(node, &group.members, at),
            },
            Entry::Damaged => self.unusable = Some(Unusable::Damaged),
        }
    }

    /// A group whose members get its mail from it.
    fn begin_list(&mut self, domain: &LocalDomain, local: &str) -> Within {
        let Ok(local) = LocalPart::from_unquoted(local) else {
            return Within::Plain;
        };
        if self.targets.lists.len() >= LISTS_MAX {
            self.unusable = Some(Unusable::TooMany);
        }
        self.targets.lists.push(List {
            address: Address {
                local,
                domain: domain.name.clone(),
            },
            accounts: Vec::new(),
            forwards: Vec::new(),
        });
        Within::List(self.targets.lists.len().saturating_sub(1))
    }

    /// Those who run a group; when nobody of them is reached, the domain's postmaster.
    fn owners(&mut self, (domain, local): (&'a LocalDomain, &'a str), group: &Group, at: Place) {
        if at.within == Within::Direct {
            let postmaster = LocalPart::from_unquoted(POSTMASTER).ok();
            self.postmaster = postmaster.map(|local| Address {
                local,
                domain: domain.name.clone(),
            });
        }
        // Who is an owner as a member of another group hears it as an owner of this one.
        let within = match at.within {
            Within::Direct => Within::Plain,
            within => within,
        };
        let node = Node::Owners(domain.name.as_str(), local);
        self.follow(node, &group.owners, Place { within, ..at });
    }

    /// An account by one of its addresses, which it has under the name `local`.
    fn account(&mut self, id: AccountId, (address, local): (&Address, &str), place: Place) {
        let before = self.accounts.len();
        self.account_itself(id, place);
        // An address of its own may have the separator in it: nothing of it is a tag.
        if self.accounts.len() == before || address.folded_local() == local {
            return;
        }
        let separator = self.snapshot.rules.tag_separator;
        if let Some((_, tag)) = separator.and_then(|separator| address.without_tag(separator)) {
            self.targets.tags.push((id, tag.into()));
        }
    }

    fn account_itself(&mut self, id: AccountId, place: Place) {
        let snapshot = self.snapshot;
        match snapshot.account(id) {
            // An address outlives its account only when the account's record cannot be understood.
            None => self.unusable = Some(Unusable::Damaged),
            Some(account) if !snapshot.takes_mail(account) => {
                self.met_disabled = true;
            }
            Some(account) => match &account.forwarding {
                Some(forwarding)
                    if !self.keeps
                        && matches!(self.through, Through::Everything | Through::Reports) =>
                {
                    if forwarding.keep {
                        self.reach(id, place);
                    }
                    self.fallback = self.fallback.or(Some(id));
                    self.follow(Node::Forwarding(id), &forwarding.to, place);
                }
                _ => self.reach(id, place),
            },
        }
    }

    fn reach(&mut self, id: AccountId, place: Place) {
        if !self.accounts.insert(id) {
            return;
        }
        match self.list(place) {
            Some(list) => list.accounts.push(id),
            None => self.targets.accounts.push(id),
        }
    }

    fn reach_elsewhere(&mut self, address: Address, place: Place) {
        if !self.forwards.insert(address.clone()) {
            return;
        }
        match self.list(place) {
            Some(list) => list.forwards.push(address),
            None => self.targets.forwards.push(address),
        }
    }

    fn list(&mut self, place: Place) -> Option<&mut List> {
        match place.within {
            Within::List(number) => self.targets.lists.get_mut(number),
            Within::Direct | Within::Plain => None,
        }
    }

    /// Puts the targets of `node` on the work list, unless they were on it before.
    fn follow(&mut self, node: Node<'a>, targets: &[Address], place: Place) {
        if !self.visited.insert(node) {
            self.met_again = true;
            return;
        }
        let depth = place.depth.saturating_add(1);
        self.reached = self.reached.saturating_add(targets.len());
        if depth > ALIAS_DEPTH_MAX {
            self.unusable = Some(Unusable::TooDeep);
        } else if self.reached > EXPANSION_MAX {
            self.unusable = Some(Unusable::TooMany);
        } else {
            // The list is worked on from its end; the first target comes first.
            let targets = targets.iter().rev();
            let place = Place { depth, ..place };
            self.work
                .extend(targets.map(|target| (target.clone(), place)));
        }
    }

    /// A postmaster without an entry of its own.
    fn postmaster(&mut self, domain: Option<&LocalDomain>, place: Place) {
        self.fallback = self
            .fallback
            .or_else(|| self.snapshot.first_account(domain));
        if let Some(target) = &self.snapshot.rules.postmaster {
            let within = match place.within {
                Within::Direct => Within::Plain,
                within => within,
            };
            let place = Place { within, ..place };
            self.follow(Node::Postmaster, std::slice::from_ref(target), place);
        }
    }

    /// `<Postmaster>` without a domain: the setting, else the postmaster of the oldest local
    /// domain.
    fn host_postmaster(&mut self) {
        let place = Place {
            depth: 0,
            within: Within::Plain,
        };
        let oldest = self.snapshot.oldest_domain();
        let entry = oldest.and_then(|domain| Some((domain, domain.entry(POSTMASTER)?)));
        match (&self.snapshot.rules.postmaster, entry) {
            (None, Some((domain, (local, entry)))) => self.entry((domain, local), entry, place),
            _ => self.postmaster(oldest, place),
        }
    }
}
