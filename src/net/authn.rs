//! Logging in, the same for every protocol: names and passwords, verified, throttled, counted.
//!
//! Knows no connection: who asks says where the peer is, and answers as late as it is told. How a
//! line protocol does that stands in `login`. Unknown, wrong, disabled and blocked look the same to
//! the peer (AUTH-05). What a session holds after it is a [`Login`], whose permit ends with it
//! (LIM-03).

use std::{net::IpAddr, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    gate::{Gate, SessionPermit},
    recall::Revocation,
    throttle::{Decision, Throttle, Try},
};
use crate::{
    base::{
        future::BoxFuture,
        ids::{AccountId, Proof},
        secret::Secret,
        text::{Causes, Quoted},
    },
    sasl::Credentials,
};

/// Checks a name and a password; made by the composition root from the accounts.
pub trait Verifier: Send + Sync + 'static {
    /// Whose `name` and `password` are; `None` for whatever is not right.
    fn verify<'a>(
        &'a self,
        name: &'a str,
        password: &'a Secret<String>,
    ) -> BoxFuture<'a, Result<Option<Proof>, VerifyFault>>;

    /// Whose `name` is, whatever the password: how often it may be guessed is counted for the
    /// account, not for one of its spellings. Never told to a peer.
    fn account(&self, name: &str) -> Option<AccountId>;

    /// Who has this name and may log in, for a proxy of ours that knows the password was right.
    fn vouched(&self, name: &str) -> Option<Proof>;

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

/// What trying to log in comes to.
pub struct Outcome {
    /// How late the peer is to be told.
    pub wait: Duration,
    /// Who came in, or why nobody did.
    pub login: Result<Login, AuthRefusal>,
}

/// Failed logins of one connection; STARTTLS does not make it another one.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailedLogins(u32);

/// What becomes of a connection that was refused a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may try again.
    TryAgain,
    /// It may try again at the cost of a strike (LIM-16): no password was found wrong.
    Strike,
    /// It ends (LIM-17).
    End,
}

impl FailedLogins {
    /// Counts guesses, not mistakes of form nor our being busy.
    pub fn judge(&mut self, refusal: AuthRefusal) -> Verdict {
        if refusal != AuthRefusal::Wrong {
            return Verdict::Strike;
        }
        self.0 += 1;
        if self.0 < FAILED_LOGINS_MAX {
            Verdict::TryAgain
        } else {
            Verdict::End
        }
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

    /// Verifies what a SASL exchange brought from `source`.
    pub async fn check_credentials(&self, source: IpAddr, credentials: &Credentials) -> Outcome {
        let Credentials {
            authorization,
            name,
            password,
        } = credentials;
        if authorization.as_ref().is_none_or(|other| other == name) {
            return self.check(source, name, password).await;
        }
        // Nobody may act for somebody else: refused, delayed and counted like a wrong password. An
        // empty one is never anybody's, and is refused without a hash.
        let outcome = self.check(source, name, &Secret::new(String::new())).await;
        Outcome {
            login: Err(AuthRefusal::Wrong),
            ..outcome
        }
    }

    /// Verifies a name and a password from `source`.
    pub async fn check(&self, source: IpAddr, name: &str, password: &Secret<String>) -> Outcome {
        let owner = self.verifier.account(name);
        let tried = self.throttle.tried(source, owner, name, password);
        if let Decision::Block(wait) = self.throttle.decide(&tried, Instant::now()) {
            tracing::warn!(peer.ip = %source, name = %Quoted::str(name), "login blocked");
            // Nothing is verified, so that the time cannot tell whether the password was right.
            return Outcome {
                wait,
                login: Err(AuthRefusal::Wrong),
            };
        }
        let login = match self.verifier.verify(name, password).await {
            Ok(Some(proof)) => self.admit(proof, name, source, &tried),
            Ok(None) => {
                tracing::warn!(peer.ip = %source, name = %Quoted::str(name), "login refused");
                return Outcome {
                    wait: self.throttle.failed(&tried, Instant::now()),
                    login: Err(AuthRefusal::Wrong),
                };
            }
            Err(VerifyFault::Busy) => Err(AuthRefusal::Busy),
            Err(fault @ VerifyFault::Store(_)) => {
                tracing::error!(error = %Causes(&fault), "login failed for a reason of ours");
                Err(AuthRefusal::Busy)
            }
        };
        Outcome {
            wait: Duration::ZERO,
            login,
        }
    }

    fn admit(
        &self,
        proof: Proof,
        name: &str,
        source: IpAddr,
        tried: &Try,
    ) -> Result<Login, AuthRefusal> {
        self.throttle.succeeded(tried);
        self.enter(proof, name, source)
    }

    /// Lets somebody in on the word of a peer whom the operator named; no password is asked for.
    ///
    /// # Errors
    /// `Wrong` when nobody has this name or may log in, `TooManySessions`.
    pub fn vouched(&self, source: IpAddr, name: &str) -> Result<Login, AuthRefusal> {
        let proof = self.verifier.vouched(name).ok_or(AuthRefusal::Wrong)?;
        self.enter(proof, name, source)
    }

    fn enter(&self, proof: Proof, name: &str, source: IpAddr) -> Result<Login, AuthRefusal> {
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

/// LIM-17: failed logins that end a connection.
pub const FAILED_LOGINS_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_17_guesses_end_a_connection_and_mistakes_do_not() {
        use AuthRefusal::{
            Busy, Cancelled, Malformed, TooLong, TooManySessions, Unsupported, Wrong,
        };
        let mut failures = FailedLogins::default();
        for refusal in [
            Busy,
            Cancelled,
            Malformed,
            TooLong,
            TooManySessions,
            Unsupported,
        ] {
            assert_eq!(failures.judge(refusal), Verdict::Strike, "{refusal:?}");
        }
        let verdicts = [Wrong; FAILED_LOGINS_MAX as usize].map(|wrong| failures.judge(wrong));
        assert_eq!(
            verdicts,
            [Verdict::TryAgain, Verdict::TryAgain, Verdict::End]
        );
    }
}
