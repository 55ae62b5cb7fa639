//! SASL exchanges as pure machines: bytes in, challenge or credentials out (RFC 4422).
//!
//! Here is the server's half; [`client`] has the other one. Knows neither base64 nor any protocol's
//! way of carrying an exchange, and verifies nothing.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod client;
mod prepare;
mod scram;

use std::borrow::Cow;

use crate::base::{limits::PASSWORD_BYTES_MAX, secret::Secret};

/// Longest user name in bytes.
pub const NAME_BYTES_MAX: usize = 320;

/// A mechanism we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The obsolete two-step exchange that Outlook still prefers (draft-murchison-sasl-login).
    Login,
}

impl Mechanism {
    /// What every protocol takes, and announces in this order.
    pub const OFFERED: [Self; 2] = [Self::Plain, Self::Login];

    /// The names of what is offered.
    pub fn names() -> [&'static str; Self::OFFERED.len()] {
        Self::OFFERED.map(Self::name)
    }

    /// The mechanism of this name, in any case of letters.
    pub fn named(name: &str) -> Option<Self> {
        Self::OFFERED
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// What an exchange is for: who wants to be let in, and the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// As whom to act; the same as `name`, or absent, for everyone without a grant.
    pub authorization: Option<String>,
    /// Who it is.
    pub name: String,
    /// The proof.
    pub password: Secret<String>,
}

/// What comes next in an exchange.
#[derive(Debug, PartialEq, Eq)]
pub enum SaslStep {
    /// Send this and bring the response.
    Challenge(Cow<'static, [u8]>),
    /// The exchange is over.
    Done(Credentials),
    /// What the client sent is not of the mechanism.
    Malformed,
}

/// A running exchange.
#[derive(Debug)]
pub struct Exchange(State);

#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword(String),
    Over,
}

impl Exchange {
    /// Begins an exchange.
    pub fn start(mechanism: Mechanism) -> Self {
        Self(match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
        })
    }

    /// Goes on with the client's response; `None` when it sent none yet (no initial response).
    pub fn step(&mut self, response: Option<&[u8]>) -> SaslStep {
        let state = std::mem::replace(&mut self.0, State::Over);
        match (state, response) {
            (State::Plain, None) => {
                self.0 = State::Plain;
                asked(b"")
            }
            (State::Plain, Some(message)) => {
                plain(message).map_or(SaslStep::Malformed, SaslStep::Done)
            }
            (State::LoginName, None) => {
                self.0 = State::LoginName;
                asked(b"Username:")
            }
            (State::LoginName, Some(name)) => match text(name, NAME_BYTES_MAX) {
                Some(name) => {
                    self.0 = State::LoginPassword(name);
                    asked(b"Password:")
                }
                None => SaslStep::Malformed,
            },
            (State::LoginPassword(name), Some(password)) => {
                match text(password, PASSWORD_BYTES_MAX) {
                    Some(password) => SaslStep::Done(Credentials {
                        authorization: None,
                        name,
                        password: Secret::new(password),
                    }),
                    None => SaslStep::Malformed,
                }
            }
            (State::LoginPassword(_) | State::Over, _) => SaslStep::Malformed,
        }
    }
}

fn asked(challenge: &'static [u8]) -> SaslStep {
    SaslStep::Challenge(Cow::Borrowed(challenge))
}

/// RFC 4616 2: `[authzid] NUL authcid NUL passwd`.
fn plain(message: &[u8]) -> Option<Credentials> {
    let mut fields = message.split(|byte| *byte == 0);
    let (authorization, name, password) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    let authorization = match authorization {
        b"" => None,
        given => Some(text(given, NAME_BYTES_MAX)?),
    };
    let name = text(name, NAME_BYTES_MAX)?;
    let password = Secret::new(text(password, PASSWORD_BYTES_MAX)?);
    Some(Credentials {
        authorization,
        name,
        password,
    })
}

/// Non-empty UTF-8 of bounded length without NUL (RFC 4616 2).
fn text(bytes: &[u8], max: usize) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fits = !text.is_empty() && text.len() <= max && !text.contains('\0');
    fits.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(authorization: Option<&str>, name: &str, password: &str) -> SaslStep {
        SaslStep::Done(Credentials {
            authorization: authorization.map(str::to_owned),
            name: name.to_owned(),
            password: Secret::new(password.to_owned()),
        })
    }

    #[test]
    fn plain_takes_exactly_three_fields() {
        for (message, expected) in [
            (&b"\0alice\0pw"[..], credentials(None, "alice", "pw")),
            (b"bob\0alice\0pw", credentials(Some("bob"), "alice", "pw")),
            (b"\0alice\0p\xc3\xa9", credentials(None, "alice", "p\u{e9}")),
            (b"alice\0pw", SaslStep::Malformed),
            (b"\0alice\0pw\0", SaslStep::Malformed),
            (b"\0\0pw", SaslStep::Malformed),
            (b"\0alice\0", SaslStep::Malformed),
            (b"\0alice\0\xff", SaslStep::Malformed),
            (b"", SaslStep::Malformed),
        ] {
            let mut exchange = Exchange::start(Mechanism::Plain);
            assert_eq!(exchange.step(Some(message)), expected, "{message:?}");
        }
    }

    #[test]
    fn lim_40_a_password_of_1024_bytes_passes_and_one_more_does_not() {
        for (length, ok) in [
            (1, true),
            (PASSWORD_BYTES_MAX, true),
            (PASSWORD_BYTES_MAX + 1, false),
        ] {
            let message = [b"\0alice\0".to_vec(), vec![b'x'; length]].concat();
            let step = Exchange::start(Mechanism::Plain).step(Some(&message));
            assert_eq!(matches!(step, SaslStep::Done(_)), ok, "{length}");
        }
        let name = [
            b"\0".to_vec(),
            vec![b'n'; NAME_BYTES_MAX + 1],
            b"\0pw".to_vec(),
        ]
        .concat();
        let step = Exchange::start(Mechanism::Plain).step(Some(&name));
        assert_eq!(step, SaslStep::Malformed);
    }

    #[test]
    fn login_asks_for_the_name_and_then_the_password() {
        let mut exchange = Exchange::start(Mechanism::Login);
        assert_eq!(exchange.step(None), asked(b"Username:"));
        assert_eq!(exchange.step(Some(b"alice")), asked(b"Password:"));
        assert_eq!(exchange.step(Some(b"pw")), credentials(None, "alice", "pw"));
        assert_eq!(exchange.step(Some(b"pw")), SaslStep::Malformed);
        let mut quick = Exchange::start(Mechanism::Login);
        assert_eq!(quick.step(Some(b"alice")), asked(b"Password:"));
    }

    #[test]
    fn login_ends_at_an_empty_name_or_password() {
        let asked = [&[None, Some(&b""[..])][..], &[Some(b"")]];
        for responses in asked {
            let mut exchange = Exchange::start(Mechanism::Login);
            let last = responses.iter().map(|r| exchange.step(*r)).last();
            assert_eq!(last, Some(SaslStep::Malformed), "{responses:?}");
        }
        let mut exchange = Exchange::start(Mechanism::Login);
        exchange.step(Some(b"alice"));
        assert_eq!(exchange.step(Some(b"")), SaslStep::Malformed);
    }

    #[test]
    fn only_offered_mechanisms_have_a_name() {
        assert_eq!(Mechanism::named("plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::named("CRAM-MD5"), None);
        assert_eq!(Mechanism::names(), ["PLAIN", "LOGIN"]);
    }
}
