//! FETCH over the corpus: every section is the bytes it names, and what is fetched in parts is the
//! whole.

use std::{fs, path::Path};

use buzon::mail::{
    facts::Facts,
    imap_text::whole_envelope,
    mime::{Bounds, Scanner},
};

use super::client::{Answer, ImapClient, deliver, server_with_alice};
use crate::support::player::run;

/// Every message of the corpus, with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut messages: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "eml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    messages.sort();
    messages
}

fn facts_of(message: &[u8]) -> Facts {
    let mut scanner = Scanner::new(Bounds::default());
    scanner.feed(message);
    Facts::from(&scanner.finish())
}

/// The value of the one item asked for of one message.
fn only(answer: &Answer, item: &str) -> Vec<u8> {
    let [(_, items)] = &answer.fetched()[..] else {
        panic!("{:?}", answer.completion)
    };
    items
        .get(item)
        .unwrap_or_else(|| panic!("no {item} in {:?}", items.keys()))
        .clone()
}

#[test]
fn sections_of_the_corpus_are_the_bytes_they_name() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let corpus = corpus();
        for (_, message) in &corpus {
            deliver(&server, alice, message).await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("EXAMINE INBOX").await.ok();
        for (number, (name, message)) in (1..).zip(&corpus) {
            check_message(&mut client, number, name, message).await;
        }
    });
}

#[test]
fn lim_30_an_envelope_that_is_too_long_to_be_stored_is_told_whole() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let header = format!(
            "From: \"{}\" <a@b>\r\nTo: {}\r\nIn-Reply-To: {}\r\nSubject: {}\r\n",
            "n".repeat(4_200),
            "user@example.org, ".repeat(6_000),
            "<id@example.org> ".repeat(1_000),
            "s".repeat(9_000),
        );
        deliver(&server, alice, format!("{header}\r\nx\r\n").as_bytes()).await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("EXAMINE INBOX").await.ok();
        let answer = client.ask("FETCH 1 (UID ENVELOPE BODY[TEXT])").await.ok();
        let envelope = String::from_utf8(only(&answer, "ENVELOPE")).unwrap();
        let address = "(NIL NIL \"user\" \"example.org\")";
        assert_eq!(envelope.matches(address).count(), 5_000);
        assert_eq!(envelope.matches("<id@example.org>").count(), 1_000);
        assert_eq!(envelope.matches("NIL \"a\" \"b\"").count(), 3);
        assert!(envelope.contains(&"s".repeat(9_000)));
        assert_eq!(envelope.matches(&"n".repeat(4_200)).count(), 3);
        assert_eq!(only(&answer, "BODY[TEXT]"), b"x\r\n");
    });
}

async fn check_message(client: &mut ImapClient, number: u32, name: &str, message: &[u8]) {
    let facts = facts_of(message);
    let ask =
        format!("FETCH {number} (RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY RFC822 RFC822.HEADER)");
    let answer = client.ask(&ask).await.ok();
    assert_eq!(
        only(&answer, "RFC822.SIZE"),
        message.len().to_string().as_bytes(),
        "{name}"
    );
    let envelope = match facts.envelope_is_cut {
        true => whole_envelope(message),
        false => facts.envelope.clone(),
    };
    assert_eq!(only(&answer, "ENVELOPE"), envelope, "{name}");
    assert_eq!(only(&answer, "BODYSTRUCTURE"), facts.structure, "{name}");
    assert_eq!(only(&answer, "BODY"), facts.basic_structure(), "{name}");
    assert_eq!(only(&answer, "RFC822"), message, "{name}");
    let header = only(&answer, "RFC822.HEADER");
    let answer = client
        .ask(&format!("FETCH {number} (BODY[HEADER] BODY[TEXT])"))
        .await
        .ok();
    assert_eq!(only(&answer, "BODY[HEADER]"), header, "{name}");
    let joined = [header, only(&answer, "BODY[TEXT]")].concat();
    assert_eq!(joined, message, "{name}: header and text make the message");
    let mut part = Vec::new();
    check_parts(client, number, message, &facts, &mut part).await;
}

/// Every part below `part`, by its number, as far as there are parts.
async fn check_parts(
    client: &mut ImapClient,
    number: u32,
    message: &[u8],
    facts: &Facts,
    part: &mut Vec<u32>,
) {
    for child in 1..=3 {
        part.push(child);
        let path: Vec<_> = part.iter().map(ToString::to_string).collect();
        let path = path.join(".");
        let items = format!("BODY[{path}] BODY[{path}.MIME] BODY[{path}.HEADER]");
        let answer = client.ask(&format!("FETCH {number} ({items})")).await.ok();
        let body = only(&answer, &format!("BODY[{path}]"));
        match facts.part(part) {
            None => assert_eq!(body, b"NIL"),
            Some(found) => {
                let span = |start: u64, end: u64| {
                    &message[start.try_into().unwrap()..end.try_into().unwrap()]
                };
                assert_eq!(body, span(found.body().offset, found.body().end()));
                let mime = only(&answer, &format!("BODY[{path}.MIME]"));
                assert_eq!(mime, span(found.header.offset, found.header.end()));
                if part.len() < 4 {
                    Box::pin(check_parts(client, number, message, facts, part)).await;
                }
            }
        }
        part.pop();
    }
}

#[test]
fn partial_fetches_make_the_whole() {
    run(async {
        let (server, alice) = server_with_alice().await;
        // Larger than a piece, so that parts begin and end anywhere in one.
        let lines: Vec<_> = (0..30_000)
            .map(|n| format!("line number {n}\r\n"))
            .collect();
        let message = format!("Subject: long\r\n\r\n{}", lines.concat());
        deliver(&server, alice, message.as_bytes()).await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("EXAMINE INBOX").await.ok();
        for step in [100_000, 131_072, 262_144, 999_999] {
            let mut whole = Vec::new();
            loop {
                let origin = whole.len();
                let ask = format!("FETCH 1 BODY.PEEK[]<{origin}.{step}>");
                let piece = only(&client.ask(&ask).await.ok(), &format!("BODY[]<{origin}>"));
                if piece.is_empty() {
                    break;
                }
                assert!(piece.len() <= step);
                whole.extend(piece);
            }
            assert!(whole == message.as_bytes(), "in steps of {step}");
        }
        // RFC 3501 6.4.5: beyond the end is the empty string.
        let answer = client.ask("FETCH 1 BODY[HEADER]<4294967295.1>").await.ok();
        assert_eq!(only(&answer, "BODY[HEADER]<4294967295>"), b"");
    });
}

#[test]
fn header_fields_are_selected_and_then_cut() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let message =
            b"From: a@example.org\r\nSubject: folded\r\n text\r\nTo: b@example.org\r\n\r\nx\r\n";
        deliver(&server, alice, message).await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("EXAMINE INBOX").await.ok();
        for (section, expected) in [
            (
                "HEADER.FIELDS (SUBJECT)",
                &b"Subject: folded\r\n text\r\n\r\n"[..],
            ),
            (
                "HEADER.FIELDS (to FROM)",
                b"From: a@example.org\r\nTo: b@example.org\r\n\r\n",
            ),
            (
                "HEADER.FIELDS.NOT (From To)",
                b"Subject: folded\r\n text\r\n\r\n",
            ),
            ("HEADER.FIELDS (X-None)", b"\r\n"),
        ] {
            let answer = client
                .ask(&format!("FETCH 1 BODY.PEEK[{section}]"))
                .await
                .ok();
            assert_eq!(
                only(&answer, &format!("BODY[{section}]")),
                expected,
                "{section}"
            );
        }
        let answer = client
            .ask("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]<9.6>")
            .await
            .ok();
        assert_eq!(only(&answer, "BODY[HEADER.FIELDS (SUBJECT)]<9>"), b"folded");
    });
}

#[test]
fn lim_36_many_large_sections_of_one_fetch_are_all_sent() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let field = format!("X-Large: {}\r\n", "x".repeat(900));
        let message = format!("{}\r\nbody\r\n", field.repeat(700));
        deliver(&server, alice, message.as_bytes()).await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("EXAMINE INBOX").await.ok();
        let sections: Vec<String> = (0..10)
            .map(|n| format!("BODY.PEEK[HEADER.FIELDS.NOT (X-{n})]"))
            .collect();
        let answer = client
            .ask(&format!("FETCH 1 ({})", sections.join(" ")))
            .await
            .ok();
        let [(_, items)] = &answer.fetched()[..] else {
            panic!("{:?}", answer.completion)
        };
        let header = format!("{}\r\n", field.repeat(700));
        for n in 0..10 {
            let section = &items[&format!("BODY[HEADER.FIELDS.NOT (X-{n})]")];
            assert!(section == header.as_bytes(), "section {n}");
        }
    });
}
