//! Certificates and keys from PEM files, and the place from which they can be replaced while
//! sessions run.
//!
//! A key file that others can read is refused (TLS-08). Every error names the file and what would
//! be right.

use std::{
    fmt, fs, io,
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
    let pem = bytes_of(path)?;
    let mode = fs::metadata(path).map(|facts| facts.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o007 != 0) {
        return Err(wrong(
            path,
            "can be read by everyone: `chmod 0600` it, then start again",
        ));
    }
    rustls_pemfile::private_key(&mut pem.as_slice())
        .map_err(|error| wrong(path, format!("is not PEM: {error}")))?
        .ok_or_else(|| wrong(path, "holds no private key: a PEM private key is needed"))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|cause| CertificateError::Unreadable {
        path: path.to_path_buf(),
        cause,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("buzon-tls-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn tls_08_a_key_that_everyone_can_read_is_refused_with_the_way_out() {
        let dir = scratch("open-key");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        fs::write(&chain, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Certificate::load(&chain, &key).unwrap_err().to_string();
        assert!(error.contains("chmod 0600"), "{error}");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Certificate::load(&chain, &key).is_ok());
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
