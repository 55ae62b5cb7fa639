//! The service: what other floors call. Placing messages, reading emails and usage.
//!
//! Names are in the file of the tree, changes of messages in that of the handle, APPEND and
//! background work in their own.

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    bodies::BodyPieces,
    compose::sum_usage,
    core::Core,
    email::{self, Email},
    fault::{ChangeError, MailboxFault},
    flags::FlagSet,
    handle::Mailbox,
    intake::{Arrived, Intake},
    listener::Listener,
    notify::{Follower, Watch},
    record::{self, Arrival, Arrivals},
    rights::Rights,
};
use crate::{
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, BlobId, EmailId, MailboxId, Uid},
        random::Random,
    },
    store::{About, Applied, Batch, Engine, KeyRange, Order, PageLimit, Pages, key},
};

/// All mailboxes of all accounts. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Mailboxes {
    pub(super) core: Arc<Core>,
}

/// Settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long an expunged message stays stored for sessions that still show it (DUR-08 I7).
    pub grace: Duration,
    /// LIM-37: bytes of bodies on their way in that may be in memory at once; what comes beyond
    /// goes to the store as it comes.
    pub body_memory_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(600),
            body_memory_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What an account holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the sizes of all messages of all mailboxes.
    pub bytes: u64,
    /// Their number.
    pub messages: u64,
}

/// A message to be placed in a mailbox.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Its body, made durable by the same batch.
    pub blob: BlobId,
    /// Bytes of the body.
    pub size: u64,
    /// How many octets of CRLF its last line lacks.
    pub crlf_missing: u8,
    /// What FETCH needs, encoded.
    pub facts: Bytes,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// Its first flags.
    pub flags: FlagSet,
}

impl Placement {
    /// A message that arrived.
    pub fn of(arrived: &Arrived, internal_date: Timestamp, flags: FlagSet) -> Self {
        Self {
            blob: arrived.blob,
            size: arrived.size,
            crlf_missing: arrived.crlf_missing,
            facts: arrived.facts.clone(),
            internal_date,
            flags,
        }
    }
}

/// Where the numbers of a placed message will be among [`Applied::counters`].
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    uid: usize,
}

impl Placed {
    /// The UID that the commit assigned.
    pub fn uid(&self, applied: &Applied) -> Option<Uid> {
        Uid::new(u32::try_from(*applied.counters.get(self.uid)?).ok()?)
    }
}

impl Mailboxes {
    /// The mailboxes in `engine`.
    pub fn new(engine: Arc<dyn Engine>, clock: Clock, random: Random, options: Options) -> Self {
        Self {
            core: Arc::new(Core::new(engine, clock, random, options)),
        }
    }

    /// Opens a mailbox for its owner; its shared index is current then.
    pub async fn open(
        &self,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Mailbox, ChangeError> {
        self.open_with(account, mailbox, Rights::ALL).await
    }

    /// Opens a mailbox for one who has these rights to it.
    pub async fn open_with(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        rights: Rights,
    ) -> Result<Mailbox, ChangeError> {
        let shared = self.core.shared(account, mailbox).await?;
        Ok(Mailbox::new(Arc::clone(&self.core), shared, rights))
    }

    /// Watches an account for changes from now on.
    pub fn watch(&self, account: AccountId) -> Watch {
        self.core.hub.watch(account)
    }

    /// Hears which accounts change, from now on. For one task of the process.
    pub fn follow(&self) -> Follower {
        self.core.hub.follow()
    }

    /// Hears what changes in accounts, and what it is about.
    pub fn listener(&self) -> Listener {
        Listener::new(Arc::clone(&self.core.hub))
    }

    /// Wakes those who are interested in an account, after a commit that brought messages to one
    /// of its mailboxes.
    pub fn announce(&self, account: AccountId, mailbox: MailboxId) {
        self.core.hub.announce(account, &[About::Messages(mailbox)]);
    }

    /// The sum of the sizes of all messages of the account.
    pub async fn used_bytes(&self, account: AccountId) -> Result<u64, MailboxFault> {
        self.core.sum(&key::used_bytes(account)).await
    }

    /// What the account holds.
    pub async fn usage(&self, account: AccountId) -> Result<Usage, MailboxFault> {
        Ok(Usage {
            bytes: self.used_bytes(account).await?,
            messages: self.core.sum(&key::used_messages(account)).await?,
        })
    }

    /// Begins to take in a body.
    pub fn intake(&self) -> Intake {
        let core = &self.core;
        Intake::new(
            Arc::clone(&core.engine),
            core.memory.clone(),
            core.fresh_blob(),
        )
    }

    /// The same for a body of which `editions` more are wanted, each with a head of its own.
    pub fn intake_for(&self, editions: usize) -> Intake {
        let fresh = std::iter::repeat_with(|| self.core.fresh_blob());
        self.intake().with_editions(fresh.take(editions).collect())
    }

    /// Adds one message to a mailbox, as part of `batch`: the batch then happens only while the
    /// mailbox exists. The body, its owners (`store::owners`) and [`Self::announce`] are the
    /// caller's.
    pub fn place(
        &self,
        batch: &mut Batch,
        account: AccountId,
        mailbox: MailboxId,
        placement: &Placement,
    ) -> Placed {
        let modseq = batch.take_one(key::modseq(account));
        let uid = batch.take_one(key::uid(account, mailbox));
        let email = batch.take_one(key::email_counter(account));
        batch.present(key::mailbox(account, mailbox));
        // A body as large as that is refused on its way in.
        let size = u32::try_from(placement.size).unwrap_or(u32::MAX);
        let arrivals = Arrivals {
            saved: record::saved_at(self.core.clock.wall()),
            sets: vec![placement.flags.clone()],
            messages: vec![Arrival {
                email: 0,
                set: 0,
                internal_date: placement.internal_date.0,
                size,
                crlf_missing: placement.crlf_missing,
            }],
        };
        let facts = &placement.facts;
        let stored = email::encode(placement.blob, placement.size, facts);
        batch.put(
            key::log_numbered(account, mailbox, modseq),
            record::appended_new(&arrivals, uid, email),
        );
        batch.put(key::email_numbered(account, email), stored);
        sum_usage(batch, account, i64::from(size), 1);
        self.core.count_record(account, mailbox);
        Placed { uid }
    }

    /// Puts the facts of a message for many beside its body, once for all of its emails; they go
    /// with the body. `placement` has none then, so place it with as many mailboxes as a batch
    /// takes.
    pub fn share_facts(&self, batch: &mut Batch, placement: &mut Placement) {
        let facts = std::mem::take(&mut placement.facts);
        batch.put(key::body_facts(placement.blob), facts.to_vec());
    }

    /// What is stored of these emails, in the order asked for. Neighbours are read by range, so
    /// asking for some hundred at once is cheapest; the facts of all of them are in memory then.
    pub async fn emails(
        &self,
        account: AccountId,
        ids: &[EmailId],
    ) -> Result<Vec<Option<Email>>, MailboxFault> {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        if !ids.is_sorted() {
            order.sort_by_key(|&place| ids[place]);
        }
        let mut emails: Vec<Option<Email>> = vec![None; ids.len()];
        for run in order.chunk_by(|&a, &b| ids[b].0 - ids[a].0 <= RUN_GAP) {
            let (Some(&first), Some(&last)) = (run.first(), run.last()) else {
                continue;
            };
            if run.len() < RUN_LENGTH_MIN {
                for &place in run {
                    let key = key::email(account, ids[place]);
                    if let Some(value) = self.core.engine.get(&key).await? {
                        emails[place] = decoded(ids[place], &value);
                    }
                }
                continue;
            }
            let range = KeyRange {
                from: key::email(account, ids[first]),
                to: key::email(account, ids[last]).successor(),
            };
            let mut wanted = run.iter().copied().peekable();
            let mut pages = Pages::new(&*self.core.engine, range);
            while let Some(entries) = pages.next().await? {
                for (key, value) in &entries {
                    let Some(id) = key.last_u64().map(EmailId) else {
                        continue;
                    };
                    while wanted.next_if(|&place| ids[place] < id).is_some() {}
                    while let Some(place) = wanted.next_if(|&place| ids[place] == id) {
                        emails[place] = decoded(id, value);
                    }
                }
            }
        }
        self.add_shared_facts(&mut emails).await?;
        Ok(emails)
    }

    /// The first emails of the account numbered above `after`, ascending; `None` for a record that
    /// is damaged. There are no more when there are none. Numbers only rise, so whoever has read
    /// up to one has missed none below it.
    pub async fn emails_after(
        &self,
        account: AccountId,
        after: EmailId,
    ) -> Result<Vec<(EmailId, Option<Email>)>, MailboxFault> {
        let range = KeyRange {
            from: key::email(account, after).successor(),
            to: key::emails(account).prefix_range().to,
        };
        let limit = PageLimit::entries(100);
        let page = self
            .core
            .engine
            .page(range, limit, Order::Ascending)
            .await?;
        let ids = page.entries.iter().filter_map(|(key, _)| key.last_u64());
        let ids: Vec<EmailId> = ids.map(EmailId).collect();
        let values = ids.iter().zip(&page.entries);
        let mut emails: Vec<_> = values.map(|(id, (_, value))| decoded(*id, value)).collect();
        self.add_shared_facts(&mut emails).await?;
        Ok(ids.into_iter().zip(emails).collect())
    }

    /// Completes emails without facts of their own: those that share them with others.
    async fn add_shared_facts(&self, emails: &mut [Option<Email>]) -> Result<(), MailboxFault> {
        for email in emails.iter_mut().flatten() {
            if email.facts.is_empty() {
                let shared = self.core.engine.get(&key::body_facts(email.blob)).await?;
                email.facts = shared.unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Bytes `span` of a body.
    pub fn body(&self, blob: BlobId, span: Range<u64>) -> BodyPieces {
        BodyPieces::new(Arc::clone(&self.core.engine), blob, span)
    }
}

/// A damaged record is as good as none (DUR-10): the rest of the mailbox stays readable.
fn decoded(id: EmailId, value: &Bytes) -> Option<Email> {
    let email = Email::decode(id, value).ok();
    if email.is_none() {
        tracing::error!(email.id = id.0, "the record of an email is damaged");
    }
    email
}

/// Emails this far apart are still read by one range.
const RUN_GAP: u64 = 4;
/// Fewer neighbours than this are read one by one.
const RUN_LENGTH_MIN: usize = 3;
