//! Access control lists as they are stored, and COPY and MOVE between accounts.

use super::*;
use crate::store::{
    fault::{CommitFault, Fault},
    owners::Owners,
};

const BOB: AccountId = AccountId(2);
const CAROL: AccountId = AccountId(3);

/// A world with three accounts that the directory knows.
async fn three() -> (World, Arc<Fault>, Arc<dyn Engine>) {
    let memory: Arc<dyn Engine> = Arc::new(Memory::new());
    let fault = Arc::new(Fault::new(Arc::clone(&memory)));
    let world = World::over(Arc::<Fault>::clone(&fault)).await;
    world.provision(BOB).await;
    world.provision(CAROL).await;
    for account in [ALICE, BOB, CAROL] {
        let mut batch = Batch::new();
        batch.put(key::account(account), b"somebody".to_vec());
        world.engine.commit(batch).await.unwrap();
    }
    (world, fault, memory)
}

fn grant(who: AccountId, rights: &str) -> AclChange {
    AclChange {
        who: Identifier::Account(who),
        negative: false,
        mode: AclMode::Replace,
        rights: Rights::parse(rights).unwrap(),
    }
}

impl World {
    async fn share(&self, mailbox: MailboxId, who: AccountId, rights: &str) {
        let change = grant(who, rights);
        self.mailboxes
            .change_acl(ALICE, mailbox, &change)
            .await
            .unwrap();
    }

    /// What `user` sees of others: owner, name and rights.
    async fn seen_by(&self, user: AccountId) -> Vec<(AccountId, String, String)> {
        let shared = self.mailboxes.shared_with(user).await.unwrap();
        let shown = shared.into_iter().map(|shared| {
            let name = shared.entry.name.as_str().to_owned();
            (shared.owner, name, shared.rights.to_string())
        });
        shown.collect()
    }

    /// Everything that is stored of lists.
    async fn lists(&self) -> usize {
        let mut count = 0;
        for account in [ALICE, BOB, CAROL] {
            count += self.keys(key::acls(account)).await.len();
        }
        for grantee in 0..4 {
            count += self.keys(key::grants(grantee)).await.len();
        }
        count
    }

    async fn remove(&self, account: AccountId) {
        let mut batch = Batch::new();
        let now = self.clock.wall();
        batch.delete(key::account(account));
        batch.put(key::removed_account(account), now.0.to_be_bytes().to_vec());
        self.engine.commit(batch).await.unwrap();
        tokio::time::advance(Duration::from_secs(700)).await;
        self.mailboxes.erase_removed().await.unwrap();
    }

    /// How many owners the body of an email has.
    async fn owners(&self, account: AccountId, email: u64) -> i64 {
        let emails = self
            .mailboxes
            .emails(account, &[EmailId(email)])
            .await
            .unwrap();
        let blob = emails[0].as_ref().unwrap().blob;
        Owners::read(&*self.engine, blob).await.unwrap().count()
    }

    async fn texts(&self, account: AccountId, mailbox: MailboxId) -> Vec<String> {
        let opened = self.mailboxes.open(account, mailbox).await.unwrap();
        let ids: Vec<EmailId> =
            opened.read(|index| index.emails().iter().copied().map(EmailId).collect());
        let mut texts = Vec::new();
        for email in self.mailboxes.emails(account, &ids).await.unwrap() {
            let email = email.unwrap();
            let body = self.engine.body(email.blob, 0..email.size).await.unwrap();
            texts.push(String::from_utf8(body.to_vec()).unwrap());
        }
        texts
    }

    async fn assert_usage_of(&self, account: AccountId) {
        let fresh = self.restarted();
        let mut usage = Usage::default();
        for entry in fresh.mailboxes.list(account).await.unwrap() {
            let mailbox = fresh.mailboxes.open(account, entry.id).await.unwrap();
            usage.bytes += mailbox.read(Index::bytes);
            usage.messages += mailbox.read(Index::len) as u64;
        }
        assert_eq!(fresh.mailboxes.usage(account).await.unwrap(), usage);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_given_rights_sees_the_mailbox_and_nobody_else() {
    let (world, ..) = three().await;
    world.share(SENT, BOB, "lr").await;
    world.share(ARCHIVE, BOB, "ri").await;
    assert_eq!(
        world.seen_by(BOB).await,
        [(ALICE, "Sent".into(), "lr".into())]
    );
    assert_eq!(world.seen_by(CAROL).await, []);
    assert_eq!(world.seen_by(ALICE).await, []);
    let rights = world.mailboxes.rights(BOB, ALICE, ARCHIVE).await.unwrap();
    assert_eq!(rights.to_string(), "ri");
    let mut everybody = grant(BOB, "lrp");
    everybody.who = Identifier::Anyone;
    world
        .mailboxes
        .change_acl(ALICE, SENT, &everybody)
        .await
        .unwrap();
    let mut not_bob = grant(BOB, "r");
    not_bob.negative = true;
    world
        .mailboxes
        .change_acl(ALICE, SENT, &not_bob)
        .await
        .unwrap();
    assert_eq!(
        world.seen_by(BOB).await,
        [(ALICE, "Sent".into(), "lp".into())]
    );
    assert_eq!(
        world.seen_by(CAROL).await,
        [(ALICE, "Sent".into(), "lrp".into())]
    );
    assert_eq!(world.seen_by(ALICE).await, [], "one's own is not another's");
    let owner = world.mailboxes.rights(ALICE, ALICE, SENT).await.unwrap();
    assert_eq!(owner, Rights::ALL);
}

#[tokio::test(start_paused = true)]
async fn lists_follow_their_mailboxes() {
    let (world, ..) = three().await;
    let mailboxes = &world.mailboxes;
    let work = mailboxes.create(ALICE, &name("Work"), None).await.unwrap();
    world.share(work.id, BOB, "lrk").await;
    // RFC 4314 4: what is made below has the list of what is above; what is at the top has none.
    mailboxes
        .create(ALICE, &name("Work/a/b"), None)
        .await
        .unwrap();
    world.share(INBOX, BOB, "lk").await;
    mailboxes
        .create(ALICE, &name("Private"), None)
        .await
        .unwrap();
    let names = |seen: Vec<(AccountId, String, String)>| {
        let mut names: Vec<String> = seen.into_iter().map(|(_, name, _)| name).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(world.seen_by(BOB).await),
        ["INBOX", "Work", "Work/a", "Work/a/b"]
    );
    // To others INBOX stands above all.
    mailboxes
        .create_as_guest(BOB, ALICE, &name("New"))
        .await
        .unwrap();
    assert!(names(world.seen_by(BOB).await).contains(&"New".to_owned()));
    mailboxes
        .rename(ALICE, &name("Work"), &name("Private/Work"))
        .await
        .unwrap();
    mailboxes.delete(ALICE, &name("New")).await.unwrap();
    assert_eq!(
        names(world.seen_by(BOB).await),
        [
            "INBOX",
            "Private/Work",
            "Private/Work/a",
            "Private/Work/a/b"
        ]
    );
    for text in ["Private/Work/a/b", "Private/Work/a", "Private/Work"] {
        mailboxes.delete(ALICE, &name(text)).await.unwrap();
    }
    world.share(INBOX, BOB, "").await;
    assert_eq!(world.lists().await, 0);
    assert!(matches!(
        mailboxes
            .rename_as_guest(BOB, ALICE, &name("INBOX"), &name("x"))
            .await,
        Err(ChangeError::Absent)
    ));
}

#[tokio::test(start_paused = true)]
async fn a_removed_account_leaves_no_rights_on_either_side() {
    for removed in [ALICE, BOB] {
        let (world, ..) = three().await;
        world.share(SENT, BOB, "lr").await;
        world.share(SENT, CAROL, "lr").await;
        world.share(ARCHIVE, BOB, "lr").await;
        world.remove(removed).await;
        assert_eq!(world.seen_by(BOB).await, []);
        match removed {
            ALICE => assert_eq!(world.lists().await, 0),
            _ => {
                assert_eq!(world.lists().await, 2);
                assert_eq!(world.seen_by(CAROL).await.len(), 1);
                let again = world
                    .mailboxes
                    .change_acl(ALICE, SENT, &grant(BOB, "l"))
                    .await;
                assert!(matches!(again, Err(ChangeError::Absent)), "{again:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lim_23_what_others_share_is_shown_up_to_a_thousand() {
    let (world, ..) = three().await;
    let mut batch = Batch::new();
    let acl = Acl::default()
        .changed(&grant(BOB, "lr"))
        .ok()
        .unwrap()
        .encode();
    for n in 100..=limits::SHARED_MAX as u64 + 100 {
        let id = MailboxId(n);
        batch.put(key::acl(ALICE, id), acl.clone());
        batch.put(
            key::name_of(ALICE, id),
            entry::label(&name(&format!("m{n}"))),
        );
        batch.put(key::grant(BOB.0, ALICE, id), vec![1]);
    }
    world.engine.commit(batch).await.unwrap();
    assert_eq!(world.seen_by(BOB).await.len(), limits::SHARED_MAX);
    let last = MailboxId(limits::SHARED_MAX as u64 + 100);
    let rights = world.mailboxes.rights(BOB, ALICE, last).await.unwrap();
    assert_eq!(rights.to_string(), "lr", "by its name it is reached");
}

/// Grants of `owner` on so many mailboxes that are there by their lists alone.
async fn crowd(world: &World, owner: AccountId, who: Identifier, rights: &str, count: u64) {
    for first in (0..count).step_by(1_000) {
        let mut batch = Batch::new();
        let mut change = grant(BOB, rights);
        change.who = who;
        let acl = Acl::default().changed(&change).ok().unwrap().encode();
        for n in first..count.min(first + 1_000) {
            let id = MailboxId(1_000 + n);
            batch.put(key::acl(owner, id), acl.clone());
            let label = entry::label(&name(&format!("m{n}")));
            batch.put(key::name_of(owner, id), label);
            batch.put(key::grant(who.number(), owner, id), vec![1]);
        }
        world.engine.commit(batch).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn lim_23_nobody_hides_what_others_share() {
    let bob = Identifier::Account(BOB);
    for (who, rights) in [
        (bob, "lr"),
        (bob, "r"),
        (Identifier::Anyone, "lr"),
        (Identifier::Anyone, "r"),
    ] {
        let (world, ..) = three().await;
        // As many mailboxes as an account has; it stands before the others.
        crowd(&world, ALICE, who, rights, 10_000).await;
        let mut everybody = grant(BOB, "lrs");
        for identifier in [bob, Identifier::Anyone] {
            everybody.who = identifier;
            let mailbox = if identifier == bob { SENT } else { ARCHIVE };
            let changed = world.mailboxes.change_acl(CAROL, mailbox, &everybody);
            changed.await.unwrap();
        }
        let seen = world.seen_by(BOB).await;
        let carols = seen.iter().filter(|(owner, ..)| *owner == CAROL);
        assert_eq!(carols.count(), 2, "{who:?} {rights}");
        let expected = if rights == "lr" {
            limits::SHARED_MAX
        } else {
            2
        };
        assert_eq!(seen.len(), expected, "{who:?} {rights}");
    }
}

#[tokio::test(start_paused = true)]
async fn lim_23_grants_are_looked_at_up_to_a_number() {
    let (world, fault, _) = three().await;
    crowd(&world, ALICE, Identifier::Account(BOB), "r", 10_000).await;
    let before = fault.reads();
    assert_eq!(world.seen_by(BOB).await, []);
    let reads = fault.reads() - before;
    let pages = 50;
    assert!(reads <= limits::SHARED_GRANTS_MAX as u64 + pages, "{reads}");
}

#[tokio::test(start_paused = true)]
async fn dur_10_a_damaged_list_gives_nobody_anything() {
    let (world, ..) = three().await;
    world.share(SENT, BOB, "lr").await;
    let mut batch = Batch::new();
    batch.put(key::acl(ALICE, SENT), b"\x01\x05".to_vec());
    world.engine.commit(batch).await.unwrap();
    assert_eq!(world.seen_by(BOB).await, []);
    assert_eq!(
        world.mailboxes.rights(BOB, ALICE, SENT).await.unwrap(),
        Rights::NONE
    );
    world.share(SENT, BOB, "lr").await;
    assert_eq!(world.seen_by(BOB).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handle_does_only_what_its_rights_allow() {
    let (world, ..) = three().await;
    world.fill(INBOX, 2).await;
    let open = async |rights: &str| {
        let rights = Rights::parse(rights).unwrap();
        world
            .mailboxes
            .open_with(ALICE, INBOX, rights)
            .await
            .unwrap()
    };
    let replace = FlagChange {
        mode: FlagMode::Replace,
        flags: FlagSet::new(
            SystemFlags::SEEN.union(SystemFlags::DELETED),
            vec![Keyword::parse("a").unwrap()],
        ),
    };
    let reader = open("lr").await;
    let target = target_at(BOB, INBOX, None);
    let forbidden = |outcome: Result<(), ChangeError>| {
        assert!(
            matches!(outcome, Err(ChangeError::Forbidden)),
            "{outcome:?}"
        );
    };
    forbidden(reader.store_flags(&uids([1]), &replace).await.map(drop));
    forbidden(reader.expunge(&uids([1])).await.map(drop));
    for few in ["lr", "lre", "lrt", "te"] {
        forbidden(
            open(few)
                .await
                .move_away(&uids([1]), &target)
                .await
                .map(drop),
        );
    }
    forbidden(
        open("lswite")
            .await
            .copy(&uids([1]), &target)
            .await
            .map(drop),
    );
    // RFC 4314 4: each flag has its right, and what the user may not change stays.
    let owner = world.open(INBOX).await;
    let was = FlagSet::new(SystemFlags::FLAGGED, vec![Keyword::parse("b").unwrap()]);
    owner.store_flags(&uids([1]), &add(was)).await.unwrap();
    open("rs")
        .await
        .store_flags(&uids([1]), &replace)
        .await
        .unwrap();
    let flags = || owner.read(|index| index.entry(0).unwrap().flags());
    let (seen, flagged) = (SystemFlags::SEEN, SystemFlags::FLAGGED);
    assert_eq!(flags().system, seen.union(flagged));
    assert_eq!(flags().keywords(), [Keyword::parse("b").unwrap()]);
    open("rw")
        .await
        .store_flags(&uids([1]), &replace)
        .await
        .unwrap();
    assert_eq!(flags().system, seen);
    assert_eq!(flags().keywords(), [Keyword::parse("a").unwrap()]);
    let deleted = add(SystemFlags::DELETED);
    forbidden(
        open("rsw")
            .await
            .store_flags(&uids([1]), &deleted)
            .await
            .map(drop),
    );
    // The log says the same to another process.
    let fresh = world.restarted().open(INBOX).await;
    assert_eq!(fresh.read(|index| index.entry(0).unwrap().flags()), flags());
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
        let inbox = (ALICE, INBOX);
        let outcome = world
            .mailboxes
            .append_as_guest(BOB, inbox, vec![message], None)
            .await;
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
