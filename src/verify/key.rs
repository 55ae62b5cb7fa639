//! Public keys of signatures: the record (RFC 6376 3.6.1, RFC 8463 4), its bytes, and whether they
//! made a signature. Pure.
//!
//! DKIM-01: RSA of 1024 to 4096 bits with SHA-256, or Ed25519; SHA-1 and shorter keys prove nothing
//! (RFC 8301).

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::{
    digest::{SHA256, digest},
    signature::{
        ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};

use super::{der, tags::Tags};
use crate::mail::algorithm::Algorithm;

/// A key as it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    bytes: KeyBytes,
    /// RFC 6376 3.6.1 `t=s`: the agent's domain is the signing domain itself.
    pub strict: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum KeyBytes {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    Ed25519(Vec<u8>),
}

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadKey {
    /// It is not one, or not for this.
    Invalid,
    /// RFC 6376 3.6.1: it was given up.
    Revoked,
    /// RFC 8301 3.2: it is too short to prove anything, or too long to be worth it.
    Size,
}

impl PublicKey {
    /// Reads a record.
    pub(super) fn parse(text: &[u8]) -> Result<Self, BadKey> {
        if text.len() > RECORD_BYTES_MAX {
            return Err(BadKey::Invalid);
        }
        let text = std::str::from_utf8(text).map_err(|_| BadKey::Invalid)?;
        let tags = Tags::parse(text).ok_or(BadKey::Invalid)?;
        // RFC 6376 3.6.1: it stands first when it stands there.
        let version = tags.compact("v");
        let first = text.trim_start().starts_with('v');
        if version.is_some_and(|version| version != "DKIM1" || !first) {
            return Err(BadKey::Invalid);
        }
        let lists = |name: &str, one: &[&str]| {
            let listed = tags.compact(name);
            listed.is_none_or(|list| list.split(':').any(|item| one.contains(&item)))
        };
        if !lists("h", &["sha256"]) || !lists("s", &["*", "email"]) {
            return Err(BadKey::Invalid);
        }
        let strict = tags.compact("t");
        let strict = strict.is_some_and(|flags| flags.split(':').any(|flag| flag == "s"));
        let published = tags.compact("p").ok_or(BadKey::Invalid)?;
        if published.is_empty() {
            return Err(BadKey::Revoked);
        }
        let bytes = BASE64_STANDARD.decode(published);
        let bytes = bytes.map_err(|_| BadKey::Invalid)?;
        let bytes = match tags.compact("k").as_deref() {
            None | Some("rsa") => rsa(&bytes)?,
            Some("ed25519") if bytes.len() == 32 => KeyBytes::Ed25519(bytes),
            _ => return Err(BadKey::Invalid),
        };
        Ok(Self { bytes, strict })
    }

    /// How signatures of it are made.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.bytes {
            KeyBytes::Rsa { .. } => Algorithm::RsaSha256,
            KeyBytes::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// Whether its owner signed `text`.
    pub(super) fn signed(&self, text: &[u8], signature: &[u8]) -> bool {
        match &self.bytes {
            KeyBytes::Rsa { modulus, exponent } => {
                let key = RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                let how = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
                key.verify(how, text, signature).is_ok()
            }
            // RFC 8463 3: what is signed is the hash.
            KeyBytes::Ed25519(bytes) => UnparsedPublicKey::new(&ED25519, bytes)
                .verify(digest(&SHA256, text).as_ref(), signature)
                .is_ok(),
        }
    }
}

/// A SubjectPublicKeyInfo, or an RSAPublicKey alone (RFC 6376 3.6.1, erratum 3017).
fn rsa(der: &[u8]) -> Result<KeyBytes, BadKey> {
    let (outer, _) = der::element(der, der::SEQUENCE).ok_or(BadKey::Invalid)?;
    let numbers = match der::element(outer, der::SEQUENCE) {
        Some((algorithm, rest)) => {
            let (name, _) = der::element(algorithm, der::OBJECT).ok_or(BadKey::Invalid)?;
            let (bits, _) = der::element(rest, der::BIT_STRING).ok_or(BadKey::Invalid)?;
            let key = bits
                .strip_prefix(&[0])
                .filter(|_| name == der::RSA_ENCRYPTION);
            let key = key.and_then(|key| der::element(key, der::SEQUENCE));
            key.ok_or(BadKey::Invalid)?.0
        }
        None => outer,
    };
    let (modulus, rest) = der::element(numbers, der::INTEGER).ok_or(BadKey::Invalid)?;
    let (exponent, _) = der::element(rest, der::INTEGER).ok_or(BadKey::Invalid)?;
    let (modulus, exponent) = (der::without_zeros(modulus), der::without_zeros(exponent));
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = modulus.len().saturating_mul(8);
    let bits = bits.saturating_sub(usize::try_from(leading).unwrap_or(0));
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || exponent.len() > 4 {
        return Err(BadKey::Size);
    }
    Ok(KeyBytes::Rsa {
        modulus: modulus.to_vec(),
        exponent: exponent.to_vec(),
    })
}

/// DKIM-01: longest record.
const RECORD_BYTES_MAX: usize = 4096;
/// DKIM-01: shortest modulus (RFC 8301 3.2).
const RSA_BITS_MIN: usize = 1024;
/// DKIM-01: longest modulus.
const RSA_BITS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6376 Appendix C.
    pub(super) const RFC_6376_KEY: &str = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQ\
        DwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v\
        /RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";

    #[test]
    fn records_of_keys() {
        let rsa = PublicKey::parse(RFC_6376_KEY.as_bytes()).unwrap();
        assert_eq!(rsa.algorithm(), Algorithm::RsaSha256);
        let ed25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
        let ed25519 = PublicKey::parse(ed25519.as_bytes()).unwrap();
        assert_eq!(ed25519.algorithm(), Algorithm::Ed25519Sha256);
        let strict = format!("{RFC_6376_KEY}; t=y:s; s=email; h=sha1:sha256; n=x");
        assert!(PublicKey::parse(strict.as_bytes()).unwrap().strict);
        for (bad, why) in [
            ("v=DKIM1; p=", BadKey::Revoked),
            ("v=DKIM1; k=ed25519; p=AAAA", BadKey::Invalid),
            ("v=DKIM1; k=dsa; p=AAAA", BadKey::Invalid),
            ("v=DKIM1; p=AAAA", BadKey::Invalid),
            ("v=DKIM1; p=?", BadKey::Invalid),
            ("v=DKIM1", BadKey::Invalid),
            ("v=DKIM2; p=", BadKey::Invalid),
            ("p=; v=DKIM1", BadKey::Invalid),
            ("h=sha1; p=", BadKey::Invalid),
            ("s=web; p=", BadKey::Invalid),
            ("", BadKey::Invalid),
        ] {
            assert_eq!(PublicKey::parse(bad.as_bytes()), Err(why), "{bad}");
        }
    }

    #[test]
    fn dkim_01_odd_keys_are_refused_before_they_cost_anything() {
        let public = |modulus: &[u8], exponent: &[u8]| {
            let numbers = [der::number(modulus), der::number(exponent)].concat();
            rsa(&der::sequence(&numbers))
        };
        let of_bits = |bits: usize| [&[0x80][..], &vec![1; bits / 8 - 1]].concat();
        for (bits, fine) in [
            (1016, false),
            (1024, true),
            (2048, true),
            (4096, true),
            (4104, false),
        ] {
            let key = public(&of_bits(bits), &[1, 0, 1]);
            assert_eq!(key.is_ok(), fine, "{bits}");
        }
        assert_eq!(public(&of_bits(2048), &[1; 5]), Err(BadKey::Size));
        let long = format!("v=DKIM1; n={}; p=", "x".repeat(RECORD_BYTES_MAX));
        assert_eq!(PublicKey::parse(long.as_bytes()), Err(BadKey::Invalid));
        for end in 0..RFC_6376_KEY.len() {
            let _ = PublicKey::parse(&RFC_6376_KEY.as_bytes()[..end]);
        }
    }
}
