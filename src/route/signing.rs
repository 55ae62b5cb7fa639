//! Signs what our users and we ourselves send: with the keys of the author's domain, or of one
//! above it that has keys (DKIM-02; the reports of `mail.example.org` are signed by
//! `example.org`); and seals what is passed on (RFC 8617) with the RSA key of the address that does
//! it.
//!
//! Keys that were read are kept: reading an RSA key checks all of it. Signing itself takes a
//! blocking thread.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    accounts::{Directory, DkimKey, LocalDomain, Snapshot},
    base::clock::Clock,
    mail::{address::Domain, algorithm::Algorithm},
    verify::{Draft, Sealable, Signer, SigningKey, Work},
};

/// Signs messages. Cheap to clone.
#[derive(Clone)]
pub(super) struct Signing(Arc<Inner>);

struct Inner {
    directory: Directory,
    clock: Clock,
    work: Work,
    /// By domain and selector, with what they were read from.
    read: Mutex<HashMap<(Domain, String), ReadKey>>,
    /// Of which it was said that they cannot seal.
    keyless: Mutex<HashSet<Domain>>,
}

/// A key as it was stored, and ready to sign.
type ReadKey = (DkimKey, Arc<SigningKey>);

impl Signing {
    /// With the keys of this directory.
    pub(super) fn new(directory: Directory, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            directory,
            clock,
            work: Work::default(),
            read: Mutex::default(),
            keyless: Mutex::default(),
        }))
    }

    /// Whether anybody has keys for this message: without, there is no need to look at its body.
    pub(super) fn may_sign(&self, draft: &Draft) -> bool {
        let snapshot = self.0.directory.snapshot();
        let author = draft.author_domain();
        author.is_some_and(|author| with_keys(&snapshot, &author).is_some())
    }

    /// The fields that sign a message, to be put before it; empty when nobody has a key for it.
    pub(super) async fn sign(&self, draft: Draft) -> Vec<u8> {
        let snapshot = self.0.directory.snapshot();
        let author = draft.author_domain();
        let Some(domain) = author.and_then(|author| with_keys(&snapshot, &author)) else {
            return Vec::new();
        };
        let now = self.0.clock.wall();
        let keys = domain.signing_keys(now);
        let signers: Vec<Signer> = keys
            .into_iter()
            .filter_map(|key| {
                let signer = self.signer(domain, key);
                if signer.is_none() {
                    let (domain, selector) = (domain.name.as_str(), key.selector.as_str());
                    tracing::error!(domain, selector, "a signing key cannot be read");
                }
                signer
            })
            .collect();
        if signers.is_empty() {
            return Vec::new();
        }
        let signed = self.0.work.run(move || draft.sign(&signers, now.secs()));
        signed.await.unwrap_or_default()
    }

    /// The fields that seal a message in the name of this domain, or of one above it that has keys;
    /// none when nobody has one for it, which is said once.
    pub(super) async fn seal(&self, sealable: Sealable, domain: &Domain) -> Option<String> {
        let snapshot = self.0.directory.snapshot();
        let now = self.0.clock.wall();
        let signer = with_keys(&snapshot, domain.as_str()).and_then(|found| {
            let mut keys = found.signing_keys(now).into_iter();
            let key = keys.find(|key| key.algorithm == Algorithm::RsaSha256)?;
            self.signer(found, key)
        });
        let Some(signer) = signer else {
            let keyless = self.0.keyless.lock();
            let mut keyless = keyless.unwrap_or_else(PoisonError::into_inner);
            if keyless.insert(domain.clone()) {
                let domain = domain.as_str();
                tracing::warn!(
                    domain,
                    "what it passes on is not sealed: it has no RSA key (DKIM)"
                );
            }
            return None;
        };
        let sealed = self.0.work.run(move || sealable.seal(&signer, now.secs()));
        sealed.await.flatten()
    }

    fn signer(&self, domain: &LocalDomain, key: &DkimKey) -> Option<Signer> {
        let name = (domain.name.clone(), key.selector.clone());
        let mut read = self.0.read.lock().unwrap_or_else(PoisonError::into_inner);
        let known = read.get(&name).filter(|(of, _)| of == key);
        let pair = match known {
            Some((_, pair)) => Arc::clone(pair),
            None => {
                let pair = SigningKey::read(key.algorithm, key.private.expose())?;
                let pair = Arc::new(pair);
                read.insert(name, (key.clone(), Arc::clone(&pair)));
                pair
            }
        };
        Some(Signer {
            domain: domain.name.to_string(),
            selector: key.selector.clone(),
            key: pair,
        })
    }
}

/// The local domain nearest to `author`, itself or above it, that has keys.
fn with_keys<'a>(snapshot: &'a Snapshot, author: &str) -> Option<&'a LocalDomain> {
    let mut name = author;
    loop {
        let domain = Domain::parse(name).ok()?;
        let found = snapshot.domain(&domain);
        if let Some(found) = found.filter(|domain| !domain.keys().is_empty()) {
            return Some(found);
        }
        (_, name) = name.split_once('.')?;
    }
}
