//! Reports as they really go: through the router, into the mailbox of the sender, on a store that
//! has no room.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use buzon::{
    accounts::{self, Cost, Directory},
    base::{ids::AccountId, secret::Secret},
    mailbox::{self, INBOX, Index, Mailboxes},
    queue::admin::Standing,
    route::{self, Reports, Router},
    store::{
        Batch, Engine, Room,
        fault::{CommitFault, Fault},
        memory::Memory,
    },
};

use super::{
    mta::{Act, Mta, say},
    world::{World, minutes},
};

/// Refuses `bad@there.example` for good and takes all others.
fn picky() -> Mta {
    Mta::new(|seen| match seen.command().starts_with("RCPT TO:<bad@") {
        true => say("550 no"),
        false => Act::Usual,
    })
}

/// A world whose sender, user@here.example, has a mailbox here that gets his reports.
struct Home {
    world: World,
    engine: Arc<Fault>,
    mailboxes: Mailboxes,
    user: AccountId,
}

impl Home {
    async fn new(mta: Mta) -> Self {
        let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
        let store: Arc<dyn Engine> = engine.clone();
        let mut world = World::over(mta, store.clone());
        let (clock, random) = (world.clock.clone(), world.random.clone());
        let options = accounts::Options {
            cost: Cost {
                memory_kib: 8,
                passes: 1,
                lanes: 1,
            },
            hashes_at_once: NonZeroUsize::MIN,
            ..accounts::Options::default()
        };
        let directory = Directory::open(store.clone(), clock.clone(), random.clone(), options);
        let directory = directory.await.unwrap();
        let options = mailbox::Options::default();
        let mailboxes = Mailboxes::new(store.clone(), clock.clone(), random, options);
        let domain = "here.example".parse().unwrap();
        directory.add_domain(&domain).await.unwrap();
        let address = "user@here.example".parse().unwrap();
        let password = Secret::new("secret".to_owned());
        let provision = |batch: &mut Batch, id| mailboxes.provision(batch, id);
        let added = directory.add_account(&address, &password, &provision);
        let user = added.await.unwrap();
        let router = Router::new(
            store,
            clock,
            directory,
            mailboxes.clone(),
            world.queue.clone(),
            &route::Options::default(),
        );
        world.door = Some(Arc::new(Reports::new(router, mailboxes.clone())));
        Self {
            world,
            engine,
            mailboxes,
            user,
        }
    }

    async fn reports(&self) -> usize {
        let inbox = self.mailboxes.open(self.user, INBOX).await.unwrap();
        inbox.read(Index::len)
    }
}

#[tokio::test(start_paused = true)]
async fn dur_08_a_nearly_full_disk_postpones_reports() {
    let mut home = Home::new(picky()).await;
    home.engine.set_room(Some(Room::Low));
    let to = ["good@there.example", "bad@there.example"];
    home.world.submit(&to).await;
    home.world.start();
    home.world.pass(minutes(60)).await;
    let left = home.world.only().await;
    assert_eq!(left.state, Standing::Waiting);
    assert_eq!(left.address.as_deref(), Some("bad@there.example"));
    assert_eq!(home.reports().await, 0);
    home.engine.set_room(None);
    home.world.drained(minutes(300)).await;
    assert_eq!(home.reports().await, 1);
    assert_eq!(home.world.mta.contents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dur_08_mail_that_is_given_up_on_a_nearly_full_disk_is_reported_later() {
    let mut home = Home::new(Mta::new(|_| Act::Silence)).await;
    home.world.submit(&["a@there.example"]).await;
    home.engine.set_room(Some(Room::Low));
    home.world.start();
    home.world.pass(minutes(60 * 24 * 6)).await;
    assert_eq!(home.world.only().await.state, Standing::Waiting);
    home.engine.set_room(None);
    home.world.drained(minutes(60 * 5)).await;
    assert_eq!(home.reports().await, 1);
}

#[tokio::test(start_paused = true)]
async fn q_01_a_report_without_room_waits_and_the_delivered_are_recorded() {
    let mut home = Home::new(picky()).await;
    let to = ["good@there.example", "bad@there.example"];
    home.world.submit(&to).await;
    // The first is the claim.
    home.engine.fail_commit(2, CommitFault::Full);
    home.world.start();
    home.world.pass(Duration::from_millis(900)).await;
    let left = home.world.only().await;
    assert_eq!(left.address.as_deref(), Some("bad@there.example"));
    assert_eq!((left.state, left.attempts), (Standing::Waiting, 1));
    assert_eq!(home.reports().await, 0);
    home.world.drained(minutes(10)).await;
    assert_eq!(home.reports().await, 1);
    assert_eq!(home.world.mta.contents().len(), 1);
}
