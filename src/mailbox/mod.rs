//! Mailboxes: what is in them, and every change of them.
//!
//! A mailbox is a log of compact records with packed snapshots; a selected mailbox has one shared
//! index per process that is kept current from the log. Each change is one atomic, durable commit
//! (DUR-01). Sessions keep their own view of message numbers; wire forms are the protocols'
//! business. RFC 3501 2.3 and 6.3, RFC 4315, RFC 6154, RFC 6851, RFC 7162 (modification sequences).

mod acl;
mod append;
mod bodies;
mod changes;
mod codec;
mod compose;
mod contents;
mod core;
mod email;
mod entry;
mod erase;
mod fault;
mod flags;
mod handle;
mod handover;
mod history;
mod index;
mod intake;
mod limits;
mod listener;
mod load;
mod mark;
mod memory;
mod metadata;
mod name;
mod names;
mod notify;
mod record;
mod rights;
mod service;
mod sets;
mod shared;
mod sharing;
mod snapshot;
mod sweep;
mod tend;
mod tree;
mod uids;

pub use crate::store::About;
pub use acl::{Acl, AclChange, AclEntry, AclMode, Identifier};
pub use append::{AppendOptions, Appended, Incoming};
pub use bodies::BodyPieces;
pub use changes::Changes;
pub use email::Email;
pub use entry::{Entry, SpecialUse};
pub use fault::{ChangeError, MailboxFault};
pub use flags::{FlagChange, FlagClasses, FlagMode, FlagSet, Keyword, NotAKeyword, SystemFlags};
pub use handle::{Copied, Mailbox, Stored, Target};
pub use index::{EntryRef, Index};
pub use intake::{Arrived, Intake, IntakeError};
pub use limits::METADATA_BYTES_MAX;
pub use listener::{Heard, Listener};
pub use metadata::{Annotated, EntryName, NotAnEntryName};
pub use name::{Name, NotAName};
pub use notify::{Follower, News, Watch};
pub use rights::Rights;
pub use service::{Mailboxes, Options, Placed, Placement, Usage};
pub use sharing::SharedMailbox;
pub use tree::INBOX;

#[cfg(test)]
mod tests;
