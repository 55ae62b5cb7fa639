//! AUTH towards servers: which way is taken, what is said, and whom is believed.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use buzon::{
    base::{random::Random, secret::Secret},
    sasl::client::{Fault, Mechanism},
    smtp::client::{
        Cause, Conversation, Failure, Login, Proof, Timeouts, TlsClient,
        classify::Stage,
        conversation::{Opening, Security},
    },
};
use ring::{digest, hmac, pbkdf2};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{identity, open_with};
use crate::relay::mta::{Act, Event, Mta, say};

#[tokio::test(start_paused = true)]
async fn credentials_are_sent_in_the_way_that_is_offered() {
    let login = |password: &str| Login {
        user: "me".to_owned(),
        proof: Proof::Password(Secret::new(password.to_owned())),
        mechanism: None,
        insecure_without_tls: true,
    };
    let script = |offer: &'static str, last: &'static str| {
        Mta::new(move |seen| match seen.command() {
            line if line.starts_with("EHLO") => Act::Say(format!("250-mta\r\n250 {offer}\r\n")),
            "AUTH LOGIN" => say("334 VXNlcm5hbWU6"),
            "AUTH PLAIN" => say("334 "),
            "bWU=" => say("334 UGFzc3dvcmQ6"),
            line if line.starts_with("MAIL") => Act::Usual,
            _ if matches!(seen.event, Event::Command(_)) => say(last),
            _ => Act::Usual,
        })
    };
    let yes = "235 2.7.0 welcome";
    let mta = script("AUTH LOGIN", yes);
    let short = login("pw");
    assert!(open_with(&mta, Security::Plain, Some(&short)).await.is_ok());
    assert_eq!(mta.commands()[1..], ["AUTH LOGIN", "bWU=", "cHc="]);
    let mta = script("AUTH LOGIN PLAIN", yes);
    assert!(open_with(&mta, Security::Plain, Some(&short)).await.is_ok());
    assert_eq!(mta.commands()[1..], ["AUTH PLAIN AG1lAHB3"]);
    // RFC 4954 4: too long for the command line.
    let mta = script("AUTH PLAIN", yes);
    let long = login(&"p".repeat(400));
    assert!(open_with(&mta, Security::Plain, Some(&long)).await.is_ok());
    assert_eq!(mta.commands()[1], "AUTH PLAIN");
    let mta = script("AUTH PLAIN", "535 5.7.8 wrong");
    let failure = open_with(&mta, Security::Plain, Some(&short))
        .await
        .err()
        .unwrap();
    assert_eq!(
        (failure.stage, failure.reply().unwrap().code),
        (Stage::Auth, 535)
    );
    let mta = script("AUTH GSSAPI", yes);
    let failure = open_with(&mta, Security::Plain, Some(&short))
        .await
        .err()
        .unwrap();
    assert!(matches!(failure.cause, Cause::AuthNotOffered));
}

/// A server's half of SCRAM-SHA-256, for the password `pencil`.
#[derive(Default)]
struct Scram {
    first: String,
    challenge: String,
}

impl Scram {
    fn salted() -> Vec<u8> {
        let mut salted = vec![0; 32];
        let rounds = 4096.try_into().unwrap();
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, b"salt", b"pencil", &mut salted);
        salted
    }

    /// What is answered to `client-first-message`.
    fn begin(&mut self, first: &str) -> String {
        self.first = first.to_owned();
        let nonce = first.split("r=").last().unwrap();
        self.challenge = format!("r={nonce}more,s={},i=4096", STANDARD.encode("salt"));
        self.challenge.clone()
    }

    /// What is answered to `client-final-message`; `None` when it proves nothing.
    fn end(&self, last: &str, binding: &[u8]) -> Option<String> {
        let (bare, proof) = last.split_once(",p=").unwrap();
        let at = self.first.find("n=").unwrap();
        let (header, first) = self.first.split_at(at);
        let bound = STANDARD.encode([header.as_bytes(), binding].concat());
        assert!(bare.starts_with(&format!("c={bound},")), "{bare}");
        let message = format!("{first},{},{bare}", self.challenge);
        let salted = hmac::Key::new(hmac::HMAC_SHA256, &Self::salted());
        let stored = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(&digest::SHA256, stored.as_ref());
        let signature = hmac::Key::new(hmac::HMAC_SHA256, stored.as_ref());
        let signature = hmac::sign(&signature, message.as_bytes());
        let proof = STANDARD.decode(proof).unwrap();
        let key: Vec<_> = proof
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        if digest::digest(&digest::SHA256, &key).as_ref() != stored.as_ref() {
            return None;
        }
        let server = hmac::sign(&salted, b"Server Key");
        let server = hmac::Key::new(hmac::HMAC_SHA256, server.as_ref());
        let signature = hmac::sign(&server, message.as_bytes());
        Some(format!("v={}", STANDARD.encode(signature)))
    }

    /// What a server says to one line of AUTH.
    fn reply(&mut self, line: &str, binding: &[u8]) -> String {
        let decoded = |text| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        if let Some((_, first)) = line.split_once("AUTH SCRAM-SHA-256") {
            let first = first.trim_start_matches("-PLUS ").trim();
            return format!("334 {}", STANDARD.encode(self.begin(&decoded(first))));
        }
        if line.is_empty() {
            return "235 2.7.0 welcome".to_owned();
        }
        match self.end(&decoded(line), binding) {
            Some(last) => format!("334 {}", STANDARD.encode(last)),
            None => "535 5.7.8 no".to_owned(),
        }
    }
}

fn login(password: &str, mechanism: Option<Mechanism>) -> Login {
    Login {
        user: "user".to_owned(),
        proof: Proof::Password(Secret::new(password.to_owned())),
        mechanism,
        insecure_without_tls: true,
    }
}

/// A server that offers `offer` and answers AUTH as `answer` says.
fn server(offer: &'static str, mut answer: impl FnMut(&str) -> String + Send + 'static) -> Mta {
    Mta::new(move |seen| match &seen.event {
        Event::Command(line) if line.starts_with("EHLO") => {
            say(&format!("250-mta\r\n250 AUTH {offer}"))
        }
        Event::Command(line) if !line.starts_with("MAIL") => say(&answer(line)),
        _ => Act::Usual,
    })
}

async fn failure(mta: &Mta, login: &Login) -> Failure {
    let opened = open_with(mta, Security::Plain, Some(login)).await;
    opened.err().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_password_stays_here_where_scram_is_offered() {
    let mut scram = Scram::default();
    let mta = server("PLAIN SCRAM-SHA-256", move |line| scram.reply(line, b""));
    let opened = open_with(&mta, Security::Plain, Some(&login("pencil", None))).await;
    assert!(opened.is_ok());
    assert!(mta.commands()[1].starts_with("AUTH SCRAM-SHA-256 "));
    let mut scram = Scram::default();
    let mta = server("PLAIN SCRAM-SHA-256", move |line| scram.reply(line, b""));
    let refused = failure(&mta, &login("wrong", None)).await;
    // It is not tried in another way.
    assert_eq!(refused.reply().unwrap().code, 535);
    assert!(!mta.commands().iter().any(|line| line.contains("PLAIN")));
    let mta = server("PLAIN SCRAM-SHA-256", |_| "235 2.7.0 yes".to_owned());
    let fixed = login("pencil", Some(Mechanism::Plain));
    assert!(open_with(&mta, Security::Plain, Some(&fixed)).await.is_ok());
    assert!(mta.commands()[1].starts_with("AUTH PLAIN "));
}

#[tokio::test(start_paused = true)]
async fn log_01_what_a_server_repeats_of_our_secrets_is_not_told() {
    let (password, token) = ("correct horse battery", "ya29.secret-token");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, token).unwrap();
    let by_token = Login {
        proof: Proof::TokenFile(path),
        ..login("", None)
    };
    let by_password = login(password, None);
    for (offer, login) in [
        ("PLAIN", &by_password),
        ("LOGIN", &by_password),
        ("OAUTHBEARER", &by_token),
        ("XOAUTH2", &by_token),
    ] {
        for way in 0..5 {
            let mut begun = false;
            let mta = server(offer, move |line| {
                let last = line.rsplit(' ').next().unwrap();
                if !std::mem::replace(&mut begun, true) && offer == "LOGIN" {
                    return "334 VXNlcm5hbWU6".to_owned();
                }
                match way {
                    0 => format!("500 5.5.1 what is {line}"),
                    1 => format!("500-no\r\n500 {}", line.to_ascii_uppercase()),
                    2 => format!("500 {}...", &line[..line.len() - 3]),
                    3 => format!("535 not {password} and not {token}"),
                    _ if line.is_empty() || last == "AQ==" => "535 no".to_owned(),
                    _ => format!(
                        "334 {}",
                        STANDARD.encode(format!("{{\"token\":\"{token}\"}}"))
                    ),
                }
            });
            let failure = failure(&mta, login).await;
            let told = failure
                .reply()
                .map(|reply| reply.text())
                .unwrap_or_default();
            let told = told.to_lowercase();
            let encoded = STANDARD
                .encode(format!("\0user\0{password}"))
                .to_lowercase();
            let encoded_alone = STANDARD.encode(password).to_lowercase();
            for secret in [password, token, &encoded[..14], &encoded_alone[..14]] {
                assert!(!told.contains(secret), "{offer} {way}: {told}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_prove_itself_is_left() {
    let mta = server("SCRAM-SHA-256", |_| "235 2.7.0 come in".to_owned());
    let left = failure(&mta, &login("pencil", None)).await;
    assert!(
        matches!(left.cause, Cause::Sasl(Fault::Unproved)),
        "{left:?}"
    );
    let mut scram = Scram::default();
    let mta = server("SCRAM-SHA-256", move |line| match line {
        "*" => "501 5.7.0 cancelled".to_owned(),
        line if line.starts_with("AUTH") => scram.reply(line, b""),
        _ => format!("334 {}", STANDARD.encode("v=AAAA")),
    });
    let left = failure(&mta, &login("pencil", None)).await;
    assert!(
        matches!(left.cause, Cause::Sasl(Fault::Unproved)),
        "{left:?}"
    );
    assert_eq!(mta.commands().last().unwrap(), "*");
}

#[tokio::test(start_paused = true)]
async fn rfc_4954_a_way_that_the_server_does_not_know_is_followed_by_the_next() {
    let mta = server("SCRAM-SHA-1 PLAIN", |line| match line.contains("SCRAM") {
        true => "504 5.5.4 not known".to_owned(),
        false => "235 2.7.0 welcome".to_owned(),
    });
    let opened = open_with(&mta, Security::Plain, Some(&login("pw", None))).await;
    assert!(opened.is_ok());
    assert!(mta.commands()[2].starts_with("AUTH PLAIN "));
}

#[tokio::test]
async fn a_token_is_read_for_each_session_and_a_refusal_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let login = Login {
        user: "me@here.example".to_owned(),
        proof: Proof::TokenFile(path.clone()),
        mechanism: None,
        insecure_without_tls: true,
    };
    let mta = server("PLAIN XOAUTH2", |_| "235 2.7.0 welcome".to_owned());
    assert!(matches!(failure(&mta, &login).await.cause, Cause::Token));
    for token in ["first", "second"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        assert!(open_with(&mta, Security::Plain, Some(&login)).await.is_ok());
        let said = format!("user=me@here.example\x01auth=Bearer {token}\x01\x01");
        let said = format!("AUTH XOAUTH2 {}", STANDARD.encode(said));
        assert_eq!(*mta.commands().last().unwrap(), said);
    }
    let error = r#"{"status":"401","schemes":"bearer"}"#;
    for (offer, dummy) in [("XOAUTH2", ""), ("OAUTHBEARER", "AQ==")] {
        let mta = server(offer, move |line| match line.starts_with("AUTH") {
            true => format!("334 {}", STANDARD.encode(error)),
            false => "535 5.7.8 no".to_owned(),
        });
        let refused = failure(&mta, &login).await;
        assert_eq!(refused.reply().unwrap().text(), format!("no {error}"));
        let seen = mta.seen();
        let last = seen
            .iter()
            .rfind(|seen| matches!(seen.event, Event::Command(_)));
        assert_eq!(last.unwrap().command(), dummy);
    }
    // A long one goes behind a 334.
    std::fs::write(&path, "x".repeat(3000)).unwrap();
    let mta = server("XOAUTH2", |line| match line {
        "AUTH XOAUTH2" => "334 ".to_owned(),
        _ => "235 2.7.0 welcome".to_owned(),
    });
    assert!(open_with(&mta, Security::Plain, Some(&login)).await.is_ok());
    assert!(mta.commands()[2].len() > 4000);
}

/// A server behind TLS from the first byte that offers SCRAM-SHA-256-PLUS.
async fn bound_server(config: ServerConfig, stream: tokio::io::DuplexStream) -> Vec<String> {
    let tls = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    let tls = tls.unwrap();
    let mut binding = [0; 32];
    let label = b"EXPORTER-Channel-Binding";
    let exported = tls
        .get_ref()
        .1
        .export_keying_material(&mut binding, label, None);
    exported.unwrap();
    let mut tls = BufReader::new(tls);
    tls.write_all(b"220 mta\r\n").await.unwrap();
    let (mut scram, mut said) = (Scram::default(), Vec::new());
    let mut line = String::new();
    while tls.read_line(&mut line).await.unwrap_or(0) > 0 {
        let answer = match line.starts_with("EHLO") {
            true => "250-mta\r\n250 AUTH SCRAM-SHA-256 SCRAM-SHA-256-PLUS".to_owned(),
            false => scram.reply(line.trim_end(), &binding),
        };
        said.push(std::mem::take(&mut line));
        tls.write_all(format!("{answer}\r\n").as_bytes())
            .await
            .unwrap();
    }
    said
}

#[tokio::test]
async fn rfc_9266_a_login_is_bound_to_its_connection() {
    let (config, roots) = identity("mta.example");
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut tasks = JoinSet::new();
    tasks.spawn(bound_server(config, theirs));
    let login = Login {
        insecure_without_tls: false,
        ..login("pencil", None)
    };
    let opening = Opening {
        name: "here.example",
        host: "mta.example",
        proof: None,
        security: Security::Implicit,
        tls: &TlsClient::new(roots).unwrap(),
        login: Some(&login),
        random: &Random::seeded(1),
    };
    let opened = Conversation::open(Box::new(ours), &opening, Timeouts::default()).await;
    assert!(opened.is_ok(), "{:?}", opened.err());
    drop(opened);
    let said = tasks.join_next().await.unwrap().unwrap();
    assert!(said[1].starts_with("AUTH SCRAM-SHA-256-PLUS "), "{said:?}");
}
