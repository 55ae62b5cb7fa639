//! The messages of one APPEND while they come: checked, counted, handed to the store in pieces.
//!
//! RFC 3501 6.3.11, RFC 3502, RFC 3516 4.4, RFC 4469 3, RFC 6855 4. A message may be made of parts
//! of stored ones, whose bytes are copied from the store to the store. Nothing here is a message of
//! a mailbox yet; dropping it leaves nothing.

use std::{io, sync::atomic::AtomicU64};

use bytes::Bytes;

use super::{
    append::intake_stop,
    fault::{Refusal, Stop, over_quota, refusal_of, stop},
    fetch_body::{self, Source},
    flags,
    limits::{APPEND_MESSAGES_MAX, APPEND_PARTS_MAX, APPEND_SIZE_FACTOR, URL_BYTES_MAX},
    lookup,
    place::{self, Place},
    session::Account,
};
use crate::{
    base::clock::Timestamp,
    imap::proto::{
        append::{AppendLiteral, AppendPart},
        enabled::Enabled,
        flag::FlagList,
        quirk,
        response::{Code, Url},
        url::MessageUrl,
    },
    mail::facts::Facts,
    mailbox::{Email, FlagClasses, FlagSet, Incoming, Index, Intake, IntakeError, Mailbox, Rights},
};

/// The messages of one APPEND.
pub(super) struct Gathering<'a> {
    account: Account<'a>,
    /// What the sender may set (RFC 4314 4).
    settable: FlagClasses,
    /// What URLs without a mailbox are about.
    base: Option<Mailbox>,
    /// Whether header fields may be UTF-8 (RFC 6855 4, RFC 9051 6.3.12).
    takes_utf8: bool,
    /// Bytes that the account has room for.
    room_bytes: u64,
    whole: Vec<Incoming>,
    message: Option<Message>,
    /// Bytes of all of them.
    bytes: u64,
    /// Parts of all of them.
    parts: usize,
}

/// A message under way.
struct Message {
    intake: Intake,
    flags: FlagSet,
    date: Option<Timestamp>,
    bytes: u64,
    header: HeaderWatch,
    /// The literal under way was announced as one that may hold NUL.
    binary: bool,
}

/// Looks for 8-bit octets up to the end of the header.
#[derive(Clone, Copy, Debug)]
struct HeaderWatch {
    ended: bool,
    /// Nothing but a CR stands on the line so far.
    line_is_empty: bool,
}

type Checked = Result<Result<(), Refusal>, Stop>;

impl<'a> Gathering<'a> {
    pub(super) async fn new(
        account: Account<'a>,
        target: &Place,
        base: Option<Mailbox>,
        enabled: Enabled,
    ) -> Result<Self, Stop> {
        let mut room_bytes = u64::MAX;
        if let Some(quota) = account.quota_bytes_of(target.owner) {
            let usage = account.mailboxes().usage(target.owner).await;
            room_bytes = quota.saturating_sub(usage.map_err(stop)?.bytes);
        }
        Ok(Self {
            account,
            settable: target.rights.flags(),
            base,
            takes_utf8: enabled.names_are_utf8(),
            room_bytes,
            whole: Vec::new(),
            message: None,
            bytes: 0,
            parts: 0,
        })
    }

    /// Something goes when the messages come.
    pub(super) fn allow(&mut self, bytes: u64) {
        self.room_bytes = self.room_bytes.saturating_add(bytes);
    }

    /// Heeds what is said of the messages.
    pub(super) async fn part(&mut self, part: AppendPart) -> Checked {
        match part {
            AppendPart::Message { flags, date } => Ok(self.begin(&flags, date)),
            AppendPart::Url(url) => self.url(url).await,
            AppendPart::End => self.end().await,
        }
    }

    fn begin(&mut self, flags: &FlagList, date: Option<Timestamp>) -> Result<(), Refusal> {
        if self.whole.len() == APPEND_MESSAGES_MAX {
            // LIM-19
            let text = format!("an APPEND may bring {APPEND_MESSAGES_MAX} messages");
            return Err(Refusal::no(Code::Limit, text));
        }
        self.message = Some(Message {
            intake: self.account.mailboxes().intake(),
            flags: self.settable.of(&flags::stored(flags)?),
            date,
            bytes: 0,
            header: HeaderWatch::new(),
            binary: false,
        });
        Ok(())
    }

    /// Whether a literal may come.
    pub(super) fn admit(&mut self, literal: AppendLiteral) -> Result<(), Refusal> {
        let size = literal.announced.size_bytes;
        if literal.is_url {
            let fits = size <= URL_BYTES_MAX;
            return if fits { Ok(()) } else { Err(too_long_url()) };
        }
        if let Some(message) = &mut self.message {
            message.binary = literal.announced.binary;
        }
        self.count(size)
    }

    /// Counts what is going to be taken.
    fn count(&mut self, more: u64) -> Result<(), Refusal> {
        let max = self.account.services.options.message_bytes_max;
        self.parts += 1;
        if self.parts > APPEND_PARTS_MAX {
            // LIM-19
            let text = format!("an APPEND may have {APPEND_PARTS_MAX} parts");
            return Err(Refusal::no(Code::Limit, text));
        }
        let Some(message) = &mut self.message else {
            return Ok(());
        };
        message.bytes = message.bytes.saturating_add(more);
        self.bytes = self.bytes.saturating_add(more);
        if message.bytes > max {
            // LIM-13, RFC 4469 4.2, RFC 7889 4
            let text = format!("a message has at most {max} bytes here");
            return Err(Refusal::no(Code::TooBig, text));
        }
        if self.bytes > max.saturating_mul(APPEND_SIZE_FACTOR) {
            // LIM-13
            return Err(Refusal::no(Code::TooBig, "too much for one APPEND"));
        }
        if self.bytes > self.room_bytes {
            return Err(over_quota());
        }
        Ok(())
    }

    /// Takes octets of the message under way.
    pub(super) async fn octets(&mut self, piece: Bytes) -> Checked {
        let takes_utf8 = self.takes_utf8;
        let Some(message) = &mut self.message else {
            return Ok(Ok(()));
        };
        if piece.contains(&0) {
            return Ok(Err(match message.binary {
                // RFC 3516 4.4: nothing with NUL in it is kept, and nothing is encoded anew.
                true => Refusal::no(Code::UnknownCte, "a message with NUL is not kept"),
                // RFC 3501 9: CHAR8 is any octet but NUL.
                false => Refusal::bad("a message has no NUL in it"),
            }));
        }
        let asks = !takes_utf8 && (message.binary || !quirk::EIGHT_BIT_HEADERS_IN_APPEND);
        if asks && message.header.finds_eight_bit(&piece) {
            // RFC 6855 4
            let text = "header fields are ASCII: say ENABLE UTF8=ACCEPT first";
            return Ok(Err(Refusal::no(Code::Cannot, text)));
        }
        message
            .intake
            .feed(piece)
            .await
            .map_or_else(refusal_of_intake, |()| Ok(Ok(())))
    }

    /// Takes what a URL names as the next octets of the message under way.
    pub(super) async fn url(&mut self, text: Vec<u8>) -> Checked {
        let bad = || {
            Refusal::no(
                Code::BadUrl(Url::shown(&text)),
                "this URL names nothing here",
            )
        };
        if text.len() as u64 > URL_BYTES_MAX {
            return Ok(Err(too_long_url()));
        }
        let Some(url) = MessageUrl::parse(&text) else {
            return Ok(Err(bad()));
        };
        let mailbox = match self.mailbox_of(&url).await? {
            Ok(Some(mailbox)) => mailbox,
            Ok(None) => return Ok(Err(bad())),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let find = |index: &Index| lookup::find(index, url.uid).map(|entry| entry.email);
        let Some(id) = mailbox.read(find) else {
            return Ok(Err(bad()));
        };
        let ids = [id];
        let emails = self.account.mailboxes().emails(mailbox.account(), &ids);
        let email = emails.await.map_err(stop)?.into_iter().flatten().next();
        let Some(email) = email else {
            return Ok(Err(unreadable(None)));
        };
        match self.copy(&email, &url).await {
            Ok(Some(checked)) => checked,
            Ok(None) => Ok(Err(bad())),
            Err(error) => Ok(Err(unreadable(Some(&error)))),
        }
    }

    /// The mailbox that a URL is about; none when there is no such mailbox.
    #[expect(
        clippy::needless_pass_by_ref_mut,
        reason = "who waits with a shared reference must be Sync, which a body on its way is not"
    )]
    async fn mailbox_of(
        &mut self,
        url: &MessageUrl,
    ) -> Result<Result<Option<Mailbox>, Refusal>, Stop> {
        let mailbox = match &url.mailbox {
            None => match &self.base {
                Some(base) => base.clone(),
                None => return Ok(Ok(None)),
            },
            Some(name) => {
                let Ok(place) = place::find_with(self.account, name, Rights::READ).await? else {
                    return Ok(Ok(None));
                };
                let (owner, id) = place.id();
                let opened = self.account.mailboxes().open(owner, id);
                match opened.await {
                    Ok(mailbox) => mailbox,
                    Err(error) => return Ok(Err(refusal_of(error)?)),
                }
            }
        };
        mailbox.refresh().await.map_err(stop)?;
        let other = |value| value != mailbox.uid_validity();
        Ok(Ok(
            Some(mailbox.clone()).filter(|_| !url.uid_validity.is_some_and(other))
        ))
    }

    /// Copies part of a stored message; none when it has no such part.
    async fn copy(&mut self, email: &Email, url: &MessageUrl) -> io::Result<Option<Checked>> {
        let facts = Facts::decode(&email.facts).map_err(|_| io::ErrorKind::InvalidData)?;
        let source = Source {
            mailboxes: self.account.mailboxes(),
            email,
            facts: &facts,
            sized: &AtomicU64::new(0),
        };
        let part = fetch_body::part(source, &url.section, url.partial).await?;
        let Some((length, mut pieces)) = part else {
            return Ok(None);
        };
        if let Err(refusal) = self.count(length) {
            return Ok(Some(Ok(Err(refusal))));
        }
        while let Some(piece) = pieces.next().await? {
            match self.octets(piece).await {
                Ok(Ok(())) => {}
                other => return Ok(Some(other)),
            }
        }
        Ok(Some(Ok(Ok(()))))
    }

    /// The message under way is whole.
    async fn end(&mut self) -> Checked {
        let Some(message) = self.message.take() else {
            return Ok(Ok(()));
        };
        if message.bytes == 0 {
            // RFC 3502: an empty message aborts the APPEND, and helps nobody anyway.
            let text = "an empty message is not kept";
            return Ok(Err(Refusal::no(Code::Cannot, text)));
        }
        let arrived = match message.intake.finish().await {
            Ok(arrived) => arrived,
            Err(error) => return refusal_of_intake(error),
        };
        let now = || self.account.services.clock.wall();
        self.whole.push(Incoming {
            arrived,
            flags: message.flags,
            internal_date: message.date.unwrap_or_else(now),
        });
        Ok(Ok(()))
    }

    /// All messages, when all are whole.
    pub(super) fn finish(self) -> Result<Vec<Incoming>, Refusal> {
        match self.message {
            None => Ok(self.whole),
            Some(_) => Err(Refusal::bad("a message is missing")),
        }
    }
}

impl HeaderWatch {
    fn new() -> Self {
        Self {
            ended: false,
            line_is_empty: true,
        }
    }

    /// Whether the header goes on with 8-bit octets in `piece`.
    fn finds_eight_bit(&mut self, piece: &[u8]) -> bool {
        for byte in piece {
            match byte {
                _ if self.ended => return false,
                b'\n' if self.line_is_empty => self.ended = true,
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                byte if byte.is_ascii() => self.line_is_empty = false,
                _ => return true,
            }
        }
        false
    }
}

fn refusal_of_intake(error: IntakeError) -> Checked {
    match error {
        IntakeError::Full => Ok(Err(Refusal::no(
            Code::Unavailable,
            "the server has no room now",
        ))),
        IntakeError::TooLarge => Ok(Err(Refusal::no(Code::TooBig, "the message is too large"))),
        fault @ IntakeError::Fault(_) => Err(intake_stop(fault)),
    }
}

/// What a URL names is there, but cannot be read.
fn unreadable(error: Option<&io::Error>) -> Refusal {
    match error {
        Some(error) if !fetch_body::is_damage(error) => {
            tracing::error!(%error, "part of a message cannot be read");
            Refusal::no(Code::Unavailable, "the message of a URL cannot be read now")
        }
        _ => Refusal::no(Code::Corruption, "the message of a URL cannot be read"),
    }
}

fn too_long_url() -> Refusal {
    Refusal::no(Code::TooBig, "a URL has at most 8192 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bit_octets_count_in_the_header_only() {
        for (text, found) in [
            ("Subject: a\r\n\r\n\u{e9}", false),
            ("Subject: \u{e9}\r\n\r\na", true),
            ("Subject: a\n\n\u{e9}", false),
            ("\r\n\u{e9}", false),
            ("\u{e9}", true),
            ("a\r\nb\r\n \u{e9}", true),
        ] {
            for cut in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let mut watch = HeaderWatch::new();
                let found_now = watch.finds_eight_bit(first) || watch.finds_eight_bit(second);
                assert_eq!(found_now, found, "{text} {cut}");
            }
        }
    }
}
