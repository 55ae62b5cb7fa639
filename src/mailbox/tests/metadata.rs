//! Annotations: bounded, counted exactly, gone with their mailbox, damaged one by one.

use std::collections::BTreeMap;

use super::*;

fn entry(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

fn of(mailbox: MailboxId) -> Annotated {
    Annotated {
        account: ALICE,
        mailbox: Some(mailbox),
        viewer: ALICE,
    }
}

impl World {
    async fn annotate(
        &self,
        mailbox: MailboxId,
        changes: &[(&str, Option<&'static str>)],
    ) -> Result<(), ChangeError> {
        let changes: BTreeMap<_, _> = changes
            .iter()
            .map(|(name, value)| (entry(name), value.map(Bytes::from)))
            .collect();
        self.mailboxes.set_metadata(of(mailbox), &changes).await
    }

    async fn annotation(&self, mailbox: MailboxId, name: &str) -> Option<Bytes> {
        let found = self.mailboxes.metadata(of(mailbox), &entry(name)).await;
        found.unwrap()
    }

    async fn annotations_counted(&self) -> u64 {
        let count = self.mailboxes.core.sum(&key::metadata_count(ALICE)).await;
        count.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn private_annotations_are_the_viewers() {
    let world = World::new().await;
    let changes = [("/private/x", Some("mine")), ("/shared/x", Some("ours"))];
    world.annotate(INBOX, &changes).await.unwrap();
    let bob = Annotated {
        viewer: AccountId(9),
        ..of(INBOX)
    };
    for (name, alices, bobs) in [
        ("/private/x", Some("mine"), None),
        ("/shared/x", Some("ours"), Some("ours")),
    ] {
        let name = entry(name);
        let found = world.mailboxes.metadata(of(INBOX), &name).await.unwrap();
        assert_eq!(found, alices.map(Bytes::from));
        let found = world.mailboxes.metadata(bob, &name).await.unwrap();
        assert_eq!(found, bobs.map(Bytes::from));
    }
}

#[tokio::test(start_paused = true)]
async fn lim_27_a_thousand_annotations_and_not_one_more() {
    let world = World::new().await;
    let names: Vec<String> = (0..1_001).map(|n| format!("/private/{n}")).collect();
    let changes: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Some("v")))
        .collect();
    let refused = world.annotate(INBOX, &changes).await;
    assert!(
        matches!(refused, Err(ChangeError::TooMany(_))),
        "{refused:?}"
    );
    assert_eq!(world.annotations_counted().await, 0);
    world.annotate(INBOX, &changes[..1_000]).await.unwrap();
    // Mailboxes share the limit; what is there can be changed.
    let refused = world.annotate(ARCHIVE, &changes[..1]).await;
    assert!(
        matches!(refused, Err(ChangeError::TooMany(_))),
        "{refused:?}"
    );
    world.annotate(INBOX, &changes[..1_000]).await.unwrap();
    world
        .annotate(INBOX, &[("/private/0", None), ("/private/z", Some("v"))])
        .await
        .unwrap();
    assert_eq!(world.annotations_counted().await, 1_000);
    let (mut found, mut from, root) = (0, None, entry("/private"));
    loop {
        let page = world.mailboxes.metadata_below(of(INBOX), &root, from);
        let (page, next) = page.await.unwrap();
        found += page.len();
        from = next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(found, 1_000);
}

#[tokio::test(start_paused = true)]
async fn annotations_go_with_their_mailbox_and_are_counted_no_more() {
    let world = World::new().await;
    let changes = [("/private/x", Some("a")), ("/shared/x", Some("b"))];
    world.annotate(ARCHIVE, &changes).await.unwrap();
    world.annotate(INBOX, &changes).await.unwrap();
    world
        .mailboxes
        .delete(ALICE, &name("Archive"))
        .await
        .unwrap();
    let refused = world.annotate(ARCHIVE, &changes).await;
    assert!(matches!(refused, Err(ChangeError::Absent)), "{refused:?}");
    world
        .mailboxes
        .remove_metadata(ALICE, ARCHIVE)
        .await
        .unwrap();
    assert_eq!(world.annotations_counted().await, 2);
    assert!(
        world
            .keys(key::metadata_of(ALICE, ARCHIVE))
            .await
            .is_empty()
    );
    assert!(world.annotation(INBOX, "/shared/x").await.is_some());
    // Again, as after a crash.
    world
        .mailboxes
        .remove_metadata(ALICE, ARCHIVE)
        .await
        .unwrap();
    assert_eq!(world.annotations_counted().await, 2);
}

#[tokio::test(start_paused = true)]
async fn dur_09_a_damaged_annotation_is_one_that_can_be_set_again() {
    let world = World::new().await;
    let changes = [("/private/x", Some("a")), ("/private/y", Some("b"))];
    world.annotate(INBOX, &changes).await.unwrap();
    let mut batch = Batch::new();
    let damaged = world.keys(key::metadata_of(ALICE, INBOX)).await[0].clone();
    batch.put(damaged, b"\x07rubbish".to_vec());
    world.engine.commit(batch).await.unwrap();
    let found = world
        .mailboxes
        .metadata(of(INBOX), &entry("/private/x"))
        .await;
    assert!(matches!(found, Err(MailboxFault::Damaged(_))), "{found:?}");
    let root = entry("/private");
    let below = world.mailboxes.metadata_below(of(INBOX), &root, None);
    assert_eq!(below.await.unwrap().0.len(), 1);
    world
        .annotate(INBOX, &[("/private/x", Some("c"))])
        .await
        .unwrap();
    assert_eq!(
        world.annotation(INBOX, "/private/x").await,
        Some("c".into())
    );
    assert_eq!(world.annotations_counted().await, 2);
}

#[tokio::test(start_paused = true)]
async fn lim_27_a_guest_uses_up_his_own_annotations() {
    let bob = AccountId(2);
    let world = World::new().await;
    let guests = Annotated {
        viewer: bob,
        ..of(INBOX)
    };
    let set = async |first: i64, behind: i64, value: Option<&'static str>| {
        let entries = (first..behind).map(|n| {
            let name = entry(&format!("/private/{n}"));
            (name, value.map(Bytes::from))
        });
        world
            .mailboxes
            .set_metadata(guests, &entries.collect())
            .await
    };
    let refused = set(0, 1, Some("v")).await;
    assert!(matches!(refused, Err(ChangeError::Busy)), "no such account");
    let mut batch = Batch::new();
    batch.put(key::account(bob), b"somebody".to_vec());
    world.engine.commit(batch).await.unwrap();
    let max = limits::METADATA_GUEST_ENTRIES_MAX;
    set(0, max, Some("v")).await.unwrap();
    let refused = set(max, max + 1, Some("v")).await;
    assert!(
        matches!(refused, Err(ChangeError::TooMany(_))),
        "{refused:?}"
    );
    set(0, 1, None).await.unwrap();
    set(max, max + 1, Some("v")).await.unwrap();
    // The owner has all of his.
    assert_eq!(world.annotations_counted().await, 0);
    let root = entry("/private");
    let below = world.mailboxes.metadata_below(guests, &root, None).await;
    assert_eq!(below.unwrap().0.len(), 100);
    world
        .annotate(INBOX, &[("/private/x", Some("a"))])
        .await
        .unwrap();
    // They stay with INBOX, whose they are.
    let to = name("old");
    world
        .mailboxes
        .rename(ALICE, &name("INBOX"), &to)
        .await
        .unwrap();
    assert_eq!(world.annotations_counted().await, 2);
    let old = world.mailboxes.find(ALICE, &to).await.unwrap().unwrap().id;
    assert_eq!(world.keys(key::metadata_of(ALICE, old)).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guests_annotations_go_with_the_mailbox_and_with_either_account() {
    let bob = AccountId(2);
    for goes in ["mailbox", "owner", "guest"] {
        let world = World::new().await;
        let mut batch = Batch::new();
        batch.put(key::account(bob), b"somebody".to_vec());
        world.engine.commit(batch).await.unwrap();
        let guests = Annotated {
            viewer: bob,
            ..of(ARCHIVE)
        };
        let changes = BTreeMap::from([(entry("/private/x"), Some(Bytes::from("b")))]);
        world
            .mailboxes
            .set_metadata(guests, &changes)
            .await
            .unwrap();
        world
            .annotate(ARCHIVE, &[("/private/x", Some("a"))])
            .await
            .unwrap();
        assert_eq!(world.keys(key::metadata_of(ALICE, ARCHIVE)).await.len(), 3);
        assert_eq!(world.keys(key::annotated_by(bob)).await.len(), 1);
        let left = match goes {
            "mailbox" => {
                let removed = world.mailboxes.remove_metadata(ALICE, ARCHIVE).await;
                removed.unwrap();
                assert_eq!(world.annotations_counted().await, 0);
                0
            }
            removed => {
                let removed = if removed == "owner" { ALICE } else { bob };
                let mut batch = Batch::new();
                let now = world.clock.wall().0.to_be_bytes().to_vec();
                batch.delete(key::account(removed));
                batch.put(key::removed_account(removed), now);
                world.engine.commit(batch).await.unwrap();
                tokio::time::advance(Duration::from_secs(700)).await;
                world.mailboxes.erase_removed().await.unwrap();
                usize::from(goes == "guest")
            }
        };
        let entries = world.keys(key::metadata_of(ALICE, ARCHIVE)).await;
        assert_eq!(entries.len(), left, "{goes}");
        assert_eq!(world.keys(key::annotated_by(bob)).await.len(), 0, "{goes}");
    }
}
