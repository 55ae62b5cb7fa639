//! All that a verb sees of the connection: say something, take a body, send a body, challenge.
//!
//! No socket and no protocol name. Bodies are announced by the command and pulled by the verb, so a
//! refusal can come before their first byte, and they are never whole in memory.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    conn::{Conn, Gone, Peer},
    protocol::Protocol,
    recall::Patience,
};
use crate::{
    base::{limits::SASL_LINE_BYTES_MAX, pieces::Pieces},
    wire::{
        Frame, Line, Output, base64,
        dot::{DotWriter, Violations},
        frame::Pulled,
    },
};

/// One command's view of the connection.
pub struct Turn<'c, P: Protocol> {
    pub(super) conn: &'c mut Conn,
    pub(super) protocol: &'c mut P,
    pub(super) idle: Duration,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Exactly its octets; their number was announced (literals).
    Octets,
    /// Dot-stuffed lines and a lone dot (RFC 1939 3).
    Dotted,
}

/// The answer to a SASL challenge (RFC 4954 4, RFC 5034 4, RFC 3501 6.2.2).
#[derive(Debug)]
pub enum Response {
    /// The decoded response.
    Bytes(Vec<u8>),
    /// The client gave up with `*`.
    Cancelled,
    /// Not base64.
    Malformed,
    /// Longer than [`SASL_LINE_BYTES_MAX`].
    TooLong,
}

impl<P: Protocol> Turn<'_, P> {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.conn.peer
    }

    /// The peer speaks for somebody else, who is `remote` and believes to speak with `local`.
    pub fn introduce(&mut self, remote: SocketAddr, local: SocketAddr) {
        let peer = &mut self.conn.peer;
        let remote_ip = peer.remote.ip();
        peer.via.get_or_insert(remote_ip);
        (peer.remote, peer.local) = (remote, local);
    }

    /// The dialogue, for what the peer has negotiated.
    pub fn dialogue(&mut self) -> &mut P {
        self.protocol
    }

    /// Says `reply`. It is sent when the peer waits for us, or when much has gathered.
    ///
    /// # Errors
    /// When the peer is gone or does not read.
    pub async fn reply(&mut self, reply: &P::Reply) -> Result<(), Gone> {
        tracing::trace!(target: "wire", "S {reply:?}");
        self.protocol.encode(reply, &mut self.conn.output);
        self.conn.make_room().await
    }

    /// Where encoders of long answers write directly; call [`Turn::make_room`] now and then.
    pub fn output(&mut self) -> &mut Output {
        &mut self.conn.output
    }

    /// Sends what was said so far when it is much.
    ///
    /// # Errors
    /// When the peer is gone or does not read.
    pub async fn make_room(&mut self) -> Result<(), Gone> {
        self.conn.make_room().await
    }

    /// Says `reply` and sends it at once: the peer waits for it.
    ///
    /// # Errors
    /// When the peer is gone or does not read.
    pub async fn invite(&mut self, reply: &P::Reply) -> Result<(), Gone> {
        self.reply(reply).await?;
        self.conn.flush().await
    }

    /// Sends everything said so far.
    ///
    /// # Errors
    /// When the peer is gone or does not read.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        self.conn.flush().await
    }

    /// Does `work` as long as the peer is there to hear of it: a search for nobody is not worth its
    /// while.
    ///
    /// # Errors
    /// When the connection ends; `work` is dropped where it stands then, so it must change nothing.
    /// Between responses only: the peer may be told why.
    pub async fn unless_gone<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Gone> {
        self.conn.beside(work, Patience::Working).await
    }

    /// Lets `time` pass.
    ///
    /// # Errors
    /// When the connection ends meanwhile.
    pub async fn pause(&mut self, time: Duration) -> Result<(), Gone> {
        self.conn.pause(time).await
    }

    /// Receives a body in pieces.
    pub fn body(&mut self, frame: Frame) -> Body<'_> {
        Body::new(self.conn, frame)
    }

    /// Reads what stands behind a counted body up to the end of its line; `None` when that is more
    /// than `max` bytes, which are dropped.
    ///
    /// # Errors
    /// When the peer is gone, too slow (LIM-08), or sends an endless line.
    pub async fn line_behind(&mut self, max: usize) -> Result<Option<Bytes>, Gone> {
        self.line(max, BODY_SILENCE).await
    }

    /// The next line, unless it is too long.
    async fn line(&mut self, max: usize, patience: Duration) -> Result<Option<Bytes>, Gone> {
        let deadline = Instant::now() + patience;
        loop {
            match self.conn.input.line(max) {
                Line::Whole(line) => return Ok(Some(line)),
                Line::TooLong => return Ok(None),
                Line::Endless => return Err(Gone::EndlessLine),
                Line::NeedMore => self.conn.read(deadline, Patience::Listening).await?,
            };
        }
    }

    /// Sends a body.
    ///
    /// # Errors
    /// `Source` when it cannot be read to its end: what was announced cannot be kept, the
    /// connection ends.
    pub async fn send_body(&mut self, source: &mut dyn Pieces, how: Outgoing) -> Result<(), Gone> {
        let mut writer = DotWriter::new();
        loop {
            let next = self.unless_gone(source.next()).await.map_err(Gone::amid)?;
            let Some(piece) = next.map_err(Gone::Source)? else {
                break;
            };
            match how {
                Outgoing::Octets => {
                    self.conn.output.bytes(&piece);
                }
                Outgoing::Dotted => writer.write(&piece, self.conn.output.buffer()),
            }
            self.conn.make_room().await?;
        }
        if how == Outgoing::Dotted {
            writer.finish(self.conn.output.buffer());
        }
        Ok(())
    }

    /// Sends a SASL challenge and reads the response.
    ///
    /// # Errors
    /// When the peer is gone, too slow, or sends an endless line.
    pub async fn challenge(&mut self, challenge: &[u8]) -> Result<Response, Gone> {
        let invitation = self.protocol.challenge(&base64::encode(challenge));
        self.invite(&invitation).await?;
        let line = self.line(SASL_LINE_BYTES_MAX, self.idle).await?;
        Ok(line.map_or(Response::TooLong, |line| response_of(&line)))
    }
}

fn response_of(line: &Bytes) -> Response {
    if line.as_ref() == b"*" {
        return Response::Cancelled;
    }
    base64::decode(line).map_or(Response::Malformed, Response::Bytes)
}

/// A body being received. Dropping it before its end leaves the rest unread: only for closing.
pub struct Body<'c> {
    conn: &'c mut Conn,
    frame: Frame,
    began: Instant,
    received_bytes: u64,
}

impl<'c> Body<'c> {
    pub(super) fn new(conn: &'c mut Conn, frame: Frame) -> Self {
        Self {
            conn,
            frame,
            began: Instant::now(),
            received_bytes: 0,
        }
    }

    /// The next piece; `None` when the body has ended and its framing is consumed.
    ///
    /// # Errors
    /// `TooSlow` beyond the bounds of LIM-08: silence, average rate, total time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Gone> {
        loop {
            match self.frame.pull(&mut self.conn.input) {
                Pulled::Piece(piece) => {
                    self.received_bytes += piece.len() as u64;
                    return Ok(Some(piece));
                }
                Pulled::End => return Ok(None),
                Pulled::NeedMore => {
                    let now = Instant::now();
                    if too_slow(self.received_bytes, now - self.began) {
                        return Err(Gone::TooSlow);
                    }
                    let deadline = now + BODY_SILENCE;
                    self.conn.read(deadline, Patience::Listening).await?;
                }
            }
        }
    }

    /// Receives and drops the rest of the body.
    ///
    /// # Errors
    /// As [`Body::next`].
    pub async fn discard(&mut self) -> Result<(), Gone> {
        while self.next().await?.is_some() {}
        Ok(())
    }

    /// What the body contained that its protocol forbids; complete once it has ended.
    pub fn violations(&self) -> Violations {
        self.frame.violations()
    }
}

/// LIM-08: silence within a body.
pub const BODY_SILENCE: Duration = Duration::from_secs(180);
/// LIM-08: a body takes no longer than this.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(3600);
/// LIM-08: average bytes per second after the first minute.
pub const BODY_BYTES_PER_SEC_MIN: u64 = 500;
/// LIM-08: when the average begins to count.
pub const BODY_RATE_AFTER: Duration = Duration::from_secs(60);

/// Whether a body of `received_bytes` after `elapsed` is beyond LIM-08.
pub fn too_slow(received_bytes: u64, elapsed: Duration) -> bool {
    elapsed > BODY_TIME_MAX
        || (elapsed > BODY_RATE_AFTER
            && received_bytes < elapsed.as_secs().saturating_mul(BODY_BYTES_PER_SEC_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_08_a_body_may_be_slow_for_a_minute_and_then_needs_its_rate() {
        for (bytes, secs, slow) in [
            (0, 60, false),
            (0, 61, true),
            (BODY_BYTES_PER_SEC_MIN * 61, 61, false),
            (BODY_BYTES_PER_SEC_MIN * 61 - 1, 61, true),
            (u64::MAX, BODY_TIME_MAX.as_secs(), false),
            (u64::MAX, BODY_TIME_MAX.as_secs() + 1, true),
        ] {
            assert_eq!(
                too_slow(bytes, Duration::from_secs(secs)),
                slow,
                "{bytes} {secs}"
            );
        }
    }

    #[test]
    fn a_sasl_response_is_base64_or_a_star() {
        assert!(matches!(
            response_of(&Bytes::from_static(b"*")),
            Response::Cancelled
        ));
        assert!(matches!(
            response_of(&Bytes::from_static(b"%%")),
            Response::Malformed
        ));
        assert!(matches!(response_of(&Bytes::new()), Response::Bytes(b) if b.is_empty()));
    }
}
