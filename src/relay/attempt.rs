//! The work for one destination: message after message over one connection while there are any.
//!
//! A message is claimed right before its attempt and its lease renewed while it lasts; who loses the lease drops
//! the connection where it stands. A connection that was used before may have been closed by the other
//! side meanwhile: what fails on it before any content was sent is tried on a fresh one.

use std::{pin::Pin, sync::Arc};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{Destination, Shared, board::Group, pool::Session, verdict::Finding};
use crate::{
    base::ids::MessageId,
    mail::address::Address,
    queue::{
        Lease, Queue, RecordError,
        record::{Diagnosis, MessageRecord, Order, Status},
    },
    smtp::client::{Fate, Mail},
};

/// Whether work goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Yes.
    Running,
    /// Messages in hand are finished, no others begun.
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
    let session = shared.pool().take(&to, Instant::now());
    let mut hand = Hand {
        shared: &shared,
        to: &to,
        session,
        down: None,
    };
    let running = || *phase.borrow() == Phase::Running;
    let mut next = Some(first);
    while let Some(group) = next {
        hand.deliver(&group, &phase).await;
        next = Some(())
            .filter(|()| running())
            .and_then(|()| shared.board().next(&to));
    }
    let Some(session) = hand.session.take() else {
        return;
    };
    let kept = if running() {
        shared.pool().put(&to, session, Instant::now())
    } else {
        Err(session)
    };
    if let Err(session) = kept {
        session.conversation.quit().await;
    }
}

/// One attempt after the other for one destination.
struct Hand<'a> {
    shared: &'a Shared,
    to: &'a Destination,
    session: Option<Session>,
    /// What became of the first message when no host could be spoken to: the others behind it are not
    /// kept waiting for the same answer.
    down: Option<Finding>,
}

/// What one transaction is about.
struct Work {
    id: MessageId,
    message: MessageRecord,
    recipients: Vec<(u32, Address)>,
}

/// How a piece of work under a lease ended.
enum Held<T> {
    Done(T),
    Lost,
    Aborted,
}

impl Hand<'_> {
    /// One message, as many transactions as it takes.
    async fn deliver(&mut self, group: &Group, phase: &watch::Receiver<Phase>) {
        let queue = &self.shared.parts.queue;
        let claimed = queue.claim(group).await;
        self.shared.board().forget(group);
        let mut lease = match claimed {
            Ok(Some(lease)) => lease,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(error = %report_chain(&error), "queued mail could not be claimed");
                return;
            }
        };
        let ordered = bounces(&lease);
        let mut on = ordered.is_empty()
            || self
                .shared
                .conclude(&mut lease, ordered, Instant::now())
                .await;
        while on && !lease.recipients.is_empty() {
            let work = Work::of(&lease);
            tracing::info!(
                target: "mail",
                id = %work.id,
                event = "attempt",
                recipients = work.recipients.len(),
                destination = ?self.to,
                attempt = lease.recipients.first().map_or(0, |first| first.record.attempts),
            );
            let started = Instant::now();
            let round = Box::pin(self.round(&work));
            match held(queue, &mut lease, phase.clone(), round).await {
                Held::Done(findings) => {
                    on = self.shared.conclude(&mut lease, findings, started).await;
                }
                Held::Lost => {
                    tracing::warn!(id = %lease.id, "the lease was lost during an attempt");
                    return;
                }
                Held::Aborted => {
                    if let Err(error) = queue.release(lease).await {
                        tracing::warn!(%error, "an interrupted attempt could not be put back");
                    }
                    return;
                }
            }
        }
    }

    /// One transaction; findings for at least one recipient.
    async fn round(&mut self, work: &Work) -> Vec<(u32, Finding)> {
        let all = |finding: &Finding| {
            let recipients = work.recipients.iter();
            recipients.map(|(n, _)| (*n, finding.clone())).collect()
        };
        if let Some(down) = &self.down {
            return all(down);
        }
        loop {
            let (mut session, fresh) = match self.warm().await {
                Some(session) => (session, false),
                None => match self.shared.open(self.to).await {
                    Ok(session) => (session, true),
                    Err(finding) => {
                        self.shared.board().refused(self.to);
                        self.down = Some(finding.clone());
                        return all(&finding);
                    }
                },
            };
            let recipients: Vec<_> = work.recipients.iter().map(|(_, to)| to).collect();
            let mail = Mail {
                sender: &work.message.sender,
                recipients: &recipients,
                size: work.message.size,
                smtputf8: work.message.smtputf8,
                body: work.message.body,
            };
            let mut body = self.shared.parts.queue.body(&work.message);
            let sent = session.conversation.send(&mail, &mut body).await;
            session.messages += 1;
            let host = session.host.clone();
            if sent
                .fates
                .iter()
                .any(|fate| matches!(fate, Fate::Delivered(_)))
            {
                self.shared.board().succeeded(self.to);
            }
            if sent.usable {
                self.session = Some(session);
            } else if !fresh && !sent.content_begun {
                continue;
            } else if sent.closing {
                self.shared.board().refused(self.to);
            }
            let findings = sent.fates.iter().map(|fate| Finding::of(&host, fate));
            let numbers = work.recipients.iter().map(|(n, _)| *n);
            return settled(numbers.zip(findings).collect());
        }
    }

    /// The connection in hand, unless it carried enough.
    async fn warm(&mut self) -> Option<Session> {
        let session = self.session.take()?;
        if session.messages < MESSAGES_MAX {
            return Some(session);
        }
        session.conversation.quit().await;
        None
    }
}

impl Work {
    fn of(lease: &Lease) -> Self {
        let recipients = lease.recipients.iter();
        Self {
            id: lease.id,
            message: lease.message.clone(),
            recipients: recipients
                .map(|leased| (leased.n, leased.record.address.clone()))
                .collect(),
        }
    }
}

/// RFC 5321 4.5.3.1.10: recipients beyond what the server takes at once go into the next transaction, if
/// this one got any further.
fn settled(findings: Vec<(u32, Finding)>) -> Vec<(u32, Finding)> {
    let further = findings
        .iter()
        .any(|(_, finding)| matches!(finding, Finding::Delivered(_)));
    let settle = |(n, finding)| match finding {
        Finding::TooMany(_) if further => None,
        Finding::TooMany(why) => Some((n, Finding::Later(why))),
        finding => Some((n, finding)),
    };
    findings.into_iter().filter_map(settle).collect()
}

/// The recipients that an operator gave up.
fn bounces(lease: &Lease) -> Vec<(u32, Finding)> {
    let given_up = lease
        .recipients
        .iter()
        .filter(|leased| leased.record.order == Order::Bounce);
    given_up
        .map(|leased| {
            let mut text = "the operator of this server gave up on this message".to_owned();
            if let Some(last) = &leased.record.last {
                text = format!("{text}; the last attempt: {}", last.text());
            }
            let why = Diagnosis::new(None, 0, Status(5, 0, 0), &text);
            (leased.n, Finding::Never(why))
        })
        .collect()
}

/// Does `work` while the lease is renewed and nobody aborts. Work that is not done is dropped.
async fn held<T>(
    queue: &Queue,
    lease: &mut Lease,
    mut phase: watch::Receiver<Phase>,
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
            () = aborted(&mut phase) => return Held::Aborted,
        }
    }
}

/// Waits until everything is to stop. An error means that the worker is gone, which is the same.
async fn aborted(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Aborting).await;
}

/// An error and its sources, on one line.
pub(super) fn report_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Transactions over one connection.
const MESSAGES_MAX: u32 = 100;
