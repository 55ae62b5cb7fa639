//! What our server does with a protocol's commands. What a protocol is stands in `wire::protocol`:
//! it is pure.

use std::{future::Future, time::Duration};

use super::{
    authn::Login,
    conn::{Gone, Peer},
    turn::Turn,
};
pub use crate::wire::protocol::{Farewell, Protocol, Step};

/// Async: what our server does. One value per connection; futures are `Send`.
pub trait Service<P: Protocol>: Send {
    /// Failures that are ours or the world's, not the peer's.
    type Fault: std::error::Error + Send + Sync + 'static;

    /// Where the dialogue stands.
    fn stage(&self) -> P::Stage;

    /// How patient we are in this stage.
    fn terms(&self) -> Terms;

    /// The greeting.
    fn greet(&mut self, peer: &Peer) -> impl Future<Output = P::Reply> + Send;

    /// Runs one command. Replies go through `turn`, or ride in the returned [`Next`].
    fn run(
        &mut self,
        command: P::Command,
        turn: &mut Turn<'_, P>,
    ) -> impl Future<Output = Result<Next<P::Reply>, Halt<Self::Fault>>> + Send;

    /// TLS has just been established: forget the session so far (RFC 3207 4.2, RFC 2595 2).
    fn secured(&mut self, peer: &Peer);

    /// Who is logged in: the session ends when that no longer holds (AUTH-06).
    fn login(&self) -> Option<&Login> {
        None
    }

    /// Whether the session is parked: what comes next is read as the end of that (IDLE).
    fn is_parked(&self) -> bool {
        false
    }

    /// A session waits on this beside its input, parked or not. Must be safe to drop at any time.
    fn changed(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// Tells the peer what changed. `Continue` and `Reply` leave a session parked as long as
    /// [`Service::is_parked`] says so.
    fn catch_up(
        &mut self,
        _turn: &mut Turn<'_, P>,
    ) -> impl Future<Output = Result<Next<P::Reply>, Halt<Self::Fault>>> + Send {
        std::future::ready(Ok(Next::Continue))
    }

    /// What the peer is told about `fault`; the driver logs it once with its chain.
    fn refusal_for(&self, fault: &Self::Fault) -> P::Reply;
}

/// What happens after a command.
#[derive(Debug)]
pub enum Next<R> {
    /// Read the next command.
    Continue,
    /// Send this, then read the next command.
    Reply(R),
    /// Send this, which costs a strike, then read the next command.
    Refuse(R),
    /// Send this, then begin TLS. Refused by the driver when plaintext waits behind the command.
    Upgrade(R),
    /// Send this, then deflate everything, in both directions (RFC 4978).
    Compress(R),
    /// Send this, then wait for input or a change.
    Park(R),
    /// Send this and close.
    Close(R),
    /// Send this and the farewell, and close.
    Dismiss(R, Farewell),
}

/// Why a command did not come to its end.
#[derive(Debug)]
pub enum Halt<F> {
    /// The connection is of no more use.
    Gone(Gone),
    /// Our fault; the peer is told by [`Service::refusal_for`].
    Fault(F),
}

impl<F> From<Gone> for Halt<F> {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// How patient the driver is.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Longest silence between commands.
    pub idle: Duration,
    /// Longest time since the connection began, while these terms hold.
    pub total: Option<Duration>,
    /// From this many strikes on, each refusal is answered a second late (LIM-16).
    pub strikes_slow: u32,
    /// At this many strikes the connection is closed.
    pub strikes_max: u32,
    /// Each command that is admitted and answered takes one strike back.
    pub strikes_forgiven: bool,
}

/// Delay of each refusal once [`Terms::strikes_slow`] is reached (LIM-16).
pub const STRIKE_DELAY: Duration = Duration::from_secs(1);
