//! AUTH: RFC 4954 4, with the exchanges of `sasl`.
//!
//! The strongest way that is offered and fits what we have, the next one only when the server does
//! not know it after all: a password that was refused is not tried in another way. Nothing is said
//! to a server that has not proved who it is, unless an operator of a laboratory wants it.

use std::{
    io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{fs::File, io::AsyncReadExt};

use super::{
    classify::Stage,
    conversation::{Cause, Conversation, Failure, Opening},
    reply::Reply,
};
use crate::{
    base::secret::Secret,
    sasl::client::{Exchange, Fault, Mechanism, Secrets, Who, candidates},
};

/// Credentials for a server that relays for us.
#[derive(Clone, Debug)]
pub struct Login {
    /// The user's name.
    pub user: String,
    /// The proof.
    pub proof: Proof,
    /// The one way to log in that is used, instead of the strongest.
    pub mechanism: Option<Mechanism>,
    /// Send them even without verified TLS: for laboratories.
    pub insecure_without_tls: bool,
}

/// What proves who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A password.
    Password(Secret<String>),
    /// A file that begins with a token of OAuth 2.0. It is read for each session: tokens are good
    /// for an hour or so, and whoever gets new ones writes them there.
    TokenFile(PathBuf),
}

impl Conversation {
    /// Logs in.
    pub(super) async fn log_in(
        &mut self,
        login: &Login,
        opening: &Opening<'_>,
    ) -> Result<(), Failure> {
        let failed = Failure::at(Stage::Auth);
        if !self.verified && !login.insecure_without_tls {
            return Err(failed(Cause::AuthNeedsTls));
        }
        let secrets = match login.proof.read().await {
            Ok(secrets) => secrets,
            Err(error) => {
                // Its path is the operator's matter; what is returned goes into reports.
                tracing::error!(%error, "the token of a login could not be read");
                return Err(failed(Cause::Token));
            }
        };
        let offered = self.offered.auth;
        let bindable = self.binding.is_some();
        for mechanism in candidates(offered, &secrets, bindable, login.mechanism) {
            let who = Who {
                user: &login.user,
                secrets: &secrets,
                host: opening.host,
                binding: self.binding,
                nonce: opening.random.readable(NONCE_CHARS),
                offered,
            };
            match self.exchange(mechanism, who).await {
                // RFC 4954 4: it does not know what it offers; nothing was said of us.
                Err(failure) if failure.reply().is_some_and(|reply| reply.code == 504) => {}
                done => return done,
            }
        }
        Err(failed(Cause::AuthNotOffered))
    }

    /// One exchange.
    async fn exchange(&mut self, mechanism: Mechanism, who: Who<'_>) -> Result<(), Failure> {
        let failed = |cause| Failure::at(Stage::Auth)(cause);
        let (Secrets::Password(secret) | Secrets::Token(secret)) = who.secrets;
        let begun = Exchange::start(mechanism, who);
        let (mut exchange, mut first) = begun.map_err(|fault| failed(Cause::Sasl(fault)))?;
        let mut spoken = Spoken::default();
        spoken.add(secret);
        let name = mechanism.name();
        let mut line = format!("AUTH {name}\r\n");
        if let Some(response) = &first {
            let response = encoded(response);
            spoken.add_encoded(&response);
            let whole = format!("AUTH {name} {response}");
            // RFC 4954 4: what does not fit into a command line goes behind a 334.
            if whole.len() <= COMMAND_BYTES_MAX {
                (line, first) = (whole, None);
            }
        }
        for _ in 0..STEPS_MAX {
            let reply = self.ask(Stage::Auth, &line, self.timeouts.hello).await?;
            match reply.code {
                235 => return exchange.finish().map_err(|f| failed(Cause::Sasl(f))),
                334 => {}
                _ => return Err(failed(Cause::Refused(spoken.told(reply, &exchange)))),
            }
            if let Some(response) = first.take() {
                line = encoded(&response);
                continue;
            }
            let step;
            (exchange, step) = stepped(exchange, &reply).await;
            match step {
                Ok(response) => {
                    line = encoded(&response);
                    spoken.add_encoded(&line);
                }
                Err(fault) => return Err(self.cancelled(fault).await),
            }
        }
        Err(self.cancelled(Fault::Malformed).await)
    }

    /// RFC 4954 4: how a client ends an exchange.
    async fn cancelled(&mut self, fault: Fault) -> Failure {
        let within = self.timeouts.hello;
        match self.ask(Stage::Auth, "*\r\n", within).await {
            Ok(_) => Failure::at(Stage::Auth)(Cause::Sasl(fault)),
            Err(failure) => failure,
        }
    }
}

impl Proof {
    /// What is said to the server.
    async fn read(&self) -> io::Result<Secrets> {
        match self {
            Self::Password(password) => Ok(Secrets::Password(password.clone())),
            Self::TokenFile(path) => token(path).await.map(Secrets::Token).map_err(|error| {
                let text = format!("{}: {error}", path.display());
                io::Error::new(error.kind(), text)
            }),
        }
    }
}

/// The token that a file begins with.
async fn token(path: &Path) -> io::Result<Secret<String>> {
    let mut text = String::new();
    let file = File::open(path).await?;
    file.take(TOKEN_BYTES_MAX).read_to_string(&mut text).await?;
    let token = text.lines().next().unwrap_or_default().trim();
    // RFC 6750 2.1: none of these may be in it, and one would end what carries it.
    let good = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !good {
        let text = "its first line is no token";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Secret::new(token.to_owned()))
}

/// Goes on with what the server said. SCRAM computes for up to half a second.
async fn stepped(
    mut exchange: Exchange,
    reply: &Reply,
) -> (Exchange, Result<Secret<Vec<u8>>, Fault>) {
    // LOGIN's questions, and what some servers say for an empty challenge, mean nothing.
    let challenge = reply.lines.first().map(String::as_str).unwrap_or_default();
    let challenge = STANDARD.decode(challenge).unwrap_or_default();
    if !exchange.is_costly() {
        let step = exchange.step(&challenge);
        return (exchange, step);
    }
    let work = move || {
        let step = exchange.step(&challenge);
        (exchange, step)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// What we said in an exchange, as a server might repeat it: in lower case, which some make of it.
#[derive(Default)]
struct Spoken(Vec<String>);

impl Spoken {
    fn add(&mut self, secret: &Secret<String>) {
        self.0.push(secret.expose().to_ascii_lowercase());
    }

    /// The beginning is enough: what is repeated may be cut.
    fn add_encoded(&mut self, response: &str) {
        let response = response.trim_end();
        let begun = response.get(..ENCODED_CHARS).unwrap_or(response);
        self.0.push(begun.to_ascii_lowercase());
    }

    fn is_in(&self, line: &str) -> bool {
        let line = line.to_ascii_lowercase();
        let spoken = self.0.iter().filter(|spoken| !spoken.is_empty());
        spoken
            .into_iter()
            .any(|spoken| line.contains(spoken.as_str()))
    }

    /// A refusal, with what was said about it within the exchange. LOG-01: servers that do not know
    /// a command repeat it, and what they say goes into logs and reports.
    fn told(&self, mut reply: Reply, exchange: &Exchange) -> Reply {
        reply.lines.extend(exchange.said().map(str::to_owned));
        for line in reply.lines.iter_mut().filter(|line| self.is_in(line)) {
            "(it repeats what we said)".clone_into(line);
        }
        reply
    }
}

fn encoded(response: &Secret<Vec<u8>>) -> String {
    format!("{}\r\n", STANDARD.encode(response.expose()))
}

/// RFC 5321 4.5.3.1.4: longest command line, with its CRLF.
const COMMAND_BYTES_MAX: usize = 512;
/// RFC 5802 5.1: of 32 letters each, 160 bits.
const NONCE_CHARS: usize = 32;
/// Longest token that is read.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;
/// Of an encoded response, by which it is known again.
const ENCODED_CHARS: usize = 12;
/// Replies of a server in one exchange; ours need four.
const STEPS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_the_first_line_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |content: &'static str| {
            std::fs::write(&path, content).unwrap();
            let path = path.clone();
            async move { token(&path).await.map(|token| token.expose().clone()) }
        };
        assert_eq!(read("ya29.a-b_c~d+/=\n").await.unwrap(), "ya29.a-b_c~d+/=");
        assert_eq!(read("  abc \nrest\n").await.unwrap(), "abc");
        for bad in ["", "\nabc", "a b", "a\u{1}b", "\u{e9}"] {
            let error = read(bad).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bad:?}");
        }
        let gone = Proof::TokenFile(dir.path().join("gone"));
        assert!(gone.read().await.unwrap_err().to_string().contains("gone"));
    }
}
