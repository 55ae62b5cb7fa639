//! The driver: one connection of one line protocol from greeting to farewell.
//!
//! Replies are sent only when no complete command is waiting any more: that is pipelining (RFC
//! 2920), for every protocol alike. Refusals cost strikes. STARTTLS with plaintext behind it ends
//! the connection (CVE-2011-0411 and its kin). Waiting is for input or for a change; parking is
//! waiting where what comes is read as its end.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::rustls::ServerConfig;

use super::{
    conn::{Conn, Gone, Peer},
    protocol::{Farewell, Halt, Next, Protocol, STRIKE_DELAY, Service, Step},
    recall::{Patience, Recall},
    shutdown::Shutdown,
    turn::{BODY_TIME_MAX, Body, Turn},
};
use crate::{
    base::text::Causes,
    wire::{Frame, proxy::is_header},
};

/// What a finished connection amounted to, for its one summary line.
#[derive(Debug)]
pub struct Summary {
    /// Who it was with.
    pub peer: Peer,
    /// Admitted commands.
    pub commands: u64,
    /// Refused ones.
    pub strikes: u32,
    /// Bytes moved.
    pub traffic: super::conn::Traffic,
    /// Why it ended.
    pub end: End,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The peer asked for it (QUIT, LOGOUT), or a verb decided it.
    Closed,
    /// We ended it.
    Farewell(Farewell),
    /// It broke, or the peer left without a word.
    Gone(Gone),
}

/// Runs one connection to its end. `tls` is what STARTTLS upgrades to; without it `Next::Upgrade`
/// must not be returned.
pub fn drive<P: Protocol, S: Service<P>>(
    mut conn: Conn,
    protocol: P,
    service: S,
    tls: Option<Arc<ServerConfig>>,
    shutdown: Shutdown,
) -> impl Future<Output = Summary> + Send {
    // Not `async`: that would hold all of it twice (LIM-36).
    conn.recall = Recall::by(shutdown);
    let began = Instant::now();
    let session = Session {
        protocol,
        service,
        tls,
        began,
        commands: 0,
        strikes: 0,
    };
    session.run(conn)
}

struct Session<P, S> {
    protocol: P,
    service: S,
    tls: Option<Arc<ServerConfig>>,
    began: Instant,
    commands: u64,
    strikes: u32,
}

/// What the loop does next.
enum Flow<R> {
    Go,
    Park,
    Upgrade(R),
    End(End),
}

impl<P: Protocol, S: Service<P>> Session<P, S> {
    async fn run(mut self, mut conn: Conn) -> Summary {
        let greeting = self.service.greet(&conn.peer).await;
        self.protocol.encode(&greeting, &mut conn.output);
        let mut flow = Flow::Go;
        let end = loop {
            flow = match flow {
                Flow::Go => self.step(&mut conn).await,
                Flow::Park => self.parked(&mut conn).await,
                Flow::Upgrade(reply) => match Box::pin(self.upgrade(conn, reply)).await {
                    Ok(secured) => {
                        conn = secured;
                        Flow::Go
                    }
                    Err((peer, traffic, end)) => {
                        return self.summary(peer, traffic, end);
                    }
                },
                Flow::End(end) => break end,
            };
        };
        if self.last_words(&mut conn, &end) {
            part(&mut conn).await;
        }
        self.summary(conn.peer, conn.traffic, end)
    }

    /// One step of the dialogue.
    async fn step(&mut self, conn: &mut Conn) -> Flow<P::Reply> {
        // Commands that were sent together may keep the peer from ever being waited for.
        if let Some(why) = conn.recall.has_come() {
            return Flow::End(End::Farewell(why));
        }
        if self.commands == 0 && self.strikes == 0 && is_foreign(conn.input.bytes()) {
            return Flow::End(End::Farewell(Farewell::Foreign));
        }
        if let Some(flow) = self.advance(conn).await {
            return flow;
        }
        if let Err(gone) = conn.flush().await {
            return Flow::End(ending(gone));
        }
        self.wait(conn).await
    }

    /// Waits for bytes, the deadline or a recall, and tells meanwhile what changes.
    async fn wait(&mut self, conn: &mut Conn) -> Flow<P::Reply> {
        let deadline = self.deadline();
        loop {
            conn.input.release_if_empty();
            // Reading prefers bytes to deadlines, so a peer who never pauses would outlive the
            // total.
            if deadline <= Instant::now() {
                return Flow::End(End::Farewell(Farewell::Idle));
            }
            tokio::select! {
                biased;
                heard = conn.read(deadline, Patience::Idle) => return match heard {
                    Ok(()) => Flow::Go,
                    Err(gone) => Flow::End(silent(gone)),
                },
                () = self.service.changed() => {}
            }
            let heard = conn.input.len();
            match self.catch_up(conn, deadline).await {
                Flow::Go => {}
                flow => return flow,
            }
            if let Err(gone) = conn.flush().await {
                return Flow::End(ending(gone));
            }
            // The peer may have spoken meanwhile, and be silent from now on.
            if conn.input.len() > heard {
                return Flow::Go;
            }
        }
    }

    /// Tells what changed.
    async fn catch_up(&mut self, conn: &mut Conn, deadline: Instant) -> Flow<P::Reply> {
        let idle = deadline.saturating_duration_since(Instant::now());
        let mut turn = Turn {
            conn,
            protocol: &mut self.protocol,
            idle,
        };
        let outcome = Box::pin(self.service.catch_up(&mut turn)).await;
        self.obey(conn, outcome).await
    }

    /// Takes one step out of what was read; `None` when that is not enough for one.
    async fn advance(&mut self, conn: &mut Conn) -> Option<Flow<P::Reply>> {
        match self.protocol.next(&mut conn.input, self.service.stage()) {
            Step::NeedMore => None,
            Step::Invite(reply) => {
                self.protocol.encode(&reply, &mut conn.output);
                Some(Flow::Go)
            }
            Step::Discard(frame) => {
                let due = self.body_due();
                Some(discard(conn, frame, due).await)
            }
            Step::Refuse(reply) => Some(self.refuse(conn, &reply).await),
            Step::Fatal(reply) => {
                self.protocol.encode(&reply, &mut conn.output);
                Some(Flow::End(End::Closed))
            }
            Step::Command(command) => Some(self.command(conn, command).await),
        }
    }

    fn deadline(&self) -> Instant {
        let terms = self.service.terms();
        let idle = Instant::now() + terms.idle;
        terms
            .total
            .map_or(idle, |total| idle.min(self.began + total))
    }

    /// When a body that nobody wants must have come.
    fn body_due(&self) -> Instant {
        let total = self.service.terms().total;
        total.map_or_else(
            || Instant::now() + BODY_TIME_MAX,
            |total| self.began + total,
        )
    }

    async fn refuse(&mut self, conn: &mut Conn, reply: &P::Reply) -> Flow<P::Reply> {
        self.strikes += 1;
        let terms = self.service.terms();
        tracing::trace!(target: "wire", "refused: {reply:?}");
        if self.strikes >= terms.strikes_slow
            && let Err(gone) = conn.pause(STRIKE_DELAY).await
        {
            return Flow::End(ending(gone));
        }
        self.protocol.encode(reply, &mut conn.output);
        if self.strikes >= terms.strikes_max {
            return Flow::End(End::Farewell(Farewell::Strikes));
        }
        match conn.make_room().await {
            Ok(()) => Flow::Go,
            Err(gone) => Flow::End(End::Gone(gone)),
        }
    }

    async fn command(&mut self, conn: &mut Conn, command: P::Command) -> Flow<P::Reply> {
        self.commands += 1;
        tracing::trace!(target: "wire", "C {command:?}");
        let idle = self.service.terms().idle;
        let mut turn = Turn {
            conn,
            protocol: &mut self.protocol,
            idle,
        };
        // Boxed: a connection that waits for its client must not hold the room of the largest verb
        // (LIM-36).
        let outcome = Box::pin(self.service.run(command, &mut turn)).await;
        conn.recall.heed(self.service.login());
        self.obey(conn, outcome).await
    }

    /// Does what a verb says comes next. Faults are logged here, once, with their chain.
    async fn obey(
        &mut self,
        conn: &mut Conn,
        outcome: Result<Next<P::Reply>, Halt<S::Fault>>,
    ) -> Flow<P::Reply> {
        let next = match outcome {
            Ok(next) => next,
            Err(Halt::Gone(gone)) => return Flow::End(ending(gone)),
            Err(Halt::Fault(fault)) => {
                tracing::error!(error = %Causes(&fault), "a command failed for a reason of ours");
                Next::Reply(self.service.refusal_for(&fault))
            }
        };
        let flow = match next {
            Next::Continue => Flow::Go,
            Next::Upgrade(reply) => return Flow::Upgrade(reply),
            Next::Reply(reply) => {
                if self.service.terms().strikes_forgiven {
                    self.strikes = self.strikes.saturating_sub(1);
                }
                self.protocol.encode(&reply, &mut conn.output);
                Flow::Go
            }
            Next::Compress(reply) => {
                self.protocol.encode(&reply, &mut conn.output);
                if let Err(gone) = conn.flush().await {
                    // Nothing more can be said: it may be expected deflated or not.
                    return Flow::End(End::Gone(gone));
                }
                conn.compress();
                return Flow::Go;
            }
            Next::Refuse(reply) => return self.refuse(conn, &reply).await,
            Next::Park(reply) => {
                self.protocol.encode(&reply, &mut conn.output);
                Flow::Park
            }
            Next::Close(reply) => {
                self.protocol.encode(&reply, &mut conn.output);
                Flow::End(End::Closed)
            }
            Next::Dismiss(reply, why) => {
                self.protocol.encode(&reply, &mut conn.output);
                Flow::End(End::Farewell(why))
            }
        };
        match conn.make_room().await {
            Ok(()) => flow,
            Err(gone) => Flow::End(End::Gone(gone)),
        }
    }

    /// A parked session: whichever comes first of a command, a change, the deadline, the end.
    async fn parked(&mut self, conn: &mut Conn) -> Flow<P::Reply> {
        let deadline = self.deadline();
        loop {
            match self.advance(conn).await {
                // What is refused does not end the parking (garbage instead of DONE).
                Some(Flow::Go) if self.service.is_parked() => {}
                Some(flow) => return flow,
                None => {}
            }
            if let Err(gone) = conn.flush().await {
                return Flow::End(ending(gone));
            }
            conn.input.release_if_empty();
            tokio::select! {
                biased;
                heard = conn.read(deadline, Patience::Idle) => match heard {
                    Ok(()) => continue,
                    Err(gone) => return Flow::End(silent(gone)),
                },
                () = self.service.changed() => {}
            }
            match self.catch_up(conn, deadline).await {
                Flow::Go if self.service.is_parked() => {}
                flow => return flow,
            }
        }
    }

    async fn upgrade(
        &mut self,
        mut conn: Conn,
        reply: P::Reply,
    ) -> Result<Conn, (Peer, super::conn::Traffic, End)> {
        let peer = conn.peer.clone();
        let Some(config) = self.tls.clone() else {
            return Err((peer, conn.traffic, End::Closed));
        };
        if !conn.input.is_empty() {
            let end = End::Farewell(Farewell::PlaintextBehindTls);
            self.last_words(&mut conn, &end);
            part(&mut conn).await;
            return Err((peer, conn.traffic, end));
        }
        self.protocol.encode(&reply, &mut conn.output);
        let traffic = conn.traffic;
        if let Err(gone) = conn.flush().await {
            return Err((peer, traffic, End::Gone(gone)));
        }
        let mut secured = conn
            .upgrade(config)
            .await
            .map_err(|gone| (peer, traffic, End::Gone(gone)))?;
        self.protocol.reset();
        self.service.secured(&secured.peer);
        secured.recall.heed(self.service.login());
        Ok(secured)
    }

    /// Says the last words for `end`; whether anything should still be sent.
    fn last_words(&self, conn: &mut Conn, end: &End) -> bool {
        if let End::Farewell(why) = end
            && let Some(words) = self.protocol.farewell(*why)
        {
            self.protocol.encode(&words, &mut conn.output);
        }
        !matches!(end, End::Gone(_))
    }

    fn summary(&self, peer: Peer, traffic: super::conn::Traffic, end: End) -> Summary {
        Summary {
            peer,
            commands: self.commands,
            strikes: self.strikes,
            traffic,
            end,
        }
    }
}

/// Receives and drops a body that nobody wants.
async fn discard<R>(conn: &mut Conn, frame: Frame, due: Instant) -> Flow<R> {
    if let Err(gone) = conn.flush().await {
        return Flow::End(ending(gone));
    }
    let discarded = timeout_at(due, Body::new(conn, frame).discard()).await;
    match discarded.unwrap_or(Err(Gone::TooSlow)) {
        Ok(()) => Flow::Go,
        Err(gone) => Flow::End(ending(gone)),
    }
}

/// Sends the last words as far as the peer still listens, and closes.
async fn part(conn: &mut Conn) {
    conn.recall = Recall::default();
    let patience = Instant::now() + LAST_WORDS;
    tokio::select! {
        _ = conn.flush() => {}
        () = sleep_until(patience) => {}
    }
    conn.close().await;
}

/// The end of a connection whose peer said nothing between commands.
fn silent(gone: Gone) -> End {
    match gone {
        Gone::TooSlow => End::Farewell(Farewell::Idle),
        gone => ending(gone),
    }
}

/// Deadlines and recalls get a farewell; whatever else is gone gets none.
fn ending(gone: Gone) -> End {
    match gone {
        Gone::Recalled(why) => End::Farewell(why),
        Gone::TooSlow => End::Farewell(Farewell::TooSlow),
        Gone::EndlessLine => End::Farewell(Farewell::EndlessLine),
        gone => End::Gone(gone),
    }
}

/// Whether the first bytes are a TLS hello on a plain port, or an HTTP request: a browser tricked
/// into talking to us must get nothing back (ALPACA). The header of a proxy that is not to be
/// believed, or a second one, is none of ours either.
fn is_foreign(first: &[u8]) -> bool {
    let line = first
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    first.starts_with(&[0x16, 0x03])
        || is_header(first)
        || line.windows(6).any(|window| window == b" HTTP/")
}

/// How long a peer may take to accept our last words.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_tls_on_a_plain_port_are_foreign_and_commands_are_not() {
        for (bytes, foreign) in [
            (&b"GET / HTTP/1.1\r\nHost: x\r\n"[..], true),
            (b"POST /x HTTP/1.0\r\n", true),
            (b"\x16\x03\x01\x02\x00\x01", true),
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", true),
            (b"PROXY UNKNOWN\r\n", true),
            (b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", true),
            (b"PROXY LOGIN a b\r\n", false),
            (b"\r\n\r\nQUIT\r\n", false),
            (b"EHLO client.example\r\n", false),
            (b"GET LOGIN a b\r\nx NOOP HTTP/\r\n", false),
            (b"", false),
        ] {
            assert_eq!(is_foreign(bytes), foreign, "{bytes:?}");
        }
    }
}
