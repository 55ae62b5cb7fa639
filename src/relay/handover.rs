//! Whether a message may be changing hands: from the end of its content on, when the final dot goes
//! out, nobody can say who has it before the reply comes (RFC 1047). Before that it is ours.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;

use crate::base::{future::BoxFuture, pieces::Pieces};

/// The handover of one message.
#[derive(Debug, Default)]
pub(super) struct Handover(AtomicBool);

/// Content that tells when it was read to its end.
pub(super) struct Watched<'a> {
    content: &'a mut dyn Pieces,
    handover: &'a Handover,
}

impl Handover {
    /// Whether the message may be another server's now.
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The content of one transaction, which is another one than any before.
    pub(super) fn of<'a>(&'a self, content: &'a mut dyn Pieces) -> Watched<'a> {
        self.0.store(false, Ordering::Relaxed);
        Watched {
            content,
            handover: self,
        }
    }
}

impl Pieces for Watched<'_> {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        Box::pin(async move {
            let piece = self.content.next().await?;
            if piece.is_none() {
                self.handover.0.store(true, Ordering::Relaxed);
            }
            Ok(piece)
        })
    }
}
