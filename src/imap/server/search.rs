//! SEARCH and UID SEARCH.
//!
//! RFC 3501 6.4.4. Each message is decided with as little of it as suffices: the index first, then
//! its header, then its texts; what is decided is not read. Searches that read messages are bounded
//! in time and bytes and run one at a time per account (LIM-25). They end with their connection.

use super::{
    effort::{Budget, Exhausted},
    fault::{Refusal, Stop, stop},
    limits::{HEADER_BYTES_MAX, RUN_MESSAGES},
    search_key::{Candidate, Content, Search, Verdict},
    select::{Selected, Shown, Uids, beyond_last},
    session::{Account, Outcome},
    updates::Cursor,
};
use crate::{
    base::{
        ids::{EmailId, Uid},
        pieces::Pieces,
    },
    imap::proto::{
        dialog::Imap,
        response::{Code, Response},
        search::{Charset, SearchKey},
    },
    mail::{body_text, facts::Facts, mime::Span, words},
    mailbox::{Email, Mailboxes},
    net::Turn,
};

/// What SEARCH asks for.
#[derive(Debug)]
pub(super) struct Query {
    /// What is answered.
    pub(super) uids: Uids,
    pub(super) charset: Charset,
    pub(super) key: SearchKey,
}

/// Messages found, and those that must be read to be decided.
#[derive(Debug, Default)]
struct Sorted {
    found: Vec<Candidate>,
    open: Vec<Candidate>,
}

/// SEARCH and UID SEARCH.
pub(super) async fn search(
    account: Account<'_>,
    selected: &Selected,
    query: Query,
    turn: &mut Turn<'_, Imap>,
) -> Result<Outcome, Stop> {
    if query.charset == Charset::Unsupported {
        return Ok(Err(Refusal::no(
            Code::BadCharset,
            "texts are in US-ASCII or UTF-8",
        )));
    }
    let Ok(search) = Search::new(&query.key, selected.view.uids()) else {
        return Ok(Err(beyond_last()));
    };
    let Sorted { mut found, open } = by_index(selected, &search);
    if !open.is_empty() {
        let mut reading = Reading {
            account,
            selected,
            search: &search,
            budget: Budget::new(),
        };
        match reading.decide(&open).await? {
            Ok(more) => found.extend(more),
            Err(Exhausted) => {
                let text = "the search takes too long; ask for less at once";
                return Ok(Err(Refusal::no(Code::Limit, text)));
            }
        }
        found.sort_unstable_by_key(|candidate| candidate.position);
    }
    let numbers = found.iter().map(|candidate| match query.uids {
        Uids::Said => candidate.uid,
        Uids::Silent => Shown::at(candidate.position, candidate.uid).number,
    });
    turn.reply(&Response::Search(numbers.collect())).await?;
    Ok(Ok(None))
}

/// Decides what the index can decide. Messages that are gone already are not found (RFC 2180 4.3).
fn by_index(selected: &Selected, search: &Search) -> Sorted {
    let mut sorted = Sorted::default();
    selected.mailbox.read(|index| {
        let mut cursor = Cursor::default();
        for (position, uid) in selected.view.uids().iter().enumerate() {
            let place = cursor.seek(index, *uid);
            let Some(entry) = place.and_then(|place| index.entry(place)) else {
                continue;
            };
            let recent = selected.view.is_recent(*uid);
            let candidate = Candidate {
                position,
                uid: *uid,
                recent,
            };
            match search.judge(candidate, &entry, &Content::default()) {
                Verdict::Yes => sorted.found.push(candidate),
                Verdict::No => {}
                Verdict::Open => sorted.open.push(candidate),
            }
        }
    });
    sorted
}

/// A search that reads messages.
struct Reading<'a> {
    account: Account<'a>,
    selected: &'a Selected,
    search: &'a Search,
    budget: Budget,
}

impl Reading<'_> {
    /// Which of the open messages are found.
    async fn decide(
        &mut self,
        open: &[Candidate],
    ) -> Result<Result<Vec<Candidate>, Exhausted>, Stop> {
        let heavy_work = &self.account.services.heavy_work;
        let Ok(_permit) = heavy_work.permit(self.account.id(), &self.budget).await else {
            return Ok(Err(Exhausted));
        };
        let mut found = Vec::new();
        for run in open.chunks(RUN_MESSAGES) {
            let ids = self.emails_of(run);
            let mailboxes = self.account.mailboxes();
            let present: Vec<EmailId> = ids.iter().flatten().copied().collect();
            let emails = mailboxes
                .emails(self.account.id(), &present)
                .await
                .map_err(stop)?;
            let mut emails = emails.into_iter();
            for (candidate, id) in run.iter().zip(ids) {
                let Some(email) = id.and_then(|_| emails.next()).flatten() else {
                    continue;
                };
                match self.is_found(*candidate, &email).await {
                    Ok(true) => found.push(*candidate),
                    Ok(false) => {}
                    Err(Exhausted) => return Ok(Err(Exhausted)),
                }
            }
        }
        Ok(Ok(found))
    }

    fn emails_of(&self, run: &[Candidate]) -> Vec<Option<EmailId>> {
        self.selected.mailbox.read(|index| {
            let mut cursor = Cursor::default();
            let ids = run.iter().map(|candidate| {
                let position = cursor.seek(index, candidate.uid)?;
                Some(index.entry(position)?.email)
            });
            ids.collect()
        })
    }

    /// Reads of a message what is needed to decide it. What cannot be read is not found.
    async fn is_found(&mut self, candidate: Candidate, email: &Email) -> Result<bool, Exhausted> {
        let Ok(facts) = Facts::decode(&email.facts) else {
            tracing::error!(
                email.id = email.id.0,
                "the facts about an email are damaged"
            );
            return Ok(false);
        };
        let mut content = Content {
            facts: Some(&facts),
            ..Content::default()
        };
        if let Some(found) = self.judge(candidate, &content) {
            return Ok(found);
        }
        let mut header = Vec::new();
        if self.search.reads_header {
            let length = facts.header_length().min(HEADER_BYTES_MAX);
            header = self.read(email, Span { offset: 0, length }).await?;
        }
        content.header = Some(&header);
        if let Some(found) = self.judge(candidate, &content) {
            return Ok(found);
        }
        let in_texts = self.in_texts(email, &facts).await?;
        content.in_texts = Some(&in_texts);
        Ok(self.judge(candidate, &content).unwrap_or(false))
    }

    /// The verdict, when there is one. A message that is gone meanwhile is not found.
    fn judge(&self, candidate: Candidate, content: &Content<'_>) -> Option<bool> {
        let verdict = self.selected.mailbox.read(|index| {
            let position = Uid::new(candidate.uid).and_then(|uid| index.position(uid));
            let entry = position.and_then(|position| index.entry(position));
            entry.map_or(Verdict::No, |entry| {
                self.search.judge(candidate, &entry, content)
            })
        });
        match verdict {
            Verdict::Yes => Some(true),
            Verdict::No => Some(false),
            Verdict::Open => None,
        }
    }

    /// Which needles are in the texts of a message: in its text parts, and in the headers of the
    /// parts. One text is in memory at a time (LIM-36).
    async fn in_texts(&mut self, email: &Email, facts: &Facts) -> Result<Vec<bool>, Exhausted> {
        let mut found = vec![false; self.search.needles.len()];
        for (at, part) in facts.parts.iter().enumerate() {
            if at > 0 {
                let length = part.header.length.min(HEADER_BYTES_MAX);
                let raw = self
                    .read(
                        email,
                        Span {
                            length,
                            ..part.header
                        },
                    )
                    .await?;
                self.look_into(&words::decode(&raw), &mut found);
            }
            if let Some(charset) = &part.text_charset {
                let bound = u64::try_from(body_text::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
                let body = part.body();
                let raw = self
                    .read(
                        email,
                        Span {
                            length: body.length.min(bound),
                            ..body
                        },
                    )
                    .await?;
                let text = body_text::decode(&raw, part.encoding, charset);
                drop(raw);
                self.look_into(&text, &mut found);
            }
            if found.iter().all(|found| *found) {
                break;
            }
        }
        Ok(found)
    }

    fn look_into(&self, text: &str, found: &mut [bool]) {
        for (needle, found) in self.search.needles.iter().zip(found) {
            *found = *found || needle.is_in(text);
        }
    }

    /// Bytes of a message; what cannot be read is as good as empty.
    async fn read(&mut self, email: &Email, span: Span) -> Result<Vec<u8>, Exhausted> {
        self.budget.spend(span.length).await?;
        let read = read(self.account.mailboxes(), email, span).await;
        Ok(read.unwrap_or_else(|error| {
            tracing::error!(email.id = email.id.0, %error, "an email cannot be searched");
            Vec::new()
        }))
    }
}

async fn read(mailboxes: &Mailboxes, email: &Email, span: Span) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if span.length > 0 {
        let mut pieces = mailboxes.body(email.blob, span.offset..span.end());
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(bytes)
}
