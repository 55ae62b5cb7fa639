//! How reports get to senders: a door of the router for the relay.
//!
//! A report to a local sender goes into his mailbox, one to a remote sender into the queue; both in
//! the very batch that ends the recipient it is about. A report that has no place now is not
//! lost: what it is about waits for another time. It is only dropped when nobody could ever get it.

use bytes::Bytes;

use super::{
    held::Waited,
    router::{Acceptance, Origin, Refusal, Router},
};
use crate::{
    base::{
        future::BoxFuture,
        ids::{AccountId, MessageId},
        text::Quoted,
    },
    mail::{
        address::Address,
        envelope::{BodyKind, Envelope, ForwardPath, MailOptions, ReversePath},
        header::header_length,
        trace::return_path,
    },
    store::Batch,
    verify::Draft,
};

/// Delivers reports and what waited here for its time, and signs what is ours.
pub trait Postman: Send + Sync + 'static {
    /// Adds the delivery of `report` to `batch`. The answer is used after the commit.
    fn add_report<'a>(
        &'a self,
        batch: &'a mut Batch,
        report: Report,
    ) -> BoxFuture<'a, Result<Posted, PostError>>;

    /// The fields that sign a message of our users as it is sent; empty when nobody has a key for
    /// it.
    fn sign(&self, draft: Draft) -> BoxFuture<'_, Vec<u8>>;

    /// Whether this account has place for a copy now.
    fn has_place(&self, account: AccountId) -> BoxFuture<'_, Result<Result<(), Refusal>, Fault>>;

    /// Adds the copies of what `waited` to `batch`. The answer is used after the commit.
    fn add_copies<'a>(
        &'a self,
        batch: &'a mut Batch,
        waited: Waited,
    ) -> BoxFuture<'a, Result<Posted, PostError>>;
}

/// Why it cannot be said or done now.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Puts reports where mail goes.
pub struct Reports {
    router: Router,
}

/// A report to a sender. Its own sender is the null path.
#[derive(Clone, Debug)]
pub struct Report {
    /// Names it.
    pub id: MessageId,
    /// The message it is about.
    pub about: MessageId,
    /// Who shall get it.
    pub to: Address,
    /// The message.
    pub bytes: Bytes,
    /// RFC 6531: its header is internationalized.
    pub smtputf8: bool,
    /// RFC 8689 5: what it is about required TLS.
    pub require_tls: bool,
    /// RFC 8460 3: it is about TLS that fails.
    pub despite_tls: bool,
    /// RFC 6152: what the body holds.
    pub body: BodyKind,
}

/// The first line of a report's own story, for the mail log.
#[derive(Debug)]
pub struct FirstLine {
    id: MessageId,
    about: MessageId,
    to: Address,
    size_bytes: usize,
}

impl Report {
    /// What is logged of it once it is committed.
    pub fn first_line(&self) -> FirstLine {
        FirstLine {
            id: self.id,
            about: self.about,
            to: self.to.clone(),
            size_bytes: self.bytes.len(),
        }
    }
}

impl FirstLine {
    /// Writes it.
    pub fn log(&self) {
        tracing::info!(
            target: "mail",
            id = %self.id,
            about = %self.about,
            from = %ReversePath::Null,
            to = %Quoted::str(&format!("<{}>", self.to)),
            size_bytes = self.size_bytes,
            "accepted"
        );
    }
}

/// What to do once the batch is committed: to tell whoever waits for new mail.
pub struct Posted(Box<dyn FnOnce() + Send>);

/// A report was not added to the batch, which must not be used.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nobody can ever get it: the sender is gone. It is dropped, with a line in the log.
    #[error("the sender cannot be told: {0}")]
    Undeliverable(Refusal),
    /// It could not be found out, or written, now.
    #[error("the report could not be delivered")]
    Fault(#[source] Fault),
}

impl Reports {
    /// Reports through this router.
    pub fn new(router: Router) -> Self {
        Self { router }
    }
}

impl Router {
    /// Adds the delivery of a report to a batch; not to be used after an error.
    pub(super) async fn add_report(
        &self,
        batch: &mut Batch,
        report: Report,
    ) -> Result<Posted, PostError> {
        let to = ForwardPath::Address(report.to.clone());
        let target = self
            .recipient(&Origin::Ourselves, &ReversePath::Null, &to)
            .await;
        let target = target.map_err(fault)?.map_err(refused)?;
        let mut intake = self.mailboxes().intake();
        // RFC 5321 4.4: of final delivery; the queue leaves it out.
        let mut head = return_path(&ReversePath::Null);
        let final_delivery_bytes = head.len();
        head.extend(self.sign(draft(&report.bytes)).await);
        intake.feed(report.bytes).await.map_err(fault)?;
        let acceptance = Acceptance {
            id: report.id,
            origin: Origin::Ourselves,
            envelope: Envelope {
                // RFC 3461 6.1.
                sender: ReversePath::Null,
                recipients: vec![report.to],
                body: report.body,
                smtputf8: report.smtputf8,
                options: MailOptions {
                    require_tls: report.require_tls,
                    despite_tls: report.despite_tls,
                    ..MailOptions::default()
                },
            },
            targets: vec![target],
            arrived: intake.finish_behind(head.into()).await.map_err(fault)?,
            editions: Vec::new(),
            final_delivery_bytes,
            junk: false,
            header: Bytes::new(),
            doubtful: false,
            sealable: None,
        };
        let composed = self.compose(batch, &acceptance).map_err(refused)?;
        let (id, targets) = (acceptance.id, acceptance.targets);
        Ok(Posted::then(move || {
            composed.copies(targets).log(id);
            drop(composed);
        }))
    }
}

/// A whole message, to be signed.
fn draft(message: &Bytes) -> Draft {
    let end = header_length(message);
    let header = message.slice(..end);
    let empty_line = [&b"\r\n"[..], b"\n"];
    let fields = empty_line
        .iter()
        .find_map(|line| header.strip_suffix(*line));
    let mut draft = Draft::new(header.slice_ref(fields.unwrap_or(&header)));
    draft.feed(message.get(end..).unwrap_or_default());
    draft
}

impl Postman for Reports {
    fn add_report<'a>(
        &'a self,
        batch: &'a mut Batch,
        report: Report,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        Box::pin(self.router.add_report(batch, report))
    }

    fn sign(&self, draft: Draft) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(self.router.sign(draft))
    }

    fn has_place(&self, account: AccountId) -> BoxFuture<'_, Result<Result<(), Refusal>, Fault>> {
        Box::pin(async move {
            let place = self.router.has_place(account).await;
            place.map_err(Fault::from)
        })
    }

    fn add_copies<'a>(
        &'a self,
        batch: &'a mut Batch,
        waited: Waited,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        Box::pin(self.router.add_copies(batch, waited))
    }
}

impl Posted {
    /// Calls `announce` after the commit, and not if there is none.
    pub fn then(announce: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(announce))
    }

    /// The batch is committed.
    pub fn announce(self) {
        (self.0)();
    }
}

/// DUR-08 I1: whoever may get the report later is told later. What is set up wrong is set right
/// some day, and a full disk has room again.
pub(super) fn refused(refusal: Refusal) -> PostError {
    match refusal {
        Refusal::UnknownRecipient
        | Refusal::TooManyCopies
        | Refusal::Circle
        | Refusal::NotRewrittenHere
        | Refusal::RewrittenLongAgo
        | Refusal::ReportsOnly => PostError::Undeliverable(refusal),
        Refusal::RelayDenied
        | Refusal::OverQuota
        | Refusal::NoRoom
        | Refusal::Misconfigured
        | Refusal::TooFast(_)
        | Refusal::NotAWriter
        | Refusal::TooManyLists
        | Refusal::Changed => fault(refusal),
    }
}

pub(super) fn fault(error: impl std::error::Error + Send + Sync + 'static) -> PostError {
    PostError::Fault(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dur_08_only_what_nobody_can_ever_get_is_dropped() {
        for (refusal, dropped) in [
            (Refusal::UnknownRecipient, true),
            (Refusal::TooManyCopies, true),
            (Refusal::Circle, true),
            (Refusal::NotRewrittenHere, true),
            (Refusal::RewrittenLongAgo, true),
            (Refusal::RelayDenied, false),
            (Refusal::OverQuota, false),
            (Refusal::NoRoom, false),
            (Refusal::Misconfigured, false),
            (Refusal::Changed, false),
        ] {
            let is_dropped = matches!(refused(refusal), PostError::Undeliverable(_));
            assert_eq!(is_dropped, dropped, "{refusal}");
        }
    }
}
