//! A mailbox that was opened, and every change of its messages.
//!
//! Each change is one or few commits of compact records; on a conflict the index is brought up to
//! date and the change is decided again, a bounded number of times. A handle does not keep a
//! mailbox from being deleted: then it answers so. RFC 3501 6.4.3, 6.4.6, 6.4.7, RFC 4315, RFC
//! 6851.

use std::{fmt, ops::RangeInclusive, sync::Arc};

use bytes::Bytes;
use tokio::sync::MutexGuard;

use super::{
    compose::{self, Source, Step, TransferKind},
    core::Core,
    entry::MailboxRecord,
    fault::{ChangeError, MailboxFault},
    flags::{FlagChange, FlagClasses, FlagMode},
    index::Index,
    limits::ATTEMPTS_MAX,
    rights::Rights,
    service::Mailboxes,
    shared::{Shared, read_record},
    sharing::StoredAcl,
};
use crate::{
    base::ids::{AccountId, MailboxId, ModSeq, Uid},
    store::{Batch, CommitError, Engine, key},
};

/// A mailbox that was opened: the right to use it. Cheap to clone.
#[derive(Clone)]
pub struct Mailbox {
    pub(super) core: Arc<Core>,
    shared: Arc<Shared>,
    rights: Rights,
    /// Who uses it, when that is not its owner.
    guest: Option<AccountId>,
}

/// Where APPEND, COPY and MOVE put messages.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Whose mailbox.
    pub account: AccountId,
    /// Which.
    pub mailbox: MailboxId,
    /// The flags that messages keep.
    pub flags: FlagClasses,
    /// Bytes that its account may hold.
    pub quota_bytes: Option<u64>,
    /// Who adds, when that is not the owner: at the commit he must have the right to, and what
    /// flags he may set is looked up then.
    pub guest: Option<AccountId>,
}

impl Target {
    /// A mailbox for its owner.
    pub fn own(account: AccountId, mailbox: MailboxId, quota_bytes: Option<u64>) -> Self {
        Self {
            account,
            mailbox,
            flags: FlagClasses::ALL,
            quota_bytes,
            guest: None,
        }
    }
}

/// What a STORE did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// From the first to the last modseq of the change.
    pub modseqs: RangeInclusive<ModSeq>,
    /// The last change of flags before it; the highest number when that is not known.
    pub preceded_by: ModSeq,
    /// The messages that it changed, ascending.
    pub changed: Vec<Uid>,
    /// The messages that it left as they are, because they had changed since.
    pub refused: Vec<Uid>,
}

/// What a COPY or MOVE did (RFC 4315 3): `from[i]` is now `to[i]` in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// UIDVALIDITY of the target.
    pub uid_validity: u32,
    /// UIDs in the source, ascending.
    pub from: Vec<Uid>,
    /// UIDs in the target.
    pub to: Vec<Uid>,
}

impl Mailbox {
    /// RFC 8508 4.1: REPLACE needs what STORE of `\Deleted` and EXPUNGE need.
    pub const REPLACE_RIGHTS: Rights = Rights::DELETE_MESSAGES.union(Rights::EXPUNGE);

    pub(super) fn new(core: Arc<Core>, shared: Arc<Shared>, rights: Rights) -> Self {
        Self {
            core,
            shared,
            rights,
            guest: None,
        }
    }

    /// What its user may do with it.
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// What `user` may do with it now; what comes by this handle is judged by it from now on, and
    /// what takes messages away once more at its commit.
    pub async fn reconsider(&mut self, user: AccountId) -> Result<Rights, MailboxFault> {
        let mailboxes = self.mailboxes();
        self.rights = mailboxes.rights(user, self.account(), self.id()).await?;
        self.guest = (user != self.account()).then_some(user);
        Ok(self.rights)
    }

    pub(super) fn mailboxes(&self) -> Mailboxes {
        Mailboxes {
            core: Arc::clone(&self.core),
        }
    }

    /// What the commit of a change that needs these rights requires, when a guest makes it.
    pub(super) async fn judged(&self, needed: Rights) -> Result<Option<StoredAcl>, ChangeError> {
        self.require(needed)?;
        let Some(guest) = self.guest else {
            return Ok(None);
        };
        let mailboxes = self.mailboxes();
        let acl = mailboxes.stored_acl(self.account(), self.id()).await?;
        acl.judge(guest, needed)?;
        Ok(Some(acl))
    }

    fn require(&self, needed: Rights) -> Result<(), ChangeError> {
        match self.rights.contains(needed) {
            true => Ok(()),
            false => Err(ChangeError::Forbidden),
        }
    }

    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.shared.account
    }

    /// Its number.
    pub fn id(&self) -> MailboxId {
        self.shared.mailbox
    }

    /// UIDVALIDITY (RFC 3501 2.3.1.1): stored when the mailbox was made, never computed again.
    pub fn uid_validity(&self) -> u32 {
        self.shared.record.uid_validity
    }

    /// Brings the shared index up to date; costs nothing when there was no notice.
    pub async fn refresh(&self) -> Result<(), MailboxFault> {
        self.shared.refresh(&*self.core.engine).await
    }

    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.core.engine
    }

    /// Where the account stood when it was made.
    pub(super) fn created(&self) -> ModSeq {
        self.shared.record.created
    }

    /// Reads the index; no waiting inside.
    pub fn read<R>(&self, f: impl FnOnce(&Index) -> R) -> R {
        self.shared.read(f)
    }

    /// Messages of `index` with this UID or higher are recent for the calling session; with
    /// `read_write` no later session gets them as recent (RFC 3501 6.3.1, 6.3.2). What came behind
    /// `index` is left for whoever is told of it.
    pub fn claim_recent(&self, index: &Index, read_write: bool) -> u32 {
        self.shared.claim_recent(index, read_write)
    }

    /// STORE, as far as its user may. Messages that are gone, and those that have these flags
    /// already, are passed over.
    pub async fn store_flags(
        &self,
        uids: &[Uid],
        change: &FlagChange,
    ) -> Result<Stored, ChangeError> {
        let change = change.among(self.rights.flags());
        let change = &change.ok_or(ChangeError::Forbidden)?;
        self.refresh().await?;
        let (changed, ranges, fits) = self.read(|index| {
            let touched = index.touched(&index.present(uids), change);
            let adds = change.mode != FlagMode::Remove;
            let fits = !adds || index.has_room_for(change.flags.keywords());
            (index.uids_at(&touched), index.ranges(&touched), fits)
        });
        let mut stored = Stored {
            changed,
            ..Stored::nothing()
        };
        if ranges.is_empty() {
            return Ok(stored);
        }
        if !fits {
            // LIM-24
            return Err(ChangeError::TooMany("keywords"));
        }
        for step in compose::store(self.account(), self.id(), change, &ranges) {
            // The only condition is that the mailbox exists.
            let done = self.commit(step).await.map_err(absent_on_conflict)?;
            stored.add(&done);
        }
        self.note_predecessor(&mut stored);
        Ok(stored)
    }

    /// STORE of those messages that have not changed since `since` (RFC 7162 3.1.3), decided and
    /// done at one moment. The others are answered.
    pub async fn store_flags_unless_changed(
        &self,
        uids: &[Uid],
        change: &FlagChange,
        since: ModSeq,
    ) -> Result<Stored, ChangeError> {
        self.store_in_parts(uids, change, since, CONDITIONAL_MAX)
            .await
    }

    /// Does so with so many messages at once. When others are in the way of a later part, the rest
    /// is as if they had changed it: the client must hear what was done before.
    pub(super) async fn store_in_parts(
        &self,
        uids: &[Uid],
        change: &FlagChange,
        since: ModSeq,
        at_once: usize,
    ) -> Result<Stored, ChangeError> {
        let change = change.among(self.rights.flags());
        let change = &change.ok_or(ChangeError::Forbidden)?;
        let _changing = self.shared.changing.lock().await;
        let mut stored = Stored::nothing();
        for (n, part) in uids.chunks(at_once).enumerate() {
            let done = self.store_part_unless_changed(part, change, since, &mut stored);
            match done.await {
                Err(ChangeError::Busy) if n > 0 => {
                    let rest = uids.get(n * at_once..).unwrap_or_default();
                    let rest = self.read(|index| index.uids_at(&index.present(rest)));
                    stored.refused.extend(rest);
                    break;
                }
                done => done?,
            }
        }
        self.note_predecessor(&mut stored);
        Ok(stored)
    }

    async fn store_part_unless_changed(
        &self,
        uids: &[Uid],
        change: &FlagChange,
        since: ModSeq,
        stored: &mut Stored,
    ) -> Result<(), ChangeError> {
        let counter = key::modseq(self.account());
        for _ in 0..ATTEMPTS_MAX {
            // Read first: what is behind it in the index makes the commit fail, and be tried again.
            let stands = self.engine().get(&counter).await?;
            self.after_conflict().await?;
            let (touched, ranges, refused, fits) = self.read(|index| {
                let (old, new) = index.split_at(&index.present(uids), since);
                let touched = index.touched(&old, change);
                let adds = change.mode != FlagMode::Remove;
                let fits = !adds || index.has_room_for(change.flags.keywords());
                let (ranges, refused) = (index.ranges(&touched), index.uids_at(&new));
                (index.uids_at(&touched), ranges, refused, fits)
            });
            if !ranges.is_empty() && !fits {
                // LIM-24
                return Err(ChangeError::TooMany("keywords"));
            }
            let steps = compose::store(self.account(), self.id(), change, &ranges);
            let mut conflict = false;
            for mut step in steps {
                step.batch.unchanged(counter.clone(), stands.clone());
                match self.commit(step).await {
                    Ok(done) => stored.add(&done),
                    Err(CommitError::Conflict) => conflict = true,
                    Err(error) => return Err(error.into()),
                }
            }
            if !conflict {
                stored.changed.extend(touched);
                stored.refused.extend(refused);
                return Ok(());
            }
        }
        Err(ChangeError::Busy)
    }

    fn note_predecessor(&self, stored: &mut Stored) {
        let first = *stored.modseqs.start();
        let before = self.read(|index| index.flags_before(first));
        stored.preceded_by = before.unwrap_or(ModSeq(u64::MAX));
    }

    /// Removes these messages for good, in one commit up to some 360,000; the caller chose them.
    /// Answers which are gone by this call: what another session removed first is not among them.
    pub async fn expunge(&self, uids: &[Uid]) -> Result<Vec<Uid>, ChangeError> {
        let _changing = self.shared.changing.lock().await;
        let mut gone = Vec::new();
        while let Some(done) = self
            .decide(Rights::EXPUNGE, None, |source, _| {
                let positions = source.index.present(uids);
                let some = !positions.is_empty();
                Ok(some.then(|| compose::expunge(source, &positions)))
            })
            .await?
        {
            gone.extend(done.uids);
        }
        Ok(gone)
    }

    /// The batch that removes one message, the right to change this mailbox until it is committed,
    /// and the message's size. A message that is gone is not removed again: [`ChangeError::Absent`]
    /// would be wrong for that, so it is said as busy.
    pub(super) async fn leaving(
        &self,
        uid: Uid,
    ) -> Result<(MutexGuard<'_, ()>, Batch, u64), ChangeError> {
        let changing = self.shared.changing.lock().await;
        let judged = self.judged(Self::REPLACE_RIGHTS).await?;
        let now = self.core.clock.wall();
        self.after_conflict().await?;
        let stored = self.stored_expunged().await?;
        let step = self.read(|index| {
            let positions = index.present(&[uid]);
            let size = index.row(*positions.first()?)?.size;
            let source = Source {
                account: self.account(),
                mailbox: self.id(),
                index,
                expunged: &stored.unwrap_or_else(|| compose::expunged_value(index)),
                now,
            };
            let step = compose::expunge(source, &positions);
            Some((step.batch, u64::from(size)))
        });
        let (mut batch, size) = step.ok_or(ChangeError::Busy)?;
        if let Some(acl) = judged {
            acl.require(&mut batch);
        }
        Ok((changing, batch, size))
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// COPY: all of these messages that are here, or none (RFC 3501 6.4.7).
    pub async fn copy(&self, uids: &[Uid], target: &Target) -> Result<Copied, ChangeError> {
        self.require(Rights::READ)?;
        self.refresh().await?;
        if target.account != self.account() {
            return self.hand_over(uids, target, TransferKind::Copy).await;
        }
        self.check_target_room(uids, target).await?;
        let outcome = self.transfer(uids, target, TransferKind::Copy).await;
        if matches!(outcome, Err(ChangeError::Busy)) {
            // The room may be the reason of endless conflicts.
            self.check_target_room(uids, target).await?;
        }
        outcome
    }

    pub(super) async fn check_target_room(
        &self,
        uids: &[Uid],
        target: &Target,
    ) -> Result<(), ChangeError> {
        let bytes = self.read(|index| {
            let positions = index.present(uids);
            let rows = positions.iter().filter_map(|position| index.row(*position));
            rows.map(|row| u64::from(row.size)).sum()
        });
        let quota = target.quota_bytes;
        self.core.check_room(target.account, bytes, quota).await
    }

    /// MOVE: all of these messages that are here, or none. Each is in the source or in the target
    /// at any time (RFC 6851 3.3). A move to the same mailbox gives new UIDs.
    pub async fn move_away(&self, uids: &[Uid], target: &Target) -> Result<Copied, ChangeError> {
        self.require(MOVE_RIGHTS)?;
        let _changing = self.shared.changing.lock().await;
        if target.account != self.account() {
            self.refresh().await?;
            return self.hand_over(uids, target, TransferKind::Move).await;
        }
        self.transfer(uids, target, TransferKind::Move).await
    }

    async fn transfer(
        &self,
        uids: &[Uid],
        target: &Target,
        kind: TransferKind,
    ) -> Result<Copied, ChangeError> {
        let mut copied = self.prepare(uids, target).await?;
        let done = self
            .decide(kind.rights(), Some(target), |source, target| {
                let positions = source.index.present(uids);
                let Some(target) = target.filter(|_| !positions.is_empty()) else {
                    return Ok(None);
                };
                let step = compose::transfer(source, &positions, target, kind);
                let step = step.ok_or(ChangeError::TooMany("messages for one change"))?;
                Ok(Some(step))
            })
            .await;
        if matches!(done, Err(ChangeError::Busy)) {
            // A target that was deleted meanwhile is the reason of endless conflicts.
            self.check_target(target).await?;
        }
        if let Some(done) = done? {
            self.core.count_record(target.account, target.mailbox);
            copied.from = done.uids;
            copied.to = done.targets;
        }
        Ok(copied)
    }

    /// Checks the target of a COPY or MOVE.
    pub(super) async fn prepare(
        &self,
        uids: &[Uid],
        target: &Target,
    ) -> Result<Copied, ChangeError> {
        self.refresh().await?;
        let record = self.check_target(target).await?;
        if target.flags.keywords {
            let keywords = self.read(|index| index.keywords_at(&index.present(uids)));
            let (account, mailbox) = (target.account, target.mailbox);
            self.core
                .check_keywords(account, mailbox, &keywords)
                .await?;
        }
        Ok(Copied {
            uid_validity: record.uid_validity,
            from: Vec::new(),
            to: Vec::new(),
        })
    }

    pub(super) async fn check_target(&self, target: &Target) -> Result<MailboxRecord, ChangeError> {
        let record = read_record(&*self.core.engine, target.account, target.mailbox).await?;
        record.ok_or(ChangeError::Absent)
    }

    /// Commits what `next` decides on the index, if anything, for those who have these rights here
    /// and may add to the target; decides again after a conflict, a bounded number of times.
    async fn decide(
        &self,
        needed: Rights,
        target: Option<&Target>,
        mut next: impl FnMut(Source<'_>, Option<&Target>) -> Result<Option<Step>, ChangeError>,
    ) -> Result<Option<Done>, ChangeError> {
        self.refresh().await?;
        for _ in 0..ATTEMPTS_MAX {
            let judged = self.judged(needed).await?;
            let admitted = match target {
                Some(target) => Some(self.mailboxes().admit(target).await?),
                None => None,
            };
            let stored = self.stored_expunged().await?;
            let step = self.read(|index| {
                let source = Source {
                    account: self.account(),
                    mailbox: self.id(),
                    index,
                    expunged: &stored.unwrap_or_else(|| compose::expunged_value(index)),
                    now: self.core.clock.wall(),
                };
                next(source, admitted.as_ref().map(|admitted| &admitted.target))
            });
            let Some(mut step) = step? else {
                return Ok(None);
            };
            let lists = [judged, admitted.and_then(|admitted| admitted.acl)];
            for acl in lists.into_iter().flatten() {
                acl.require(&mut step.batch);
            }
            match self.commit(step).await {
                Ok(done) => return Ok(Some(done)),
                Err(CommitError::Conflict) => self.after_conflict().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(ChangeError::Busy)
    }

    /// The stored expunge key, when the index may not know it.
    pub(super) async fn stored_expunged(&self) -> Result<Option<Option<Bytes>>, ChangeError> {
        if !self.read(Index::is_damaged) {
            return Ok(None);
        }
        let key = key::expunged(self.account(), self.id());
        Ok(Some(self.core.engine.get(&key).await?))
    }

    pub(super) async fn after_conflict(&self) -> Result<(), ChangeError> {
        Ok(self.shared.refresh_now(&*self.core.engine).await?)
    }

    pub(super) async fn commit(&self, mut step: Step) -> Result<Done, CommitError> {
        let batch = std::mem::take(&mut step.batch);
        let applied = self.core.commit(self.account(), batch).await?;
        let (first_modseq, modseq) = step.modseqs(&applied.counters);
        // The change is durable; when the log cannot be read now, the next refresh says so.
        if let Err(error) = self.shared.refresh_to(&*self.core.engine, modseq).await {
            tracing::debug!(%error, "a mailbox could not be read after its change");
        }
        Ok(Done {
            first_modseq,
            modseq,
            targets: step.targets(&applied.counters),
            uids: step.uids,
        })
    }
}

impl Stored {
    fn nothing() -> Self {
        Self {
            modseqs: ModSeq(u64::MAX)..=ModSeq(0),
            preceded_by: ModSeq(u64::MAX),
            changed: Vec::new(),
            refused: Vec::new(),
        }
    }

    fn add(&mut self, done: &Done) {
        let first = done.first_modseq.min(*self.modseqs.start());
        self.modseqs = first..=done.modseq;
    }
}

impl TransferKind {
    /// What it needs of the source.
    pub(super) fn rights(self) -> Rights {
        match self {
            Self::Copy => Rights::READ,
            Self::Move => MOVE_RIGHTS,
        }
    }
}

/// RFC 6851 4.2: MOVE needs what STORE of `\Deleted`, COPY and EXPUNGE need.
const MOVE_RIGHTS: Rights = Rights::READ.union(Mailbox::REPLACE_RIGHTS);

/// Messages that are decided on at once for a conditional STORE: never more than one batch.
const CONDITIONAL_MAX: usize = 100_000;

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} of {})", self.id(), self.account())
    }
}

/// A step that happened.
pub(super) struct Done {
    first_modseq: ModSeq,
    modseq: ModSeq,
    pub(super) uids: Vec<Uid>,
    pub(super) targets: Vec<Uid>,
}

/// For batches whose only condition is that their mailbox exists.
pub(super) fn absent_on_conflict(error: CommitError) -> ChangeError {
    match error {
        CommitError::Conflict => ChangeError::Absent,
        other => other.into(),
    }
}
