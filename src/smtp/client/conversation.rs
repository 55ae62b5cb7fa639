//! From the connection to a session that takes mail: greeting, EHLO, STARTTLS, AUTH; and QUIT.
//!
//! RFC 5321 3.1, 3.2, 4.3.1; RFC 3207 4; RFC 4954 4. Linear: it reads as the RFC tells it. Nothing
//! learned before TLS is kept after it, and bytes that a server sends behind its 220 to STARTTLS
//! end the connection.

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;

use super::{
    classify::{Stage, Verdict, classify},
    extensions::Extensions,
    login::Login,
    reply::{Reply, ReplyError},
    stream::Wire,
    tls::{Secured, TlsClient, Trust},
};
use crate::{base::random::Random, net::Transport, sasl};

/// A session with a server, ready for mail.
pub struct Conversation {
    pub(super) wire: Wire,
    pub(super) offered: Extensions,
    pub(super) timeouts: Timeouts,
    /// A transaction was left open; RSET goes before the next one.
    pub(super) dirty: bool,
    /// The server is known to have closed the connection.
    pub(super) spent: bool,
    encrypted: bool,
    /// The server is the one that was meant, whoever may be listening: an operator, DNSSEC or a
    /// policy of the domain named it, and its certificate proves it.
    pub(super) verified: bool,
    /// RFC 9266 2: what a login is bound to, where TLS gives it.
    pub(super) binding: Option<[u8; 32]>,
}

/// How to open a conversation.
#[derive(Clone, Copy)]
pub struct Opening<'a> {
    /// Our name, for EHLO.
    pub name: &'a str,
    /// The server's name, for its certificate.
    pub host: &'a str,
    /// What proves it instead of a certificate for that name.
    pub proof: Option<&'a Arc<ClientConfig>>,
    /// What to do about TLS.
    pub security: Security,
    /// Makes TLS connections.
    pub tls: &'a TlsClient,
    /// Who we are to this server, if it wants to know.
    pub login: Option<&'a Login>,
    /// For the nonces of a login.
    pub random: &'a Random,
}

/// What to do about TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// Do without.
    Plain,
    /// STARTTLS when it is offered, with any certificate.
    Opportunistic,
    /// STARTTLS, with any certificate, or nothing.
    Encrypted,
    /// STARTTLS, with a valid certificate, or nothing.
    Required,
    /// TLS from the first byte, with a valid certificate (RFC 8314).
    Implicit,
}

/// RFC 5321 4.5.3.2: how long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// The greeting (4.5.3.2.1).
    pub greeting: Duration,
    /// EHLO, STARTTLS, AUTH and RSET; the RFC names none.
    pub hello: Duration,
    /// The handshake (LIM-05).
    pub handshake: Duration,
    /// MAIL (4.5.3.2.2).
    pub mail: Duration,
    /// RCPT (4.5.3.2.3).
    pub rcpt: Duration,
    /// DATA (4.5.3.2.4).
    pub data: Duration,
    /// Each block of content (4.5.3.2.5).
    pub block: Duration,
    /// The final dot (4.5.3.2.6).
    pub content: Duration,
    /// QUIT.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            greeting: minutes(5),
            hello: minutes(5),
            handshake: crate::base::limits::TLS_HANDSHAKE,
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            content: minutes(10),
            quit: Duration::from_secs(5),
        }
    }
}

/// A conversation that did not come about, or broke off.
#[derive(Debug, thiserror::Error)]
#[error("{stage}")]
pub struct Failure {
    /// Where it was.
    pub stage: Stage,
    /// What happened.
    #[source]
    pub cause: Cause,
}

impl Failure {
    pub(super) fn at(stage: Stage) -> impl FnOnce(Cause) -> Self {
        move |cause| Self { stage, cause }
    }

    /// Whether TLS as such failed, so that a connection without it may work.
    pub fn is_tls(&self) -> bool {
        matches!(self.cause, Cause::Tls(_))
    }

    /// The reply, when it was one.
    pub fn reply(&self) -> Option<&Reply> {
        match &self.cause {
            Cause::Refused(reply) => Some(reply),
            _ => None,
        }
    }
}

/// What happened to a conversation.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The server said no.
    #[error("refused with code {}", .0.code)]
    Refused(Reply),
    /// What the server said is not SMTP.
    #[error("the server broke the protocol: {0}")]
    Malformed(#[from] ReplyError),
    /// The server closed the connection.
    #[error("the connection was closed")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// The server said something that nothing had asked for.
    #[error("the server spoke out of turn")]
    OutOfTurn,
    /// The server took too long.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The handshake failed.
    #[error("TLS failed: {0}")]
    Tls(io::Error),
    /// We insist on TLS; the server does not have it.
    #[error("the server does not offer STARTTLS")]
    TlsNotOffered,
    /// Something stood behind the reply to STARTTLS: an injection, or a broken server.
    #[error("there were bytes behind the reply to STARTTLS")]
    BytesBehindStartTls,
    /// We have credentials; the server does not want them, or not in a way we know.
    #[error("the server offers no way to log in (AUTH) that fits what is set for it")]
    AuthNotOffered,
    /// We have credentials and do not say them aloud.
    #[error("credentials are not sent without verified TLS")]
    AuthNeedsTls,
    /// The login went wrong on our side of it.
    #[error("{0}")]
    Sasl(sasl::client::Fault),
    /// What we log in with could not be read.
    #[error("the token of our login could not be read")]
    Token,
    /// The content could not be read on our side.
    #[error("the message could not be read: {0}")]
    Content(io::Error),
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "greeting",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "end of content",
        })
    }
}

impl Conversation {
    /// Begins a conversation on a fresh connection, up to where mail can be sent.
    pub async fn open(
        stream: Box<dyn Transport>,
        opening: &Opening<'_>,
        timeouts: Timeouts,
    ) -> Result<Self, Failure> {
        let (stream, binding) = match opening.security {
            Security::Implicit => handshake(stream, opening, timeouts).await?,
            _ => (stream, None),
        };
        let mut session = Self {
            wire: Wire::new(stream),
            offered: Extensions::default(),
            timeouts,
            dirty: false,
            spent: false,
            encrypted: opening.security == Security::Implicit,
            verified: opening.security == Security::Implicit,
            binding,
        };
        let greeting = session.wire.reply(timeouts.greeting).await;
        expect_yes(Stage::Greeting, greeting)?;
        session.hello(opening.name).await?;
        session = session.secure(opening).await?;
        if let Some(login) = opening.login {
            session.log_in(login, opening).await?;
        }
        Ok(session)
    }

    /// Whether nobody can listen.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether the server is known to be the one that was meant.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// Whoever named the server cannot be relied on: its certificate proves nothing then.
    pub fn distrust(&mut self) {
        self.verified = false;
    }

    /// RFC 5321 3.2: EHLO, and HELO for a server that does not know it.
    async fn hello(&mut self, name: &str) -> Result<(), Failure> {
        let within = self.timeouts.hello;
        let stage = Stage::Hello;
        let reply = self.ask(stage, &format!("EHLO {name}\r\n"), within).await?;
        if reply.is_positive() {
            self.offered = Extensions::of(&reply);
            return Ok(());
        }
        if !reply.is_permanent() {
            return Err(Failure::at(stage)(Cause::Refused(reply)));
        }
        let reply = self.ask(stage, &format!("HELO {name}\r\n"), within).await;
        self.offered = Extensions::default();
        expect_yes(stage, reply.map_err(|failure| failure.cause)).map(|_| ())
    }

    /// RFC 3207 4: STARTTLS as far as it is wanted and offered.
    async fn secure(mut self, opening: &Opening<'_>) -> Result<Self, Failure> {
        let failed = Failure::at(Stage::StartTls);
        match (opening.security, self.offered.starttls) {
            (Security::Plain | Security::Implicit, _) | (Security::Opportunistic, false) => {
                return Ok(self);
            }
            (Security::Encrypted | Security::Required, false) => {
                return Err(failed(Cause::TlsNotOffered));
            }
            (Security::Opportunistic | Security::Encrypted | Security::Required, true) => {}
        }
        let within = self.timeouts.hello;
        let reply = self.ask(Stage::StartTls, "STARTTLS\r\n", within).await?;
        if classify(Stage::StartTls, &reply) != Verdict::Yes {
            return match opening.security {
                // RFC 3207 4: 454 or 501; an opportunist goes on as before.
                Security::Opportunistic => Ok(self),
                _ => Err(failed(Cause::Refused(reply))),
            };
        }
        // CVE-2011-0411 and its kin: what came in the clear must not count as said under TLS.
        if !self.wire.is_clean() {
            return Err(failed(Cause::BytesBehindStartTls));
        }
        let stream = self.wire.into_stream();
        let (stream, binding) = handshake(stream, opening, self.timeouts).await?;
        // RFC 3207 4.2: everything learned before is forgotten.
        let mut session = Self {
            wire: Wire::new(stream),
            offered: Extensions::default(),
            timeouts: self.timeouts,
            dirty: false,
            spent: false,
            encrypted: true,
            verified: opening.security == Security::Required,
            binding,
        };
        session.hello(opening.name).await?;
        Ok(session)
    }

    /// RFC 5321 4.1.1.10. The answer changes nothing, so little time is given to it.
    pub async fn quit(mut self) {
        let within = self.timeouts.quit;
        if self.wire.send(b"QUIT\r\n", within).await.is_ok() {
            let _ = self.wire.reply(within).await;
            let _ = timeout(within, self.wire.shut_down()).await;
        }
    }

    /// One command, one reply.
    pub(super) async fn ask(
        &mut self,
        stage: Stage,
        command: &str,
        within: Duration,
    ) -> Result<Reply, Failure> {
        let sent = self.wire.send(command.as_bytes(), within).await;
        sent.map_err(Failure::at(stage))?;
        self.wire.reply(within).await.map_err(Failure::at(stage))
    }
}

async fn handshake(
    stream: Box<dyn Transport>,
    opening: &Opening<'_>,
    timeouts: Timeouts,
) -> Result<Secured, Failure> {
    let trust = match opening.security {
        Security::Required | Security::Implicit => opening.proof.map_or(Trust::Verified, Trust::By),
        Security::Opportunistic | Security::Encrypted | Security::Plain => Trust::Unverified,
    };
    let shaking = opening.tls.connect(opening.host, trust, stream);
    match timeout(timeouts.handshake, shaking).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Failure::at(Stage::StartTls)(Cause::Tls(error))),
        Err(_) => {
            let late = io::Error::from(io::ErrorKind::TimedOut);
            Err(Failure::at(Stage::StartTls)(Cause::Tls(late)))
        }
    }
}

/// The reply, if it lets us go on.
fn expect_yes(stage: Stage, reply: Result<Reply, Cause>) -> Result<Reply, Failure> {
    let reply = reply.map_err(Failure::at(stage))?;
    match classify(stage, &reply) {
        Verdict::Yes => Ok(reply),
        _ => Err(Failure::at(stage)(Cause::Refused(reply))),
    }
}
