//! From the lines and literals of one command to its arguments (RFC 3501 9). One function per
//! verb, named by the verb's row.
//!
//! A command is parsed once, when it is complete. Nothing recurses on what the client sent:
//! nested search keys use a stack of bounded depth.

pub mod acl;
pub mod append;
pub mod fetch;
pub mod mailbox;
pub mod message;
pub mod metadata;
mod mistake;
pub mod notify;
mod numbers;
pub mod quota;
pub mod resync;
pub mod scan;
pub mod search;
mod search_key;
pub mod section;
pub mod session;
pub mod sort;
mod sources;

pub use mistake::{Mistake, Parsed};
pub use scan::Scanner;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        imap::proto::{command::CommandBody, verbs::Verb},
        wire::literal::Piece,
    };

    /// What a command without tag and literals asks for; `None` when it is refused.
    pub(in crate::imap) fn parsed(text: &str) -> Option<CommandBody> {
        parse(text).ok()
    }

    /// As [`parsed`], with the reason.
    pub(in crate::imap) fn parse(text: &str) -> Parsed<CommandBody> {
        let words = if text.starts_with("UID ") { 2 } else { 1 };
        let name_bytes = text
            .match_indices(' ')
            .nth(words - 1)
            .map_or(text.len(), |(at, _)| at);
        let (name, arguments) = text.split_at(name_bytes);
        let pieces = [Piece {
            text: arguments.as_bytes(),
            literal: None,
        }];
        let verb = Verb::named(name.as_bytes()).expect("the name of a command");
        (verb.parse)(&mut Scanner::new(&pieces, None))
    }

    /// Each of these is refused.
    pub(in crate::imap) fn assert_all_refused(texts: &[&str]) {
        for text in texts {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
