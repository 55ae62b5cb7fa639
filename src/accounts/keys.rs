//! The private keys with which a domain's mail is signed (DKIM).
//!
//! They are stored with their domain: they come and go with it, in one commit, and are wherever the
//! store is, in its backups too. A key has a time from which it signs, so that its record can
//! be everywhere before; one that signs no more stays until it is dropped, because signatures on
//! their way are still checked. Of each kind, the newest that has begun signs.

use super::{
    change::DirectoryError,
    directory::Directory,
    snapshot::{Edit, LocalDomain},
};
use crate::{
    base::{clock::Timestamp, secret::Secret},
    mail::{address::Domain, algorithm::Algorithm},
};

/// A private key of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimKey {
    /// Where its public half is published: `SELECTOR._domainkey.DOMAIN`.
    pub selector: String,
    /// Its kind.
    pub algorithm: Algorithm,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it signs.
    pub signs_from: Timestamp,
    /// The key.
    pub private: Secret<Vec<u8>>,
}

impl LocalDomain {
    /// All keys, oldest first.
    pub fn keys(&self) -> &[DkimKey] {
        &self.record.keys
    }

    /// Those that sign now: one of each kind, if there is one.
    pub fn signing_keys(&self, now: Timestamp) -> Vec<&DkimKey> {
        let of_kind = |algorithm| {
            let begun = self.keys().iter().filter(|key| key.signs_from <= now);
            // The last of equals: the one that was added last.
            begun
                .filter(|key| key.algorithm == algorithm)
                .max_by_key(|key| key.signs_from)
        };
        Algorithm::ALL.into_iter().filter_map(of_kind).collect()
    }
}

impl Directory {
    /// Adds keys to a domain. Their selectors must be new there.
    pub async fn add_keys(&self, name: &Domain, keys: &[DkimKey]) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let domain = snapshot.domain(name).ok_or(DirectoryError::UnknownDomain)?;
            let mut record = domain.record.clone();
            for key in keys {
                if record
                    .keys
                    .iter()
                    .any(|known| known.selector == key.selector)
                {
                    return Err(DirectoryError::SelectorExists);
                }
                record.keys.push(key.clone());
            }
            if record.keys.len() > KEYS_MAX {
                return Err(DirectoryError::TooManyKeys);
            }
            Ok((vec![Edit::PutDomain(name.clone(), record)], ()))
        })
        .await
    }

    /// Removes a key from a domain.
    pub async fn drop_key(&self, name: &Domain, selector: &str) -> Result<(), DirectoryError> {
        self.change(|snapshot, _| {
            let domain = snapshot.domain(name).ok_or(DirectoryError::UnknownDomain)?;
            let mut record = domain.record.clone();
            record.keys.retain(|key| key.selector != selector);
            if record.keys.len() == domain.record.keys.len() {
                return Err(DirectoryError::UnknownSelector);
            }
            Ok((vec![Edit::PutDomain(name.clone(), record)], ()))
        })
        .await
    }
}

/// Keys of one domain: four rotations of both kinds, of which none was dropped.
pub(super) const KEYS_MAX: usize = 8;
