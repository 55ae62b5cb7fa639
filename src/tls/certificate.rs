//! Certificates and keys from PEM files, and the place from which they can be replaced while
//! sessions run.
//!
//! TLS-08: a key file that others can read is refused. "Others" are the file's others, not its
//! group: a key that root keeps for a group of services (0640 root:ssl-cert) is how Debian and the
//! shipped unit do it. But that group may only read: who can write the file can replace the key.
//! Every error names the file and what would be right.
//!
//! TLS-05: what replaces a certificate is whole: PEM, a chain and its own key, and valid now. Files
//! that changed are read without being asked, once they rest.

use std::{
    fmt, fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio_rustls::rustls::{
    self,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::base::clock::{Clock, Timestamp};

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {wrong}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        wrong: String,
    },
}

/// The certificate in use; replaced as a whole.
pub struct Certificate {
    files: Files,
    clock: Clock,
    current: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

/// Where a certificate comes from.
struct Files {
    chain: PathBuf,
    key: PathBuf,
}

/// What the files looked like.
struct Seen {
    /// When they were read.
    read: Stamp,
    /// At the last look.
    last: Stamp,
    /// When what was not valid then is read again.
    again: Option<Timestamp>,
}

/// What tells two states of the chain and the key apart: which file, how long, when written and
/// when changed. `None` for one that is not there.
type Stamp = [Option<(u64, u64, [i64; 4])>; 2];

impl Certificate {
    /// Loads a chain and its key from PEM files. Whether they are valid is another question: see
    /// [`Certificate::validity`].
    ///
    /// # Errors
    /// Names the file that is at fault.
    pub fn load(chain: &Path, key: &Path, clock: Clock) -> Result<Self, CertificateError> {
        let files = Files {
            chain: chain.to_owned(),
            key: key.to_owned(),
        };
        let stamp = files.stamp();
        let current = files.read()?;
        Ok(Self {
            files,
            clock,
            current: RwLock::new(current),
            seen: Mutex::new(Seen {
                read: stamp,
                last: stamp,
                again: None,
            }),
        })
    }

    /// Whether the certificate in use is valid now.
    ///
    /// # Errors
    /// Says since when it no longer is, or how soon it will be.
    pub fn validity(&self) -> Result<(), CertificateError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let current = Arc::clone(&current);
        self.valid(&current.cert)
    }

    /// Whether the certificate in use is one for `name`, as who asks for that name compares.
    pub fn covers(&self, name: &str) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let current = Arc::clone(&current);
        let first = current.cert.first().map(webpki::EndEntityCert::try_from);
        match (first, ServerName::try_from(name)) {
            (Some(Ok(first)), Ok(name)) => first.verify_is_valid_for_subject_name(&name).is_ok(),
            _ => false,
        }
    }

    /// Replaces the certificate by what the files hold now; on error the old one stays (TLS-05).
    /// Of a chain only the first certificate must be valid: clients find ways around others.
    ///
    /// # Errors
    /// As [`Certificate::load`] and [`Certificate::validity`].
    pub fn reload(&self) -> Result<(), CertificateError> {
        let stamp = self.files.stamp();
        let mut seen = self.seen();
        (seen.read, seen.again) = (stamp, None);
        drop(seen);
        let fresh = self.files.read()?;
        if let Err(lapsed) = self.valid(fresh.cert.get(..1).unwrap_or_default()) {
            // It may become valid: its maker's clock and ours are not the same.
            self.seen().again = Some(self.clock.wall().plus(READ_AGAIN));
            return Err(lapsed);
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Reads the files again if they have changed since they were read, and rest since the last
    /// look: a chain that was written without its key yet is no mistake. `None` when there was
    /// nothing to do. To be called now and then.
    pub fn refresh(&self) -> Option<Result<(), CertificateError>> {
        let stamp = self.files.stamp();
        let mut seen = self.seen();
        let rests = std::mem::replace(&mut seen.last, stamp) == stamp;
        let is_due = seen.again.is_some_and(|again| self.clock.wall() >= again);
        let is_new = seen.read != stamp || is_due;
        drop(seen);
        (is_new && rests).then(|| self.reload())
    }

    fn valid(&self, chain: &[CertificateDer<'_>]) -> Result<(), CertificateError> {
        let now = u64::try_from(self.clock.wall().secs()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        for (at, certificate) in chain.iter().enumerate() {
            if let Some(why) = lapse(certificate, now) {
                let which = at + 1;
                let text = format!("certificate {which} of the chain {why}");
                return Err(wrong(&self.files.chain, text));
            }
        }
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.chain, &self.key].map(|path| {
            let facts = fs::metadata(path).ok()?;
            let written = (facts.mtime(), facts.mtime_nsec());
            let changed = (facts.ctime(), facts.ctime_nsec());
            let times = [written.0, written.1, changed.0, changed.1];
            Some((facts.ino(), facts.len(), times))
        })
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let certificates = certificates(&self.chain)?;
        let private = private_key(&self.key)?;
        let certified =
            CertifiedKey::from_der(certificates, private, &provider()).map_err(|error| {
                wrong(
                    &self.key,
                    format!("does not belong to {}: {error}", self.chain.display()),
                )
            })?;
        Ok(Arc::new(certified))
    }
}

/// Why a certificate is not valid at `now`. One that cannot be understood is not judged.
fn lapse(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    // Nobody is trusted here; but first of all a path is refused for its time.
    let usage = webpki::KeyUsage::server_auth();
    let verified = certificate.verify_for_usage(&[], &[], &[], now, usage, None, None);
    match verified.err()? {
        webpki::Error::CertExpired { not_after, .. } => {
            let span = span(not_after, now);
            Some(format!("has expired {span} ago: it must be renewed"))
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            let span = span(now, not_before);
            Some(format!("is valid in {span} only: is the clock right?"))
        }
        _ => None,
    }
}

fn span(from: UnixTime, to: UnixTime) -> String {
    let hours = to.as_secs().saturating_sub(from.as_secs()) / 3600;
    if hours < 48 {
        format!("{hours} hours")
    } else {
        format!("{} days", hours / 24)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    /// One certificate for every name: an unknown or missing SNI gets it too (TLS-04).
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(
            &self.current.read().unwrap_or_else(PoisonError::into_inner),
        ))
    }
}

/// The certificates of a PEM file, in order.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = bytes_of(path)?;
    let found: Result<Vec<_>, _> = rustls_pemfile::certs(&mut pem.as_slice()).collect();
    let found = found.map_err(|error| wrong(path, format!("is not PEM: {error}")))?;
    if found.is_empty() {
        return Err(wrong(
            path,
            "holds no certificate: a PEM chain is needed, ours first",
        ));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let (mut pem, mut mode) = (Vec::new(), 0);
    // One open file: what was looked at is what is read.
    let read = fs::File::open(path).and_then(|mut file| {
        mode = file.metadata()?.permissions().mode();
        file.read_to_end(&mut pem)
    });
    read.map_err(|cause| unreadable(path, cause))?;
    if mode & OPEN_TO_OTHERS != 0 {
        let mode = mode & 0o777;
        let text = format!(
            "has mode {mode:04o}: `chmod 0600` it, or `chmod 0640` for a key that its group reads"
        );
        return Err(wrong(path, text));
    }
    rustls_pemfile::private_key(&mut pem.as_slice())
        .map_err(|error| wrong(path, format!("is not PEM: {error}")))?
        .ok_or_else(|| wrong(path, "holds no private key: a PEM private key is needed"))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|cause| unreadable(path, cause))
}

fn unreadable(path: &Path, cause: io::Error) -> CertificateError {
    CertificateError::Unreadable {
        path: path.to_path_buf(),
        cause,
    }
}

fn wrong(path: &Path, wrong: impl Into<String>) -> CertificateError {
    CertificateError::Wrong {
        path: path.to_path_buf(),
        wrong: wrong.into(),
    }
}

/// The one crypto provider of the process.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS-05: after this long what was not valid is looked at again.
const READ_AGAIN: Duration = Duration::from_secs(3600);
/// TLS-08: anything for others, and writing for the group.
const OPEN_TO_OTHERS: u32 = 0o027;

#[cfg(test)]
mod tests {
    use super::*;

    /// A fresh certificate with its key, private.
    fn make(dir: &Path) -> (PathBuf, PathBuf) {
        make_until(dir, 4000)
    }

    /// One that is valid from 2001 until this year.
    fn make_until(dir: &Path, year: i32) -> (PathBuf, PathBuf) {
        let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        wanted.not_before = rcgen::date_time_ymd(2001, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(year, 1, 1);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let made = wanted.self_signed(&signing_key).unwrap();
        let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        for (path, text) in [(&chain, made.pem()), (&key, signing_key.serialize_pem())] {
            // As another file: times alone may be too coarse for a test.
            let fresh = path.with_extension("new");
            fs::write(&fresh, text).unwrap();
            fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).unwrap();
            fs::rename(fresh, path).unwrap();
        }
        (chain, key)
    }

    fn load(chain: &Path, key: &Path) -> Result<Certificate, CertificateError> {
        Certificate::load(chain, key, Clock::system())
    }

    fn inside(certificate: &Certificate) -> Vec<CertificateDer<'static>> {
        certificate.current.read().unwrap().cert.clone()
    }

    #[test]
    fn tls_08_a_key_is_for_its_owner_and_for_a_group_that_reads() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = make(dir.path());
        for (mode, refused) in [
            (0o400, false),
            (0o600, false),
            (0o440, false),
            (0o640, false),
            (0o644, true),
            (0o604, true),
            (0o601, true),
            (0o602, true),
            (0o660, true),
        ] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            match load(&chain, &key) {
                Ok(_) => assert!(!refused, "{mode:o}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(refused && said.contains("chmod 0600"), "{mode:o}: {said}");
                }
            }
        }
    }

    #[test]
    fn a_certificate_is_for_the_names_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = make(dir.path());
        let certificate = load(&chain, &key).unwrap();
        let covered =
            ["localhost", "mta-sts.localhost", "", "a b"].map(|name| certificate.covers(name));
        assert_eq!(covered, [true, false, false, false]);
    }

    #[test]
    fn tls_05_a_reload_takes_a_whole_pair_or_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = make(dir.path());
        let certificate = load(&chain, &key).unwrap();
        let first = inside(&certificate);
        let old_key = fs::read(&key).unwrap();
        make(dir.path());
        let new_key = fs::read(&key).unwrap();
        for (wrong_key, part) in [(&old_key[..], "does not belong"), (b"", "no private key")] {
            fs::write(&key, wrong_key).unwrap();
            let error = certificate.reload().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_eq!(inside(&certificate), first);
        }
        fs::write(&key, new_key).unwrap();
        certificate.reload().unwrap();
        assert_ne!(inside(&certificate), first);
    }

    #[tokio::test(start_paused = true)]
    async fn tls_05_what_is_not_valid_now_replaces_nothing_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let at = |secs| Clock::steered(Timestamp::from_secs(secs));
        // 2026-01-03.
        let clock = at(1_767_398_400);
        let (chain, key) = make_until(dir.path(), 2027);
        let certificate = Certificate::load(&chain, &key, clock).unwrap();
        certificate.validity().unwrap();
        let first = inside(&certificate);
        make_until(dir.path(), 2026);
        let error = certificate.reload().unwrap_err().to_string();
        assert!(error.contains("has expired 2 days ago"), "{error}");
        assert_eq!(inside(&certificate), first);
        // At the start there is nothing better.
        for (secs, part) in [
            (1_767_398_400, "has expired 2 days ago"),
            (978_300_000, "is valid in 2 hours only"),
        ] {
            let certificate = Certificate::load(&chain, &key, at(secs)).unwrap();
            let error = certificate.validity().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tls_05_what_is_not_valid_yet_is_read_again_later() {
        let dir = tempfile::tempdir().unwrap();
        // Two minutes before 2001, when all these begin.
        let clock = Clock::steered(Timestamp::from_secs(978_307_080));
        let (chain, key) = make(dir.path());
        let certificate = Certificate::load(&chain, &key, clock).unwrap();
        let first = inside(&certificate);
        make(dir.path());
        assert!(certificate.refresh().is_none());
        certificate.refresh().unwrap().unwrap_err();
        tokio::time::advance(READ_AGAIN / 2).await;
        assert!(certificate.refresh().is_none(), "told once");
        tokio::time::advance(READ_AGAIN / 2).await;
        certificate.refresh().unwrap().unwrap();
        assert_ne!(inside(&certificate), first);
        assert!(certificate.refresh().is_none());
    }

    #[test]
    fn tls_05_files_that_changed_are_read_once_they_rest() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = make(dir.path());
        let certificate = load(&chain, &key).unwrap();
        let first = inside(&certificate);
        assert!(certificate.refresh().is_none());
        make(dir.path());
        assert!(certificate.refresh().is_none(), "perhaps half written");
        assert_eq!(inside(&certificate), first);
        certificate.refresh().unwrap().unwrap();
        assert_ne!(inside(&certificate), first);
        assert!(certificate.refresh().is_none());
        // A mistake is told once.
        fs::write(&key, "").unwrap();
        assert!(certificate.refresh().is_none());
        certificate.refresh().unwrap().unwrap_err();
        assert!(certificate.refresh().is_none());
        make(dir.path());
        assert!(certificate.refresh().is_none());
        certificate.refresh().unwrap().unwrap();
    }

    #[test]
    fn files_that_are_no_certificates_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (_, key) = make(dir.path());
        assert!(
            load(&key, &key)
                .unwrap_err()
                .to_string()
                .contains("no certificate")
        );
        assert!(load(&dir.path().join("absent"), &key).is_err());
    }
}
