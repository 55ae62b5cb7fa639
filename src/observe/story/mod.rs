//! The stories of messages: every line of the mail log, kept for some days beside the store.
//!
//! A decision about a message is told once, as an event of target `mail` with the message's `id`.
//! The log shows what its filter lets through; the files of stories keep all of it, as JSON, one
//! object a line, whatever that filter says. Not truth of any kind: nothing is decided from them,
//! a power failure may cost their last seconds, and who removes them loses only stories.

pub mod asked;
mod files;
mod find;

use std::{path::PathBuf, time::Duration};

pub use self::find::{Found, Story, find, of};
use crate::base::clock::Clock;
pub(super) use files::Files;

/// Where stories are kept, and how many of them.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The folder, made when there is something to keep.
    pub dir: PathBuf,
    /// For how long.
    pub age: Duration,
    /// All files together have this many bytes at most; the oldest go first.
    pub bytes: u64,
    /// What tells how old they are.
    pub clock: Clock,
}
