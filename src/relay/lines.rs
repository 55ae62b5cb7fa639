//! A binary message for a host that takes none (RFC 3030 3): found out what is to be rewritten,
//! counted how long it gets, and rewritten while it is sent. The body is read once for each.
//!
//! What an account here submitted is signed once more as it is sent: the signature that was made of
//! it as it came does not hold any more. Signatures of others are lost; the log says whose.

use std::io;

use bytes::Bytes;

use super::Shared;
use crate::{
    base::{future::BoxFuture, ids::MessageId, pieces::Pieces, text::Quoted},
    mail::{
        convert::{Converter, Plan, Unfit},
        mime::{Bounds, Scanner},
    },
    queue::{StoredBody, record::MessageRecord},
    smtp::client::LineEncoder,
    verify::{Draft, signed_by},
};

/// A message as it is sent in lines.
pub(super) struct InLines {
    /// How many bytes it has so.
    pub(super) size: u64,
    /// Stands first: what signs it.
    signatures: Bytes,
    body: StoredBody,
    rewriter: Option<Rewriter>,
}

impl Shared {
    /// The message in lines; `None` when it cannot be sent so.
    pub(super) async fn in_lines(
        &self,
        (id, host): (MessageId, &str),
        message: &MessageRecord,
    ) -> io::Result<Option<InLines>> {
        let queue = &self.parts.queue;
        let (mut body, mut scanner) = (queue.body(message), Scanner::new(Bounds::default()));
        while let Some(piece) = body.next().await? {
            scanner.feed(&piece);
        }
        let plan = Plan::of(&scanner.finish());
        let (mut body, mut rewriter) = (queue.body(message), Rewriter::new(plan.clone()));
        let (mut size, mut seen, mut out) = (0_u64, Seen::default(), Vec::new());
        while let Some(piece) = body.next().await? {
            rewriter.feed(&piece, &mut out);
            size = size.saturating_add(out.len() as u64);
            seen.feed(&out);
            out.clear();
        }
        if rewriter.finish(&mut out).is_err() {
            return Ok(None);
        }
        size = size.saturating_add(out.len() as u64);
        seen.feed(&out);
        let signatures = self.sign_again((id, host), message, seen).await;
        Ok(Some(InLines {
            size: size.saturating_add(signatures.len() as u64),
            signatures,
            body: queue.body(message),
            rewriter: Some(Rewriter::new(plan)),
        }))
    }

    /// The fields that sign what is sent, where that is ours to sign; says which signatures are
    /// lost.
    async fn sign_again(
        &self,
        (id, host): (MessageId, &str),
        message: &MessageRecord,
        seen: Seen,
    ) -> Bytes {
        let Seen::Body(header, draft) = seen else {
            return Bytes::new();
        };
        // Nobody else was asked whether he may write in the name that From says (AUTH-07).
        let signatures = match message.origin {
            Some(_) => Bytes::from(self.parts.postman.sign(*draft).await),
            None => Bytes::new(),
        };
        let ours = signed_by(signatures.clone());
        let mut broken = signed_by(header);
        broken.retain(|domain| !ours.contains(domain));
        let (ours, broken) = (ours.join(" "), broken.join(" "));
        tracing::info!(
            target: "mail",
            id = %id,
            host = %Quoted::str(host),
            signed = (!ours.is_empty()).then(|| tracing::field::display(Quoted::str(&ours))),
            broken = (!broken.is_empty()).then(|| tracing::field::display(Quoted::str(&broken))),
            "converted"
        );
        signatures
    }
}

/// What of a message becomes its lines.
struct Rewriter {
    converter: Converter,
    lines: LineEncoder,
}

impl Rewriter {
    fn new(plan: Plan) -> Self {
        Self {
            converter: Converter::new(plan),
            lines: LineEncoder::counted(),
        }
    }

    fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut converted = Vec::new();
        self.converter.feed(piece, &mut converted);
        self.lines.encode(&converted, out);
    }

    fn finish(mut self, out: &mut Vec<u8>) -> Result<(), Unfit> {
        let mut converted = Vec::new();
        self.converter.finish(&mut converted)?;
        self.lines.encode(&converted, out);
        self.lines.finish(out);
        Ok(())
    }
}

/// What was seen of the lines of a message.
enum Seen {
    /// Some of its header.
    Header(Vec<u8>),
    /// The fields of its header, and what follows.
    Body(Bytes, Box<Draft>),
    /// A header that is too long to be held.
    Nothing,
}

impl Default for Seen {
    fn default() -> Self {
        Self::Header(Vec::new())
    }
}

impl Seen {
    fn feed(&mut self, lines: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Body(_, draft) => draft.feed(lines),
            Self::Header(held) => {
                let looked_at = held.len().saturating_sub(EMPTY_LINE.len());
                held.extend_from_slice(lines);
                let unseen = held.get(looked_at..).unwrap_or_default();
                if let Some(found) = memchr::memmem::find(unseen, EMPTY_LINE) {
                    let mut header = Bytes::from(std::mem::take(held));
                    // With the line end of the last field, without the empty line.
                    let mut body = header.split_off(looked_at.saturating_add(found + 2));
                    let mut draft = Draft::new(header.clone());
                    drop(body.split_to(2));
                    draft.feed(&body);
                    *self = Self::Body(header, Box::new(draft));
                } else if held.len() > HEADER_BYTES_MAX {
                    *self = Self::Nothing;
                }
            }
        }
    }
}

impl Pieces for InLines {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            if !self.signatures.is_empty() {
                return Ok(Some(std::mem::take(&mut self.signatures)));
            }
            let mut out = Vec::new();
            while let Some(mut rewriter) = self.rewriter.take() {
                match self.body.next().await? {
                    Some(piece) => {
                        rewriter.feed(&piece, &mut out);
                        self.rewriter = Some(rewriter);
                    }
                    None => rewriter.finish(&mut out).map_err(io::Error::other)?,
                }
                if !out.is_empty() {
                    return Ok(Some(out.into()));
                }
            }
            Ok(None)
        })
    }
}

/// What ends a header, with the end of its last field.
const EMPTY_LINE: &[u8] = b"\r\n\r\n";
/// LIM-37: longest header that is held to be signed; a longer one goes unsigned.
const HEADER_BYTES_MAX: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_37_a_header_is_seen_however_it_is_cut_and_not_without_end() {
        let message = b"From: a@b.example\r\nSubject: x\r\n\r\nbody\r\n\r\n";
        for cut in 1..message.len() {
            let mut seen = Seen::default();
            message.chunks(cut).for_each(|piece| seen.feed(piece));
            let Seen::Body(header, _) = seen else {
                panic!("{cut}");
            };
            assert_eq!(&header[..], b"From: a@b.example\r\nSubject: x\r\n");
        }
        let mut seen = Seen::default();
        for _ in 0..=HEADER_BYTES_MAX / 8 {
            seen.feed(b"A: bcd\r\n");
        }
        assert!(matches!(seen, Seen::Nothing));
    }
}
