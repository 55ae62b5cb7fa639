//! Messages: appending, flags, expunge, copy, move, bodies, notices.

use super::*;
use crate::{
    base::{limits::BODY_MEMORY_BYTES_MAX, pieces::Pieces},
    mail::facts::Facts,
    store::fault::Fault,
};

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
    let appended = world
        .mailboxes
        .append(ALICE, nowhere, arrived, FlagSet::default(), now);
    assert!(matches!(appended.await, Err(ChangeError::Absent)));
    assert!(matches!(
        world.mailboxes.open(ALICE, nowhere).await,
        Err(ChangeError::Absent)
    ));
    world.fill(INBOX, 1).await;
    let inbox = world.open(INBOX).await;
    assert!(matches!(
        inbox.copy_to(&uids([1]), nowhere).await,
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
    assert_eq!(stored.modseq, inbox.read(Index::modseq));
    assert_eq!(world.keys(key::logs(ALICE, INBOX)).await.len(), records + 1);
    assert_eq!(inbox.read(Index::unseen), 0);
    // The same again changes nothing and writes nothing.
    let again = inbox
        .store_flags(&uids(1..=50), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    assert_eq!((again.changed, again.modseq), (vec![], stored.modseq));
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
    let changes = inbox.changes(since, &told);
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
async fn a_copy_keeps_flags_date_and_email_and_gets_consecutive_uids() {
    let world = World::new().await;
    world.fill(INBOX, 4).await;
    world.fill(ARCHIVE, 1).await;
    let inbox = world.open(INBOX).await;
    inbox
        .store_flags(&uids([3]), &add(SystemFlags::ANSWERED))
        .await
        .unwrap();
    let copied = inbox.copy_to(&uids([1, 3, 9]), ARCHIVE).await.unwrap();
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
    let copied = inbox.copy_to(&uids([1, 2]), INBOX).await.unwrap();
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
    let mut builder = record::ArrivalsBuilder::default();
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
    world.mailboxes.announce(ALICE);
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
    let copied = inbox.copy_to(&all, ARCHIVE).await.unwrap();
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
        inbox.copy_to(&all, ARCHIVE).await.map(drop),
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
        .append(ALICE, INBOX, arrived, many(400, 401), now);
    assert!(matches!(
        appended.await,
        Err(ChangeError::TooMany("keywords"))
    ));
    world.append(ARCHIVE, "y", many(400, 401)).await;
    let archive = world.open(ARCHIVE).await;
    assert!(matches!(
        archive.copy_to(&uids([1]), INBOX).await,
        Err(ChangeError::TooMany("keywords"))
    ));
    inbox.expunge(&uids([1])).await.unwrap();
    archive.move_to(&uids([1]), INBOX).await.unwrap();
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.read(Index::keywords).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn recent_messages_are_claimed_once() {
    let world = World::new().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    assert_eq!(inbox.claim_recent(false), 1);
    assert_eq!(inbox.claim_recent(true), 1);
    assert_eq!(inbox.claim_recent(true), 3);
    world.fill(INBOX, 1).await;
    inbox.refresh().await.unwrap();
    assert_eq!(inbox.claim_recent(true), 3);
    assert_eq!(inbox.claim_recent(false), 4);
    drop(inbox);
    // The background work saves the mark of a mailbox that nobody uses.
    world.mailboxes.write_snapshots().await;
    assert_eq!(world.restarted().open(INBOX).await.claim_recent(false), 4);
}

#[tokio::test(start_paused = true)]
async fn lim_36_a_large_body_is_staged_and_read_in_pieces() {
    let world = World::new().await;
    let text = "0123456789abcdef".repeat(BODY_MEMORY_BYTES_MAX / 8);
    let mut intake = world.mailboxes.intake();
    for piece in text.as_bytes().chunks(10_000) {
        intake.feed(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    let arrived = intake.finish().await.unwrap();
    assert_eq!(arrived.size, text.len() as u64);
    assert!(matches!(arrived.content, crate::store::Content::Staged(_)));
    let (blob, now) = (arrived.blob, world.clock.wall());
    let appended = world
        .mailboxes
        .append(ALICE, INBOX, arrived, FlagSet::default(), now);
    appended.await.unwrap();
    let end = text.len() as u64;
    for span in [0..end, 5..end, 5..5, 100_000..400_000, end - 1..end] {
        let mut pieces = world.mailboxes.body(blob, span.clone());
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await.unwrap() {
            assert!(!piece.is_empty() && piece.len() <= BODY_MEMORY_BYTES_MAX);
            read.extend_from_slice(&piece);
        }
        let (from, to) = (
            usize::try_from(span.start).unwrap(),
            usize::try_from(span.end).unwrap(),
        );
        assert_eq!(read, text.as_bytes()[from..to]);
    }
    let mut beyond = world.mailboxes.body(blob, 0..end + 1);
    let outcome = loop {
        match beyond.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(outcome.is_err());
    assert!(matches!(beyond.next().await, Ok(None)));
}

#[tokio::test(start_paused = true)]
async fn the_structure_of_a_message_is_found_while_it_arrives() {
    let world = World::new().await;
    let text = "Subject: a\r\nFrom: b@example.org\r\n\r\nGr\u{fc}\u{df}e\r\n";
    for size in [1, 7, 1000] {
        let mut intake = world.mailboxes.intake();
        for piece in text.as_bytes().chunks(size) {
            intake.feed(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let arrived = intake.finish().await.unwrap();
        assert_eq!(
            (arrived.top.fields, arrived.top.from, arrived.top.date),
            (2, 1, 0)
        );
        assert!(arrived.has_eight_bit && !arrived.has_nul);
        assert_eq!(arrived.longest_line, 19);
        let now = world.clock.wall();
        let appended = world
            .mailboxes
            .append(ALICE, INBOX, arrived, FlagSet::default(), now);
        let id = EmailId(appended.await.unwrap().uid.number().into());
        let emails = world.mailboxes.emails(ALICE, &[id]).await.unwrap();
        let facts = Facts::decode(&emails[0].as_ref().unwrap().facts).unwrap();
        assert_eq!(facts.size, text.len() as u64);
        assert!(facts.envelope.starts_with(b"(NIL \"a\""));
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

#[tokio::test(start_paused = true)]
async fn how_a_message_ends_is_known_without_reading_it() {
    let world = World::new().await;
    let cases = [
        ("a\r\n", 0),
        ("a\r", 1),
        ("a\n", 2),
        ("a", 2),
        ("\r", 1),
        ("\r\n\r\n", 0),
    ];
    for (text, _) in cases {
        let mut intake = world.mailboxes.intake();
        // Where the pieces are cut makes no difference.
        for byte in text.bytes() {
            intake.feed(Bytes::from(vec![byte])).await.unwrap();
        }
        let arrived = intake.finish().await.unwrap();
        let date = world.clock.wall();
        let appended = world
            .mailboxes
            .append(ALICE, INBOX, arrived, FlagSet::default(), date);
        appended.await.unwrap();
    }
    let inbox = world.open(INBOX).await;
    let missing = |mailbox: &Mailbox| {
        mailbox.read(|index| {
            let entries = (0..index.len()).map(|position| index.entry(position).unwrap());
            entries.map(|entry| entry.crlf_missing).collect::<Vec<_>>()
        })
    };
    let expected: Vec<_> = cases.iter().map(|(_, missing)| *missing).collect();
    assert_eq!(missing(&inbox), expected);
    // It goes with a copy, and is in a snapshot.
    inbox.copy_to(&all_uids(&inbox), ARCHIVE).await.unwrap();
    world.mailboxes.write_snapshot_of(ARCHIVE).await.unwrap();
    assert_eq!(missing(&world.restarted().open(ARCHIVE).await), expected);
}

#[tokio::test(start_paused = true)]
async fn lim_37_bodies_beyond_the_budget_go_to_the_store_and_nothing_waits_for_ever() {
    let mut world = World::new().await;
    let budget = 100 * 1024;
    let options = Options {
        body_memory_bytes: budget,
        ..Options::default()
    };
    world.mailboxes = Mailboxes::new(
        Arc::clone(&world.engine),
        world.clock.clone(),
        Random::system(),
        options,
    );
    let memory = world.mailboxes.core.memory.clone();
    let text = |n: usize| message(n).repeat(2_000);
    // All are half-way at the same time, more of them than may be written at once.
    let mut intakes: Vec<Intake> = (0..2 * limits::BODIES_PASSING_MAX)
        .map(|_| world.mailboxes.intake())
        .collect();
    let cuts = [0, 3_000, 40_000, 60_000];
    for cut in cuts.windows(2) {
        for (n, intake) in intakes.iter_mut().enumerate() {
            let piece = text(n).into_bytes()[cut[0]..cut[1]].to_vec();
            intake.feed(piece.into()).await.unwrap();
        }
        assert!(memory.free_bytes() <= budget);
    }
    assert!(memory.free_bytes() < budget / 2, "some are in memory");
    let mut arrived = Vec::new();
    for intake in intakes {
        arrived.push(intake.finish().await.unwrap());
    }
    let staged = |arrived: &&Arrived| matches!(arrived.content, crate::store::Content::Staged(_));
    let staged = arrived.iter().filter(staged).count();
    assert!((1..arrived.len()).contains(&staged), "{staged}");
    for (n, arrived) in arrived.into_iter().enumerate() {
        let date = world.clock.wall();
        let appended = world
            .mailboxes
            .append(ALICE, INBOX, arrived, FlagSet::default(), date);
        appended.await.unwrap();
        assert_eq!(
            world.text(EmailId(n as u64 + 1)).await.unwrap(),
            text(n)[..60_000]
        );
    }
    assert_eq!(memory.free_bytes(), budget, "all of it came back");
}
