//! How reports get to senders: a door that the composition root opens.
//!
//! A report to a local sender goes into his mailbox, one to a remote sender into the queue; both in
//! the very batch that ends the recipient it is about. Mailboxes and accounts are above the
//! relay's floor, so it asks.

use bytes::Bytes;

use crate::{
    base::{future::BoxFuture, ids::MessageId},
    mail::{address::Address, envelope::BodyKind},
    store::Batch,
};

/// A report to a sender. Its own sender is the null path.
#[derive(Clone, Debug)]
pub struct Report {
    /// Names it.
    pub id: MessageId,
    /// Who shall get it.
    pub to: Address,
    /// The message.
    pub bytes: Bytes,
    /// RFC 6531: its header is internationalized.
    pub smtputf8: bool,
    /// RFC 6152: what the body holds.
    pub body: BodyKind,
}

/// Delivers reports.
pub trait Postman: Send + Sync + 'static {
    /// Adds the delivery of `report` to `batch`. The answer is used after the commit.
    fn add_report<'a>(
        &'a self,
        batch: &'a mut Batch,
        report: Report,
    ) -> BoxFuture<'a, Result<Posted, PostError>>;
}

/// What to do once the batch is committed: to tell whoever waits for new mail.
pub struct Posted(Box<dyn FnOnce() + Send>);

impl Posted {
    /// Calls `announce` after the commit, and not if there is none.
    pub fn then(announce: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(announce))
    }

    pub(super) fn announce(self) {
        (self.0)();
    }
}

/// A report was not added to the batch, which must not be used.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nobody can get it: the sender is gone, or has no room. It is dropped, with a line in the
    /// log.
    #[error("the sender cannot be told: {0}")]
    Undeliverable(String),
    /// It could not be found out, or written, now.
    #[error("the report could not be delivered")]
    Fault(#[source] Box<dyn std::error::Error + Send + Sync>),
}
