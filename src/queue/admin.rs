//! What an operator can ask of the queue: which messages, and which recipients of them.
//!
//! Reads are paged and show damaged records instead of failing on them ([`list`]). Actions touch
//! only what is not in the relay's hands; what is, is counted as busy ([`act`]). Both walk over the
//! recipients in the order of their messages, a bounded number at once ([`walk`]), and say where
//! the next call goes on. Legal actions for each state: docs/STORE-queue.md.

mod act;
mod census;
mod list;
mod walk;

use serde::{Deserialize, Serialize};

pub use act::{Action, Changed};
pub use census::{Census, Counts};
pub use list::{Listing, MessageSummary, RecipientSummary};

use super::record::{Diagnosis, MessageRecord, Order, RecipientRecord, State};
use crate::{
    base::{clock::Timestamp, ids::MessageId},
    mail::{
        address::{Address, Domain},
        envelope::ReversePath,
    },
};

/// Which recipients. An empty filter matches all; of what is given, everything must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The recipient is of this domain.
    pub domain: Option<Domain>,
    /// The recipient is this one.
    pub recipient: Option<Address>,
    /// The recipient stands there.
    pub state: Option<Standing>,
    /// The last reply, with its codes, has these words in it; in lower case.
    pub error: Option<String>,
    /// The sender is this one.
    pub sender: Option<ReversePath>,
    /// The message was received before this time.
    pub received_before: Option<Timestamp>,
}

/// What to do something with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All recipients of one message.
    Message(MessageId),
    /// One recipient of one message.
    Recipient(MessageId, Address),
    /// All recipients that match.
    Matching(Filter),
}

/// Where a recipient stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It waits for its next attempt.
    Waiting,
    /// It waits for the time that its sender gave.
    Scheduled,
    /// It will be reported as failed as soon as that can be.
    Bouncing,
    /// An attempt is being made.
    Attempting,
    /// An operator must release it.
    Held,
    /// Its record cannot be read; it can only be dropped.
    Damaged,
}

impl Filter {
    /// Whether a message can have recipients that match; of one that cannot be read nothing is
    /// known.
    fn takes_message(&self, message: Option<&MessageRecord>) -> bool {
        let Some(message) = message else {
            return self.sender.is_none() && self.received_before.is_none();
        };
        let of_sender = |sender: &ReversePath| message.sender == *sender;
        let before = |time| message.received < time;
        self.sender.as_ref().is_none_or(of_sender) && self.received_before.is_none_or(before)
    }

    /// Whether a recipient matches, as far as it decides; one that cannot be read is found by its
    /// state.
    fn takes(&self, record: Option<&RecipientRecord>, now: Timestamp) -> bool {
        let stands = |state| Standing::of(record, now) == state;
        if !self.state.is_none_or(stands) {
            return false;
        }
        let Some(record) = record else {
            return self.domain.is_none() && self.recipient.is_none() && self.error.is_none();
        };
        let last = record.last.as_ref();
        let said = |words: &String| {
            let has = |last: &Diagnosis| {
                let said = last.said().to_lowercase();
                said.contains(words.as_str()) || last.class.word() == words
            };
            last.is_some_and(has)
        };
        let domain = &record.address.domain;
        self.domain.as_ref().is_none_or(|wanted| wanted == domain)
            && self
                .recipient
                .as_ref()
                .is_none_or(|to| *to == record.address)
            && self.error.as_ref().is_none_or(said)
    }
}

impl Standing {
    /// Where a recipient stands now.
    pub(super) fn of(record: Option<&RecipientRecord>, now: Timestamp) -> Self {
        record.map_or(Self::Damaged, |record| match record.state {
            // A lease that ran out is nobody's.
            State::Leased(until) if until > now => Self::Attempting,
            State::Held => Self::Held,
            State::Scheduled(_) => Self::Scheduled,
            State::Waiting(_) | State::Leased(_) => match record.order {
                Order::Deliver => Self::Waiting,
                Order::Bounce | Order::Report => Self::Bouncing,
            },
        })
    }
}

impl Diagnosis {
    /// The same behind the host that said it.
    pub fn said_where(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}: {}", self.said()),
            None => self.said(),
        }
    }

    /// The words with their codes, in one line.
    pub fn said(&self) -> String {
        match self.code {
            0 => format!("{} {}", self.status, self.text()),
            code => format!("{code} {} {}", self.status, self.text()),
        }
    }
}
