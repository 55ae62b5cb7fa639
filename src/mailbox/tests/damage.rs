//! Damaged mailboxes: what still works, and the ways out (DUR-09). UIDs that are used up.

use super::*;

/// What of a mailbox is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Record,
    Log,
    Head,
    Chunk,
}

const PARTS: [Part; 4] = [Part::Record, Part::Log, Part::Head, Part::Chunk];

/// Overwrites a part of a mailbox that has a snapshot and a log that begins behind its start.
async fn damage(world: &World, mailbox: MailboxId, part: Part) {
    world.mailboxes.write_snapshot_of(mailbox).await.unwrap();
    world.fill(mailbox, 2).await;
    let logs = world.keys(key::logs(ALICE, mailbox)).await;
    let key = match part {
        Part::Record => key::mailbox(ALICE, mailbox),
        Part::Log => logs.last().unwrap().clone(),
        Part::Head => key::snapshot(ALICE, mailbox),
        Part::Chunk => world.keys(key::snapshot_chunks(ALICE, mailbox)).await[0].clone(),
    };
    let mut batch = Batch::new();
    // The log was trimmed, so it cannot stand for a snapshot.
    batch.delete(logs[0].clone());
    batch.put(key, b"\x07rubbish".to_vec());
    world.engine.commit(batch).await.unwrap();
}

/// A message as SMTP delivers it: without a look at the mailbox.
async fn deliver(world: &World, text: &str) {
    let arrived = world.arrived(text).await;
    let placement = Placement::of(&arrived, world.clock.wall(), FlagSet::default());
    let mut batch = Batch::new();
    world.mailboxes.place(&mut batch, ALICE, INBOX, &placement);
    batch.body(placement.blob, arrived.content);
    world.engine.commit(batch).await.unwrap();
    world.mailboxes.announce(ALICE, INBOX);
}

async fn has_name(world: &World, text: &str) -> bool {
    let entries = world.mailboxes.list(ALICE).await.unwrap();
    entries.iter().any(|entry| entry.name == name(text))
}

#[tokio::test(start_paused = true)]
async fn dur_09_a_damaged_mailbox_can_be_renamed_and_deleted_and_the_others_work() {
    for part in PARTS {
        let world = World::new().await;
        world.fill(INBOX, 3).await;
        world.fill(ARCHIVE, 5).await;
        damage(&world, ARCHIVE, part).await;
        let world = world.restarted();
        let opened = world.mailboxes.open(ALICE, ARCHIVE).await;
        let shown = opened.map(|mailbox| mailbox.read(Index::len));
        match part {
            Part::Record => assert!(matches!(
                shown,
                Err(ChangeError::Fault(MailboxFault::Damaged(_)))
            )),
            Part::Log => assert_eq!(shown.unwrap(), 6),
            // Of what a lost snapshot held, the log of this test still has all but one.
            Part::Head => assert_eq!(shown.unwrap(), 6),
            Part::Chunk => assert_eq!(shown.unwrap(), 2),
        }
        // Names are made beside it, and it keeps its own.
        world
            .mailboxes
            .create(ALICE, &name("new"), None)
            .await
            .unwrap();
        let taken = world.mailboxes.create(ALICE, &name("Archive"), None).await;
        assert!(matches!(taken, Err(ChangeError::Exists)));
        world
            .mailboxes
            .rename(ALICE, &name("Archive"), &name("away"))
            .await
            .unwrap();
        let away = world.mailboxes.find(ALICE, &name("away")).await.unwrap();
        assert_eq!(away.unwrap().id, ARCHIVE);
        world.fill(INBOX, 1).await;
        world.mailboxes.delete(ALICE, &name("away")).await.unwrap();
        assert!(!has_name(&world, "away").await);
        world.assert_usage_is_exact().await;
        let inbox = world.open(INBOX).await;
        inbox.expunge(&uids([1])).await.unwrap();
        world.sweep().await;
        let emails = inbox.read(|index| index.emails().to_vec());
        for email in emails {
            assert!(world.text(EmailId(email)).await.is_some(), "{part:?}");
        }
        assert!(world.text(EmailId(1)).await.is_none(), "swept again");
    }
}

#[tokio::test(start_paused = true)]
async fn dur_09_two_damaged_mailboxes_go_one_after_the_other() {
    let world = World::new().await;
    world.fill(INBOX, 3).await;
    for mailbox in [ARCHIVE, SENT] {
        world.fill(mailbox, 5).await;
        damage(&world, mailbox, Part::Chunk).await;
    }
    let world = world.restarted();
    world.mailboxes.delete(ALICE, &name("Sent")).await.unwrap();
    world
        .mailboxes
        .delete(ALICE, &name("Archive"))
        .await
        .unwrap();
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn dur_09_a_damaged_inbox_takes_mail_and_begins_anew_when_it_is_renamed() {
    for part in PARTS {
        let world = World::new().await;
        world.fill(INBOX, 5).await;
        world.fill(ARCHIVE, 1).await;
        let before = world.open(INBOX).await;
        let validity = before.uid_validity();
        damage(&world, INBOX, part).await;
        let world = world.restarted();
        deliver(&world, "late\r\n").await;
        world
            .mailboxes
            .rename(ALICE, &name("INBOX"), &name("saved"))
            .await
            .unwrap();
        let saved = world.mailboxes.find(ALICE, &name("saved")).await.unwrap();
        let saved = world.open(saved.unwrap().id).await;
        let emails = saved.read(|index| index.emails().to_vec());
        let expected = match part {
            Part::Record => 8,
            Part::Log | Part::Head => 7,
            Part::Chunk => 3,
        };
        assert_eq!(emails.len(), expected, "{part:?}");
        let last = EmailId(*emails.last().unwrap());
        assert_eq!(world.text(last).await.unwrap(), "late\r\n");
        // INBOX is another one now, and whole.
        let inbox = world.restarted().open(INBOX).await;
        assert!(inbox.uid_validity() > validity);
        assert!(inbox.read(|index| index.is_empty() && !index.is_damaged()));
        deliver(&world, "new\r\n").await;
        let inbox = world.open(INBOX).await;
        assert_eq!(inbox.read(Index::len), 1);
        world.mailboxes.write_snapshot_of(INBOX).await.unwrap();
        let reopened = world.restarted().open(INBOX).await;
        assert_eq!(reopened.read(Index::len), 1);
        reopened
            .move_to(&all_uids(&reopened), ARCHIVE)
            .await
            .unwrap();
        world.assert_usage_is_exact().await;
        // Numbers go on rising.
        let made = world.mailboxes.create(ALICE, &name("made"), None).await;
        let made = world.open(made.unwrap().id).await;
        assert!(made.uid_validity() > inbox.uid_validity());
        tokio::time::advance(limits::NOTICE_TRUSTED).await;
        assert!(matches!(before.refresh().await, Err(MailboxFault::Deleted)));
    }
}

#[tokio::test(start_paused = true)]
async fn dur_08_uids_that_are_used_up_refuse_messages_and_harm_nothing() {
    let world = World::new().await;
    let mut batch = Batch::new();
    let last = u64::from(u32::MAX) - 3;
    batch.put(key::uid(ALICE, INBOX), last.to_be_bytes().to_vec());
    world.engine.commit(batch).await.unwrap();
    world.fill(INBOX, 2).await;
    let arrived = world.arrived("one more").await;
    let date = world.clock.wall();
    let refused = world
        .mailboxes
        .append(ALICE, INBOX, arrived, options(FlagSet::default(), date))
        .await;
    assert!(matches!(refused, Err(ChangeError::TooMany(_))));
    world.fill(ARCHIVE, 3).await;
    let archive = world.open(ARCHIVE).await;
    for refused in [
        archive.copy_to(&uids(1..=3), INBOX, None).await,
        archive.move_to(&uids(1..=3), INBOX).await,
    ] {
        assert!(matches!(refused, Err(ChangeError::TooMany(_))));
    }
    assert_eq!(archive.read(Index::len), 3);
    let inbox = world.restarted().open(INBOX).await;
    assert!(!inbox.read(Index::is_damaged));
    let all = uids([u32::MAX - 2, u32::MAX - 1]);
    assert_eq!(all_uids(&inbox), all);
    assert_eq!(inbox.read(Index::uid_next), u32::MAX);
    inbox
        .store_flags(&all, &add(SystemFlags::SEEN))
        .await
        .unwrap();
    inbox.expunge(&all[..1]).await.unwrap();
    // The way out.
    world
        .mailboxes
        .rename(ALICE, &name("INBOX"), &name("full"))
        .await
        .unwrap();
    let given = world.append(INBOX, "first", FlagSet::default()).await;
    assert_eq!(given, uid(1));
    let anew = world.open(INBOX).await;
    assert!(anew.uid_validity() > inbox.uid_validity());
    assert_eq!(anew.read(Index::len), 1);
    world.assert_usage_is_exact().await;
}
