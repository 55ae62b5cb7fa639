//! Names: the first mailboxes, CREATE, DELETE, RENAME, subscriptions.

use super::*;

async fn shown(world: &World) -> Vec<String> {
    let entries = world.mailboxes.list(ALICE).await.unwrap();
    entries.iter().map(|entry| entry.name.to_string()).collect()
}

const FIRST: [&str; 6] = ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"];

#[tokio::test(start_paused = true)]
async fn an_account_begins_with_its_usual_mailboxes_subscribed() {
    let world = World::new().await;
    assert_eq!(shown(&world).await, FIRST);
    let entries = world.mailboxes.list(ALICE).await.unwrap();
    assert_eq!(entries[0].id, INBOX);
    let uses: Vec<_> = entries
        .iter()
        .map(|e| e.special_use.map(SpecialUse::attribute))
        .collect();
    assert_eq!(
        uses,
        [
            None,
            Some("\\Archive"),
            Some("\\Drafts"),
            Some("\\Junk"),
            Some("\\Sent"),
            Some("\\Trash")
        ]
    );
    let subscribed = world.mailboxes.subscriptions(ALICE).await.unwrap();
    assert_eq!(subscribed, FIRST.map(name));
    let found = world.mailboxes.find(ALICE, &name("sent")).await.unwrap();
    assert_eq!(found, None);
    let found = world.mailboxes.find(ALICE, &name("inbox")).await.unwrap();
    assert_eq!(found.as_ref(), Some(&entries[0]));
}

#[tokio::test(start_paused = true)]
async fn create_makes_missing_parents() {
    let world = World::new().await;
    let entry = world
        .mailboxes
        .create(ALICE, &name("a/b/c"), None)
        .await
        .unwrap();
    assert_eq!(entry.name, name("a/b/c"));
    assert_eq!(shown(&world).await[6..], ["a", "a/b", "a/b/c"]);
    assert_eq!(
        world.mailboxes.find(ALICE, &name("a/b/c")).await.unwrap(),
        Some(entry)
    );
    for (text, expected) in [("a/b", "exists"), ("INBOX", "exists")] {
        let error = world
            .mailboxes
            .create(ALICE, &name(text), None)
            .await
            .unwrap_err();
        assert!(matches!(error, ChangeError::Exists), "{expected}");
    }
    let sent = Some(SpecialUse::Sent);
    let error = world
        .mailboxes
        .create(ALICE, &name("Sent 2"), sent)
        .await
        .unwrap_err();
    assert!(matches!(error, ChangeError::SpecialUse));
}

#[tokio::test(start_paused = true)]
async fn dur_08_a_name_used_again_has_a_higher_uid_validity() {
    let world = World::new().await;
    let mut last = 0;
    for _ in 0..5 {
        let entry = world
            .mailboxes
            .create(ALICE, &name("again"), None)
            .await
            .unwrap();
        let opened = world.restarted().open(entry.id).await;
        assert!(opened.uid_validity() > last);
        last = opened.uid_validity();
        world.mailboxes.delete(ALICE, &name("again")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn dur_07_uid_validity_does_not_follow_the_clock() {
    let engine: Arc<dyn Engine> = Arc::new(Memory::new());
    let world = World::over(Arc::clone(&engine)).await;
    let before = world
        .mailboxes
        .create(ALICE, &name("x"), None)
        .await
        .unwrap();
    let before = world.open(before.id).await.uid_validity();
    world.mailboxes.delete(ALICE, &name("x")).await.unwrap();
    let set_back = World::start(engine, Clock::steered(Timestamp::from_secs(5)));
    let after = set_back
        .mailboxes
        .create(ALICE, &name("x"), None)
        .await
        .unwrap();
    let after = set_back.open(after.id).await.uid_validity();
    assert!(after > before);
}

#[tokio::test(start_paused = true)]
async fn what_was_deleted_is_gone_and_its_handles_say_so() {
    let world = World::new().await;
    let entry = world
        .mailboxes
        .create(ALICE, &name("x"), None)
        .await
        .unwrap();
    world.fill(entry.id, 3).await;
    world.fill(INBOX, 1).await;
    let (opened, elsewhere) = (
        world.open(entry.id).await,
        world.restarted().open(entry.id).await,
    );
    world.mailboxes.delete(ALICE, &name("x")).await.unwrap();
    assert_eq!(shown(&world).await, FIRST);
    assert!(matches!(opened.refresh().await, Err(MailboxFault::Deleted)));
    for handle in [opened, elsewhere] {
        let stored = handle
            .store_flags(&uids([1]), &add(SystemFlags::SEEN))
            .await;
        assert!(matches!(stored, Err(ChangeError::Absent)));
        assert!(matches!(
            handle.expunge(&uids([1])).await,
            Err(ChangeError::Absent)
        ));
        assert!(matches!(
            handle.copy_to(&uids([1]), INBOX, None).await,
            Err(ChangeError::Absent)
        ));
        assert!(matches!(
            handle.move_to(&uids([1]), INBOX).await,
            Err(ChangeError::Absent)
        ));
    }
    let inbox = world.open(INBOX).await;
    assert!(matches!(
        inbox.copy_to(&uids([1]), entry.id, None).await,
        Err(ChangeError::Absent)
    ));
    world.assert_usage_is_exact().await;
    assert!(matches!(
        world.mailboxes.delete(ALICE, &name("x")).await,
        Err(ChangeError::Absent)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_parent_is_a_name_as_long_as_there_are_mailboxes_below_it() {
    let world = World::new().await;
    let create = |text: &str| {
        let (name, world) = (name(text), &world);
        async move { world.mailboxes.create(ALICE, &name, None).await }
    };
    let delete = |text: &str| {
        let (name, world) = (name(text), &world);
        async move { world.mailboxes.delete(ALICE, &name).await }
    };
    create("a/b/c").await.unwrap();
    assert!(matches!(delete("inbox").await, Err(ChangeError::Inbox)));
    let before = world.mailboxes.find(ALICE, &name("a")).await.unwrap();
    let before = before.unwrap();
    world.fill(before.id, 3).await;
    let validity = world.open(before.id).await.uid_validity();
    assert_eq!(delete("a").await.unwrap(), before.id);
    world.assert_usage_is_exact().await;
    assert_eq!(shown(&world).await[6..], ["a/b", "a/b/c"]);
    assert!(matches!(delete("a").await, Err(ChangeError::HasChildren)));
    // A name that is there is not made again for one below it, nor may names meet below it.
    create("a/d").await.unwrap();
    create("e/b").await.unwrap();
    assert_eq!(
        shown(&world).await[6..],
        ["a/b", "a/b/c", "a/d", "e", "e/b"]
    );
    let onto = world.mailboxes.rename(ALICE, &name("e"), &name("a")).await;
    assert!(matches!(onto, Err(ChangeError::Exists)));
    let again = create("a").await.unwrap();
    assert!(world.open(again.id).await.uid_validity() > validity);
    delete("a").await.unwrap();
    let (from, to) = (name("a"), name("z"));
    world.mailboxes.rename(ALICE, &from, &to).await.unwrap();
    assert_eq!(
        shown(&world).await[6..],
        ["e", "e/b", "z/b", "z/b/c", "z/d"]
    );
    for text in ["z/b", "z/d", "z/b/c"] {
        delete(text).await.unwrap();
    }
    for text in ["z", "z/b"] {
        assert!(matches!(delete(text).await, Err(ChangeError::Absent)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_accounts_begin_with_has_its_use_again() {
    let world = World::new().await;
    let create = |text: &str, special_use| {
        let (name, world) = (name(text), &world);
        async move { world.mailboxes.create(ALICE, &name, special_use).await }
    };
    for text in ["Trash", "Archive", "Junk", "Sent"] {
        world.mailboxes.delete(ALICE, &name(text)).await.unwrap();
    }
    let trash = create("Trash", None).await.unwrap();
    assert_eq!(trash.special_use, Some(SpecialUse::Trash));
    assert_eq!(create("x/Trash", None).await.unwrap().special_use, None);
    let junk = create("Spam", Some(SpecialUse::Junk)).await.unwrap();
    assert_eq!(junk.special_use, Some(SpecialUse::Junk));
    assert_eq!(create("Junk", None).await.unwrap().special_use, None);
    // A parent too, unless the mailbox below it is to have the use.
    create("Archive/2026", None).await.unwrap();
    let below = create("Sent/all", Some(SpecialUse::Sent)).await.unwrap();
    assert_eq!(below.special_use, Some(SpecialUse::Sent));
    for (text, special_use) in [("Archive", Some(SpecialUse::Archive)), ("Sent", None)] {
        let found = world.mailboxes.find(ALICE, &name(text)).await.unwrap();
        assert_eq!(found.unwrap().special_use, special_use, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn rename_takes_the_inferior_names_along() {
    let world = World::new().await;
    for text in ["a/b/c", "a/d", "ab"] {
        world
            .mailboxes
            .create(ALICE, &name(text), None)
            .await
            .unwrap();
    }
    let before = world
        .mailboxes
        .find(ALICE, &name("a/b/c"))
        .await
        .unwrap()
        .unwrap();
    world.fill(before.id, 1).await;
    world
        .mailboxes
        .subscribe(ALICE, &name("a/d"))
        .await
        .unwrap();
    world
        .mailboxes
        .rename(ALICE, &name("a"), &name("x/y"))
        .await
        .unwrap();
    assert_eq!(
        shown(&world).await[6..],
        ["ab", "x", "x/y", "x/y/b", "x/y/b/c", "x/y/d"]
    );
    let after = world
        .mailboxes
        .find(ALICE, &name("x/y/b/c"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        after,
        Entry {
            name: after.name.clone(),
            ..before
        }
    );
    assert_eq!(world.open(after.id).await.read(Index::len), 1);
    // RFC 3501 6.3.9: the subscription of a name outlives the name.
    let subscribed = world.mailboxes.subscriptions(ALICE).await.unwrap();
    assert!(subscribed.contains(&name("a/d")) && !subscribed.contains(&name("x/y/d")));
    let outcome = |from: &str, to: &str| {
        let (from, to) = (name(from), name(to));
        let world = &world;
        async move { world.mailboxes.rename(ALICE, &from, &to).await }
    };
    assert!(matches!(outcome("a", "z").await, Err(ChangeError::Absent)));
    assert!(matches!(outcome("x", "ab").await, Err(ChangeError::Exists)));
    assert!(matches!(
        outcome("x", "INBOX").await,
        Err(ChangeError::Exists)
    ));
    assert!(matches!(outcome("x", "x/q").await, Err(ChangeError::Name)));
    assert!(matches!(outcome("x", "x").await, Err(ChangeError::Exists)));
    let deep = vec!["d"; 31].join("/");
    assert!(matches!(outcome("x", &deep).await, Err(ChangeError::Name)));
}

#[tokio::test(start_paused = true)]
async fn renaming_inbox_moves_its_messages_and_leaves_it_there() {
    let world = World::new().await;
    world
        .mailboxes
        .create(ALICE, &name("INBOX/kept"), None)
        .await
        .unwrap();
    world.fill(INBOX, 5).await;
    let inbox = world.open(INBOX).await;
    inbox
        .store_flags(&uids([2]), &add(SystemFlags::SEEN))
        .await
        .unwrap();
    world
        .mailboxes
        .rename(ALICE, &name("INBOX"), &name("old/mail"))
        .await
        .unwrap();
    inbox.refresh().await.unwrap();
    assert!(inbox.read(Index::is_empty));
    assert_eq!(inbox.read(Index::uid_next), 6);
    let moved = world
        .mailboxes
        .find(ALICE, &name("old/mail"))
        .await
        .unwrap()
        .unwrap();
    for world in [&world, &world.restarted()] {
        let moved = world.open(moved.id).await;
        assert_eq!((moved.read(Index::len), moved.read(Index::unseen)), (5, 4));
    }
    assert!(
        world
            .mailboxes
            .find(ALICE, &name("INBOX/kept"))
            .await
            .unwrap()
            .is_some()
    );
    world.assert_usage_is_exact().await;
    // Once more, with nothing in it.
    world
        .mailboxes
        .rename(ALICE, &name("INBOX"), &name("empty"))
        .await
        .unwrap();
    assert!(
        world
            .mailboxes
            .find(ALICE, &name("empty"))
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_names() {
    let world = World::new().await;
    let long = name(&vec!["l".repeat(240); 4].join("/"));
    world.mailboxes.subscribe(ALICE, &long).await.unwrap();
    world.mailboxes.subscribe(ALICE, &long).await.unwrap();
    world
        .mailboxes
        .unsubscribe(ALICE, &name("Junk"))
        .await
        .unwrap();
    world
        .mailboxes
        .unsubscribe(ALICE, &name("never"))
        .await
        .unwrap();
    let subscribed = world.mailboxes.subscriptions(ALICE).await.unwrap();
    let expected = ["INBOX", "Archive", "Drafts", "Sent", "Trash"].map(name);
    assert_eq!(subscribed, [&expected[..], &[long]].concat());
}

#[tokio::test(start_paused = true)]
async fn lim_23_subscriptions_are_bounded() {
    let world = World::new().await;
    let mut batch = Batch::new();
    for n in 0..limits::SUBSCRIPTIONS_MAX - FIRST.len() {
        let name = name(&format!("s{n}"));
        let value = entry::subscription_value(&name);
        batch.put(entry::subscription_key(ALICE, &name), value);
    }
    world.engine.commit(batch).await.unwrap();
    let outcome = world.mailboxes.subscribe(ALICE, &name("one more")).await;
    assert!(matches!(
        outcome,
        Err(ChangeError::TooMany("subscriptions"))
    ));
    world.mailboxes.subscribe(ALICE, &name("s5")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn lim_23_an_account_has_at_most_10000_mailboxes() {
    let world = World::new().await;
    // As create would have made them, but all at once.
    let first = u64::try_from(FIRST.len()).unwrap() + 1;
    let last = u64::try_from(limits::MAILBOXES_MAX).unwrap() - 1;
    let mut batch = Batch::new();
    let modseq = batch.take_one(key::modseq(ALICE));
    let count = u32::try_from(last - first + 1).unwrap();
    batch.take(key::mailbox_counter(ALICE), count.try_into().unwrap());
    for id in (first..=last).map(MailboxId) {
        let name = name(&format!("m/{id}"));
        let record = entry::MailboxRecord::encode(1, None, modseq);
        batch.put(key::mailbox(ALICE, id), record);
        batch.put(entry::name_key(ALICE, &name), entry::name_value(id, &name));
    }
    world.engine.commit(batch).await.unwrap();
    let create = |text: &str| {
        let name = name(text);
        let world = &world;
        async move { world.mailboxes.create(ALICE, &name, None).await }
    };
    assert!(matches!(
        create("p/q").await,
        Err(ChangeError::TooMany("mailboxes"))
    ));
    create("last").await.unwrap();
    assert!(matches!(
        create("more").await,
        Err(ChangeError::TooMany("mailboxes"))
    ));
    assert_eq!(
        world.mailboxes.list(ALICE).await.unwrap().len(),
        limits::MAILBOXES_MAX
    );
}

#[tokio::test(start_paused = true)]
async fn names_created_at_the_same_time_are_made_once() {
    let world = World::new().await;
    let other = world.restarted();
    let (a, b) = (name("a"), name("b"));
    let (junk, spam) = (name("Junk"), name("Spam"));
    let outcomes = tokio::join!(
        world.mailboxes.create(ALICE, &a, None),
        other.mailboxes.create(ALICE, &a, None),
        other.mailboxes.create(ALICE, &b, None),
        world.mailboxes.rename(ALICE, &junk, &spam),
    );
    assert_eq!(
        [outcomes.0.is_ok(), outcomes.1.is_ok()]
            .iter()
            .filter(|ok| **ok)
            .count(),
        1
    );
    let ids = world
        .mailboxes
        .list(ALICE)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.id);
    let mut ids: Vec<_> = ids.collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}
