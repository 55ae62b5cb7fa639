//! Which messages a search looks at: those that its numbers, UIDs and `$` name (RFC 9738 3.1).
//!
//! Pure. What else is asked of a message is not looked at here, so nobody is left out who could be
//! found.

use super::{Search, Test, Verdict, all, contains};
use crate::imap::server::updates::CHUNK_MESSAGES;

impl Search {
    /// Whether the message at this position of the view must be looked at.
    pub(in crate::imap::server) fn looks_at(&self, position: usize) -> bool {
        named(&self.test, position) != Verdict::No
    }

    /// LIM-25: how many messages may be judged between two looks at the budget: the more keys, the
    /// fewer.
    pub(in crate::imap::server) fn messages_at_once(&self) -> usize {
        (CHUNK_JUDGEMENTS / self.size.max(1)).clamp(1, CHUNK_MESSAGES)
    }
}

/// The depth of tests is bounded where keys are parsed (LIM-20).
fn named(test: &Test, position: usize) -> Verdict {
    match test {
        Test::All => Verdict::Yes,
        Test::Nothing => Verdict::No,
        Test::Positions(ranges) => Verdict::known(Some(contains(ranges, position))),
        Test::And(tests) => all(tests.iter().map(|test| named(test, position))),
        Test::Or(a, b) => {
            let neither = all([a, b].into_iter().map(|test| named(test, position).not()));
            neither.not()
        }
        Test::Not(test) => named(test, position).not(),
        _ => Verdict::Open,
    }
}

/// LIM-25: how often a key is compared with a message between two looks at the budget.
const CHUNK_JUDGEMENTS: usize = 20_000;
