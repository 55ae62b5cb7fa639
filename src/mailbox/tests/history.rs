//! What is gone since a modseq, and STORE of what has not changed since one.

use std::sync::Arc;

use super::*;
use crate::{
    base::ids::ModSeq,
    store::fault::{CommitFault, Fault},
};

const ALL: [(u32, u32); 1] = [(1, u32::MAX)];

async fn gone(mailbox: &Mailbox, since: ModSeq) -> Vec<(u32, u32)> {
    mailbox.gone_since(since, &ALL, &[]).await.unwrap()
}

async fn flag(
    mailbox: &Mailbox,
    which: impl IntoIterator<Item = u32>,
    flags: SystemFlags,
    since: ModSeq,
) -> Result<Stored, ChangeError> {
    let (which, change) = (uids(which), add(flags));
    mailbox
        .store_flags_unless_changed(&which, &change, since)
        .await
}

#[tokio::test(start_paused = true)]
async fn the_log_tells_what_is_gone_since() {
    let world = World::new().await;
    world.fill(INBOX, 9).await;
    let inbox = world.open(INBOX).await;
    let first = inbox.read(Index::modseq);
    assert!(gone(&inbox, ModSeq(1)).await.is_empty());
    inbox.expunge(&uids([2, 3, 9])).await.unwrap();
    let second = inbox.read(Index::modseq);
    assert!(second > first);
    inbox.expunge(&uids([5])).await.unwrap();
    world.fill(INBOX, 1).await;
    let sent = world.open(SENT).await;
    inbox.move_to(&uids([6]), SENT).await.unwrap();
    assert_eq!(gone(&inbox, first).await, [(2, 3), (5, 6), (9, 9)]);
    assert_eq!(gone(&inbox, second).await, [(5, 6)]);
    assert!(gone(&inbox, inbox.read(Index::modseq)).await.is_empty());
    sent.refresh().await.unwrap();
    assert!(gone(&sent, ModSeq(1)).await.is_empty());
    let some = inbox.gone_since(first, &[(3, 5), (9, 20)], &[5]);
    assert_eq!(some.await.unwrap(), [(3, 3), (9, 9)]);
    // Another process reads the same.
    let reopened = world.restarted().open(INBOX).await;
    assert_eq!(gone(&reopened, second).await, [(5, 6)]);
}

#[tokio::test(start_paused = true)]
async fn rfc_7162_3_2_6_behind_the_history_all_that_is_gone_is_told() {
    let world = World::new().await;
    world.fill(INBOX, 5).await;
    let inbox = world.open(INBOX).await;
    inbox.expunge(&uids([1])).await.unwrap();
    let before = inbox.read(Index::modseq);
    inbox.expunge(&uids([3])).await.unwrap();
    assert_eq!(gone(&inbox, before).await, [(3, 3)]);
    for _ in 0..18 {
        world.fill(INBOX, 256).await;
        inbox.refresh().await.unwrap();
        world.mailboxes.write_snapshots().await;
    }
    let later = inbox.read(Index::modseq);
    inbox.expunge(&uids([4, 6])).await.unwrap();
    assert_eq!(gone(&inbox, later).await, [(4, 4), (6, 6)]);
    // Its record is not there any more: more is told, and nothing that is there.
    assert_eq!(gone(&inbox, before).await, [(1, 1), (3, 4), (6, 6)]);
}

#[tokio::test(start_paused = true)]
async fn rfc_7162_3_1_3_what_changed_since_is_left_alone() {
    let world = World::new().await;
    world.fill(INBOX, 3).await;
    let inbox = world.open(INBOX).await;
    let since = inbox.read(Index::modseq);
    let seen = add(SystemFlags::SEEN);
    inbox.store_flags(&uids([2]), &seen).await.unwrap();
    let stored = flag(&inbox, [1, 2, 3, 7], SystemFlags::FLAGGED, since).await;
    let stored = stored.unwrap();
    assert_eq!((stored.changed, stored.refused), (uids([1, 3]), uids([2])));
    assert!(*stored.modseqs.start() > since);
    assert_eq!(*stored.modseqs.end(), inbox.read(Index::modseq));
    let none = flag(&inbox, [1, 2, 3], SystemFlags::SEEN, ModSeq(0));
    assert_eq!(none.await.unwrap().refused, uids([1, 2, 3]));
    // What is so already passes, and nothing is written.
    let now = inbox.read(Index::modseq);
    let again = flag(&inbox, [2], SystemFlags::SEEN, now).await.unwrap();
    assert_eq!((again.changed, again.refused), (uids([]), uids([])));
    assert_eq!(inbox.read(Index::modseq), now);
}

#[tokio::test(start_paused = true)]
async fn a_change_between_the_decision_and_its_commit_is_seen() {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let world = World::over(Arc::clone(&fault) as Arc<dyn Engine>).await;
    world.fill(INBOX, 2).await;
    let inbox = world.open(INBOX).await;
    let since = inbox.read(Index::modseq);
    let other = inbox.clone();
    let faster = async move {
        let seen = add(SystemFlags::SEEN);
        other.store_flags(&uids([1]), &seen).await.unwrap();
    };
    fault.before_commit(1, Box::pin(faster));
    let stored = flag(&inbox, [1, 2], SystemFlags::FLAGGED, since).await;
    let stored = stored.unwrap();
    assert_eq!((stored.changed, stored.refused), (uids([2]), uids([1])));
    // For ever in vain is not tried.
    for nth in 1..=8 {
        fault.fail_commit(nth, CommitFault::Conflict);
    }
    let now = inbox.read(Index::modseq);
    let busy = flag(&inbox, [1], SystemFlags::FLAGGED, now);
    assert!(matches!(busy.await, Err(ChangeError::Busy)));
}

#[tokio::test(start_paused = true)]
async fn rfc_7162_3_1_3_what_could_not_be_done_is_told_beside_what_was() {
    let fault = Arc::new(Fault::new(Arc::new(Memory::new())));
    let world = World::over(Arc::<Fault>::clone(&fault)).await;
    world.fill(INBOX, 5).await;
    let inbox = world.open(INBOX).await;
    let since = inbox.read(Index::modseq);
    for n in 2..2 + limits::ATTEMPTS_MAX as u64 {
        fault.fail_commit(n, CommitFault::Conflict);
    }
    let change = add(SystemFlags::FLAGGED);
    let stored = inbox.store_in_parts(&uids(1..=6), &change, since, 2).await;
    let stored = stored.unwrap();
    assert_eq!(stored.changed, uids([1, 2]));
    assert_eq!(
        stored.refused,
        uids([3, 4, 5]),
        "and none that is not there"
    );
    // Nothing was done: so it is said.
    for n in 1..1 + limits::ATTEMPTS_MAX as u64 {
        fault.fail_commit(n, CommitFault::Conflict);
    }
    let stored = inbox.store_in_parts(&uids(3..=5), &change, since, 2).await;
    assert!(matches!(stored, Err(ChangeError::Busy)), "{stored:?}");
}
