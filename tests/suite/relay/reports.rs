//! Reports as they really go: through the router, into the mailbox of the sender, on a store that
//! has no room.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use buzon::{
    accounts::{self, Cost, Directory},
    base::{ids::AccountId, secret::Secret},
    mailbox::{self, INBOX, Index, Mailboxes},
    queue::{
        Queue,
        admin::{Action, Selection, Standing},
    },
    route::{self, Reports, Router},
    store::{
        Batch, Engine, Room,
        fault::{CommitFault, Fault},
        memory::Memory,
    },
};

use crate::support::{logs::logged, player::run};

use super::{
    mta::{Act, Event, Mta, say},
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
        world.door = Some(Arc::new(Reports::new(router)));
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

    /// The only one.
    async fn report(&self) -> String {
        assert_eq!(self.reports().await, 1);
        let inbox = self.mailboxes.open(self.user, INBOX).await.unwrap();
        let email = inbox.read(|index| index.entry(0).unwrap().email);
        let emails = self.mailboxes.emails(self.user, &[email]).await.unwrap();
        let email = emails[0].as_ref().unwrap();
        let body = self.engine.body(email.blob, 0..email.size).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
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
    assert_eq!(left.state, Standing::Bouncing);
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
    assert_eq!(home.world.only().await.state, Standing::Bouncing);
    // Nor is it delivered after all.
    home.world.mta.change(|_| Act::Usual);
    home.engine.set_room(None);
    home.world.drained(minutes(60 * 5)).await;
    assert_eq!(home.reports().await, 1);
    assert!(home.world.mta.contents().is_empty());
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
    assert_eq!((left.state, left.attempts), (Standing::Bouncing, 1));
    assert_eq!(home.reports().await, 0);
    home.world.drained(minutes(10)).await;
    assert_eq!(home.reports().await, 1);
    assert_eq!(home.world.mta.contents().len(), 1);
}

/// Takes everything but the content, which it refuses for good.
fn censor() -> Mta {
    Mta::new(|seen| match seen.event {
        Event::Content(_) => say("550 5.7.1 not this one"),
        _ => Act::Usual,
    })
}

#[tokio::test(start_paused = true)]
async fn q_02_who_refused_for_good_is_never_asked_again_while_the_report_waits() {
    for restart in [false, true] {
        let mut home = Home::new(censor()).await;
        home.engine.set_room(Some(Room::Low));
        home.world.submit(&["a@there.example"]).await;
        home.world.start();
        home.world.pass(minutes(60 * 24 * 4)).await;
        // Its waits grow up to four hours.
        let left = home.world.only().await;
        assert_eq!(left.state, Standing::Bouncing);
        assert!((45..65).contains(&left.attempts), "{}", left.attempts);
        assert_eq!(left.reply.unwrap(), "550 5.7.1 not this one");
        if restart {
            home.world.crash().await;
            home.world.start();
        }
        // The peer would take it by now.
        home.world.mta.change(|_| Act::Usual);
        home.engine.set_room(None);
        home.world.drained(minutes(60 * 5)).await;
        assert_eq!(home.world.mta.contents().len(), 1);
        assert_eq!(home.world.mta.connects(), 1);
        let report = home.report().await;
        for line in [
            "Status: 5.7.1\r\n",
            "Remote-MTA: dns; mx1.there.example\r\n",
            "Diagnostic-Code: smtp; 550 5.7.1 not this one\r\n",
        ] {
            assert!(report.contains(line), "{line} is not in {report}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn q_02_an_operators_bounce_waits_ever_longer_for_room() {
    let mut home = Home::new(Mta::good()).await;
    home.engine.set_room(Some(Room::Low));
    let id = home.world.submit(&["a@there.example"]).await;
    let selection = Selection::Message(id);
    let bounce = async |queue: &Queue| queue.apply(Action::Bounce, &selection).await.unwrap();
    bounce(&home.world.queue).await;
    home.world.start();
    home.world.pass(minutes(60 * 24)).await;
    let left = home.world.only().await;
    assert_eq!(left.state, Standing::Bouncing);
    assert!((25..40).contains(&left.attempts), "{}", left.attempts);
    home.engine.set_room(None);
    // The same order once more means now.
    bounce(&home.world.queue).await;
    home.world.drained(minutes(1)).await;
    assert_eq!(home.world.mta.connects(), 0);
    let report = home.report().await;
    assert_eq!(
        report.matches("gave up on this message").count(),
        2,
        "{report}"
    );
}

#[test]
fn q_02_a_report_that_never_has_room_ends_with_an_error_in_the_log() {
    let mut id = None;
    let text = logged(|| {
        run(async {
            let mut home = Home::new(censor()).await;
            home.engine.set_room(Some(Room::Low));
            id = Some(home.world.submit(&["a@there.example"]).await);
            home.world.start();
            home.world.pass(minutes(60 * 24 * 10 - 1)).await;
            assert_eq!(home.world.only().await.state, Standing::Bouncing);
            home.world.drained(minutes(60 * 5)).await;
            assert_eq!(home.reports().await, 0);
            assert_eq!(home.world.mta.contents().len(), 1);
            assert_eq!(home.world.residue().await, 0);
        });
    });
    let id = id.unwrap();
    let (to, from) = ("to=<a@there.example>", "from=<user@here.example>");
    let line = format!("untold id={id} {to} {from} reason=550 5.7.1 not this one");
    let found = text.lines().find(|found| found.contains(&line));
    assert!(found.unwrap().contains("ERROR"), "{found:?}");
    assert!(text.contains(&format!("unreported id={id} {to}")));
}
