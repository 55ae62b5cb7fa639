//! Commits that fail, crash or meet others: all or nothing, and sums that stay exact.

use super::*;
use crate::store::fault::{CommitFault, Fault};

/// A world over an engine whose faults can be steered.
async fn faulty() -> (World, Arc<Fault>, Arc<dyn Engine>) {
    let memory: Arc<dyn Engine> = Arc::new(Memory::new());
    let fault = Arc::new(Fault::new(Arc::clone(&memory)));
    let engine: Arc<dyn Engine> = Arc::<Fault>::clone(&fault);
    (World::over(engine).await, fault, memory)
}

/// What is in a mailbox, read afresh.
async fn contents(engine: &Arc<dyn Engine>, mailbox: MailboxId) -> Vec<(u32, FlagSet)> {
    let world = World::start(Arc::clone(engine), Clock::system());
    world.open(mailbox).await.read(|index| {
        let entries = (0..index.len()).map(|position| index.entry(position).unwrap());
        entries
            .map(|entry| (entry.uid.number(), entry.flags()))
            .collect()
    })
}

#[tokio::test(start_paused = true)]
async fn dur_08_a_crash_at_any_commit_leaves_all_or_nothing() {
    for fault_kind in [CommitFault::CrashBefore, CommitFault::CrashAfter] {
        for change in 0..5 {
            let (world, fault, memory) = faulty().await;
            world.fill(INBOX, 6).await;
            world.fill(ARCHIVE, 1).await;
            let inbox = world.open(INBOX).await;
            let before = (
                contents(&memory, INBOX).await,
                contents(&memory, ARCHIVE).await,
            );
            fault.fail_commit(1, fault_kind);
            let all = uids(1..=6);
            let failed = match change {
                0 => inbox
                    .store_flags(&all, &add(SystemFlags::SEEN))
                    .await
                    .is_err(),
                1 => inbox.expunge(&all).await.is_err(),
                2 => inbox.copy_to(&all, ARCHIVE, None).await.is_err(),
                3 => inbox.move_to(&all, ARCHIVE).await.is_err(),
                _ => world
                    .mailboxes
                    .rename(ALICE, &name("INBOX"), &name("x"))
                    .await
                    .is_err(),
            };
            assert!(
                failed,
                "DUR-01: nothing is acknowledged that may not be durable"
            );
            let after = (
                contents(&memory, INBOX).await,
                contents(&memory, ARCHIVE).await,
            );
            let restarted = World::start(Arc::clone(&memory), Clock::system());
            restarted.assert_usage_is_exact().await;
            if fault_kind == CommitFault::CrashBefore {
                assert_eq!(after, before, "change {change}");
                continue;
            }
            let (inbox, archive) = (after.0.len(), after.1.len());
            let expected = [(6, 1), (0, 1), (6, 7), (0, 7), (0, 1)][change];
            assert_eq!((inbox, archive), expected, "change {change}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dur_08_an_append_that_crashed_is_there_with_its_body_or_not_at_all() {
    for (fault_kind, expected) in [(CommitFault::CrashBefore, 0), (CommitFault::CrashAfter, 1)] {
        let (world, fault, memory) = faulty().await;
        let arrived = world.arrived(&message(1)).await;
        fault.fail_commit(1, fault_kind);
        let now = world.clock.wall();
        let outcome =
            world
                .mailboxes
                .append(ALICE, INBOX, arrived, options(FlagSet::default(), now));
        assert!(outcome.await.is_err());
        let restarted = World::start(memory, Clock::system());
        let inbox = restarted.open(INBOX).await;
        assert_eq!(inbox.read(Index::len), expected);
        if let Some(email) = inbox.read(|index| Some(index.entry(0)?.email)) {
            assert_eq!(restarted.text(email).await, Some(message(1)));
        }
        restarted.assert_usage_is_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_decided_again_and_endless_ones_are_given_up() {
    let (world, fault, _) = faulty().await;
    world.fill(INBOX, 4).await;
    let inbox = world.open(INBOX).await;
    fault.fail_commit(1, CommitFault::Conflict);
    assert_eq!(inbox.expunge(&uids([1])).await.unwrap(), uids([1]));
    fault.fail_commit(1, CommitFault::Conflict);
    fault.fail_commit(2, CommitFault::Conflict);
    assert_eq!(
        inbox.move_to(&uids([2]), ARCHIVE).await.unwrap().from,
        uids([2])
    );
    fault.fail_commit(1, CommitFault::Conflict);
    world
        .mailboxes
        .create(ALICE, &name("x"), None)
        .await
        .unwrap();
    for n in 1..=20 {
        fault.fail_commit(n, CommitFault::Conflict);
    }
    let outcome = inbox.copy_to(&uids([3]), ARCHIVE, None).await;
    assert!(matches!(outcome, Err(ChangeError::Busy)));
    assert_eq!(fault.commits(), 6 + 6 + 8 + 1 - 1, "commits are bounded");
}

#[tokio::test(start_paused = true)]
async fn dur_04_on_a_full_disk_mail_is_refused_and_reading_goes_on() {
    let (world, fault, _) = faulty().await;
    world.fill(INBOX, 2).await;
    let arrived = world.arrived("x").await;
    fault.fail_commit(1, CommitFault::Full);
    let now = world.clock.wall();
    let outcome = world
        .mailboxes
        .append(ALICE, INBOX, arrived, options(FlagSet::default(), now))
        .await;
    assert!(matches!(outcome, Err(ChangeError::Full)));
    let inbox = world.open(INBOX).await;
    assert_eq!(inbox.read(Index::len), 2);
    assert_eq!(inbox.expunge(&uids([1])).await.unwrap(), uids([1]));
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_is_a_fault_and_the_next_one_is_not() {
    let (world, fault, _) = faulty().await;
    world.fill(INBOX, 2).await;
    fault.fail_read(1);
    assert!(matches!(
        world.mailboxes.open(ALICE, INBOX).await,
        Err(ChangeError::Fault(MailboxFault::Read(_)))
    ));
    let inbox = world.open(INBOX).await;
    world.fill(INBOX, 1).await;
    fault.fail_read(2);
    assert!(inbox.refresh().await.is_err());
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.read(Index::len), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_acknowledged_even_when_reading_it_back_fails() {
    let (world, fault, _) = faulty().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    // The refresh before the change reads nothing; the one behind it fails.
    fault.fail_read(1);
    let stored = inbox
        .store_flags(&uids([1]), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    assert_eq!(stored.changed, uids([1]));
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.read(Index::modseq), *stored.modseqs.end());
    assert_eq!(inbox.read(Index::unseen), 1);
}

#[tokio::test]
async fn dur_08_concurrent_appends_get_gapless_uids_of_their_own() {
    let world = Arc::new(World::new().await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let mut given = Vec::new();
            for n in 0..25 {
                given.push(
                    world
                        .append(INBOX, &message(task * 100 + n), FlagSet::default())
                        .await,
                );
            }
            given
        });
    }
    let mut given: Vec<Uid> = tasks.join_all().await.concat();
    given.sort();
    assert_eq!(given, uids(1..=200));
    let inbox = world.open(INBOX).await;
    assert_eq!(all_uids(&inbox), given);
    world.assert_usage_is_exact().await;
}

#[tokio::test]
async fn concurrent_expunges_moves_and_flags_all_succeed_and_count_once() {
    let world = Arc::new(World::new().await);
    world.fill(INBOX, 200).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..6_u32 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let world = if task % 2 == 0 {
                world.restarted()
            } else {
                world.copy()
            };
            let inbox = world.open(INBOX).await;
            let mut touched = 0;
            for n in 0..30 {
                let some = uids((task * 7 + n * 5 + 1)..(task * 7 + n * 5 + 9));
                touched += match (task + n) % 3 {
                    0 => inbox.expunge(&some).await.unwrap().len(),
                    1 => inbox.move_to(&some, ARCHIVE).await.unwrap().from.len(),
                    _ => {
                        let change = add(SystemFlags::FLAGGED);
                        inbox.store_flags(&some, &change).await.unwrap();
                        0
                    }
                };
            }
            touched
        });
    }
    let touched: usize = tasks.join_all().await.into_iter().sum();
    let fresh = world.restarted();
    assert_eq!(fresh.open(INBOX).await.read(Index::len), 200 - touched);
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn dur_10_a_damaged_record_hides_its_messages_only_and_is_never_packed_away() {
    let world = World::new().await;
    world.fill(INBOX, 400).await;
    let records = world.keys(key::logs(ALICE, INBOX)).await;
    let mut batch = Batch::new();
    let good = world.engine.get(&records[9]).await.unwrap().unwrap();
    batch.put(records[9].clone(), b"\x07rubbish".to_vec());
    world.engine.commit(batch).await.unwrap();
    let damaged = world.restarted();
    let inbox = damaged.open(INBOX).await;
    assert_eq!(inbox.read(Index::len), 399);
    assert_eq!(
        inbox.expunge(&uids([20, 21])).await.unwrap(),
        uids([20, 21])
    );
    assert_eq!(inbox.read(Index::len), 397);
    damaged.mailboxes.write_snapshots().await;
    assert!(
        world
            .engine
            .get(&key::snapshot(ALICE, INBOX))
            .await
            .unwrap()
            .is_none()
    );
    // Nothing is swept on the word of a mailbox that cannot say what it holds.
    let emails = emails_of(&world, ALICE).await;
    damaged.sweep().await;
    assert_eq!(emails_of(&world, ALICE).await, emails);
    let mut batch = Batch::new();
    batch.put(records[9].clone(), good.to_vec());
    world.engine.commit(batch).await.unwrap();
    assert_eq!(world.restarted().open(INBOX).await.read(Index::len), 398);
    world.assert_usage_is_exact().await;
}
