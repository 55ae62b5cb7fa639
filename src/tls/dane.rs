//! DANE of mail servers: whether a certificate is one that TLSA records speak of.
//!
//! RFC 6698, 7671 and 7672 3. Which records count and where they were found is not decided here:
//! [`associations`] gets those of one host and keeps what a client of SMTP can use, [`Dane`]
//! compares them with what the server shows in the handshake. DANE-EE is the key alone, whatever
//! name and dates stand in the certificate; DANE-TA is a chain to the certificate that the record
//! names, and a name.

use std::sync::Arc;

use ring::digest;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::WebPkiSupportedAlgorithms,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    certificate::provider,
    client::{Judge, judged},
};

/// A TLSA record that can be used for mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    usage: Usage,
    selector: Selector,
    matching: Matching,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    /// DANE-TA(2).
    TrustAnchor,
    /// DANE-EE(3).
    EndEntity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Selector {
    /// Cert(0).
    Certificate,
    /// SPKI(1).
    Key,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matching {
    /// Full(0).
    Whole,
    /// SHA2-256(1).
    Sha256,
    /// SHA2-512(2).
    Sha512,
}

/// The usable ones of TLSA records, each given as usage, selector, matching type and data.
pub fn associations(records: impl IntoIterator<Item = (u8, u8, u8, Vec<u8>)>) -> Vec<Association> {
    let usable: Vec<_> = records
        .into_iter()
        .filter_map(|(usage, selector, matching, data)| {
            Association::of((usage, selector, matching), data)
        })
        .collect();
    // RFC 7671 9: of digests of one usage and selector only the strongest counts, so that nobody
    // who breaks the weaker one gains by it.
    let outdone = |one: &Association| {
        one.matching == Matching::Sha256
            && usable.iter().any(|other| {
                (other.usage, other.selector, other.matching)
                    == (one.usage, one.selector, Matching::Sha512)
            })
    };
    usable.iter().filter(|one| !outdone(one)).cloned().collect()
}

/// What a record says that speaks of this certificate's key alone, as RFC 7672 3.1 recommends:
/// DANE-EE, SPKI, SHA2-256.
pub fn of_key(certificate: &CertificateDer<'_>) -> Option<(u8, u8, u8, Vec<u8>)> {
    let parsed = webpki::EndEntityCert::try_from(certificate).ok()?;
    let key = parsed.subject_public_key_info();
    let digest = digest::digest(&digest::SHA256, key.as_ref());
    Some((3, 1, 1, digest.as_ref().to_vec()))
}

impl Association {
    fn of((usage, selector, matching): (u8, u8, u8), data: Vec<u8>) -> Option<Self> {
        let usage = match usage {
            2 => Usage::TrustAnchor,
            3 => Usage::EndEntity,
            // RFC 7672 3.1.3: PKIX-TA and PKIX-EE are not for mail.
            _ => return None,
        };
        let selector = match selector {
            0 => Selector::Certificate,
            1 => Selector::Key,
            _ => return None,
        };
        let (matching, fits) = match matching {
            0 => (Matching::Whole, !data.is_empty()),
            1 => (Matching::Sha256, data.len() == digest::SHA256_OUTPUT_LEN),
            2 => (Matching::Sha512, data.len() == digest::SHA512_OUTPUT_LEN),
            _ => return None,
        };
        fits.then_some(Self {
            usage,
            selector,
            matching,
            data,
        })
    }

    /// Whether the record speaks of this certificate.
    fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        let key;
        let selected = match self.selector {
            Selector::Certificate => certificate.as_ref(),
            Selector::Key => match webpki::EndEntityCert::try_from(certificate) {
                Ok(parsed) => {
                    key = parsed.subject_public_key_info();
                    key.as_ref()
                }
                Err(_) => return false,
            },
        };
        match self.matching {
            Matching::Whole => selected == self.data,
            Matching::Sha256 => digest::digest(&digest::SHA256, selected).as_ref() == self.data,
            Matching::Sha512 => digest::digest(&digest::SHA512, selected).as_ref() == self.data,
        }
    }
}

/// A configuration that believes the certificates which `associations` speak of; with a trust
/// anchor, those for one of `names`.
///
/// # Errors
/// When the provider lacks the protocol versions.
pub fn config(
    associations: Vec<Association>,
    names: &[&str],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let names = names.iter();
    let names = names.filter_map(|name| ServerName::try_from((*name).to_owned()).ok());
    judged(Dane {
        associations,
        names: names.collect(),
        algorithms: provider().signature_verification_algorithms,
    })
}

/// Compares what a server shows with TLSA records.
#[derive(Debug)]
struct Dane {
    associations: Vec<Association>,
    names: Vec<ServerName<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Dane {
    fn of_usage(&self, usage: Usage) -> impl Iterator<Item = &Association> {
        let all = self.associations.iter();
        all.filter(move |association| association.usage == usage)
    }

    /// The certificates that may vouch for others. The server's own is none: what a record says of
    /// authorities says nothing of the key that is shown.
    fn anchors(&self, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        for association in self.of_usage(Usage::TrustAnchor) {
            let shown = chain.iter().take(CHAIN_MAX);
            for certificate in shown.filter(|certificate| association.is_of(certificate)) {
                // One that cannot be read vouches for nobody.
                let _ = anchors.add(certificate.clone().into_owned());
            }
            // RFC 7671 5.2.2: a whole certificate need not be shown.
            if (association.selector, association.matching)
                == (Selector::Certificate, Matching::Whole)
            {
                let _ = anchors.add(CertificateDer::from(association.data.clone()));
            }
        }
        anchors
    }
}

impl Judge for Dane {
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // RFC 7672 3.1.1: neither names nor dates are looked at.
        let mut keys = self.of_usage(Usage::EndEntity);
        if keys.any(|association| association.is_of(end_entity)) {
            return Ok(());
        }
        let anchors = self.anchors(chain);
        if anchors.is_empty() {
            let why = "no TLSA record speaks of the certificate".to_owned();
            return Err(rustls::Error::General(why));
        }
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &anchors, chain, now, algorithms)?;
        // RFC 7672 3.2.3.
        let mut names = self.names.iter();
        match names.any(|name| verify_server_name(&certificate, name).is_ok()) {
            true => Ok(()),
            false => Err(CertificateError::NotValidForName.into()),
        }
    }
}

/// Certificates of a chain that are compared.
const CHAIN_MAX: usize = 10;

#[cfg(test)]
mod tests;
