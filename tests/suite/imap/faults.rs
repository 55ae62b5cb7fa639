//! What clients are told when the store fails: a polite no, and nothing is half done.

use std::time::Duration;

use buzon::{
    mailbox::{INBOX, Name},
    store::{Batch, Engine, key},
};
use tokio::time::timeout;

use super::client::{ImapClient, deliver, server_with_alice};
use crate::support::{client::settle, player::run};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\ntext\r\n";

#[test]
fn a_read_that_fails_is_told_and_the_session_goes_on() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..3 {
            deliver(&server, alice, MESSAGE).await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        for command in [
            "FETCH 1:3 BODY.PEEK[]",
            "FETCH 2 ENVELOPE",
            "STATUS Sent (MESSAGES)",
        ] {
            let untroubled = client.ask(command).await.ok();
            for nth in 1..20 {
                server.engine.fail_read(nth);
                let answer = client.ask(command).await;
                if answer.completion.starts_with("OK") {
                    assert_eq!(answer.untagged, untroubled.untagged, "{command} {nth}");
                    // The failure waits for the next read; take it.
                    while server.mailboxes.usage(alice).await.is_ok() {}
                    break;
                }
                assert!(
                    answer.completion.starts_with("NO [UNAVAILABLE]"),
                    "{}",
                    answer.completion
                );
            }
        }
        client.ask("NOOP").await.ok();
    });
}

#[test]
fn dur_01_a_change_that_happened_is_answered_ok_though_the_news_cannot_be_told() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..20 {
            deliver(&server, alice, MESSAGE).await;
        }
        let sent = Name::parse("Sent").unwrap();
        let sent = server.mailboxes.find(alice, &sent).await.unwrap().unwrap();
        let messages = async || {
            let mut counts = Vec::new();
            for id in [INBOX, sent.id] {
                let mailbox = server.mailboxes.open(alice, id).await.unwrap();
                mailbox.refresh().await.unwrap();
                counts.push(mailbox.read(|index| index.len()));
            }
            counts
        };
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        for command in ["APPEND INBOX {4+}\r\ntext", "COPY 1 INBOX", "MOVE 1 Sent"] {
            let mut untold = 0;
            for nth in 1.. {
                let before = messages().await;
                let reads = server.engine.reads();
                server.engine.fail_read(nth);
                server.engine.fail_read(nth + 1);
                let answer = client.ask(command).await;
                let failed = server.engine.reads() >= reads + nth;
                // Failures that wait for the next reads are taken.
                while server.engine.reads() <= reads + nth {
                    let _ = server.mailboxes.usage(alice).await;
                }
                let happened = messages().await != before;
                let says_ok = answer.completion.starts_with("OK");
                assert_eq!(says_ok, happened, "{command} {nth} {answer:?}");
                let exists = |line: &Vec<u8>| line.ends_with(b" EXISTS");
                let expunge = |line: &Vec<u8>| line.ends_with(b" EXPUNGE");
                let told = answer
                    .untagged
                    .iter()
                    .any(|line| exists(line) || expunge(line));
                untold += u32::from(happened && !told);
                if !failed {
                    assert!(told, "what was not told before is told now");
                    break;
                }
                client.ask("NOOP").await.ok();
            }
            assert!(untold > 0, "{command}");
        }
    });
}

#[test]
fn dur_09_one_damaged_message_does_not_hide_the_others() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..3 {
            deliver(&server, alice, MESSAGE).await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        // The second of three bodies cannot be read now: one message is missing, the others are
        // told.
        let before = server.engine.reads();
        client.ask("FETCH 1:3 BODY.PEEK[]").await.ok();
        let reads = server.engine.reads() - before;
        server.engine.fail_read(reads - 1);
        let answer = client.ask("FETCH 1:3 BODY.PEEK[]").await;
        let numbers: Vec<_> = answer.fetched().iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 3]);
        assert!(
            answer.completion.starts_with("NO [UNAVAILABLE]"),
            "{}",
            answer.completion
        );
    });
}

#[test]
fn lim_25_nothing_is_looked_for_or_fetched_for_a_client_that_left() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..20 {
            deliver(&server, alice, MESSAGE).await;
        }
        for command in [
            "SEARCH TEXT nothing",
            "ESEARCH IN (personal) TEXT nothing",
            "FETCH 1:* BODY.PEEK[]",
            "LIST \"\" * RETURN (STATUS (MESSAGES))",
        ] {
            let mut client = ImapClient::log_in(&server, "alice").await;
            client.ask("SELECT INBOX").await.ok();
            server.engine.delay_reads(Duration::from_secs(1));
            let left = timeout(Duration::from_millis(2500), client.ask(command)).await;
            assert!(left.is_err());
            drop(client);
            settle().await;
            assert_eq!(server.tasks.count("session"), 0, "{command}");
            server.engine.delay_reads(Duration::ZERO);
        }
    });
}

#[test]
fn lim_25_fetch_stops_reading_what_it_does_not_send() {
    const LIMIT: u64 = 2 * 1024 * 1024 * 1024;
    const PIECE: u64 = 128 * 1024;
    run(async {
        let (server, alice) = server_with_alice().await;
        let message = [b"Subject: x\r\n\r\n".to_vec(), vec![b'x'; 16 << 20]].concat();
        for _ in 0..4 {
            deliver(&server, alice, &message).await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        // Each reads all of the message for its last byte, 1.2 GB in all.
        let last = message.len() - 1;
        let item = |number| format!("BINARY[]<{}.1>", last - number);
        let items: Vec<_> = (0..70).map(item).collect();
        let before = server.engine.reads();
        let answer = client
            .ask(&format!("FETCH 1:4 ({})", items.join(" ")))
            .await;
        let reads = server.engine.reads() - before;
        let limit = LIMIT / PIECE;
        assert!((limit..limit + 50).contains(&reads), "{reads}");
        assert!(
            answer.completion.starts_with("NO [LIMIT]"),
            "{}",
            answer.completion
        );
        // All four are marked as read, and the client knows.
        let flags = |line: &&Vec<u8>| line.windows(5).any(|word| word == b"\\Seen");
        assert_eq!(answer.untagged.iter().filter(flags).count(), 4);
        assert_eq!(answer.untagged.len(), 4);
    });
}

#[test]
fn lim_25_select_in_rev2_reads_no_other_names() {
    run(async {
        let (server, _) = server_with_alice().await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        let mut reads = Vec::new();
        for command in ["NOOP", "ENABLE IMAP4rev2"] {
            client.ask(command).await.ok();
            client.ask("SELECT Sent").await.ok();
            let before = server.engine.reads();
            client.ask("SELECT Sent").await.ok();
            reads.push(server.engine.reads() - before);
        }
        // What is below it: one name in a key, and those that are too long for one.
        assert_eq!(reads[1], reads[0] + 2);
    });
}

#[test]
fn rfc_9585_a_long_search_says_how_far_it_is() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..24 {
            deliver(&server, alice, MESSAGE).await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        server.engine.delay_reads(Duration::from_millis(300));
        let searched = client.ask("SEARCH TEXT nothing").await;
        server.engine.delay_reads(Duration::ZERO);
        let told: Vec<String> = searched
            .untagged
            .iter()
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .filter(|line| line.starts_with("OK [INPROGRESS (\""))
            .collect();
        assert!((1..3).contains(&told.len()), "{searched:?}");
        assert!(told.iter().all(|line| line.contains(" 24)] ")), "{told:?}");
        let quick = client.ask("SEARCH TEXT nothing").await;
        assert_eq!(quick.untagged, [b"SEARCH".to_vec()]);
    });
}

#[test]
fn lim_25_list_names_all_mailboxes_and_looks_into_as_many_as_time_allows() {
    run(async {
        let (server, _) = server_with_alice().await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        server.engine.delay_reads(Duration::from_secs(7));
        let listed = client.ask("LIST \"\" * RETURN (STATUS (MESSAGES))").await;
        let lines = |what: &[u8]| {
            let told = listed.untagged.iter();
            told.filter(|line| line.starts_with(what)).count()
        };
        assert_eq!(lines(b"LIST"), 6);
        assert!((1..6).contains(&lines(b"STATUS")), "{listed:?}");
        assert!(listed.completion.starts_with("OK"));
    });
}

#[test]
fn dur_09_a_damaged_mailbox_does_not_hide_the_others_and_can_be_deleted() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let sent = Name::parse("Sent").unwrap();
        let sent = server.mailboxes.find(alice, &sent).await.unwrap().unwrap();
        let mut batch = Batch::new();
        batch.put(key::mailbox(alice, sent.id), b"rubbish".to_vec());
        server.engine.commit(batch).await.unwrap();
        let mut client = ImapClient::log_in(&server, "alice").await;
        let listed = client.ask("LIST \"\" % RETURN (STATUS (MESSAGES))").await;
        let lines = |what: &[u8]| {
            let told = listed.untagged.iter();
            told.filter(|line| line.starts_with(what)).count()
        };
        assert_eq!((lines(b"LIST"), lines(b"STATUS")), (6, 5));
        for command in [
            "SELECT Sent",
            "STATUS Sent (MESSAGES)",
            "APPEND Sent {1+}\r\nx",
        ] {
            let said = client.ask(command).await.completion;
            assert!(said.starts_with("NO [CORRUPTION]"), "{said}");
        }
        client.ask("DELETE Sent").await.ok();
        client.ask("CREATE Sent").await.ok();
        client.ask("SELECT Sent").await.ok();
    });
}
