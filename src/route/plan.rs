//! Which copies a message needs: each account those that its filing says, each address elsewhere
//! one.
//!
//! Pure. An account that is reached by several recipients, or by an address and a group it is a
//! member of, gets the message once. Addresses elsewhere are the same only when their local parts
//! are the same to the letter: what case means there is not ours to say (RFC 5321 2.4). What is
//! passed on for an address here is a message of its own in the queue: its sender and its first
//! fields depend on that address. A plan is made again after a conflict: a mailbox of it may be
//! gone.

use std::collections::{HashMap, HashSet};

use super::{held::Waiting, target::Target};
use crate::{
    base::ids::{AccountId, MailboxId},
    mail::{
        address::Address,
        dsn::Notify,
        envelope::{ForwardPath, RcptOptions},
    },
    mailbox::{FlagSet, INBOX, Name},
    queue::record::Here,
};

/// The copies of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Those that stay here, in the order in which their accounts were reached first.
    pub(super) copies: Vec<Copy>,
    /// What leaves, a message of the queue each.
    pub(super) mailings: Vec<Mailing>,
    /// Those that stay here and come from a group.
    pub(super) editions: Vec<(Address, Vec<Copy>)>,
}

/// Copies that leave together; at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mailing {
    /// For whom they are passed on: an address here. None for those whom the sender named.
    pub(super) via: Option<ForwardPath>,
    /// The group that sends them on.
    pub(super) list: Option<Address>,
    /// Where they go, and what the sender said of each.
    pub(super) remotes: Vec<(Address, RcptOptions)>,
    /// Who gets a copy here when its time has come.
    pub(super) waiting: Vec<(Here, Address, RcptOptions)>,
}

/// One copy that stays here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    pub(super) account: AccountId,
    pub(super) mailbox: MailboxId,
    /// What the mailbox is called, for the log.
    pub(super) name: Name,
    pub(super) flags: FlagSet,
}

/// The mailboxes of accounts whose copies are not for INBOX.
pub(super) type Filing = HashMap<AccountId, (MailboxId, Name)>;

/// Where the message goes in an account, and with which flags. Nobody has rules of his own yet:
/// everything is for INBOX but what `filing` says.
pub(super) fn filed(account: AccountId, filing: &Filing) -> Vec<Copy> {
    let (mailbox, name) = match filing.get(&account) {
        Some((mailbox, name)) => (*mailbox, name.clone()),
        None => (INBOX, Name::inbox()),
    };
    vec![Copy {
        account,
        mailbox,
        name,
        flags: FlagSet::default(),
    }]
}

impl Plan {
    /// The copies that reach all `targets`; `filed` says which of them an account has.
    pub(super) fn of(targets: &[Target], filed: impl Fn(AccountId) -> Vec<Copy>) -> Self {
        let mut plan = Self::default();
        let (mut accounts, mut known) = (HashSet::new(), HashMap::new());
        for target in targets {
            for account in &target.reached.accounts {
                if accounts.insert(*account) {
                    plan.copies.extend(filed(*account));
                }
            }
        }
        // Whom the sender named himself gets the copy that was sent to him.
        let (named, reached): (Vec<_>, Vec<_>) =
            targets.iter().partition(|target| target.via().is_none());
        for target in named.into_iter().chain(reached) {
            let options = target.passed_on();
            for remote in &target.reached.forwards {
                match known.get(remote) {
                    Some(place) => plan.heard_again(*place, &options),
                    None => {
                        let remote_place = (remote.clone(), options.clone());
                        let place = plan.add((target.via(), None), remote_place);
                        known.insert(remote, place);
                    }
                }
            }
        }
        // Who gets it anyway does not get it from a group, too.
        for list in targets.iter().flat_map(|target| &target.reached.lists) {
            let fresh = list.accounts.iter().filter(|id| accounts.insert(**id));
            let copies: Vec<Copy> = fresh.flat_map(|id| filed(*id)).collect();
            if !copies.is_empty() {
                plan.editions.push((list.address.clone(), copies));
            }
            for remote in &list.forwards {
                if !known.contains_key(remote) {
                    // RFC 3461 5.2.7.1: nothing that the sender said of the group is theirs.
                    let fresh = (remote.clone(), RcptOptions::default());
                    let place = plan.add((None, Some(&list.address)), fresh);
                    known.insert(remote, place);
                }
            }
        }
        plan
    }

    /// Adds a copy that leaves; answers which mailing it is in, and where there.
    fn add(
        &mut self,
        (via, list): (Option<&ForwardPath>, Option<&Address>),
        remote: (Address, RcptOptions),
    ) -> (usize, usize) {
        let at = self.mailing(via, list);
        let Some(mailing) = self.mailings.get_mut(at) else {
            return (at, 0);
        };
        mailing.remotes.push(remote);
        (at, mailing.remotes.len().saturating_sub(1))
    }

    /// Where this mailing is; it is begun if it is not there.
    fn mailing(&mut self, via: Option<&ForwardPath>, list: Option<&Address>) -> usize {
        let is_it =
            |mailing: &Mailing| (mailing.via.as_ref(), mailing.list.as_ref()) == (via, list);
        let at = self.mailings.iter().rposition(is_it);
        at.unwrap_or_else(|| {
            self.mailings.push(Mailing {
                via: via.cloned(),
                list: list.cloned(),
                ..Mailing::default()
            });
            self.mailings.len().saturating_sub(1)
        })
    }

    /// Somebody is reached once more.
    fn heard_again(&mut self, (mailing, at): (usize, usize), options: &RcptOptions) {
        let mailing = self.mailings.get_mut(mailing);
        if let Some((_, known)) = mailing.and_then(|mailing| mailing.remotes.get_mut(at)) {
            known.notify = Notify::either(known.notify, options.notify);
        }
    }

    /// Has these wait with those whom the sender named, the first of all mailings, or with those
    /// to whom the same group sends it on.
    pub(super) fn hold(&mut self, waiting: Vec<Waiting>) {
        for Waiting { list, to } in waiting {
            let at = self.mailing(None, list.as_ref());
            if let Some(mailing) = self.mailings.get_mut(at) {
                mailing.waiting.push(to);
            }
        }
        let named = |mailing: &Mailing| mailing.via.is_none() && mailing.list.is_none();
        self.mailings.sort_by_key(|mailing| !named(mailing));
    }

    /// Who gets a copy here when its time has come.
    pub(super) fn waiting(&self) -> usize {
        let mailings = self.mailings.iter();
        mailings.map(|mailing| mailing.waiting.len()).sum()
    }

    /// Addresses elsewhere that get it.
    pub(super) fn leaving(&self) -> usize {
        let mailings = self.mailings.iter();
        mailings.map(|mailing| mailing.remotes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        accounts::{List, Targets},
        mailbox::SystemFlags,
    };

    fn copy(account: AccountId, flags: SystemFlags) -> Copy {
        Copy {
            account,
            mailbox: INBOX,
            name: Name::inbox(),
            flags: flags.into(),
        }
    }

    fn target(accounts: &[u64], forwards: &[&str]) -> Target {
        Target {
            path: ForwardPath::Postmaster,
            reached: Targets {
                accounts: accounts.iter().copied().map(AccountId).collect(),
                forwards: forwards.iter().map(|text| text.parse().unwrap()).collect(),
                ..Targets::default()
            },
            options: RcptOptions::default(),
            returned: false,
        }
    }

    /// How many hold the body.
    fn holders(plan: &Plan) -> usize {
        plan.copies.len() + plan.mailings.len()
    }

    #[test]
    fn every_copy_is_made_once() {
        for (targets, accounts, remotes, owners) in [
            (vec![], &[][..], &[][..], 0),
            (vec![target(&[1], &[])], &[1], &[], 1),
            (
                vec![target(&[2], &[]), target(&[1, 2], &[])],
                &[2, 1],
                &[],
                2,
            ),
            (
                vec![target(&[], &["a@b.example"])],
                &[],
                &["a@b.example"],
                1,
            ),
            (
                vec![
                    target(&[1], &["a@b.example", "A@b.example"]),
                    target(&[1], &["a@B.example"]),
                ],
                &[1],
                &["a@b.example", "A@b.example"],
                2,
            ),
        ] {
            let plan = Plan::of(&targets, |account| vec![copy(account, SystemFlags::NONE)]);
            let shown = plan.mailings.iter().flat_map(|mailing| &mailing.remotes);
            let shown = shown.map(|(address, _)| address.to_string());
            let shown: Vec<String> = shown.collect();
            let reached: Vec<_> = plan.copies.iter().map(|copy| copy.account.0).collect();
            assert_eq!(reached, accounts);
            assert_eq!(shown, remotes);
            assert_eq!(holders(&plan), owners);
        }
    }

    #[test]
    fn wishes_of_all_who_reach_an_address_are_heard() {
        let asking = |text: &str, forwards: &[&str]| {
            let notify = Notify::parse(text);
            let original = None;
            target(&[], forwards).with(RcptOptions { notify, original })
        };
        for (targets, notify) in [
            (vec![asking("SUCCESS", &["a@b.example"])], "SUCCESS"),
            // RFC 3461 5.2.7.3 (c).
            (
                vec![asking("SUCCESS", &["a@b.example", "c@b.example"])],
                "NEVER",
            ),
            (
                vec![
                    asking("NEVER", &["a@b.example"]),
                    asking("DELAY", &["a@b.example"]),
                ],
                "DELAY",
            ),
            (
                vec![
                    asking("NEVER", &["a@b.example"]),
                    target(&[], &["a@b.example"]),
                ],
                "FAILURE,DELAY",
            ),
        ] {
            let plan = Plan::of(&targets, |_| Vec::new());
            assert_eq!(plan.mailings[0].remotes[0].1.notify, Notify::parse(notify));
        }
    }

    #[test]
    fn what_is_passed_on_leaves_apart_for_each_address_here() {
        let of = |path: &str, forwards: &[&str]| Target {
            path: ForwardPath::Address(path.parse().unwrap()),
            ..target(&[], forwards)
        };
        let plan = Plan::of(
            &[
                of("c@far.example", &["c@far.example"]),
                of("x@here.example", &["a@far.example", "c@far.example"]),
                of("d@far.example", &["d@far.example"]),
                of("y@here.example", &["b@far.example", "a@far.example"]),
            ],
            |_| Vec::new(),
        );
        let shown = plan.mailings.iter().map(|mailing| {
            let via = mailing.via.as_ref().map(ToString::to_string);
            let to = mailing.remotes.iter().map(|(to, _)| to.to_string());
            (via, to.collect::<Vec<_>>().join(" "))
        });
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                (None, "c@far.example d@far.example".to_owned()),
                (some("<x@here.example>"), "a@far.example".to_owned()),
                (some("<y@here.example>"), "b@far.example".to_owned()),
            ]
        );
        assert_eq!((plan.leaving(), holders(&plan)), (4, 3));
    }

    #[test]
    fn an_account_has_the_copies_that_its_filing_says() {
        let filed = |account| match account {
            AccountId(1) => Vec::new(),
            other => vec![
                copy(other, SystemFlags::SEEN),
                copy(other, SystemFlags::FLAGGED),
            ],
        };
        let plan = Plan::of(&[target(&[1, 2], &["a@b.example"])], filed);
        assert_eq!(plan.copies, filed(AccountId(2)));
        assert_eq!(holders(&plan), 3);
    }

    #[test]
    fn who_gets_it_anyway_does_not_get_it_from_a_group() {
        let list = |address: &str, accounts: &[u64], forwards: &[&str]| {
            let Targets {
                accounts, forwards, ..
            } = target(accounts, forwards).reached;
            List {
                address: address.parse().unwrap(),
                accounts,
                forwards,
            }
        };
        let of = |lists: Vec<List>| {
            let mut target = target(&[], &[]);
            target.reached.lists = lists;
            target
        };
        let targets = [
            of(vec![list(
                "l@here.example",
                &[1, 2],
                &["a@far.example", "b@far.example"],
            )]),
            target(&[2], &["a@far.example"]),
            of(vec![
                list("m@here.example", &[1, 3], &["b@far.example"]),
                list("n@here.example", &[1], &["c@far.example"]),
            ]),
        ];
        let plan = Plan::of(&targets, |account| vec![copy(account, SystemFlags::NONE)]);
        let editions = plan.editions.iter().map(|(list, copies)| {
            let accounts = copies.iter().map(|copy| copy.account.0);
            (list.to_string(), accounts.collect::<Vec<_>>())
        });
        assert_eq!(
            editions.collect::<Vec<_>>(),
            [
                ("l@here.example".to_owned(), vec![1]),
                ("m@here.example".to_owned(), vec![3]),
            ]
        );
        let mailings = plan.mailings.iter().map(|mailing| {
            let list = mailing.list.as_ref().map(ToString::to_string);
            (list, mailing.remotes[0].0.to_string())
        });
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            mailings.collect::<Vec<_>>(),
            [
                (None, "a@far.example".to_owned()),
                (some("l@here.example"), "b@far.example".to_owned()),
                (some("n@here.example"), "c@far.example".to_owned()),
            ]
        );
        assert_eq!(plan.copies.len(), 1);
    }

    #[test]
    fn who_waits_waits_with_those_whom_he_shares_the_message_with() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        let waiting = |list: Option<&str>, account| Waiting {
            list: list.map(address),
            to: (
                Here {
                    account: AccountId(account),
                    tag: None,
                },
                address("who@here.example"),
                RcptOptions::default(),
            ),
        };
        let mut list = target(&[], &[]);
        list.reached.lists = vec![List {
            address: address("l@here.example"),
            accounts: Vec::new(),
            forwards: vec![address("a@far.example")],
        }];
        let mut plan = Plan::of(&[list], |_| Vec::new());
        plan.hold(vec![
            waiting(Some("l@here.example"), 1),
            waiting(Some("m@here.example"), 2),
            waiting(None, 3),
        ]);
        let shown = plan.mailings.iter().map(|mailing| {
            let list = mailing.list.as_ref().map(ToString::to_string);
            let waiting = mailing.waiting.iter().map(|(here, ..)| here.account.0);
            (list, mailing.remotes.len(), waiting.collect::<Vec<_>>())
        });
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                (None, 0, vec![3]),
                (some("l@here.example"), 1, vec![1]),
                (some("m@here.example"), 0, vec![2]),
            ]
        );
        assert_eq!((plan.waiting(), plan.leaving()), (3, 1));
    }
}
