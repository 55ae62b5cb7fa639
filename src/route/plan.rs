//! Which copies a message needs: each account those that its filing says, each address elsewhere
//! one.
//!
//! Pure. An account that is reached by several recipients, or by an address and a group it is a
//! member of, gets the message once. Addresses elsewhere are the same only when their local parts
//! are the same to the letter: what case means there is not ours to say (RFC 5321 2.4). A plan is
//! made again after a conflict: a mailbox of it may be gone.

use std::collections::{HashMap, HashSet};

use super::router::Target;
use crate::{
    base::ids::{AccountId, MailboxId},
    mail::{address::Address, dsn::Notify, envelope::RcptOptions},
    mailbox::{FlagSet, INBOX, Name},
};

/// The copies of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Those that stay here, in the order in which their accounts were reached first.
    pub(super) copies: Vec<Copy>,
    /// Where else it goes, and what its sender said of each.
    pub(super) remotes: Vec<(Address, RcptOptions)>,
    /// Who gets a copy here when its time has come.
    pub(super) waiting: Vec<(AccountId, Address, RcptOptions)>,
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

/// The junk mailboxes of accounts whose copies belong there.
pub(super) type Junk = HashMap<AccountId, (MailboxId, Name)>;

/// Where the message goes in an account, and with which flags. Nobody has rules of his own yet:
/// everything is for INBOX but what is for the junk mailbox of those who have one.
pub(super) fn filed(account: AccountId, junk: &Junk) -> Vec<Copy> {
    let (mailbox, name) = match junk.get(&account) {
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
        let (mut accounts, mut remotes) = (HashSet::new(), HashMap::new());
        for target in targets {
            for account in &target.reached.accounts {
                if accounts.insert(*account) {
                    plan.copies.extend(filed(*account));
                }
            }
            let options = target.passed_on();
            for remote in &target.reached.forwards {
                let next = plan.remotes.len();
                match plan.remotes.get_mut(*remotes.entry(remote).or_insert(next)) {
                    Some((_, known)) => {
                        known.notify = Notify::either(known.notify, options.notify);
                    }
                    None => plan.remotes.push((remote.clone(), options.clone())),
                }
            }
        }
        plan
    }

    /// How many hold the body: each copy's email, and the queue once for all its recipients.
    pub(super) fn owners(&self) -> u32 {
        let queue = usize::from(!self.remotes.is_empty() || !self.waiting.is_empty());
        u32::try_from(self.copies.len().saturating_add(queue)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::Targets, mail::envelope::ForwardPath, mailbox::SystemFlags};

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
        }
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
            let shown = plan.remotes.iter().map(|(address, _)| address.to_string());
            let shown: Vec<String> = shown.collect();
            let reached: Vec<_> = plan.copies.iter().map(|copy| copy.account.0).collect();
            assert_eq!(reached, accounts);
            assert_eq!(shown, remotes);
            assert_eq!(plan.owners(), owners);
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
            assert_eq!(plan.remotes[0].1.notify, Notify::parse(notify));
        }
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
        assert_eq!(plan.owners(), 3);
    }
}
