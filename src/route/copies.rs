//! Where the copies of a message are, for the mail log: each recipient as it was given, and what
//! became of it.
//!
//! A recipient without a line would be one of whom the log says nothing, so each has one; only the
//! further copies of aliases and groups are bounded, and what is left out is counted.

use std::sync::Arc;

use super::{plan::Copy, router::Target};
use crate::{
    accounts::Snapshot,
    base::{
        clock::Timestamp,
        ids::{AccountId, MessageId},
        text::Quoted,
    },
    mail::urgency::DateTime,
};

/// The copies of a message that was accepted.
pub struct Copies {
    pub(super) targets: Vec<Target>,
    /// Names the accounts.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) delivered: Vec<Copy>,
    pub(super) queued: usize,
    /// All of them wait until then.
    pub(super) held_until: Option<Timestamp>,
}

impl Copies {
    /// Mailboxes that have one.
    pub fn delivered(&self) -> usize {
        self.delivered.len()
    }

    /// Addresses elsewhere that shall get one.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// One line in the mail log for each recipient and what it reaches.
    pub fn log(&self, id: MessageId) {
        let mut room = LINES_MAX;
        for target in &self.targets {
            let given = target.path.to_string();
            let reached = &target.reached;
            let all = reached
                .accounts
                .len()
                .saturating_add(reached.forwards.len());
            let shown = all.min(room.max(1));
            room = room.saturating_sub(shown);
            for account in reached.accounts.iter().take(shown) {
                if let Some(until) = self.held_until {
                    self.log_held(id, &given, *account, until);
                }
                let delivered = self.delivered.iter();
                for copy in delivered.filter(|copy| copy.account == *account) {
                    tracing::info!(
                        target: "mail",
                        id = %id,
                        to = %Quoted::str(&given),
                        account = %Quoted::str(&self.named(*account)),
                        mailbox = copy.name.as_str(),
                        "delivered"
                    );
                }
            }
            let forwards = shown.saturating_sub(reached.accounts.len());
            for remote in reached.forwards.iter().take(forwards) {
                let to = format!("<{remote}>");
                tracing::info!(
                    target: "mail",
                    id = %id,
                    to = %Quoted::str(&to),
                    given = (to != given).then(|| tracing::field::display(Quoted::str(&given))),
                    until = self.held_until.map(shown_time).map(tracing::field::display),
                    "queued"
                );
            }
            if shown < all {
                let more = all.saturating_sub(shown);
                tracing::info!(target: "mail", id = %id, to = %Quoted::str(&given), more, "copied");
            }
        }
    }

    fn log_held(&self, id: MessageId, given: &str, account: AccountId, until: Timestamp) {
        tracing::info!(
            target: "mail",
            id = %id,
            to = %Quoted::str(given),
            account = %Quoted::str(&self.named(account)),
            until = %shown_time(until),
            "held"
        );
    }

    /// `1/alice@example.org`: the number stays when the address changes.
    fn named(&self, id: AccountId) -> String {
        match self.snapshot.account(id) {
            Some(account) => format!("{id}/{}", account.address),
            None => id.to_string(),
        }
    }
}

fn shown_time(at: Timestamp) -> DateTime {
    DateTime(at.secs())
}

/// Copies of one message that have a line each, whatever the number of recipients.
const LINES_MAX: usize = 100;
