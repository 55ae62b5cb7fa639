//! Bodies coming in: small ones in memory, larger ones staged in the store while they arrive
//! (LIM-36). When all of them together have no room left in memory, they are staged sooner, each
//! in its turn (LIM-37); nothing fails for that.
//!
//! The structure is found in the same pass, so a message is never parsed again. Fields that are
//! known only at the end may still be put before everything (RFC 5321 4.4, RFC 8601 4). Nothing is
//! durable before the batch that names the body; an intake that is dropped leaves nothing.

use std::{fmt, sync::Arc};

use bytes::{Buf, Bytes, BytesMut};

use super::{
    limits::BODY_BYTES_FREE,
    memory::{BodyMemory, Room},
};
use crate::{
    base::{ids::BlobId, limits::BODY_MEMORY_BYTES_MAX},
    mail::{
        facts::Facts,
        mime::{Bounds, Scanner},
    },
    store::{CommitError, Content, Engine, Stage},
};

/// A body on its way in.
pub struct Intake {
    engine: Arc<dyn Engine>,
    memory: BodyMemory,
    blob: BlobId,
    /// What is not staged yet, behind room for a head.
    pending: BytesMut,
    /// How much room that is.
    head_room: usize,
    /// Holds room for it.
    room: Room,
    /// One of each edition, the main one first, once it is staged.
    stages: Vec<Box<dyn Stage>>,
    /// The names of further editions.
    editions: Vec<BlobId>,
    scanner: Scanner,
    size: u64,
    /// The last two bytes.
    tail: [u8; 2],
}

/// A body that arrived whole and is not durable yet.
pub struct Arrived {
    /// Its name.
    pub blob: BlobId,
    /// Its bytes.
    pub content: Content,
    /// Their number.
    pub size: u64,
    /// How many octets of CRLF the last line lacks: POP3 counts and sends them (RFC 1939 3, 11).
    pub crlf_missing: u8,
    /// What FETCH needs of it, encoded.
    pub facts: Bytes,
    /// Holds room for what of it is in memory.
    _room: Room,
}

/// Why a body could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// There is no room on the disk.
    #[error("the store is full")]
    Full,
    /// Larger than any message can be.
    #[error("the message is too large")]
    TooLarge,
    /// The store failed.
    #[error("a body could not be stored")]
    Fault(#[source] CommitError),
}

impl From<CommitError> for IntakeError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            other => Self::Fault(other),
        }
    }
}

/// Sizes are 32 bits in indexes and in RFC822.SIZE (RFC 3501 9: number).
const SIZE_MAX: u64 = u32::MAX as u64;

impl Intake {
    /// The same for so many more editions of the body: each has a name and a head of its own.
    pub(super) fn with_editions(self, editions: Vec<BlobId>) -> Self {
        Self { editions, ..self }
    }

    pub(super) fn new(engine: Arc<dyn Engine>, memory: BodyMemory, blob: BlobId) -> Self {
        Self {
            engine,
            memory,
            blob,
            pending: BytesMut::new(),
            head_room: 0,
            room: Room::default(),
            stages: Vec::new(),
            editions: Vec::new(),
            scanner: Scanner::new(Bounds::default()),
            size: 0,
            tail: *b"\r\n",
        }
    }

    /// Takes the next piece.
    pub async fn feed(&mut self, piece: Bytes) -> Result<(), IntakeError> {
        self.size += piece.len() as u64;
        if self.size > SIZE_MAX {
            return Err(IntakeError::TooLarge);
        }
        self.tail = match *piece {
            [.., before, last] => [before, last],
            [only] => [self.tail[1], only],
            [] => self.tail,
        };
        self.scanner.feed(&piece);
        let held = self.pending.len() - self.head_room + piece.len();
        if !self.memory.grow(&mut self.room, held) {
            let memory = self.memory.clone();
            let _turn = memory.pass().await;
            self.stage_pending().await?;
            return self.stage(piece).await;
        }
        if self.pending.is_empty() && self.stages.is_empty() {
            self.head_room = HEAD_BYTES_FREE;
            self.pending.reserve(self.head_room + piece.len());
            self.pending.resize(self.head_room, 0);
        }
        self.pending.extend_from_slice(&piece);
        if held > BODY_MEMORY_BYTES_MAX {
            self.stage_pending().await?;
        }
        Ok(())
    }

    /// Ends the body.
    pub async fn finish(self) -> Result<Arrived, IntakeError> {
        self.finish_behind(Bytes::new()).await
    }

    /// Ends the body and puts `head` before everything: whole header fields of the kind that no
    /// structure and no envelope shows.
    pub async fn finish_behind(self, head: Bytes) -> Result<Arrived, IntakeError> {
        let (main, _) = self.finish_editions(head, Vec::new()).await?;
        Ok(main)
    }

    /// The same, and as many editions of the body as there are more heads: as many as were asked
    /// for at its beginning, at most.
    pub async fn finish_editions(
        mut self,
        head: Bytes,
        heads: Vec<Bytes>,
    ) -> Result<(Arrived, Vec<Arrived>), IntakeError> {
        let longest = heads.iter().map(Bytes::len).fold(head.len(), usize::max);
        if self.size.saturating_add(longest as u64) > SIZE_MAX {
            return Err(IntakeError::TooLarge);
        }
        if !self.stages.is_empty() {
            self.stage_pending().await?;
        }
        let crlf_missing = match &self.tail {
            b"\r\n" => 0,
            [_, b'\r'] => 1,
            _ => 2,
        };
        let scanned = self.scanner.finish();
        let arrived = |blob, head_bytes: usize, content, room| {
            let behind = scanned.clone().behind(head_bytes as u64);
            Arrived {
                blob,
                content,
                size: self.size.saturating_add(head_bytes as u64),
                crlf_missing,
                facts: Facts::from(&behind).encode().into(),
                _room: room,
            }
        };
        let mut stages = self.stages.into_iter();
        let main_stage = stages.next();
        let mut editions = Vec::new();
        for (blob, head) in self.editions.into_iter().zip(heads) {
            let length = head.len();
            let (content, room) = match stages.next() {
                Some(stage) => (staged(stage, head).await?, Room::default()),
                None => {
                    let body = self.pending.get(self.head_room..).unwrap_or_default();
                    copied(&*self.engine, &self.memory, head, body).await?
                }
            };
            editions.push(arrived(blob, length, content, room));
        }
        let length = head.len();
        let content = match main_stage {
            Some(stage) => staged(stage, head).await?,
            None => Content::Bytes(joined(&head, self.pending, self.head_room)),
        };
        Ok((arrived(self.blob, length, content, self.room), editions))
    }

    /// Stages what is in memory and gives its room back.
    async fn stage_pending(&mut self) -> Result<(), IntakeError> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.advance(std::mem::take(&mut self.head_room));
        self.stage(pending.freeze()).await?;
        self.room = Room::default();
        Ok(())
    }

    async fn stage(&mut self, mut piece: Bytes) -> Result<(), IntakeError> {
        if self.stages.is_empty() {
            for _ in 0..=self.editions.len() {
                self.stages.push(self.engine.stage().await?);
            }
        }
        while !piece.is_empty() {
            let length = piece.len().min(BODY_MEMORY_BYTES_MAX);
            let part = piece.split_to(length);
            for stage in &mut self.stages {
                stage.append(part.clone()).await?;
            }
        }
        Ok(())
    }
}

/// A copy of a body that is in memory, behind `head`: in memory as well if there is room for all of
/// it, since one message may ask for many; else staged (LIM-37).
async fn copied(
    engine: &dyn Engine,
    memory: &BodyMemory,
    head: Bytes,
    body: &[u8],
) -> Result<(Content, Room), IntakeError> {
    let mut room = Room::default();
    let bytes = head.len().saturating_add(body.len());
    if memory.grow(&mut room, BODY_BYTES_FREE.saturating_add(bytes)) {
        return Ok((Content::Bytes([&head, body].concat().into()), room));
    }
    let _turn = memory.pass().await;
    let mut stage = engine.stage().await?;
    for part in body.chunks(BODY_MEMORY_BYTES_MAX) {
        stage.append(Bytes::copy_from_slice(part)).await?;
    }
    Ok((staged(stage, head).await?, room))
}

/// A staged body with `head` before it.
async fn staged(mut stage: Box<dyn Stage>, head: Bytes) -> Result<Content, IntakeError> {
    stage.prepend(head).await?;
    Ok(Content::Staged(stage.finish()))
}

/// The body in `pending`, behind `head_room` bytes of no meaning, with `head` before it. What fits
/// the room moves nothing.
fn joined(head: &[u8], mut pending: BytesMut, head_room: usize) -> Bytes {
    match head_room.checked_sub(head.len()) {
        Some(unused) => {
            pending.advance(unused);
            let (front, _) = pending.split_at_mut(head.len());
            front.copy_from_slice(head);
            pending.freeze()
        }
        None => {
            pending.advance(head_room);
            [head, &pending].concat().into()
        }
    }
}

/// Room for a head that is kept before every body in memory: our trace fields are half of that.
const HEAD_BYTES_FREE: usize = 2048;

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Intake({}, {} bytes)", self.blob, self.size)
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arrived({}, {} bytes)", self.blob, self.size)
    }
}
