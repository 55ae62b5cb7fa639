//! Access control lists as they are stored, and COPY and MOVE between accounts.

use super::*;
use crate::store::{fault::Fault, owners::Owners};

pub(super) const BOB: AccountId = AccountId(2);
pub(super) const CAROL: AccountId = AccountId(3);

/// A world with three accounts that the directory knows.
pub(super) async fn three() -> (World, Arc<Fault>, Arc<dyn Engine>) {
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

pub(super) fn grant(who: AccountId, rights: &str) -> AclChange {
    AclChange {
        who: Identifier::Account(who),
        negative: false,
        mode: AclMode::Replace,
        rights: Rights::parse(rights).unwrap(),
    }
}

impl World {
    pub(super) async fn share(&self, mailbox: MailboxId, who: AccountId, rights: &str) {
        let change = grant(who, rights);
        self.mailboxes
            .change_acl(ALICE, mailbox, &change)
            .await
            .unwrap();
    }

    /// What `user` sees of others: owner, name and rights.
    pub(super) async fn seen_by(&self, user: AccountId) -> Vec<(AccountId, String, String)> {
        let shared = self.mailboxes.shared_with(user).await.unwrap();
        let shown = shared.into_iter().map(|shared| {
            let name = shared.entry.name.as_str().to_owned();
            (shared.owner, name, shared.rights.to_string())
        });
        shown.collect()
    }

    /// Everything that is stored of lists.
    pub(super) async fn lists(&self) -> usize {
        let mut count = 0;
        for account in [ALICE, BOB, CAROL] {
            count += self.keys(key::acls(account)).await.len();
        }
        for grantee in 0..4 {
            count += self.keys(key::grants(grantee)).await.len();
        }
        count
    }

    pub(super) async fn remove(&self, account: AccountId) {
        let mut batch = Batch::new();
        let now = self.clock.wall();
        batch.delete(key::account(account));
        batch.put(key::removed_account(account), now.0.to_be_bytes().to_vec());
        self.engine.commit(batch).await.unwrap();
        tokio::time::advance(Duration::from_secs(700)).await;
        self.mailboxes.erase_removed().await.unwrap();
    }

    /// How many owners the body of an email has.
    pub(super) async fn owners(&self, account: AccountId, email: u64) -> i64 {
        let emails = self
            .mailboxes
            .emails(account, &[EmailId(email)])
            .await
            .unwrap();
        let blob = emails[0].as_ref().unwrap().blob;
        Owners::read(&*self.engine, blob).await.unwrap().count()
    }

    pub(super) async fn texts(&self, account: AccountId, mailbox: MailboxId) -> Vec<String> {
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

    pub(super) async fn assert_usage_of(&self, account: AccountId) {
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
async fn lim_23_a_hundred_accounts_together_hide_nothing_either() {
    for rights in ["lr", "r"] {
        let (world, ..) = three().await;
        for owner in 100..200 {
            let who = match owner % 2 {
                0 => Identifier::Account(BOB),
                _ => Identifier::Anyone,
            };
            crowd(&world, AccountId(owner), who, rights, 100).await;
        }
        let (quiet, bob) = (AccountId(999), Identifier::Account(BOB));
        crowd(&world, quiet, bob, "lr", 12).await;
        let seen = world.seen_by(BOB).await;
        let of_quiet = seen.iter().filter(|(owner, ..)| *owner == quiet).count();
        let (least, all) = match rights {
            "lr" => (limits::SHARED_ROUNDS[0], limits::SHARED_MAX),
            // Two rounds of all accounts are within the grants that are looked at.
            _ => (12, 12),
        };
        assert!(of_quiet >= least, "{rights} {of_quiet}");
        assert_eq!(seen.len(), all, "{rights}");
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
