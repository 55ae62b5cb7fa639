//! DKIM signatures that we make (RFC 6376 5, RFC 8463), and the keys they are made with.
//!
//! DKIM-02: relaxed/relaxed, no `l=`, From signed once more than it stands there, so that nobody
//! can add another one. A draft sees the header and the body as they are stored and sent; what is
//! put before them later (Received, Return-Path) is not signed.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};

use super::{
    canon::{BodyHashes, Canon, Wanted},
    der,
    header::{Authors, Header, unsigned},
    rsa,
};
use crate::{base::random::Random, mail::algorithm::Algorithm};

/// A private key, ready to sign.
pub struct SigningKey(Pair);

enum Pair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// The bytes of a new key: PKCS#1 for RSA, PKCS#8 for Ed25519. For a blocking thread; none when
    /// chance failed.
    pub fn generate(algorithm: Algorithm, random: &Random) -> Option<Vec<u8>> {
        match algorithm {
            Algorithm::RsaSha256 => rsa::private_key(random),
            Algorithm::Ed25519Sha256 => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
                made.ok().map(|document| document.as_ref().to_vec())
            }
        }
    }

    /// Reads a key that was generated.
    pub fn read(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        Some(Self(match algorithm {
            Algorithm::RsaSha256 => Pair::Rsa(RsaKeyPair::from_der(bytes).ok()?),
            Algorithm::Ed25519Sha256 => Pair::Ed25519(Ed25519KeyPair::from_pkcs8(bytes).ok()?),
        }))
    }

    /// The record to publish (RFC 6376 3.6.1).
    pub fn record(&self) -> String {
        let (kind, public) = match &self.0 {
            Pair::Rsa(pair) => {
                let name = der::wrapped(der::OBJECT, der::RSA_ENCRYPTION);
                let algorithm = der::sequence(&[name, der::wrapped(der::NULL, &[])].concat());
                let bits = [&[0], pair.public_key().as_ref()].concat();
                let info = [algorithm, der::wrapped(der::BIT_STRING, &bits)].concat();
                (Algorithm::RsaSha256, der::sequence(&info))
            }
            Pair::Ed25519(pair) => {
                let public = pair.public_key().as_ref().to_vec();
                (Algorithm::Ed25519Sha256, public)
            }
        };
        let public = BASE64_STANDARD.encode(public);
        format!("v=DKIM1; k={}; p={public}", kind.key_type())
    }

    fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::Rsa(_) => Algorithm::RsaSha256,
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match &self.0 {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let chance = SystemRandom::new();
                let signed = pair.sign(&RSA_PKCS1_SHA256, &chance, text, &mut signature);
                signed.ok().map(|()| signature)
            }
            // RFC 8463 3: what is signed is the hash.
            Pair::Ed25519(pair) => {
                Some(pair.sign(digest(&SHA256, text).as_ref()).as_ref().to_vec())
            }
        }
    }
}

/// Who signs.
#[derive(Clone)]
pub struct Signer {
    /// The domain whose word it is.
    pub domain: String,
    /// Where its key is published.
    pub selector: String,
    /// The key.
    pub key: Arc<SigningKey>,
}

/// A message that may be signed when it is whole.
pub struct Draft {
    header: Header,
    body: BodyHashes,
}

impl Draft {
    /// Begins with a header as it will be stored.
    pub fn new(header: Bytes) -> Self {
        let wanted = Wanted {
            canon: Canon::Relaxed,
            length: None,
        };
        Self {
            header: Header::new(header),
            body: BodyHashes::new([wanted]),
        }
    }

    /// Takes the next piece of the body.
    pub fn feed(&mut self, piece: &[u8]) {
        self.body.feed(piece);
    }

    /// The domain in From, if it names exactly one.
    pub fn author_domain(&self) -> Option<String> {
        match Authors::of(&self.header) {
            Authors::Domains(domains) => match domains.as_slice() {
                [only] => Some(only.clone()),
                _ => None,
            },
            Authors::Missing | Authors::Unclear => None,
        }
    }

    /// A DKIM-Signature field of each signer, with their line endings. For a blocking thread.
    pub fn sign(self, signers: &[Signer], secs: i64) -> Vec<u8> {
        let body = self.body.finish().pop().map(|hash| hash.digest);
        let body = BASE64_STANDARD.encode(body.unwrap_or_default());
        let names = signed_names(&self.header, &[]);
        let mut text = Vec::new();
        self.header.chosen(&names, Canon::Relaxed, &mut text);
        let fields = signers.iter().filter_map(|signer| {
            let field = template("DKIM-Signature: v=1;", signer, secs, (&names, &body));
            finished(field, text.clone(), signer)
        });
        fields.collect::<String>().into_bytes()
    }
}

impl Signer {
    /// What its key signs with.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }
}

/// A field whose `b=` is still empty, with its signature over `text` and over itself.
pub(super) fn finished(mut field: String, mut text: Vec<u8>, signer: &Signer) -> Option<String> {
    unsigned(field.as_bytes(), Canon::Relaxed, &mut text);
    let signature = signer.key.sign(&text)?;
    fold(&BASE64_STANDARD.encode(signature), &mut field);
    field.push_str("\r\n");
    Some(field)
}

/// A signature over a message, which begins with `first`, but for its value.
pub(super) fn template(
    first: &str,
    signer: &Signer,
    secs: i64,
    (names, body): (&[String], &str),
) -> String {
    let (domain, selector) = (&signer.domain, &signer.selector);
    let algorithm = signer.algorithm().name();
    let mut field = format!(
        "{first} a={algorithm}; c=relaxed/relaxed;\r\n\td={domain}; s={selector}; \
         t={secs};\r\n\th="
    );
    let mut column = 10;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            field.push(':');
        }
        if column + name.len() > LINE_CHARS {
            field.push_str("\r\n\t ");
            column = 10;
        }
        field.push_str(name);
        column += name.len() + 1;
    }
    field.push_str(";\r\n\tbh=");
    field.push_str(body);
    field.push_str(";\r\n\tb=");
    field
}

/// Adds Base64 in lines.
fn fold(text: &str, field: &mut String) {
    let mut rest = text;
    while let Some((line, after)) = rest.split_at_checked(LINE_CHARS) {
        field.push_str(line);
        field.push_str("\r\n\t ");
        rest = after;
    }
    field.push_str(rest);
}

/// The names to sign: each as often as it stands there, up to a limit, and those that must not be
/// added to as often as they do and once more (RFC 6376 5.4, 8.15): one of them that is not signed
/// looks like one that was added. `more` are signed besides.
pub(super) fn signed_names(header: &Header, more: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    for name in SIGNED.iter().chain(more) {
        let count = header.places(name).len();
        let count = match OVERSIGNED.contains(name) {
            true => count.saturating_add(1),
            false => count.min(TIMES_MAX),
        };
        names.extend(std::iter::repeat_n((*name).to_owned(), count));
    }
    names
}

/// RFC 6376 5.4.1: what readers see or programs act on. Trace fields and those of lists are others'
/// to change.
const SIGNED: &[&str] = &[
    "from",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "to",
    "cc",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "sender",
    "resent-from",
    "resent-to",
    "resent-date",
    "resent-message-id",
    "autocrypt",
];
/// What another one of would mislead readers.
const OVERSIGNED: &[&str] = &[
    "from",
    "subject",
    "date",
    "to",
    "cc",
    "content-type",
    "content-transfer-encoding",
    "mime-version",
    "reply-to",
];
/// How often one name of the others is signed: the limit of a message that nobody means.
const TIMES_MAX: usize = 20;
/// Characters of a line.
const LINE_CHARS: usize = 72;

#[cfg(test)]
mod tests;
