//! Which copies a message needs: each account one, each address elsewhere one.
//!
//! Pure. An account that is reached by several recipients, or by an address and a group it is a
//! member of, gets the message once. Addresses elsewhere are the same only when their local parts
//! are the same to the letter: what case means there is not ours to say (RFC 5321 2.4).

use std::collections::HashSet;

use super::router::Target;
use crate::{base::ids::AccountId, mail::address::Address};

/// The copies of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Who gets it here, in the order in which they were reached first.
    pub(super) accounts: Vec<AccountId>,
    /// Where else it goes.
    pub(super) remotes: Vec<Address>,
}

impl Plan {
    /// The copies that reach all `targets`.
    pub(super) fn of(targets: &[Target]) -> Self {
        let mut plan = Self::default();
        let (mut accounts, mut remotes) = (HashSet::new(), HashSet::new());
        for target in targets {
            for account in &target.reached.accounts {
                if accounts.insert(*account) {
                    plan.accounts.push(*account);
                }
            }
            for remote in &target.reached.forwards {
                if remotes.insert(remote) {
                    plan.remotes.push(remote.clone());
                }
            }
        }
        plan
    }

    /// How many hold the body: each account's email, and the queue once for all its recipients.
    pub(super) fn owners(&self) -> u32 {
        let queue = usize::from(!self.remotes.is_empty());
        u32::try_from(self.accounts.len().saturating_add(queue)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::Targets, mail::envelope::ForwardPath};

    fn target(accounts: &[u64], forwards: &[&str]) -> Target {
        Target {
            path: ForwardPath::Postmaster,
            reached: Targets {
                accounts: accounts.iter().copied().map(AccountId).collect(),
                forwards: forwards.iter().map(|text| text.parse().unwrap()).collect(),
            },
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
            let plan = Plan::of(&targets);
            let shown: Vec<String> = plan.remotes.iter().map(ToString::to_string).collect();
            assert_eq!(
                plan.accounts,
                accounts.iter().copied().map(AccountId).collect::<Vec<_>>()
            );
            assert_eq!(shown, remotes);
            assert_eq!(plan.owners(), owners);
        }
    }
}
