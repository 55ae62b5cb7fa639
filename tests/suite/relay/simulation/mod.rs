//! The relay in a world that goes wrong, for five days and more in a second: servers that misbehave
//! at each stage, name servers that do, a store that fails, a server of ours that is killed.
//!
//! Everything is drawn from a seed, and what fails says which one it was.
//! `BUZON_TEST_RELAY_SEEDS=17` plays that one again, `100..200` those. Each recipient must come to
//! one true end (`judge`), and what may go to nobody but a proven server goes to no other.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the seeds come from the environment, and are said"
)]

mod guard;
mod judge;
mod ledger;
mod letters;
mod mood;
mod node;
mod operator;
mod places;
mod remote;

use std::{collections::HashMap, env, ops::Range, sync::Arc, time::Duration};

use buzon::{
    base::{
        clock::{Clock, Timestamp},
        ids::AccountId,
        random::Random,
    },
    dns::Fake,
    queue::admin::{Filter, MessageSummary},
    store::{Engine as _, Order, PageLimit, fault::CommitFault, key, memory::Memory},
};
use guard::Web;
use judge::Count;
use ledger::Ledger;
use mood::one_of;
use node::{Ground, Node};
use places::Places;
use remote::Remotes;

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
    /// Who writes,
    alice: AccountId,
    /// and whom is written to here.
    bob: AccountId,
    letters: u64,
}

impl Life {
    async fn begin(seed: u64, weather: Weather) -> Self {
        let clock = Clock::steered(node::beginning());
        let ledger = Ledger::new(clock.clone());
        let remotes = Remotes::new(seed, clock.clone(), ledger.clone());
        let mut ground = Ground {
            memory: Arc::new(Memory::new()),
            web: Web::new(clock.clone(), ledger.clone()),
            demands: HashMap::new(),
            clock,
            random: Random::seeded(seed ^ 0x5eed),
            dns: Fake::new(),
            remotes,
        };
        let chance = Random::seeded(seed);
        let places = Places::draw(&chance, &ground, weather == Weather::Calm);
        ground.demands = places.demands();
        let node = Node::start(&ground).await;
        let (alice, bob) = (node.add("alice").await, node.add("bob").await);
        Self {
            chance,
            ground,
            ledger,
            places,
            node,
            alice,
            bob,
            letters: 0,
        }
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
        match (self.chance.below(20), weather) {
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
            // what was in hand at three crashes waits for an operator.
            (9, _) => self.let_go().await,
            (10..15, _) => self.meddle().await,
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
            // And what its sender held.
            Weather::Calm => last.plus(DAY * 6 + HOUR * 5),
            // A hold and its reports may take as long again.
            Weather::Faults | Weather::Storm => last.plus(DAY * 11),
        };
        while self.waiting().await > 0 {
            let now = self.ground.clock.wall();
            assert!(now < end, "still queued: {:?}", self.listed().await);
            self.pass(now.plus(HOUR * 3)).await;
            let days = now.since(node::beginning()).as_secs() / 86_400;
            self.places.change(&self.chance, days);
            self.let_go().await;
        }
        self.restart(false).await;
        let range = key::queue_dues().prefix_range();
        let all = PageLimit::default();
        let rows = self.ground.memory.page(range, all, Order::Ascending);
        assert!(rows.await.unwrap().entries.is_empty(), "rows of nobody");
        let (alice, bob) = (self.alice, self.bob);
        let (inbox, here) = (
            self.node.messages(alice).await,
            self.node.messages(bob).await,
        );
        self.ledger.judge(&inbox, &here)
    }

    async fn listed(&self) -> Vec<MessageSummary> {
        let queue = &self.node.services.queue;
        let listing = queue.list(&Filter::default(), None, 100).await;
        // Who looks may meet a fault, too.
        listing.map_or_else(|_| Vec::new(), |listing| listing.messages)
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
        let count =
            runtime.block_on(async { Life::begin(seed, weather).await.live(weather).await });
        sum += count;
        drop(named);
    }
    println!("{weather:?}: {sum:?}");
    assert!(sum.delivered > sum.bounced / 4, "{sum:?}");
}

#[test]
fn nobody_is_lost_or_told_twice_whatever_other_servers_do() {
    play(Weather::Calm, 0..4);
}

#[test]
fn nobody_is_lost_or_told_twice_when_the_store_fails() {
    play(Weather::Faults, 1000..1003);
}

#[test]
fn nobody_is_lost_when_the_server_is_killed_again_and_again() {
    play(Weather::Storm, 2000..2003);
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
