//! From the lines and literals of one command to its arguments (RFC 3501 9). One function per verb, named by
//! the verb's row.
//!
//! A command is parsed once, when it is complete. Nothing recurses on what the client sent: nested search
//! keys use a stack of bounded depth.

pub mod mailbox;
pub mod message;
pub mod scan;
pub mod search;
pub mod section;
pub mod session;

pub use scan::{Mistake, Parsed, Piece, Scanner};
