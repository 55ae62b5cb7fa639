//! Why a command is refused: the rule that it broke, never what was sent.

use crate::imap::proto::response::{Code, Status};

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// BAD, or NO where the grammar was kept.
    pub status: Status,
    /// For programs.
    pub code: Option<Code>,
    /// For humans: the rule, never what was sent.
    pub text: &'static str,
}

impl Mistake {
    /// Not of the grammar.
    pub fn bad(text: &'static str) -> Self {
        Self {
            status: Status::Bad,
            code: None,
            text,
        }
    }

    /// A message number of a client that has given them up (RFC 9586).
    pub fn uid_required() -> Self {
        Self {
            code: Some(Code::UidRequired),
            ..Self::bad("there are no message numbers after ENABLE UIDONLY; name UIDs")
        }
    }

    /// Understood, and refused.
    pub fn no(code: Code, text: &'static str) -> Self {
        Self {
            status: Status::No,
            code: Some(code),
            text,
        }
    }
}

/// An argument, or why there is none.
pub type Parsed<T> = Result<T, Mistake>;
