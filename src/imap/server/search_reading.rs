//! Reading messages to decide a search: their stored facts, then the header, then the texts.
//!
//! Each step is taken only while the question is open. All looking into texts happens here, under
//! the budget of the command (LIM-25) and without any lock; one text is in memory at a time
//! (LIM-36).

use super::{
    effort::{Budget, Exhausted, Permit},
    fault::{Stop, stop},
    limits::RUN_MESSAGES,
    lookup::{self, Cursor},
    search::Inquiry,
    search_found::Found,
    search_key::{Candidate, FieldTest, Known, Needle, Search, Verdict},
};
use crate::{
    base::ids::EmailId,
    imap::proto::object_id::ObjectId,
    mail::{
        envelope_text::{self, Said},
        facts::Facts,
        fuzzy,
        mime::Span,
        texts,
    },
    mailbox::Email,
};

/// A search that reads messages.
pub(super) struct Reading<'a> {
    pub(super) inquiry: Inquiry<'a>,
    pub(super) search: &'a Search,
    pub(super) budget: &'a mut Budget,
}

impl Reading<'_> {
    /// Which of the open messages are found.
    pub(super) async fn decide(
        &mut self,
        open: &[Candidate],
    ) -> Result<Result<Vec<Candidate>, Exhausted>, Stop> {
        let Inquiry {
            account,
            scope,
            progress,
            ..
        } = self.inquiry;
        let Ok(permit) = self.inquiry.permit(self.budget).await else {
            return Ok(Err(Exhausted));
        };
        let fulltext = &account.services.fulltext;
        let (query, share) = (self.search.query(), Permit::clone(&permit));
        let narrowing = fulltext.narrow(scope.mailbox.account(), query, share);
        let Ok(possible) = self.budget.within(narrowing).await else {
            return Ok(Err(Exhausted));
        };
        progress.expect(open.len());
        let mut found = Vec::new();
        for run in open.chunks(RUN_MESSAGES) {
            if self.budget.spend(0).await.is_err() {
                return Ok(Err(Exhausted));
            }
            let mut present = self.present(run);
            if let Some(possible) = &possible {
                present.retain(|(_, email)| possible.contains(*email));
            }
            let ids: Vec<EmailId> = present.iter().map(|(_, id)| *id).collect();
            let emails = account
                .mailboxes()
                .emails(scope.mailbox.account(), &ids)
                .await
                .map_err(stop)?;
            for ((candidate, _), email) in present.into_iter().zip(emails) {
                progress.advance(1);
                // A record that is missing or damaged was logged where it was read.
                let Some(email) = email else { continue };
                match self.found(candidate, &email).await {
                    Ok(one) => found.extend(one),
                    Err(Exhausted) => return Ok(Err(Exhausted)),
                }
            }
        }
        Ok(Ok(found))
    }

    fn present(&self, run: &[Candidate]) -> Vec<(Candidate, EmailId)> {
        self.inquiry.scope.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            let present = run.iter().filter_map(|candidate| {
                Some((*candidate, cursor.seek(index, candidate.uid)?.email))
            });
            present.collect()
        })
    }

    /// Reads of a message what is needed to decide it. What cannot be read is not found.
    async fn found(
        &mut self,
        candidate: Candidate,
        email: &Email,
    ) -> Result<Option<Candidate>, Exhausted> {
        let Ok(facts) = Facts::decode(&email.facts) else {
            tracing::error!(
                email.id = email.id.0,
                "the facts about an email are damaged"
            );
            return Ok(None);
        };
        let mut known = self.by_facts(email, &facts).await?;
        let mut found = self.judge(candidate, &known);
        if found.is_none() {
            self.by_header(email, &facts, &mut known).await?;
            found = self.judge(candidate, &known);
        }
        if found.is_none() {
            known.in_texts = Some(self.in_texts(email, &facts).await?);
            found = self.judge(candidate, &known);
        }
        let relevancy = self.search.relevancy(&known);
        Ok(found.unwrap_or(false).then_some(Candidate {
            relevancy,
            ..candidate
        }))
    }

    /// The verdict, when there is one. A message that is gone meanwhile is not found.
    fn judge(&self, candidate: Candidate, known: &Known) -> Option<bool> {
        let verdict = self.inquiry.scope.mailbox.read(|index| {
            lookup::find(index, candidate.uid).map_or(Verdict::No, |entry| {
                self.search.judge(candidate, &entry, known)
            })
        });
        match verdict {
            Verdict::Yes => Some(true),
            Verdict::No => Some(false),
            Verdict::Open => None,
        }
    }

    /// What the stored facts tell.
    async fn by_facts(&mut self, email: &Email, facts: &Facts) -> Result<Known, Exhausted> {
        let mut fields = Vec::with_capacity(self.search.fields.len());
        for test in &self.search.fields {
            self.budget.spend(facts.envelope.len() as u64).await?;
            let said = field_by_envelope(facts, test);
            fields.push(match said {
                Some(text) => Some(self.look_into(&text, Form::Line, &test.needle).await?),
                None => None,
            });
        }
        let thread_id = self.search.threads.then(|| {
            let first = facts.as_head().first_of_thread();
            ObjectId::thread(first.as_deref(), email.blob)
        });
        Ok(Known {
            email_id: Some(ObjectId::email(email.blob)),
            thread_id,
            sent: Some(facts.sent.map(|sent| sent.day)),
            fields,
            ..Known::default()
        })
    }

    /// What the header tells of what is not known yet.
    async fn by_header(
        &mut self,
        email: &Email,
        facts: &Facts,
        known: &mut Known,
    ) -> Result<(), Exhausted> {
        let fields_open = known.fields.contains(&None);
        if !fields_open && !self.search.needles_in_header {
            known.in_header = Some(Vec::new());
            return Ok(());
        }
        let span = texts::header_span(facts);
        let raw = self.read(email, span).await?;
        let header: Vec<(String, String)> = texts::fields(&raw).collect();
        drop(raw);
        for (test, known) in self.search.fields.iter().zip(&mut known.fields) {
            if known.is_none() {
                self.budget.spend(span.length).await?;
                let mut found = Found::default();
                for (_, text) in header.iter().filter(|(name, _)| *name == test.name) {
                    found.add(&self.look_into(text, Form::Line, &test.needle).await?);
                }
                *known = Some(found);
            }
        }
        let mut in_header = Vec::new();
        if self.search.needles_in_header {
            let fields = header.iter();
            let fields = fields.map(|(name, text)| texts::whole_field(name, text) + "\n");
            let text: String = fields.collect();
            self.look_for_all(&text, Form::Line, &mut in_header).await?;
        }
        known.in_header = Some(in_header);
        Ok(())
    }

    /// Which needles are in the texts of a message: in its text parts, and in the headers of the
    /// parts.
    async fn in_texts(&mut self, email: &Email, facts: &Facts) -> Result<Vec<Found>, Exhausted> {
        let mut found = Vec::new();
        for text in texts::behind_header(facts) {
            let raw = self.read(email, text.span()).await?;
            let folded = text.folded(&raw);
            drop(raw);
            let form = match text.is_line() {
                true => Form::Line,
                false => Form::Text,
            };
            self.look_for_all(&folded, form, &mut found).await?;
            if found.iter().all(Found::is_all) {
                break;
            }
        }
        Ok(found)
    }

    /// Looks for the needles that were not found yet in a folded text.
    async fn look_for_all(
        &mut self,
        text: &str,
        form: Form,
        found: &mut Vec<Found>,
    ) -> Result<(), Exhausted> {
        let search = self.search;
        found.resize_with(search.needles.len(), Found::default);
        for (needle, found) in search.needles.iter().zip(found) {
            if !found.is_all() {
                found.add(&self.look_into(text, form, needle).await?);
            }
        }
        Ok(())
    }

    /// Looks for a needle in a folded text.
    async fn look_into(
        &mut self,
        text: &str,
        form: Form,
        needle: &Needle,
    ) -> Result<Found, Exhausted> {
        self.budget.spend(text.len() as u64).await?;
        let whole = match form {
            Form::Text => needle.is_in_text(text),
            Form::Line => needle.is_in_line(text),
        };
        let mut words = Vec::with_capacity(needle.words.iter().len());
        if needle.words.is_empty() {
            return Ok(Found { whole, words });
        }
        let unmarked = fuzzy::unmarked(text);
        let plain = unmarked.as_deref().unwrap_or(text);
        for word in needle.words.iter() {
            let mut closeness = 0;
            for run in fuzzy::runs(plain) {
                self.budget.spend(run.len() as u64).await?;
                closeness = word.closeness(run).max(closeness);
            }
            words.push(closeness);
        }
        Ok(Found { whole, words })
    }

    /// Bytes of a message; what cannot be read is as good as empty.
    async fn read(&mut self, email: &Email, span: Span) -> Result<Vec<u8>, Exhausted> {
        self.budget.spend(span.length).await?;
        let mailboxes = self.inquiry.account.mailboxes();
        let body = mailboxes.body(email.blob, span.offset..span.end());
        Ok(body.whole().await.unwrap_or_else(|error| {
            tracing::error!(email.id = email.id.0, %error, "an email cannot be searched");
            Vec::new()
        }))
    }
}

/// How white space counts in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it stands.
    Text,
    /// However it is folded.
    Line,
}

/// The text of a field, folded, if the envelope tells it.
fn field_by_envelope(facts: &Facts, test: &FieldTest) -> Option<String> {
    if facts.envelope_is_cut {
        return None;
    }
    match envelope_text::field(&facts.envelope, &test.name) {
        Said::Text(text) => Some(texts::line(&text)),
        // RFC 3501 6.4.4: without a text it is enough that the field is there, though nothing is in
        // it.
        Said::Nothing if !test.needle.is_empty() => Some(String::new()),
        Said::Nothing | Said::Unknown => None,
    }
}
