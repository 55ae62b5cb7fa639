//! POP3 as text: commands, replies, and which command may be given when. Pure.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod command;
pub mod dialog;
pub mod reply;
pub mod top;

pub use command::Command;
pub use dialog::{Pop3, Stage};
pub use reply::{Code, Reply};
