//! Everything around a relay under test: store, queue, DNS, a postman who keeps what he gets, and
//! the clock.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use buzon::{
    base::{
        clock::{Clock, Timestamp},
        future::BoxFuture,
        ids::{AccountId, BlobId, MessageId},
        random::Random,
    },
    dns::Fake,
    mail::{
        address::{Address, Domain},
        by_domain::ByDomain,
        dsn::Notify,
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
    },
    queue::{
        NewMessage, Options as QueueOptions, Queue,
        admin::{Filter, MessageSummary, RecipientSummary},
        record::Here,
        schedule::Schedule,
    },
    relay::{Connector, Options, Parts, Relay, sts::Policies, tlsrpt::Ledger},
    route::{Fault, PostError, Posted, Postman, Refusal, Report, Waited},
    smtp::client::TlsClient,
    store::{Batch, Content, Engine, memory::Memory},
    verify::Draft,
};
use tokio::task::JoinSet;
use tokio_rustls::rustls::RootCertStore;

use super::mta::Mta;

pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) queue: Queue,
    pub(crate) dns: Fake,
    pub(crate) mta: Mta,
    /// Makes the connections instead.
    pub(crate) connector: Option<Arc<dyn Connector>>,
    pub(crate) policies: Option<Policies>,
    /// Counts sessions.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) postman: Keeper,
    /// Takes the reports instead.
    pub(crate) door: Option<Arc<dyn Postman>>,
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) tls: TlsClient,
    pub(crate) random: Random,
    running: JoinSet<()>,
}

/// Keeps the reports it is given, or refuses to.
#[derive(Clone, Default)]
pub(crate) struct Keeper(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    reports: Vec<(Timestamp, Report)>,
    broken: bool,
    /// What an account here has no place for.
    refusal: Option<Refusal>,
    copies: Vec<(Timestamp, Vec<AccountId>)>,
    clock: Option<Clock>,
}

impl Keeper {
    /// The reports so far, as text.
    pub(crate) fn reports(&self) -> Vec<String> {
        let kept = self.0.lock().unwrap();
        let text = |(_, report): &(_, Report)| String::from_utf8_lossy(&report.bytes).into_owned();
        kept.reports.iter().map(text).collect()
    }

    /// To whom they went, and when.
    pub(crate) fn times(&self) -> Vec<(String, Timestamp)> {
        let kept = self.0.lock().unwrap();
        let one = |(at, report): &(Timestamp, Report)| (report.to.to_string(), *at);
        kept.reports.iter().map(one).collect()
    }

    /// For whom here copies were made, and when.
    pub(crate) fn copies(&self) -> Vec<(Timestamp, Vec<AccountId>)> {
        self.0.lock().unwrap().copies.clone()
    }

    pub(crate) fn set_refusal(&self, refusal: Option<Refusal>) {
        self.0.lock().unwrap().refusal = refusal;
    }

    pub(crate) fn set_broken(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }
}

impl Postman for Keeper {
    fn add_report<'a>(
        &'a self,
        _batch: &'a mut Batch,
        report: Report,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        let kept = Arc::clone(&self.0);
        Box::pin(async move {
            let (broken, at) = {
                let kept = kept.lock().unwrap();
                (kept.broken, kept.clock.as_ref().unwrap().wall())
            };
            if broken {
                return Err(PostError::Fault("no paper".into()));
            }
            // Only what is committed counts.
            Ok(Posted::then(move || {
                kept.lock().unwrap().reports.push((at, report));
            }))
        })
    }

    fn sign(&self, _: Draft) -> BoxFuture<'_, Vec<u8>> {
        Box::pin(async { Vec::new() })
    }

    fn has_place(&self, _: AccountId) -> BoxFuture<'_, Result<Result<(), Refusal>, Fault>> {
        let refusal = self.0.lock().unwrap().refusal;
        Box::pin(async move { Ok(refusal.map_or(Ok(()), Err)) })
    }

    fn add_copies<'a>(
        &'a self,
        _batch: &'a mut Batch,
        waited: Waited,
    ) -> BoxFuture<'a, Result<Posted, PostError>> {
        let kept = Arc::clone(&self.0);
        Box::pin(async move {
            let to = waited.to.iter().map(|(here, _)| here.account).collect();
            Ok(Posted::then(move || {
                let mut kept = kept.lock().unwrap();
                let at = kept.clock.as_ref().unwrap().wall();
                kept.copies.push((at, to));
            }))
        })
    }
}

type Remote = (Address, RcptOptions);

pub(crate) const MESSAGE: &[u8] =
    b"Subject: test\r\nMessage-ID: <t@here.example>\r\n\r\n.dot\r\nend\r\n";

impl World {
    pub(crate) fn new(mta: Mta) -> Self {
        Self::over(mta, Arc::new(Memory::new()))
    }

    pub(crate) fn over(mta: Mta, engine: Arc<dyn Engine>) -> Self {
        Self::made(mta, engine, QueueOptions::default())
    }

    /// With waits of its own between attempts.
    pub(crate) fn with_waits(mta: Mta, waits: &[Duration]) -> Self {
        let schedule = Schedule {
            first: waits.to_vec(),
            ..Schedule::default()
        };
        let options = QueueOptions {
            schedules: schedule.into(),
            ..QueueOptions::default()
        };
        Self::made(mta, Arc::new(Memory::new()), options)
    }

    /// With a schedule of its own for one domain.
    pub(crate) fn with_schedule_for(mta: Mta, domain: &str, schedule: Schedule) -> Self {
        let mut schedules = ByDomain::new(Schedule::default());
        schedules.insert(&Domain::parse(domain).unwrap(), schedule);
        let options = QueueOptions {
            schedules,
            ..QueueOptions::default()
        };
        Self::made(mta, Arc::new(Memory::new()), options)
    }

    fn made(mta: Mta, engine: Arc<dyn Engine>, queue: QueueOptions) -> Self {
        let clock = Clock::steered(Timestamp::from_secs(1_800_000_000));
        let random = Random::seeded(7);
        let queue = Queue::new(Arc::clone(&engine), clock.clone(), random.clone(), queue);
        let postman = Keeper::default();
        postman.0.lock().unwrap().clock = Some(clock.clone());
        let dns = Fake::new();
        dns.set_mx(
            "there.example",
            &[(10, "mx1.there.example"), (20, "mx2.there.example")],
        );
        dns.set_addresses("mx1.there.example", &["198.51.100.1".parse().unwrap()]);
        dns.set_addresses("mx2.there.example", &["198.51.100.2".parse().unwrap()]);
        let options = Options {
            name: "mail.here.example".to_owned(),
            ..Options::default()
        };
        Self {
            engine,
            queue,
            dns,
            mta,
            connector: None,
            policies: None,
            ledger: None,
            postman,
            door: None,
            options,
            clock,
            tls: TlsClient::new(RootCertStore::empty()).unwrap(),
            random,
            running: JoinSet::new(),
        }
    }

    pub(crate) fn relay(&self) -> Relay {
        let parts = Parts {
            queue: self.queue.clone(),
            resolver: Arc::new(self.dns.clone()),
            policies: self.policies.clone(),
            ledger: self.ledger.clone(),
            connector: match &self.connector {
                Some(connector) => Arc::clone(connector),
                None => Arc::new(self.mta.clone()),
            },
            postman: match &self.door {
                Some(door) => Arc::clone(door),
                None => Arc::new(self.postman.clone()),
            },
            tls: self.tls.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
        };
        Relay::new(parts, self.options.clone())
    }

    /// Runs a relay until the world ends or `crash` is called.
    pub(crate) fn start(&mut self) {
        let relay = self.relay();
        self.running
            .spawn(async move { relay.run(pending()).await });
    }

    /// Another process opens the queue.
    pub(crate) fn reopen(&mut self) {
        self.queue = Queue::new(
            Arc::clone(&self.engine),
            self.clock.clone(),
            self.random.clone(),
            QueueOptions::default(),
        );
    }

    /// Drops the running relay wherever it stands, and everything it holds.
    pub(crate) async fn crash(&mut self) {
        self.running.shutdown().await;
    }

    /// A message from a user of ours.
    pub(crate) async fn submit(&self, recipients: &[&str]) -> MessageId {
        self.put("user@here.example", recipients, Some(AccountId(1)), MESSAGE)
            .await
    }

    /// The same, with what its sender wants to be told.
    pub(crate) async fn submit_asking(
        &self,
        options: MailOptions,
        recipients: &[(&str, RcptOptions)],
    ) -> MessageId {
        let recipients: Vec<_> = recipients
            .iter()
            .map(|(to, options)| (Address::parse(to).unwrap(), options.clone()))
            .collect();
        let sender = "user@here.example";
        let to = (recipients, Vec::new());
        self.queue_up(sender, to, Some(AccountId(1)), MESSAGE, options)
            .await
    }

    /// A message that goes nowhere without TLS (RFC 8689).
    pub(crate) async fn submit_requiring_tls(&self, to: &str) -> MessageId {
        let options = MailOptions {
            require_tls: true,
            ..MailOptions::default()
        };
        let to = [(to, RcptOptions::default())];
        self.submit_asking(options, &to).await
    }

    pub(crate) async fn put(
        &self,
        sender: &str,
        recipients: &[&str],
        origin: Option<AccountId>,
        content: &'static [u8],
    ) -> MessageId {
        let recipients = recipients.iter().map(|to| Address::parse(to).unwrap());
        let recipients = recipients.map(|to| (to, RcptOptions::default()));
        let recipients = recipients.collect();
        let options = MailOptions::default();
        self.queue_up(sender, (recipients, Vec::new()), origin, content, options)
            .await
    }

    /// The same of binary content.
    pub(crate) async fn submit_binary(&self, to: &str, content: &'static [u8]) -> MessageId {
        self.put("user@here.example", &[to], Some(AccountId(1)), content)
            .await
    }

    /// A message for accounts here that waits for its time.
    pub(crate) async fn hold(&self, options: MailOptions, accounts: &[(u64, &str)]) -> MessageId {
        let address = |n: u64| Address::parse(&format!("{n}@here.example")).unwrap();
        let notify = |text: &str| RcptOptions {
            notify: Notify::parse(text),
            original: None,
        };
        let here = accounts.iter();
        let account = |n: u64| Here {
            account: AccountId(n),
            tag: None,
        };
        let here = here.map(|(n, text)| (account(*n), address(*n), notify(text)));
        let to = (Vec::new(), here.collect());
        let sender = "user@here.example";
        self.queue_up(sender, to, Some(AccountId(1)), MESSAGE, options)
            .await
    }

    async fn queue_up(
        &self,
        sender: &str,
        (recipients, accounts): (Vec<Remote>, Vec<(Here, Address, RcptOptions)>),
        origin: Option<AccountId>,
        content: &'static [u8],
        options: MailOptions,
    ) -> MessageId {
        let now = self.clock.wall();
        let id = MessageId::fresh(now, &self.random);
        let blob = BlobId::fresh(now, &self.random);
        let mut batch = Batch::new();
        batch.body(blob, Content::Bytes(content.into()));
        let message = NewMessage {
            rewritten: None,
            head: String::new(),
            id,
            sender: match sender {
                "" => ReversePath::Null,
                sender => ReversePath::Address(Address::parse(sender).unwrap()),
            },
            recipients,
            accounts,
            blob,
            skipped: 0,
            size: content.len() as u64,
            smtputf8: false,
            body: match content.contains(&0) {
                true => BodyKind::Binary,
                false => BodyKind::EightBit,
            },
            options,
            received: now,
            origin,
        };
        self.queue.enqueue(&mut batch, &message);
        self.engine.commit(batch).await.unwrap();
        self.queue.wake();
        id
    }

    /// Lets time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets time pass until nothing is queued; panics after `limit`.
    pub(crate) async fn drained(&self, limit: Duration) {
        let end = self.clock.wall().plus(limit);
        while !self.listed().await.is_empty() {
            let left = self.listed().await;
            assert!(self.clock.wall() < end, "still queued: {left:?}");
            self.pass((limit / 1000).max(Duration::from_millis(10)))
                .await;
        }
    }

    pub(crate) async fn listed(&self) -> Vec<MessageSummary> {
        let listing = self.queue.list(&Filter::default(), None, 1000).await;
        listing.unwrap().messages
    }

    /// The only recipient of the only message.
    pub(crate) async fn only(&self) -> RecipientSummary {
        let mut messages = self.listed().await;
        assert_eq!(messages.len(), 1);
        let mut message = messages.remove(0);
        assert_eq!(message.recipients.len(), 1);
        message.recipients.remove(0)
    }

    /// Everything that the store holds for the queue.
    pub(crate) async fn residue(&self) -> usize {
        use buzon::store::{Order, PageLimit, key};
        let mut count = 0;
        for keys in [key::queue_messages(), key::queue_dues()] {
            let range = keys.prefix_range();
            let page = self
                .engine
                .page(range, PageLimit::default(), Order::Ascending);
            count += page.await.unwrap().entries.len();
        }
        count
    }
}

pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
