//! Fixed limits of accounts and addresses: what each bounds, its name in the threat model, its
//! value.
//!
//! Settings have their defaults in the options of the service; these are what an operator has no
//! reason to change. Each LIM id is in the name of a test that crosses it.

use std::time::Duration;

/// AUTH-01: password checks that wait for a core; one more is a temporary failure.
pub const HASHES_WAITING_MAX: usize = 64;
/// AUTH-03: how long a verified password is remembered.
pub const VERIFIED_FOR: Duration = Duration::from_secs(300);
/// AUTH-03: verified passwords remembered at once; the oldest makes room.
pub const VERIFIED_MAX: usize = 10_000;
/// How many aliases and groups may stand between an address and its account.
pub const ALIAS_DEPTH_MAX: usize = 10;
/// LIM-14: how many addresses one address may come to, counted over all its aliases and groups.
pub const EXPANSION_MAX: usize = 1_000;
/// LIM-14: groups that one message goes to, each with a copy of its own; more wait for another
/// message.
pub const LISTS_MAX: usize = 16;
/// Addresses that belong to one account.
pub const ADDRESSES_PER_ACCOUNT_MAX: usize = 1_000;
/// Addresses that one account forwards its mail to.
pub const FORWARDS_MAX: usize = 20;
/// Bytes of the text that an account answers when nobody is there.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of its subject.
pub const SUBJECT_BYTES_MAX: usize = 500;
/// Secrets of rewritten senders that are kept; the oldest goes.
pub(super) const REWRITING_SECRETS_MAX: usize = 4;

/// Bytes of one stored record; engines take 64 KiB.
pub(super) const RECORD_BYTES_MAX: usize = 60 * 1024;
/// How often a change that met a concurrent one is decided again before it is given up as busy.
pub(super) const ATTEMPTS_MAX: usize = 8;
