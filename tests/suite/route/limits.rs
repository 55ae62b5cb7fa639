//! What is refused for now: too many recipients, no place, conflicts; and that nothing is lost
//! by it.

use super::*;

#[tokio::test]
async fn a_conflict_every_time_ends_as_a_refusal_for_now() {
    let world = World::new().await;
    let message = world
        .message(Origin::Peer, &["bob@example.org"], b"x")
        .await;
    for n in 1..100 {
        world.engine.fail_commit(n, CommitFault::Conflict);
    }
    let outcome = world.router.accept(message).await;
    assert_eq!(refusal(outcome), Some(Refusal::Changed));
}

#[tokio::test]
async fn a_staged_body_survives_a_conflict() {
    let world = World::new().await;
    let body = b"0123456789abcdef".repeat(60_000);
    let message = world
        .message(Origin::Peer, &["bob@example.org"], &body)
        .await;
    let (blob, size) = (message.arrived.blob, message.arrived.size);
    world.engine.fail_commit(1, CommitFault::Conflict);
    world.router.accept(message).await.unwrap();
    assert_eq!(world.engine.body(blob, 0..size).await.unwrap(), body);
}

#[tokio::test]
async fn lim_14_five_hundred_recipients_fit_into_one_commit_whatever_their_facts() {
    let world = World::new().await;
    let domain = "many.example".parse().unwrap();
    world.directory.add_domain(&domain).await.unwrap();
    let mut to = Vec::new();
    for n in 0..500 {
        to.push(format!("m{n}@many.example"));
        world.add(&to[n]).await;
    }
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    for (round, facts) in [(1, 500), (2, 1_500), (3, FACTS_BYTES_MAX)] {
        let mut message = world.message(Origin::Peer, &to, b"x").await;
        message.arrived.facts = Bytes::from(vec![b'f'; facts]);
        world.router.accept(message).await.unwrap();
        for account in [4, 250, 503] {
            let id = AccountId(account);
            assert_eq!(world.inbox(account).await, round);
            let mailbox = world.mailboxes.open(id, INBOX).await.unwrap();
            let email = mailbox.read(|index| index.entry(round - 1).unwrap().email);
            let emails = world.mailboxes.emails(id, &[email]).await.unwrap();
            assert_eq!(emails[0].as_ref().unwrap().facts.len(), facts);
        }
    }
}

#[tokio::test]
async fn ten_thousand_copies_are_one_commit_and_more_are_refused_not_split() {
    let world = World::new().await;
    let mut message = world.message(ALICE, &["bob@example.org"], b"x").await;
    for n in 0..10 {
        let members: Vec<String> = (0..1000)
            .map(|m| format!("m{n}-{m}@remote.example"))
            .collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let list = format!("list{n}@example.org");
        world.alias(&list, &members).await;
        message
            .targets
            .push(world.recipient(ALICE, &list).await.unwrap());
    }
    // One account and ten thousand elsewhere are not even tried.
    let composed = world.router.compose(&mut Batch::new(), &message);
    assert_eq!(composed.err(), Some(Refusal::TooManyCopies));
    // A thousand less are one commit.
    message.targets.pop();
    world.router.accept(message).await.unwrap();
    assert_eq!(world.copies().await, (0, 1, 0, 9_000));
}

#[tokio::test]
async fn rly_02_an_account_over_its_quota_is_refused_for_now() {
    let world = World::new().await;
    let (bob, to) = (AccountId(2), "bob@example.org");
    world.directory.set_quota(bob, 10).await.unwrap();
    // While there is any room, a message is taken whole.
    let message = world.message(Origin::Peer, &[to], b"nine byte").await;
    world.router.accept(message).await.unwrap();
    let message = world.message(Origin::Peer, &[to], b"too much by far").await;
    world.router.accept(message).await.unwrap();
    for (from, expected) in [
        (Origin::Peer, Err(Refusal::OverQuota)),
        (ALICE, Err(Refusal::OverQuota)),
        (Origin::Ourselves, Ok(true)),
    ] {
        let taken = world
            .recipient(from, to)
            .await
            .map(|target| target.is_local());
        assert_eq!(taken, expected);
    }
    // A list is not refused for one of its members, and he gets his copy.
    world
        .alias("all@example.org", &["alice@example.org", "bob@example.org"])
        .await;
    world.alias("him@example.org", &["bob@example.org"]).await;
    let message = world
        .message(Origin::Peer, &["all@example.org"], b"x")
        .await;
    world.router.accept(message).await.unwrap();
    assert_eq!(world.copies().await, (1, 3, 0, 0));
    let alone = world.recipient(Origin::Peer, "him@example.org").await;
    assert_eq!(alone.unwrap_err(), Refusal::OverQuota);
    // Room again, mail again.
    world.directory.set_quota(bob, 1_000).await.unwrap();
    assert!(world.recipient(Origin::Peer, to).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn q_08_an_account_sends_to_so_many_recipients_in_an_hour() {
    let world = World::new().await;
    let to: Vec<String> = (0..20).map(|n| format!("x{n}@remote.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let message = world.message(ALICE, &to, b"x").await;
    world.router.accept(message).await.unwrap();
    let remote = "y@remote.example";
    let refusal = world.recipient(ALICE, remote).await.unwrap_err();
    assert!(matches!(refusal, Refusal::TooFast(full) if full.per_hour == 20));
    let said = refusal.to_string();
    assert!(
        said.ends_with("20 elsewhere in an hour; again in 1 minute"),
        "{said}"
    );
    // Others, and recipients here, do not count.
    for (from, to) in [
        (ALICE, "bob@example.org"),
        (Origin::Account(AccountId(2)), remote),
        (Origin::Ourselves, remote),
    ] {
        assert!(world.recipient(from, to).await.is_ok(), "{from:?} {to}");
    }
    tokio::time::advance(Duration::from_secs(181)).await;
    assert!(world.recipient(ALICE, remote).await.is_ok());
}

#[tokio::test]
async fn dur_04_a_full_disk_is_said_at_the_recipient_and_is_over_without_a_restart() {
    let world = World::new().await;
    world.engine.set_room(Some(Room::Low));
    assert_eq!(world.router.room(), Room::Low);
    for (from, to) in [
        (Origin::Peer, "bob@example.org"),
        (ALICE, "x@remote.example"),
    ] {
        assert_eq!(
            world.recipient(from, to).await.unwrap_err(),
            Refusal::NoRoom
        );
    }
    world.engine.set_room(None);
    assert!(
        world
            .recipient(Origin::Peer, "bob@example.org")
            .await
            .is_ok()
    );
}
