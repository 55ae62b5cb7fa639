//! The sweep: removes what nobody refers to, keeps what somebody does.

use std::pin::pin;

use super::*;
use crate::{
    base::ids::BlobId,
    mailbox::limits::GRACE_WITHOUT_ROOM,
    store::{
        Room,
        fault::Fault,
        owners::{Owners, own_first},
    },
};

async fn blob_of(world: &World, email: u64) -> BlobId {
    let emails = world
        .mailboxes
        .emails(ALICE, &[EmailId(email)])
        .await
        .unwrap();
    emails.into_iter().next().flatten().unwrap().blob
}

async fn has_body(world: &World, blob: BlobId) -> bool {
    world.engine.body(blob, 0..1).await.is_ok()
}

async fn marks(world: &World) -> usize {
    world.keys(key::sweeps()).await.len()
}

#[tokio::test(start_paused = true)]
async fn dur_08_expunged_emails_go_after_the_grace_time_with_their_bodies() {
    let world = World::new().await;
    world.fill(INBOX, 3).await;
    let blobs = [blob_of(&world, 1).await, blob_of(&world, 2).await];
    let inbox = world.open(INBOX).await;
    inbox.expunge(&uids([1])).await.unwrap();
    world.mailboxes.sweep_all().await;
    assert!(
        has_body(&world, blobs[0]).await,
        "sessions may still show it"
    );
    world.sweep().await;
    assert!(!has_body(&world, blobs[0]).await);
    assert!(has_body(&world, blobs[1]).await);
    assert_eq!(emails_of(&world, ALICE).await, 2);
    assert_eq!(marks(&world).await, 0);
    // What is gone is told as gone, not as an error.
    let emails = world.mailboxes.emails(ALICE, &[EmailId(1)]).await.unwrap();
    assert_eq!(emails, [None]);
}

#[tokio::test(start_paused = true)]
async fn copied_and_moved_emails_stay_until_their_last_place_goes() {
    let world = World::new().await;
    world.fill(INBOX, 3).await;
    let inbox = world.open(INBOX).await;
    inbox.copy_to(&uids([1]), ARCHIVE, None).await.unwrap();
    inbox.move_to(&uids([2]), ARCHIVE).await.unwrap();
    inbox.expunge(&uids([1, 3])).await.unwrap();
    world.sweep().await;
    assert_eq!(emails_of(&world, ALICE).await, 2);
    assert_eq!(world.text(EmailId(1)).await, Some(message(0)));
    assert_eq!(world.text(EmailId(2)).await, Some(message(1)));
    let archive = world.open(ARCHIVE).await;
    archive.expunge(&all_uids(&archive)).await.unwrap();
    world.sweep().await;
    assert_eq!(emails_of(&world, ALICE).await, 0);
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_mailbox_leaves_nothing() {
    let world = World::new().await;
    let entry = world
        .mailboxes
        .create(ALICE, &name("x"), None)
        .await
        .unwrap();
    world.fill(entry.id, 300).await;
    let x = world.open(entry.id).await;
    x.copy_to(&uids([5]), INBOX, None).await.unwrap();
    x.expunge(&uids([6])).await.unwrap();
    x.read(|index| x.claim_recent(index, true));
    drop(x);
    world.mailboxes.write_snapshots().await;
    world.mailboxes.delete(ALICE, &name("x")).await.unwrap();
    world.sweep().await;
    assert_eq!(emails_of(&world, ALICE).await, 1);
    assert_eq!(world.text(EmailId(5)).await, Some(message(4)));
    for prefix in [
        key::logs(ALICE, entry.id),
        key::snapshot(ALICE, entry.id),
        key::snapshot_chunks(ALICE, entry.id),
        key::uid(ALICE, entry.id),
        key::expunged(ALICE, entry.id),
        key::recent(ALICE, entry.id),
        key::mailbox(ALICE, entry.id),
        key::sweeps(),
    ] {
        assert_eq!(world.keys(prefix).await, []);
    }
    world.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn dur_10_a_read_that_fails_once_leaves_nothing_of_a_deleted_mailbox_behind() {
    for n in 1.. {
        let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
        let world = World::over(Arc::clone(&fault) as Arc<dyn Engine>).await;
        world.fill(ARCHIVE, 5).await;
        world.mailboxes.write_snapshot_of(ARCHIVE).await.unwrap();
        world.fill(ARCHIVE, 3).await;
        world.fill(INBOX, 1).await;
        world
            .mailboxes
            .delete(ALICE, &name("Archive"))
            .await
            .unwrap();
        tokio::time::advance(Duration::from_secs(601)).await;
        let before = fault.reads();
        fault.fail_read(n);
        world.mailboxes.sweep_all().await;
        let all_passed = fault.reads() - before < n;
        world.mailboxes.sweep_all().await;
        assert_eq!(emails_of(&world, ALICE).await, 1, "read {n}");
        assert_eq!(marks(&world).await, 0, "read {n}");
        for left in [key::logs(ALICE, ARCHIVE), key::snapshot(ALICE, ARCHIVE)] {
            assert_eq!(world.keys(left).await, [], "read {n}");
        }
        if all_passed {
            break;
        }
    }
}

/// Alice and Bob each expunged a message, longer ago than the grace time.
async fn with_expunged_of_two() -> (Arc<Fault>, World) {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let world = World::over(Arc::clone(&fault) as Arc<dyn Engine>).await;
    world.provision(BOB).await;
    for account in [ALICE, BOB] {
        let arrived = world.arrived("x").await;
        let options = options(FlagSet::default(), world.clock.wall());
        let appended = world.mailboxes.append(account, INBOX, arrived, options);
        appended.await.unwrap();
        let inbox = world.mailboxes.open(account, INBOX).await.unwrap();
        inbox.expunge(&uids([1])).await.unwrap();
    }
    tokio::time::advance(Duration::from_secs(601)).await;
    (fault, world)
}

const BOB: AccountId = AccountId(2);

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_read_does_not_keep_others_from_being_swept() {
    // The first read finds the first account; then its marks, its indexes.
    for n in 2..=5 {
        let (fault, world) = with_expunged_of_two().await;
        fault.fail_read(n);
        world.mailboxes.sweep_all().await;
        assert_eq!(world.keys(key::sweeps_of(BOB)).await, [], "read {n}");
        assert_ne!(marks(&world).await, 0, "read {n}");
        assert_eq!(emails_of(&world, BOB).await, 0, "read {n}");
        world.mailboxes.sweep_all().await;
        assert_eq!(marks(&world).await, 0, "read {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bug_met_in_one_account_ends_neither_the_round_nor_the_upkeep() {
    let (fault, world) = with_expunged_of_two().await;
    fault.before_commit(1, Box::pin(async { panic!("on purpose") }));
    let mut upkeep = pin!(world.mailboxes.maintain(std::future::pending()));
    let minute = Duration::from_secs(61);
    assert!(tokio::time::timeout(minute, upkeep.as_mut()).await.is_err());
    assert_ne!(world.keys(key::sweeps_of(ALICE)).await, []);
    assert_eq!(world.keys(key::sweeps_of(BOB)).await, []);
    assert!(tokio::time::timeout(minute, upkeep.as_mut()).await.is_err());
    assert_eq!(marks(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_with_several_owners_goes_with_the_last() {
    let world = World::new().await;
    let bob = AccountId(2);
    world.provision(bob).await;
    let arrived = world.arrived("shared").await;
    let placement = Placement::of(&arrived, world.clock.wall(), FlagSet::default());
    // Twice to one account, once to another, and a queued message.
    let mut batch = Batch::new();
    for (account, mailbox) in [(ALICE, INBOX), (ALICE, SENT), (bob, INBOX)] {
        world
            .mailboxes
            .place(&mut batch, account, mailbox, &placement);
    }
    own_first(&mut batch, placement.blob, 4);
    batch.body(placement.blob, arrived.content);
    world.engine.commit(batch).await.unwrap();
    for mailbox in [INBOX, SENT] {
        world.open(mailbox).await.expunge(&uids([1])).await.unwrap();
    }
    world.sweep().await;
    let owners = Owners::read(&*world.engine, placement.blob).await.unwrap();
    assert_eq!(owners.count(), 2);
    let bobs = world.mailboxes.open(bob, INBOX).await.unwrap();
    bobs.expunge(&uids([1])).await.unwrap();
    world.sweep().await;
    assert!(has_body(&world, placement.blob).await);
    let owners = Owners::read(&*world.engine, placement.blob).await.unwrap();
    let mut batch = Batch::new();
    crate::store::owners::disown(&mut batch, &owners, 1);
    world.engine.commit(batch).await.unwrap();
    assert!(!has_body(&world, placement.blob).await);
    assert_eq!(world.keys(key::body_owners(placement.blob)).await, []);
}

#[tokio::test(start_paused = true)]
async fn facts_stored_once_for_many_come_back_and_go_with_the_body() {
    let world = World::new().await;
    let bob = AccountId(2);
    world.provision(bob).await;
    let arrived = world.arrived("to many").await;
    let facts = arrived.facts.clone();
    let mut placement = Placement::of(&arrived, world.clock.wall(), FlagSet::default());
    let mut batch = Batch::new();
    world.mailboxes.share_facts(&mut batch, &mut placement);
    for account in [ALICE, bob] {
        world
            .mailboxes
            .place(&mut batch, account, INBOX, &placement);
    }
    own_first(&mut batch, placement.blob, 2);
    batch.body(placement.blob, arrived.content);
    world.engine.commit(batch).await.unwrap();
    let shared = key::body_facts(placement.blob);
    for account in [ALICE, bob] {
        let emails = world
            .mailboxes
            .emails(account, &[EmailId(1)])
            .await
            .unwrap();
        assert_eq!(emails[0].as_ref().unwrap().facts, facts);
        assert!(world.engine.get(&shared).await.unwrap().is_some());
        let inbox = world.mailboxes.open(account, INBOX).await.unwrap();
        inbox.expunge(&uids([1])).await.unwrap();
        world.sweep().await;
    }
    assert!(!has_body(&world, placement.blob).await);
    assert_eq!(world.engine.get(&shared).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_leaves_nothing_but_bodies_that_others_own() {
    let world = World::new().await;
    let bob = AccountId(2);
    world.provision(bob).await;
    world.fill(INBOX, 20).await;
    let own_blob = blob_of(&world, 3).await;
    let inbox = world.open(INBOX).await;
    inbox.copy_to(&uids([1, 2]), ARCHIVE, None).await.unwrap();
    inbox.expunge(&uids([5])).await.unwrap();
    let mut batch = Batch::new();
    let removed = world.clock.wall().0.to_be_bytes().to_vec();
    batch.put(key::removed_account(ALICE), removed);
    world.engine.commit(batch).await.unwrap();
    world.mailboxes.sweep_all().await;
    assert!(
        has_body(&world, own_blob).await,
        "sessions may still show it"
    );
    world.sweep().await;
    assert!(!has_body(&world, own_blob).await);
    for prefix in key::mailbox_data(ALICE) {
        assert_eq!(world.keys(prefix).await, []);
    }
    assert_eq!(world.keys(key::removed_accounts()).await, []);
    // A session that is still there cannot bring anything back.
    let seen = add(SystemFlags::SEEN);
    assert!(matches!(
        inbox.store_flags(&uids([1]), &seen).await,
        Err(ChangeError::Absent)
    ));
    let subscribed = world.mailboxes.subscribe(ALICE, &name("x")).await;
    assert!(matches!(subscribed, Err(ChangeError::Absent)));
    let created = world.mailboxes.create(ALICE, &name("x"), None).await;
    assert!(matches!(created, Err(ChangeError::Absent)));
    for prefix in key::mailbox_data(ALICE) {
        assert_eq!(world.keys(prefix).await, []);
    }
    assert_eq!(world.mailboxes.list(bob).await.unwrap().len(), 6);
}

#[tokio::test]
async fn dur_08_a_sweep_among_copies_and_moves_never_removes_what_is_held() {
    let memory: Arc<dyn Engine> = Arc::new(Memory::new());
    let clock = Clock::system();
    let start = || {
        let options = Options {
            grace: Duration::ZERO,
            ..Options::default()
        };
        let random = Random::system();
        let engine = Arc::clone(&memory);
        let mailboxes = Mailboxes::new(Arc::clone(&memory), clock.clone(), random, options);
        World {
            engine,
            clock: clock.clone(),
            mailboxes,
        }
    };
    let world = start();
    world.provision(ALICE).await;
    world.fill(INBOX, 120).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_u32 {
        let world = start();
        tasks.spawn(async move {
            let places = [INBOX, ARCHIVE, SENT];
            for n in 0..60_u32 {
                let from = world.open(places[((task + n) % 3) as usize]).await;
                let to = places[((task * 3 + n / 3) % 3) as usize];
                let all = all_uids(&from);
                let some = all
                    .into_iter()
                    .skip((n * 13 % 40) as usize)
                    .step_by(9)
                    .take(5);
                let some: Vec<_> = some.collect();
                match n % 4 {
                    0 => drop(from.copy_to(&some, to, None).await),
                    1 => drop(from.move_to(&some, to).await),
                    2 => drop(from.expunge(&some).await),
                    _ => drop(
                        world
                            .append(INBOX, &message(1000), FlagSet::default())
                            .await,
                    ),
                }
                tokio::task::yield_now().await;
            }
        });
    }
    for _ in 0..2 {
        let world = start();
        tasks.spawn(async move {
            for _ in 0..80 {
                world.mailboxes.sweep_all().await;
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    let fresh = start();
    for _ in 0..3 {
        fresh.mailboxes.sweep_all().await;
    }
    let mut held = std::collections::BTreeSet::new();
    for mailbox in [INBOX, ARCHIVE, SENT] {
        let opened = fresh.open(mailbox).await;
        held.extend(opened.read(|index| index.emails().to_vec()));
    }
    for email in &held {
        assert!(fresh.text(EmailId(*email)).await.is_some(), "email {email}");
    }
    assert_eq!(emails_of(&fresh, ALICE).await, held.len());
    fresh.assert_usage_is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn accounts_beyond_the_first_hundred_have_their_turn() {
    let world = World::new().await;
    for account in (2..=150).map(AccountId) {
        world.provision(account).await;
        let arrived = world.arrived("x").await;
        let now = world.clock.wall();
        let appended =
            world
                .mailboxes
                .append(account, INBOX, arrived, options(FlagSet::default(), now));
        appended.await.unwrap();
        let inbox = world.mailboxes.open(account, INBOX).await.unwrap();
        inbox.expunge(&uids([1])).await.unwrap();
    }
    world.sweep().await;
    assert_ne!(marks(&world).await, 0);
    world.mailboxes.sweep_all().await;
    assert_eq!(marks(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn dur_07_a_clock_set_back_does_not_stop_the_sweep() {
    let world = World::new().await;
    world.fill(INBOX, 1).await;
    world.open(INBOX).await.expunge(&uids([1])).await.unwrap();
    let set_back = Clock::steered(Timestamp::from_secs(1_000));
    let earlier = World::start(Arc::clone(&world.engine), set_back);
    earlier.mailboxes.sweep_all().await;
    assert_eq!(marks(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn dur_04_without_room_expunged_emails_go_soon() {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let world = World::over(Arc::clone(&fault) as Arc<dyn Engine>).await;
    world.fill(INBOX, 2).await;
    let blob = blob_of(&world, 1).await;
    world.open(INBOX).await.expunge(&uids([1])).await.unwrap();
    let mut upkeep = pin!(world.mailboxes.maintain(std::future::pending()));
    let minute = Duration::from_secs(61);
    assert!(tokio::time::timeout(minute, upkeep.as_mut()).await.is_err());
    assert!(has_body(&world, blob).await, "there is room");

    fault.set_room(Some(Room::Low));
    assert!(tokio::time::timeout(minute, upkeep.as_mut()).await.is_err());
    assert!(!has_body(&world, blob).await);
    // Just expunged: the sessions that show it are told first.
    let blob = blob_of(&world, 2).await;
    world.open(INBOX).await.expunge(&uids([2])).await.unwrap();
    world.mailboxes.sweep_all().await;
    assert!(has_body(&world, blob).await);
    tokio::time::advance(GRACE_WITHOUT_ROOM).await;
    world.mailboxes.sweep_all().await;
    assert!(!has_body(&world, blob).await);
}
