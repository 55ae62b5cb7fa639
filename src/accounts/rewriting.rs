//! The secrets with which rewritten senders are proved to be ours (SRS).
//!
//! One installation has one that works, made when it is first needed, and those before it, so that
//! reports about what was forwarded before a rotation still come home. They are part of the
//! directory: in its commits, its snapshot and its backups. What is written with them is `route`'s.

use super::{
    change::DirectoryError,
    directory::Directory,
    limits,
    snapshot::{Edit, Snapshot},
};
use crate::base::{clock::Timestamp, secret::Secret};

/// One secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewritingSecret {
    /// When it was made.
    pub made: Timestamp,
    /// The secret.
    pub key: Secret<Vec<u8>>,
}

impl Snapshot {
    /// All secrets, oldest first: the last one is for new senders.
    pub fn rewriting_secrets(&self) -> &[RewritingSecret] {
        &self.secrets
    }
}

impl Directory {
    /// Makes the first secret, unless there is one.
    pub async fn make_rewriting_secret(&self) -> Result<(), DirectoryError> {
        if !self.snapshot().secrets.is_empty() {
            return Ok(());
        }
        let fresh = self.fresh_secret();
        self.change(|snapshot, _| match snapshot.secrets.is_empty() {
            true => Ok((vec![Edit::PutSecrets(vec![fresh.clone()])], ())),
            false => Ok((Vec::new(), ())),
        })
        .await
    }

    /// Makes a new secret for new senders; those before still prove the old ones.
    pub async fn rotate_rewriting_secret(&self) -> Result<(), DirectoryError> {
        let fresh = self.fresh_secret();
        self.change(|snapshot, _| {
            let mut secrets = snapshot.secrets.to_vec();
            secrets.push(fresh.clone());
            let surplus = secrets.len().saturating_sub(limits::REWRITING_SECRETS_MAX);
            secrets.drain(..surplus);
            Ok((vec![Edit::PutSecrets(secrets)], ()))
        })
        .await
    }

    fn fresh_secret(&self) -> RewritingSecret {
        RewritingSecret {
            made: self.0.clock.wall(),
            key: Secret::new(self.0.random.bytes::<32>().to_vec()),
        }
    }
}
