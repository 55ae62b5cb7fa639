//! Messages: appending, flags, expunge, keywords, what is recent, notices.

use super::*;
use crate::store::fault::Fault;

#[tokio::test(start_paused = true)]
async fn a_message_appended_is_found_with_flags_date_size_and_body() {
    let world = World::new().await;
    let flags = FlagSet::new(
        SystemFlags::SEEN,
        vec![Keyword::parse("$Forwarded").unwrap()],
    );
    assert_eq!(
        world.append(INBOX, &message(1), flags.clone()).await,
        uid(1)
    );
    let inbox = world.open(INBOX).await;
    let email = inbox.read(|index| {
        let entry = index.entry(0).unwrap();
        assert_eq!(entry.flags(), flags);
        assert_eq!(entry.size, message(1).len() as u64);
        assert_eq!(entry.internal_date, Timestamp::from_secs(1_600_000_000));
        assert_eq!((index.len(), index.uid_next(), index.unseen()), (1, 2, 0));
        entry.email
    });
    assert_eq!(world.text(email).await, Some(message(1)));
    let usage = world.mailboxes.usage(ALICE).await.unwrap();
    assert_eq!((usage.messages, usage.bytes), (1, message(1).len() as u64));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_not_there_is_absent() {
    let world = World::new().await;
    let nowhere = MailboxId(99);
    let arrived = world.arrived("x").await;
    let now = world.clock.wall();
    let appended =
        world
            .mailboxes
            .append(ALICE, nowhere, arrived, options(FlagSet::default(), now));
    assert!(matches!(appended.await, Err(ChangeError::Absent)));
    assert!(matches!(
        world.mailboxes.open(ALICE, nowhere).await,
        Err(ChangeError::Absent)
    ));
    world.fill(INBOX, 1).await;
    let inbox = world.open(INBOX).await;
    assert!(matches!(
        inbox.copy_to(&uids([1]), nowhere, None).await,
        Err(ChangeError::Absent)
    ));
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn one_store_of_many_messages_is_one_commit_and_one_record() {
    let world = World::new().await;
    world.fill(INBOX, 50).await;
    let inbox = world.open(INBOX).await;
    let records = world.keys(key::logs(ALICE, INBOX)).await.len();
    let stored = inbox
        .store_flags(&uids(1..=50), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    assert_eq!(stored.changed, uids(1..=50));
    assert_eq!(*stored.modseqs.end(), inbox.read(Index::modseq));
    assert_eq!(world.keys(key::logs(ALICE, INBOX)).await.len(), records + 1);
    assert_eq!(inbox.read(Index::unseen), 0);
    // The same again changes nothing and writes nothing.
    let again = inbox
        .store_flags(&uids(1..=50), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    assert_eq!((again.changed, again.modseqs.is_empty()), (vec![], true));
    assert_eq!(world.keys(key::logs(ALICE, INBOX)).await.len(), records + 1);
}

#[tokio::test(start_paused = true)]
async fn another_process_sees_changes_after_a_while_even_without_a_notice() {
    let world = World::new().await;
    let inbox = world.open(INBOX).await;
    let other = world.restarted();
    other.fill(INBOX, 2).await;
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.read(Index::len), 0);
    tokio::time::advance(limits::NOTICE_TRUSTED).await;
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.read(Index::len), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_told_the_difference() {
    let world = World::new().await;
    world.fill(INBOX, 5).await;
    let inbox = world.open(INBOX).await;
    let (since, told) = inbox.read(|index| (index.modseq(), index.uids().to_vec()));
    inbox
        .store_flags(&uids([2, 4]), &add(SystemFlags::FLAGGED))
        .await
        .unwrap();
    inbox.expunge(&uids([1, 4])).await.unwrap();
    world.fill(INBOX, 1).await;
    inbox.refresh().await.unwrap();
    let changes = inbox.read(|index| index.changes(since, &told));
    assert_eq!(changes.expunged, [1, 4]);
    assert_eq!(changes.flagged, [2]);
    assert_eq!(changes.appended, [6]);
    assert_eq!(changes.modseq, inbox.read(Index::modseq));
}

#[tokio::test(start_paused = true)]
async fn expunging_twice_succeeds_twice_and_is_counted_once() {
    let world = World::new().await;
    world.fill(INBOX, 10).await;
    let (one, two) = (world.open(INBOX).await, world.restarted().open(INBOX).await);
    assert_eq!(
        one.expunge(&uids([2, 3, 4])).await.unwrap(),
        uids([2, 3, 4])
    );
    // The second session has not read the log since.
    assert_eq!(two.expunge(&uids([3, 4, 5])).await.unwrap(), uids([5]));
    assert_eq!(two.expunge(&uids([3])).await.unwrap(), []);
    world.assert_usage_is_exact().await;
    assert_eq!(world.mailboxes.usage(ALICE).await.unwrap().messages, 6);
}

#[tokio::test(start_paused = true)]
async fn lim_24_a_mailbox_has_at_most_256_keywords() {
    let world = World::new().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    let many = |from: usize, to| keyword_set((from..to).map(|n| format!("k{n}")));
    inbox
        .store_flags(&uids([1]), &add(many(0, limits::KEYWORDS_MAX)))
        .await
        .unwrap();
    let over = many(0, limits::KEYWORDS_MAX + 1);
    for outcome in [
        inbox
            .store_flags(&uids([2]), &add(over.clone()))
            .await
            .map(|_| ()),
        inbox
            .store_flags(&uids([2]), &add(many(300, 301)))
            .await
            .map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(ChangeError::TooMany("keywords"))));
    }
    // Known ones still fit, and so do new ones elsewhere, and here once the old ones are gone.
    inbox
        .store_flags(&uids([2]), &add(many(0, 3)))
        .await
        .unwrap();
    let arrived = world.arrived("x").await;
    let now = world.clock.wall();
    let appended = world
        .mailboxes
        .append(ALICE, INBOX, arrived, options(many(400, 401), now));
    assert!(matches!(
        appended.await,
        Err(ChangeError::TooMany("keywords"))
    ));
    world.append(ARCHIVE, "y", many(400, 401)).await;
    let archive = world.open(ARCHIVE).await;
    assert!(matches!(
        archive.copy_to(&uids([1]), INBOX, None).await,
        Err(ChangeError::TooMany("keywords"))
    ));
    inbox.expunge(&uids([1])).await.unwrap();
    archive.move_to(&uids([1]), INBOX).await.unwrap();
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.read(Index::keywords).len(), 4);
}

fn claim(mailbox: &Mailbox, read_write: bool) -> u32 {
    mailbox.read(|index| mailbox.claim_recent(index, read_write))
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_session_is_told_is_recent_to_the_next() {
    let world = World::new().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    // A session looks, and a message comes before it claims what it saw.
    let seen = inbox.read(Clone::clone);
    world.fill(INBOX, 1).await;
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.claim_recent(&seen, true), 1);
    assert_eq!(claim(&inbox, true), 3);
    assert_eq!(claim(&inbox, true), 4);
}

#[tokio::test(start_paused = true)]
async fn a_store_knows_which_change_of_flags_came_before_it() {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let engine: Arc<dyn Engine> = Arc::<Fault>::clone(&fault);
    let world = World::over(engine).await;
    world.fill(INBOX, 3).await;
    let inbox = world.open(INBOX).await;
    let told = inbox.read(Index::modseq);
    // Deliveries are no changes of flags.
    world.fill(INBOX, 1).await;
    let seen = add(SystemFlags::SEEN);
    let stored = inbox.store_flags(&uids([1]), &seen).await.unwrap();
    assert!(stored.preceded_by <= told);
    assert!(stored.modseqs.start() > &told);
    let other = inbox.clone();
    fault.before_commit(
        1,
        Box::pin(async move {
            let flagged = add(SystemFlags::FLAGGED);
            other.store_flags(&uids([2]), &flagged).await.unwrap();
        }),
    );
    let last = *stored.modseqs.end();
    let stored = inbox.store_flags(&uids([2]), &seen).await.unwrap();
    assert!(stored.preceded_by > last);
    // What is not known any more is taken for somebody else's.
    let all = uids(1..=4);
    for _ in 0..20 {
        inbox.store_flags(&all, &seen).await.unwrap();
        let remove = FlagChange {
            mode: FlagMode::Remove,
            ..seen.clone()
        };
        inbox.store_flags(&all, &remove).await.unwrap();
    }
    assert!(inbox.read(|index| index.flags_before(last)).is_none());
}

#[tokio::test(start_paused = true)]
async fn recent_messages_are_claimed_once() {
    let world = World::new().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    assert_eq!(claim(&inbox, false), 1);
    assert_eq!(claim(&inbox, true), 1);
    assert_eq!(claim(&inbox, true), 3);
    world.fill(INBOX, 1).await;
    inbox.refresh().await.unwrap();
    assert_eq!(claim(&inbox, true), 3);
    assert_eq!(claim(&inbox, false), 4);
    drop(inbox);
    // The background work saves the mark of a mailbox that nobody uses.
    world.mailboxes.write_snapshots().await;
    assert_eq!(claim(&world.restarted().open(INBOX).await, false), 4);
    // It does so without packing anything.
    for packed in [
        key::snapshot(ALICE, INBOX),
        key::snapshot_chunks(ALICE, INBOX),
    ] {
        assert_eq!(world.keys(packed).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_begins_anew_has_recent_messages_again() {
    let world = World::new().await;
    let mut batch = Batch::new();
    let last = u64::from(u32::MAX) - 3;
    batch.put(key::uid(ALICE, INBOX), last.to_be_bytes().to_vec());
    world.engine.commit(batch).await.unwrap();
    world.fill(INBOX, 1).await;
    assert_eq!(claim(&world.open(INBOX).await, true), 1);
    world.mailboxes.write_snapshots().await;
    let (from, to) = (name("INBOX"), name("full"));
    world.mailboxes.rename(ALICE, &from, &to).await.unwrap();
    world.fill(INBOX, 1).await;
    let fresh = world.restarted();
    assert_eq!(claim(&fresh.open(INBOX).await, true), 1);
}

/// What another writer may require to be unchanged: nothing of the account changes beside it.
#[tokio::test(start_paused = true)]
async fn every_change_of_messages_moves_the_modseq() {
    let world = World::new().await;
    let modseq = async || world.engine.get(&key::modseq(ALICE)).await.unwrap();
    let mut before = modseq().await;
    for change in 0..5 {
        let inbox = world.open(INBOX).await;
        match change {
            0 => world.fill(INBOX, 3).await,
            1 => drop(inbox.store_flags(&uids([1]), &add(SystemFlags::SEEN)).await),
            2 => drop(inbox.copy_to(&uids([1]), ARCHIVE, None).await),
            3 => drop(inbox.move_to(&uids([2]), ARCHIVE).await),
            _ => drop(inbox.expunge(&uids([3])).await),
        }
        let after = modseq().await;
        assert!(after > before, "change {change}");
        before = after;
    }
}

#[tokio::test(start_paused = true)]
async fn emails_come_in_the_order_asked_for() {
    let world = World::new().await;
    world.fill(INBOX, 30).await;
    let asked: Vec<EmailId> = [9, 1, 2, 3, 30, 99, 4, 9, 17, 20, 22].map(EmailId).into();
    let emails = world.mailboxes.emails(ALICE, &asked).await.unwrap();
    for (id, email) in asked.iter().zip(&emails) {
        assert_eq!(
            email.as_ref().map(|email| email.id),
            (id.0 <= 30).then_some(*id)
        );
        let Some(email) = email else { continue };
        let body = world.engine.body(email.blob, 0..email.size).await.unwrap();
        let n = usize::try_from(id.0 - 1).unwrap();
        assert_eq!(body, message(n).as_bytes());
    }
}

#[tokio::test(start_paused = true)]
async fn watchers_of_an_account_are_woken_by_its_changes() {
    let world = World::new().await;
    let mut watch = world.mailboxes.watch(ALICE);
    let mut other = world.mailboxes.watch(AccountId(2));
    world.fill(INBOX, 1).await;
    watch.changed().await;
    let soon = Duration::from_millis(1);
    assert!(tokio::time::timeout(soon, watch.changed()).await.is_err());
    assert!(tokio::time::timeout(soon, other.changed()).await.is_err());
    let inbox = world.open(INBOX).await;
    inbox.expunge(&uids([1])).await.unwrap();
    watch.changed().await;
}

#[tokio::test(start_paused = true)]
async fn mailboxes_that_nobody_uses_are_dropped_from_memory() {
    let world = World::new().await;
    let held = world.open(INBOX).await;
    for account in 2..700 {
        world.provision(AccountId(account)).await;
        world
            .mailboxes
            .open(AccountId(account), INBOX)
            .await
            .unwrap();
    }
    let cache = &world.mailboxes.core.cache;
    assert!(cache.len() <= 2 * limits::IDLE_MAILBOXES_MAX + 1);
    cache.evict();
    assert_eq!(cache.len(), limits::IDLE_MAILBOXES_MAX + 1);
    assert!(cache.find(ALICE, INBOX).is_some());
    drop(held);
}
