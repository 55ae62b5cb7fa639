//! The sending side of SMTP against scripted servers, TLS included.

mod content;
mod login;
mod promises;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use buzon::{
    base::{
        future::BoxFuture,
        pieces::{Pieces, Whole},
        random::Random,
        secret::Secret,
    },
    mail::{
        address::Address,
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
        urgency::{By, Priority},
    },
    smtp::client::{
        Cause, Conversation, Failure, Fate, Login, Mail, Proof, Sent, Timeouts, TlsClient,
        Transport,
        classify::Stage,
        conversation::{Opening, Security},
    },
};
use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use crate::relay::mta::{Act, Event, Mta, say};

fn anywhere() -> SocketAddr {
    "192.0.2.1:25".parse().unwrap()
}

fn tls() -> TlsClient {
    TlsClient::new(RootCertStore::empty()).unwrap()
}

async fn open(mta: &Mta) -> Result<Conversation, Failure> {
    open_with(mta, Security::Plain, None).await
}

async fn open_with(
    mta: &Mta,
    security: Security,
    login: Option<&Login>,
) -> Result<Conversation, Failure> {
    let stream = mta.serve(anywhere()).unwrap();
    let opening = Opening {
        name: "here.example",
        host: "mta.example",
        proof: None,
        security,
        tls: &tls(),
        login,
        random: &Random::seeded(1),
    };
    Conversation::open(Box::new(stream), &opening, Timeouts::default()).await
}

struct Letter {
    sender: &'static str,
    to: Vec<&'static str>,
    content: &'static [u8],
    smtputf8: bool,
    body: BodyKind,
    by: Option<By>,
    options: MailOptions,
    wishes: RcptOptions,
}

impl Default for Letter {
    fn default() -> Self {
        Self {
            sender: "s@here.example",
            to: vec!["a@there.example"],
            content: b"Subject: x\r\n\r\nbody\r\n",
            smtputf8: false,
            body: BodyKind::SevenBit,
            by: None,
            options: MailOptions::default(),
            wishes: RcptOptions::default(),
        }
    }
}

async fn send(conversation: &mut Conversation, letter: &Letter) -> Sent {
    let mut content = Whole::new(Bytes::from_static(letter.content));
    send_pieces(conversation, letter, &mut content).await
}

async fn send_pieces(
    conversation: &mut Conversation,
    letter: &Letter,
    content: &mut dyn Pieces,
) -> Sent {
    let to: Vec<_> = letter
        .to
        .iter()
        .map(|to| Address::parse(to).unwrap())
        .collect();
    let mail = Mail {
        sender: &match letter.sender {
            "" => ReversePath::Null,
            sender => ReversePath::Address(Address::parse(sender).unwrap()),
        },
        recipients: &to.iter().map(|to| (to, &letter.wishes)).collect::<Vec<_>>(),
        size: letter.content.len() as u64,
        smtputf8: letter.smtputf8,
        body: letter.body,
        by: letter.by,
        options: &letter.options,
    };
    conversation.send(&mail, content).await
}

fn codes(sent: &Sent) -> Vec<(char, u16)> {
    let one = |fate: &Fate| match fate {
        Fate::Delivered(reply) => ('d', reply.code),
        Fate::Later(_, reply) => ('l', reply.code),
        Fate::Never(_, reply) => ('n', reply.code),
        Fate::TooMany(reply) => ('t', reply.code),
        Fate::Broken(..) => ('b', 0),
        Fate::NeedsUtf8 => ('u', 0),
        Fate::NeedsTls | Fate::NeedsRequireTls => ('r', 0),
        Fate::TooLarge(_) | Fate::TooLate => ('s', 0),
        Fate::NeedsBinary | Fate::NeedsDeliverBy => ('x', 0),
        Fate::NotYet => ('-', 0),
    };
    sent.fates.iter().map(one).collect()
}

/// A server that offers exactly this, and answers commands that begin with the given words so.
fn server(offer: &'static str, answers: &'static [(&'static str, &'static str)]) -> Mta {
    Mta::new(move |seen| match &seen.event {
        Event::Command(line) if line.starts_with("EHLO") => say(offer),
        Event::Command(line) => match answers.iter().find(|(word, _)| line.starts_with(word)) {
            Some((_, answer)) => say(answer),
            None => Act::Usual,
        },
        Event::Content(_) => match answers.iter().find(|(word, _)| *word == ".") {
            Some((_, answer)) => say(answer),
            None => Act::Usual,
        },
        _ => Act::Usual,
    })
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_its_fate_with_and_without_groups() {
    for offer in ["250 mta", "250-mta\r\n250 PIPELINING"] {
        for (answers, to, expected, contents) in [
            (&[][..], vec!["a@x"], vec![('d', 250)], 1),
            (
                &[("RCPT TO:<b", "550 no"), ("RCPT TO:<c", "451 later")],
                vec!["a@x", "b@x", "c@x"],
                vec![('d', 250), ('n', 550), ('l', 451)],
                1,
            ),
            (
                &[
                    ("MAIL", "550 no"),
                    ("RCPT", "503 what"),
                    ("DATA", "503 what"),
                ],
                vec!["a@x", "b@x"],
                vec![('n', 550), ('n', 550)],
                0,
            ),
            (
                &[("RCPT", "550 no"), ("DATA", "554 nobody")],
                vec!["a@x"],
                vec![('n', 550)],
                0,
            ),
            (&[("DATA", "451 no")], vec!["a@x"], vec![('l', 451)], 0),
            (
                &[(".", "552 big")],
                vec!["a@x", "b@x"],
                vec![('n', 552); 2],
                1,
            ),
            (&[(".", "452 full")], vec!["a@x"], vec![('l', 452)], 1),
        ] {
            let mta = server(offer, answers);
            let mut conversation = open(&mta).await.unwrap();
            let letter = Letter {
                to,
                ..Letter::default()
            };
            let sent = send(&mut conversation, &letter).await;
            assert_eq!(codes(&sent), expected, "{answers:?}");
            assert_eq!(mta.contents().len(), contents, "{answers:?}");
            assert!(sent.usable && !sent.closing);
            assert_eq!(sent.content_begun, contents > 0);
            // Whatever happened, the next message finds a clean session.
            let mail = mta
                .commands()
                .iter()
                .filter(|c| c.starts_with("MAIL"))
                .count();
            assert_eq!(mail, 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rfc_2920_a_server_that_wants_content_for_nobody_gets_none() {
    let answers = &[("RCPT", "550 no"), ("DATA", "354 go ahead")];
    let mta = server("250-mta\r\n250 PIPELINING", answers);
    let mut conversation = open(&mta).await.unwrap();
    let sent = send(&mut conversation, &Letter::default()).await;
    assert_eq!(codes(&sent), [('n', 550)]);
    assert_eq!(mta.contents(), [b""]);
    assert!(sent.usable && !sent.content_begun);
    send(&mut conversation, &Letter::default()).await;
    assert!(mta.commands().contains(&"RSET".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn rfc_5321_3_8_after_421_nothing_more_is_asked() {
    for (word, fates) in [
        ("MAIL", ['l', 'l']),
        ("RCPT TO:<b", ['l', 'l']),
        ("DATA", ['l', 'l']),
        (".", ['l', 'l']),
    ] {
        let mta = Mta::new(move |seen| {
            let hit = match &seen.event {
                Event::Command(line) => line.starts_with(word),
                Event::Content(_) => word == ".",
                _ => false,
            };
            if hit {
                return Act::SayAndClose("421 4.3.2 going\r\n".to_owned());
            }
            match seen.command().starts_with("EHLO") {
                true => say("250 mta"),
                false => Act::Usual,
            }
        });
        let mut conversation = open(&mta).await.unwrap();
        let letter = Letter {
            to: vec!["a@x", "b@x"],
            ..Letter::default()
        };
        let sent = send(&mut conversation, &letter).await;
        let expected: Vec<_> = fates.iter().map(|fate| (*fate, 421)).collect();
        assert_eq!(codes(&sent), expected, "{word}");
        assert!(!sent.usable && sent.closing);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_ehlo_is_greeted_with_helo() {
    let mta = Mta::new(|seen| match seen.command().split(' ').next() {
        Some("EHLO") => say("502 what"),
        _ => Act::Usual,
    });
    let mut conversation = open(&mta).await.unwrap();
    send(&mut conversation, &Letter::default()).await;
    let commands = mta.commands();
    assert_eq!(commands[1], "HELO here.example");
    assert_eq!(commands[2], "MAIL FROM:<s@here.example>");
}

#[tokio::test(start_paused = true)]
async fn what_a_server_cannot_take_is_not_sent() {
    let mta = server("250-mta\r\n250 SIZE 10", &[]);
    let mut conversation = open(&mta).await.unwrap();
    let sent = send(&mut conversation, &Letter::default()).await;
    assert_eq!(sent.fates, [Fate::TooLarge(10)]);
    for letter in [
        Letter {
            smtputf8: true,
            ..Letter::default()
        },
        Letter {
            to: vec!["\u{fc}@there.example"],
            ..Letter::default()
        },
    ] {
        let mta = server("250 mta", &[]);
        let mut conversation = open(&mta).await.unwrap();
        assert_eq!(
            send(&mut conversation, &letter).await.fates,
            [Fate::NeedsUtf8]
        );
        assert_eq!(mta.commands().len(), 1);
        let mta = server("250-mta\r\n250 SMTPUTF8", &[]);
        let mut conversation = open(&mta).await.unwrap();
        assert_eq!(codes(&send(&mut conversation, &letter).await), [('d', 250)]);
        assert_eq!(mta.commands()[1], "MAIL FROM:<s@here.example> SMTPUTF8");
    }
}

#[tokio::test(start_paused = true)]
async fn rfc_5321_4_5_3_2_every_wait_has_an_end() {
    let times = Timeouts::default();
    for (word, stage, time) in [
        ("", Stage::Greeting, times.greeting),
        ("EHLO", Stage::Hello, times.hello),
        ("MAIL", Stage::Mail, times.mail),
        ("RCPT", Stage::Rcpt, times.rcpt),
        ("DATA", Stage::Data, times.data),
        (".", Stage::Content, times.content),
    ] {
        let mta = Mta::new(move |seen| match &seen.event {
            Event::Connect if word.is_empty() => Act::Silence,
            Event::Command(line) if !word.is_empty() && line.starts_with(word) => Act::Silence,
            Event::Command(line) if line.starts_with("EHLO") => say("250 mta"),
            Event::Content(_) if word == "." => Act::Silence,
            _ => Act::Usual,
        });
        let begun = tokio::time::Instant::now();
        match open(&mta).await {
            Err(failure) => {
                assert_eq!(failure.stage, stage);
                assert!(matches!(failure.cause, Cause::TimedOut(_)));
            }
            Ok(mut conversation) => {
                let sent = send(&mut conversation, &Letter::default()).await;
                let why = format!("no answer within {} s", time.as_secs());
                assert_eq!(sent.fates, [Fate::Broken(stage, why)]);
                assert!(!sent.usable);
            }
        }
        assert_eq!(begun.elapsed().as_secs(), time.as_secs(), "{stage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn q_06_a_server_that_babbles_is_left() {
    let babble = "250-x\r\n".repeat(101);
    let mta = Mta::new(move |seen| match seen.command().split(' ').next() {
        Some("EHLO") => Act::Say(babble.clone()),
        _ => Act::Usual,
    });
    let failure = open(&mta).await.err().unwrap();
    assert!(matches!(failure.cause, Cause::Malformed(_)));
}

/// Content that fails, or is shorter than announced.
struct Failing(Option<Bytes>, bool);

impl Pieces for Failing {
    fn next(&mut self) -> BoxFuture<'_, io::Result<Option<Bytes>>> {
        let piece = self.0.take();
        Box::pin(async move {
            match piece {
                Some(piece) => Ok(Some(piece)),
                None if self.1 => Err(io::Error::other("disk")),
                None => Ok(None),
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn content_that_cannot_be_read_whole_is_never_finished() {
    for fails in [true, false] {
        let mta = Mta::good();
        let mut conversation = open(&mta).await.unwrap();
        let mut content = Failing(Some(Bytes::from_static(b"Subject: x\r\n")), fails);
        let sent = send_pieces(&mut conversation, &Letter::default(), &mut content).await;
        assert_eq!(codes(&sent), [('b', 0)]);
        assert!(!sent.usable);
        drop(conversation);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(mta.contents().is_empty());
    }
}

/// A certificate for `name`, as its owner and those who trust it have it.
fn identity(name: &str) -> (ServerConfig, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, roots)
}

/// A server that speaks TLS after STARTTLS, or from the first byte, with a certificate for `name`.
fn tls_server(
    name: &str,
    implicit: bool,
    hello: &'static str,
) -> (Box<dyn Transport>, RootCertStore, JoinSet<Vec<String>>) {
    let (config, roots) = identity(name);
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut said = Vec::new();
        if !implicit {
            theirs.write_all(b"220 mta\r\n").await.unwrap();
            let mut plain = BufReader::new(&mut theirs);
            for answer in [
                "250-mta\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
                "220 go\r\n",
            ] {
                let mut line = String::new();
                plain.read_line(&mut line).await.unwrap();
                said.push(line);
                plain.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let Ok(tls) = acceptor.accept(theirs).await else {
            return said;
        };
        let mut tls = BufReader::new(tls);
        if implicit {
            tls.write_all(b"220 mta\r\n").await.unwrap();
        }
        let mut line = String::new();
        while tls.read_line(&mut line).await.unwrap_or(0) > 0 {
            let answer: &[u8] = match line.starts_with("EHLO") {
                true => hello.as_bytes(),
                false => b"235 ok\r\n",
            };
            said.push(format!("tls {line}"));
            line.clear();
            if tls.write_all(answer).await.is_err() {
                break;
            }
        }
        said
    });
    (Box::new(ours), roots, tasks)
}

#[tokio::test]
async fn tls_is_verified_where_an_operator_named_the_host() {
    for (security, name, trusted, works) in [
        (Security::Opportunistic, "other.example", false, true),
        (Security::Required, "mta.example", true, true),
        (Security::Required, "mta.example", false, false),
        (Security::Required, "other.example", true, false),
        (Security::Implicit, "mta.example", true, true),
        (Security::Implicit, "other.example", true, false),
    ] {
        let (stream, roots, mut tasks) = tls_server(
            name,
            security == Security::Implicit,
            "250-mta\r\n250 AUTH PLAIN\r\n",
        );
        let roots = if trusted {
            roots
        } else {
            RootCertStore::empty()
        };
        let login = Login {
            user: "me".to_owned(),
            proof: Proof::Password(Secret::new("pw".to_owned())),
            mechanism: None,
            insecure_without_tls: false,
        };
        let verified = security != Security::Opportunistic;
        let opening = Opening {
            name: "here.example",
            host: "mta.example",
            proof: None,
            security,
            tls: &TlsClient::new(roots).unwrap(),
            login: Some(&login).filter(|_| verified),
            random: &Random::seeded(1),
        };
        let opened = Conversation::open(stream, &opening, Timeouts::default()).await;
        assert_eq!(opened.is_ok(), works, "{security:?} {name} {trusted}");
        match opened {
            Ok(conversation) => assert!(conversation.is_encrypted()),
            Err(failure) => assert!(failure.is_tls()),
        }
        let said = tasks.join_next().await.unwrap().unwrap();
        let login = said.iter().position(|line| line.contains("AUTH PLAIN AG"));
        assert_eq!(login.is_some(), works && verified);
        assert!(login.is_none_or(|at| said[at].starts_with("tls ")));
        // RFC 3207 4.2: EHLO again.
        let hellos = said.iter().filter(|line| line.contains("EHLO")).count();
        let plain = usize::from(security != Security::Implicit);
        assert_eq!(hellos, plain + usize::from(works));
    }
}

#[tokio::test(start_paused = true)]
async fn tls_that_is_required_and_not_offered_ends_the_conversation() {
    let mta = server("250 mta", &[]);
    let failure = open_with(&mta, Security::Required, None)
        .await
        .err()
        .unwrap();
    assert!(matches!(failure.cause, Cause::TlsNotOffered));
    let mta = server("250-mta\r\n250 STARTTLS", &[("STARTTLS", "454 later")]);
    let failure = open_with(&mta, Security::Required, None)
        .await
        .err()
        .unwrap();
    assert_eq!(failure.stage, Stage::StartTls);
    assert!(open_with(&mta, Security::Opportunistic, None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_said_before_the_content_is_no_answer_to_it() {
    let mta = server("250 mta", &[("DATA", "354 go ahead\r\n250 taken")]);
    let mut conversation = open(&mta).await.unwrap();
    let sent = send(&mut conversation, &Letter::default()).await;
    assert_eq!(codes(&sent), [('b', 0)]);
    assert!(!sent.usable && !sent.content_begun);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_out_of_turn_gets_no_more_mail() {
    let mta = server("250 mta", &[(".", "250 taken\r\n250 and more")]);
    let mut conversation = open(&mta).await.unwrap();
    assert_eq!(
        codes(&send(&mut conversation, &Letter::default()).await),
        [('d', 250)]
    );
    let sent = send(&mut conversation, &Letter::default()).await;
    assert_eq!(codes(&sent), [('b', 0)]);
    assert!(!sent.usable && !sent.content_begun);
    assert_eq!(mta.contents().len(), 1);
}

#[tokio::test]
async fn mail_that_requires_tls_goes_to_known_servers_that_require_it_too() {
    const OFFERED: &str = "250-mta\r\n250 REQUIRETLS\r\n";
    for (security, hello, sender, fate, said) in [
        (Security::Required, OFFERED, "s@here.example", None, true),
        (Security::Implicit, OFFERED, "s@here.example", None, true),
        (
            Security::Opportunistic,
            OFFERED,
            "s@here.example",
            Some(Fate::NeedsTls),
            false,
        ),
        (
            Security::Required,
            "250 mta\r\n",
            "s@here.example",
            Some(Fate::NeedsRequireTls),
            false,
        ),
        // RFC 8689 5.
        (Security::Required, OFFERED, "", None, true),
        (Security::Opportunistic, OFFERED, "", None, false),
        (Security::Required, "250 mta\r\n", "", None, false),
    ] {
        let (stream, roots, mut tasks) =
            tls_server("mta.example", security == Security::Implicit, hello);
        let opening = Opening {
            name: "here.example",
            host: "mta.example",
            proof: None,
            security,
            tls: &TlsClient::new(roots).unwrap(),
            login: None,
            random: &Random::seeded(1),
        };
        let opened = Conversation::open(stream, &opening, Timeouts::default()).await;
        let mut conversation = opened.unwrap();
        let letter = Letter {
            sender,
            options: MailOptions {
                require_tls: true,
                ..MailOptions::default()
            },
            ..Letter::default()
        };
        let sent = send(&mut conversation, &letter).await;
        drop(conversation);
        let lines = tasks.join_next().await.unwrap().unwrap();
        let begun = lines.iter().find(|line| line.contains("MAIL FROM"));
        assert_eq!(begun.is_some(), fate.is_none(), "{security:?} {lines:?}");
        assert_eq!(begun.is_some_and(|line| line.contains(" REQUIRETLS")), said);
        assert!(fate.is_none_or(|fate| sent.fates == [fate]));
    }
}
