//! Days that end, and what is told of them.

use super::{
    tally::{Detail, Kind, Outcome, Policy},
    *,
};
use crate::{
    base::ids::AccountId,
    dns::Fake,
    route::{Fault, Posted, Refusal, Waited},
    store::memory::Memory,
    verify::Draft,
};

/// Keeps what it is given, by mail and by POST; or refuses.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    mails: Vec<(String, String)>,
    posts: Vec<String>,
    asked: usize,
    broken: bool,
}

impl Keeper {
    fn with<T>(&self, f: impl FnOnce(&mut Kept) -> T) -> T {
        f(&mut self.0.lock().unwrap())
    }
}

impl Postman for Keeper {
    fn add_report<'a>(
        &'a self,
        _: &'a mut Batch,
        report: Report,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        let broken = self.with(|kept| {
            kept.asked += 1;
            kept.broken
        });
        let keeper = self.clone();
        Box::pin(async move {
            match report.to.to_string().as_str() {
                _ if broken => return Err(PostError::Fault("no paper".into())),
                "gone@there.example" => {
                    return Err(PostError::Undeliverable(Refusal::UnknownRecipient));
                }
                _ => {}
            }
            let text = String::from_utf8(report.bytes.to_vec()).unwrap();
            Ok(Posted::then(move || {
                keeper.with(|kept| kept.mails.push((report.to.to_string(), text)));
            }))
        })
    }

    fn sign(&self, _: Draft) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(async { Vec::new() })
    }

    fn has_place(&self, _: AccountId) -> BoxFuture<'_, Result<Result<(), Refusal>, Fault>> {
        Box::pin(async { Ok(Ok(())) })
    }

    fn add_copies<'a>(
        &'a self,
        _: &'a mut Batch,
        _: Waited,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        Box::pin(async { Ok(Posted::then(|| {})) })
    }
}

impl Post for Keeper {
    fn post<'a>(
        &'a self,
        host: &'a str,
        path: &'a str,
        report: Vec<u8>,
    ) -> BoxFuture<'a, Result<(), FetchError>> {
        let broken = self.with(|kept| {
            kept.asked += 1;
            kept.broken
        });
        assert!(report.starts_with(&[0x1f, 0x8b]));
        Box::pin(async move {
            if broken {
                return Err(FetchError::Status(503));
            }
            self.with(|kept| kept.posts.push(format!("{host}{path}")));
            Ok(())
        })
    }
}

struct World {
    engine: Arc<dyn Engine>,
    dns: Fake,
    keeper: Keeper,
    clock: Clock,
}

impl World {
    fn new() -> Self {
        Self {
            engine: Arc::new(Memory::new()),
            dns: Fake::new(),
            keeper: Keeper::default(),
            // The first second of a day.
            clock: Clock::steered(Timestamp::from_secs(20_000 * SECONDS_PER_DAY)),
        }
    }

    /// As after a start: nothing is known but what is stored.
    fn ledger(&self) -> Ledger {
        Ledger::new(Parts {
            engine: Arc::clone(&self.engine),
            resolver: Arc::new(self.dns.clone()),
            postman: Arc::new(self.keeper.clone()),
            post: Arc::new(self.keeper.clone()),
            clock: self.clock.clone(),
            random: Random::seeded(7),
            organization: "mail.here.example".to_owned(),
            contact: Address::parse("tls@here.example").unwrap(),
        })
    }

    fn wants(&self, rua: &str) {
        let record = format!("v=TLSRPTv1; rua={rua}");
        let answer = Answer::Found(vec![record.into_bytes()]);
        self.dns
            .set_texts_answer("_smtp._tls.there.example", answer);
    }

    async fn rows(&self) -> usize {
        self.ledger().rows().await.unwrap()
    }
}

fn session(failed: bool) -> Tally {
    let failure = failed.then(|| Detail {
        result: Outcome::CertificateExpired,
        host: "mx1.there.example".to_owned(),
        ip: None,
        from: None,
        reason: "old".to_owned(),
    });
    Tally::of(Policy::new(Kind::Sts, "there.example"), failure)
}

/// Runs it for so long; a stop.
async fn run(ledger: &Ledger, time: Duration) {
    ledger.run(tokio::time::sleep(time)).await;
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_day_is_reported_once_whatever_restarts() {
    let world = World::new();
    world.wants("mailto:rua@there.example,https://r.example/v1");
    let ledger = world.ledger();
    ledger.count("there.example", session(true));
    run(&ledger, HOUR).await;
    let ledger = world.ledger();
    ledger.count("there.example", session(false));
    run(&ledger, HOUR).await;
    assert_eq!(world.rows().await, 1);
    assert_eq!(
        world.keeper.with(|kept| kept.asked),
        0,
        "the day is not over"
    );
    for _ in 0..3 {
        run(&world.ledger(), 12 * HOUR).await;
    }
    let (mails, posts) = world
        .keeper
        .with(|kept| (kept.mails.clone(), kept.posts.clone()));
    assert_eq!(mails.len(), 1);
    assert_eq!(posts, ["r.example/v1"]);
    assert_eq!(mails[0].0, "rua@there.example");
    assert!(
        mails[0]
            .1
            .contains("<20000.there.example@mail.here.example>")
    );
    assert_eq!(world.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_thrown_away() {
    let world = World::new();
    let ledger = world.ledger();
    ledger.count("there.example", session(true));
    run(&ledger, 30 * HOUR).await;
    assert_eq!(world.keeper.with(|kept| kept.asked), 0);
    assert_eq!(world.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_nowhere_to_go_is_tried_for_some_days() {
    for rua in ["mailto:rua@there.example", "https://r.example/v1"] {
        let world = World::new();
        world.wants(rua);
        world.keeper.with(|kept| kept.broken = true);
        let ledger = world.ledger();
        ledger.count("there.example", session(true));
        run(&ledger, 30 * HOUR).await;
        assert!(world.keeper.with(|kept| kept.asked) > 1);
        assert_eq!(world.rows().await, 1);
        run(&ledger, 90 * HOUR).await;
        assert_eq!(world.rows().await, 0);
        let asked = world.keeper.with(|kept| kept.asked);
        assert!(asked < 90, "{asked}");
    }
    // Nobody can say who wants it.
    let world = World::new();
    let answer = Answer::Temporary("x".to_owned());
    world
        .dns
        .set_texts_answer("_smtp._tls.there.example", answer);
    let ledger = world.ledger();
    ledger.count("there.example", session(true));
    run(&ledger, 30 * HOUR).await;
    assert_eq!(world.rows().await, 1);
    world.wants("mailto:gone@there.example,mailto:rua@there.example");
    run(&ledger, 2 * HOUR).await;
    assert_eq!(world.keeper.with(|kept| kept.mails.len()), 1);
    assert_eq!(world.rows().await, 0);
}

#[tokio::test(start_paused = true)]
async fn counts_are_bounded() {
    let world = World::new();
    let ledger = world.ledger();
    for n in 0..PENDING_MAX + 10 {
        ledger.count(&format!("d{n}.example"), session(false));
    }
    assert_eq!(ledger.pending().len(), PENDING_MAX);
    let mut batch = Batch::new();
    for n in 0..DOMAINS_MAX - 5 {
        batch.put(
            key::tls_tally(20_000, &format!("e{n}.example")),
            b"{}".to_vec(),
        );
    }
    world.engine.commit(batch).await.unwrap();
    ledger.flush().await;
    assert_eq!(world.rows().await, DOMAINS_MAX);
}

#[tokio::test(start_paused = true)]
async fn counts_that_strangers_make_long_are_written_all_the_same() {
    let world = World::new();
    let ledger = world.ledger();
    for n in 0..ROWS_AT_ONCE * 2 + 1 {
        for m in 0..64 {
            let policy = Policy::new(Kind::Tlsa, &format!("p{}.example", m % 8));
            let detail = Detail {
                result: Outcome::CertificateHostMismatch,
                host: format!("{m}{}", "h".repeat(250)),
                ip: None,
                from: None,
                reason: "\"".repeat(1000),
            };
            ledger.count(&format!("d{n}.example"), Tally::of(policy, Some(detail)));
        }
    }
    ledger.flush().await;
    assert_eq!(world.rows().await, ROWS_AT_ONCE * 2 + 1);
    assert!(ledger.pending().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dur_09_damaged_counts_concern_their_own_domain() {
    let world = World::new();
    world.wants("mailto:rua@there.example");
    let mut batch = Batch::new();
    batch.put(key::tls_tally(20_000, "there.example"), b"{".to_vec());
    batch.put(key::tls_tally(19_999, "\u{0}"), b"{".to_vec());
    // DUR-07: of a time when the clock was wrong.
    batch.put(key::tls_tally(90_000, "there.example"), b"{}".to_vec());
    world.engine.commit(batch).await.unwrap();
    let ledger = world.ledger();
    ledger.count("there.example", session(true));
    run(&ledger, 30 * HOUR).await;
    assert_eq!(world.keeper.with(|kept| kept.mails.len()), 1);
    assert_eq!(world.rows().await, 0);
}
