//! Clients that say anything: every command is completed exactly once, and a connection ends only
//! with BYE.

use std::collections::BTreeSet;

use buzon::{base::random::Random, imap::proto::verbs::VERBS};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Duration, timeout},
};

use super::client::{deliver, server_with_alice};
use crate::support::player::run;

/// What follows a verb, sensible or not.
const ARGUMENTS: [&str; 40] = [
    "",
    "INBOX",
    "Archive",
    "inbox/deep/er",
    "\"\"",
    "\"\" *",
    "\"\" \"%\"",
    "1",
    "1:*",
    "*",
    "2,4:7,9",
    "4294967295",
    "0",
    "1:* FLAGS",
    "1:* (UID BODY.PEEK[] ENVELOPE BODYSTRUCTURE)",
    "* (BODY[1.2.3.MIME] BODY[HEADER.FIELDS (To From)]<0.5>)",
    "1:* RFC822.TEXT",
    "1:* +FLAGS (\\Deleted $Key)",
    "2 FLAGS.SILENT (\\Seen)",
    "1 -FLAGS ()",
    "1:* Archive",
    "1 Nowhere",
    "INBOX (MESSAGES UIDNEXT UNSEEN SIZE)",
    "ALL",
    "NOT (OR SEEN UNDELETED) BODY x",
    "CHARSET UTF-8 TEXT \"x\" SUBJECT hello",
    "CHARSET KOI8-R ALL",
    "((((ALL",
    "SINCE 1-Jan-2026 SENTBEFORE 1-Jan-2030 LARGER 10",
    "Archive new/name",
    "INBOX elsewhere",
    "INBOX (\\Seen) {5+}\r\nhello",
    "Archive {5}\r\nhello",
    "NIL",
    "(\"name\" \"x\")",
    "{3+}\r\nabc",
    "{99999999}",
    "{200000+}\r\n",
    "PLAIN =",
    "alice@example.org wrong",
];

/// Sends `text` and gives what comes until the server waits or closes, and whether it closed.
async fn exchange(stream: &mut DuplexStream, text: &[u8]) -> (Vec<u8>, bool) {
    let _ = stream.write_all(text).await;
    let mut said = Vec::new();
    loop {
        match timeout(Duration::from_secs(20), stream.read_buf(&mut said)).await {
            Ok(Ok(0) | Err(_)) => return (said, true),
            Ok(Ok(_)) => {}
            Err(_) => return (said, false),
        }
    }
}

#[test]
fn every_command_is_completed_once_whatever_is_said() {
    run(async {
        let random = Random::seeded(7);
        let pick = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
        let (server, alice) = server_with_alice().await;
        let mut completed = BTreeSet::new();
        for round in 0..60 {
            deliver(
                &server,
                alice,
                b"Subject: hello\r\nFrom: a@example.org\r\n\r\nx\r\n",
            )
            .await;
            let mut stream = server.plain(server.imap("imap"));
            if round % 4 > 0 {
                exchange(&mut stream, b"l LOGIN alice@example.org secret-alice\r\n").await;
            }
            if round % 4 > 1 {
                exchange(&mut stream, b"s SELECT INBOX\r\n").await;
            }
            for nth in 0..40 {
                let verb = VERBS[pick(VERBS.len())].name;
                let line = format!("t{nth} {verb} {}\r\n", ARGUMENTS[pick(ARGUMENTS.len())]);
                let (said, closed) = exchange(&mut stream, line.as_bytes()).await;
                let text = String::from_utf8_lossy(&said);
                let tag = format!("t{nth} ");
                let completions = text.lines().filter(|said| said.starts_with(&tag)).count();
                assert!(completions <= 1, "{line}: {text}");
                if closed {
                    assert!(text.contains("* BYE"), "{line}: {text}");
                    break;
                }
                if completions == 1 {
                    completed.insert(verb);
                    continue;
                }
                if line.ends_with("+}\r\n\r\n") {
                    // A message that is refused is dropped as it comes, without a word.
                    break;
                }
                // Something more is awaited: a literal, the end of IDLE, a SASL response.
                assert!(text.contains("+ "), "{line}: {text}");
                let rest = b"*\r\nDONE\r\n\r\nz\r\nz NOOP\r\n";
                let (_, closed) = exchange(&mut stream, rest).await;
                if closed {
                    break;
                }
            }
        }
        assert!(completed.len() > VERBS.len() / 2, "{completed:?}");
    });
}
