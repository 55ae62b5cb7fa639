//! What SORT and THREAD need of messages, read in runs of neighbours (RFC 5256).
//!
//! The index knows dates and sizes, the stored facts the rest; no message is read. What is missing
//! or damaged counts as empty, so a search and its sort find the same messages.

use super::{
    effort::{Budget, Exhausted},
    fault::{Stop, stop},
    limits::{ORDER_BYTES_MAX, RUN_MESSAGES},
    lookup::Cursor,
    search::Inquiry,
    search_key::Candidate,
};
use crate::{
    base::ids::EmailId,
    imap::order::{BaseSubject, TEXT_KEY_BYTES},
    mail::{
        body_text,
        envelope_text::{self, FirstAddress, Said},
        facts::{Facts, Head},
        words,
    },
};

/// One message, as far as it is sorted by.
pub(super) struct Glance<'a> {
    pub(super) candidate: Candidate,
    /// INTERNALDATE in seconds.
    pub(super) arrival: i64,
    pub(super) size: u64,
    head: Head<'a>,
}

/// How messages are read.
pub(super) struct Heads<'a> {
    pub(super) inquiry: Inquiry<'a>,
    /// Without the facts, what they tell is empty.
    pub(super) with_facts: bool,
}

impl Heads<'_> {
    /// Shows each of these messages that is still there, in their order, to what tells how many
    /// bytes it has kept of them all.
    pub(super) async fn each(
        &self,
        found: &[Candidate],
        budget: &mut Budget,
        mut see: impl FnMut(&Glance<'_>) -> usize,
    ) -> Result<Result<(), Exhausted>, Stop> {
        let Inquiry {
            account,
            scope,
            progress,
            ..
        } = self.inquiry;
        progress.expect(found.len());
        let mut kept = 0;
        for run in found.chunks(RUN_MESSAGES) {
            let rows = self.rows(run);
            let ids: Vec<EmailId> = match self.with_facts {
                true => rows.iter().map(|(_, id)| *id).collect(),
                false => Vec::new(),
            };
            let emails = account.mailboxes().emails(scope.mailbox.account(), &ids);
            let mut emails = emails.await.map_err(stop)?.into_iter();
            for (mut glance, _) in rows {
                let email = emails.next().flatten();
                let bytes = email.as_ref().map_or(0, |email| email.facts.len());
                let head = email
                    .as_ref()
                    .and_then(|email| Facts::head(&email.facts).ok());
                glance.head = head.unwrap_or_default();
                let before = std::mem::replace(&mut kept, see(&glance));
                let cost = bytes + kept.saturating_sub(before);
                let spent = budget.spend(u64::try_from(cost).unwrap_or(u64::MAX));
                if spent.await.is_err() || kept > ORDER_BYTES_MAX {
                    return Ok(Err(Exhausted));
                }
            }
            progress.advance(run.len());
        }
        Ok(Ok(()))
    }

    fn rows<'h>(&self, run: &[Candidate]) -> Vec<(Glance<'h>, EmailId)> {
        self.inquiry.scope.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            let rows = run.iter().filter_map(|candidate| {
                let entry = cursor.seek(index, candidate.uid)?;
                let glance = Glance {
                    candidate: *candidate,
                    arrival: entry.internal_date.secs(),
                    size: entry.size,
                    head: Head::default(),
                };
                Some((glance, entry.email))
            });
            rows.collect()
        })
    }
}

impl Glance<'_> {
    /// RFC 5256 2.2
    pub(super) fn sent(&self) -> i64 {
        self.head.sent.map_or(self.arrival, |sent| sent.secs)
    }

    /// Its base subject, the text in the form in which texts are compared.
    pub(super) fn subject(&self) -> BaseSubject {
        let subject = match envelope_text::field(self.head.envelope, "subject") {
            Said::Text(text) => words::decode(&text),
            Said::Nothing | Said::Unknown => String::new(),
        };
        let base = BaseSubject::of(&subject);
        BaseSubject {
            text: start_of(&base.text),
            ..base
        }
    }

    /// RFC 5256 3: `addr-mailbox` of the first address of a field.
    pub(super) fn mailbox(&self, field: &str) -> String {
        let first = envelope_text::first_address(self.head.envelope, field);
        let mailbox = first.and_then(|first| first.mailbox).unwrap_or_default();
        start_of(&words::decode(&mailbox))
    }

    /// RFC 5957 3: what is displayed of the first address of a field.
    pub(super) fn display(&self, field: &str) -> String {
        let first = envelope_text::first_address(self.head.envelope, field);
        let FirstAddress {
            name,
            mailbox,
            host,
        } = first.unwrap_or_default();
        let name = name.map(|name| words::decode(&name)).unwrap_or_default();
        let shown = match (name.is_empty(), mailbox, host) {
            (false, _, _) => name,
            (true, Some(mailbox), Some(host)) if !host.is_empty() => {
                words::decode(&[&mailbox[..], b"@", &host[..]].concat())
            }
            (true, Some(mailbox), _) => words::decode(&mailbox),
            (true, None, _) => String::new(),
        };
        start_of(&shown)
    }

    /// Its normalized message id.
    pub(super) fn message_id(&self) -> Option<Vec<u8>> {
        self.head.message_id()
    }

    /// The normalized ids it refers to (RFC 5256 3).
    pub(super) fn references(&self) -> Vec<Vec<u8>> {
        self.head.references()
    }
}

/// What counts of a text, in the form in which texts are compared.
fn start_of(text: &str) -> String {
    body_text::fold_start(text, TEXT_KEY_BYTES)
}
