//! BINARY: a part of a message with its transfer encoding undone (RFC 3516, RFC 9051 6.4.5).
//!
//! The length is said before the octets, and so is whether a NUL is among them: a part is decoded
//! once to know both, and again while it is sent unless it is small. Nothing of it is stored.

use std::{
    io, mem,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use super::{
    fetch_body::{Source, cut},
    limits::SIZED_BYTES_MAX,
};
use crate::{
    base::{future::BoxFuture, pieces::Pieces},
    imap::proto::section::Partial,
    mail::{body_text::TransferEncoding, mime::PartKind, transfer::TransferDecoder},
    mailbox::BodyPieces,
};

/// Why a part cannot be told decoded; travels as the cause of an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotDecoded {
    /// Nobody here knows its encoding.
    #[error("the transfer encoding is not known")]
    UnknownEncoding,
    /// LIM-25: one command has read too much of which it said little.
    #[error("too much was read for what is said of it")]
    TooMuch,
}

/// A part that was decoded once.
pub(super) struct Decoded {
    /// Octets that were asked for.
    pub(super) length: u64,
    /// Whether a NUL is among them.
    pub(super) has_nul: bool,
    /// They themselves, when they are few.
    pub(super) small: Option<Bytes>,
}

/// Which part of which message, as it is stored.
#[derive(Clone, Copy)]
struct Part<'a> {
    source: Source<'a>,
    offset: u64,
    length: u64,
    encoding: TransferEncoding,
}

/// Octets of a part, decoded while they are read.
pub(super) struct Decoding {
    raw: BodyPieces,
    /// How many were read so far, as they are stored.
    read_bytes: u64,
    /// None at the end.
    decoder: Option<TransferDecoder>,
    /// Which octets are wanted of what comes.
    range: Range<u64>,
}

/// Decodes the octets that `partial` says of the part with these numbers, and keeps them when they
/// are at most `held_max`; none when there is no such part.
pub(super) async fn decode(
    source: Source<'_>,
    path: &[u32],
    partial: Option<Partial>,
    held_max: usize,
) -> io::Result<Option<Decoded>> {
    let Some(part) = Part::find(source, path)? else {
        return Ok(None);
    };
    let range = cut(0..u64::MAX, partial);
    let mut charge = Charge::new(source.sized)?;
    let mut pieces = part.decoding(range);
    let mut decoded = Decoded {
        length: 0,
        has_nul: false,
        small: None,
    };
    let mut small = Some(Vec::new());
    while let Some(piece) = pieces.step().await? {
        decoded.length += piece.len() as u64;
        charge.set(idle_bytes(pieces.read_bytes, decoded.length))?;
        decoded.has_nul |= piece.contains(&0);
        match &mut small {
            Some(held) if held.len() + piece.len() <= held_max => {
                held.extend_from_slice(&piece);
            }
            many => *many = None,
        }
    }
    decoded.small = small.map(Bytes::from);
    Ok(Some(decoded))
}

/// The octets that [`decode`] found, from the store again.
pub(super) fn decode_again(
    source: Source<'_>,
    path: &[u32],
    partial: Option<Partial>,
) -> io::Result<Option<Decoding>> {
    let part = Part::find(source, path)?;
    Ok(part.map(|part| part.decoding(cut(0..u64::MAX, partial))))
}

/// BINARY.SIZE: the size of a part when it is decoded; 0 when there is no such part.
pub(super) async fn size(source: Source<'_>, path: &[u32]) -> io::Result<u64> {
    let Some(part) = Part::find(source, path)? else {
        return Ok(0);
    };
    if part.encoding == TransferEncoding::Identity {
        return Ok(part.length);
    }
    spend(source.sized, part.length)?;
    let mut pieces = part.decoding(0..u64::MAX);
    let mut size = 0;
    while let Some(piece) = pieces.next().await? {
        size += piece.len() as u64;
    }
    Ok(size)
}

/// Why nothing was decoded, if that is the error.
pub(super) fn reason(error: &io::Error) -> Option<NotDecoded> {
    error.get_ref()?.downcast_ref().copied()
}

/// What of the bytes read counts: what is sent costs its reader as much as us.
fn idle_bytes(read_bytes: u64, returned_bytes: u64) -> u64 {
    read_bytes.saturating_sub(returned_bytes.saturating_mul(4))
}

/// What one part has cost its command so far.
struct Charge<'a> {
    sized: &'a AtomicU64,
    bytes: u64,
}

impl<'a> Charge<'a> {
    /// Nothing yet; refused to a command that has cost too much.
    fn new(sized: &'a AtomicU64) -> io::Result<Self> {
        spend(sized, 0)?;
        Ok(Self { sized, bytes: 0 })
    }

    /// It costs `bytes` in all: more than before, or less.
    fn set(&mut self, bytes: u64) -> io::Result<()> {
        let before = mem::replace(&mut self.bytes, bytes);
        if bytes < before {
            self.sized.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        spend(self.sized, bytes - before)
    }
}

/// LIM-25: counts what is read and not sent.
fn spend(sized: &AtomicU64, bytes: u64) -> io::Result<()> {
    let before = sized.fetch_add(bytes, Ordering::Relaxed);
    match before.saturating_add(bytes) > SIZED_BYTES_MAX {
        true => Err(io::Error::other(NotDecoded::TooMuch)),
        false => Ok(()),
    }
}

impl<'a> Part<'a> {
    fn find(source: Source<'a>, path: &[u32]) -> io::Result<Option<Self>> {
        if path.is_empty() {
            // RFC 3516 4.2: all of the message, which has no encoding of its own.
            return Ok(Some(Self {
                source,
                offset: 0,
                length: source.facts.size,
                encoding: TransferEncoding::Identity,
            }));
        }
        let Some(part) = source.facts.part(path) else {
            return Ok(None);
        };
        // RFC 2045 6.4: what has parts has no encoding of its own; theirs stay.
        let encoding = match part.kind {
            PartKind::Leaf => part.encoding,
            PartKind::Multipart | PartKind::Message => TransferEncoding::Identity,
        };
        if encoding == TransferEncoding::Unknown {
            // RFC 3516 4.3
            return Err(io::Error::other(NotDecoded::UnknownEncoding));
        }
        Ok(Some(Self {
            source,
            offset: part.body().offset,
            length: part.body().length,
            encoding,
        }))
    }

    fn decoding(self, range: Range<u64>) -> Decoding {
        let Source {
            mailboxes, email, ..
        } = self.source;
        let end = self.offset.saturating_add(self.length);
        Decoding {
            raw: mailboxes.body(email.blob, self.offset..end),
            read_bytes: 0,
            decoder: Some(TransferDecoder::new(self.encoding)),
            range,
        }
    }
}

impl Decoding {
    async fn read_next(&mut self) -> io::Result<Option<Bytes>> {
        while let Some(piece) = self.step().await? {
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// What is wanted of the next piece as it is stored, if only nothing; others run after each.
    async fn step(&mut self) -> io::Result<Option<Bytes>> {
        if self.range.is_empty() {
            return Ok(None);
        }
        let Some(decoder) = &mut self.decoder else {
            return Ok(None);
        };
        let mut out = Vec::new();
        match self.raw.next().await? {
            Some(raw) => {
                self.read_bytes += raw.len() as u64;
                decoder.feed(&raw, &mut out);
            }
            None => {
                decoder.finish(&mut out);
                self.decoder = None;
            }
        }
        let length = out.len() as u64;
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(out.len());
        let wanted = place(self.range.start)..place(self.range.end);
        self.range.start = self.range.start.saturating_sub(length);
        self.range.end = self.range.end.saturating_sub(length);
        tokio::task::yield_now().await;
        Ok(Some(Bytes::from(out).slice(wanted)))
    }
}

impl Pieces for Decoding {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(self.read_next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_25_what_is_read_and_not_sent_is_bounded_for_a_command() {
        let sized = AtomicU64::new(0);
        spend(&sized, SIZED_BYTES_MAX - 1).unwrap();
        spend(&sized, 1).unwrap();
        let error = spend(&sized, 1).unwrap_err();
        assert_eq!(reason(&error), Some(NotDecoded::TooMuch));
    }

    #[test]
    fn lim_25_what_is_read_counts_at_once_until_enough_of_it_is_sent() {
        let sized = AtomicU64::new(SIZED_BYTES_MAX - 10);
        let mut charge = Charge::new(&sized).unwrap();
        for (read, returned, left) in [(8, 0, 2), (16, 2, 2), (20, 4, 6), (24, 9, 10)] {
            charge.set(idle_bytes(read, returned)).unwrap();
            let spent = sized.load(Ordering::Relaxed);
            assert_eq!(SIZED_BYTES_MAX - spent, left, "{read} {returned}");
        }
        let error = charge.set(11).unwrap_err();
        assert_eq!(reason(&error), Some(NotDecoded::TooMuch));
        assert!(Charge::new(&sized).is_err(), "the next part is not read");
    }
}
