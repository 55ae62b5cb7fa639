//! Logging in, the same for every protocol: SASL exchanges and plain passwords, verified,
//! throttled, counted.
//!
//! Unknown, wrong, disabled and blocked look the same to the peer (AUTH-05). What a session holds
//! after it is a
//! [`Login`], whose permit ends with it (LIM-03).

use std::{net::IpAddr, sync::Arc};

use tokio::{sync::watch, time::Instant};

use super::{
    conn::Gone,
    gate::{Gate, SessionPermit},
    protocol::Protocol,
    recall::Revocation,
    throttle::{Decision, Throttle},
    turn::{Response, Turn},
};
use crate::{
    base::{
        future::BoxFuture,
        ids::{AccountId, Proof},
        secret::Secret,
        text::Quoted,
    },
    sasl::{Credentials, Exchange, Mechanism, SaslStep},
    wire::base64,
};

/// Checks a name and a password; made by the composition root from the accounts.
pub trait Verifier: Send + Sync + 'static {
    /// Whose `name` and `password` are; `None` for whatever is not right.
    fn verify<'a>(
        &'a self,
        name: &'a str,
        password: &'a Secret<String>,
    ) -> BoxFuture<'a, Result<Option<Proof>, VerifyFault>>;

    /// Whether who proved this may stay (AUTH-06).
    fn holds(&self, proof: Proof) -> bool;

    /// Changes after what holds may have changed; perhaps without need.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Why nothing can be said about a password now.
#[derive(Debug, thiserror::Error)]
pub enum VerifyFault {
    /// Too many verifications wait already (AUTH-01).
    #[error("too many logins at once")]
    Busy,
    /// The store failed.
    #[error("accounts cannot be read")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Lets people in. Cheap to clone.
#[derive(Clone)]
pub struct Authn {
    verifier: Arc<dyn Verifier>,
    throttle: Arc<Throttle>,
    gate: Gate,
}

/// Somebody who was let in.
pub struct Login {
    /// What was proved.
    pub(super) proof: Proof,
    verifier: Arc<dyn Verifier>,
    /// Counts the session as long as it lasts.
    _permit: SessionPermit,
}

impl Login {
    /// Which account.
    pub fn account(&self) -> AccountId {
        self.proof.account
    }

    /// Tells when it no longer holds (AUTH-06).
    pub fn revocation(&self) -> Revocation {
        Revocation::of(self.proof, Arc::clone(&self.verifier))
    }
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthRefusal {
    /// Unknown, wrong, disabled or blocked: all the same to the peer.
    Wrong,
    /// Try again later.
    Busy,
    /// The account has too many sessions (LIM-03).
    TooManySessions,
    /// The exchange was not of the mechanism, or not base64.
    Malformed,
    /// A response was too long.
    TooLong,
    /// The client gave up.
    Cancelled,
    /// No such mechanism.
    Unsupported,
}

impl AuthRefusal {
    /// Whether no password was tried: a mistake of form costs a strike (LIM-16) and is no failed
    /// login (LIM-17).
    pub fn is_mistake(self) -> bool {
        matches!(
            self,
            Self::Malformed | Self::TooLong | Self::Cancelled | Self::Unsupported
        )
    }
}

impl Authn {
    /// Over a verifier, with the process's gate.
    pub fn new(verifier: Arc<dyn Verifier>, throttle: Throttle, gate: Gate) -> Self {
        Self {
            verifier,
            throttle: Arc::new(throttle),
            gate,
        }
    }

    /// Runs a SASL exchange over `turn`. `initial` is the initial response as it stood in the
    /// command, still base64; `=` is an empty one (RFC 4954 4, RFC 4959 3, RFC 5034 4).
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn sasl<P: Protocol>(
        &self,
        turn: &mut Turn<'_, P>,
        mechanism: &str,
        initial: Option<&[u8]>,
    ) -> Result<Result<Login, AuthRefusal>, Gone> {
        let credentials = match exchange(turn, mechanism, initial).await? {
            Ok(credentials) => credentials,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if credentials
            .authorization
            .as_ref()
            .is_some_and(|other| *other != credentials.name)
        {
            // Nobody may act for somebody else: refused, delayed and counted like a wrong password.
            // An empty one is never anybody's, and is refused without a hash.
            let nothing = Secret::new(String::new());
            let _ = self.password(turn, &credentials.name, &nothing).await?;
            return Ok(Err(AuthRefusal::Wrong));
        }
        self.password(turn, &credentials.name, &credentials.password)
            .await
    }

    /// Verifies a name and a password (LOGIN, USER and PASS).
    ///
    /// # Errors
    /// When the connection is of no more use.
    pub async fn password<P: Protocol>(
        &self,
        turn: &mut Turn<'_, P>,
        name: &str,
        password: &Secret<String>,
    ) -> Result<Result<Login, AuthRefusal>, Gone> {
        let source = turn.peer().remote.ip();
        if let Decision::Block(wait) = self.throttle.decide(source, Instant::now()) {
            tracing::warn!(peer.ip = %source, name = %Quoted::str(name), "login blocked");
            // Nothing is verified, so that the time cannot tell whether the password was right.
            turn.pause(wait).await?;
            return Ok(Err(AuthRefusal::Wrong));
        }
        Ok(match self.verifier.verify(name, password).await {
            Ok(Some(proof)) => self.admit(proof, name, source),
            Ok(None) => {
                let wait = self.throttle.failed(source, name, password, Instant::now());
                tracing::warn!(peer.ip = %source, name = %Quoted::str(name), "login refused");
                turn.pause(wait).await?;
                Err(AuthRefusal::Wrong)
            }
            Err(VerifyFault::Busy) => Err(AuthRefusal::Busy),
            Err(fault @ VerifyFault::Store(_)) => {
                let cause = std::error::Error::source(&fault).map(ToString::to_string);
                tracing::error!(error = %fault, cause, "login failed for a reason of ours");
                Err(AuthRefusal::Busy)
            }
        })
    }

    fn admit(&self, proof: Proof, name: &str, source: IpAddr) -> Result<Login, AuthRefusal> {
        self.throttle.succeeded(source);
        let account = proof.account;
        let permit = self.gate.login(account, source).ok_or_else(|| {
            tracing::warn!(peer.ip = %source, account = %account, "too many sessions");
            AuthRefusal::TooManySessions
        })?;
        tracing::info!(peer.ip = %source, account = %account, name = %Quoted::str(name), "login");
        Ok(Login {
            proof,
            verifier: Arc::clone(&self.verifier),
            _permit: permit,
        })
    }
}

async fn exchange<P: Protocol>(
    turn: &mut Turn<'_, P>,
    mechanism: &str,
    initial: Option<&[u8]>,
) -> Result<Result<Credentials, AuthRefusal>, Gone> {
    let Some(mechanism) = Mechanism::named(mechanism) else {
        return Ok(Err(AuthRefusal::Unsupported));
    };
    let mut response = match initial {
        None => None,
        Some(b"=") => Some(Vec::new()),
        Some(encoded) => match base64::decode(encoded) {
            Some(bytes) => Some(bytes),
            None => return Ok(Err(AuthRefusal::Malformed)),
        },
    };
    let mut exchange = Exchange::start(mechanism);
    loop {
        let challenge = match exchange.step(response.as_deref()) {
            SaslStep::Done(credentials) => return Ok(Ok(credentials)),
            SaslStep::Malformed => return Ok(Err(AuthRefusal::Malformed)),
            SaslStep::Challenge(challenge) => challenge,
        };
        response = match turn.challenge(challenge).await? {
            Response::Bytes(bytes) => Some(bytes),
            Response::Cancelled => return Ok(Err(AuthRefusal::Cancelled)),
            Response::Malformed => return Ok(Err(AuthRefusal::Malformed)),
            Response::TooLong => return Ok(Err(AuthRefusal::TooLong)),
        };
    }
}
