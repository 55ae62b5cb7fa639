//! COPY and MOVE: numbers, all or nothing at any size, quotas.

use super::*;
use crate::store::fault::Fault;

#[tokio::test(start_paused = true)]
async fn a_copy_keeps_flags_date_and_email_and_gets_consecutive_uids() {
    let world = World::new().await;
    world.fill(INBOX, 4).await;
    world.fill(ARCHIVE, 1).await;
    let inbox = world.open(INBOX).await;
    inbox
        .store_flags(&uids([3]), &add(SystemFlags::ANSWERED))
        .await
        .unwrap();
    let copied = inbox
        .copy_to(&uids([1, 3, 9]), ARCHIVE, None)
        .await
        .unwrap();
    assert_eq!((copied.from, copied.to), (uids([1, 3]), uids([2, 3])));
    let archive = world.open(ARCHIVE).await;
    assert_eq!(copied.uid_validity, archive.uid_validity());
    let message = |mailbox: &Mailbox, number| {
        mailbox.read(|index| {
            let entry = index.entry(index.position(uid(number)).unwrap()).unwrap();
            (entry.flags(), entry.internal_date, entry.size, entry.email)
        })
    };
    assert_eq!(message(&inbox, 3), message(&archive, 3));
    assert_eq!(inbox.read(Index::len), 4);
    assert_eq!(emails_of(&world, ALICE).await, 5);
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_into_the_same_mailbox_doubles_the_messages() {
    let world = World::new().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    let copied = inbox.copy_to(&uids([1, 2]), INBOX, None).await.unwrap();
    assert_eq!((copied.from, copied.to), (uids([1, 2]), uids([3, 4])));
    assert_eq!(all_uids(&inbox), uids(1..=4));
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_move_to_the_same_mailbox_gives_new_uids() {
    let world = World::new().await;
    world.fill(INBOX, 3).await;
    let inbox = world.open(INBOX).await;
    let copied = inbox.move_to(&uids([1, 3]), INBOX).await.unwrap();
    assert_eq!((copied.from, copied.to), (uids([1, 3]), uids([4, 5])));
    assert_eq!(all_uids(&inbox), uids([2, 4, 5]));
    world.assert_usage_is_exact().await;
}

/// Logs messages whose numbers take as much room as numbers of real mail can.
async fn fill_widely(world: &World, mailbox: MailboxId, count: u32) {
    let wide = |n: u32| u64::from(n.wrapping_mul(0x9e37_79b9));
    let mut builder = record::ArrivalsBuilder::new(u32::MAX);
    let mut known = record::SetNumbers::default();
    for n in 0..count {
        let message = record::Arrival {
            email: wide(n),
            set: 0,
            internal_date: 1_000 * wide(n + 1),
            size: n.wrapping_mul(0x85eb_ca6b) >> 6,
            crlf_missing: 0,
        };
        builder.add(message, &mut known, FlagSet::default);
    }
    for arrivals in builder.finish() {
        let mut batch = Batch::new();
        let messages = u32::try_from(arrivals.messages.len()).unwrap();
        let modseq = batch.take_one(key::modseq(ALICE));
        let uid = batch.take(key::uid(ALICE, mailbox), messages.try_into().unwrap());
        let value = record::appended(&arrivals, uid, 0);
        batch.put(key::log_numbered(ALICE, mailbox, modseq), value);
        let bytes = arrivals.messages.iter().map(|m| i64::from(m.size)).sum();
        compose::sum_usage(&mut batch, ALICE, bytes, i64::from(messages));
        world.engine.commit(batch).await.unwrap();
    }
    world.mailboxes.announce(ALICE, INBOX);
}

#[tokio::test(start_paused = true)]
async fn dur_08_a_hundred_thousand_messages_are_copied_moved_renamed_and_removed_at_once() {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let engine: Arc<dyn Engine> = Arc::<Fault>::clone(&fault);
    let world = World::over(engine).await;
    fill_widely(&world, INBOX, 100_001).await;
    let inbox = world.open(INBOX).await;
    let all = all_uids(&inbox);
    let before = fault.commits();
    // Every second one, so that ranges do not help.
    let half: Vec<Uid> = all.iter().copied().step_by(2).collect();
    inbox.move_to(&half, ARCHIVE).await.unwrap();
    let archive = world.open(ARCHIVE).await;
    archive.move_to(&all_uids(&archive), INBOX).await.unwrap();
    inbox.refresh().await.unwrap();
    let all = all_uids(&inbox);
    assert_eq!(all.len(), 100_001);
    let copied = inbox.copy_to(&all, ARCHIVE, None).await.unwrap();
    assert_eq!((&copied.from, copied.to.len()), (&all, 100_001));
    world
        .mailboxes
        .rename(ALICE, &name("INBOX"), &name("old"))
        .await
        .unwrap();
    inbox.refresh().await.unwrap();
    assert!(inbox.read(Index::is_empty));
    let old = world.mailboxes.find(ALICE, &name("old")).await.unwrap();
    let old = world.open(old.unwrap().id).await;
    let gone = old.expunge(&all_uids(&old)).await.unwrap();
    assert_eq!(gone.len(), 100_001);
    assert_eq!(fault.commits() - before, 5, "one for each");
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn dur_08_what_does_not_fit_into_one_commit_is_refused_before_anything_changed() {
    let world = World::new().await;
    fill_widely(&world, INBOX, 500_000).await;
    let inbox = world.open(INBOX).await;
    let all = all_uids(&inbox);
    for refused in [
        inbox.copy_to(&all, ARCHIVE, None).await.map(drop),
        inbox.move_to(&all, ARCHIVE).await.map(drop),
        world
            .mailboxes
            .rename(ALICE, &name("INBOX"), &name("old"))
            .await,
    ] {
        assert!(matches!(refused, Err(ChangeError::TooMany(_))));
    }
    assert_eq!(all_uids(&inbox), all);
    assert!(world.open(ARCHIVE).await.read(Index::is_empty));
    assert!(
        world
            .mailboxes
            .find(ALICE, &name("old"))
            .await
            .unwrap()
            .is_none()
    );
    let gone = inbox.expunge(&all).await.unwrap();
    assert_eq!(gone.len(), all.len());
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_holds_also_when_two_fill_it_at_once() {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let engine: Arc<dyn Engine> = Arc::<Fault>::clone(&fault);
    let world = World::over(engine).await;
    let quota = Some(100);
    let within = |world: &World| AppendOptions {
        quota_bytes: quota,
        ..options(FlagSet::default(), world.clock.wall())
    };
    let faster = |bytes: usize| {
        let other = world.copy();
        Box::pin(async move {
            other
                .append(ARCHIVE, &"x".repeat(bytes), FlagSet::default())
                .await;
        })
    };
    fault.before_commit(1, faster(41));
    let arrived = world.arrived(&"x".repeat(60)).await;
    let refused = world
        .mailboxes
        .append(ALICE, INBOX, arrived, within(&world))
        .await;
    assert!(matches!(refused, Err(ChangeError::OverQuota)));
    // To the last byte.
    let arrived = world.arrived(&"x".repeat(39)).await;
    let taken = world
        .mailboxes
        .append(ALICE, INBOX, arrived, within(&world));
    taken.await.unwrap();
    let inbox = world.open(INBOX).await;
    fault.before_commit(1, faster(1));
    for _ in 0..2 {
        let refused = inbox.copy_to(&uids([1]), ARCHIVE, Some(119)).await;
        assert!(matches!(refused, Err(ChangeError::OverQuota)));
    }
    let usage = world.mailboxes.usage(ALICE).await.unwrap();
    assert_eq!((usage.bytes, usage.messages), (81, 3));
    inbox.copy_to(&uids([1]), ARCHIVE, Some(120)).await.unwrap();
    inbox.move_to(&uids([1]), ARCHIVE).await.unwrap();
    world.assert_usage_is_exact().await;
}
