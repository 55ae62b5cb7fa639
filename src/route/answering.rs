//! When an account answers: once per sender and some days, and in the same commit that takes the
//! message which is answered.
//!
//! So there is an answer exactly when there is the message, whatever crashes, and who was answered
//! is remembered with it (DUR-02): a queue of answers to be written later would be one more thing
//! that can be half done. Should two messages of one sender come at once, the second commit meets
//! the first and is decided again. What cannot be answered now is taken unanswered. Per account a
//! thousand senders are remembered; beyond them nobody is answered until some are forgotten.

use std::time::Duration;

use bytes::Bytes;
use ring::digest::{SHA256, digest};

use super::{
    answer::{Answer, addressed, silence, written},
    postman::{FirstLine, Posted, Report},
    router::{Acceptance, Router},
    target::Target,
};
use crate::{
    accounts::{Account, Entry, OutOfOffice, Snapshot},
    base::{clock::Timestamp, ids::AccountId, text::Causes},
    mail::{
        address::Address,
        envelope::{BodyKind, ForwardPath},
    },
    store::{Batch, Key, Pages, ReadError, key},
};

/// An answer in a batch: its first line in the log, and who waits for it.
pub(super) type Answered = (FirstLine, Posted);

impl Router {
    /// Adds the answers to a message to the batch that takes it; what they are is used after the
    /// commit.
    pub(super) async fn answer(&self, batch: &mut Batch, acceptance: &Acceptance) -> Vec<Answered> {
        let mut answered = Vec::new();
        // RFC 3834 2: the null path is never answered, nor is what may be forged (nobody asked for
        // it) or was sent to all.
        let Some(sender) = acceptance.envelope.sender.address() else {
            return answered;
        };
        let header = &acceptance.header;
        if acceptance.junk || acceptance.doubtful || header.is_empty() {
            return answered;
        }
        let snapshot = self.0.directory.snapshot();
        let now = self.now();
        // Nobody has it yet.
        if acceptance.held_until(now).is_some() {
            return answered;
        }
        let away = self.away(&snapshot, &acceptance.targets, now);
        if away.is_empty() || silence(header, sender).is_some() {
            return answered;
        }
        for (account, absence) in away.into_iter().take(ANSWERS_MAX) {
            // A group that the account owns is not the account (RFC 5230 4.6).
            let is_own = |address: &Address| {
                snapshot.owns(account.id, address) && !is_group(&snapshot, address)
            };
            let Some(from) = addressed(header, is_own).filter(|_| !is_own(sender)) else {
                continue;
            };
            let memory = match self.recall((account.id, absence), sender, now).await {
                Ok(Some(memory)) => memory,
                Ok(None) => continue,
                Err(error) => {
                    let error = Causes(&error);
                    tracing::warn!(%error, account = %account.id, "an answer was left out");
                    continue;
                }
            };
            let written = self.write(batch, acceptance, absence, (&from, sender));
            if let Some(answer) = written.await {
                memory.keep(batch, now);
                answered.push(answer);
            }
        }
        answered
    }

    /// Whether somebody here may answer, for whom the message's header is needed.
    pub(super) fn may_answer(&self, targets: &[Target]) -> bool {
        let snapshot = self.0.directory.snapshot();
        !self.away(&snapshot, targets, self.now()).is_empty()
    }

    /// The accounts that are meant by these targets and answer now, each once. Who forwards all
    /// his mail answers, too.
    fn away<'a>(
        &self,
        snapshot: &'a Snapshot,
        targets: &[Target],
        now: Timestamp,
    ) -> Vec<(&'a Account, &'a OutOfOffice)> {
        let mut away: Vec<(&Account, &OutOfOffice)> = Vec::new();
        for target in targets {
            let meant = match &target.path {
                ForwardPath::Address(address) => named(snapshot, address),
                ForwardPath::Postmaster => None,
            };
            for id in target.reached.accounts.iter().copied().chain(meant) {
                let account = snapshot.account(id).filter(|account| !account.disabled);
                let absence = account.and_then(|account| {
                    let absence = account.out_of_office.as_ref()?;
                    absence.applies(now).then_some((account, absence))
                });
                if let Some(found) = absence
                    && away.iter().all(|(known, _)| known.id != id)
                {
                    away.push(found);
                }
            }
        }
        away
    }

    /// What is remembered of this sender; none when he was answered not long ago, or too many
    /// others were.
    async fn recall(
        &self,
        (account, absence): (AccountId, &OutOfOffice),
        sender: &Address,
        now: Timestamp,
    ) -> Result<Option<Memory>, ReadError> {
        let term = Duration::from_secs(u64::from(absence.days).saturating_mul(86_400));
        // DUR-07: a time to come is of a clock that was wrong.
        let is_young = |stored: &Bytes| {
            let at = stored
                .first_chunk()
                .map(|bytes| Timestamp(u64::from_be_bytes(*bytes)));
            at.is_some_and(|at| at <= now && now.since(at) < term)
        };
        let own = key::answered(account, &mark(absence, sender));
        let mut young = 0_usize;
        let mut before = None;
        let mut forgotten = Vec::new();
        let engine = self.engine();
        let mut pages = Pages::new(engine, key::all_answered(account).prefix_range());
        while let Some(page) = pages.next().await? {
            for (key, stored) in page {
                if key == own {
                    before = Some(stored);
                } else if is_young(&stored) {
                    young = young.saturating_add(1);
                } else if forgotten.len() < FORGOTTEN_AT_ONCE {
                    forgotten.push(key);
                }
            }
        }
        if before.as_ref().is_some_and(is_young) || young >= REMEMBERED_MAX {
            return Ok(None);
        }
        Ok(Some(Memory {
            own,
            before,
            forgotten,
        }))
    }

    /// Writes the answer itself.
    async fn write(
        &self,
        batch: &mut Batch,
        acceptance: &Acceptance,
        absence: &OutOfOffice,
        (from, to): (&Address, &Address),
    ) -> Option<Answered> {
        let id = self.queue().fresh_id();
        let bytes = written(&Answer {
            id,
            host: self.reporter(),
            from,
            to,
            now: self.now(),
            subject: &absence.subject,
            text: &absence.text,
            header: &acceptance.header,
        });
        let report = Report {
            id,
            about: acceptance.id,
            to: to.clone(),
            bytes: bytes.into(),
            smtputf8: !to.is_ascii() || !from.is_ascii(),
            require_tls: acceptance.envelope.options.require_tls,
            despite_tls: false,
            body: BodyKind::SevenBit,
        };
        let line = report.first_line();
        // RFC 3834 3.3: from the null path, like a report.
        match self.add_report(batch, report).await {
            Ok(posted) => Some((line, posted)),
            Err(error) => {
                let error = Causes(&error);
                tracing::warn!(%error, id = %acceptance.id, "an answer was left out");
                None
            }
        }
    }
}

/// What an account remembers of a sender whom it may answer.
struct Memory {
    own: Key,
    before: Option<Bytes>,
    /// Others whose time is over.
    forgotten: Vec<Key>,
}

impl Memory {
    /// Writes that he is answered now. The batch then happens only if nobody answered him
    /// meanwhile.
    fn keep(self, batch: &mut Batch, now: Timestamp) {
        batch.unchanged(self.own.clone(), self.before);
        batch.put(self.own, now.0.to_be_bytes().to_vec());
        for key in self.forgotten {
            batch.delete(key);
        }
    }
}

/// The account that an address is, without what it forwards.
fn named(snapshot: &Snapshot, address: &Address) -> Option<AccountId> {
    match entry(snapshot, address)? {
        Entry::Account(id) => Some(*id),
        _ => None,
    }
}

fn is_group(snapshot: &Snapshot, address: &Address) -> bool {
    matches!(entry(snapshot, address), Some(Entry::Group(_)))
}

/// What is stored for an address, or for it without its tag.
fn entry<'a>(snapshot: &'a Snapshot, address: &Address) -> Option<&'a Entry> {
    let base = snapshot.untagged(address);
    snapshot
        .entry(address)
        .or_else(|| snapshot.entry(base.as_ref()?))
}

/// Tells a sender from others, and what he was told from what is told later.
fn mark(absence: &OutOfOffice, sender: &Address) -> [u8; 16] {
    let mut text = absence.set.0.to_be_bytes().to_vec();
    text.extend_from_slice(sender.folded_local().as_bytes());
    text.push(b'@');
    text.extend_from_slice(sender.domain.as_str().as_bytes());
    let digest = digest(&SHA256, &text);
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Accounts that answer one message.
const ANSWERS_MAX: usize = 10;
/// Senders whom an account remembers that it answered.
const REMEMBERED_MAX: usize = 1_000;
/// Of those whose time is over, how many are forgotten with one answer.
const FORGOTTEN_AT_ONCE: usize = 100;
