//! The router over engines that fail: a message is accepted for all its recipients or for none,
//! once for each, and only for those who may get it.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod limits;
mod passed_on;

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use buzon::{
    accounts::{self, Cost, Directory, Group, OutOfOffice, Senders},
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, MessageId, SortedId},
        pieces::Pieces as _,
        random::Random,
        secret::Secret,
    },
    mail::{
        address::Address,
        envelope::{BodyKind, Envelope, ForwardPath, MailOptions, ReversePath},
        facts::FACTS_BYTES_MAX,
    },
    mailbox::{self, Arrived, INBOX, Mailboxes},
    queue::{self, Queue, record::MessageRecord},
    route::{
        self, AcceptError, Acceptance, Edition, Origin, Refusal, Rewriting, RouteFault, Router,
        Target,
    },
    store::{
        Batch, Engine, Key, Order, PageLimit, Room,
        fault::{CommitFault, Fault},
        key,
        memory::Memory,
    },
};
use bytes::Bytes;

/// Everything that stands on one engine.
struct World {
    engine: Arc<Fault>,
    directory: Directory,
    mailboxes: Mailboxes,
    queue: Queue,
    router: Router,
    clock: Clock,
    random: Random,
}

impl World {
    /// With `example.org` and alice (1), bob (2), carol (3) in it.
    async fn new() -> Self {
        let world = Self::over(Arc::new(Memory::new())).await;
        let domain = "example.org".parse().unwrap();
        world.directory.add_domain(&domain).await.unwrap();
        for name in ["alice", "bob", "carol"] {
            world.add(&format!("{name}@example.org")).await;
        }
        world
    }

    async fn over(engine: Arc<dyn Engine>) -> Self {
        Self::rewriting(engine, Rewriting::default()).await
    }

    async fn rewriting(engine: Arc<dyn Engine>, rewriting: Rewriting) -> Self {
        let engine = Arc::new(Fault::new(engine));
        let store: Arc<dyn Engine> = engine.clone();
        let clock = Clock::steered(Timestamp::from_secs(1_000_000));
        let random = Random::seeded(1);
        let options = accounts::Options {
            cost: Cost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            hashes_at_once: NonZeroUsize::MIN,
            ..accounts::Options::default()
        };
        let opened = Directory::open(store.clone(), clock.clone(), random.clone(), options);
        let directory = opened.await.unwrap();
        let options = mailbox::Options::default();
        let mailboxes = Mailboxes::new(store.clone(), clock.clone(), random.clone(), options);
        let options = queue::Options::default();
        let queue = Queue::new(store.clone(), clock.clone(), random.clone(), options);
        let router = Router::new(
            store,
            clock.clone(),
            directory.clone(),
            mailboxes.clone(),
            queue.clone(),
            &route::Options {
                recipients_per_hour: 20,
                rewriting,
                ..route::Options::default()
            },
        );
        Self {
            engine,
            directory,
            mailboxes,
            queue,
            router,
            clock,
            random,
        }
    }

    async fn add(&self, text: &str) -> AccountId {
        let (at, password) = (address(text), Secret::new("secret".to_owned()));
        let provision = |batch: &mut Batch, id| self.mailboxes.provision(batch, id);
        let added = self.directory.add_account(&at, &password, &provision);
        added.await.unwrap()
    }

    async fn alias(&self, at: &str, targets: &[&str]) {
        let targets: Vec<Address> = targets.iter().map(|text| address(text)).collect();
        self.directory
            .add_alias(&address(at), &targets)
            .await
            .unwrap();
    }

    async fn recipient(&self, from: Origin, to: &str) -> Result<Target, Refusal> {
        let to = ForwardPath::Address(address(to));
        let sender = ReversePath::Address(address("x@remote.example"));
        self.router.recipient(&from, &sender, &to).await.unwrap()
    }

    /// A message from `x@remote.example` for `to`, all of them taken.
    async fn message(&self, from: Origin, to: &[&str], body: &[u8]) -> Acceptance {
        let mut targets = Vec::new();
        for to in to {
            targets.push(self.recipient(from, to).await.unwrap());
        }
        let heads = route::list_heads(&targets, &Bytes::new());
        let mut intake = self.mailboxes.intake_for(heads.len());
        for piece in body.chunks(60_000) {
            intake.feed(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        let (lists, heads): (Vec<_>, Vec<_>) = heads.into_iter().unzip();
        let heads = heads.into_iter().map(Bytes::from).collect();
        let (arrived, editions) = intake.finish_editions(Bytes::new(), heads).await.unwrap();
        let edition = |(list, arrived)| Edition { list, arrived };
        Acceptance {
            id: SortedId::fresh(self.clock.wall(), &self.random),
            origin: from,
            envelope: Envelope {
                sender: ReversePath::Address(address("x@remote.example")),
                recipients: to.iter().map(|text| address(text)).collect(),
                body: BodyKind::EightBit,
                smtputf8: false,
                options: MailOptions::default(),
            },
            targets,
            arrived,
            editions: lists.into_iter().zip(editions).map(edition).collect(),
            final_delivery_bytes: 0,
            junk: false,
            header: Bytes::new(),
            doubtful: false,
            sealable: None,
        }
    }

    async fn inbox(&self, account: u64) -> usize {
        let mailbox = self
            .mailboxes
            .open(AccountId(account), INBOX)
            .await
            .unwrap();
        mailbox.read(mailbox::Index::len)
    }

    /// Messages in each of the inboxes 1 to 3, and recipients in the queue.
    async fn copies(&self) -> (usize, usize, usize, usize) {
        let queued = self.keys(&key::queue_dues()).await.len();
        (
            self.inbox(1).await,
            self.inbox(2).await,
            self.inbox(3).await,
            queued,
        )
    }

    async fn keys(&self, prefix: &Key) -> Vec<(Key, Bytes)> {
        let limit = PageLimit {
            entries: 10_000,
            bytes: usize::MAX,
        };
        let range = prefix.prefix_range();
        let page = self
            .engine
            .page(range, limit, Order::Ascending)
            .await
            .unwrap();
        page.entries
    }

    async fn has_body(&self, arrived: &Arrived) -> bool {
        self.engine.body(arrived.blob, 0..1).await.is_ok()
    }
}

const ALICE: Origin = Origin::Account(AccountId(1));

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn refusal<T>(outcome: Result<T, AcceptError>) -> Option<Refusal> {
    match outcome {
        Err(AcceptError::Refused(refusal)) => Some(refusal),
        _ => None,
    }
}

#[tokio::test]
async fn rly_01_only_who_logged_in_may_send_elsewhere() {
    let world = World::new().await;
    world.alias("out@example.org", &["x@remote.example"]).await;
    let disabled = world.add("gone@example.org").await;
    world.directory.set_disabled(disabled, true).await.unwrap();
    for (from, to, expected) in [
        (Origin::Peer, "alice@example.org", Ok(true)),
        (Origin::Peer, "x@remote.example", Err(Refusal::RelayDenied)),
        (Origin::Peer, "alice@[192.0.2.1]", Err(Refusal::RelayDenied)),
        (Origin::Peer, "x@sub.example.org", Err(Refusal::RelayDenied)),
        (
            Origin::Peer,
            "\"x@example.org\"@remote.example",
            Err(Refusal::RelayDenied),
        ),
        (
            Origin::Peer,
            "x%remote.example@example.org",
            Err(Refusal::UnknownRecipient),
        ),
        (
            Origin::Peer,
            "remote.example!x@example.org",
            Err(Refusal::UnknownRecipient),
        ),
        (Origin::Peer, "out@example.org", Ok(false)),
        (ALICE, "x@remote.example", Ok(false)),
        (ALICE, "x@[192.0.2.1]", Ok(false)),
        (ALICE, "bob@example.org", Ok(true)),
        (Origin::Ourselves, "x@remote.example", Ok(false)),
        (Origin::Ourselves, "bob@example.org", Ok(true)),
        // RLY-02, and the same for everybody who has no mail here.
        (
            Origin::Peer,
            "nobody@example.org",
            Err(Refusal::UnknownRecipient),
        ),
        (
            Origin::Peer,
            "gone@example.org",
            Err(Refusal::UnknownRecipient),
        ),
        (ALICE, "nobody@example.org", Err(Refusal::UnknownRecipient)),
    ] {
        let taken = world
            .recipient(from, to)
            .await
            .map(|target| target.is_local());
        assert_eq!(taken, expected, "{from:?} {to}");
    }
    let postmaster = world
        .router
        .recipient(&Origin::Peer, &ReversePath::Null, &ForwardPath::Postmaster)
        .await;
    assert!(postmaster.unwrap().is_ok());
}

#[tokio::test]
async fn every_account_gets_one_copy_however_often_it_is_reached() {
    let world = World::new().await;
    world
        .alias("all@example.org", &["alice@example.org", "bob@example.org"])
        .await;
    world
        .alias("both@example.org", &["all@example.org", "x@remote.example"])
        .await;
    let to = [
        "alice@example.org",
        "ALICE+tag@example.org",
        "all@example.org",
        "both@example.org",
        "x@remote.example",
        "y@remote.example",
    ];
    let message = world
        .message(ALICE, &to, b"Subject: x\r\n\r\nhello\r\n")
        .await;
    let (id, blob, size) = (message.id, message.arrived.blob, message.arrived.size);
    world.router.accept(message).await.unwrap();
    assert_eq!(world.copies().await, (1, 1, 0, 2));

    // Two accounts and the queue hold the body.
    let owners = world
        .engine
        .get(&key::body_owners(blob))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(owners, 3_i64.to_be_bytes().to_vec());
    let stored = world.engine.body(blob, 0..size).await.unwrap();
    assert_eq!(stored, "Subject: x\r\n\r\nhello\r\n");

    // A forward keeps the sender.
    let queued = world
        .engine
        .get(&key::queue_message(id))
        .await
        .unwrap()
        .unwrap();
    let queued = MessageRecord::decode(&queued).unwrap();
    assert_eq!(
        queued.sender,
        ReversePath::Address(address("x@remote.example"))
    );
    assert_eq!((queued.origin, queued.recipients), (Some(AccountId(1)), 2));
    assert_eq!(
        (queued.blob, queued.size, queued.body),
        (blob, size, BodyKind::EightBit)
    );
}

/// RFC 5321 4.4: final delivery writes the field, and who passes the message on does not.
#[tokio::test]
async fn return_path_stays_here_and_the_rest_is_sent() {
    let world = World::new().await;
    let body = b"Return-Path: <x@remote.example>\r\nSubject: x\r\n\r\nhello\r\n";
    let to = ["alice@example.org", "y@remote.example"];
    let mut message = world.message(ALICE, &to, body).await;
    message.final_delivery_bytes = 33;
    let (id, blob) = (message.id, message.arrived.blob);
    world.router.accept(message).await.unwrap();
    let stored = world.engine.body(blob, 0..body.len() as u64).await.unwrap();
    assert_eq!(stored, body.as_slice());
    let queued = world.engine.get(&key::queue_message(id)).await.unwrap();
    let queued = MessageRecord::decode(&queued.unwrap()).unwrap();
    let sent = world.queue.body(&queued).next().await.unwrap().unwrap();
    assert_eq!(sent, body[33..]);
    assert_eq!(queued.size, sent.len() as u64);
    let beginning = world.queue.beginning(&queued, 10).await.unwrap();
    assert_eq!(beginning, "Subject: x");
}

#[tokio::test]
async fn a_message_for_one_has_an_uncounted_body() {
    let world = World::new().await;
    let message = world
        .message(Origin::Peer, &["bob@example.org"], b"x")
        .await;
    world.router.accept(message).await.unwrap();
    assert!(world.keys(&key::queue_messages()).await.is_empty());
    let mailbox = world.mailboxes.open(AccountId(2), INBOX).await.unwrap();
    let email = mailbox.read(|index| index.entry(0).unwrap().email);
    let emails = world
        .mailboxes
        .emails(AccountId(2), &[email])
        .await
        .unwrap();
    let blob = emails[0].as_ref().unwrap().blob;
    assert_eq!(
        world.engine.get(&key::body_owners(blob)).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn dur_01_a_message_is_accepted_for_all_or_for_none() {
    let to = ["alice@example.org", "bob@example.org", "y@remote.example"];
    for fault in [
        CommitFault::Conflict,
        CommitFault::Full,
        CommitFault::CrashBefore,
        CommitFault::CrashAfter,
    ] {
        let memory: Arc<dyn Engine> = Arc::new(Memory::new());
        let world = World::over(memory.clone()).await;
        let domain = "example.org".parse().unwrap();
        world.directory.add_domain(&domain).await.unwrap();
        for name in ["alice", "bob", "carol"] {
            world.add(&format!("{name}@example.org")).await;
        }
        let message = world.message(ALICE, &to, b"x").await;
        let commits = world.engine.commits();
        world.engine.fail_commit(1, fault);
        let outcome = world.router.accept(message).await;
        let (accepted, copies) = match fault {
            // Decided and made again: once all the same.
            CommitFault::Conflict => (outcome.is_ok(), (1, 1, 0, 1)),
            CommitFault::Full => (refusal(outcome) == Some(Refusal::NoRoom), (0, 0, 0, 0)),
            CommitFault::CrashBefore => (is_fault(&outcome), (0, 0, 0, 0)),
            // Never acknowledged, and whole.
            CommitFault::CrashAfter => (is_fault(&outcome), (1, 1, 0, 1)),
        };
        assert!(accepted, "{fault:?}");
        let attempts = if fault == CommitFault::Conflict { 2 } else { 1 };
        assert_eq!(world.engine.commits() - commits, attempts, "{fault:?}");
        // What a restart sees.
        let again = World::over(memory).await;
        assert_eq!(again.copies().await, copies, "{fault:?}");
    }
}

fn is_fault<T>(outcome: &Result<T, AcceptError>) -> bool {
    matches!(outcome, Err(AcceptError::Fault(RouteFault::Store(_))))
}

#[tokio::test]
async fn a_broken_alias_makes_its_mail_wait() {
    let world = World::new().await;
    let mut batch = Batch::new();
    batch.put(key::address("example.org", "odd"), b"?".to_vec());
    world.engine.commit(batch).await.unwrap();
    world.directory.reload().await.unwrap();
    let odd = world.recipient(Origin::Peer, "odd@example.org").await;
    assert_eq!(odd.unwrap_err(), Refusal::Misconfigured);
}

#[tokio::test]
async fn a_recipient_removed_before_the_end_of_data_loses_nothing_acknowledged() {
    let world = World::new().await;
    let both = ["alice@example.org", "bob@example.org"];
    let message = world.message(Origin::Peer, &both, b"x").await;
    world.directory.remove_account(AccountId(2)).await.unwrap();
    let outcome = world.router.accept(message).await;
    assert_eq!(refusal(outcome), Some(Refusal::Changed));
    assert_eq!(world.inbox(1).await, 0);
    // The address that now reaches somebody else does so.
    let message = world
        .message(Origin::Peer, &["carol@example.org"], b"x")
        .await;
    world.directory.remove_account(AccountId(3)).await.unwrap();
    world
        .alias("carol@example.org", &["alice@example.org"])
        .await;
    world.router.accept(message).await.unwrap();
    assert_eq!(world.inbox(1).await, 1);
}

#[tokio::test]
async fn a_message_without_recipients_is_not_accepted() {
    let world = World::new().await;
    let message = world.message(Origin::Peer, &[], b"x").await;
    let outcome = world.router.accept(message).await;
    assert_eq!(refusal(outcome), Some(Refusal::UnknownRecipient));
}

#[tokio::test]
async fn watchers_and_the_relay_are_told_after_the_commit() {
    let world = World::new().await;
    let mut watch = world.mailboxes.watch(AccountId(2));
    let to = ["bob@example.org", "y@remote.example"];
    let message = world.message(ALICE, &to, b"x").await;
    let unwatched = tokio::time::timeout(Duration::from_millis(5), watch.changed()).await;
    assert!(unwatched.is_err());
    world.router.accept(message).await.unwrap();
    watch.changed().await;
    world.queue.woken().await;
    assert_eq!(world.inbox(2).await, 1);
}

#[tokio::test]
async fn a_report_comes_about_with_the_batch_it_is_composed_into() {
    let world = World::new().await;
    let mut report = world
        .message(Origin::Ourselves, &["bob@example.org"], b"x")
        .await;
    report.envelope.sender = ReversePath::Null;
    let mut batch = Batch::new();
    batch.absent(key::queue_message(report.id));
    let composed = world.router.compose(&mut batch, &report).unwrap();
    assert!(!world.has_body(&report.arrived).await);
    world.engine.commit(batch).await.unwrap();
    drop(composed);
    assert!(world.has_body(&report.arrived).await);
    assert_eq!(world.inbox(2).await, 1);
}

#[tokio::test(start_paused = true)]
async fn dur_08_what_a_removed_account_held_is_erased_after_the_grace_time() {
    let world = World::new().await;
    let (bob, both) = (AccountId(2), ["alice@example.org", "bob@example.org"]);
    let shared = world.message(Origin::Peer, &both, b"shared").await;
    let shared_blob = shared.arrived.blob;
    world.router.accept(shared).await.unwrap();
    let mut blobs = Vec::new();
    for facts in [500, FACTS_BYTES_MAX] {
        let mut own = world
            .message(Origin::Peer, &["bob@example.org"], b"own")
            .await;
        own.arrived.facts = Bytes::from(vec![b'f'; facts]);
        blobs.push(own.arrived.blob);
        world.router.accept(own).await.unwrap();
    }
    world.directory.remove_account(bob).await.unwrap();

    let maintain = |secs| {
        let mailboxes = world.mailboxes.clone();
        async move {
            mailboxes
                .maintain(tokio::time::sleep(Duration::from_secs(secs)))
                .await
        }
    };
    maintain(500).await;
    assert!(world.engine.body(blobs[0], 0..3).await.is_ok());
    // A failure in the middle, and the next round goes on.
    for n in [3, 6, 12] {
        world.engine.fail_commit(n, CommitFault::Full);
    }
    maintain(700).await;
    for prefix in key::mailbox_data(bob) {
        assert_eq!(world.keys(&prefix).await, [], "{prefix:?}");
    }
    assert!(world.keys(&key::removed_accounts()).await.is_empty());
    for blob in blobs {
        assert!(world.engine.body(blob, 0..3).await.is_err());
    }
    // What others have too stays theirs.
    assert_eq!(
        world.engine.body(shared_blob, 0..6).await.unwrap(),
        "shared"
    );
    assert_eq!(world.inbox(1).await, 1);
    let owners = world
        .engine
        .get(&key::body_owners(shared_blob))
        .await
        .unwrap();
    assert_eq!(owners.unwrap(), 1_i64.to_be_bytes().to_vec());
}

/// The id type is the one of the queue: a message keeps it from acceptance on.
#[tokio::test]
async fn a_queued_message_keeps_the_id_it_was_accepted_with() {
    let world = World::new().await;
    let message = world.message(ALICE, &["y@remote.example"], b"x").await;
    let id: MessageId = message.id;
    world.router.accept(message).await.unwrap();
    assert_eq!(world.keys(&key::queue_recipients(id)).await.len(), 1);
}
