//! Keys of the directory: accounts, domains, addresses, and what is left of those that are gone.

use super::{Fields, Key, space};
use crate::{base::ids::AccountId, store::Template};

/// `ACCOUNT account`: the account's record.
pub fn account(account: AccountId) -> Key {
    Fields::account(space::ACCOUNT, account).key()
}

/// Template of [`account()`] for an account numbered in this batch.
pub fn account_numbered(take: usize) -> Template {
    Fields::of(space::ACCOUNT).hole(take)
}

/// All account records.
pub fn accounts() -> Key {
    Fields::of(space::ACCOUNT).key()
}

/// `ACCOUNT_COUNTER`: last account number given out.
pub fn account_counter() -> Key {
    Fields::of(space::ACCOUNT_COUNTER).key()
}

/// `DOMAIN name`: a local domain, as lower-case A-labels.
pub fn domain(name: &str) -> Key {
    Fields::of(space::DOMAIN).bytes(name.as_bytes()).key()
}

/// All local domains.
pub fn domains() -> Key {
    Fields::of(space::DOMAIN).key()
}

/// `ADDRESS domain 0 local-part`: what an address of a local domain stands for. The caller gives
/// the canonical (folded) local part.
pub fn address(domain: &str, local: &str) -> Key {
    addresses_of(domain).extended(local.as_bytes())
}

/// All addresses of one domain.
pub fn addresses_of(domain: &str) -> Key {
    Fields::of(space::ADDRESS)
        .bytes(domain.as_bytes())
        .bytes(&[0])
        .key()
}

/// All addresses.
pub fn addresses() -> Key {
    Fields::of(space::ADDRESS).key()
}

/// `DIRECTORY_VERSION`: counter that every change of domains, accounts and addresses takes from.
pub fn directory_version() -> Key {
    Fields::of(space::DIRECTORY_VERSION).key()
}

/// `REWRITING_SECRETS`: what proves that a rewritten sender is our work.
pub fn rewriting_secrets() -> Key {
    Fields::of(space::REWRITING_SECRETS).key()
}

/// `REMOVED_ACCOUNT account`: the account is gone; what its mailboxes held is still to be erased.
pub fn removed_account(account: AccountId) -> Key {
    Fields::account(space::REMOVED_ACCOUNT, account).key()
}

/// All accounts whose mailboxes are still to be erased.
pub fn removed_accounts() -> Key {
    Fields::of(space::REMOVED_ACCOUNT).key()
}
