//! Login exchanges as a client leads them: challenges in, responses out.
//!
//! Pure, and without base64: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM), RFC 7628 (OAUTHBEARER),
//! and two that no RFC has: LOGIN (draft-murchison-sasl-login) and XOAUTH2 (Google's and
//! Microsoft's). Which of them may be used is [`candidates`]'s to say.

use super::scram::{Binding, Hash, Last, Opened, Proof as ScramProof};
use crate::base::secret::Secret;

/// A mechanism that we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 7677 with RFC 9266.
    ScramSha256Plus,
    /// RFC 5802 with RFC 9266.
    ScramSha1Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7628.
    OauthBearer,
    /// Its forerunner, which some providers offer alone.
    Xoauth2,
    /// RFC 4616.
    Plain,
    /// The obsolete two-step exchange that some providers offer alone.
    Login,
}

impl Mechanism {
    /// Strongest first: bound to the channel, then those that keep the secret here.
    pub const ALL: [Self; 8] = [
        Self::ScramSha256Plus,
        Self::ScramSha1Plus,
        Self::ScramSha256,
        Self::ScramSha1,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::Plain,
        Self::Login,
    ];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Xoauth2 => "XOAUTH2",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The one of this name, in any case of letters.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether it carries a token instead of a password.
    pub fn takes_token(self) -> bool {
        matches!(self, Self::OauthBearer | Self::Xoauth2)
    }

    /// Whether it is bound to the channel.
    fn binds(self) -> bool {
        matches!(self, Self::ScramSha256Plus | Self::ScramSha1Plus)
    }
}

/// What a server offers of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered(u8);

impl Offered {
    /// Adds the mechanism of this name, if we know it.
    pub fn add(&mut self, name: &str) {
        if let Some(mechanism) = Mechanism::named(name) {
            self.0 |= 1 << mechanism as u8;
        }
    }

    /// Whether this one is among them.
    pub fn has(self, mechanism: Mechanism) -> bool {
        self.0 & (1 << mechanism as u8) != 0
    }
}

/// What proves who we are.
#[derive(Clone, Debug)]
pub enum Secrets {
    /// A password.
    Password(Secret<String>),
    /// A token of OAuth 2.0 (RFC 6750).
    Token(Secret<String>),
}

/// Who logs in, and where.
#[derive(Debug)]
pub struct Who<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The proof.
    pub secrets: &'a Secrets,
    /// The server's name.
    pub host: &'a str,
    /// RFC 9266 2, of the TLS connection that there is.
    pub binding: Option<[u8; 32]>,
    /// Printable characters that nobody can guess.
    pub nonce: String,
    /// What the server offers.
    pub offered: Offered,
}

/// The mechanisms to try, in this order: those that are offered and fit what we have, or the one
/// that was named.
pub fn candidates(
    offered: Offered,
    secrets: &Secrets,
    bindable: bool,
    only: Option<Mechanism>,
) -> impl Iterator<Item = Mechanism> {
    let token = matches!(secrets, Secrets::Token(_));
    let fits = move |mechanism: &Mechanism| {
        offered.has(*mechanism)
            && mechanism.takes_token() == token
            && (bindable || !mechanism.binds())
            && only.is_none_or(|only| only == *mechanism)
    };
    Mechanism::ALL.into_iter().filter(fits)
}

/// Why an exchange does not go on from our side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// What the server sent is not of the mechanism.
    #[error("what the server sent is not of the mechanism")]
    Malformed,
    /// RFC 5802 5.1: it answers somebody else.
    #[error("the server's nonce does not begin with ours")]
    Nonce,
    /// AUTH-02.
    #[error("the server asks for less than 4096 or more than 1000000 rounds of hashing")]
    Rounds,
    /// RFC 5802 5: somebody else may be there.
    #[error("the server did not prove that it knows the password")]
    Unproved,
    /// RFC 4013.
    #[error("the user or the password has characters that no server takes")]
    Unprepared,
}

/// A running exchange.
#[derive(Debug)]
pub struct Exchange {
    state: State,
    said: Option<String>,
}

#[derive(Debug)]
enum State {
    /// What is left to say, the next one last.
    Saying(Vec<Secret<Vec<u8>>>),
    /// A challenge now is an error; this is said to it (RFC 7628 3.2.3).
    Bearer(&'static [u8]),
    Scram(Box<Opened>),
    Checking(Box<ScramProof>),
    /// The server proved itself.
    Proved,
    /// A challenge now is none of the mechanism.
    Over,
}

/// An exchange that has begun, and what is said at once.
type Started = (Exchange, Option<Secret<Vec<u8>>>);

impl Exchange {
    /// Begins an exchange; with what is said at once, if the mechanism lets the client begin.
    ///
    /// # Errors
    /// When the mechanism cannot carry what is there.
    pub fn start(mechanism: Mechanism, who: Who<'_>) -> Result<Started, Fault> {
        use Mechanism as M;
        let secret = match who.secrets {
            Secrets::Password(secret) | Secrets::Token(secret) => secret,
        };
        let (user, text) = (who.user, secret.expose());
        let (state, first) = match mechanism {
            M::Plain => (State::Saying(Vec::new()), format!("\0{user}\0{text}")),
            M::Login => {
                let bytes = |text: &str| Secret::new(text.as_bytes().to_vec());
                let state = State::Saying(vec![bytes(text), bytes(user)]);
                return Ok((Self::at(state), None));
            }
            M::Xoauth2 => (
                State::Bearer(b""),
                format!("user={user}\x01auth=Bearer {text}\x01\x01"),
            ),
            M::OauthBearer => {
                // RFC 5801 4: comma and equals sign in a name.
                let user = user.replace('=', "=3D").replace(',', "=2C");
                let host = who.host;
                (
                    State::Bearer(b"\x01"),
                    format!("n,a={user},\x01host={host}\x01auth=Bearer {text}\x01\x01"),
                )
            }
            M::ScramSha256Plus | M::ScramSha256 => {
                return Self::scram(mechanism, Hash::Sha256, who);
            }
            M::ScramSha1Plus | M::ScramSha1 => return Self::scram(mechanism, Hash::Sha1, who),
        };
        Ok((Self::at(state), Some(Secret::new(first.into_bytes()))))
    }

    fn scram(mechanism: Mechanism, hash: Hash, who: Who<'_>) -> Result<Started, Fault> {
        let offers_plus = Mechanism::ALL
            .into_iter()
            .any(|other| other.binds() && who.offered.has(other));
        let binding = match &who.binding {
            Some(data) if mechanism.binds() => Binding::TlsExporter(data),
            // RFC 5802 6: a server that does offer it must not be told that it does not.
            Some(_) if !offers_plus => Binding::NotOffered,
            _ => Binding::Impossible,
        };
        let (Secrets::Password(secret) | Secrets::Token(secret)) = who.secrets;
        let (opened, first) = Opened::new(hash, (who.user, secret), who.nonce, binding)?;
        let state = State::Scram(Box::new(opened));
        Ok((Self::at(state), Some(Secret::new(first))))
    }

    fn at(state: State) -> Self {
        Self { state, said: None }
    }

    /// Whether the next step takes a processor's while.
    pub fn is_costly(&self) -> bool {
        matches!(self.state, State::Scram(_))
    }

    /// Answers a challenge.
    ///
    /// # Errors
    /// When the exchange is to be ended.
    pub fn step(&mut self, challenge: &[u8]) -> Result<Secret<Vec<u8>>, Fault> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Saying(mut left) => {
                let next = left.pop().ok_or(Fault::Malformed)?;
                self.state = State::Saying(left);
                Ok(next)
            }
            State::Bearer(dummy) => {
                self.said = Some(shown(challenge));
                Ok(Secret::new(dummy.to_vec()))
            }
            State::Scram(opened) => {
                let (proof, last) = opened.answer(challenge)?;
                self.state = State::Checking(Box::new(proof));
                Ok(Secret::new(last))
            }
            State::Checking(proof) => {
                match proof.check(challenge)? {
                    Last::Proved => self.state = State::Proved,
                    Last::Refused(why) => self.said = Some(shown(why.as_bytes())),
                }
                Ok(Secret::new(Vec::new()))
            }
            State::Proved | State::Over => Err(Fault::Malformed),
        }
    }

    /// Whether the server's yes may be believed: where it has to prove itself, it did.
    ///
    /// # Errors
    /// When it did not.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.state {
            State::Scram(_) | State::Checking(_) => Err(Fault::Unproved),
            State::Saying(_) | State::Bearer(_) | State::Proved | State::Over => Ok(()),
        }
    }

    /// What the server said within the exchange about why it refuses us.
    pub fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }
}

/// What may be shown of a server's words.
fn shown(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(SAID_CHARS_MAX).collect()
}

/// Of what a server says within an exchange.
const SAID_CHARS_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Secrets {
        Secrets::Password(Secret::new(text.to_owned()))
    }

    fn who<'a>(user: &'a str, secrets: &'a Secrets) -> Who<'a> {
        Who {
            user,
            secrets,
            host: "mta.example",
            binding: None,
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
            offered: Offered::default(),
        }
    }

    fn offered(names: &str) -> Offered {
        let mut offered = Offered::default();
        names.split(' ').for_each(|name| offered.add(name));
        offered
    }

    #[test]
    fn the_strongest_that_is_offered_and_fits_comes_first() {
        use Mechanism as M;
        let password = password("p");
        let token = Secrets::Token(Secret::new("t".to_owned()));
        for (names, secrets, bindable, only, expected) in [
            (
                "LOGIN plain",
                &password,
                true,
                None,
                &[M::Plain, M::Login][..],
            ),
            (
                "PLAIN SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
                &password,
                true,
                None,
                &[M::ScramSha256Plus, M::ScramSha256, M::ScramSha1, M::Plain],
            ),
            (
                "PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
                &password,
                false,
                None,
                &[M::ScramSha256, M::Plain],
            ),
            (
                "PLAIN XOAUTH2 OAUTHBEARER",
                &token,
                true,
                None,
                &[M::OauthBearer, M::Xoauth2],
            ),
            ("PLAIN LOGIN", &password, true, Some(M::Login), &[M::Login]),
            ("PLAIN", &password, true, Some(M::Login), &[]),
            ("PLAIN", &password, true, Some(M::Xoauth2), &[]),
            ("XOAUTH2 GSSAPI", &password, true, None, &[]),
            ("", &password, true, None, &[]),
        ] {
            let found: Vec<_> = candidates(offered(names), secrets, bindable, only).collect();
            assert_eq!(found, expected, "{names}");
        }
    }

    #[test]
    fn every_mechanism_has_a_name_and_a_place_of_its_own() {
        let all = offered(&Mechanism::ALL.map(Mechanism::name).join(" "));
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::named(mechanism.name()), Some(mechanism));
            assert!(all.has(mechanism));
            assert!(!Offered::default().has(mechanism));
        }
        assert_eq!(Mechanism::named("CRAM-MD5"), None);
    }

    fn first(mechanism: Mechanism, who: Who<'_>) -> (Exchange, String) {
        let (exchange, first) = Exchange::start(mechanism, who).unwrap();
        let first = first.map(|first| first.expose().clone());
        (
            exchange,
            String::from_utf8(first.unwrap_or_default()).unwrap(),
        )
    }

    #[test]
    fn passwords_are_said_as_the_mechanism_has_it() {
        let secrets = password("pw");
        let (mut plain, said) = first(Mechanism::Plain, who("me", &secrets));
        assert_eq!(said, "\0me\0pw");
        assert!(plain.finish().is_ok());
        assert_eq!(plain.step(b"more?"), Err(Fault::Malformed));
        let (mut login, said) = first(Mechanism::Login, who("me", &secrets));
        assert_eq!(said, "");
        assert_eq!(login.step(b"anything").unwrap().expose(), b"me");
        assert_eq!(login.step(b"").unwrap().expose(), b"pw");
        assert_eq!(login.step(b""), Err(Fault::Malformed));
    }

    #[test]
    fn a_token_is_carried_and_what_the_server_says_of_it_is_kept() {
        let secrets = Secrets::Token(Secret::new("vF9dft4qmT".to_owned()));
        let user = "user@example.com";
        // RFC 7628 4.1, without the port.
        let (mut bearer, said) = first(Mechanism::OauthBearer, who(user, &secrets));
        let expected =
            "n,a=user@example.com,\x01host=mta.example\x01auth=Bearer vF9dft4qmT\x01\x01";
        assert_eq!(said, expected);
        let error = br#"{"status":"invalid_token"}"#;
        assert_eq!(bearer.step(error).unwrap().expose(), b"\x01");
        assert_eq!(bearer.said(), Some(r#"{"status":"invalid_token"}"#));
        assert_eq!(bearer.step(b"again"), Err(Fault::Malformed));
        let (mut xoauth2, said) = first(Mechanism::Xoauth2, who(user, &secrets));
        let expected = "user=user@example.com\x01auth=Bearer vF9dft4qmT\x01\x01";
        assert_eq!(said, expected);
        assert_eq!(xoauth2.step(&[b'x'; 9000]).unwrap().expose(), b"");
        assert_eq!(xoauth2.said().unwrap().len(), SAID_CHARS_MAX);
        let (_, said) = first(Mechanism::OauthBearer, who("a,b=c", &secrets));
        assert!(said.starts_with("n,a=a=2Cb=3Dc,\x01"), "{said}");
    }

    const CHALLENGE: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    #[test]
    fn a_server_that_has_not_proved_itself_is_not_believed() {
        let secrets = password("pencil");
        let (mut scram, _) = first(Mechanism::ScramSha256, who("user", &secrets));
        assert_eq!(scram.finish(), Err(Fault::Unproved));
        scram.step(CHALLENGE).unwrap();
        assert_eq!(scram.finish(), Err(Fault::Unproved));
        let last = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        assert_eq!(scram.step(last).unwrap().expose(), b"");
        assert_eq!(scram.finish(), Ok(()));
        let (mut scram, _) = first(Mechanism::ScramSha256, who("user", &secrets));
        scram.step(CHALLENGE).unwrap();
        assert_eq!(scram.step(b"v=AAAA"), Err(Fault::Unproved));
        let (mut scram, _) = first(Mechanism::ScramSha256, who("user", &secrets));
        scram.step(CHALLENGE).unwrap();
        assert!(scram.step(b"e=unknown-user").is_ok());
        assert_eq!(scram.said(), Some("unknown-user"));
    }

    #[test]
    fn the_binding_is_used_when_both_can() {
        let secrets = password("pencil");
        for (mechanism, names, binding, header) in [
            (
                Mechanism::ScramSha256Plus,
                "SCRAM-SHA-256-PLUS",
                true,
                "p=tls-exporter,,",
            ),
            (Mechanism::ScramSha1, "SCRAM-SHA-1", true, "y,,"),
            // RFC 5802 6: never to a server that offers it.
            (
                Mechanism::ScramSha256,
                "SCRAM-SHA-256 SCRAM-SHA-256-PLUS",
                true,
                "n,,",
            ),
            (Mechanism::ScramSha256, "SCRAM-SHA-256", false, "n,,"),
        ] {
            let who = Who {
                binding: binding.then_some([1; 32]),
                offered: offered(names),
                ..who("user", &secrets)
            };
            let (_, said) = first(mechanism, who);
            assert!(said.starts_with(&format!("{header}n=user,")), "{said}");
        }
    }
}
