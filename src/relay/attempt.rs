//! The work for one destination: message after message over one connection while there are any.
//!
//! A message is claimed right before its attempt and its lease renewed while it lasts; who loses
//! the lease drops the connection where it stands. A connection that was used before may
//! have been closed by the other side meanwhile: what fails on it before any content was sent is
//! tried on a fresh one. A server that stops puts back at once what has not come to its final dot,
//! and waits for the answer to what has.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Destination, Shared,
    board::{Group, Heard},
    handover::Handover,
    open::Closed,
    plan::Elsewhere,
    pool::Session,
    verdict::{Finding, heard, ours, too_late, wish_for_less},
};
use crate::{
    base::{
        clock::Timestamp,
        ids::{AccountId, MessageId},
        text::{Causes, Quoted},
    },
    mail::{
        address::Address,
        envelope::{BodyKind, RcptOptions},
        urgency::{ByMode, Deadline},
    },
    observe::story::asked,
    queue::{
        Lease, Queue, RecordError,
        record::{Diagnosis, MessageRecord, Order, RecipientRecord, Status},
    },
    smtp::client::{Conversation, Fate, Mail, Sent},
};

/// Whether work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Yes.
    Running,
    /// What may be changing hands is finished; all else stops where it stands.
    Draining,
    /// Everything stops where it stands.
    Aborting,
}

/// Works for `to` until nothing is left for it, beginning with `first`.
pub(super) async fn work(
    shared: Arc<Shared>,
    to: Destination,
    first: Group,
    phase: watch::Receiver<Phase>,
) {
    let mut hand = Hand {
        live: None,
        shared: &shared,
        to: &to,
        down: None,
    };
    let running = || *phase.borrow() == Phase::Running;
    let mut next = Some(first);
    while let Some(group) = next {
        next = match hand.deliver(&group, &phase).await {
            Then::Next if running() => shared.board().next(&to, Instant::now()),
            Then::Next | Then::Stop => None,
        };
    }
    let Some(Live { session, .. }) = hand.live.take() else {
        return;
    };
    let kept = if running() {
        shared.pool().put(session, Instant::now())
    } else {
        Err(session)
    };
    match kept {
        Ok(()) => {}
        Err(session) if running() => session.conversation.quit().await,
        Err(session) => part(session.conversation).await,
    }
}

/// Says goodbye while the server stops: without waiting long for the answer.
pub(super) async fn part(conversation: Conversation) {
    let _ = timeout(GOODBYE, conversation.quit()).await;
}

/// One attempt after the other for one destination.
struct Hand<'a> {
    shared: &'a Shared,
    to: &'a Destination,
    live: Option<Live<'a>>,
    /// What became of the first message when no host could be spoken to: the others behind it are
    /// not kept waiting for the same answer.
    down: Option<Finding>,
}

/// A conversation in use; the board knows of it as long as it lives.
struct Live<'a> {
    session: Box<Session>,
    _mark: Mark<'a>,
}

struct Mark<'a>(&'a Shared, &'a Destination);

impl<'a> Live<'a> {
    fn new(session: Box<Session>, shared: &'a Shared, to: &'a Destination) -> Self {
        shared.board().opened(to, Instant::now());
        Self {
            session,
            _mark: Mark(shared, to),
        }
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        self.0.board().closed(self.1);
    }
}

/// Leaves a connection to whomever it will do for.
async fn keep(shared: &Shared, live: Live<'_>) {
    let kept = shared.pool().put(live.session, Instant::now());
    if let Err(session) = kept {
        session.conversation.quit().await;
    }
}

/// Whether an attempt takes another message.
enum Then {
    Next,
    Stop,
}

/// How a transaction went.
enum Round {
    /// Findings for at least one recipient.
    Found(Vec<(u32, Finding)>),
    /// The destination talks to others of us and to no more: nothing was attempted.
    Crowded,
}

/// What one transaction is about.
pub(super) struct Work {
    pub(super) id: MessageId,
    pub(super) message: MessageRecord,
    pub(super) recipients: Vec<(u32, Address, RcptOptions)>,
    /// The accounts of those who have their mailbox here.
    pub(super) accounts: Vec<(u32, AccountId)>,
    /// The number of this attempt.
    attempt: u32,
    /// Whether the message may be changing hands.
    handover: Handover,
}

/// How a piece of work under a lease ended.
enum Held<T> {
    Done(T),
    Lost,
    Aborted,
}

impl<'a> Hand<'a> {
    /// One message, as many transactions as it takes.
    async fn deliver(&mut self, group: &Group, phase: &watch::Receiver<Phase>) -> Then {
        let shared = self.shared;
        let queue = &shared.parts.queue;
        let claimed = queue.claim(group).await;
        shared.board().forget(group);
        let mut lease = match claimed {
            Ok(Some(lease)) => lease,
            Ok(None) => return Then::Next,
            Err(error) => {
                tracing::warn!(error = %Causes(&error), "queued mail could not be claimed");
                return Then::Next;
            }
        };
        let ordered = ended(&lease, shared.parts.clock.wall());
        let mut on =
            ordered.is_empty() || shared.conclude(&mut lease, ordered, Instant::now()).await;
        while on && !lease.recipients.is_empty() {
            let work = Work::of(&lease);
            let started = Instant::now();
            let round = Box::pin(self.round(&work));
            let phase = (phase.clone(), &work.handover);
            match held(queue, &mut lease, phase, round).await {
                Held::Done(Round::Found(findings)) => {
                    on = shared.conclude(&mut lease, findings, started).await;
                }
                Held::Done(Round::Crowded) => {
                    shared.put_back(lease).await;
                    queue.wake();
                    return Then::Stop;
                }
                Held::Lost => {
                    tracing::warn!(id = %lease.id, "the lease was lost during an attempt");
                    return Then::Next;
                }
                Held::Aborted => {
                    shared.put_back(lease).await;
                    return Then::Stop;
                }
            }
        }
        Then::Next
    }

    /// One transaction.
    async fn round(&mut self, work: &Work) -> Round {
        if *self.to == Destination::Here {
            return Round::Found(self.shared.here(work).await);
        }
        // RFC 8460 3: what keeps other mail from a host need not keep a report about it.
        let lax = work.message.options.despite_tls;
        if let Some(down) = self.down.as_ref().filter(|_| !lax) {
            return work.all(down);
        }
        // What one host said that wants us to try elsewhere.
        let mut refused: Option<(Elsewhere, Vec<(u32, Finding)>)> = None;
        loop {
            let elsewhere = refused.as_ref().map(|(elsewhere, _)| elsewhere);
            let warm = self.warm().await;
            let borrowed = lax && warm.is_none();
            let (mut live, fresh) = match warm {
                Some(live) => (live, false),
                None => match asked::of(work.id, self.shared.open(self.to, elsewhere, lax)).await {
                    Ok((session, fresh)) => (Live::new(session, self.shared, self.to), fresh),
                    Err(closed) => {
                        return match (refused, closed) {
                            (Some((_, findings)), _) => self.found(findings),
                            (None, Closed::Full) => {
                                self.shared.heard(self.to, Heard::Busy, &[]);
                                Round::Crowded
                            }
                            (None, Closed::Because(finding)) => self.unopened(work, finding),
                        };
                    }
                },
            };
            work.log(self.to, &live.session);
            self.shared
                .tell_begun(self.to, work, (&*live.session, fresh));
            let sent = self.shared.transact(work, &mut live.session).await;
            if sent
                .fates
                .iter()
                .any(|fate| matches!(fate, Fate::Delivered(_)))
            {
                let bytes = work.message.sent_bytes();
                self.shared.tell_carried(self.to, bytes);
            }
            let (host, at) = (live.session.host.clone(), live.session.place.to);
            if sent.usable && borrowed {
                // It is not what the policies want that the next message may have to obey.
                keep(self.shared, live).await;
            } else if sent.usable {
                self.live = Some(live);
            } else if !fresh && !sent.content_begun {
                continue;
            }
            let told = |finding: Finding| match (sent.reports, work.is_traced(&sent)) {
                (_, true) => finding.traced(),
                (true, false) => finding,
                (false, false) => finding.untold(),
            };
            let fates = work.recipients.iter().zip(&sent.fates);
            let findings =
                fates.filter_map(|((n, ..), fate)| Some((*n, told(Finding::of(&host, fate)?))));
            let findings = settled(findings.collect());
            match Elsewhere::of(&findings, at.ip(), elsewhere) {
                Some(elsewhere) => {
                    tracing::debug!(id = %work.id, host, "refused here; another address may do");
                    if elsewhere.is_failure() {
                        self.shared.recall().failed(at, Instant::now());
                    }
                    if let Some(Live { session, .. }) = self.live.take() {
                        session.conversation.quit().await;
                    }
                    refused = Some((elsewhere, findings));
                }
                None => return self.found(findings),
            }
        }
    }

    /// What a conversation brought, of which the pace is told.
    fn found(&self, findings: Vec<(u32, Finding)>) -> Round {
        if let Some(what) = heard(&findings) {
            self.shared.heard(self.to, what, &findings);
        }
        Round::Found(findings)
    }

    /// No host could be spoken to. One that talks to others of us and wants no more of them gets
    /// fewer; one that wants nothing of us now gets nothing for a while.
    fn unopened(&mut self, work: &Work, finding: Finding) -> Round {
        let is_talking = self.shared.board().is_talking(self.to);
        self.shared.tell_unopened(self.to);
        let found = [(0, finding)];
        let wants_less = heard(&found) == Some(Heard::Less);
        let what = match wants_less && !is_talking {
            true => Heard::Less,
            false => Heard::Nothing,
        };
        self.shared.heard(self.to, what, &found);
        let [(_, finding)] = found;
        if is_talking && matches!(finding, Finding::Later(_)) {
            return Round::Crowded;
        }
        self.down = Some(finding.clone());
        work.all(&finding)
    }

    /// The connection in hand, unless it carried enough.
    async fn warm(&mut self) -> Option<Live<'a>> {
        let live = self.live.take()?;
        if !live.session.is_worn() {
            return Some(live);
        }
        live.session.conversation.quit().await;
        None
    }
}

impl Shared {
    /// Sends the message over `session`.
    async fn transact(&self, work: &Work, session: &mut Session) -> Sent {
        let recipients = work.recipients.iter();
        let recipients: Vec<_> = recipients.map(|(_, who, options)| (who, options)).collect();
        let sender = work.message.reverse_path();
        let mut mail = Mail {
            sender: &sender,
            recipients: &recipients,
            size: work.message.sent_bytes(),
            smtputf8: work.message.smtputf8,
            body: work.message.body,
            by: work
                .message
                .options
                .deliver_by
                .map(|by| by.left(self.parts.clock.wall())),
            options: &work.message.options,
        };
        let mut body = self.parts.queue.body(&work.message);
        let binary = mail.body == BodyKind::Binary;
        let lines = match binary && !session.conversation.takes_binary() {
            true => {
                let to = (work.id, session.host.as_str());
                self.in_lines(to, &work.message).await
            }
            false => Ok(None),
        };
        let sent = match lines {
            Ok(Some(mut lines)) => {
                (mail.body, mail.size) = (BodyKind::EightBit, lines.size);
                let mut lines = work.handover.of(&mut lines);
                session.conversation.send(&mail, &mut lines).await
            }
            Ok(None) => {
                let mut body = work.handover.of(&mut body);
                session.conversation.send(&mail, &mut body).await
            }
            Err(error) => Sent::unread(recipients.len(), &error),
        };
        session.messages += 1;
        sent
    }

    /// Sets the pace for a destination by what was heard of it.
    fn heard(&self, to: &Destination, what: Heard, findings: &[(u32, Finding)]) {
        let rest = self.board().heard(to, what, Instant::now());
        if let Some(rest) = rest {
            let secs = rest.as_secs();
            self.tell_rest(to, rest, wish_for_less(findings));
            tracing::info!(destination = %to, secs, "the destination wants less: it has a rest");
        }
    }

    /// Ends a lease under which nothing was attempted.
    async fn put_back(&self, lease: Lease) {
        if let Err(error) = self.parts.queue.release(lease).await {
            tracing::warn!(%error, "what was not attempted could not be put back");
        }
    }
}

impl Work {
    fn of(lease: &Lease) -> Self {
        let recipients = lease.recipients.iter();
        Self {
            id: lease.id,
            message: lease.message.clone(),
            recipients: recipients
                .map(|leased| {
                    let RecipientRecord {
                        address, options, ..
                    } = &leased.record;
                    (leased.n, address.clone(), options.clone())
                })
                .collect(),
            accounts: recipients_here(lease),
            attempt: lease
                .recipients
                .first()
                .map_or(0, |first| first.record.attempts),
            handover: Handover::default(),
        }
    }

    /// Whether the sender is told that a server took it: of each that does, or only of one that
    /// does not know in what time (RFC 2852 4).
    fn is_traced(&self, sent: &Sent) -> bool {
        let traced = |by: Deadline| by.trace || by.mode == ByMode::Notify && !sent.hurries;
        self.message.options.deliver_by.is_some_and(traced)
    }

    /// The same finding for all recipients.
    fn all(&self, finding: &Finding) -> Round {
        let recipients = self.recipients.iter();
        Round::Found(recipients.map(|(n, ..)| (*n, finding.clone())).collect())
    }

    /// The line in the mail log that says that an attempt begins.
    fn log(&self, to: &Destination, session: &Session) {
        tracing::info!(
            target: "mail",
            id = %self.id,
            recipients = self.recipients.len(),
            destination = %to,
            host = %Quoted::str(&session.host),
            tls = session.conversation.is_encrypted(),
            verified = session.conversation.is_verified(),
            policy = %Quoted::str(&session.by.to_string()),
            attempt = self.attempt,
            "attempted"
        );
    }
}

/// The recipients who have their mailbox here.
fn recipients_here(lease: &Lease) -> Vec<(u32, AccountId)> {
    let recipients = lease.recipients.iter();
    let here =
        recipients.filter_map(|leased| Some((leased.n, leased.record.here.as_ref()?.account)));
    here.collect()
}

/// RFC 5321 4.5.3.1.10: recipients beyond what the server takes at once go into the next
/// transaction, if this one got any further.
fn settled(findings: Vec<(u32, Finding)>) -> Vec<(u32, Finding)> {
    let further = findings.iter().any(|(_, finding)| {
        matches!(
            finding,
            Finding::Delivered(_) | Finding::Relayed(_) | Finding::Traced(_)
        )
    });
    let settle = |(n, finding)| match finding {
        Finding::TooMany(_) if further => None,
        Finding::TooMany(why) => Some((n, Finding::Later(why))),
        finding => Some((n, finding)),
    };
    findings.into_iter().filter_map(settle).collect()
}

/// The recipients that only a report is left of: an operator gave them up, they came to an end
/// before and the report had no place, or the time is over in which the message was wanted. Nobody
/// is asked again about them.
fn ended(lease: &Lease, now: Timestamp) -> Vec<(u32, Finding)> {
    let by = lease.message.options.deliver_by;
    let late = by.is_some_and(|by| by.returns(now));
    let ended = lease.recipients.iter().filter_map(|leased| {
        let record = &leased.record;
        let finding = match (record.order, &record.last) {
            (Order::Deliver, last) if late => Finding::Never(too_late(last.as_ref())),
            (Order::Deliver, _) => return None,
            (Order::Report, Some(why)) => Finding::reported(why.clone()),
            (Order::Bounce | Order::Report, last) => Finding::Never(given_up(last.as_ref())),
        };
        Some((leased.n, finding))
    });
    ended.collect()
}

/// What is said of a recipient that an operator gave up.
fn given_up(last: Option<&Diagnosis>) -> Diagnosis {
    let text = "the operator of this server gave up on this message";
    ours(Status(5, 0, 0), text, last)
}

/// Does `work` while the lease is renewed and the server does not stop. Work that is not done is
/// dropped.
async fn held<T>(
    queue: &Queue,
    lease: &mut Lease,
    (mut phase, handover): (watch::Receiver<Phase>, &Handover),
    mut work: Pin<Box<impl Future<Output = T>>>,
) -> Held<T> {
    let mut expires = Instant::now() + queue.lease_term();
    loop {
        tokio::select! {
            done = &mut work => return Held::Done(done),
            () = sleep(queue.lease_term() / 3) => match queue.renew(lease).await {
                Ok(()) => expires = Instant::now() + queue.lease_term(),
                Err(RecordError::LeaseLost) => return Held::Lost,
                Err(error) => {
                    tracing::warn!(%error, id = %lease.id, "a lease could not be renewed");
                    if Instant::now() >= expires {
                        return Held::Lost;
                    }
                }
            },
            () = stopped(&mut phase, handover) => return Held::Aborted,
        }
    }
}

/// Waits until this work is to stop: when the server does, unless the message may be another
/// server's already; then when its answer takes too long. An error means that the worker is gone,
/// which is the same.
async fn stopped(phase: &mut watch::Receiver<Phase>, handover: &Handover) {
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
    if handover.has_begun() {
        let _ = phase.wait_for(|phase| *phase == Phase::Aborting).await;
    }
}

/// How long a goodbye may take while the server stops.
const GOODBYE: Duration = Duration::from_secs(1);
