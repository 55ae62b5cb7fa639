//! The router: says at RCPT whether a recipient is taken, and accepts a message for all of them
//! at once.
//!
//! Invariants. `Ok` from [`Router::accept`] means durable: every copy is in its mailbox or in the
//! queue (DUR-01). Otherwise no copy is anywhere. A copy is only made for an account that exists
//! at the moment of the commit, so nothing acknowledged goes away with an account that is being
//! removed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    copies::{Copies, Queued},
    held::waiting,
    pace::{Full, Pace, Verdict},
    passing::{Rewriting, cut_circles},
    plan::{Copy, Filing, Plan, filed},
    signing::Signing,
    target::Target,
};
use crate::{
    accounts::{Directory, Snapshot, Targets},
    base::{
        clock::{Clock, Timestamp},
        ids::{AccountId, MessageId},
    },
    mail::{
        address::{Address, Domain},
        envelope::{Envelope, ForwardPath, ReversePath},
    },
    mailbox::{Arrived, FlagSet, MailboxFault, Mailboxes, Placement},
    queue::{Queue, QueueFault},
    store::{Batch, CommitError, Content, Engine, ReadError, Room, Staged, key, owners},
    verify::{Draft, Sealable},
};

/// Decides where messages go, and accepts them. Cheap to clone.
#[derive(Clone)]
pub struct Router(pub(super) Arc<Inner>);

pub(super) struct Inner {
    engine: Arc<dyn Engine>,
    clock: Clock,
    pub(super) directory: Directory,
    mailboxes: Mailboxes,
    queue: Queue,
    pace: Mutex<Pace>,
    pub(super) signing: Signing,
    pub(super) rewriting: Rewriting,
    pub(super) backup: Vec<Domain>,
    pub(super) tag_mailboxes: bool,
    /// Our name, in reports.
    reporter: String,
}

/// Settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Recipients elsewhere that one account may have in an hour.
    pub recipients_per_hour: u32,
    /// Our name, in reports.
    pub name: String,
    /// What becomes of the senders of what is passed on.
    pub rewriting: Rewriting,
    /// Domains elsewhere whose mail is taken from everybody, and goes on to their better hosts.
    pub backup: Vec<Domain>,
    /// Mail for `user+tag` goes to the mailbox `tag` of an account that has one.
    pub tag_mailboxes: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recipients_per_hour: 500,
            name: "localhost".to_owned(),
            rewriting: Rewriting::default(),
            backup: Vec::new(),
            tag_mailboxes: false,
        }
    }
}

/// Who brings a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Somebody who did not log in: to our own addresses only (RLY-01).
    Peer,
    /// An account, to anybody.
    Account(AccountId),
    /// We, with a report.
    Ourselves,
}

/// A message with everything that accepting it needs.
#[derive(Debug)]
pub struct Acceptance {
    /// Names it for ever.
    pub id: MessageId,
    /// Who brings it.
    pub origin: Origin,
    /// Who sent it. Its recipients are for the record: what counts are the targets.
    pub envelope: Envelope,
    /// The recipients that were taken.
    pub targets: Vec<Target>,
    /// Its bytes.
    pub arrived: Arrived,
    /// The same for members of groups that are here, with the fields of each group.
    pub editions: Vec<Edition>,
    /// How many of them, at its front, are fields of final delivery, Return-Path first: they stay
    /// here (RFC 5321 4.4).
    pub final_delivery_bytes: usize,
    /// It is for the junk mailboxes of those who have one.
    pub junk: bool,
    /// Its header, where [`Router::wants_header`] says so.
    pub header: Bytes,
    /// Its sender may be forged: nobody is answered.
    pub doubtful: bool,
    /// What can be sealed of it, where [`Router::passes_on`] says so.
    pub sealable: Option<Sealable>,
}

impl Acceptance {
    /// Until when all its copies wait (RFC 4865), if they do.
    pub(super) fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        let release = self.envelope.options.release?;
        (release.at > now).then_some(release.at)
    }
}

/// A message as a group sends it on to its members here.
#[derive(Debug)]
pub struct Edition {
    /// The group.
    pub list: Address,
    /// The message.
    pub arrived: Arrived,
}

/// Why a recipient or a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody here has this address, or whoever has it is out of use: 550 5.1.1.
    #[error("there is no such address")]
    UnknownRecipient,
    /// Not our domain, and nobody we relay for: 550 5.7.1.
    #[error("not our domain, and nobody we relay for")]
    RelayDenied,
    /// The account has no room left: 452 4.2.2.
    #[error("the mailbox is full")]
    OverQuota,
    /// The disk has no room left: 452 4.3.1.
    #[error("the disk is full")]
    NoRoom,
    /// An alias or a record of the recipient does not work: 451 4.3.5.
    #[error("the address is not set up right")]
    Misconfigured,
    /// The account had all its recipients of this hour: 450 4.7.1.
    #[error("{0}")]
    TooFast(Full),
    /// More copies than one commit takes: 452 4.5.3.
    #[error("too many copies")]
    TooManyCopies,
    /// Who writes to a group is none of those who may: 550 5.7.2.
    #[error("the group does not take mail from this sender")]
    NotAWriter,
    /// More groups than one message may go to: 452 4.5.3.
    #[error("too many groups")]
    TooManyLists,
    /// It came back to an address here that passed it on before: 554 5.4.6.
    #[error("the message goes in a circle")]
    Circle,
    /// It looks like a sender that we rewrote, and is not: 550 5.1.1.
    #[error("the rewritten sender is not of this server")]
    NotRewrittenHere,
    /// It is a sender that we rewrote too long ago: 550 5.1.1.
    #[error("the rewritten sender has expired")]
    RewrittenLongAgo,
    /// It is a sender that we rewrote, and what comes is no report: 550 5.7.1.
    #[error("a rewritten sender takes reports only")]
    ReportsOnly,
    /// Recipients changed while the message came in: 451 4.3.0.
    #[error("a recipient changed meanwhile")]
    Changed,
}

/// Ours or the world's fault.
#[derive(Debug, thiserror::Error)]
pub enum RouteFault {
    /// Accounts could not be read.
    #[error("the accounts cannot be read")]
    Accounts(#[from] ReadError),
    /// The queue could not be read or changed.
    #[error("the queue cannot be used")]
    Queue(#[from] QueueFault),
    /// An account's usage could not be read.
    #[error("the mailboxes cannot be read")]
    Mailboxes(#[from] MailboxFault),
    /// The commit failed.
    #[error("the message could not be stored")]
    Store(#[source] CommitError),
}

/// Why a message was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Not now, or not like this.
    #[error("the message is refused: {0}")]
    Refused(Refusal),
    /// The store failed.
    #[error(transparent)]
    Fault(#[from] RouteFault),
}

impl Router {
    /// A router over these services of one engine.
    pub fn new(
        engine: Arc<dyn Engine>,
        clock: Clock,
        directory: Directory,
        mailboxes: Mailboxes,
        queue: Queue,
        options: &Options,
    ) -> Self {
        Self(Arc::new(Inner {
            signing: Signing::new(directory.clone(), clock.clone()),
            engine,
            clock,
            directory,
            mailboxes,
            queue,
            pace: Mutex::new(Pace::new(options.recipients_per_hour)),
            rewriting: options.rewriting.clone(),
            backup: options.backup.clone(),
            tag_mailboxes: options.tag_mailboxes,
            reporter: options.name.clone(),
        }))
    }

    /// Whether anybody has keys for this message.
    pub fn may_sign(&self, draft: &Draft) -> bool {
        self.0.signing.may_sign(draft)
    }

    /// The fields that sign a message of ours or of our users, to be put before it; empty when
    /// nobody has a key for it.
    pub async fn sign(&self, draft: Draft) -> Vec<u8> {
        self.0.signing.sign(draft).await
    }

    /// Whether there is room for mail (DUR-04); cheap enough to ask at every MAIL.
    pub fn room(&self) -> Room {
        self.0.engine.room()
    }

    /// Whether a message that `from` brings, with this sender, may go to `to`.
    pub async fn recipient(
        &self,
        from: &Origin,
        sender: &ReversePath,
        to: &ForwardPath,
    ) -> Result<Result<Target, Refusal>, RouteFault> {
        if self.room() == Room::Low {
            return Ok(Err(Refusal::NoRoom));
        }
        let snapshot = self.0.directory.settled().await?;
        let target = match self.target(&snapshot, (*from, sender), (to, false)) {
            Ok(target) => target,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let (Origin::Account(account), false) = (from, target.is_local())
            && let Some(full) = self.too_fast(*account)
        {
            return Ok(Err(Refusal::TooFast(full)));
        }
        // A report tells somebody what became of his own message; it is small.
        if *from != Origin::Ourselves && self.is_full(&snapshot, &target.reached).await? {
            return Ok(Err(Refusal::OverQuota));
        }
        Ok(Ok(target))
    }

    /// Accepts a message for all its targets, or for none.
    pub async fn accept(&self, mut acceptance: Acceptance) -> Result<Copies, AcceptError> {
        self.keep_suspicious(&mut acceptance).await?;
        self.prepare_rewriting(&acceptance).await;
        let seal = self.seal(&acceptance).await;
        for attempt in 0..ATTEMPTS_MAX {
            cut_circles(&mut acceptance).map_err(AcceptError::Refused)?;
            let mut batch = Batch::new();
            let filing = self.filing(&acceptance).await;
            let filing = filing.map_err(RouteFault::from)?;
            let told = self.tell_success(&mut batch, &acceptance).await;
            // A message is not refused because somebody else is being answered all the time.
            let answered = match attempt < ANSWER_ATTEMPTS_MAX {
                true => self.answer(&mut batch, &acceptance).await,
                false => Vec::new(),
            };
            let composed = self
                .compose_filed(&mut batch, &acceptance, (&filing, &seal))
                .map_err(AcceptError::Refused)?;
            match self.0.engine.commit(batch).await {
                Ok(_) => {
                    for (line, posted) in told.into_iter().chain(answered) {
                        line.log();
                        posted.announce();
                    }
                    if let Origin::Account(account) = acceptance.origin {
                        self.pace().count(account, composed.queued, Instant::now());
                    }
                    return Ok(composed.copies(acceptance.targets));
                }
                Err(CommitError::Conflict) => self.resolve_again(&mut acceptance).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(AcceptError::Refused(Refusal::Changed))
    }

    /// Adds all copies of a message to a batch that the caller commits, for a report that must come
    /// about together with what it is about. The batch then happens only while the accounts
    /// exist; after a conflict the targets must be asked for again.
    pub fn compose(&self, batch: &mut Batch, acceptance: &Acceptance) -> Result<Composed, Refusal> {
        self.compose_filed(batch, acceptance, (&HashMap::new(), ""))
    }

    /// The same, with the copies of some accounts in other mailboxes than INBOX, and what is passed
    /// on sealed.
    pub(super) fn compose_filed(
        &self,
        batch: &mut Batch,
        acceptance: &Acceptance,
        (filing, seal): (&Filing, &str),
    ) -> Result<Composed, Refusal> {
        let now = self.0.clock.wall();
        let held_until = acceptance.held_until(now);
        let mut plan = Plan::of(&acceptance.targets, |account| match held_until {
            // RFC 4865 4: the queue has it until then.
            Some(_) => Vec::new(),
            None => filed(account, filing),
        });
        if held_until.is_some() {
            let (targets, addresses) = (&acceptance.targets, &acceptance.envelope.recipients);
            let snapshot = self.0.directory.snapshot();
            plan.hold(waiting(targets, addresses, &snapshot));
        }
        let (queued, waiting) = (plan.leaving(), plan.waiting());
        let listed = plan.editions.iter().map(|(_, copies)| copies.len());
        let stay = listed.fold(plan.copies.len(), usize::saturating_add);
        match stay.saturating_add(queued).saturating_add(waiting) {
            0 => return Err(Refusal::UnknownRecipient),
            1..=COPIES_MAX => {}
            _ => return Err(Refusal::TooManyCopies),
        }
        let mailings = plan.mailings.len();
        if acceptance.junk {
            // Of a group whose members keep what they forward it was not known that there is one.
            let is_there = |list: &Address| acceptance.editions.iter().any(|of| of.list == *list);
            let (editions, others): (Vec<_>, Vec<_>) = plan
                .editions
                .into_iter()
                .partition(|(list, _)| is_there(list));
            plan.editions = editions;
            plan.copies
                .extend(others.into_iter().flat_map(|(_, copies)| copies));
        }
        self.place(batch, &acceptance.arrived, (&plan.copies, mailings), now);
        let mut copies = plan.copies;
        for (list, listed) in plan.editions {
            let is_its = |edition: &&Edition| edition.list == list;
            // A group that became one while the message came in has none.
            let edition = acceptance.editions.iter().find(is_its);
            let edition = edition.ok_or(Refusal::Changed)?;
            self.place(batch, &edition.arrived, (&listed, 0), now);
            copies.extend(listed);
        }
        let mailings = self.enqueue(batch, acceptance, (plan.mailings, seal), now);
        Ok(Composed {
            router: self.clone(),
            copies,
            mailings,
            queued,
            held_until: held_until.filter(|_| queued.saturating_add(waiting) > 0),
        })
    }

    /// Adds a body and the copies of it that stay here; so many mailings hold it, too.
    fn place(
        &self,
        batch: &mut Batch,
        arrived: &Arrived,
        (copies, mailings): (&[Copy], usize),
        now: Timestamp,
    ) {
        let holders = copies.len().saturating_add(mailings);
        if holders == 0 {
            return;
        }
        let holders = u32::try_from(holders).unwrap_or(u32::MAX);
        owners::own_first(batch, arrived.blob, holders);
        batch.body(arrived.blob, another(&arrived.content));
        let mut placement = Placement::of(arrived, now, FlagSet::default());
        let facts = placement.facts.len().saturating_mul(copies.len());
        if copies.len() > 1 && facts > FACTS_BYTES_MAX {
            self.0.mailboxes.share_facts(batch, &mut placement);
        }
        for copy in copies {
            batch.present(key::account(copy.account));
            placement.flags.clone_from(&copy.flags);
            let mailboxes = &self.0.mailboxes;
            mailboxes.place(batch, copy.account, copy.mailbox, &placement);
        }
    }

    /// Has what waits for this domain tried now, and for those below it; answers how many
    /// recipients that are (RFC 1985).
    pub async fn hasten(&self, node: &Domain, below: bool) -> Result<usize, RouteFault> {
        Ok(self.0.queue.hasten(node, below).await?)
    }

    /// Our name, in reports.
    pub(super) fn reporter(&self) -> &str {
        &self.0.reporter
    }

    /// Where copies are placed.
    pub(super) fn mailboxes(&self) -> &Mailboxes {
        &self.0.mailboxes
    }

    /// Where copies for elsewhere wait.
    pub(super) fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// Accounts and addresses as they are now.
    pub(super) async fn settled(&self) -> Result<Arc<Snapshot>, ReadError> {
        self.0.directory.settled().await
    }

    /// Where everything is stored.
    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.0.engine
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.wall()
    }

    /// Whether the account had its recipients of this hour. Said once in an hour to the operator:
    /// it may be a stolen password.
    fn too_fast(&self, account: AccountId) -> Option<Full> {
        match self.pace().judge(account, Instant::now()) {
            Verdict::Go => None,
            Verdict::Full { full, first } => {
                if first {
                    tracing::warn!(
                        account.id = account.0,
                        per_hour = full.per_hour,
                        "an account sends to too many recipients"
                    );
                }
                Some(full)
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody whom the recipient reaches has room (RLY-02). A member of a list who has
    /// none gets his copy all the same: dropping it would lose mail, and refusing it would refuse
    /// everybody's. A message that comes while there is room is taken whole, whatever its size.
    pub(super) async fn is_full(
        &self,
        snapshot: &Snapshot,
        reached: &Targets,
    ) -> Result<bool, MailboxFault> {
        if !reached.is_local() {
            return Ok(false);
        }
        for id in reached.all_accounts() {
            let quota = snapshot
                .account(id)
                .map_or(0, |account| account.quota_bytes);
            if self.0.mailboxes.used_bytes(id).await? < quota {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks for the targets again, after an account or a mailbox was gone at the commit.
    async fn resolve_again(&self, acceptance: &mut Acceptance) -> Result<(), AcceptError> {
        self.0.directory.reload().await.map_err(RouteFault::from)?;
        let snapshot = self.0.directory.snapshot();
        for taken in &mut acceptance.targets {
            let options = std::mem::take(&mut taken.options);
            *taken = self
                .target(
                    &snapshot,
                    (acceptance.origin, &acceptance.envelope.sender),
                    (&taken.path, acceptance.junk),
                )
                .map_err(|_| AcceptError::Refused(Refusal::Changed))?
                .with(options);
        }
        Ok(())
    }
}

/// Copies in a batch. Dropping it tells those who wait for them; telling them although the batch
/// did not happen does no harm, so it may be dropped at any time.
#[must_use = "drop it after the commit"]
pub struct Composed {
    router: Router,
    copies: Vec<Copy>,
    mailings: Vec<Queued>,
    queued: usize,
    held_until: Option<Timestamp>,
}

impl Composed {
    /// What the copies are, for the log; `targets` are those it was composed for.
    pub fn copies(&self, targets: Vec<Target>) -> Copies {
        Copies {
            targets,
            snapshot: self.router.0.directory.snapshot(),
            delivered: self.copies.clone(),
            mailings: self.mailings.clone(),
            queued: self.queued,
            held_until: self.held_until,
        }
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        for copy in &self.copies {
            self.router.0.mailboxes.announce(copy.account, copy.mailbox);
        }
        if self.queued > 0 || self.held_until.is_some() {
            self.router.0.queue.wake();
        }
    }
}

impl From<CommitError> for AcceptError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Refused(Refusal::NoRoom),
            CommitError::Conflict => Self::Refused(Refusal::Changed),
            // Only the number of copies makes a batch of ours too large.
            CommitError::Unacceptable(_) => Self::Refused(Refusal::TooManyCopies),
            other => Self::Fault(RouteFault::Store(other)),
        }
    }
}

/// The same body for one more try; its bytes are shared.
fn another(content: &Content) -> Content {
    match content {
        Content::Bytes(bytes) => Content::Bytes(bytes.clone()),
        Content::Staged(staged) => Content::Staged(Staged {
            length: staged.length,
            token: Arc::clone(&staged.token),
        }),
    }
}

/// How often a message is accepted again after its recipients changed.
const ATTEMPTS_MAX: usize = 4;
/// How often of these its answers are part of it.
const ANSWER_ATTEMPTS_MAX: usize = 2;
/// Bytes that the facts of all copies may take of a commit; more are stored once for all copies.
const FACTS_BYTES_MAX: usize = 256 * 1024;
/// Copies of one message. A commit takes as many.
const COPIES_MAX: usize = 10_000;
