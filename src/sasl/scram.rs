//! SCRAM, the client's half: RFC 5802, RFC 7677 (SHA-256), RFC 9266 (binding to TLS).
//!
//! Pure: the nonce and what binds to the channel are given. The password never leaves; the server
//! proves that it knows it, too, and an exchange in which it did not is none (RFC 5802 5). What a
//! server may make us compute is bounded (AUTH-02).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{digest, hmac, pbkdf2};

use super::{client::Fault, prepare::prepared};
use crate::base::secret::Secret;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// RFC 5802.
    Sha1,
    /// RFC 7677.
    Sha256,
}

/// RFC 5802 6: what is said of binding the exchange to the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binding<'a> {
    /// The client cannot.
    Impossible,
    /// The client can, and the server did not offer it: if that was not the server's doing, it will
    /// notice.
    NotOffered,
    /// Done, with the 32 octets of RFC 9266 2.
    TlsExporter(&'a [u8; 32]),
}

/// What is said first, and what is needed for what is said last.
#[derive(Debug)]
pub(super) struct Opened {
    hash: Hash,
    password: Secret<String>,
    nonce: String,
    /// The header of RFC 5801 with what binds, as it is repeated.
    bound: Vec<u8>,
    /// `client-first-message-bare`.
    bare: String,
}

/// What the server must answer.
#[derive(Debug)]
pub(super) struct Proof {
    server_key: hmac::Key,
    /// `AuthMessage`.
    message: String,
}

impl Opened {
    /// RFC 5802 5: `client-first-message`, and what goes on from there.
    pub(super) fn new(
        hash: Hash,
        (user, password): (&str, &Secret<String>),
        nonce: String,
        binding: Binding<'_>,
    ) -> Result<(Self, Vec<u8>), Fault> {
        let user = prepared(user).ok_or(Fault::Unprepared)?;
        let password = prepared(password.expose()).ok_or(Fault::Unprepared)?;
        // RFC 5802 5.1: comma and equals sign in a name.
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let (header, data) = match binding {
            Binding::Impossible => ("n,,", &[][..]),
            Binding::NotOffered => ("y,,", &[][..]),
            Binding::TlsExporter(data) => ("p=tls-exporter,,", &data[..]),
        };
        let bare = format!("n={user},r={nonce}");
        let first = format!("{header}{bare}").into_bytes();
        let opened = Self {
            hash,
            password: Secret::new(password),
            nonce,
            bound: [header.as_bytes(), data].concat(),
            bare,
        };
        Ok((opened, first))
    }

    /// `server-first-message` in, `client-final-message` out. Takes as long as the server asks for,
    /// within bounds.
    pub(super) fn answer(self, challenge: &[u8]) -> Result<(Proof, Vec<u8>), Fault> {
        let said = std::str::from_utf8(challenge).map_err(|_| Fault::Malformed)?;
        let (nonce, salt, rounds) = server_first(said)?;
        // RFC 5802 5.1: ours, with more behind it.
        let added = nonce.strip_prefix(self.nonce.as_str());
        if added.is_none_or(str::is_empty) {
            return Err(Fault::Nonce);
        }
        let rounds = rounds_within(rounds)?;
        let salted = self.hash.salted(self.password.expose(), &salt, rounds);
        let bound = STANDARD.encode(&self.bound);
        let bare = format!("c={bound},r={nonce}");
        let message = format!("{},{said},{bare}", self.bare);
        let algorithm = self.hash.mac();
        let salted = hmac::Key::new(algorithm, &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(algorithm.digest_algorithm(), client_key.as_ref());
        let stored_key = hmac::Key::new(algorithm, stored_key.as_ref());
        let signature = hmac::sign(&stored_key, message.as_bytes());
        let both = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = both.map(|(key, signature)| key ^ signature).collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let last = format!("{bare},p={}", STANDARD.encode(proof));
        let proof = Proof {
            server_key: hmac::Key::new(algorithm, server_key.as_ref()),
            message,
        };
        Ok((proof, last.into_bytes()))
    }
}

/// What `server-final-message` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The server knows the password.
    Proved,
    /// It refuses us, with this word.
    Refused(String),
}

impl Proof {
    /// RFC 5802 5: the server's signature, or its error.
    pub(super) fn check(&self, challenge: &[u8]) -> Result<Last, Fault> {
        let said = std::str::from_utf8(challenge).map_err(|_| Fault::Malformed)?;
        let first = said.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            return Ok(Last::Refused(error.to_owned()));
        }
        let signature = first.strip_prefix("v=").ok_or(Fault::Malformed)?;
        let signature = STANDARD.decode(signature).map_err(|_| Fault::Malformed)?;
        let message = self.message.as_bytes();
        hmac::verify(&self.server_key, message, &signature).map_err(|_| Fault::Unproved)?;
        Ok(Last::Proved)
    }
}

impl Hash {
    fn mac(self) -> hmac::Algorithm {
        match self {
            // HMAC does not depend on what SHA-1 has lost (RFC 6194 3.3).
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    /// `Hi` of RFC 5802 2.2, which is PBKDF2.
    fn salted(self, password: &str, salt: &[u8], rounds: std::num::NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; self.mac().digest_algorithm().output_len()];
        pbkdf2::derive(algorithm, rounds, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// RFC 5802 7: nonce, salt and rounds; what may follow means nothing to us.
fn server_first(said: &str) -> Result<(&str, Vec<u8>, u32), Fault> {
    let mut fields = said.split(',');
    // A mandatory extension (`m=`) would stand before: whoever does not know it ends the exchange.
    let mut field = |name: &str| fields.next()?.strip_prefix(name);
    let nonce = field("r=").ok_or(Fault::Malformed)?;
    let salt = field("s=").ok_or(Fault::Malformed)?;
    let rounds = field("i=").ok_or(Fault::Malformed)?;
    let printable = nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    let salt = STANDARD.decode(salt).map_err(|_| Fault::Malformed)?;
    let digits = rounds.bytes().all(|byte| byte.is_ascii_digit());
    if !printable || !digits || salt.is_empty() {
        return Err(Fault::Malformed);
    }
    // More than fits is more than we do.
    Ok((nonce, salt, rounds.parse().unwrap_or(u32::MAX)))
}

fn rounds_within(rounds: u32) -> Result<std::num::NonZeroU32, Fault> {
    let within = (ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds);
    let rounds = std::num::NonZeroU32::new(rounds).filter(|_| within);
    rounds.ok_or(Fault::Rounds)
}

/// RFC 7677 3, AUTH-02: with fewer, whoever pretends to be the server guesses cheaply.
const ROUNDS_MIN: u32 = 4_096;
/// Half a second of a processor.
const ROUNDS_MAX: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(hash: Hash, nonce: &str, binding: Binding<'_>) -> (Opened, Vec<u8>) {
        let password = Secret::new("pencil".to_owned());
        Opened::new(hash, ("user", &password), nonce.to_owned(), binding).unwrap()
    }

    /// The exchanges of RFC 5802 5 and RFC 7677 3.
    const VECTORS: [(Hash, [&str; 5]); 2] = [
        (
            Hash::Sha1,
            [
                "fyko+d2lbbFgONRv9qkxdawL",
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,\
                 p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ],
        ),
        (
            Hash::Sha256,
            [
                "rOprNGfwEbeRWgbNEkqO",
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        ),
    ];

    #[test]
    fn the_exchanges_of_the_rfcs_are_ours() {
        for (hash, [nonce, first, challenge, answer, last]) in VECTORS {
            let (opened, said) = opened(hash, nonce, Binding::Impossible);
            assert_eq!(String::from_utf8(said).unwrap(), first);
            let (proof, said) = opened.answer(challenge.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(said).unwrap(), answer);
            assert_eq!(proof.check(last.as_bytes()), Ok(Last::Proved));
            let wrong = last.replace("v=r", "v=s").replace("v=6", "v=7");
            assert_eq!(proof.check(wrong.as_bytes()), Err(Fault::Unproved));
            let refused = Last::Refused("invalid-proof".to_owned());
            assert_eq!(proof.check(b"e=invalid-proof"), Ok(refused));
            for bad in [&b"x"[..], b"", b"v=", b"v=!", b"\xff"] {
                assert!(proof.check(bad).is_err(), "{bad:?}");
            }
        }
    }

    #[test]
    fn what_binds_to_the_channel_is_said_and_repeated() {
        let data = [7; 32];
        let exporter = [&b"p=tls-exporter,,"[..], &data].concat();
        for (binding, header, bound) in [
            (Binding::Impossible, "n,,", &b"n,,"[..]),
            (Binding::NotOffered, "y,,", b"y,,"),
            (Binding::TlsExporter(&data), "p=tls-exporter,,", &exporter),
        ] {
            let (opened, first) = opened(Hash::Sha256, "abc", binding);
            let first = String::from_utf8(first).unwrap();
            assert_eq!(first, format!("{header}n=user,r=abc"));
            let (_, last) = opened.answer(b"r=abcd,s=AAAA,i=4096").unwrap();
            let last = String::from_utf8(last).unwrap();
            let repeated = format!("c={},r=abcd,p=", STANDARD.encode(bound));
            assert!(last.starts_with(&repeated), "{last}");
        }
    }

    #[test]
    fn auth_02_what_a_server_may_ask_for_is_bounded() {
        for (challenge, fault) in [
            ("r=abcd,s=AAAA,i=4095", Fault::Rounds),
            ("r=abcd,s=AAAA,i=0", Fault::Rounds),
            ("r=abcd,s=AAAA,i=1000001", Fault::Rounds),
            ("r=abcd,s=AAAA,i=99999999999", Fault::Rounds),
            ("r=abcd,s=AAAA,i=-1", Fault::Malformed),
            ("r=abcd,s=AAAA,i=+4096", Fault::Malformed),
            ("r=abcd,s=AAAA", Fault::Malformed),
            ("r=abcd,s=,i=4096", Fault::Malformed),
            ("r=abcd,s=!,i=4096", Fault::Malformed),
            ("s=AAAA,r=abcd,i=4096", Fault::Malformed),
            // RFC 5802 5.1: an extension that must be known, and is not.
            ("m=x,r=abcd,s=AAAA,i=4096", Fault::Malformed),
            ("r=abc d,s=AAAA,i=4096", Fault::Malformed),
            ("", Fault::Malformed),
            ("r=abc,s=AAAA,i=4096", Fault::Nonce),
            ("r=xyzabc,s=AAAA,i=4096", Fault::Nonce),
        ] {
            let (opened, _) = opened(Hash::Sha256, "abc", Binding::Impossible);
            let answer = opened.answer(challenge.as_bytes());
            assert_eq!(answer.err(), Some(fault), "{challenge}");
        }
        let (opened, _) = opened(Hash::Sha1, "abc", Binding::Impossible);
        assert!(opened.answer(b"r=abcd,s=AAAA,i=4096,x=more").is_ok());
    }

    #[test]
    fn names_are_escaped_and_prepared() {
        let password = Secret::new("p".to_owned());
        for (user, expected) in [("a,b=c", "a=2Cb=3Dc"), ("I\u{ad}X", "IX"), ("\u{aa}", "a")] {
            let (_, first) = Opened::new(
                Hash::Sha256,
                (user, &password),
                "r".to_owned(),
                Binding::Impossible,
            )
            .unwrap();
            assert_eq!(first, format!("n,,n={expected},r=r").into_bytes());
        }
        let nonce = "r".to_owned();
        let bad = Opened::new(Hash::Sha1, ("\u{7}", &password), nonce, Binding::Impossible);
        assert_eq!(bad.err(), Some(Fault::Unprepared));
    }
}
