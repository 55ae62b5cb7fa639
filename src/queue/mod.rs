//! Outbound mail as data: messages, their recipients, and when each is due.
//!
//! Every recipient of a queued message has a record of its own and, unless it is held, one row in
//! an index of due times. All changes are conditional writes against the recipient's exact bytes,
//! so two workers, or a worker and an operator, cannot both win. A lease marks work in hand; its
//! end is its due time, so work that a crash left behind becomes due by itself. RFC 5321 4.5.4.1.
//! States and who may change them: docs/STORE-queue.md. Not here: hosts, connections, reports
//! (`relay`).

pub mod admin;
mod body;
mod due;
mod lease;
pub mod news;
mod pause;
pub mod record;
pub mod schedule;

pub use body::StoredBody;
pub use due::{DuePage, Position, QueueFault};
pub use lease::{CRASHES_MAX, Lease, Leased, Outcome, RecordError};
pub use pause::{PAUSES_MAX, PauseError, Pauses};

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, BlobId, MessageId},
        random::Random,
    },
    mail::{
        address::{Address, Domain},
        by_domain::ByDomain,
        envelope::{BodyKind, MailOptions, RcptOptions, ReversePath},
    },
    store::{Batch, Engine, key},
};
use news::News;
use record::{Due, Here, MessageRecord, RecipientRecord, State};
use schedule::Schedule;

/// The queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    engine: Arc<dyn Engine>,
    clock: Clock,
    random: Random,
    options: Options,
    changed: Notify,
    /// How often the relay was told to look at everything anew.
    recalls: AtomicU64,
    /// What is paused, once it was read.
    pauses: Mutex<Option<Arc<Pauses>>>,
    /// What was counted last, and until when that will do.
    census: tokio::sync::Mutex<Option<(Arc<admin::Census>, Instant)>>,
    news: News,
}

/// Settings of the queue.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long work in hand stays in hand without a renewal.
    pub lease: Duration,
    /// When attempts are made again, and when no more, for recipients of each domain.
    pub schedules: ByDomain<Schedule>,
    /// How long senders may have their messages wait (RFC 4865).
    pub hold_max: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(300),
            schedules: Schedule::default().into(),
            hold_max: Duration::from_secs(30 * 86_400),
        }
    }
}

/// A message to be queued.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Names it from its acceptance on.
    pub id: MessageId,
    /// Where failures are reported.
    pub sender: ReversePath,
    /// What MAIL says of a forwarded copy instead: the sender, rewritten.
    pub rewritten: Option<Address>,
    /// Fields that are sent before what is stored.
    pub head: String,
    /// Who elsewhere shall get it, and what was said of him.
    pub recipients: Vec<(Address, RcptOptions)>,
    /// Who here gets it when its time has come, and by what address.
    pub accounts: Vec<(Here, Address, RcptOptions)>,
    /// Its bytes, which the same batch makes durable or which exist already.
    pub blob: BlobId,
    /// How many of them, at their front, are of final delivery and not sent (RFC 5321 4.4).
    pub skipped: u32,
    /// Length in bytes of what is sent of them.
    pub size: u64,
    /// RFC 6531: header or addresses are internationalized.
    pub smtputf8: bool,
    /// RFC 6152: what the body holds.
    pub body: BodyKind,
    /// What else its sender said of it.
    pub options: MailOptions,
    /// When it was accepted.
    pub received: Timestamp,
    /// The account that submitted it, if one did.
    pub origin: Option<AccountId>,
}

impl Queue {
    /// A queue over `engine`.
    pub fn new(engine: Arc<dyn Engine>, clock: Clock, random: Random, options: Options) -> Self {
        Self(Arc::new(Inner {
            engine,
            clock,
            random,
            options,
            changed: Notify::new(),
            recalls: AtomicU64::new(0),
            pauses: Mutex::default(),
            census: tokio::sync::Mutex::default(),
            news: News::default(),
        }))
    }

    /// Adds `message` to `batch`, every recipient due at once, or when it is to be released. The
    /// queue becomes one owner of the body; a caller that gives the body further owners says so in
    /// the same batch. A message without recipients adds nothing. Call [`Queue::wake`] after the
    /// commit.
    pub fn enqueue(&self, batch: &mut Batch, message: &NewMessage) {
        let count = message.recipients.len() + message.accounts.len();
        let recipients = u32::try_from(count).unwrap_or(u32::MAX);
        if recipients == 0 {
            return;
        }
        let record = MessageRecord {
            sender: message.sender.clone(),
            rewritten: message.rewritten.clone(),
            head: message.head.clone(),
            blob: message.blob,
            skipped: message.skipped,
            size: message.size,
            received: message.received,
            origin: message.origin,
            smtputf8: message.smtputf8,
            body: message.body,
            options: message.options.clone(),
            recipients,
        };
        batch.put(key::queue_message(message.id), record.encode());
        let now = self.0.clock.wall();
        // RFC 4865 4: never before.
        let (state, due) = match message.options.release {
            Some(release) if release.at > now => (State::Scheduled(release.at), release.at),
            _ => (State::Waiting(now), now),
        };
        let elsewhere = message.recipients.iter();
        let elsewhere = elsewhere.map(|(address, options)| (None, address, options));
        let here = message.accounts.iter();
        let here = here.map(|(here, address, options)| (Some(here), address, options));
        for (n, (here, address, options)) in (0..recipients).zip(elsewhere.chain(here)) {
            let fresh = RecipientRecord::fresh(address.clone(), options.clone(), state);
            let here = here.cloned();
            let recipient = RecipientRecord { here, ..fresh };
            batch.put(key::queue_recipient(message.id, n), recipient.encode());
            let row = Due::value(&recipient, record.turn());
            batch.put(key::queue_due(due, message.id, n), row);
        }
    }

    /// A name for a message that begins now.
    pub fn fresh_id(&self) -> MessageId {
        MessageId::fresh(self.0.clock.wall(), &self.0.random)
    }

    /// Tells the relay that the queue changed; call it after the commit.
    pub fn wake(&self) {
        self.0.changed.notify_one();
    }

    /// Waits until someone calls [`Queue::wake`]; a call that nobody waited for is not lost.
    pub async fn woken(&self) {
        self.0.changed.notified().await;
    }

    /// Tells the relay that it must not go on with what it found: where it goes, or whether, has
    /// changed.
    fn recall(&self) {
        self.0.recalls.fetch_add(1, Ordering::AcqRel);
    }

    /// How often that happened.
    pub fn recalls(&self) -> u64 {
        self.0.recalls.load(Ordering::Acquire)
    }

    /// What happens to queued mail.
    pub fn news(&self) -> &News {
        &self.0.news
    }

    /// The retry schedule for recipients of this domain.
    pub fn schedule(&self, domain: &Domain) -> &Schedule {
        self.0.options.schedules.of(domain)
    }

    /// How long a lease lasts without renewal.
    pub fn lease_term(&self) -> Duration {
        self.0.options.lease
    }
}
