//! What APPEND and REPLACE bring: messages, and what each is made of (RFC 3501 6.3.11, RFC 3502,
//! RFC 4469, RFC 6855 4, RFC 8508).
//!
//! Such a command is given out when its first literal is announced. Its verb takes the literal,
//! reads the line behind it and asks [`Appending::behind`] what that says, until no literal comes.
//! Pure: nothing is received here.

use super::{
    command::AnnouncedLiteral,
    flag::FlagList,
    parse::{self, Parsed},
};
use crate::{base::clock::Timestamp, wire::literal::Announced};

/// Some of what an APPEND says, up to its next literal or its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Appending {
    /// What was said, in order.
    pub parts: Vec<AppendPart>,
    /// The literal that comes next; none when the command has ended.
    pub literal: Option<AppendLiteral>,
    /// Where the text behind the literal goes on.
    pub(super) place: Place,
    /// Whether more than one message may come (RFC 8508 4.7: only one replaces another).
    pub(super) many: bool,
}

/// One thing that is said of the messages.
#[derive(Debug, PartialEq, Eq)]
pub enum AppendPart {
    /// A message begins.
    Message {
        /// Its flags.
        flags: FlagList,
        /// Its internal date; now, when absent.
        date: Option<Timestamp>,
    },
    /// The message goes on with what this URL names (RFC 4469 3), as sent.
    Url(Vec<u8>),
    /// The message is whole.
    End,
}

/// A literal that was announced, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendLiteral {
    /// Its size, and who waits for whom.
    pub announced: AnnouncedLiteral,
    /// It is a URL, not octets of the message.
    pub is_url: bool,
}

/// Behind which literal a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The message itself.
    Message,
    /// In `UTF8 (`.
    Utf8,
    /// In `CATENATE (`.
    Part,
    /// In `UTF8 (` in `CATENATE (`.
    Utf8Part,
}

impl Appending {
    /// What the line behind the literal says.
    ///
    /// # Errors
    /// When it says nothing that may stand there. What follows cannot be told from commands then.
    pub fn behind(self, line: &[u8]) -> Parsed<Self> {
        let announced = Announced::find(line);
        let end = announced.map_or(line.len(), |announced| announced.at);
        let text = line.get(..end).unwrap_or_default();
        let announced = announced.map(AnnouncedLiteral::from);
        parse::append::behind(text, announced, self.place, self.many)
    }
}
