//! What follows from the findings of an attempt: the record, the report, the line in the log.
//!
//! Done right after the peer's reply, in one commit: recipients that are finished go, others get
//! their next time, and the one report to the sender is part of it. What is told is what the
//! sender asked for (RFC 3461 5.2); who asked for nothing hears of failures, and of delays if he
//! submitted here. No report is made about mail that has no sender, so reports never cause
//! reports. A report that has no place now is tried again alone: who took a message or refused it
//! for good never gets it again, and after twice the patience for a message the report is given up,
//! too.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{
    Destination, Shared,
    verdict::{Finding, too_late},
};
use crate::{
    base::{
        clock::Timestamp,
        ids::MessageId,
        text::{Causes, Quoted},
    },
    mail::{
        address::Address,
        dsn::Ret,
        envelope::{BodyKind, RcptOptions},
    },
    queue::{
        Lease, Leased, Outcome, QueueFault, RecordError,
        record::{Advice, Diagnosis},
        schedule::{History, Next, Schedule},
    },
    route::{
        FirstLine, PostError, Posted, Report,
        report::{Built, Entry, Event, Facts, HEADER_BYTES_MAX, WHOLE_BYTES_MAX, build},
    },
    store::{Batch, CommitError},
};

/// What becomes of one recipient, and why.
pub(super) struct Decision {
    n: u32,
    pub(super) address: Address,
    /// Where it was to go.
    pub(super) to: Destination,
    options: RcptOptions,
    attempted: Option<Timestamp>,
    becomes: Becomes,
    pub(super) why: Diagnosis,
    /// What the sender is told of it.
    told: Option<Event>,
    /// RFC 2852 4: that the time he gave is over, too.
    late: bool,
    /// It goes into a mailbox here.
    here: bool,
    /// What follows should this be an end and the report of it have no place.
    unreported: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Becomes {
    Delivered,
    Failed,
    Retried {
        at: Timestamp,
    },
    /// At an end, and the report is tried again then.
    Unreported {
        at: Timestamp,
    },
    /// At an end, and nobody will be told.
    Untold,
}

impl Shared {
    /// Records `findings`. Answers whether the lease is still ours for the recipients that remain.
    pub(super) async fn conclude(
        &self,
        lease: &mut Lease,
        findings: Vec<(u32, Finding)>,
        started: Instant,
    ) -> bool {
        let now = self.parts.clock.wall();
        // The same for all, so that recipients that failed together go together again.
        let random = self.parts.random.below(u64::MAX);
        let decisions: Vec<_> = findings
            .into_iter()
            .filter_map(|(n, finding)| self.decide(lease, n, finding, (now, random)))
            .collect();
        decisions.is_empty() || self.settle(lease, decisions, started).await
    }

    /// Commits `decisions`, with the report that goes with them.
    async fn settle(
        &self,
        lease: &mut Lease,
        mut decisions: Vec<Decision>,
        started: Instant,
    ) -> bool {
        let now = self.parts.clock.wall();
        for _ in 0..RECORD_TRIES {
            let mut batch = Batch::new();
            let told = match self.tell(lease, &decisions, now, &mut batch).await {
                Ok(told) => told,
                Err(error) => {
                    unwritten(lease.id, &*error);
                    batch = Batch::new();
                    postpone(&mut decisions);
                    None
                }
            };
            let here = decisions.iter().filter(|decision| decision.here);
            let here: Vec<_> = here.map(|decision| decision.n).collect();
            let copied = match self.hand_over(lease, &here, &mut batch).await {
                Ok(copied) => copied,
                Err(error) => {
                    let error = Causes(&error).to_string();
                    tracing::error!(error, id = %lease.id, "copies could not be made");
                    sleep(FAULT_PAUSE).await;
                    continue;
                }
            };
            let outcomes: Vec<_> = decisions.iter().map(Decision::outcome).collect();
            match self.parts.queue.record(lease, &outcomes, batch).await {
                Ok(()) => {
                    log(lease, &decisions, started);
                    self.tell_ended(lease, &decisions);
                    if let Some(posted) = copied {
                        posted.announce();
                    }
                    if let Some((line, posted)) = told {
                        line.log();
                        posted.announce();
                    }
                    // The worker sleeps until what was next before; this may come sooner.
                    if decisions.iter().any(Decision::is_retried) {
                        self.parts.queue.wake();
                    }
                    return true;
                }
                Err(RecordError::Conflict) => {}
                Err(RecordError::Fault(QueueFault::Commit(full @ CommitError::Full)))
                    if told.is_some() =>
                {
                    // Without the report there may be room for the rest.
                    unwritten(lease.id, &full);
                    postpone(&mut decisions);
                }
                Err(RecordError::LeaseLost) => {
                    tracing::warn!(id = %lease.id, "an attempt ended after its lease was lost");
                    return false;
                }
                Err(error) => {
                    let error = Causes(&error).to_string();
                    tracing::error!(error, id = %lease.id, "an outcome could not be recorded");
                    sleep(FAULT_PAUSE).await;
                }
            }
        }
        // The lease runs out and the recipients become due again.
        tracing::error!(id = %lease.id, "an outcome was not recorded; it will be attempted again");
        false
    }

    /// What one finding means for its recipient, now and with this randomness.
    fn decide(
        &self,
        lease: &Lease,
        n: u32,
        finding: Finding,
        moment: (Timestamp, u64),
    ) -> Option<Decision> {
        let leased = lease.recipients.iter().find(|leased| leased.n == n)?;
        let (now, random) = moment;
        let history = |attempts| History {
            received: lease.message.began(),
            attempts,
        };
        let unreported = history(leased.record.reports_tried());
        let history = history(leased.record.attempts);
        let schedule = self.parts.queue.schedule(&leased.record.address.domain);
        let options = &leased.record.options;
        let by = lease.message.options.deliver_by;
        let here = matches!(finding, Finding::Here(_));
        let mut late = false;
        let (becomes, why, told) = match finding {
            Finding::Delivered(why) => (Becomes::Delivered, why, None),
            // RFC 3461 5.2.2 (b).
            Finding::Relayed(why) => {
                let told = options.wants_success().then_some(Event::Relayed);
                (Becomes::Delivered, why, told)
            }
            // RFC 2852 4: unless he wants to hear nothing.
            Finding::Traced(why) => {
                let event = match leased.record.here {
                    Some(_) => Event::Delivered,
                    None => Event::Relayed,
                };
                let told = (!options.wants_nothing()).then_some(event);
                (Becomes::Delivered, why, told)
            }
            Finding::Here(why) => {
                let told = options.wants_success().then_some(Event::Delivered);
                (Becomes::Delivered, why, told)
            }
            Finding::Never(why) => (Becomes::Failed, why, failed(options)),
            Finding::Later(why) | Finding::TooMany(why) if by.is_some_and(|by| by.returns(now)) => {
                (Becomes::Failed, too_late(Some(&why)), failed(options))
            }
            Finding::Later(why) | Finding::TooMany(why) => {
                match again(schedule, &why, history, moment) {
                    Next::GiveUp => (Becomes::Failed, why, failed(options)),
                    Next::RetryAt(at) => {
                        late = by.is_some_and(|by| by.is_over(now))
                            && !leased.record.late_told
                            && options.notify.is_none_or(|notify| notify.delay);
                        // What happens at the end of the time happens then.
                        let end = by.map(|by| by.at).filter(|end| *end > now);
                        let at = end.map_or(at, |end| at.min(end));
                        let due = !leased.record.delay_told
                            && wants_delay(lease, leased)
                            && schedule.delay_is_due(history.received, now)
                            || late;
                        let until = schedule.gives_up_at(history.received);
                        let told = due.then_some(Event::Delayed { until });
                        (Becomes::Retried { at }, why, told)
                    }
                }
            }
        };
        Some(Decision {
            n,
            address: leased.record.address.clone(),
            to: self.options.destination_of(&leased.record),
            options: options.clone(),
            attempted: leased.record.attempted.map(|(_, last)| last),
            becomes,
            why,
            told,
            late,
            here,
            unreported: schedule.after_report(unreported, now, random),
        })
    }

    /// Adds the report that goes with `decisions` to `batch`, which is left empty when nobody can
    /// be told.
    async fn tell(
        &self,
        lease: &Lease,
        decisions: &[Decision],
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<Option<(FirstLine, Posted)>, BoxError> {
        let Some(report) = self.report(lease, decisions, now).await else {
            return Ok(None);
        };
        let line = report.first_line();
        match self.parts.postman.add_report(batch, report).await {
            Ok(posted) => Ok(Some((line, posted))),
            Err(PostError::Undeliverable(why)) => {
                *batch = Batch::new();
                tracing::info!(
                    target: "mail",
                    id = %lease.id,
                    from = %Quoted::str(&lease.message.sender.to_string()),
                    reason = %Quoted::str(&why.to_string()),
                    "untold"
                );
                Ok(None)
            }
            Err(PostError::Fault(error)) => Err(error),
        }
    }

    /// The report about `decisions`, if there is something to tell and somebody to be told.
    async fn report(
        &self,
        lease: &Lease,
        decisions: &[Decision],
        now: Timestamp,
    ) -> Option<Report> {
        let entries: Vec<_> = decisions.iter().filter_map(Decision::entry).collect();
        if entries.is_empty() {
            return None;
        }
        // RFC 5321 4.5.5: nothing is ever said to the null path.
        let to = lease.message.sender.address()?;
        let message = &lease.message;
        // RFC 3461 4.3: only of failures, and not too much.
        let whole = message.options.ret == Some(Ret::Full)
            // RFC 8689 5: as if it was HDRS.
            && !message.options.require_tls
            && message.size <= WHOLE_BYTES_MAX
            && entries.iter().any(|entry| entry.event == Event::Failed);
        let limit = if whole {
            WHOLE_BYTES_MAX
        } else {
            HEADER_BYTES_MAX as u64
        };
        let beginning = self.parts.queue.beginning(message, limit).await;
        let beginning = beginning.unwrap_or_else(|error| {
            // A damaged body must not keep its sender in the dark.
            tracing::error!(id = %lease.id, %error, "a queued message could not be read");
            Bytes::new()
        });
        let id = MessageId::fresh(now, &self.parts.random);
        let Built {
            bytes,
            smtputf8,
            eight_bit,
        } = build(&Facts {
            id,
            original: lease.id,
            options: &message.options,
            reporter: &self.options.name,
            to,
            received: message.received,
            now,
            recipients: &entries,
            beginning: &beginning,
            whole: whole && beginning.len() as u64 == message.size,
        });
        Some(Report {
            id,
            about: lease.id,
            to: to.clone(),
            bytes: bytes.into(),
            smtputf8,
            require_tls: message.options.require_tls,
            despite_tls: false,
            body: if eight_bit {
                BodyKind::EightBit
            } else {
                BodyKind::SevenBit
            },
        })
    }
}

/// When an attempt that brought `why` is made again.
fn again(schedule: &Schedule, why: &Diagnosis, history: History, moment: (Timestamp, u64)) -> Next {
    let (now, random) = moment;
    match why.advice() {
        Advice::Soon => schedule.after_greylisting(history, now, random),
        _ => schedule.after(history, now, random),
    }
}

/// RFC 3461 5.2.6.
fn failed(options: &RcptOptions) -> Option<Event> {
    options.wants_failure().then_some(Event::Failed)
}

/// RFC 3461 5.2.5; without a word, only those who submitted here are told.
fn wants_delay(lease: &Lease, leased: &Leased) -> bool {
    match leased.record.options.notify {
        Some(notify) => notify.delay,
        None => lease.message.origin.is_some(),
    }
}

/// A report that cannot be written now must not be lost: it is tried again, and nothing else is.
fn postpone(decisions: &mut [Decision]) {
    for decision in decisions {
        let is_over = matches!(decision.becomes, Becomes::Delivered | Becomes::Failed);
        if decision.told.take().is_some() && is_over {
            decision.becomes = match decision.unreported {
                Next::RetryAt(at) => Becomes::Unreported { at },
                Next::GiveUp => Becomes::Untold,
            };
        }
    }
}

fn unwritten(about: MessageId, error: &(dyn std::error::Error + 'static)) {
    let error = Causes(error);
    tracing::warn!(%error, id = %about, "a report could not be written: it waits");
}

/// The end of a recipient whose sender was to be told and could not be, for too long.
fn untold(lease: &Lease, decision: &Decision) {
    let why = &decision.why;
    let words = format!("{} {} {}", why.code, why.status, why.text());
    tracing::error!(
        target: "mail",
        id = %lease.id,
        to = %Quoted::str(&format!("<{}>", decision.address)),
        from = %Quoted::str(&lease.message.sender.to_string()),
        reason = %Quoted::str(&words),
        "untold"
    );
}

/// One line for each recipient, in the mail log.
fn log(lease: &Lease, decisions: &[Decision], started: Instant) {
    let id = lease.id;
    let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    for decision in decisions {
        let event = match decision.word() {
            // The line of its copy tells of it.
            "delivered" => continue,
            "untold" => {
                untold(lease, decision);
                continue;
            }
            event => event,
        };
        let why = &decision.why;
        let words = format!("{} {}", why.status, why.text());
        // Words of ours have no code.
        let said = format!("{} {words}", why.code);
        let (reply, reason) = match why.code {
            0 => (None, Some(Quoted::str(&words))),
            _ => (Some(Quoted::str(&said)), None),
        };
        let host = why.host.as_deref().map(Quoted::str);
        let failed = event != "sent" && why.status.0 > 2;
        tracing::info!(
            target: "mail",
            id = %id,
            to = %Quoted::str(&format!("<{}>", decision.address)),
            host = host.map(tracing::field::display),
            reply = reply.map(tracing::field::display),
            reason = reason.map(tracing::field::display),
            class = failed.then(|| tracing::field::display(why.class.word())),
            took_ms = took,
            "{event}"
        );
    }
}

impl Decision {
    fn outcome(&self) -> (u32, Outcome) {
        let outcome = match self.becomes {
            Becomes::Delivered | Becomes::Failed | Becomes::Untold => Outcome::Finished,
            Becomes::Retried { at } => Outcome::Retry {
                at,
                why: self.why.clone(),
                delay_told: self.told.is_some(),
                late_told: self.told.is_some() && self.late,
            },
            Becomes::Unreported { at } => Outcome::Report {
                at,
                why: self.why.clone(),
            },
        };
        (self.n, outcome)
    }

    /// What a report says of it.
    fn entry(&self) -> Option<Entry<'_>> {
        Some(Entry {
            address: &self.address,
            original: self.options.original.as_ref(),
            event: self.told?,
            why: Some(&self.why).filter(|_| !self.here),
            late: self.late,
            attempted: self.attempted,
        })
    }

    /// What became of it, in the mail log's word.
    pub(super) fn word(&self) -> &'static str {
        match self.becomes {
            Becomes::Delivered if self.here => "delivered",
            Becomes::Delivered => "sent",
            Becomes::Failed => "bounced",
            Becomes::Unreported { .. } => "unreported",
            Becomes::Untold => "untold",
            Becomes::Retried { .. } if self.told.is_some() => "delayed",
            Becomes::Retried { .. } => "deferred",
        }
    }

    /// When it is tried again.
    pub(super) fn again(&self) -> Option<Timestamp> {
        match self.becomes {
            Becomes::Retried { at } | Becomes::Unreported { at } => Some(at),
            Becomes::Delivered | Becomes::Failed | Becomes::Untold => None,
        }
    }

    fn is_retried(&self) -> bool {
        self.again().is_some()
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How often a commit is tried: others may finish recipients of the same message at the same time.
const RECORD_TRIES: usize = 16;
/// Between tries while the store fails.
const FAULT_PAUSE: Duration = Duration::from_secs(1);
