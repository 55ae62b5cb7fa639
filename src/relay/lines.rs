//! A binary message for a host that takes none (RFC 3030 3): found out what is to be rewritten,
//! counted how long it gets, and rewritten while it is sent. The body is read once for each.

use std::io;

use bytes::Bytes;

use super::Shared;
use crate::{
    base::{future::BoxFuture, pieces::Pieces},
    mail::{
        convert::{Converter, Plan},
        mime::{Bounds, Scanner},
    },
    queue::{StoredBody, record::MessageRecord},
};

/// A message as it is sent in lines.
pub(super) struct InLines {
    /// How many bytes it has so.
    pub(super) size: u64,
    body: StoredBody,
    converter: Option<Converter>,
}

impl Shared {
    /// The message in lines; `None` when it cannot be sent so.
    pub(super) async fn in_lines(&self, message: &MessageRecord) -> io::Result<Option<InLines>> {
        let queue = &self.parts.queue;
        let (mut body, mut scanner) = (queue.body(message), Scanner::new(Bounds::default()));
        while let Some(piece) = body.next().await? {
            scanner.feed(&piece);
        }
        let plan = Plan::of(&scanner.finish());
        let (mut body, mut converter) = (queue.body(message), Converter::new(plan.clone()));
        let (mut size, mut out) = (0_u64, Vec::new());
        while let Some(piece) = body.next().await? {
            converter.feed(&piece, &mut out);
            size = size.saturating_add(out.len() as u64);
            out.clear();
        }
        if converter.finish(&mut out).is_err() {
            return Ok(None);
        }
        Ok(Some(InLines {
            size: size.saturating_add(out.len() as u64),
            body: queue.body(message),
            converter: Some(Converter::new(plan)),
        }))
    }
}

impl Pieces for InLines {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            let mut out = Vec::new();
            while let Some(mut converter) = self.converter.take() {
                match self.body.next().await? {
                    Some(piece) => {
                        converter.feed(&piece, &mut out);
                        self.converter = Some(converter);
                    }
                    None => converter.finish(&mut out).map_err(io::Error::other)?,
                }
                if !out.is_empty() {
                    return Ok(Some(out.into()));
                }
            }
            Ok(None)
        })
    }
}
