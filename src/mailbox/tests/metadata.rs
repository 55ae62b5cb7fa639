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
