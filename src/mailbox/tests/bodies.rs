//! Bodies on their way in and out: staging, the budget, what is found in passing.

use super::*;
use crate::{
    base::{limits::BODY_MEMORY_BYTES_MAX, pieces::Pieces},
    mail::facts::Facts,
};

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
        .append(ALICE, INBOX, arrived, options(FlagSet::default(), now));
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
        let now = world.clock.wall();
        let appended =
            world
                .mailboxes
                .append(ALICE, INBOX, arrived, options(FlagSet::default(), now));
        let id = EmailId(appended.await.unwrap().uid.number().into());
        let emails = world.mailboxes.emails(ALICE, &[id]).await.unwrap();
        let facts = Facts::decode(&emails[0].as_ref().unwrap().facts).unwrap();
        assert_eq!(facts.size, text.len() as u64);
        assert!(facts.envelope.starts_with(b"(NIL \"a\""));
    }
}

/// RFC 5321 4.4, RFC 8601 4: what is decided at the end stands first.
#[tokio::test(start_paused = true)]
async fn fields_put_before_a_whole_message_are_part_of_it() {
    let world = World::new().await;
    let short = "Return-Path: <>\r\nReceived: by b; date\r\n".to_owned();
    let long = short.clone() + &"X: y\r\n".repeat(1_000);
    let small = "Subject: a\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nx\r\n".to_owned();
    let large = small.clone() + &"0123456789abcd\r\n".repeat(BODY_MEMORY_BYTES_MAX / 8);
    for (head, text) in [
        (&short, &String::new()),
        (&short, &small),
        (&short, &large),
        (&long, &small),
        (&long, &large),
    ] {
        let whole = head.clone() + text;
        let mut expected = world.mailboxes.intake();
        expected.feed(Bytes::from(whole.clone())).await.unwrap();
        let expected = expected.finish().await.unwrap();
        let mut intake = world.mailboxes.intake();
        for piece in text.as_bytes().chunks(10_000) {
            intake.feed(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let head = Bytes::from(head.clone());
        let arrived = intake.finish_behind(head).await.unwrap();
        assert_eq!(arrived.size, whole.len() as u64);
        assert_eq!(arrived.crlf_missing, 0);
        assert_eq!(arrived.facts, expected.facts);
        let (blob, now) = (arrived.blob, world.clock.wall());
        let options = options(FlagSet::default(), now);
        let appended = world.mailboxes.append(ALICE, INBOX, arrived, options);
        appended.await.unwrap();
        let mut pieces = world.mailboxes.body(blob, 0..whole.len() as u64);
        let mut read = Vec::new();
        while let Some(piece) = pieces.next().await.unwrap() {
            read.extend_from_slice(&piece);
        }
        assert!(read == whole.as_bytes(), "{} bytes", whole.len());
    }
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
        let appended =
            world
                .mailboxes
                .append(ALICE, INBOX, arrived, options(FlagSet::default(), date));
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
    inbox
        .copy_to(&all_uids(&inbox), ARCHIVE, None)
        .await
        .unwrap();
    world.mailboxes.write_snapshot_of(ARCHIVE).await.unwrap();
    assert_eq!(missing(&world.restarted().open(ARCHIVE).await), expected);
}

/// A message may ask for sixteen of them.
#[tokio::test(start_paused = true)]
async fn lim_37_copies_of_a_body_for_groups_are_counted() {
    let mut world = World::new().await;
    let (budget, editions) = (100 * 1024, 6);
    world.mailboxes = with_budget(&world, budget);
    let memory = world.mailboxes.core.memory.clone();
    let text = message(1).repeat(800);
    let mut intake = world.mailboxes.intake_for(editions);
    intake.feed(text.clone().into()).await.unwrap();
    let heads = (0..editions).map(|n| Bytes::from(format!("List: {n}\r\n")));
    let heads: Vec<_> = heads.collect();
    let finished = intake.finish_editions(Bytes::new(), heads.clone()).await;
    let (main, copies) = finished.unwrap();
    let all = || std::iter::once(&main).chain(&copies);
    let in_memory = all().filter_map(|arrived| match &arrived.content {
        crate::store::Content::Bytes(bytes) => Some(bytes.len()),
        crate::store::Content::Staged(_) => None,
    });
    let held: usize = in_memory.sum();
    let free = limits::BODY_BYTES_FREE;
    assert_eq!(held, budget - memory.free_bytes() + free, "all is counted");
    assert!((2 * text.len()..=budget).contains(&held), "{held}");
    drop(main);
    for (n, (arrived, head)) in copies.into_iter().zip(heads).enumerate() {
        let options = options(FlagSet::default(), world.clock.wall());
        let appended = world.mailboxes.append(ALICE, INBOX, arrived, options);
        appended.await.unwrap();
        let stored = world.text(EmailId(n as u64 + 1)).await.unwrap();
        assert_eq!(
            stored,
            std::str::from_utf8(&head).unwrap().to_owned() + &text
        );
    }
    assert_eq!(memory.free_bytes(), budget, "all of it came back");
}

fn with_budget(world: &World, budget: usize) -> Mailboxes {
    let settings = Options {
        body_memory_bytes: budget,
        ..Options::default()
    };
    let (engine, clock) = (Arc::clone(&world.engine), world.clock.clone());
    Mailboxes::new(engine, clock, Random::system(), settings)
}

#[tokio::test(start_paused = true)]
async fn lim_37_bodies_beyond_the_budget_go_to_the_store_and_nothing_waits_for_ever() {
    let mut world = World::new().await;
    let budget = 100 * 1024;
    world.mailboxes = with_budget(&world, budget);
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
        let appended =
            world
                .mailboxes
                .append(ALICE, INBOX, arrived, options(FlagSet::default(), date));
        appended.await.unwrap();
        assert_eq!(
            world.text(EmailId(n as u64 + 1)).await.unwrap(),
            text(n)[..60_000]
        );
    }
    assert_eq!(memory.free_bytes(), budget, "all of it came back");
}
