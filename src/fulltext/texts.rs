//! The texts of an email, as a search looks at them, made into keys.
//!
//! What SEARCH compares with (`imap::server`) is: the text of fields as the envelope tells it, the
//! lines of the header, the headers of the parts, the text parts. What is cut there is cut here at
//! the same place; what cannot be read there is an email without text, and always a candidate here.
//! One text is in memory at a time (LIM-36).

use std::io;

use super::{
    grams::{Grams, Place},
    limits::{EMAIL_BYTES_MAX, HEADER_BYTES_MAX},
};
use crate::{
    base::pieces::Pieces as _,
    mail::{
        body_text, envelope_text,
        facts::{Facts, PartFacts},
        header::Fields,
        mime::Span,
        words,
    },
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

/// The keys of an email, ascending.
pub(super) async fn keys(
    mailboxes: &Mailboxes,
    email: &Email,
    grams: &mut Grams,
) -> Result<Vec<u32>, Unknown> {
    let mut reading = Reading {
        mailboxes,
        email,
        bytes_left: EMAIL_BYTES_MAX,
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
}

impl Reading<'_> {
    async fn all(&mut self, grams: &mut Grams) -> Result<(), Unknown> {
        let facts = Facts::decode(&self.email.facts).map_err(|_| Unknown::Damaged)?;
        for (name, text) in envelope_text::fields(&facts.envelope) {
            let text = body_text::fold_line(&words::decode(&text));
            grams.add(Place::of_field(name), &text);
        }
        self.header(&facts, grams).await?;
        for (at, part) in facts.parts.iter().enumerate() {
            if at > 0 {
                let length = part.header.length.min(HEADER_BYTES_MAX);
                let raw = self
                    .read(Span {
                        length,
                        ..part.header
                    })
                    .await?;
                let text = body_text::fold_line(&words::decode(&raw));
                grams.add(Place::Body, &text);
            }
            self.text(part, grams).await?;
        }
        Ok(())
    }

    async fn header(&mut self, facts: &Facts, grams: &mut Grams) -> Result<(), Unknown> {
        let length = facts.header_length().min(HEADER_BYTES_MAX);
        let raw = self.read(Span { offset: 0, length }).await?;
        for field in Fields::new(&raw) {
            let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
            let value = body_text::fold_line(&words::decode(field.value));
            let line = format!("{}: {value}", body_text::fold(&name));
            grams.add(Place::of_field(&name), &line);
        }
        Ok(())
    }

    async fn text(&mut self, part: &PartFacts, grams: &mut Grams) -> Result<(), Unknown> {
        let Some(charset) = &part.text_charset else {
            return Ok(());
        };
        let bound = u64::try_from(body_text::TEXT_BYTES_MAX).unwrap_or(u64::MAX);
        let body = part.body();
        let length = body.length.min(bound);
        let raw = self.read(Span { length, ..body }).await?;
        let text = body_text::fold(&body_text::decode(&raw, part.encoding, charset));
        grams.add(Place::Body, &text);
        Ok(())
    }

    async fn read(&mut self, span: Span) -> Result<Vec<u8>, Unknown> {
        let left = self.bytes_left.checked_sub(span.length);
        self.bytes_left = left.ok_or(Unknown::TooMuch)?;
        let mut bytes = Vec::new();
        if span.length == 0 {
            return Ok(bytes);
        }
        let mut pieces = self
            .mailboxes
            .body(self.email.blob, span.offset..span.end());
        while let Some(piece) = pieces.next().await? {
            bytes.extend_from_slice(&piece);
        }
        // Others go first.
        tokio::task::yield_now().await;
        Ok(bytes)
    }
}
