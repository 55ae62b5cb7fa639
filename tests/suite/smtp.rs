//! SMTP as a whole: its transcripts, and what cannot be said in one.

use buzon::{
    smtp::server::limits::{HEADER_BYTES_FREE, LARGE_HEADERS_MAX},
    wire::base64,
};

use crate::support::{
    client::{Client, NoLine},
    logs::logged,
    player::{Player, Speaks, play_all, run},
};

#[test]
fn transcripts() {
    play_all("smtp");
}

/// Says `lines`, and hears one line for each that is not about EHLO.
async fn say(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, code) in lines {
        client.line(line).await;
        hear(client, code).await;
    }
}

/// Hears a whole reply and checks how its last line begins.
async fn hear(client: &mut Client, code: &str) {
    loop {
        let line = client.next().await.unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            assert!(line.starts_with(code), "{line} is not {code}");
            return;
        }
    }
}

/// A server with alice, and a client about to send her data.
async fn at_data(port: &str) -> (Player, Client) {
    let mut player = Player::new(Speaks::Smtp).await;
    player.server.add_account("alice").await;
    let mut client = player.server.connect(port).await;
    hear(&mut client, "220").await;
    let envelope = [
        ("EHLO client.example", "250"),
        ("MAIL FROM:<bob@remote.example>", "250"),
        ("RCPT TO:<alice@example.org>", "250"),
        ("DATA", "354"),
    ];
    say(&mut client, &envelope).await;
    (player, client)
}

/// Every false end of data, cut in two at every byte: never an end, never a command behind it.
#[test]
fn smuggling_false_ends_are_no_ends_wherever_they_are_cut() {
    let ends: [&[u8]; 14] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n.\r",
        b"\r.\n",
        b"\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\n\r.\r\n",
        b"\r\r\n.\n",
        b"\r\n .\r\n",
    ];
    for end in ends {
        let attack = [
            b"Subject: x\r\n\r\ntext",
            end,
            b"MAIL FROM:<evil@remote.example>\r\nDATA\r\nX: y\r\n",
        ]
        .concat();
        let from = attack.len() - end.len() - 46;
        for cut in from..(from + end.len() + 3) {
            run(async {
                let (player, mut client) = at_data("smtp").await;
                let (first, second) = attack.split_at(cut);
                client.send(first).await;
                client.send(second).await;
                assert!(
                    client.is_quiet().await,
                    "{end:?} cut at {cut} was taken for an end"
                );
                client.send(b".\r\n").await;
                let line = client.next().await.unwrap();
                // Only the end with a space before the dot is plain text.
                let fine = end == b"\r\n .\r\n";
                assert_eq!(line.starts_with("250"), fine, "{end:?}: {line}");
                assert!(fine || line.starts_with("550"), "{end:?}: {line}");
                assert!(client.is_quiet().await, "{end:?}: a second reply");
                let stored = player.message("alice", "INBOX", 1).await;
                assert_eq!(stored.is_ok(), fine, "{end:?}");
            });
        }
    }
}

#[test]
fn rfc_3030_binary_content_is_stored_and_served_as_it_came() {
    let head =
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n";
    let body = b"\0\n.\r\n\r.";
    run(async {
        let mut player = Player::new(Speaks::Smtp).await;
        player.server.add_account("alice").await;
        let mut client = player.server.connect("smtp").await;
        hear(&mut client, "220").await;
        let envelope = [
            ("EHLO client.example", "250"),
            ("MAIL FROM:<bob@remote.example> BODY=BINARYMIME", "250"),
            ("RCPT TO:<alice@example.org>", "250"),
        ];
        say(&mut client, &envelope).await;
        let chunk = format!("BDAT {} LAST\r\n", head.len() + body.len());
        client.send(&[chunk.as_bytes(), head, body].concat()).await;
        hear(&mut client, "250 2.0.0 accepted").await;
        let stored = player.message("alice", "INBOX", 1).await.unwrap();
        assert!(stored.ends_with(&[&head[..], body].concat()));
        let mut imap = player.server.connect("imaps").await;
        let lines = "a LOGIN alice@example.org secret-alice\r\nb SELECT INBOX\r\n\
                     c FETCH 1 (BODY.PEEK[TEXT] BINARY.PEEK[1])\r\n";
        imap.send(lines.as_bytes()).await;
        let mut said = Vec::new();
        let holds = |said: &[u8], part: &[u8]| said.windows(part.len()).any(|w| w == part);
        while !holds(&said, b"\r\nc OK") {
            let more = imap.read_once().await;
            assert!(!more.is_empty(), "{}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&more);
        }
        for part in [&b"BODY[TEXT] {7}\r\n"[..], b"BINARY[1] ~{7}\r\n"] {
            let part = [part, body].concat();
            assert!(holds(&said, &part), "{}", String::from_utf8_lossy(&said));
        }
        let mut pop = player.server.connect("pop3s").await;
        let lines = "USER alice@example.org\r\nPASS secret-alice\r\nRETR 1\r\nQUIT\r\n";
        pop.send(lines.as_bytes()).await;
        let mut said = Vec::new();
        while !holds(&said, b"\r\n.\r\n+OK") {
            let more = pop.read_once().await;
            assert!(!more.is_empty(), "{}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&more);
        }
    });
}

#[test]
fn rfc_2920_replies_to_a_group_are_sent_at_once() {
    run(async {
        let player = Player::new(Speaks::Smtp).await;
        let mut client = player.server.connect("smtp").await;
        hear(&mut client, "220").await;
        client
            .send(b"EHLO c.example\r\nNOOP\r\nNOOP\r\nRSET\r\n")
            .await;
        let first = client.read_once().await;
        let text = String::from_utf8(first).unwrap();
        assert!(text.ends_with("250 2.0.0 forgotten\r\n"), "{text}");
    });
}

/// Beyond what is held in memory (LIM-36): staged while it arrives, and stored exactly.
#[test]
fn lim_36_a_large_message_is_stored_exactly() {
    run(async {
        let (player, mut client) = at_data("smtp").await;
        let mut body = String::from("Subject: large\r\n\r\n");
        for line in 0..20_000 {
            body += &format!("{line} this is one line of very many\r\n");
        }
        for piece in body.as_bytes().chunks(30_000) {
            client.send(piece).await;
        }
        client.send(b".\r\n").await;
        hear(&mut client, "250 2.0.0").await;
        let stored = player.message("alice", "INBOX", 1).await.unwrap();
        let stored = String::from_utf8(stored).unwrap();
        assert!(stored.ends_with(&body));
        assert!(stored.starts_with("Return-Path: <bob@remote.example>\r\nReceived: "));
    });
}

/// Headers are held until they end, so only so many may be large at the same time.
#[test]
fn lim_37_large_headers_of_many_connections_are_bounded_in_memory() {
    run(async {
        let (player, mut last) = at_data("smtp").await;
        let envelope = [
            ("EHLO client.example", "250"),
            ("MAIL FROM:<bob@remote.example>", "250"),
            ("RCPT TO:<alice@example.org>", "250"),
            ("DATA", "354"),
        ];
        let field = format!("X: {}\r\n", "x".repeat(900));
        let large = field.repeat(HEADER_BYTES_FREE / field.len() + 1);
        let mut others = Vec::new();
        for _ in 0..LARGE_HEADERS_MAX {
            let mut other = player.server.connect("smtp").await;
            hear(&mut other, "220").await;
            say(&mut other, &envelope).await;
            other.send(large.as_bytes()).await;
            assert!(other.is_quiet().await);
            others.push(other);
        }
        last.send(large.as_bytes()).await;
        last.send(b"\r\ntext\r\n.\r\n").await;
        hear(&mut last, "452 4.3.1").await;
        // A small one is nobody's burden, and a large one that ends makes room.
        say(&mut last, &envelope[1..]).await;
        last.send(b"Subject: x\r\n\r\ntext\r\n.\r\n").await;
        hear(&mut last, "250").await;
        others[0].send(b"\r\ntext\r\n").await;
        assert!(others[0].is_quiet().await);
        say(&mut last, &envelope[1..]).await;
        last.send(large.as_bytes()).await;
        last.send(b"\r\ntext\r\n.\r\n").await;
        hear(&mut last, "250").await;
    });
}

#[test]
fn dur_03_a_store_that_fails_while_a_body_arrives_costs_the_message_only() {
    run(async {
        let (player, mut client) = at_data("smtp").await;
        let fault = buzon::store::fault::CommitFault::CrashBefore;
        player.server.engine.fail_commit(1, fault);
        // The next commit, whosever it is, ends the engine.
        let nobody = buzon::mail::address::Domain::parse("x.example").unwrap();
        assert!(player.server.directory.add_domain(&nobody).await.is_err());
        let line = format!("{}\r\n", "x".repeat(900));
        client.send(b"Subject: x\r\n\r\n").await;
        for _ in 0..400 {
            client.send(line.as_bytes()).await;
        }
        // Everything up to the real end belongs to the message that failed.
        client.send(b"QUIT\r\n.\r\n").await;
        hear(&mut client, "451 4.3.0").await;
        say(&mut client, &[("NOOP", "250")]).await;
    });
}

#[test]
fn lim_08_a_body_that_trickles_is_ended() {
    run(async {
        let (player, mut client) = at_data("smtp").await;
        let mut secs = 0;
        // A line each 20 seconds is never silent for long, and never comes to 500 bytes a second.
        while client.is_quiet().await && secs < 1000 {
            client.send(b"still here\r\n").await;
            tokio::time::advance(std::time::Duration::from_secs(20)).await;
            secs += 20;
        }
        assert!((60..=120).contains(&secs), "{secs}");
        hear(&mut client, "421 4.4.2").await;
        assert_eq!(client.next().await, Err(NoLine::Closed));
        assert!(player.message("alice", "INBOX", 1).await.is_err());
    });
}

#[test]
fn lim_10_a_client_that_does_not_read_is_closed() {
    run(async {
        let player = Player::new(Speaks::Smtp).await;
        let mut client = player.server.connect("smtp").await;
        // More than the pipe holds.
        client.send(&b"HELP\r\n".repeat(100)).await;
        tokio::time::advance(std::time::Duration::from_secs(301)).await;
        client.send(b"").await;
        let end = loop {
            if let Err(end) = client.next().await {
                break end;
            }
        };
        assert_eq!(end, NoLine::Closed);
        assert!(player.server.tasks.running().is_empty());
    });
}

/// What random clients say: right, nearly right and wrong.
const WORDS: [&str; 30] = [
    "EHLO client.example\r\n",
    "HELO x\r\n",
    "MAIL FROM:<bob@remote.example>\r\n",
    "MAIL FROM:<> SIZE=100 BODY=8BITMIME\r\n",
    "MAIL FROM:<alice@example.org> SMTPUTF8\r\n",
    "RCPT TO:<alice@example.org>\r\n",
    "RCPT TO:<Postmaster>\n",
    "RCPT TO:<nobody@example.org>\r\n",
    "DATA\r\n",
    "DATA\r\nSubject: x\r\n\r\ntext\r\n.\r\n",
    "DATA\r\nFrom: alice@example.org\n.\n\r.\r\n.\r\n",
    ".\r\n",
    "..\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "RSET\r\n",
    "NOOP\r\n",
    "VRFY x\r\n",
    "HELP DATA\r\n",
    "AUTH PLAIN\r\n",
    "AUTH LOGIN =\r\n",
    "AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldC1hbGljZQ==\r\n",
    "*\r\n",
    "AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldC1hbGljZQ==\r\n",
    "EXPN x\r\n",
    "RCPT TO:<alice",
    "@example.org>\r\n",
    "\u{e9}\r\n",
];

/// Whatever clients say in whatever order: replies are well-formed, and a connection that ends was
/// told so.
#[test]
fn random_dialogues_get_well_formed_replies_to_their_end() {
    for seed in 0..150 {
        run(async {
            let random = buzon::base::random::Random::seeded(seed);
            let mut player = Player::new(Speaks::Smtp).await;
            player.server.add_account("alice").await;
            let port = ["smtp", "submissions", "submission"][usize::try_from(seed).unwrap() % 3];
            player.server.config.auth.insecure_without_tls = port == "submission";
            let mut client = player.server.connect(port).await;
            for _ in 0..40 {
                let words = u64::try_from(WORDS.len()).unwrap();
                let word = WORDS[usize::try_from(random.below(words)).unwrap()];
                client.send(word.as_bytes()).await;
            }
            let mut last = String::new();
            let end = loop {
                match client.next().await {
                    Ok(line) => last = line,
                    Err(end) => break end,
                }
                let (code, rest) = last.split_at(3);
                assert!(
                    code.parse::<u16>()
                        .is_ok_and(|code| (211..=555).contains(&code))
                );
                assert!(rest.starts_with(['-', ' ']), "{last}");
            };
            match end {
                NoLine::Silence => {}
                NoLine::Closed => assert!(last.starts_with("421"), "{seed}: {last}"),
                NoLine::BareLineEnd(line) => panic!("{seed}: {line}"),
            }
        });
    }
}

#[test]
fn log_01_the_mail_log_tells_of_each_message_and_never_of_its_text() {
    let text = logged(|| {
        run(async {
            let (_player, mut client) = at_data("smtp").await;
            client.line("Subject: hunter2").await;
            client.send(b"\r\nhunter2\r\n.\r\n").await;
            hear(&mut client, "250").await;
            let refused = [
                ("MAIL FROM:<\"a\\\\b\"@remote.example>", "250"),
                ("RCPT TO:<nobody@example.org>", "550"),
                ("AUTH PLAIN aHVudGVyMg==", "502"),
            ];
            say(&mut client, &refused).await;
        });
    });
    assert!(
        !text.contains("hunter2") && !text.contains("aHVudGVyMg"),
        "{text}"
    );
    let mail: Vec<_> = text
        .lines()
        .filter(|line| line.contains(" mail: "))
        .collect();
    assert_eq!(mail.len(), 3, "{text}");
    for (line, parts) in mail.iter().zip([
        &[
            "accepted id=",
            "from=<bob@remote.example>",
            "recipients=1 delivered=1 queued=0",
            "size_bytes=",
            "peer.ip=192.0.2.10",
            "helo=\"client.example\"",
            "took_ms=",
        ][..],
        &[
            "delivered id=",
            "to=<alice@example.org> account=1/alice@example.org mailbox=\"INBOX\"",
        ],
        &[
            "refused id=",
            "verb=\"RCPT\"",
            "code=550",
            "reason=\"unknown-recipient\"",
            "to=<nobody@example.org>",
        ],
    ]) {
        for part in parts {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
    }
}

#[test]
fn auth_05_a_blocked_source_hears_so_as_late_as_others() {
    run(async {
        let mut player = Player::new(Speaks::Smtp).await;
        player.server.add_account("alice").await;
        let mut waits = Vec::new();
        for n in 0..12 {
            let mut client = player.server.connect("submissions").await;
            hear(&mut client, "220").await;
            say(&mut client, &[("EHLO client.example", "250")]).await;
            let password = if n < 10 {
                format!("{n}")
            } else {
                "secret-alice".to_owned()
            };
            let plain = format!("\0alice@example.org\0{password}");
            let line = format!("AUTH PLAIN {}", base64::encode(plain.as_bytes()));
            let began = tokio::time::Instant::now();
            say(&mut client, &[(&line, "535 5.7.8")]).await;
            waits.push(began.elapsed().as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 15, 15, 15, 15, 15, 15, 15, 15, 15]);
    });
}

#[test]
fn log_01_credentials_are_never_traced() {
    let text = logged(|| {
        run(async {
            let player = Player::new(Speaks::Smtp).await;
            let mut client = player.server.connect("submissions").await;
            for line in [
                "EHLO client.example",
                "AUTH hunter2hunter2hunter2",
                "AUTH PLAIN hunter2=",
                "AUTH PLAIN",
                "AGh1bnRlcjIAaHVudGVyMg==",
                "AUTH LOGIN aHVudGVyMg==",
                "aHVudGVyMg==",
                "aHVudGVyMg==",
                "hunter2",
            ] {
                client.line(line).await;
            }
            client.read_once().await;
        });
    });
    assert!(text.contains("C Auth"), "{text}");
    for secret in ["hunter2", "aHVudGVyMg", "AGh1bnRlcjIA"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn log_01_every_recipient_of_a_message_has_its_line_with_the_id_of_the_message() {
    let text = logged(|| {
        run(async {
            let (player, mut client) = at_data("smtp").await;
            let parse = |text: &str| text.parse::<buzon::mail::address::Address>().unwrap();
            let directory = &player.server.directory;
            let out = ["alice@example.org", "x@remote.example"].map(parse);
            let added = directory.add_alias(&parse("out@example.org"), &out).await;
            added.unwrap();
            let many: Vec<_> = (0..120)
                .map(|n| parse(&format!("n{n}@remote.example")))
                .collect();
            let added = directory.add_alias(&parse("many@example.org"), &many).await;
            added.unwrap();
            client
                .send(b"Message-ID: <m\x1b@remote.example>\r\n\r\ntext\r\n.\r\n")
                .await;
            hear(&mut client, "250").await;
            let envelope = [
                ("MAIL FROM:<bob@remote.example>", "250"),
                ("RCPT TO:<many@example.org>", "250"),
                ("RCPT TO:<out@example.org>", "250"),
                ("DATA", "354"),
            ];
            say(&mut client, &envelope).await;
            client.send(b"Subject: x\r\n\r\ntext\r\n.\r\n").await;
            hear(&mut client, "250").await;
        });
    });
    let mail: Vec<_> = text
        .lines()
        .filter(|line| line.contains(" mail: "))
        .collect();
    assert!(
        mail[0].contains("message_id=<m\\u{1b}@remote.example>"),
        "{text}"
    );
    let (first, second) = mail.split_at(2);
    assert!(first[1].contains("delivered id="), "{text}");
    assert!(
        second[0].contains("recipients=2 delivered=1 queued=121"),
        "{text}"
    );
    let id = second[0]
        .split(" id=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert!(second.iter().all(|line| line.contains(id)), "{text}");
    // One line for each copy, and when that becomes too much, one for each recipient.
    let lines = [
        (
            1,
            "queued id={id} to=<n0@remote.example> given=<many@example.org>",
        ),
        (
            100,
            "queued id={id} to=<n99@remote.example> given=<many@example.org>",
        ),
        (101, "copied id={id} to=<many@example.org> more=20"),
        (
            102,
            "delivered id={id} to=<out@example.org> account=1/alice@example.org",
        ),
        (103, "copied id={id} to=<out@example.org> more=1"),
    ];
    for (at, line) in lines {
        assert!(
            second[at].contains(&line.replace("{id}", id)),
            "{at}: {text}"
        );
    }
    assert_eq!(second.len(), 104, "{text}");
}
