//! Mailboxes over the embedded engine: what is acknowledged survives a restart and a crash.
//!
//! The service's own tests run on the memory engine; these show the same through the journal.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use buzon::{
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, EmailId, MailboxId, ModSeq, Uid},
        random::Random,
    },
    mailbox::{
        AppendOptions, FlagChange, FlagMode, FlagSet, INBOX, Index, Mailboxes, Name, Options,
        SystemFlags, Target, Usage,
    },
    store::{
        Batch, Engine,
        embedded::{self, Embedded},
    },
};
use bytes::Bytes;
use tempfile::TempDir;

const ALICE: AccountId = AccountId(1);

/// The files as they are, as if the process had been killed now.
fn copy_of(dir: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_files(dir.path(), copy.path());
    copy
}

fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_files(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn open(dir: &Path) -> (Arc<Embedded>, Mailboxes) {
    let options = embedded::Options {
        ballast_bytes: 0,
        low_water_bytes: 0,
        index_slack_bytes: 0,
        ..embedded::Options::default()
    };
    let engine = Embedded::open(dir, options).unwrap();
    let grace = Duration::ZERO;
    let shared: Arc<dyn Engine> = Arc::<Embedded>::clone(&engine);
    let options = Options {
        grace,
        ..Options::default()
    };
    let mailboxes = Mailboxes::new(shared, Clock::system(), Random::system(), options);
    (engine, mailboxes)
}

async fn append(mailboxes: &Mailboxes, mailbox: MailboxId, text: String) -> Uid {
    let mut intake = mailboxes.intake();
    intake.feed(Bytes::from(text)).await.unwrap();
    let arrived = intake.finish().await.unwrap();
    let options = AppendOptions {
        flags: FlagSet::default(),
        internal_date: Timestamp::from_secs(1_700_000_000),
        quota_bytes: None,
    };
    let appended = mailboxes.append(ALICE, mailbox, arrived, options);
    appended.await.unwrap().uid
}

fn message(n: usize) -> String {
    format!("Subject: {n}\r\n\r\n{}\r\n", "text ".repeat(n))
}

fn uids(numbers: impl Iterator<Item = u32>) -> Vec<Uid> {
    numbers.filter_map(Uid::new).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dur_01_what_was_acknowledged_is_there_after_a_restart() {
    let scratch = tempfile::tempdir().unwrap();
    let (engine, mailboxes) = open(scratch.path());
    let mut batch = Batch::new();
    mailboxes.provision(&mut batch, ALICE);
    engine.commit(batch).await.unwrap();
    let kept = Name::parse("kept/mail").unwrap();
    let kept = mailboxes.create(ALICE, &kept, None).await.unwrap();
    for n in 0..300 {
        append(&mailboxes, INBOX, message(n)).await;
    }
    let inbox = mailboxes.open(ALICE, INBOX).await.unwrap();
    let seen = FlagChange {
        mode: FlagMode::Add,
        flags: SystemFlags::SEEN.into(),
    };
    inbox.store_flags(&uids(1..=100), &seen).await.unwrap();
    let target = Target::own(ALICE, kept.id, None);
    inbox.move_away(&uids(50..=150), &target).await.unwrap();
    inbox.expunge(&uids(1..=10)).await.unwrap();
    let usage = mailboxes.usage(ALICE).await.unwrap();
    let modseq = inbox.read(Index::modseq);
    // Some rounds of the background work, as a running server does them.
    let stop = tokio::time::sleep(Duration::from_millis(1));
    mailboxes.maintain(stop).await;
    let killed = copy_of(&scratch);
    drop((inbox, mailboxes));
    engine.close().await;
    drop(engine);
    for dir in [scratch.path(), killed.path()] {
        check_restarted(dir, kept.id, modseq, usage).await;
    }
}

/// What the test above acknowledged.
async fn check_restarted(dir: &Path, kept: MailboxId, modseq: ModSeq, usage: Usage) {
    let (engine, mailboxes) = open(dir);
    let inbox = mailboxes.open(ALICE, INBOX).await.unwrap();
    let expected: Vec<u32> = (11..50).chain(151..=300).collect();
    assert_eq!(inbox.read(|index| index.uids().to_vec()), expected);
    assert_eq!(
        inbox.read(|index| (index.unseen(), index.uid_next())),
        (150, 301)
    );
    assert!(inbox.read(Index::modseq) >= modseq);
    assert_eq!(mailboxes.usage(ALICE).await.unwrap(), usage);
    let kept = mailboxes.open(ALICE, kept).await.unwrap();
    assert_eq!(kept.read(Index::len), 101);
    let ids: Vec<EmailId> = kept.read(|index| {
        let entries = (0..index.len()).filter_map(|position| index.entry(position));
        entries.map(|entry| entry.email).collect()
    });
    let emails = mailboxes.emails(ALICE, &ids).await.unwrap();
    for (n, email) in (49..).zip(emails) {
        let email = email.unwrap();
        let body = engine.body(email.blob, 0..email.size).await.unwrap();
        assert_eq!(body, message(n).as_bytes());
    }
    assert_eq!(
        append(&mailboxes, INBOX, message(1)).await,
        Uid::new(301).unwrap()
    );
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dur_08_concurrent_appends_share_a_mailbox_and_survive() {
    let scratch = tempfile::tempdir().unwrap();
    let (engine, mailboxes) = open(scratch.path());
    let mut batch = Batch::new();
    mailboxes.provision(&mut batch, ALICE);
    engine.commit(batch).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16 {
        let mailboxes = mailboxes.clone();
        tasks.spawn(async move {
            let mut given = Vec::new();
            for n in 0..20 {
                given.push(append(&mailboxes, INBOX, message(task + n)).await);
            }
            given
        });
    }
    let mut given = tasks.join_all().await.concat();
    given.sort();
    assert_eq!(given, uids(1..=320));
    drop(mailboxes);
    engine.close().await;
    drop(engine);
    let (engine, mailboxes) = open(scratch.path());
    let inbox = mailboxes.open(ALICE, INBOX).await.unwrap();
    assert_eq!(
        inbox.read(|index| uids(index.uids().iter().copied())),
        given
    );
    let usage = mailboxes.usage(ALICE).await.unwrap();
    assert_eq!(usage.messages, 320);
    assert_eq!(usage.bytes, inbox.read(Index::bytes));
    engine.close().await;
}
