//! Where the copies of a message are, for the mail log: each recipient as it was given, and what
//! became of it.
//!
//! A recipient without a line would be one of whom the log says nothing, so each has one; only the
//! further copies of aliases and groups are bounded, and what is left out is counted.

use std::sync::Arc;

use super::{plan::Copy, target::Target};
use crate::{
    accounts::Snapshot,
    base::{
        clock::Timestamp,
        ids::{AccountId, MessageId},
        text::Quoted,
    },
    mail::{address::Address, envelope::ForwardPath, urgency::DateTime},
};

/// The copies of a message that was accepted.
pub struct Copies {
    pub(super) targets: Vec<Target>,
    /// Names the accounts.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) delivered: Vec<Copy>,
    pub(super) mailings: Vec<Queued>,
    pub(super) queued: usize,
    /// All of them wait until then.
    pub(super) held_until: Option<Timestamp>,
}

/// A message of the queue.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) id: MessageId,
    /// The address here for which it is passed on.
    pub(super) via: Option<ForwardPath>,
    /// The group that sends it on.
    pub(super) list: Option<Address>,
    /// What its sender is rewritten to.
    pub(super) rewritten: Option<Address>,
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
            let (reached, via) = (&target.reached, target.via());
            let of_target =
                |mailing: &&Queued| mailing.list.is_none() && mailing.via.as_ref() == via;
            let direct = (reached.accounts.as_slice(), reached.forwards.as_slice());
            if direct != (&[], &[]) {
                let mailing = self.mailings.iter().find(of_target);
                self.log_reached((id, target), direct, mailing, &mut room);
            }
            for list in &reached.lists {
                let is_its = |mailing: &&Queued| mailing.list.as_ref() == Some(&list.address);
                let mailing = self.mailings.iter().find(is_its);
                self.log_reached(
                    (id, target),
                    (&list.accounts, &list.forwards),
                    mailing,
                    &mut room,
                );
            }
        }
    }

    /// The lines of those whom a recipient reaches by himself, or by one group.
    fn log_reached(
        &self,
        (id, target): (MessageId, &Target),
        (accounts, forwards): (&[AccountId], &[Address]),
        mailing: Option<&Queued>,
        room: &mut usize,
    ) {
        let given = target.path.to_string();
        let all = accounts.len().saturating_add(forwards.len());
        let shown = all.min((*room).max(1));
        *room = room.saturating_sub(shown);
        for account in accounts.iter().take(shown) {
            if let Some(until) = self.held_until {
                self.log_held((id, mailing), &given, *account, until);
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
        let leaving = shown.saturating_sub(accounts.len());
        // What is passed on for a second address is a message of its own.
        let queued_id = mailing.map_or(id, |mailing| mailing.id);
        let rewritten = mailing.and_then(|mailing| mailing.rewritten.as_ref());
        let rewritten = rewritten.map(|sender| format!("<{sender}>"));
        let rewritten = rewritten.as_deref().map(Quoted::str);
        for remote in forwards.iter().take(leaving) {
            let to = format!("<{remote}>");
            tracing::info!(
                target: "mail",
                id = %queued_id,
                to = %Quoted::str(&to),
                given = (to != given).then(|| tracing::field::display(Quoted::str(&given))),
                until = self.held_until.map(shown_time).map(tracing::field::display),
                about = (queued_id != id).then(|| tracing::field::display(id)),
                sender = rewritten.map(tracing::field::display),
                "queued"
            );
        }
        if shown < all {
            let more = all.saturating_sub(shown);
            tracing::info!(target: "mail", id = %id, to = %Quoted::str(&given), more, "copied");
        }
    }

    fn log_held(
        &self,
        (id, mailing): (MessageId, Option<&Queued>),
        given: &str,
        account: AccountId,
        until: Timestamp,
    ) {
        // Members of a group wait in the message that it sends on.
        let of_list = mailing.filter(|mailing| mailing.list.is_some());
        let held_id = of_list.map_or(id, |mailing| mailing.id);
        tracing::info!(
            target: "mail",
            id = %held_id,
            to = %Quoted::str(given),
            account = %Quoted::str(&self.named(account)),
            until = %shown_time(until),
            about = (held_id != id).then(|| tracing::field::display(id)),
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
