//! Policies as they come, stay and go.

use std::{collections::VecDeque, sync::Mutex};

use super::*;
use crate::{base::future::BoxFuture, dns::Fake, store::memory::Memory};

/// Gives what it was told to, in this order; then nothing.
#[derive(Default)]
struct Given(Mutex<VecDeque<String>>, Mutex<usize>);

impl Fetch for Given {
    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<u8>, FetchError>> {
        *self.1.lock().unwrap() += 1;
        let next = self.0.lock().unwrap().pop_front();
        let text = next.map(String::into_bytes).ok_or(FetchError::TimedOut);
        Box::pin(async move { text })
    }
}

struct World {
    engine: Arc<dyn Engine>,
    dns: Fake,
    given: Arc<Given>,
    clock: Clock,
}

const DOMAIN: &str = "there.example";
const RECORD: &str = "_mta-sts.there.example";

fn text(mode: &str, max_age: u32) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: mx.there.example\nmax_age: {max_age}\n")
}

impl World {
    fn new() -> Self {
        Self {
            engine: Arc::new(Memory::new()),
            dns: Fake::new(),
            given: Arc::default(),
            clock: Clock::steered(Timestamp::from_secs(1_800_000_000)),
        }
    }

    /// As after a start: nothing is remembered but what is stored.
    fn policies(&self) -> Policies {
        let (dns, given) = (Arc::new(self.dns.clone()), Arc::clone(&self.given));
        Policies::new(Arc::clone(&self.engine), dns, given, self.clock.clone())
    }

    fn announce(&self, id: &str) {
        let record = format!("v=STSv1; id={id};").into_bytes();
        self.dns
            .set_texts_answer(RECORD, Answer::Found(vec![record]));
    }

    fn give(&self, text: String) {
        self.given.0.lock().unwrap().push_back(text);
    }

    fn fetches(&self) -> usize {
        *self.given.1.lock().unwrap()
    }

    async fn mode(&self) -> Option<Mode> {
        let (policy, _) = self.policies().of(DOMAIN).await.unwrap();
        policy.map(|policy| policy.mode)
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn tls_07_a_policy_that_was_fetched_outlasts_every_failure() {
    let world = World::new();
    assert_eq!(world.mode().await, None);
    assert_eq!(world.fetches(), 0, "nothing was announced");
    world.announce("1");
    world.give(text("enforce", 3600));
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    assert_eq!(world.fetches(), 1, "it is stored");
    for answer in [
        Answer::Temporary("x".to_owned()),
        Answer::NoRecords,
        Answer::NoSuchName,
        Answer::Found(vec![b"v=STSv1".to_vec()]),
    ] {
        world.dns.set_texts_answer(RECORD, answer);
        assert_eq!(world.mode().await, Some(Mode::Enforce));
    }
    // Announced anew, and the server is gone or says something else.
    world.announce("2");
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    world.give("<html>".to_owned());
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    pass(Duration::from_secs(3600)).await;
    assert_eq!(world.mode().await, None, "its time is over");
}

#[tokio::test(start_paused = true)]
async fn a_new_id_brings_the_new_policy() {
    let world = World::new();
    world.announce("1");
    world.give(text("enforce", 1_000_000));
    assert_eq!(world.mode().await, Some(Mode::Enforce));
    world.announce("2");
    world.give(text("testing", 1_000_000));
    assert_eq!(world.mode().await, Some(Mode::Testing));
    world.announce("3");
    world.give(text("none", 1_000_000));
    assert_eq!(world.mode().await, None);
    assert_eq!(world.mode().await, None);
    assert_eq!(world.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_policy_in_use_is_fetched_again_before_its_time_is_over() {
    let world = World::new();
    world.announce("1");
    for _ in 0..3 {
        world.give(text("enforce", 4 * 86_400));
        assert_eq!(world.mode().await, Some(Mode::Enforce));
        pass(Duration::from_secs(86_400)).await;
    }
    assert_eq!(world.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_give_a_policy_is_left_alone_for_a_while() {
    let world = World::new();
    world.announce("1");
    let policies = world.policies();
    for _ in 0..5 {
        let expected = (None, Some(Outcome::StsPolicyFetchError));
        assert_eq!(policies.of(DOMAIN).await.unwrap(), expected);
    }
    assert_eq!(world.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn dur_09_a_damaged_policy_is_fetched_again() {
    let world = World::new();
    world.announce("1");
    let mut batch = Batch::new();
    batch.put(key::sts_policy(DOMAIN), b"{".to_vec());
    world.engine.commit(batch).await.unwrap();
    world.give(text("enforce", 100));
    assert_eq!(world.mode().await, Some(Mode::Enforce));
}

#[tokio::test(start_paused = true)]
async fn policies_are_bounded() {
    let world = World::new();
    let known = |max_age, mode| Known {
        id: "1".to_owned(),
        fetched: world.clock.wall().0,
        policy: Policy {
            mode,
            mx: Vec::new(),
            max_age,
        },
    };
    let mut batch = Batch::new();
    for number in 0..POLICIES_MAX {
        let max_age = 1000 + u32::try_from(number).unwrap();
        let value = serde_json::to_vec(&known(max_age, Mode::None)).unwrap();
        batch.put(key::sts_policy(&format!("{number}.example")), value);
    }
    world.engine.commit(batch).await.unwrap();
    let policies = world.policies();
    let now = world.clock.wall();
    let one = known(9999, Mode::Enforce);
    policies.keep("new.example", &one, now).await.unwrap();
    assert!(policies.known("0.example").await.unwrap().is_none());
    assert!(policies.known("1.example").await.unwrap().is_some());
    pass(Duration::from_secs(5000)).await;
    let now = world.clock.wall();
    policies.keep("other.example", &one, now).await.unwrap();
    let mut pages = Pages::new(&*world.engine, key::sts_policies().prefix_range());
    let mut left = 0;
    while let Some(page) = pages.next().await.unwrap() {
        left += page.len();
    }
    assert!(left < POLICIES_MAX, "{left}");
}
