//! Passwords: how they are prepared, hashed and compared.
//!
//! RFC 8265 4.2 (OpaqueString: other spaces become U+0020, composed as NFC, case kept, controls
//! refused), RFC 9106 (Argon2id), PHC strings. Everything here takes milliseconds to tens of them
//! on purpose; `hasher` says how many run at once. Not here: SCRAM verifiers.

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Output, ParamsString, SaltString},
};
use unicode_normalization::UnicodeNormalization;

use crate::base::{limits::PASSWORD_BYTES_MAX, random::Random, secret::Secret};

/// How much work one hash is (RFC 9106 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Cost {
    /// AUTH-01.
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        }
    }
}

/// Why a text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPassword {
    /// Nothing at all.
    #[error("the password is empty")]
    Empty,
    /// LIM-40.
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// RFC 8264 9.11: not typed on purpose.
    #[error("the password has a control character")]
    Control,
}

/// A password as it is hashed and compared.
#[derive(Clone)]
pub(super) struct Prepared(Secret<String>);

impl Prepared {
    /// RFC 8265 4.2.2.
    pub(super) fn new(typed: &Secret<String>) -> Result<Self, NotAPassword> {
        let typed = typed.expose();
        if typed.is_empty() {
            return Err(NotAPassword::Empty);
        }
        if typed.len() > PASSWORD_BYTES_MAX {
            return Err(NotAPassword::TooLong);
        }
        if typed.chars().any(char::is_control) {
            return Err(NotAPassword::Control);
        }
        let spaces = typed.chars().map(|c| match c {
            '\u{a0}'
            | '\u{1680}'
            | '\u{2000}'..='\u{200a}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}' => ' ',
            other => other,
        });
        Ok(Self(Secret::new(spaces.nfc().collect())))
    }

    /// The bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// Argon2id at one cost.
#[derive(Clone)]
pub(super) struct Argon(Argon2<'static>);

impl Argon {
    /// `None` when the cost is outside of RFC 9106 3.1.
    pub(super) fn at(cost: Cost) -> Option<Self> {
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None).ok()?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Some(Self(argon))
    }

    /// The PHC string of a password under a fresh salt.
    pub(super) fn hash(&self, password: &Prepared, salt: [u8; 16]) -> Option<Secret<String>> {
        let salt = SaltString::encode_b64(&salt).ok()?;
        let hash = self.0.hash_password(password.as_bytes(), &salt).ok()?;
        Some(Secret::new(hash.to_string()))
    }

    /// Whether `verifier` is of this password. The comparison takes equal time (RFC 9106 4). A
    /// verifier that cannot be understood matches nothing.
    pub(super) fn matches(&self, verifier: &str, password: &Prepared) -> bool {
        let Ok(hash) = PasswordHash::new(verifier) else {
            return false;
        };
        self.0.verify_password(password.as_bytes(), &hash).is_ok()
    }

    /// Whether a password that was just verified should be hashed again: less work than is set now.
    pub(super) fn is_weak(&self, verifier: &str) -> bool {
        let Ok(hash) = PasswordHash::new(verifier) else {
            return false;
        };
        let Ok(params) = Params::try_from(&hash) else {
            return true;
        };
        let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
        hash.algorithm.as_str() != "argon2id" || work(&params) < work(self.0.params())
    }

    /// A verifier of no password, as expensive to compare as any (AUTH-05).
    pub(super) fn verifier_of_nobody(&self, random: &Random) -> Option<Secret<String>> {
        let salt = SaltString::encode_b64(&random.bytes::<16>()).ok()?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(self.0.params()).ok()?,
            salt: Some(salt.as_salt()),
            hash: Some(Output::new(&random.bytes::<32>()).ok()?),
        };
        Some(Secret::new(hash.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIGHT: Cost = Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };

    fn prepared(typed: &str) -> Result<Prepared, NotAPassword> {
        Prepared::new(&Secret::new(typed.to_owned()))
    }

    #[test]
    fn lim_40_a_password_has_1_to_1024_bytes() {
        for (length, refusal) in [
            (0, Some(NotAPassword::Empty)),
            (1, None),
            (PASSWORD_BYTES_MAX - 1, None),
            (PASSWORD_BYTES_MAX, None),
            (PASSWORD_BYTES_MAX + 1, Some(NotAPassword::TooLong)),
        ] {
            assert_eq!(prepared(&"x".repeat(length)).err(), refusal, "{length}");
        }
    }

    #[test]
    fn spellings_of_one_password_are_one_password() {
        for (typed, bytes) in [
            ("p\u{61}ss", "pass"),
            ("Pa Ss", "Pa Ss"),
            ("caf\u{65}\u{301}", "caf\u{e9}"),
            ("a\u{a0}b\u{3000}c", "a b c"),
            ("\u{212b}", "\u{c5}"),
        ] {
            assert_eq!(prepared(typed).unwrap().as_bytes(), bytes.as_bytes());
        }
        for typed in ["a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(prepared(typed).err(), Some(NotAPassword::Control));
        }
    }

    #[test]
    fn auth_01_a_hash_is_a_phc_string_of_argon2id_with_a_salt_of_16_bytes() {
        let argon = Argon::at(Cost::default()).unwrap();
        let phc = argon.hash(&prepared("secret").unwrap(), [7; 16]).unwrap();
        let phc = phc.expose();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"));
        assert!(argon.matches(phc, &prepared("secret").unwrap()));
        assert!(!argon.matches(phc, &prepared("Secret").unwrap()));
        assert!(!argon.matches("", &prepared("secret").unwrap()));
        assert!(!argon.matches("$plain$secret", &prepared("secret").unwrap()));
    }

    #[test]
    fn auth_01_only_weaker_hashes_are_made_again() {
        let (light, strong) = (
            Argon::at(LIGHT).unwrap(),
            Argon::at(Cost::default()).unwrap(),
        );
        let phc = light.hash(&prepared("secret").unwrap(), [7; 16]).unwrap();
        assert!(strong.is_weak(phc.expose()));
        assert!(!light.is_weak(phc.expose()));
        let phc = strong.verifier_of_nobody(&Random::seeded(1)).unwrap();
        assert!(!light.is_weak(phc.expose()));
        assert!(!light.is_weak("not a verifier"));
    }

    #[test]
    fn auth_05_the_verifier_of_nobody_costs_what_the_others_cost() {
        let argon = Argon::at(LIGHT).unwrap();
        let phc = argon.verifier_of_nobody(&Random::seeded(1)).unwrap();
        let hash = PasswordHash::new(phc.expose()).unwrap();
        let params = Params::try_from(&hash).unwrap();
        let cost = (params.m_cost(), params.t_cost(), params.p_cost());
        assert_eq!(cost, (8, 1, 1));
        assert_eq!(hash.hash.unwrap().len(), 32);
        assert!(!argon.matches(phc.expose(), &prepared("x").unwrap()));
    }

    #[test]
    fn costs_outside_of_the_rfc_are_refused() {
        for (memory_kib, passes, lanes) in [(0, 1, 1), (8, 0, 1), (8, 1, 0), (7, 1, 1), (8, 1, 2)] {
            let cost = Cost {
                memory_kib,
                passes,
                lanes,
            };
            assert!(Argon::at(cost).is_none(), "{cost:?}");
        }
    }
}
