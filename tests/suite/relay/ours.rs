//! Two of our servers, and the relay of the one that speaks to the other: what is said of a message
//! here is known there.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use buzon::{
    base::{clock::Timestamp, future::BoxFuture, random::Random},
    mail::{address::Domain, envelope::ReversePath},
    queue::admin::{Action, Filter, Selection, Standing},
    relay::Connector,
    smtp::client::Transport,
    verify::{Client as Peer, Options, Verifier},
};
use bytes::Bytes;
use tokio::{
    io::DuplexStream,
    sync::{mpsc, oneshot},
};

use super::mta::{Act, Event, Mta, say as saying};
use crate::support::{
    client::Client,
    logs::logged,
    player::{Player, Speaks, run},
};

/// Connections to the other server, which somebody who has it makes.
struct Line(mpsc::Sender<oneshot::Sender<DuplexStream>>);

impl Connector for Line {
    fn connect(
        &self,
        _: SocketAddr,
        _: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        Box::pin(async move {
            let (give, given) = oneshot::channel();
            self.0.send(give).await.map_err(io::Error::other)?;
            let stream = given.await.map_err(io::Error::other)?;
            Ok(Box::new(stream) as Box<dyn Transport>)
        })
    }
}

/// Says each line and hears a reply of that code, of one line or more.
async fn say(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, code) in lines {
        if !line.is_empty() {
            client.line(line).await;
        }
        loop {
            let heard = client.next().await.unwrap();
            if heard.as_bytes().get(3) != Some(&b'-') {
                assert!(heard.starts_with(code), "{line}: {heard}");
                break;
            }
        }
    }
}

/// Submits `body` for `to` with these parameters of MAIL.
async fn submit(ours: &Player, to: &str, parameters: &str, body: &[u8]) {
    let mut client = ours.server.connect("submissions").await;
    let plain = "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldC1hbGljZQ==";
    let begin = format!("MAIL FROM:<alice@example.org>{parameters}");
    say(
        &mut client,
        &[
            ("", "220"),
            ("EHLO c.example", "250"),
            (plain, "235"),
            (&begin, "250"),
            (&format!("RCPT TO:<{to}>"), "250"),
        ],
    )
    .await;
    let chunk = format!("BDAT {} LAST\r\n", body.len());
    client.send(&[chunk.as_bytes(), body].concat()).await;
    say(&mut client, &[("", "250 2.0.0 accepted")]).await;
}

/// A server of ours with an account, which knows where mail for there.example goes.
async fn with_alice() -> Player {
    let mut ours = Player::new(Speaks::Smtp).await;
    ours.server.add_account("alice").await;
    let address = [198, 51, 100, 1].into();
    ours.server.dns.set_addresses("there.example", &[address]);
    ours
}

/// Submits `body` with these parameters of MAIL to a user of the other server, lets the relay of
/// ours run for so long, and answers with both servers.
async fn sent(parameters: &str, body: &[u8], minutes: u64) -> (Player, Player) {
    let ours = with_alice().await;
    let mut theirs = Player::new(Speaks::Smtp).await;
    let there = Domain::parse("there.example").unwrap();
    theirs.server.directory.add_domain(&there).await.unwrap();
    theirs.server.add_account("bob@there.example").await;
    submit(&ours, "bob@there.example", parameters, body).await;
    let (ask, mut asked) = mpsc::channel::<oneshot::Sender<DuplexStream>>(1);
    let relay = ours.server.relay(Arc::new(Line(ask)));
    let over = tokio::time::sleep(std::time::Duration::from_secs(60 * minutes));
    let mut run = std::pin::pin!(relay.run(over));
    loop {
        tokio::select! {
            () = &mut run => break,
            Some(give) = asked.recv() => {
                let opening = theirs.server.smtp("smtp");
                let _ = give.send(theirs.server.plain(opening));
            }
        }
    }
    (ours, theirs)
}

async fn inbox(player: &Player) -> Vec<u8> {
    let found = player.message("bob@there.example", "INBOX", 1).await;
    found.unwrap_or_default()
}

#[test]
fn times_and_priorities_go_on_to_the_next_server() {
    run(async {
        let body = b"Subject: x\r\n\r\ntext\r\n";
        let (_ours, theirs) = sent(" BY=600;R MT-PRIORITY=-2", body, 1).await;
        let text = String::from_utf8(inbox(&theirs).await).unwrap();
        // RFC 6710: each server says with which priority it got it.
        assert_eq!(text.matches("\tPRIORITY -2;\r\n").count(), 2, "{text}");
        // RFC 2852: R goes only to who knows it, and ours does.
        assert!(text.ends_with("\r\n\r\ntext\r\n"), "{text}");
    });
}

#[test]
fn what_waits_goes_to_the_next_server_when_its_time_has_come() {
    run(async {
        let body = b"Subject: x\r\n\r\ntext\r\n";
        let (ours, theirs) = sent(" HOLDFOR=600", body, 9).await;
        assert!(inbox(&theirs).await.is_empty());
        let listed = ours.server.queue.list(&Filter::default(), None, 9).await;
        let waiting = &listed.unwrap().messages[0].recipients[0];
        assert_eq!(waiting.state, Standing::Scheduled);
        let (_ours, theirs) = sent(" HOLDFOR=600", body, 11).await;
        assert!(!inbox(&theirs).await.is_empty());
    });
}

#[test]
fn what_an_operator_lets_go_before_its_time_comes_into_mailboxes_here() {
    run(async {
        let mut ours = Player::new(Speaks::Smtp).await;
        ours.server.add_account("alice").await;
        ours.server.add_account("bob").await;
        let mut client = ours.server.connect("submissions").await;
        let lines = [
            ("", "220"),
            ("EHLO c.example", "250"),
            (
                "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldC1hbGljZQ==",
                "235",
            ),
            ("MAIL FROM:<alice@example.org> HOLDFOR=7200", "250"),
            ("RCPT TO:<bob@example.org> NOTIFY=SUCCESS", "250"),
            ("DATA", "354"),
            ("Subject: x\r\n\r\ntext\r\n.", "250 2.0.0 accepted"),
        ];
        say(&mut client, &lines).await;
        let all = Selection::Matching(Filter::default());
        let released = ours.server.queue.apply(Action::Release, &all).await;
        assert_eq!(released.unwrap().changed, 1);
        let (ask, _asked) = mpsc::channel(1);
        let minute = tokio::time::sleep(std::time::Duration::from_secs(60));
        ours.server.relay(Arc::new(Line(ask))).run(minute).await;
        let bob = ours.message("bob", "INBOX", 1).await.unwrap_or_default();
        assert!(bob.ends_with(b"\r\n\r\ntext\r\n"));
        let told = ours.message("alice", "INBOX", 1).await.unwrap();
        assert!(String::from_utf8_lossy(&told).contains("Action: delivered"));
    });
}

#[test]
fn binary_content_is_the_same_to_its_last_octet() {
    run(async {
        let body = b"Subject: x\r\nContent-Transfer-Encoding: binary\r\n\r\n\0a\n.\r\n.\rb";
        let (_ours, theirs) = sent(" BODY=BINARYMIME", body, 1).await;
        let stored = inbox(&theirs).await;
        assert!(stored.ends_with(b"\r\n\r\n\0a\n.\r\n.\rb"));
    });
}

/// Connections to a server that a script plays.
struct Scripted(Mta);

impl Connector for Scripted {
    fn connect(
        &self,
        to: SocketAddr,
        _: Option<IpAddr>,
    ) -> BoxFuture<'_, io::Result<Box<dyn Transport>>> {
        Box::pin(async move { Ok(Box::new(self.0.serve(to)?) as Box<dyn Transport>) })
    }
}

/// What a receiver finds out of this message, which comes from nowhere.
async fn verified(player: &Player, message: &[u8]) -> String {
    let options = Options {
        host: Domain::parse("mx.there.example").unwrap(),
        enforced: true,
        trusted_sealers: Vec::new(),
        time_max: std::time::Duration::from_secs(20),
    };
    let dns = Arc::new(player.server.dns.clone());
    let verifier = Verifier::new(options, dns, Random::seeded(1));
    let end = memchr::memmem::find(message, b"\r\n\r\n").unwrap() + 2;
    let header = Bytes::copy_from_slice(&message[..end]);
    let mut examination = verifier.examine(header, false);
    examination.feed(&message[end + 2..]);
    let client = Peer {
        ip: None,
        helo: "mx.example.org",
        sender: &ReversePath::Null,
    };
    let now = player.server.clock.wall().max(Timestamp::from_secs(1));
    let found = verifier.judge(examination, client, now).await;
    String::from_utf8(found.field.to_vec()).unwrap()
}

/// RFC 3030 3, RFC 6376 5: what a server without BINARYMIME gets is signed as it gets it, also by
/// way of a group; signatures of others are lost, and the log says so.
#[test]
fn dkim_02_what_is_converted_is_signed_as_it_is_sent() {
    let test = async {
        let mut ours = with_alice().await;
        ours.given("signed example.org").await.unwrap();
        ours.given("group team@example.org -> carol@there.example owned alice by anyone")
            .await
            .unwrap();
        let body = b"From: alice@example.org\r\nSubject: x\r\n\
            DKIM-Signature: v=1; a=rsa-sha256; d=far.example; s=s; c=relaxed/relaxed; h=from;\r\n \
            bh=AAAA; b=AAAA\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
            --b\r\nContent-Transfer-Encoding: binary\r\n\r\n\0a\n.\r\n.\rb\r\n\
            --b\r\n\r\nbare\nline\r\n--b--";
        for to in ["bob@there.example", "team@example.org"] {
            submit(&ours, to, " BODY=BINARYMIME", body).await;
        }
        let mta = Mta::new(|seen| match &seen.event {
            Event::Command(line) if line.starts_with("EHLO") => saying("250-mta\r\n250 SIZE"),
            _ => Act::Usual,
        });
        let relay = ours.server.relay(Arc::new(Scripted(mta.clone())));
        let over = tokio::time::sleep(std::time::Duration::from_secs(60));
        relay.run(over).await;
        let contents = mta.contents();
        assert_eq!(contents.len(), 2);
        for content in &contents {
            let found = verified(&ours, content).await;
            assert_eq!(found.matches("dkim=pass").count(), 1, "{found}");
            assert!(!content.contains(&0), "{found}");
        }
    };
    let log = logged(|| run(test));
    let converted = log.lines().filter(|line| line.contains("converted"));
    let told = |line: &&str| line.contains("example.org") && line.contains("far.example");
    assert_eq!(converted.filter(told).count(), 2, "{log}");
}
