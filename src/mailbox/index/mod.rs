//! The messages of one mailbox in memory: columns, about 41 bytes per message, built from snapshot
//! and log.
//!
//! Pure. [`Index::apply`] is the meaning of the log: the same records give the same index in every
//! process. Positions count from zero in UID order (RFC 3501 2.3.1.2 numbers them from one). Counts
//! and sums are kept, never recounted; what UIDNEXT and HIGHESTMODSEQ show only rises.

mod chosen;
mod columns;

use std::{collections::VecDeque, ops::Range};

use self::columns::Columns;
use super::{
    flags::{FlagChange, FlagSet, Keyword, SystemFlags},
    record::{Appended, Arrivals, Record},
    sets::SetTable,
    uids::UidRanges,
};
use crate::base::{
    clock::Timestamp,
    ids::{EmailId, ModSeq, Uid},
};

pub(super) use self::columns::Row;

/// The messages of a mailbox, in memory. Positions count from zero.
#[derive(Clone, Debug)]
pub struct Index {
    columns: Columns,
    sets: SetTable,
    uid_next: u32,
    modseq: ModSeq,
    last_expunge: ModSeq,
    last_flags: ModSeq,
    /// The last records that changed flags, and what changed flags before each.
    flag_trail: VecDeque<(ModSeq, ModSeq)>,
    unseen: usize,
    /// No message before this position is unseen.
    seen_before: usize,
    bytes: u64,
    damaged: bool,
}

/// One message of an [`Index`].
#[derive(Clone, Copy, Debug)]
pub struct EntryRef<'a> {
    /// Its UID.
    pub uid: Uid,
    /// Its system flags.
    pub system: SystemFlags,
    /// Modification sequence of its last change.
    pub modseq: ModSeq,
    /// Bytes.
    pub size: u64,
    /// How many octets of CRLF its last line lacks.
    pub crlf_missing: u8,
    /// INTERNALDATE.
    pub internal_date: Timestamp,
    /// When it came into this mailbox (RFC 8514 3), in whole seconds.
    pub saved: Timestamp,
    /// The email's number.
    pub email: EmailId,
    set: u32,
    sets: &'a SetTable,
}

impl<'a> EntryRef<'a> {
    /// Its keywords, sorted by first use.
    pub fn keywords(&self) -> impl Iterator<Item = &'a Keyword> + use<'a> {
        self.sets.keywords_of(self.set)
    }

    /// All its flags.
    pub fn flags(&self) -> FlagSet {
        self.sets.flags(self.set)
    }
}

/// The numbers of an index that its messages do not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) uid_next: u32,
    pub(super) modseq: u64,
    pub(super) last_expunge: u64,
    pub(super) last_flags: u64,
}

impl Index {
    /// A mailbox that was created at `created` and has had no message yet.
    pub(super) fn new(created: ModSeq) -> Self {
        Self::restored(Standing {
            uid_next: 1,
            modseq: created.0,
            ..Standing::default()
        })
    }

    /// An index from a snapshot; its messages follow by [`Self::restore`].
    pub(super) fn restored(standing: Standing) -> Self {
        Self {
            columns: Columns::default(),
            sets: SetTable::default(),
            uid_next: standing.uid_next.max(1),
            modseq: ModSeq(standing.modseq),
            last_expunge: ModSeq(standing.last_expunge),
            last_flags: ModSeq(standing.last_flags),
            flag_trail: VecDeque::new(),
            unseen: 0,
            seen_before: 0,
            bytes: 0,
            damaged: false,
        }
    }

    /// Makes room for as many messages as a snapshot says it has.
    pub(super) fn reserve(&mut self, messages: usize) {
        let most = self.uid_next as usize;
        self.columns.reserve(messages.min(most));
    }

    /// Appends the messages of a snapshot's chunk, or none of them: `false` when they do not belong
    /// behind those there.
    pub(super) fn restore(&mut self, sets: &[FlagSet], rows: &[Row]) -> bool {
        let mut held = vec![0_u32; sets.len()];
        let mut before = self.columns.uids.last().copied().unwrap_or(0);
        for row in rows {
            let rises = before < row.uid && row.uid < self.uid_next;
            let Some(count) = held.get_mut(row.set as usize) else {
                return false;
            };
            if !rises || row.modseq > self.modseq.0 {
                return false;
            }
            before = row.uid;
            *count += 1;
        }
        let numbers: Vec<u32> = sets.iter().map(|set| self.sets.intern(set)).collect();
        for (number, held) in numbers.iter().zip(held) {
            self.sets.hold(*number, held);
        }
        let from = self.len();
        self.columns.extend(rows, &numbers);
        self.bytes += rows.iter().map(|row| u64::from(row.size)).sum::<u64>();
        let are = (0..).take(self.sets.len()).map(|set| self.sets.system(set));
        let are: Vec<bool> = are.map(|set| !set.contains(SystemFlags::SEEN)).collect();
        let appended = self.columns.sets.iter().skip(from);
        let unseen = appended.filter(|set| are.get(**set as usize) == Some(&true));
        self.unseen += unseen.count();
        self.pass_over_seen();
        true
    }

    /// Applies the record that was logged at `modseq`. A record at or before [`Self::modseq`] has
    /// been applied already.
    pub(super) fn apply(&mut self, modseq: ModSeq, record: &Record) {
        if modseq <= self.modseq {
            return;
        }
        self.sets.tidy();
        match record {
            Record::Appended(appended) => self.apply_appended(modseq, appended),
            Record::Flags(change, uids) => {
                if self.flag_trail.len() == FLAG_TRAIL {
                    self.flag_trail.pop_front();
                }
                self.flag_trail.push_back((modseq, self.last_flags));
                self.apply_flags(modseq, change, uids);
            }
            Record::Expunged(uids) => self.apply_expunged(modseq, uids),
        }
        self.modseq = modseq;
        self.pass_over_seen();
    }

    fn pass_over_seen(&mut self) {
        while self.seen_before < self.len() && !self.is_unseen(self.seen_before) {
            self.seen_before += 1;
        }
    }

    /// Notes that the record at `modseq` could not be understood: the index is less than the truth.
    pub(super) fn skip_damaged(&mut self, modseq: ModSeq) {
        self.modseq = self.modseq.max(modseq);
        self.damaged = true;
    }

    fn apply_appended(&mut self, modseq: ModSeq, appended: &Appended) {
        if appended.first_uid < self.uid_next {
            // RFC 3501 2.3.1.1: UIDs only rise; such a record is not one of ours.
            self.damaged = true;
            return;
        }
        let Arrivals {
            saved,
            sets,
            messages,
        } = &appended.arrivals;
        let numbers: Vec<u32> = sets.iter().map(|set| self.sets.intern(set)).collect();
        self.columns.reserve(messages.len());
        self.uid_next = appended.first_uid;
        for message in messages {
            self.push(Row {
                uid: self.uid_next,
                set: numbers.get(message.set as usize).copied().unwrap_or(0),
                modseq: modseq.0,
                size: message.size,
                crlf_missing: message.crlf_missing,
                internal_date: message.internal_date,
                saved: *saved,
                email: message.email,
            });
            self.uid_next += 1;
        }
    }

    fn apply_flags(&mut self, modseq: ModSeq, change: &FlagChange, uids: &UidRanges) {
        let mut outcome: Vec<Option<u32>> = vec![None; self.sets.len()];
        for &(first, last) in uids.ranges() {
            for position in self.positions(first, last) {
                let from = self.columns.sets[position];
                let known = outcome.get(from as usize).copied().flatten();
                let to = known.unwrap_or_else(|| self.sets.changed(from, change));
                if let Some(place) = outcome.get_mut(from as usize) {
                    *place = Some(to);
                }
                if from == to {
                    continue;
                }
                let was_unseen = self.is_unseen(position);
                self.sets.release(from, 1);
                self.sets.hold(to, 1);
                self.columns.sets[position] = to;
                self.columns.modseqs[position] = modseq.0;
                self.last_flags = modseq;
                let unseen = self.is_unseen(position);
                self.unseen = self.unseen + usize::from(unseen) - usize::from(was_unseen);
                if unseen {
                    self.seen_before = self.seen_before.min(position);
                }
            }
        }
    }

    fn apply_expunged(&mut self, modseq: ModSeq, uids: &UidRanges) {
        self.last_expunge = modseq;
        let gone: Vec<Range<usize>> = uids
            .ranges()
            .iter()
            .map(|&(first, last)| self.positions(first, last))
            .filter(|range| !range.is_empty())
            .collect();
        let mut seen_before = self.seen_before;
        for range in &gone {
            for position in range.clone() {
                self.unseen -= usize::from(self.is_unseen(position));
                self.bytes -= u64::from(self.columns.sizes[position]);
                self.sets.release(self.columns.sets[position], 1);
            }
            seen_before -= range.end.min(self.seen_before) - range.start.min(self.seen_before);
        }
        self.seen_before = seen_before;
        self.columns.remove(&gone);
    }

    fn push(&mut self, row: Row) {
        self.sets.hold(row.set, 1);
        self.bytes += u64::from(row.size);
        self.columns.push(row);
        let unseen = self.is_unseen(self.len() - 1);
        self.unseen += usize::from(unseen);
        if !unseen && self.seen_before + 1 == self.len() {
            self.seen_before += 1;
        }
    }

    fn is_unseen(&self, position: usize) -> bool {
        let set = self.columns.sets[position];
        !self.sets.system(set).contains(SystemFlags::SEEN)
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.columns.uids.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.columns.uids.is_empty()
    }

    /// UIDNEXT: above every UID that was ever given out here.
    pub fn uid_next(&self) -> u32 {
        self.uid_next
    }

    /// HIGHESTMODSEQ: where the mailbox stands.
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// Messages without `\Seen`.
    pub fn unseen(&self) -> usize {
        self.unseen
    }

    /// Position of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<usize> {
        (self.unseen > 0).then_some(self.seen_before)
    }

    /// Sum of the sizes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many messages have `\Deleted`, and the sum of their sizes.
    pub fn deleted(&self) -> (u64, u64) {
        let are = (0..).take(self.sets.len()).map(|set| self.sets.system(set));
        let are: Vec<bool> = are.map(|set| set.contains(SystemFlags::DELETED)).collect();
        let columns = self.columns.sets.iter().zip(&self.columns.sizes);
        let deleted = columns.filter(|(set, _)| are.get(**set as usize) == Some(&true));
        deleted.fold((0, 0), |(count, bytes), (_, size)| {
            (count + 1, bytes + u64::from(*size))
        })
    }

    /// All UIDs, ascending.
    pub fn uids(&self) -> &[u32] {
        &self.columns.uids
    }

    /// The UID at a position.
    pub fn uid_at(&self, position: usize) -> Option<Uid> {
        Uid::new(*self.columns.uids.get(position)?)
    }

    /// The position of a UID.
    pub fn position(&self, uid: Uid) -> Option<usize> {
        self.columns.uids.binary_search(&uid.number()).ok()
    }

    /// Positions of the UIDs `first` to `last`, both included.
    pub fn positions(&self, first: u32, last: u32) -> Range<usize> {
        let uids = &self.columns.uids;
        let start = uids.partition_point(|&uid| uid < first);
        let end = start + uids[start..].partition_point(|&uid| uid <= last);
        start..end
    }

    /// The message at a position.
    pub fn entry(&self, position: usize) -> Option<EntryRef<'_>> {
        let row = self.row(position)?;
        Some(EntryRef {
            uid: Uid::new(row.uid)?,
            system: self.sets.system(row.set),
            modseq: ModSeq(row.modseq),
            size: u64::from(row.size),
            crlf_missing: row.crlf_missing,
            internal_date: Timestamp(row.internal_date),
            saved: Timestamp::from_secs(i64::from(row.saved)),
            email: EmailId(row.email),
            set: row.set,
            sets: &self.sets,
        })
    }

    /// Keywords that some message has, sorted.
    pub fn keywords(&self) -> Vec<Keyword> {
        self.sets.keywords_in_use()
    }

    pub(super) fn row(&self, position: usize) -> Option<Row> {
        let columns = &self.columns;
        Some(Row {
            uid: *columns.uids.get(position)?,
            set: columns.sets[position],
            modseq: columns.modseqs[position],
            size: columns.sizes[position],
            crlf_missing: columns.crlf_missing[position],
            internal_date: columns.dates[position],
            saved: columns.saved[position],
            email: columns.emails[position],
        })
    }

    pub(super) fn set_flags(&self, set: u32) -> FlagSet {
        self.sets.flags(set)
    }

    pub(super) fn modseqs(&self) -> &[u64] {
        &self.columns.modseqs
    }

    pub(super) fn emails(&self) -> &[u64] {
        &self.columns.emails
    }

    pub(super) fn last_expunge(&self) -> ModSeq {
        self.last_expunge
    }

    pub(super) fn last_flags(&self) -> ModSeq {
        self.last_flags
    }

    /// Which flag change came before the one that was logged at `modseq`, if that is still known.
    pub(super) fn flags_before(&self, modseq: ModSeq) -> Option<ModSeq> {
        let mut trail = self.flag_trail.iter();
        let (_, before) = trail.find(|(at, _)| *at == modseq)?;
        Some(*before)
    }

    pub(super) fn standing(&self) -> Standing {
        Standing {
            uid_next: self.uid_next,
            modseq: self.modseq.0,
            last_expunge: self.last_expunge.0,
            last_flags: self.last_flags.0,
        }
    }

    /// Whether a record was lost to damage, so that nothing may be derived from what is missing
    /// here.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged
    }
}

/// Flag changes whose predecessors are known: more than one STORE makes of any usual size.
const FLAG_TRAIL: usize = 16;

#[cfg(test)]
mod tests;
