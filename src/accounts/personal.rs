//! What an account has done with its mail beside keeping it: forwarding, and answers while nobody
//! is there.
//!
//! Both are part of the account's record and go with it. That an address may be forwarded to is not
//! asked of anybody: an operator sets it. When an answer is sent at all is the router's question
//! (RFC 3834); here is only what is said, and between when and when.

use std::sync::Arc;

use super::{
    change::{DirectoryError, works_after},
    directory::Directory,
    limits::{ANSWER_BYTES_MAX, FORWARDS_MAX, SUBJECT_BYTES_MAX},
    snapshot::Edit,
};
use crate::{
    base::{clock::Timestamp, ids::AccountId},
    mail::address::Address,
};

/// Where an account's mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// There; at least one.
    pub to: Vec<Address>,
    /// And into its own mailbox, too.
    pub keep: bool,
}

/// What senders are answered while nobody is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfOffice {
    /// When it was said; whoever was answered before hears it again.
    pub set: Timestamp,
    /// From then on it is sent.
    pub from: Timestamp,
    /// And no more from then on.
    pub until: Timestamp,
    /// For so many days nobody is answered twice.
    pub days: u8,
    /// Its subject; empty for that of the message it answers.
    pub subject: Arc<str>,
    /// What it says.
    pub text: Arc<str>,
}

impl OutOfOffice {
    /// Whether it is sent at this time.
    pub fn applies(&self, now: Timestamp) -> bool {
        (self.from..self.until).contains(&now)
    }
}

impl Directory {
    /// Forwards an account's mail, or no more.
    pub async fn set_forwarding(
        &self,
        id: AccountId,
        forwarding: Option<&Forwarding>,
    ) -> Result<(), DirectoryError> {
        match forwarding.map(|forwarding| forwarding.to.len()) {
            None | Some(1..=FORWARDS_MAX) => {}
            Some(0) => return Err(DirectoryError::NoTargets),
            Some(_) => return Err(DirectoryError::TooManyTargets),
        }
        self.change(|snapshot, _| {
            let account = snapshot.account(id).ok_or(DirectoryError::UnknownAccount)?;
            let mut account = account.clone();
            account.forwarding = forwarding.cloned();
            let address = account.address.clone();
            let edits = vec![Edit::PutAccount(Box::new(account))];
            works_after(snapshot, &edits, &address)?;
            Ok((edits, ()))
        })
        .await
    }

    /// Has an account's senders answered, or no more.
    pub async fn set_out_of_office(
        &self,
        id: AccountId,
        absence: Option<&OutOfOffice>,
    ) -> Result<(), DirectoryError> {
        let too_long = |absence: &OutOfOffice| {
            absence.text.len() > ANSWER_BYTES_MAX || absence.subject.len() > SUBJECT_BYTES_MAX
        };
        if absence.is_some_and(too_long) {
            return Err(DirectoryError::AnswerTooLong);
        }
        self.change_account(id, |account| account.out_of_office = absence.cloned())
            .await
    }
}
