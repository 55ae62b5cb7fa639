//! Mail for mailboxes here that waited for its time (RFC 4865): an attempt like any other, whose
//! host is our own router.
//!
//! Whether an account has place is asked before; the copies are made by the very commit that ends
//! the recipients, so a message is never in both places and never in none.

use super::{Shared, attempt::Work, verdict::Finding};
use crate::{
    base::text::Causes,
    queue::{
        Lease,
        record::{Class, Diagnosis, Status},
    },
    route::{PostError, Posted, Refusal, Waited},
    store::Batch,
};

impl Shared {
    /// What becomes of each recipient.
    pub(super) async fn here(&self, work: &Work) -> Vec<(u32, Finding)> {
        let mut findings = Vec::with_capacity(work.accounts.len());
        for (n, account) in &work.accounts {
            let ours = |status, text: &str| Diagnosis::new(None, 0, status, text);
            let finding = match self.parts.postman.has_place(*account).await {
                Ok(Ok(())) => Finding::Here(ours(Status(2, 0, 0), "delivered here")),
                Ok(Err(Refusal::UnknownRecipient)) => Finding::Never(ours(
                    Status(5, 1, 1),
                    "there is no such account here any more",
                )),
                Ok(Err(Refusal::OverQuota)) => {
                    let why = ours(Status(4, 2, 2), "the mailbox is full");
                    Finding::Later(why.of(Class::MailboxFull))
                }
                Ok(Err(refusal)) => Finding::Later(ours(Status(4, 3, 0), &refusal.to_string())),
                Err(error) => {
                    tracing::warn!(id = %work.id, error = %Causes(&*error), "no place was found");
                    Finding::Later(ours(Status(4, 3, 0), "something is wrong here"))
                }
            };
            findings.push((*n, finding));
        }
        findings
    }

    /// Adds the copies for these recipients to a batch; nothing, when there are none.
    pub(super) async fn hand_over(
        &self,
        lease: &Lease,
        recipients: &[u32],
        batch: &mut Batch,
    ) -> Result<Option<Posted>, PostError> {
        let here = lease.recipients.iter();
        let here = here.filter(|leased| recipients.contains(&leased.n));
        let to: Vec<_> = here
            .filter_map(|leased| Some((leased.record.here.clone()?, leased.record.address.clone())))
            .collect();
        if to.is_empty() {
            return Ok(None);
        }
        let (id, message) = (lease.id, lease.message.clone());
        let waited = Waited { id, message, to };
        let posted = self.parts.postman.add_copies(batch, waited).await?;
        Ok(Some(posted))
    }
}
