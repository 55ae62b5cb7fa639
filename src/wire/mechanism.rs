//! Names of SASL mechanisms (RFC 4422 3.1) and initial responses, as all protocols take them from a
//! command.
//!
//! Whether there is such a mechanism is another question. What is not a name may well be a password
//! or a response in the wrong place: it is never kept, and so never shown.

use std::fmt;

use bytes::Bytes;

use super::base64;
use crate::base::secret::Secret;

/// 1 to 20 letters, digits, hyphens and underscores, in any case of letters.
#[derive(Clone, PartialEq, Eq)]
pub struct MechanismName(Box<str>);

impl MechanismName {
    /// The name; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=NAME_CHARACTERS_MAX).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        fits.then(|| Self(text.into()))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for MechanismName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The initial response of a command, decoded: base64, or `=` for an empty one (RFC 4954 4, RFC
/// 4959 3, RFC 5034 4). `None` for what is neither.
pub fn initial_response(text: &[u8]) -> Option<Secret<Bytes>> {
    let decoded = match text {
        b"" => None,
        b"=" => Some(Vec::new()),
        encoded => base64::decode(encoded),
    };
    decoded.map(|response| Secret::new(response.into()))
}

/// RFC 4422 3.1.
const NAME_CHARACTERS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_has_no_signs_of_base64() {
        for (text, fits) in [
            ("PLAIN", true),
            ("plain", true),
            ("SCRAM-SHA-256-PLUS", true),
            ("KERBEROS_V4", true),
            ("A2345678901234567890", true),
            ("A23456789012345678901", false),
            ("", false),
            ("AGFsaWNlAHB3AA==", false),
            ("AGF/", false),
            ("AGF+", false),
            ("PL\u{c4}IN", false),
        ] {
            let name = MechanismName::parse(text);
            assert_eq!(name.is_some(), fits, "{text:?}");
            assert!(name.is_none_or(|name| name.as_str() == text));
        }
    }

    #[test]
    fn an_initial_response_is_base64_or_an_equals_sign() {
        for (text, response) in [
            (&b"AGFsaWNlAHB3"[..], Some(&b"\0alice\0pw"[..])),
            (b"=", Some(b"")),
            (b"", None),
            (b"%%%", None),
            (b"AGFsaWNlAHB", None),
        ] {
            let found = initial_response(text);
            let found = found.as_ref().map(|found| found.expose().as_ref());
            assert_eq!(found, response, "{text:?}");
        }
    }
}
