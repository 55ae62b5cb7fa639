//! The relay in a world that goes wrong, for five days and more in a second: servers that misbehave
//! at each stage, name servers that do, a store that fails, a server of ours that is killed.
//!
//! Everything is drawn from a seed, and what fails says which one it was.
//! `BUZON_TEST_RELAY_SEEDS=17` plays that one again, `100..200` those. Each recipient must come to
//! one true end (`ledger`).

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the seeds come from the environment, and are said"
)]

mod ledger;
mod node;
mod places;
mod remote;

use std::{env, ops::Range, sync::Arc, time::Duration};

use buzon::{
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, BlobId, MessageId},
        random::Random,
    },
    dns::Fake,
    mail::{
        address::Address,
        dsn::Notify,
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
    },
    queue::{
        NewMessage,
        admin::{Action, Filter, MessageSummary, Selection},
    },
    store::{
        Batch, Content, Engine as _, Order, PageLimit, fault::CommitFault, key, memory::Memory,
    },
};
use ledger::{Count, Ledger, To};
use node::{Ground, Node};
use places::Places;
use remote::{Remotes, one_of};

/// How much goes wrong on our own side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Nothing.
    Calm,
    /// The store fails now and then.
    Faults,
    /// The server is stopped and killed, too.
    Storm,
}

/// One story.
struct Life {
    chance: Random,
    ground: Ground,
    ledger: Ledger,
    places: Places,
    node: Node,
    alice: AccountId,
    letters: u64,
}

impl Life {
    async fn begin(seed: u64) -> Self {
        let clock = Clock::steered(node::beginning());
        let ledger = Ledger::new(clock.clone());
        let remotes = Remotes::new(seed, clock.clone(), ledger.clone(), node::acceptor());
        let ground = Ground {
            memory: Arc::new(Memory::new()),
            clock,
            random: Random::seeded(seed ^ 0x5eed),
            dns: Fake::new(),
            remotes,
        };
        let chance = Random::seeded(seed);
        let places = Places::draw(&chance, &ground);
        let node = Node::start(&ground).await;
        let alice = node.add_alice().await;
        Self {
            chance,
            ground,
            ledger,
            places,
            node,
            alice,
            letters: 0,
        }
    }

    /// Somebody writes to some people.
    async fn post(&mut self) {
        self.letters += 1;
        let n = self.letters;
        let (sender, origin) = match self.chance.below(10) {
            0..6 => (format!("alice+m{n}@example.org"), Some(self.alice)),
            6..9 => (format!("m{n}@far.example"), None),
            _ => (format!("null-{n}"), None),
        };
        let is_null = sender.starts_with("null-");
        let mut to = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let place = self.places.any(&self.chance);
            for _ in 0..=self.chance.below(4) {
                let number = to.len();
                to.push(To {
                    address: format!("r{number}.m{n}@{}", place.domain),
                    notify: self.wish(),
                    servers: place.servers.clone(),
                    may_fail: place.may_fail,
                });
            }
        }
        let content = self.content();
        let recipients = to.iter().map(|to| {
            let options = RcptOptions {
                notify: to.notify,
                original: None,
            };
            (Address::parse(&to.address).unwrap(), options)
        });
        let path = match is_null {
            true => ReversePath::Null,
            false => ReversePath::Address(Address::parse(&sender).unwrap()),
        };
        let batch = self.envelope(path, origin, recipients.collect(), &content);
        self.ledger.posted(&sender, !is_null, &content, to);
        self.ground.memory.commit(batch).await.unwrap();
        self.node.services.queue.wake();
    }

    fn envelope(
        &self,
        sender: ReversePath,
        origin: Option<AccountId>,
        recipients: Vec<(Address, RcptOptions)>,
        content: &[u8],
    ) -> Batch {
        let (now, random) = (self.ground.clock.wall(), &self.ground.random);
        let blob = BlobId::fresh(now, random);
        let mut batch = Batch::new();
        batch.body(blob, Content::Bytes(content.to_vec().into()));
        let message = NewMessage {
            id: MessageId::fresh(now, random),
            sender,
            rewritten: None,
            head: String::new(),
            recipients,
            accounts: Vec::new(),
            blob,
            skipped: 0,
            size: content.len() as u64,
            smtputf8: false,
            body: match content.is_ascii() {
                true => BodyKind::SevenBit,
                false => BodyKind::EightBit,
            },
            options: MailOptions::default(),
            received: now,
            origin,
        };
        self.node.services.queue.enqueue(&mut batch, &message);
        batch
    }

    fn wish(&self) -> Option<Notify> {
        let words = ["FAILURE", "SUCCESS", "SUCCESS,FAILURE,DELAY", "NEVER"];
        let word = words.get(usize::try_from(self.chance.below(8)).unwrap())?;
        Notify::parse(word)
    }

    /// Lines with dots, eight-bit text, and now and then more than a pipe or a chunk holds.
    fn content(&self) -> Vec<u8> {
        let n = self.letters;
        let line = one_of(
            &self.chance,
            &["text\r\n", ".\r\n", "..dots\r\n", "caf\u{e9}\r\n"],
        );
        let lines = one_of(&self.chance, &[1, 3, 40, 20_000, 60_000]);
        let lines = if lines > 40 && !n.is_multiple_of(7) {
            5
        } else {
            lines
        };
        format!("Subject: {n}\r\n\r\n{}", line.repeat(lines)).into_bytes()
    }

    /// Ends the server, in order or not, and starts it again.
    async fn restart(&mut self, kill: bool) {
        self.ledger.ended();
        match kill {
            true => self.node.kill().await,
            false => self.node.stop().await,
        }
        self.ledger.ended();
        self.node = Node::start(&self.ground).await;
    }

    /// Lets time pass until then, or until our server crashes.
    async fn pass(&mut self, until: Timestamp) {
        loop {
            let left = until.since(self.ground.clock.wall());
            tokio::select! {
                () = tokio::time::sleep(left) => return,
                _ = self.node.engine.failed() => self.restart(true).await,
            }
        }
    }

    /// One thing happens.
    async fn step(&mut self, weather: Weather) {
        let now = self.ground.clock.wall();
        let days = now.since(node::beginning()).as_secs() / 86_400;
        let soon = 1 + self.chance.below(6);
        match (self.chance.below(15), weather) {
            (0..3, _) => self.places.change(&self.chance, days),
            (3..6, Weather::Faults | Weather::Storm) => {
                let crashes = weather == Weather::Storm;
                let faults = &FAULTS[..if crashes { 4 } else { 2 }];
                let fault = one_of(&self.chance, faults);
                self.node.engine.fail_commit(soon, fault);
            }
            (6, Weather::Faults | Weather::Storm) => self.node.engine.fail_read(soon),
            (7, Weather::Storm) => self.restart(true).await,
            (8, Weather::Storm) => self.restart(false).await,
            (9, Weather::Storm) => {
                // what was in hand at three crashes waits for an operator. He may fail, too.
                let queue = &self.node.services.queue;
                let _ = queue
                    .apply(Action::Release, &Selection::Matching(Filter::default()))
                    .await;
            }
            _ if self.letters < LETTERS => self.post().await,
            _ => {}
        }
    }

    /// Recipients in the queue.
    async fn waiting(&self) -> usize {
        let range = key::queue_messages().prefix_range();
        let limit = PageLimit::entries(1000);
        let page = self.ground.memory.page(range, limit, Order::Ascending);
        page.await.unwrap().entries.len()
    }

    /// The whole story, and how it ended.
    async fn live(mut self, weather: Weather) -> Count {
        let rough = beginning_plus(DAY * 2);
        while self.ground.clock.wall() < rough || self.letters < LETTERS {
            let wait = Duration::from_millis(self.chance.below(40 * 60_000));
            self.pass(self.ground.clock.wall().plus(wait)).await;
            self.step(weather).await;
        }
        let last = self.ledger.last_posted();
        let end = match weather {
            Weather::Calm => last.plus(DAY * 5 + HOUR * 5),
            // A hold and its reports may take as long again.
            Weather::Faults | Weather::Storm => last.plus(DAY * 11),
        };
        while self.waiting().await > 0 {
            let now = self.ground.clock.wall();
            assert!(now < end, "still queued: {:?}", self.listed().await);
            self.pass(now.plus(HOUR * 3)).await;
            let days = now.since(node::beginning()).as_secs() / 86_400;
            self.places.change(&self.chance, days);
            if weather != Weather::Calm {
                let queue = &self.node.services.queue;
                let _ = queue
                    .apply(Action::Release, &Selection::Matching(Filter::default()))
                    .await;
            }
        }
        self.restart(false).await;
        let range = key::queue_dues().prefix_range();
        let all = PageLimit::default();
        let rows = self.ground.memory.page(range, all, Order::Ascending);
        assert!(rows.await.unwrap().entries.is_empty(), "rows of nobody");
        self.ledger.judge(&self.node.messages(self.alice).await)
    }

    async fn listed(&self) -> Vec<MessageSummary> {
        let queue = &self.node.services.queue;
        let listing = queue.list(&Filter::default(), None, 100).await;
        listing.unwrap().messages
    }
}

fn beginning_plus(time: Duration) -> Timestamp {
    node::beginning().plus(time)
}

/// Says which seed it was when its story ends badly.
struct Named(u64, Weather);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the story of seed {} ({:?})", self.0, self.1);
        }
    }
}

/// The seeds to play.
fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(asked) = env::var("BUZON_TEST_RELAY_SEEDS") else {
        return usual;
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    match asked.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&asked)..number(&asked) + 1,
    }
}

/// Plays the stories of all seeds, each in a time of its own.
fn play(weather: Weather, usual: Range<u64>) {
    let mut sum = Count::default();
    for seed in seeds(usual) {
        let named = Named(seed, weather);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let count = runtime.block_on(async { Life::begin(seed).await.live(weather).await });
        sum += count;
        drop(named);
    }
    println!("{weather:?}: {sum:?}");
    assert!(sum.delivered > sum.bounced / 4, "{sum:?}");
}

#[test]
fn nobody_is_lost_or_told_twice_whatever_other_servers_do() {
    play(Weather::Calm, 0..6);
}

#[test]
fn nobody_is_lost_or_told_twice_when_the_store_fails() {
    play(Weather::Faults, 1000..1004);
}

#[test]
fn nobody_is_lost_when_the_server_is_killed_again_and_again() {
    play(Weather::Storm, 2000..2004);
}

/// Refused now and then, and, behind these, the end of the process.
const FAULTS: &[CommitFault] = &[
    CommitFault::Conflict,
    CommitFault::Full,
    CommitFault::CrashBefore,
    CommitFault::CrashAfter,
];
const LETTERS: u64 = 25;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
