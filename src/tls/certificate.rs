//! Certificates and keys from PEM files, and the place from which they can be replaced while
//! sessions run.
//!
//! TLS-08: a key file that others can read is refused. "Others" are the file's others, not its
//! group: a key that root keeps for a group of services (0640 root:ssl-cert) is how Debian and the
//! shipped unit do it. But that group may only read: who can write the file can replace the key.
//! Every error names the file and what would be right.

use std::{
    fmt, fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use tokio_rustls::rustls::{
    self,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

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
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Loads a chain and its key from PEM files.
    ///
    /// # Errors
    /// Names the file that is at fault.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        Ok(Self {
            current: RwLock::new(read(chain, key)?),
        })
    }

    /// Replaces the certificate by what the files hold now; on error the old one stays (TLS-05).
    ///
    /// # Errors
    /// As [`Certificate::load`].
    pub fn reload(&self, chain: &Path, key: &Path) -> Result<(), CertificateError> {
        let fresh = read(chain, key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
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

fn read(chain: &Path, key: &Path) -> Result<Arc<CertifiedKey>, CertificateError> {
    let certificates = certificates(chain)?;
    let private = private_key(key)?;
    let certified =
        CertifiedKey::from_der(certificates, private, &provider()).map_err(|error| {
            wrong(
                key,
                format!("does not belong to {}: {error}", chain.display()),
            )
        })?;
    Ok(Arc::new(certified))
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

/// TLS-08: anything for others, and writing for the group.
const OPEN_TO_OTHERS: u32 = 0o027;

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("buzon-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A fresh certificate with its key, private.
    fn make(dir: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&chain, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (chain, key)
    }

    #[test]
    fn tls_08_a_key_is_for_its_owner_and_for_a_group_that_reads() {
        let dir = scratch("open-key");
        let (chain, key) = make(&dir);
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
            match Certificate::load(&chain, &key) {
                Ok(_) => assert!(!refused, "{mode:o}"),
                Err(error) => {
                    let said = error.to_string();
                    assert!(refused && said.contains("chmod 0600"), "{mode:o}: {said}");
                }
            }
        }
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn tls_05_a_reload_takes_a_whole_pair_or_changes_nothing() {
        let dir = scratch("reload");
        let (chain, key) = make(&dir);
        let certificate = Certificate::load(&chain, &key).unwrap();
        let inside = || certificate.current.read().unwrap().cert.clone();
        let first = inside();
        let old_key = fs::read(&key).unwrap();
        make(&dir);
        let new_key = fs::read(&key).unwrap();
        for (wrong_key, part) in [(&old_key[..], "does not belong"), (b"", "no private key")] {
            fs::write(&key, wrong_key).unwrap();
            let error = certificate.reload(&chain, &key).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
            assert_eq!(inside(), first);
        }
        fs::write(&key, new_key).unwrap();
        certificate.reload(&chain, &key).unwrap();
        assert_ne!(inside(), first);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn files_that_are_no_certificates_are_named() {
        let dir = scratch("no-certificate");
        let (_, key) = make(&dir);
        assert!(
            Certificate::load(&key, &key)
                .unwrap_err()
                .to_string()
                .contains("no certificate")
        );
        assert!(Certificate::load(&dir.join("absent"), &key).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
