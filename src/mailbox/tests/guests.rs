//! What guests change in mailboxes of others, and what happens to it meanwhile.

use super::{
    sharing::{BOB, CAROL, grant, three},
    *,
};
use crate::store::fault::CommitFault;

/// The same target, used by somebody else.
fn as_guest(guest: AccountId, target: Target) -> Target {
    Target {
        guest: Some(guest),
        ..target
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_to_another_account_is_an_email_of_its_own() {
    let (world, ..) = three().await;
    world.fill(INBOX, 3).await;
    let inbox = world.open(INBOX).await;
    inbox
        .store_flags(&uids([1, 2]), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    let mut target = target_at(BOB, ARCHIVE, Some(10_000));
    target.flags = Rights::parse("w").unwrap().flags();
    let copied = inbox.copy(&uids([1, 3, 9]), &target).await.unwrap();
    assert_eq!((copied.from, copied.to), (uids([1, 3]), uids([1, 2])));
    let again = inbox
        .copy(&uids([1]), &target_at(BOB, ARCHIVE, None))
        .await
        .unwrap();
    assert_eq!(again.to, uids([3]));
    let theirs = world.mailboxes.open(BOB, ARCHIVE).await.unwrap();
    assert_eq!(copied.uid_validity, theirs.uid_validity());
    let flags = theirs.read(|index| [0, 2].map(|n| index.entry(n).unwrap().system));
    assert_eq!(flags, [SystemFlags::NONE, SystemFlags::SEEN]);
    let dates = |mailbox: &Mailbox| mailbox.read(|i| i.entry(0).unwrap().internal_date);
    assert_eq!(dates(&theirs), dates(&inbox));
    assert_eq!(
        world.texts(BOB, ARCHIVE).await,
        [message(0), message(2), message(0)]
    );
    assert_eq!(world.owners(ALICE, 1).await, 3);
    assert_eq!(world.owners(ALICE, 2).await, 1);
    for account in [ALICE, BOB] {
        world.assert_usage_of(account).await;
    }
    // Whoever goes first, the body stays for the other.
    inbox.expunge(&uids([1, 2, 3])).await.unwrap();
    world.sweep().await;
    assert_eq!(emails_of(&world, ALICE).await, 0);
    assert_eq!(
        world.texts(BOB, ARCHIVE).await,
        [message(0), message(2), message(0)]
    );
    assert_eq!(world.owners(BOB, 1).await, 2);
    theirs.expunge(&all_uids(&theirs)).await.unwrap();
    world.sweep().await;
    assert_eq!(emails_of(&world, BOB).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_move_to_another_account_leaves_the_source_at_once() {
    let (world, ..) = three().await;
    world.fill(INBOX, 3).await;
    let inbox = world.open(INBOX).await;
    let theirs = world.mailboxes.open(BOB, INBOX).await.unwrap();
    let mut watch = world.mailboxes.watch(BOB);
    let target = target_at(BOB, INBOX, None);
    let moved = inbox.move_away(&uids([1, 2]), &target).await.unwrap();
    assert_eq!((moved.from, moved.to), (uids([1, 2]), uids([1, 2])));
    watch.changed().await;
    theirs.refresh().await.unwrap();
    assert_eq!(all_uids(&inbox), uids([3]));
    assert_eq!(all_uids(&theirs), uids([1, 2]));
    world.sweep().await;
    assert_eq!(emails_of(&world, ALICE).await, 1);
    assert_eq!(world.texts(BOB, INBOX).await, [message(0), message(1)]);
    for account in [ALICE, BOB] {
        world.assert_usage_of(account).await;
    }
    // The account it came from may go.
    world.remove(ALICE).await;
    assert_eq!(world.texts(BOB, INBOX).await, [message(0), message(1)]);
    world.remove(BOB).await;
    assert_eq!(emails_of(&world, BOB).await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_room_is_the_targets() {
    let (world, ..) = three().await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    let bytes = inbox.read(Index::bytes);
    for (quota, fits) in [(bytes - 1, false), (bytes, true)] {
        let target = target_at(BOB, INBOX, Some(quota));
        for moves in [false, true] {
            let outcome = match moves {
                false => inbox.copy(&uids([1, 2]), &target).await,
                true => inbox.move_away(&uids([1, 2]), &target).await,
            };
            match (fits, moves) {
                (true, false) => drop(outcome.unwrap()),
                _ => assert!(
                    matches!(outcome, Err(ChangeError::OverQuota)),
                    "{outcome:?}"
                ),
            }
        }
    }
    assert_eq!(inbox.read(Index::len), 2);
}

#[tokio::test(start_paused = true)]
async fn dur_08_a_crash_leaves_all_or_nothing_of_both_accounts() {
    for kind in [
        CommitFault::CrashBefore,
        CommitFault::CrashAfter,
        CommitFault::Full,
    ] {
        for moves in [false, true] {
            let (world, fault, memory) = three().await;
            world.fill(INBOX, 4).await;
            let inbox = world.open(INBOX).await;
            let target = target_at(BOB, ARCHIVE, Some(1_000_000));
            fault.fail_commit(1, kind);
            let failed = match moves {
                false => inbox.copy(&uids(1..=4), &target).await,
                true => inbox.move_away(&uids(1..=4), &target).await,
            };
            assert!(failed.is_err(), "DUR-01");
            let fresh = World::start(memory, world.clock.clone());
            let happened = matches!(kind, CommitFault::CrashAfter);
            let count = |n: usize| if happened { n } else { 0 };
            assert_eq!(fresh.texts(BOB, ARCHIVE).await.len(), count(4));
            let left = fresh.texts(ALICE, INBOX).await.len();
            assert_eq!(left, if moves { 4 - count(4) } else { 4 });
            for account in [ALICE, BOB] {
                fresh.assert_usage_of(account).await;
            }
            fresh.sweep().await;
            assert_eq!(fresh.texts(BOB, ARCHIVE).await.len(), count(4));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_do_meanwhile_is_decided_upon_again() {
    for moves in [false, true] {
        for race in 0..4 {
            let (world, fault, _) = three().await;
            world.fill(INBOX, 4).await;
            let inbox = world.open(INBOX).await;
            let to_carol = target_at(CAROL, INBOX, None);
            inbox.copy(&uids([1]), &to_carol).await.unwrap();
            let other = world.copy();
            fault.before_commit(
                1,
                Box::pin(async move {
                    let inbox = other.restarted().open(INBOX).await;
                    let third = other.restarted();
                    match race {
                        0 => drop(inbox.expunge(&uids([2, 3])).await.unwrap()),
                        // Another owner of the body comes, or goes.
                        1 => drop(inbox.copy(&uids([1]), &to_carol).await.unwrap()),
                        2 => {
                            let theirs = third.mailboxes.open(CAROL, INBOX).await.unwrap();
                            theirs.expunge(&uids([1])).await.unwrap();
                            third.sweep().await;
                        }
                        _ => {
                            let gone = third.mailboxes.delete(BOB, &name("Archive")).await;
                            gone.unwrap();
                        }
                    }
                }),
            );
            let target = target_at(BOB, ARCHIVE, None);
            let outcome = match moves {
                false => inbox.copy(&uids(1..=4), &target).await,
                true => inbox.move_away(&uids(1..=4), &target).await,
            };
            let done = match (race, outcome) {
                (0, Ok(copied)) => copied.from == uids([1, 4]),
                (1 | 2, Ok(copied)) => copied.from == uids(1..=4),
                (_, Err(ChangeError::Absent)) => race == 3,
                (_, outcome) => panic!("{race} {moves} {outcome:?}"),
            };
            assert!(done, "{race} {moves}");
            for account in [ALICE, BOB, CAROL] {
                world.assert_usage_of(account).await;
            }
            world.sweep().await;
            if race < 3 {
                let texts = world.texts(BOB, ARCHIVE).await;
                assert_eq!(texts.first(), Some(&message(0)));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_one_batch_holds_is_refused_as_a_whole() {
    let (world, ..) = three().await;
    // Facts of nearly a stored value each.
    let placement = |arrived: &Arrived| Placement {
        facts: vec![7; 60_000].into(),
        ..Placement::of(arrived, Timestamp(1), FlagSet::default())
    };
    for n in 0..130 {
        let arrived = world.arrived(&message(n)).await;
        let mut batch = Batch::new();
        world
            .mailboxes
            .place(&mut batch, ALICE, INBOX, &placement(&arrived));
        batch.body(arrived.blob, arrived.content);
        world.engine.commit(batch).await.unwrap();
    }
    let inbox = world.open(INBOX).await;
    let target = target_at(BOB, INBOX, None);
    let all = all_uids(&inbox);
    for outcome in [
        inbox.copy(&all, &target).await,
        inbox.move_away(&all, &target).await,
    ] {
        assert!(
            matches!(outcome, Err(ChangeError::TooMany(_))),
            "{outcome:?}"
        );
    }
    let some = inbox.move_away(&all[..100], &target).await.unwrap();
    assert_eq!(some.to.len(), 100);
    assert_eq!(emails_of(&world, BOB).await, 100);
}

#[tokio::test(start_paused = true)]
async fn dur_09_a_damaged_email_is_not_copied_to_another_account() {
    let (world, ..) = three().await;
    world.fill(INBOX, 2).await;
    let mut batch = Batch::new();
    batch.put(key::email(ALICE, EmailId(1)), b"?".to_vec());
    world.engine.commit(batch).await.unwrap();
    let inbox = world.open(INBOX).await;
    let target = target_at(BOB, INBOX, None);
    let refused = inbox.copy(&uids([1, 2]), &target).await;
    let is_damage = matches!(refused, Err(ChangeError::Fault(MailboxFault::Damaged(_))));
    assert!(is_damage, "{refused:?}");
    assert_eq!(inbox.copy(&uids([2]), &target).await.unwrap().to, uids([1]));
}

#[tokio::test(start_paused = true)]
async fn a_guest_changes_the_mailbox_that_his_rights_are_of_or_none() {
    for deletes in [true, false] {
        for race in 0..3 {
            let (world, fault, _) = three().await;
            world.share(ARCHIVE, BOB, "lrx").await;
            world.share(INBOX, BOB, "lk").await;
            let other = world.copy();
            fault.before_commit(
                1,
                Box::pin(async move {
                    let mailboxes = &other.restarted().mailboxes;
                    match race {
                        // Another mailbox has the name now, which he may see, or may not.
                        0 | 1 => {
                            let (archive, sent) = (name("Archive"), name("Sent"));
                            let away = name("Away");
                            mailboxes.rename(ALICE, &archive, &away).await.unwrap();
                            mailboxes.rename(ALICE, &sent, &archive).await.unwrap();
                            if race == 0 {
                                other.share(SENT, BOB, "l").await;
                            }
                        }
                        _ => other.share(ARCHIVE, BOB, "l").await,
                    }
                }),
            );
            let (mailboxes, archive) = (&world.mailboxes, name("Archive"));
            let outcome = match deletes {
                true => mailboxes
                    .delete_as_guest(BOB, ALICE, &archive)
                    .await
                    .map(drop),
                false => {
                    let to = name("Taken");
                    mailboxes.rename_as_guest(BOB, ALICE, &archive, &to).await
                }
            };
            match race {
                1 => assert!(matches!(outcome, Err(ChangeError::Absent)), "{outcome:?}"),
                _ => assert!(
                    matches!(outcome, Err(ChangeError::Forbidden)),
                    "{race} {outcome:?}"
                ),
            }
            let entries = world.mailboxes.list(ALICE).await.unwrap();
            assert_eq!(entries.len(), 6, "{race} {deletes}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_makes_and_adds_while_he_may() {
    let (world, fault, _) = three().await;
    let refusing = |change: AclChange| {
        let other = world.copy();
        fault.before_commit(
            1,
            Box::pin(async move {
                let changed = other.mailboxes.change_acl(ALICE, INBOX, &change).await;
                changed.unwrap();
            }),
        );
    };
    world.share(INBOX, BOB, "lki").await;
    refusing(grant(BOB, "li"));
    let new = name("New");
    let outcome = world.mailboxes.create_as_guest(BOB, ALICE, &new).await;
    assert!(
        matches!(outcome, Err(ChangeError::Forbidden)),
        "{outcome:?}"
    );
    for (rights, left_out) in [("l", false), ("", true)] {
        world.share(INBOX, BOB, "li").await;
        let arrived = world.arrived("text").await;
        refusing(grant(BOB, rights));
        let message = Incoming {
            arrived,
            flags: FlagSet::default(),
            internal_date: Timestamp(1),
        };
        let to = as_guest(BOB, target_at(ALICE, INBOX, None));
        let outcome = world.mailboxes.append_all(&to, vec![message]).await;
        match left_out {
            true => assert!(matches!(outcome, Err(ChangeError::Absent)), "{outcome:?}"),
            false => assert!(
                matches!(outcome, Err(ChangeError::Forbidden)),
                "{outcome:?}"
            ),
        }
    }
    assert_eq!(world.open(INBOX).await.read(Index::len), 0);
}

/// What a guest does with one message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Deed {
    Copy,
    Move,
    Replace,
}

async fn done(world: &World, deed: Deed, from: &Mailbox, to: &Target) -> Result<(), ChangeError> {
    match deed {
        Deed::Copy => from.copy(&uids([1]), to).await.map(drop),
        Deed::Move => from.move_away(&uids([1]), to).await.map(drop),
        Deed::Replace => {
            let message = Incoming {
                arrived: world.arrived("new").await,
                flags: SystemFlags::SEEN.into(),
                internal_date: Timestamp(1),
            };
            let uid = uids([1])[0];
            from.replace(uid, to, message).await.map(drop)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_copies_moves_and_replaces_while_he_may_add() {
    for deed in [Deed::Copy, Deed::Move, Deed::Replace] {
        // From a mailbox of his own, and from another one of the same owner.
        for source in [BOB, ALICE] {
            for (rights, seen) in [
                ("lis", Some(true)),
                ("li", Some(false)),
                ("l", None),
                ("", None),
            ] {
                let (world, fault, _) = three().await;
                world.share(SENT, BOB, "lrte").await;
                let place = if source == BOB { INBOX } else { SENT };
                let arrived = world.arrived("text").await;
                let seen_by_all = options(SystemFlags::SEEN.into(), Timestamp(1));
                let appended = world.mailboxes.append(source, place, arrived, seen_by_all);
                appended.await.unwrap();
                world.share(INBOX, BOB, "lis").await;
                let mut from = world.mailboxes.open(source, place).await.unwrap();
                from.reconsider(BOB).await.unwrap();
                let other = world.copy();
                fault.before_commit(
                    1,
                    Box::pin(async move { other.share(INBOX, BOB, rights).await }),
                );
                let to = as_guest(BOB, target_at(ALICE, INBOX, None));
                let outcome = done(&world, deed, &from, &to).await;
                let case = format!("{deed:?} {source:?} {rights}");
                let added = world.mailboxes.open(ALICE, INBOX).await.unwrap();
                let told = match (seen, outcome) {
                    (None, Err(ChangeError::Absent)) => rights.is_empty(),
                    (None, Err(ChangeError::Forbidden)) => rights == "l",
                    // What is taken in is not held for a second try.
                    (Some(_), Err(ChangeError::Busy)) => deed == Deed::Replace && rights == "li",
                    (Some(seen), Ok(())) => {
                        let system = added.read(|index| index.entry(0).unwrap().system);
                        seen == system.contains(SystemFlags::SEEN)
                    }
                    (_, outcome) => panic!("{case} {outcome:?}"),
                };
                assert!(told, "{case}");
                from.refresh().await.unwrap();
                let left = added.read(Index::len) == 0 || deed == Deed::Copy;
                assert_eq!(from.read(Index::len), usize::from(left), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_takes_messages_away_while_he_may() {
    for deed in [Deed::Move, Deed::Replace] {
        for rights in ["lrt", ""] {
            let (world, fault, _) = three().await;
            world.fill(INBOX, 1).await;
            world.share(INBOX, BOB, "lrte").await;
            let mut theirs = world.open(INBOX).await;
            theirs.reconsider(BOB).await.unwrap();
            let other = world.copy();
            fault.before_commit(
                1,
                Box::pin(async move { other.share(INBOX, BOB, rights).await }),
            );
            let to = target_at(BOB, INBOX, None);
            let outcome = done(&world, deed, &theirs, &to).await;
            match rights {
                "" => assert!(matches!(outcome, Err(ChangeError::Absent)), "{outcome:?}"),
                _ => assert!(
                    matches!(outcome, Err(ChangeError::Forbidden)),
                    "{outcome:?}"
                ),
            }
            assert_eq!(theirs.read(Index::len), 1);
            assert!(world.texts(BOB, INBOX).await.is_empty());
        }
    }
}
