//! Why a connection is ended from our side, whatever it is doing: the server stops, or its login
//! no longer holds (AUTH-06).
//!
//! Every wait of a connection for its client is also a wait for its recall; the verbs have no code
//! for it. A notice that credentials changed is only a hint: who hears it asks whether its own
//! still hold.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    authn::{Login, Verifier},
    protocol::Farewell,
    shutdown::Shutdown,
};
use crate::base::ids::Proof;

/// What may end one connection. The default is that nothing does.
#[derive(Default)]
pub struct Recall {
    shutdown: Option<Shutdown>,
    revocation: Option<Revocation>,
}

/// Hears when a login no longer holds.
pub struct Revocation {
    verifier: Arc<dyn Verifier>,
    proof: Proof,
    changes: watch::Receiver<u64>,
    /// Since when the login is known not to hold.
    since: Option<Instant>,
}

/// How long what a connection does may go on once it is recalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It waits for the next command, and ends at once.
    Idle,
    /// A command waits for its client to send something. A server that stops cannot wait for that;
    /// who changed a password has the time.
    Listening,
    /// A command works, or waits for its client to take what was said.
    Working,
}

impl Recall {
    /// By the end of the server.
    pub fn by(shutdown: Shutdown) -> Self {
        Self {
            shutdown: Some(shutdown),
            revocation: None,
        }
    }

    /// From now on also when `login` no longer holds, and no longer for any other.
    pub fn heed(&mut self, login: Option<&Login>) {
        let heeded = self.revocation.as_ref().map(|revocation| revocation.proof);
        if heeded != login.map(|login| login.proof) {
            self.revocation = login.map(Login::revocation);
        }
    }

    /// Resolves when the connection is to end. Safe to drop while waiting.
    pub async fn comes(&mut self, patience: Patience) -> Farewell {
        let stopped = async {
            let Some(shutdown) = &mut self.shutdown else {
                return pending().await;
            };
            shutdown.requested().await;
            lapse(shutdown.since(), patience.after_shutdown()).await;
        };
        let revoked = async {
            let Some(revocation) = &mut self.revocation else {
                return pending().await;
            };
            revocation.comes().await;
            lapse(revocation.since, patience.after_revocation()).await;
        };
        tokio::select! {
            biased;
            () = stopped => Farewell::Shutdown,
            () = revoked => Farewell::Revoked,
        }
    }

    /// Whether the connection is to end, and why.
    pub fn has_come(&mut self) -> Option<Farewell> {
        if self.shutdown.as_ref().and_then(Shutdown::since).is_some() {
            return Some(Farewell::Shutdown);
        }
        let revoked = self.revocation.as_mut().is_some_and(Revocation::has_come);
        revoked.then_some(Farewell::Revoked)
    }
}

impl Patience {
    fn after_shutdown(self) -> Duration {
        match self {
            Self::Idle | Self::Listening => Duration::ZERO,
            Self::Working => WORK_AFTER_SHUTDOWN,
        }
    }

    fn after_revocation(self) -> Duration {
        match self {
            Self::Idle => Duration::ZERO,
            Self::Listening | Self::Working => COMMAND_AFTER_REVOCATION,
        }
    }
}

impl Revocation {
    /// Of who proved this.
    pub(super) fn of(proof: Proof, verifier: Arc<dyn Verifier>) -> Self {
        let mut changes = verifier.changes();
        // What changed since the password was verified counts.
        changes.mark_changed();
        Self {
            verifier,
            proof,
            changes,
            since: None,
        }
    }

    /// Resolves when the login no longer holds, at once if it does not. Safe to drop while waiting.
    pub async fn comes(&mut self) {
        while !self.has_come() {
            if self.changes.changed().await.is_err() {
                // The accounts are closed: nothing changes any more.
                pending::<()>().await;
            }
            self.changes.mark_changed();
        }
    }

    /// Whether the login no longer holds. Costs next to nothing when nothing changed.
    pub fn has_come(&mut self) -> bool {
        if self.since.is_none() && self.changes.has_changed().unwrap_or(false) {
            self.changes.mark_unchanged();
            if !self.verifier.holds(self.proof) {
                self.since = Some(Instant::now());
            }
        }
        self.since.is_some()
    }
}

/// Waits for the rest of `patience`.
async fn lapse(since: Option<Instant>, patience: Duration) {
    if let Some(since) = since
        && !patience.is_zero()
    {
        // Boxed: hardly anybody comes here, and everybody would hold its room (LIM-36).
        Box::pin(sleep_until(since + patience)).await;
    }
}

/// How long a command may still work, and its client still take the answer, when the server stops;
/// well below what the whole server is given to end.
const WORK_AFTER_SHUTDOWN: Duration = Duration::from_secs(5);
/// AUTH-06: how long a command of a login that no longer holds may go on.
const COMMAND_AFTER_REVOCATION: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{
        base::{future::BoxFuture, ids::AccountId, secret::Secret},
        net::authn::VerifyFault,
    };

    /// One account whose credentials are counted.
    struct Accounts {
        credentials: AtomicU64,
        asked: AtomicU64,
        changes: watch::Sender<u64>,
    }

    impl Accounts {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                credentials: AtomicU64::new(0),
                asked: AtomicU64::new(0),
                changes: watch::Sender::new(0),
            })
        }

        fn change(&self) {
            self.credentials.fetch_add(1, Ordering::Relaxed);
            self.unrelated();
        }

        fn unrelated(&self) {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    impl Verifier for Accounts {
        fn verify<'a>(
            &'a self,
            _name: &'a str,
            _password: &'a Secret<String>,
        ) -> BoxFuture<'a, Result<Option<Proof>, VerifyFault>> {
            Box::pin(async { Ok(None) })
        }

        fn account(&self, _name: &str) -> Option<AccountId> {
            None
        }

        fn vouched(&self, _name: &str) -> Option<Proof> {
            None
        }

        fn holds(&self, proof: Proof) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed);
            proof.credentials == self.credentials.load(Ordering::Relaxed)
        }

        fn changes(&self) -> watch::Receiver<u64> {
            self.changes.subscribe()
        }
    }

    fn revocation(accounts: &Arc<Accounts>) -> Revocation {
        let proof = Proof {
            account: AccountId(1),
            credentials: 0,
        };
        Revocation::of(proof, Arc::clone(accounts) as _)
    }

    async fn is_pending(revocation: &mut Revocation) -> bool {
        tokio::select! {
            biased;
            () = revocation.comes() => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn auth_06_only_a_change_of_ones_own_credentials_is_the_end() {
        let accounts = Accounts::new();
        let mut revocation = revocation(&accounts);
        assert!(is_pending(&mut revocation).await);
        accounts.unrelated();
        assert!(is_pending(&mut revocation).await);
        assert!(is_pending(&mut revocation).await && !revocation.has_come());
        assert_eq!(accounts.asked.load(Ordering::Relaxed), 2, "once a notice");
        accounts.change();
        assert!(revocation.has_come());
        revocation.comes().await;
        assert!(revocation.has_come(), "it stays so");
    }

    #[tokio::test]
    async fn auth_06_a_change_while_the_login_was_made_is_seen() {
        let accounts = Accounts::new();
        accounts.change();
        assert!(revocation(&accounts).has_come());
        // Nobody is left who could tell of a change.
        let accounts = Accounts::new();
        let mut revocation = revocation(&accounts);
        let (unrelated, _) = watch::channel(0);
        revocation.changes = unrelated.subscribe();
        drop(unrelated);
        assert!(is_pending(&mut revocation).await);
    }
}
