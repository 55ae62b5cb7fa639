//! The texts of an email, as a search looks at them, made into keys.
//!
//! Which texts there are is said by [`crate::mail::texts`], for SEARCH as well; what cannot be read
//! there is an email without text, and always a candidate here. One text is in memory at a time
//! (LIM-36).

use std::{borrow::Cow, io, ops::Range};

use super::{
    grams::{Grams, Place},
    limits::{EMAIL_BYTES_MAX, WHOLE_BYTES_MAX},
};
use crate::{
    mail::{facts::Facts, fuzzy, mime::Span, texts},
    mailbox::{Email, Mailboxes},
};

/// Why an email has no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unknown {
    /// It cannot be read.
    #[error("the email cannot be read")]
    Unreadable(#[from] io::Error),
    /// What is known of it is damaged.
    #[error("the facts about the email are damaged")]
    Damaged,
    /// There is more of it than the index takes.
    #[error("the email has too much text")]
    TooMuch,
}

/// The keys of an email, in no order, and some of them more than once.
pub(super) async fn keys(
    mailboxes: &Mailboxes,
    email: &Email,
    grams: &mut Grams,
) -> Result<Vec<u32>, Unknown> {
    let mut reading = Reading {
        mailboxes,
        email,
        bytes_left: EMAIL_BYTES_MAX,
        whole: None,
    };
    let read = reading.all(grams).await;
    // Whatever was read of it must not be the next one's.
    let keys = grams.take();
    read?;
    keys.ok_or(Unknown::TooMuch)
}

struct Reading<'a> {
    mailboxes: &'a Mailboxes,
    email: &'a Email,
    bytes_left: u64,
    /// All of it, if it is so small that one look at the disk is better than many.
    whole: Option<Vec<u8>>,
}

impl Reading<'_> {
    async fn all(&mut self, grams: &mut Grams) -> Result<(), Unknown> {
        let facts = Facts::decode(&self.email.facts).map_err(|_| Unknown::Damaged)?;
        if self.email.size <= WHOLE_BYTES_MAX {
            self.whole = Some(self.fetch(0..self.email.size).await?);
        }
        for (name, text) in texts::envelope_fields(&facts.envelope) {
            add(grams, Place::of_field(name), &text);
        }
        let header = self.read(texts::header_span(&facts)).await?;
        for (name, text) in texts::fields(&header) {
            let line = texts::whole_field(&name, &text);
            add(grams, Place::of_field(&name), &line);
        }
        for text in texts::behind_header(&facts) {
            let raw = self.read(text.span()).await?;
            add(grams, Place::Body, &text.folded(&raw));
        }
        Ok(())
    }

    async fn read(&mut self, span: Span) -> Result<Cow<'_, [u8]>, Unknown> {
        let left = self.bytes_left.checked_sub(span.length);
        self.bytes_left = left.ok_or(Unknown::TooMuch)?;
        let span = span.offset..span.end();
        if self.whole.is_none() {
            return Ok(self.fetch(span).await?.into());
        }
        let whole = self.whole.as_deref().unwrap_or_default();
        let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        let range = place(span.start)..place(span.end);
        Ok(whole.get(range).ok_or(Unknown::Damaged)?.into())
    }

    async fn fetch(&self, span: Range<u64>) -> Result<Vec<u8>, Unknown> {
        let bytes = self.mailboxes.body(self.email.blob, span).whole().await?;
        // Others go first.
        tokio::task::yield_now().await;
        Ok(bytes)
    }
}

/// Adds a folded text, and what it is to a fuzzy search.
fn add(grams: &mut Grams, place: Place, text: &str) {
    grams.add(place, text);
    if let Some(unmarked) = fuzzy::unmarked(text) {
        grams.add(place, &unmarked);
    }
}
