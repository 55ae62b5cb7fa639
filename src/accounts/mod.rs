//! Who has mail here: local domains, accounts, addresses, passwords, quotas.
//!
//! The truth is in the store; a [`Snapshot`] of all of it is in memory, replaced as a whole by
//! every change. Resolving an address is a pure function of a snapshot (RFC 5321 3.5, 3.9,
//! 4.5.1). Every change is one commit that is conditional on the version it was decided on, so
//! two changes never mix. Not here: mailboxes and their contents, and what becomes of a message
//! (`route`).

mod change;
mod directory;
mod domains;
mod grants;
mod groups;
mod hasher;
mod keys;
pub mod limits;
mod password;
mod personal;
mod record;
mod removal;
mod resolve;
mod rewriting;
mod snapshot;
mod verified;

pub use change::{DirectoryError, Provision};
pub use directory::{Directory, OpenError, Options, VerifyFault};
pub use grants::Grant;
pub use groups::{Group, Senders, Writer, bounces_of, owner_of};
pub use keys::DkimKey;
pub use password::{Cost, NotAPassword};
pub use personal::{Forwarding, OutOfOffice};
pub use record::{Account, Entry};
pub use resolve::{List, MailKind, Resolution, Targets, Unusable};
pub use rewriting::RewritingSecret;
pub use snapshot::{LocalDomain, Snapshot};
