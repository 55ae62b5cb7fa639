//! What goes on to others: forwards with rewritten senders, answers, groups.

use super::*;

/// What MAIL would say for `x@remote.example` of what `out@example.org` passes on.
async fn reverse_path(world: &World) -> String {
    let message = world.message(Origin::Peer, &["out@example.org"], b"A: b\r\n\r\n");
    let message = message.await;
    let id = message.id;
    world.router.accept(message).await.unwrap();
    let stored = world.engine.get(&key::queue_message(id)).await.unwrap();
    let record = MessageRecord::decode(&stored.unwrap()).unwrap();
    assert_eq!(record.sender.to_string(), "<x@remote.example>");
    record.reverse_path().to_string()
}

#[tokio::test(start_paused = true)]
async fn senders_of_what_is_passed_on_are_rewritten_as_the_operator_wants_it() {
    for (enabled, domain, begins, ends) in [
        (true, None, "<SRS0=", "=remote.example=x@example.org>"),
        (
            true,
            Some("srs.example.net"),
            "<SRS0=",
            "=x@srs.example.net>",
        ),
        (false, None, "<x@remote", ".example>"),
    ] {
        let domain = domain.map(|domain| domain.parse().unwrap());
        let rewriting = Rewriting { enabled, domain };
        let world = World::rewriting(Arc::new(Memory::new()), rewriting).await;
        let domain = "example.org".parse().unwrap();
        world.directory.add_domain(&domain).await.unwrap();
        world.alias("out@example.org", &["y@far.example"]).await;
        let path = reverse_path(&world).await;
        assert!(path.starts_with(begins) && path.ends_with(ends), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn reports_to_senders_from_before_a_rotation_come_home() {
    let world = World::new().await;
    world.alias("out@example.org", &["y@far.example"]).await;
    let old = reverse_path(&world).await;
    let old = old.trim_matches(['<', '>']);
    for rotations in 1..=4 {
        world.directory.rotate_rewriting_secret().await.unwrap();
        let new = reverse_path(&world).await;
        assert_ne!(new.trim_matches(['<', '>']), old);
        let found = world.recipient(Origin::Peer, old).await;
        match rotations {
            4 => assert_eq!(found, Err(Refusal::NotRewrittenHere)),
            _ => assert!(found.unwrap().takes_reports_only()),
        }
    }
    // Our own reports need no way back; what is rewritten leads to the sender nevertheless.
    world.directory.reload().await.unwrap();
    let new = reverse_path(&world).await;
    let found = world.recipient(Origin::Ourselves, new.trim_matches(['<', '>']));
    assert!(!found.await.unwrap().is_local());
}

/// Has `x@remote.example` write to alice; answers how many copies there are, as `copies` counts.
async fn written_to_alice(world: &World) -> (usize, usize, usize, usize) {
    let header = b"To: alice@example.org\r\n\r\n";
    let message = world.message(Origin::Peer, &["alice@example.org"], header);
    let mut message = message.await;
    message.header = Bytes::from_static(b"To: alice@example.org\r\n");
    world.router.accept(message).await.unwrap();
    world.copies().await
}

async fn away(world: &World) {
    let now = world.clock.wall();
    let absence = OutOfOffice {
        set: now,
        from: now,
        until: now.plus(Duration::from_secs(30 * 86_400)),
        days: 7,
        subject: "".into(),
        text: "away".into(),
    };
    let set = world.directory.set_out_of_office(ALICE_ID, Some(&absence));
    set.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_remembers_a_thousand_senders_and_answers_nobody_beyond_them() {
    let world = World::new().await;
    away(&world).await;
    let fill = |at: Timestamp| {
        let mut batch = Batch::new();
        for n in 0_u128..1_000 {
            let key = key::answered(ALICE_ID, &n.to_be_bytes());
            batch.put(key, at.0.to_be_bytes().to_vec());
        }
        batch
    };
    world.engine.commit(fill(world.clock.wall())).await.unwrap();
    assert_eq!(written_to_alice(&world).await, (1, 0, 0, 0));
    // DUR-07: what was remembered at a time to come was remembered by a wrong clock.
    let later = world.clock.wall().plus(Duration::from_secs(86_400));
    world.engine.commit(fill(later)).await.unwrap();
    assert_eq!(written_to_alice(&world).await, (2, 0, 0, 1));
    // He is remembered now.
    assert_eq!(written_to_alice(&world).await, (3, 0, 0, 1));
    // Another answer is news to him.
    tokio::time::advance(Duration::from_secs(1)).await;
    away(&world).await;
    assert_eq!(written_to_alice(&world).await, (4, 0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn dur_02_an_answer_that_meets_another_one_is_decided_again() {
    let world = World::new().await;
    away(&world).await;
    world.engine.fail_commit(1, CommitFault::Conflict);
    assert_eq!(written_to_alice(&world).await, (1, 0, 0, 1));
}

const ALICE_ID: AccountId = AccountId(1);

#[tokio::test]
async fn dur_01_a_group_sends_on_in_the_commit_that_accepts() {
    for length in [10_usize, 600_000] {
        for fault in [
            None,
            Some(CommitFault::Conflict),
            Some(CommitFault::CrashBefore),
        ] {
            let world = World::new().await;
            let members = ["alice@example.org", "bob@example.org", "y@remote.example"];
            let group = Group {
                members: members.map(address).to_vec(),
                owners: Vec::new(),
                senders: Senders::Anyone,
            };
            let team = address("team@example.org");
            world.directory.add_group(&team, &group).await.unwrap();
            let body = [b"Subject: x\r\n\r\n".as_slice(), &vec![b'x'; length]].concat();
            let to = ["team@example.org", "carol@example.org"];
            let message = world.message(Origin::Peer, &to, &body).await;
            let edition = message.editions.first().map(|one| &one.arrived).unwrap();
            let (blob, size) = (edition.blob, edition.size);
            let (id, main) = (message.id, message.arrived.blob);
            if let Some(fault) = fault {
                world.engine.fail_commit(1, fault);
            }
            let outcome = world.router.accept(message).await;
            if fault == Some(CommitFault::CrashBefore) {
                assert!(is_fault(&outcome), "{length}");
                continue;
            }
            assert!(outcome.is_ok(), "{length} {fault:?}");
            assert_eq!(world.copies().await, (1, 1, 1, 1));
            let stored = world.engine.body(blob, 0..size).await.unwrap();
            let text = String::from_utf8(stored.to_vec()).unwrap();
            assert!(text.starts_with("Return-Path: <team-bounces@example.org>\r\n"));
            assert!(text.as_bytes().ends_with(&body));
            // Carol and the queue hold the message as it came, alice and bob the group's.
            for (blob, count) in [(main, 2_i64), (blob, 2)] {
                let owners = world.engine.get(&key::body_owners(blob)).await.unwrap();
                assert_eq!(owners.unwrap(), count.to_be_bytes().to_vec());
            }
            let queued = world.engine.get(&key::queue_message(id)).await.unwrap();
            let queued = MessageRecord::decode(&queued.unwrap()).unwrap();
            let bounces = ReversePath::Address(address("team-bounces@example.org"));
            assert_eq!((queued.sender, queued.origin), (bounces, None));
            assert!(queued.head.contains("List-Id: <team.example.org>\r\n"));
        }
    }
}

#[tokio::test]
async fn what_is_for_a_group_alone_is_stored_once() {
    let world = World::new().await;
    let group = Group {
        members: vec![address("bob@example.org")],
        ..Group::default()
    };
    let team = address("team@example.org");
    world.directory.add_group(&team, &group).await.unwrap();
    let bob = Origin::Account(AccountId(2));
    let message = world
        .message(bob, &["team@example.org"], b"Subject: x\r\n\r\n")
        .await;
    let (main, edition) = (message.arrived.blob, message.editions[0].arrived.blob);
    world.router.accept(message).await.unwrap();
    assert_eq!(world.copies().await, (0, 1, 0, 0));
    assert!(world.engine.body(main, 0..1).await.is_err());
    assert!(world.engine.body(edition, 0..1).await.is_ok());
}
