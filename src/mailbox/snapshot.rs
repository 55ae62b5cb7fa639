//! Snapshots of a mailbox: a head and chunks of about a thousand messages, packed.
//!
//! Pure. The head names its chunks; a chunk is never rewritten in place, its successor has a number
//! of its own. So a reader that has a head either finds exactly the chunks it names or finds one
//! missing and reads a newer head. A snapshot rewrites only chunks whose messages changed since the
//! last one.

use super::{
    codec::{Reader, Undecodable, put_flags, put_number, put_size, put_step},
    flags::FlagSet,
    index::{Index, Row, Standing},
    limits::{CHUNK_MESSAGES, HISTORY_MARKS, TAIL_RECORDS, VALUE_BYTES_MAX},
};

/// What a snapshot knows beside its messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) standing: Standing,
    /// Above every chunk number that was ever reserved.
    pub(super) next_chunk: u32,
    /// Log records at or before this may be gone.
    pub(super) trimmed: u64,
    /// Where some earlier snapshots stood, oldest first: as many records apart as make one due.
    pub(super) marks: Vec<u64>,
    /// Log records since the last mark.
    pub(super) unmarked: u32,
    /// Ascending by UID.
    pub(super) chunks: Vec<ChunkRef>,
}

/// One chunk of a snapshot, as the head names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkRef {
    pub(super) number: u32,
    pub(super) first_uid: u32,
    pub(super) last_uid: u32,
    pub(super) messages: u32,
}

const VERSION: u8 = 3;
/// Bytes that a message takes at least in a chunk.
const ROW_BYTES_MIN: usize = 7;

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_number(&mut out, u64::from(self.standing.uid_next));
        put_number(&mut out, self.standing.modseq);
        put_number(&mut out, self.standing.last_expunge);
        put_number(&mut out, self.standing.last_flags);
        put_number(&mut out, u64::from(self.next_chunk));
        put_number(&mut out, self.trimmed);
        put_number(&mut out, self.marks.len() as u64);
        for mark in &self.marks {
            put_number(&mut out, *mark);
        }
        put_number(&mut out, u64::from(self.unmarked));
        put_number(&mut out, self.chunks.len() as u64);
        let mut before = 0;
        for chunk in &self.chunks {
            put_number(&mut out, u64::from(chunk.number));
            put_number(&mut out, u64::from(chunk.first_uid) - before);
            put_number(&mut out, u64::from(chunk.last_uid - chunk.first_uid));
            put_number(&mut out, u64::from(chunk.messages));
            before = u64::from(chunk.last_uid);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let standing = Standing {
            uid_next: reader.small()?,
            modseq: reader.number()?,
            last_expunge: reader.number()?,
            last_flags: reader.number()?,
        };
        let mut head = Self {
            standing,
            next_chunk: reader.small()?,
            trimmed: reader.number()?,
            ..Self::default()
        };
        for _ in 0..reader.count(1)? {
            head.marks.push(reader.number()?);
        }
        head.unmarked = reader.small()?;
        let mut before = 0_u32;
        for _ in 0..reader.count(4)? {
            let number = reader.small()?;
            let first_uid = before.checked_add(reader.small()?).ok_or(Undecodable)?;
            let last_uid = first_uid.checked_add(reader.small()?).ok_or(Undecodable)?;
            head.chunks.push(ChunkRef {
                number,
                first_uid,
                last_uid,
                messages: reader.small()?,
            });
            before = last_uid;
        }
        reader.end()?;
        Ok(head)
    }

    /// The head for `index` as it stands, `records` of the log later; still without chunks.
    fn following(&self, index: &Index, records: u32) -> Self {
        let mut next = Self {
            standing: index.standing(),
            next_chunk: self.next_chunk,
            trimmed: self.trimmed,
            marks: self.marks.clone(),
            unmarked: self.unmarked.saturating_add(records),
            chunks: Vec::new(),
        };
        if next.unmarked >= TAIL_RECORDS {
            next.unmarked = 0;
            next.marks.push(next.standing.modseq);
        }
        while next.marks.len() > HISTORY_MARKS {
            next.trimmed = next.trimmed.max(next.marks.remove(0));
        }
        next
    }
}

/// A snapshot to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) head: Head,
    /// New chunks with their bytes.
    pub(super) written: Vec<(u32, Vec<u8>)>,
    /// Numbers of chunks that the new head no longer names.
    pub(super) dropped: Vec<u32>,
}

/// Plans the snapshot of `index` that follows `last`, `records` of the log later.
pub(super) fn plan(last: &Head, index: &Index, records: u32) -> Plan {
    let mut plan = Plan {
        head: last.following(index, records),
        ..Plan::default()
    };
    // Runs of messages that no clean chunk covers are packed anew.
    let mut open = 0;
    for chunk in &last.chunks {
        let range = index.positions(chunk.first_uid, chunk.last_uid);
        let clean = range.len() == chunk.messages as usize
            && !range.is_empty()
            && index.modseqs()[range.clone()]
                .iter()
                .all(|modseq| *modseq <= last.standing.modseq);
        let full = chunk.messages as usize >= CHUNK_MESSAGES / 2;
        if clean && (full || range.end == index.len()) {
            pack(&mut plan, index, open, range.start);
            plan.head.chunks.push(*chunk);
            open = range.end;
        } else {
            plan.dropped.push(chunk.number);
        }
    }
    pack(&mut plan, index, open, index.len());
    plan
}

/// Packs the messages at positions `from` to `to` into chunks that fit into values.
fn pack(plan: &mut Plan, index: &Index, from: usize, to: usize) {
    let mut start = from;
    while start < to {
        let mut end = to.min(start + CHUNK_MESSAGES);
        let mut bytes = encode_chunk(index, start, end);
        while bytes.len() > VALUE_BYTES_MAX && end - start > 1 {
            end = start + (end - start) / 2;
            bytes = encode_chunk(index, start, end);
        }
        let uids = &index.uids()[start..end];
        let number = plan.head.next_chunk;
        plan.head.next_chunk = number.wrapping_add(1);
        plan.head.chunks.push(ChunkRef {
            number,
            first_uid: uids.first().copied().unwrap_or(0),
            last_uid: uids.last().copied().unwrap_or(0),
            messages: u32::try_from(uids.len()).unwrap_or(u32::MAX),
        });
        plan.written.push((number, bytes));
        start = end;
    }
}

fn encode_chunk(index: &Index, start: usize, end: usize) -> Vec<u8> {
    let mut numbers: Vec<u32> = Vec::new();
    let mut rows = Vec::with_capacity((end - start) * 16);
    let mut last = Row {
        uid: 0,
        set: 0,
        modseq: 0,
        size: 0,
        crlf_missing: 0,
        internal_date: 0,
        saved: 0,
        email: 0,
    };
    for row in (start..end).filter_map(|position| index.row(position)) {
        let set = match numbers.iter().position(|number| *number == row.set) {
            Some(set) => set,
            None => {
                numbers.push(row.set);
                numbers.len() - 1
            }
        };
        put_number(&mut rows, u64::from(row.uid - last.uid));
        put_number(&mut rows, set as u64);
        put_step(&mut rows, last.modseq, row.modseq);
        put_size(&mut rows, row.size, row.crlf_missing);
        put_step(&mut rows, last.internal_date, row.internal_date);
        put_step(&mut rows, u64::from(last.saved), u64::from(row.saved));
        put_step(&mut rows, last.email, row.email);
        last = row;
    }
    let mut out = vec![VERSION];
    put_number(&mut out, numbers.len() as u64);
    for number in numbers {
        put_flags(&mut out, &index.set_flags(number));
    }
    put_number(&mut out, (end - start) as u64);
    out.extend_from_slice(&rows);
    out
}

fn decode_chunk(bytes: &[u8]) -> Result<(Vec<FlagSet>, Vec<Row>), Undecodable> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return Err(Undecodable);
    }
    let sets = (0..reader.count(2)?)
        .map(|_| reader.flags())
        .collect::<Result<Vec<_>, _>>()?;
    let count = reader.count(ROW_BYTES_MIN)?;
    let mut rows: Vec<Row> = Vec::with_capacity(count);
    let (mut uid, mut modseq, mut date, mut saved, mut email) = (0_u32, 0, 0, 0, 0);
    for _ in 0..count {
        uid = uid.checked_add(reader.small()?).ok_or(Undecodable)?;
        let set = reader.small()?;
        modseq = reader.step(modseq)?;
        let (size, crlf_missing) = reader.size()?;
        date = reader.step(date)?;
        saved = u32::try_from(reader.step(u64::from(saved))?).map_err(|_| Undecodable)?;
        email = reader.step(email)?;
        rows.push(Row {
            uid,
            set,
            modseq,
            size,
            crlf_missing,
            internal_date: date,
            saved,
            email,
        });
    }
    reader.end()?;
    Ok((sets, rows))
}

/// The index at the modseq of a snapshot; damaged when a chunk is not there or cannot be
/// understood. `chunk` gives the bytes of a chunk by number.
pub(super) fn restore<'a>(head: &Head, mut chunk: impl FnMut(u32) -> Option<&'a [u8]>) -> Index {
    let mut index = Index::restored(head.standing);
    let messages = head.chunks.iter().map(|named| named.messages as usize);
    index.reserve(messages.fold(0, usize::saturating_add));
    for named in &head.chunks {
        let decoded = chunk(named.number).map(decode_chunk);
        let whole = decoded.is_some_and(|decoded| {
            decoded.is_ok_and(|(sets, rows)| {
                rows.len() == named.messages as usize
                    && rows.first().map(|row| row.uid) == Some(named.first_uid)
                    && rows.last().map(|row| row.uid) == Some(named.last_uid)
                    && index.restore(&sets, &rows)
            })
        });
        if !whole {
            index.skip_damaged(index.modseq());
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::ids::ModSeq;
    use crate::mailbox::{
        flags::{Keyword, SystemFlags},
        record::{
            Appended, Arrival, Arrivals, Record,
            tests::{flag_changes, flag_sets, uid_ranges},
        },
    };

    fn append(index: &mut Index, count: u32, set: FlagSet) {
        let modseq = ModSeq(index.modseq().0 + 1);
        let arrivals = Arrivals {
            saved: 1_700_000_000 + count,
            sets: vec![set],
            messages: (0..count)
                .map(|n| Arrival {
                    email: u64::from(n) + 1,
                    set: 0,
                    internal_date: 1_700_000_000_000 + u64::from(n),
                    size: 5_000 + n,
                    crlf_missing: (n % 3) as u8,
                })
                .collect(),
        };
        let first_uid = index.uid_next();
        index.apply(
            modseq,
            &Record::Appended(Appended {
                first_uid,
                arrivals,
            }),
        );
    }

    fn apply(index: &mut Index, record: &Record) {
        let modseq = ModSeq(index.modseq().0 + 1);
        index.apply(modseq, record);
    }

    /// A stored snapshot, as an engine would hold it.
    #[derive(Default)]
    struct Stored {
        head: Head,
        chunks: HashMap<u32, Vec<u8>>,
        /// How many records each snapshot is told of.
        records: u32,
    }

    impl Stored {
        fn write(&mut self, index: &Index) -> Plan {
            let plan = plan(&self.head, index, self.records);
            self.head = Head::decode(&plan.head.encode()).unwrap();
            assert_eq!(self.head, plan.head);
            for number in &plan.dropped {
                assert!(self.chunks.remove(number).is_some());
            }
            for (number, bytes) in &plan.written {
                assert!(bytes.len() <= VALUE_BYTES_MAX);
                assert!(self.chunks.insert(*number, bytes.clone()).is_none());
            }
            plan
        }

        fn open(&self) -> Index {
            let chunk = |number| self.chunks.get(&number).map(Vec::as_slice);
            let index = restore(&self.head, chunk);
            assert!(!index.is_damaged());
            index
        }
    }

    fn assert_same(a: &Index, b: &Index) {
        assert_eq!(a.standing(), b.standing());
        assert_eq!(
            (a.len(), a.unseen(), a.bytes()),
            (b.len(), b.unseen(), b.bytes())
        );
        assert_eq!(a.first_unseen(), b.first_unseen());
        for position in 0..a.len() {
            let (a, b) = (a.entry(position).unwrap(), b.entry(position).unwrap());
            assert_eq!((a.uid, a.flags(), a.modseq), (b.uid, b.flags(), b.modseq));
            assert_eq!(
                (a.size, a.crlf_missing, a.internal_date, a.email),
                (b.size, b.crlf_missing, b.internal_date, b.email)
            );
            assert_eq!(a.saved, b.saved);
        }
    }

    fn records() -> impl Strategy<Value = Vec<(Option<Record>, u32, FlagSet, bool)>> {
        let record = prop_oneof![
            Just(None),
            (flag_changes(), uid_ranges()).prop_map(|(c, u)| Some(Record::Flags(c, u))),
            uid_ranges().prop_map(|u| Some(Record::Expunged(u))),
        ];
        prop::collection::vec((record, 1_u32..1200, flag_sets(), any::<bool>()), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn a_restored_snapshot_is_the_index(steps in records()) {
            let mut index = Index::new(ModSeq(1));
            let mut stored = Stored::default();
            for (record, count, flags, snapshot) in steps {
                match record {
                    Some(record) => apply(&mut index, &record),
                    None => append(&mut index, count, flags),
                }
                if snapshot {
                    stored.write(&index);
                    assert_same(&index, &stored.open());
                }
            }
        }

        #[test]
        fn dur_10_any_bytes_are_decoded_without_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Head::decode(&bytes);
            let _ = decode_chunk(&bytes);
            let framed = [&[VERSION][..], &bytes].concat();
            let _ = Head::decode(&framed);
            let _ = decode_chunk(&framed);
        }
    }

    #[test]
    fn only_changed_chunks_are_written_again() {
        let mut index = Index::new(ModSeq(1));
        append(&mut index, 10_500, FlagSet::default());
        let mut stored = Stored::default();
        assert_eq!(stored.write(&index).written.len(), 11);
        let seen = crate::mailbox::flags::FlagChange {
            mode: crate::mailbox::flags::FlagMode::Add,
            flags: SystemFlags::SEEN.into(),
        };
        apply(
            &mut index,
            &Record::Flags(seen, [3_500].into_iter().collect()),
        );
        let plan = stored.write(&index);
        assert_eq!((plan.written.len(), plan.dropped.len()), (1, 1));
        apply(
            &mut index,
            &Record::Expunged([1, 9_000].into_iter().collect()),
        );
        assert_eq!(stored.write(&index).written.len(), 2);
        append(&mut index, 10, FlagSet::default());
        assert_eq!(stored.write(&index).written.len(), 1);
        assert_same(&index, &stored.open());
    }

    #[test]
    fn chunks_of_messages_with_long_keywords_still_fit() {
        let mut index = Index::new(ModSeq(1));
        for n in 0..40 {
            let keyword = |k| Keyword::parse(&format!("{n}-{k}-{}", "x".repeat(110))).unwrap();
            append(
                &mut index,
                2,
                FlagSet::new(SystemFlags::NONE, (0..200).map(keyword).collect()),
            );
        }
        let mut stored = Stored::default();
        stored.write(&index);
        assert_same(&index, &stored.open());
    }

    #[test]
    fn the_log_is_trimmed_behind_the_oldest_mark_that_is_kept() {
        let mut index = Index::new(ModSeq(1));
        let mut stored = Stored {
            records: TAIL_RECORDS / 2,
            ..Stored::default()
        };
        // Every second snapshot is a mark.
        for n in 0..2 * HISTORY_MARKS as u64 + 4 {
            append(&mut index, 1, FlagSet::default());
            stored.write(&index);
            let marks = n.div_ceil(2);
            let dropped = marks.saturating_sub(HISTORY_MARKS as u64);
            let expected = if dropped == 0 { 0 } else { 1 + 2 * dropped };
            assert_eq!(stored.head.trimmed, expected);
        }
    }

    #[test]
    fn dur_09_a_missing_chunk_or_a_strange_one_costs_its_own_messages_only() {
        let mut index = Index::new(ModSeq(1));
        append(&mut index, 2_000, FlagSet::default());
        let mut stored = Stored::default();
        stored.write(&index);
        let one = stored.chunks[&0].clone();
        for other in [None, Some(&one[..]), Some(&b"rubbish"[..])] {
            let found = |number| match number {
                0 => Some(&one[..]),
                _ => other,
            };
            let left = restore(&stored.head, found);
            assert!(left.is_damaged());
            assert_eq!((left.len(), left.uid_next()), (1_000, 2_001));
        }
    }
}
