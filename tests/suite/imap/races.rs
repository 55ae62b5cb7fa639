//! What sessions are told when somebody is faster between their look and their commit.

use std::{sync::Arc, time::Duration};

use buzon::{
    base::ids::{AccountId, Uid},
    mailbox::{FlagChange, FlagMode, INBOX, SystemFlags},
};

use super::client::{ImapClient, deliver, server_with_alice};
use crate::support::{player::run, server::TestServer};

#[test]
fn rfc_3501_6_4_6_what_others_did_is_told_also_after_a_silent_store() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..3 {
            deliver(&server, alice, b"Subject: x\r\n\r\n").await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        // Nobody else: nothing is told.
        let answer = client.ask("STORE 1:2 +FLAGS.SILENT (\\Draft)").await;
        assert!(answer.ok().untagged.is_empty());
        // Somebody flags the second message right before the commit.
        let flag = flag(&server, alice, 2).await;
        server.engine.before_commit(1, Box::pin(flag));
        let answer = client.ask("STORE 1:3 +FLAGS.SILENT (\\Seen)").await.ok();
        let second = b"2 FETCH (FLAGS (\\Flagged \\Seen \\Draft \\Recent))";
        let told = |line: &&Vec<u8>| line.as_slice() == second;
        assert_eq!(answer.untagged.iter().filter(told).count(), 1, "{answer:?}");
        let answer = client.ask("STORE 1:3 -FLAGS.SILENT (\\Seen)").await;
        assert!(answer.ok().untagged.is_empty());
    });
}

#[test]
fn a_quota_holds_when_a_message_comes_between_check_and_commit() {
    run(async {
        let (server, alice) = server_with_alice().await;
        server.directory.set_quota(alice, 100).await.unwrap();
        let mut client = ImapClient::log_in(&server, "alice").await;
        let server = Arc::new(server);
        let faster = |bytes: usize| {
            let server = Arc::clone(&server);
            Box::pin(async move { deliver(&server, alice, &b"x".repeat(bytes)).await })
        };
        server.engine.before_commit(1, faster(60));
        let answer = client.ask("APPEND INBOX {6+}\r\nabcdef").await;
        assert!(
            answer.completion.starts_with("OK"),
            "there is room for both"
        );
        server.engine.before_commit(1, faster(30));
        let answer = client.ask("APPEND INBOX {6+}\r\nabcdef").await;
        assert!(
            answer.completion.starts_with("NO [OVERQUOTA]"),
            "{answer:?}"
        );
        client.ask("SELECT INBOX").await.ok();
        let answer = client.ask("COPY 1 Sent").await;
        assert!(
            answer.completion.starts_with("NO [OVERQUOTA]"),
            "{answer:?}"
        );
        let usage = server.mailboxes.usage(alice).await.unwrap();
        assert_eq!((usage.bytes, usage.messages), (96, 3));
    });
}

/// Somebody flags the message.
async fn flag(
    server: &TestServer,
    account: AccountId,
    uid: u32,
) -> impl Future<Output = ()> + use<> {
    let inbox = server.mailboxes.open(account, INBOX).await.unwrap();
    async move {
        let change = FlagChange {
            mode: FlagMode::Add,
            flags: SystemFlags::FLAGGED.into(),
        };
        let uids = [Uid::new(uid).unwrap()];
        inbox.store_flags(&uids, &change).await.unwrap();
    }
}

#[test]
fn rfc_5465_what_others_do_while_a_command_is_carried_out_is_told_as_notify_asked() {
    run(async {
        let (server, alice) = server_with_alice().await;
        for _ in 0..3 {
            deliver(&server, alice, b"Subject: x\r\n\r\n").await;
        }
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        // RFC 5465 3.1: the wishes hold from the completion on, whatever follows it.
        server
            .engine
            .before_commit(1, Box::pin(flag(&server, alice, 1).await));
        let asked = "NOTIFY SET (selected (MessageNew MessageExpunge))\r\n\
                     s STORE 2 +FLAGS.SILENT (\\Seen)";
        client.ask(asked).await.ok();
        assert_eq!(client.hear().await, [b"s OK STORE completed".to_vec()]);
        // RFC 5465 5.1: with UIDs.
        let asked = "NOTIFY SET (selected (MessageNew MessageExpunge FlagChange))";
        client.ask(asked).await.ok();
        client.hear().await;
        server
            .engine
            .before_commit(1, Box::pin(flag(&server, alice, 3).await));
        let answer = client.ask("STORE 2 +FLAGS.SILENT (\\Draft)").await.ok();
        let third = b"3 FETCH (UID 3 FLAGS (\\Flagged \\Recent))".to_vec();
        assert!(answer.untagged.contains(&third), "{answer:?}");
    });
}

#[test]
fn rfc_5465_what_changes_while_changes_are_told_is_told() {
    run(async {
        let (server, alice) = server_with_alice().await;
        let mut client = ImapClient::log_in(&server, "alice").await;
        client.ask("SELECT INBOX").await.ok();
        let asked = "NOTIFY SET (selected (MessageNew (BODY.PEEK[]) MessageExpunge FlagChange))";
        client.ask(asked).await.ok();
        for uid in 1..=8 {
            client.hear().await;
            deliver(&server, alice, b"Subject: x\r\n\r\n").await;
            server.engine.delay_reads(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(500) * uid).await;
            server.engine.delay_reads(Duration::ZERO);
            flag(&server, alice, uid).await.await;
            let told = client.hear().await;
            let flagged = format!("{uid} FETCH (UID {uid} FLAGS (\\Flagged \\Recent))");
            assert!(told.contains(&flagged.into_bytes()), "{uid}: {told:?}");
        }
    });
}
