//! POP3 as a whole: its transcripts, and what cannot be said in one.

use crate::support::{
    client::Client,
    logs::logged,
    player::{Player, Speaks, play_all, run},
};

#[test]
fn transcripts() {
    play_all("pop3");
}

/// A server with alice, whose INBOX has these messages, byte for byte.
async fn alice_with(messages: &[&[u8]]) -> Player {
    let mut player = Player::new(Speaks::Pop3).await;
    player.server.config.auth.insecure_without_tls = true;
    player.server.add_account("alice").await;
    let mut imap = player.server.connect("imap").await;
    imap.line("a LOGIN alice@example.org secret-alice").await;
    for message in messages {
        let command = format!("b APPEND INBOX {{{}+}}\r\n", message.len());
        imap.send(command.as_bytes()).await;
        imap.send(message).await;
        imap.line("").await;
    }
    imap.line("c LOGOUT").await;
    while imap.next().await.is_ok() {}
    player
}

/// Logs in, and reads all that was said.
async fn log_in(player: &Player) -> Client {
    let mut client = player.server.connect("pop3").await;
    client.line("USER alice@example.org").await;
    client.line("PASS secret-alice").await;
    client.read_once().await;
    client
}

/// The message in an answer to RETR: without its first line and framing.
fn message_in(answer: &[u8]) -> Vec<u8> {
    let first = answer.windows(2).position(|w| w == b"\r\n").unwrap();
    let text = &answer[first..];
    // Strict clients look for exactly this.
    let text = text.strip_suffix(b"\r\n.\r\n").unwrap();
    let text = String::from_utf8([text, b"\r\n"].concat()).unwrap();
    text.replace("\n..", "\n.").into_bytes().split_off(2)
}

#[test]
fn rfc_1939_sizes_are_what_retr_sends_whatever_the_last_line_looks_like() {
    let messages: &[&[u8]] = &[
        b"Subject: x\r\n\r\nabc\r\n",
        b"Subject: x\r\n\r\nabc",
        b"Subject: x\r\n\r\nabc\r",
        b"Subject: x\r\n\r\nabc\n",
        b"Subject: x\n\n.abc\n.\n",
        b"Subject: x\r\n\r\n",
        b"Subject: x\r\n\r\n.",
        b"\n",
        b"\r",
        b".",
        b"x",
    ];
    run(async {
        let player = alice_with(messages).await;
        let mut client = log_in(&player).await;
        for (number, stored) in (1..).zip(messages) {
            client.line(&format!("LIST {number}")).await;
            let listed = client.next().await.unwrap();
            client.line(&format!("RETR {number}")).await;
            let answer = client.read_once().await;
            let sent = message_in(&answer);
            assert_eq!(listed, format!("+OK {number} {}", sent.len()), "{stored:?}");
            let announced = format!("+OK {} octets\r\n", sent.len());
            assert!(answer.starts_with(announced.as_bytes()), "{stored:?}");
            assert!(sent.starts_with(stored), "{stored:?} became {sent:?}");
        }
    });
}

/// Reads of the store for a login and STAT, and what STAT said.
async fn reads_of_a_login(messages: &[&[u8]]) -> (u64, String) {
    let player = alice_with(messages).await;
    let before = player.server.engine.reads();
    let mut client = log_in(&player).await;
    client.line("STAT").await;
    let stat = client.next().await.unwrap();
    (player.server.engine.reads() - before, stat)
}

#[test]
fn a_login_reads_no_message() {
    run(async {
        let message = &b"Subject: x\r\n\r\nabc"[..];
        let (few, _) = reads_of_a_login(&[message]).await;
        let (many, stat) = reads_of_a_login(&[message; 40]).await;
        assert_eq!(many, few);
        assert_eq!(stat, "+OK 40 760");
    });
}

#[test]
fn rfc_2449_answers_to_a_group_are_sent_at_once() {
    run(async {
        let player = alice_with(&[b"Subject: x\r\n\r\nabc\r\n"]).await;
        let mut client = log_in(&player).await;
        client.send(b"STAT\r\nUIDL 2\r\nRETR 1\r\nNOOP\r\n").await;
        let text = String::from_utf8(client.read_once().await).unwrap();
        let firsts: Vec<_> = text.lines().filter(|line| line.contains("OK")).collect();
        assert_eq!(firsts, ["+OK 1 19", "+OK 19 octets", "+OK done"]);
        assert!(client.is_quiet().await);
    });
}

#[test]
fn a_large_message_passes_through_in_pieces() {
    run(async {
        let line = [b"x".repeat(77).as_slice(), b"\r\n"].concat();
        let message = [b"Subject: x\r\n\r\n", line.repeat(40_000).as_slice()].concat();
        let player = alice_with(&[&message]).await;
        let mut client = log_in(&player).await;
        client.line("RETR 1").await;
        assert_eq!(
            client.next().await.unwrap(),
            format!("+OK {} octets", message.len())
        );
        let mut octets = 0;
        loop {
            let line = client.next().await.unwrap();
            if line == "." {
                break;
            }
            octets += line.len() + 2;
        }
        assert_eq!(octets, message.len());
        client.line("TOP 1 3").await;
        for _ in 0..(1 + 2 + 3) {
            client.next().await.unwrap();
        }
        assert_eq!(client.next().await.unwrap(), ".");
        assert!(client.is_quiet().await);
    });
}

#[test]
fn log_01_names_and_passwords_are_never_traced() {
    let text = logged(|| {
        run(async {
            let player = alice_with(&[]).await;
            let mut client = player.server.connect("pop3").await;
            for line in [
                "APOP hunter2 hunter2",
                "USER hunter2",
                "PASS hunter2 and more",
                "AUTH hunter2hunter2hunter2",
                "AUTH PLAIN hunter2=",
                "AUTH LOGIN",
                "hunter2=",
                "AUTH LOGIN",
                "aHVudGVyMg==",
                "aHVudGVyMg==",
                "hunter2",
            ] {
                client.line(line).await;
            }
            client.read_once().await;
        });
    });
    assert!(text.contains("C Pass"), "{text}");
    for secret in ["hunter2", "aHVudGVyMg"] {
        assert!(!text.contains(secret), "{text}");
    }
}
