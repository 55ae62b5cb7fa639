//! What a line protocol is: a grammar and its texts, without any waiting.
//!
//! The driver in `net` runs every protocol through this one trait.

use std::fmt;

use super::{frame::Frame, input::Input, output::Output};

/// Pure: what the protocol is. One value per connection.
pub trait Protocol: Send + 'static {
    /// A parsed, admitted command. Its `Debug` is what the trace shows: secrets must be redacted by
    /// type.
    type Command: fmt::Debug + Send;
    /// What the server says.
    type Reply: fmt::Debug + Send + Sync;
    /// Where the dialogue stands; computed from the session, never stored twice.
    type Stage: Copy + Send;

    /// The next step of the dialogue, taken from `input`.
    fn next(&mut self, input: &mut Input, stage: Self::Stage) -> Step<Self::Command, Self::Reply>;

    /// Appends `reply` in wire form.
    fn encode(&self, reply: &Self::Reply, out: &mut Output);

    /// The invitation to answer a SASL challenge, already in base64 (empty for "go on").
    fn challenge(&self, base64: &str) -> Self::Reply;

    /// The last words for a connection that ends for a reason of ours, if there are any.
    fn farewell(&self, why: Farewell) -> Option<Self::Reply>;

    /// Forgets everything learned so far: TLS has just been established (RFC 3207 4.2).
    fn reset(&mut self);
}

/// What [`Protocol::next`] found.
#[derive(Debug)]
pub enum Step<C, R> {
    /// Wait for bytes.
    NeedMore,
    /// Send this, then wait for bytes (literal continuation).
    Invite(R),
    /// A command, admitted in this stage; it may announce a body.
    Command(C),
    /// A body, or a literal, of a command that is refused when the dialogue goes on behind it. It
    /// is received and dropped under the bounds of bodies (LIM-08); the protocol bounds its size.
    Discard(Frame),
    /// Malformed, or not now; costs one strike.
    Refuse(R),
    /// Beyond what can be answered and skipped: send this and close.
    Fatal(R),
}

/// Why we end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The server stops.
    Shutdown,
    /// The login no longer holds: its password was changed, or its account is gone or disabled.
    Revoked,
    /// Silence for too long.
    Idle,
    /// Bytes come too slowly, or a time limit for the whole is over.
    TooSlow,
    /// Too many mistakes.
    Strikes,
    /// Too many wrong logins.
    FailedLogins,
    /// Too many connections in all.
    Crowded,
    /// Too many connections from this address.
    CrowdedAddress,
    /// This door is for others, whom the operator named.
    NotListed,
    /// Plaintext was sent behind the command that begins TLS.
    PlaintextBehindTls,
    /// This is another protocol (HTTP, or TLS on a plain port).
    Foreign,
    /// A line that does not end.
    EndlessLine,
}

/// As the log names it.
impl fmt::Display for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "shutdown",
            Self::Revoked => "revoked",
            Self::Idle => "idle",
            Self::TooSlow => "too-slow",
            Self::Strikes => "strikes",
            Self::FailedLogins => "failed-logins",
            Self::Crowded => "crowded",
            Self::CrowdedAddress => "crowded-address",
            Self::NotListed => "not-listed",
            Self::PlaintextBehindTls => "plaintext-behind-tls",
            Self::Foreign => "foreign",
            Self::EndlessLine => "endless-line",
        })
    }
}
