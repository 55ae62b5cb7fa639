//! BDAT (RFC 3030 2): the message in counted chunks, each answered once it has come.
//!
//! What the commands bring is one body, taken in by the rules of DATA: its lines end in CRLF, and
//! neither it nor its header may be larger. A chunk is always received to its last octet, whatever
//! becomes of it; after one that is refused all others are, until RSET. Only the 250 for the last
//! chunk means that the message is ours (DUR-01).

use tokio::time::Instant;

use super::{
    data::Sender,
    reception::Failure,
    refusal::{About, SmtpFault, log_refusal},
    session::{Chunks, Done, Session, State},
};
use crate::{
    net::{Gone, Halt, Next, Peer, Turn, turn::too_slow},
    smtp::proto::{
        command::Bdat,
        dialog::{Dialect, Dialog},
        reply::{Detail, Reply},
    },
    wire::{Frame, lines::LineCheck},
};

impl Session {
    pub(super) async fn bdat(&mut self, chunk: Bdat, turn: &mut Turn<'_, Dialog>) -> Done {
        let mut chunks = match self.chunks() {
            Ok(chunks) => chunks,
            Err(reply) => {
                turn.body(Frame::Octets(chunk.octets)).discard().await?;
                if !chunk.last || self.dialect() == Dialect::Smtp {
                    return Ok(self.idle_talk(reply));
                }
                // RFC 2033 4.3: as many replies as recipients were taken.
                let owed = match self.state {
                    State::Spoiled(_, recipients) => recipients,
                    _ => 0,
                };
                self.forget_transaction();
                return Self::answer(Ok(vec![reply; owed]), owed, turn).await;
            }
        };
        let taken = chunks.take(chunk, turn).await?;
        if chunks.is_too_slow() {
            // LIM-08 holds for the message, however many commands bring it.
            return Err(Gone::TooSlow.into());
        }
        match taken {
            Ok(()) if !chunk.last => {
                self.state = State::Chunks(chunks);
                let text = format!("{} octets taken", chunk.octets);
                let reply = Reply::new(250, Detail(0, 0), text);
                Ok(match chunk.octets {
                    // LIM-16: nothing came with it.
                    0 => self.idle_talk(reply),
                    _ => Next::Reply(reply),
                })
            }
            Err(failure) if !chunk.last => self.spoil(&chunks, failure, turn),
            taken => {
                let peer = turn.peer().clone();
                let owed = self.replies_owed(&chunks.transaction);
                let ended = self.last_chunk(*chunks, taken, &peer).await;
                Self::answer(ended, owed, turn).await
            }
        }
    }

    /// The message that the chunk belongs to.
    fn chunks(&mut self) -> Result<Box<Chunks>, Reply> {
        if matches!(&self.state, State::Transaction(_, t) if t.targets.is_empty()) {
            // The transaction goes on: RCPT may still find somebody.
            return Err(self.no_recipients());
        }
        if let Some((greeted, transaction)) = self.end_transaction() {
            let (begun, reception) = self.begin_message(&transaction);
            return Ok(Box::new(Chunks {
                greeted,
                transaction,
                begun,
                reception,
                lines: LineCheck::default(),
                received_bytes: 0,
            }));
        }
        match std::mem::replace(&mut self.state, State::Connected) {
            State::Chunks(chunks) => Ok(chunks),
            other => {
                self.state = other;
                let text = "a chunk before this one was refused; RSET begins anew";
                Err(Reply::new(503, Detail(5, 1), text))
            }
        }
    }

    /// A chunk was refused, and others may be on their way (RFC 3030 2).
    fn spoil(&mut self, chunks: &Chunks, failure: Failure, turn: &Turn<'_, Dialog>) -> Done {
        let recipients = chunks.transaction.targets.len();
        self.state = State::Spoiled(chunks.greeted.clone(), recipients);
        match failure {
            Failure::Fault(fault) => Err(Halt::Fault(fault)),
            Failure::Refused(refused) => {
                let about = About {
                    id: chunks.transaction.id,
                    verb: "BDAT",
                    sender: &chunks.transaction.envelope.sender,
                    recipient: None,
                };
                log_refusal(&refused, about, Some(&chunks.greeted.name), turn.peer());
                Ok(Next::Reply(Reply::from(&refused).named(about.id)))
            }
        }
    }

    /// The message came to its end.
    async fn last_chunk(
        &mut self,
        chunks: Chunks,
        taken: Result<(), Failure>,
        peer: &Peer,
    ) -> Result<Vec<Reply>, SmtpFault> {
        self.state = State::Greeted(chunks.greeted.clone());
        let sender = Sender {
            greeted: chunks.greeted,
            account: self.account(),
            peer,
        };
        let came = match taken {
            Ok(()) => chunks.reception.end(chunks.lines.finish()).await,
            Err(failure) => Err(failure),
        };
        self.end_message(("BDAT", chunks.begun), chunks.transaction, sender, came)
            .await
    }
}

impl Chunks {
    /// Receives a chunk to its end, and takes in as much of it as is wanted.
    async fn take(
        &mut self,
        chunk: Bdat,
        turn: &mut Turn<'_, Dialog>,
    ) -> Result<Result<(), Failure>, Gone> {
        let mut body = turn.body(Frame::Octets(chunk.octets));
        while let Some(piece) = body.next().await? {
            self.received_bytes = self.received_bytes.saturating_add(piece.len() as u64);
            self.lines.push(&piece);
            let taken = self.reception.take(piece, self.lines.violations()).await;
            if let Err(failure) = taken {
                body.discard().await?;
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    /// LIM-08.
    fn is_too_slow(&self) -> bool {
        let elapsed = Instant::now().saturating_duration_since(self.begun.began);
        too_slow(self.received_bytes, elapsed)
    }
}
