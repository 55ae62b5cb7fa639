//! Snapshots as stored: opening from them, trimmed logs, two writers, writers cut off.

use super::*;
use crate::mailbox::limits::COUNTED_MAILBOXES_MAX;
use crate::store::{
    Write,
    fault::{CommitFault, Fault},
};

/// Everything an index says, to be compared.
fn shown(mailbox: &Mailbox) -> Vec<(Uid, FlagSet, u64, u64)> {
    mailbox.read(|index| {
        let entries = (0..index.len()).map(|position| index.entry(position).unwrap());
        entries
            .map(|e| (e.uid, e.flags(), e.modseq.0, e.email.0))
            .collect()
    })
}

async fn snapshot(world: &World) -> Option<Bytes> {
    world
        .engine
        .get(&key::snapshot(ALICE, INBOX))
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn snapshot_and_tail_open_as_the_whole_log_does() {
    let world = World::new().await;
    world.fill(INBOX, 300).await;
    let inbox = world.open(INBOX).await;
    world.mailboxes.write_snapshots().await;
    assert!(snapshot(&world).await.is_some());
    inbox
        .store_flags(&uids(5..=250), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    inbox.expunge(&uids([7, 8, 299])).await.unwrap();
    world.fill(INBOX, 3).await;
    inbox.refresh().await.unwrap();
    let reopened = world.restarted().open(INBOX).await;
    assert_eq!(shown(&reopened), shown(&inbox));
    assert_eq!(reopened.read(Index::uid_next), 304);
    assert_eq!(reopened.read(Index::modseq), inbox.read(Index::modseq));
    // Without the snapshot the log alone says the same.
    let mut batch = Batch::new();
    batch.delete(key::snapshot(ALICE, INBOX));
    world.engine.commit(batch).await.unwrap();
    assert_eq!(shown(&world.restarted().open(INBOX).await), shown(&inbox));
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_nobody_opens_is_packed_too() {
    let world = World::new().await;
    world.fill(INBOX, 255).await;
    world.mailboxes.write_snapshots().await;
    assert!(snapshot(&world).await.is_none());
    world.fill(INBOX, 1).await;
    world.mailboxes.write_snapshots().await;
    assert!(snapshot(&world).await.is_some());
    assert_eq!(world.mailboxes.core.cache.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_log_keeps_its_history_and_the_mailbox_its_messages() {
    let world = World::new().await;
    let inbox = world.open(INBOX).await;
    for _ in 0..19 {
        world.fill(INBOX, 256).await;
        inbox.refresh().await.unwrap();
        world.mailboxes.write_snapshots().await;
    }
    let records = world.keys(key::logs(ALICE, INBOX)).await.len();
    assert!((4000..4200).contains(&records), "{records}");
    let reopened = world.restarted().open(INBOX).await;
    assert_eq!(shown(&reopened), shown(&inbox));
    assert_eq!(reopened.read(Index::len), 19 * 256);
    assert!(world.keys(key::snapshot_chunks(ALICE, INBOX)).await.len() <= 10);
}

#[tokio::test(start_paused = true)]
async fn an_index_that_slept_while_the_log_was_trimmed_is_read_anew() {
    let world = World::new().await;
    world.fill(INBOX, 10).await;
    let sleeper = world.open(INBOX).await;
    let other = world.restarted();
    let busy = other.open(INBOX).await;
    busy.expunge(&uids([3])).await.unwrap();
    for _ in 0..7 {
        other.fill(INBOX, 256).await;
        busy.refresh().await.unwrap();
        other.mailboxes.write_snapshots().await;
    }
    tokio::time::advance(limits::NOTICE_TRUSTED).await;
    sleeper.refresh().await.unwrap();
    assert_eq!(shown(&sleeper), shown(&busy));
    sleeper.expunge(&uids([4])).await.unwrap();
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn two_writers_of_snapshots_do_not_mix() {
    let world = World::new().await;
    let other = world.restarted();
    for round in 0..4 {
        world.fill(INBOX, 130).await;
        other.fill(INBOX, 130).await;
        tokio::time::advance(limits::NOTICE_TRUSTED).await;
        let (one, two) = (world.open(INBOX).await, other.open(INBOX).await);
        let flagged = uids([round + 1]);
        one.store_flags(&flagged, &add(SystemFlags::FLAGGED))
            .await
            .unwrap();
        tokio::join!(
            world.mailboxes.write_snapshots(),
            other.mailboxes.write_snapshots()
        );
        assert_eq!(shown(&world.restarted().open(INBOX).await), shown(&one));
        two.refresh().await.unwrap();
    }
}

/// A mailbox whose snapshot needs more than one commit: many messages with long keywords.
async fn fill_heavily(world: &World) {
    for n in 0..40 {
        let keywords = (0..100).map(|k| format!("{n}-{k}-{}", "x".repeat(110)));
        world
            .append(INBOX, &message(n), keyword_set(keywords.take(6)))
            .await;
    }
    let inbox = world.open(INBOX).await;
    while inbox.read(Index::len) <= 20_000 {
        let some = all_uids(&inbox).into_iter().take(8_000);
        inbox
            .copy_to(&some.collect::<Vec<_>>(), INBOX, None)
            .await
            .unwrap();
    }
    assert!(inbox.read(Index::len) > 20_000);
}

#[tokio::test(start_paused = true)]
async fn dur_08_a_large_snapshot_cut_off_at_any_commit_does_no_harm() {
    let memory: Arc<dyn Engine> = Arc::new(Memory::new());
    let world = World::over(Arc::clone(&memory)).await;
    fill_heavily(&world).await;
    let expected = shown(&world.open(INBOX).await);
    for n in 1..6 {
        let fault = Arc::new(Fault::new(Arc::clone(&memory)));
        let kind = [CommitFault::CrashBefore, CommitFault::CrashAfter][n as usize % 2];
        fault.fail_commit(n, kind);
        let cut_off = World::start(fault, world.clock.clone());
        let opened = cut_off.open(INBOX).await;
        assert_eq!(shown(&opened), expected);
        let outcome = cut_off.mailboxes.write_snapshot_of(INBOX).await;
        let reopened = world.restarted();
        assert_eq!(
            shown(&reopened.open(INBOX).await),
            expected,
            "cut off at {n}: {outcome:?}"
        );
    }
    // A writer that is not cut off cleans up behind the others.
    let last = world.restarted();
    last.open(INBOX)
        .await
        .store_flags(&uids([1]), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    last.mailboxes.write_snapshot_of(INBOX).await.unwrap();
    let head = load::read_snapshot(&*memory, ALICE, INBOX)
        .await
        .unwrap()
        .unwrap()
        .head;
    let chunks = world.keys(key::snapshot_chunks(ALICE, INBOX)).await;
    let numbers: Vec<_> = chunks.iter().map(|key| key.last_u32().unwrap()).collect();
    let mut named: Vec<_> = head.chunks.iter().map(|chunk| chunk.number).collect();
    named.sort_unstable();
    assert_eq!(numbers, named);
    assert!(numbers.len() > 15);
    assert_eq!(
        shown(&world.restarted().open(INBOX).await),
        shown(&last.open(INBOX).await)
    );
}

#[tokio::test(start_paused = true)]
async fn dur_09_a_damaged_snapshot_is_replaced_by_the_log_while_that_is_whole() {
    let world = World::new().await;
    world.fill(INBOX, 300).await;
    let inbox = world.open(INBOX).await;
    world.mailboxes.write_snapshots().await;
    let chunk = world
        .keys(key::snapshot_chunks(ALICE, INBOX))
        .await
        .remove(0);
    let mut batch = Batch::new();
    batch
        .writes
        .push(Write::Put(chunk.into(), b"rubbish".to_vec().into()));
    world.engine.commit(batch).await.unwrap();
    assert_eq!(shown(&world.restarted().open(INBOX).await), shown(&inbox));
    world.mailboxes.delete(ALICE, &name("Junk")).await.unwrap();
    // Once the log is trimmed, what the chunk held is lost, and only that.
    let first = world.keys(key::logs(ALICE, INBOX)).await.remove(0);
    let mut batch = Batch::new();
    batch.delete(first);
    world.engine.commit(batch).await.unwrap();
    let restarted = world.restarted();
    let left = restarted.open(INBOX).await;
    assert!(left.read(|index| index.is_damaged() && index.is_empty()));
    let uid = restarted.append(INBOX, "more", FlagSet::default()).await;
    left.refresh().await.unwrap();
    assert_eq!(all_uids(&left), [uid]);
}

#[tokio::test]
async fn counts_of_unread_records_are_bounded() {
    let world = World::new().await;
    let core = &world.mailboxes.core;
    for account in 0..2 * u64::try_from(COUNTED_MAILBOXES_MAX).unwrap() {
        core.count_record(AccountId(account), INBOX);
    }
    assert!(core.take_counted(1).len() <= COUNTED_MAILBOXES_MAX);
}
