//! The columns of an index: one number of every message each, by position.

use std::ops::Range;

/// What is known of each message. All columns are of one length.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    pub(super) uids: Vec<u32>,
    pub(super) sets: Vec<u32>,
    pub(super) modseqs: Vec<u64>,
    pub(super) sizes: Vec<u32>,
    pub(super) crlf_missing: Vec<u8>,
    pub(super) dates: Vec<u64>,
    pub(super) saved: Vec<u32>,
    pub(super) emails: Vec<u64>,
}

/// One message as a snapshot gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mailbox) struct Row {
    pub(in crate::mailbox) uid: u32,
    pub(in crate::mailbox) set: u32,
    pub(in crate::mailbox) modseq: u64,
    pub(in crate::mailbox) size: u32,
    pub(in crate::mailbox) crlf_missing: u8,
    pub(in crate::mailbox) internal_date: u64,
    pub(in crate::mailbox) saved: u32,
    pub(in crate::mailbox) email: u64,
}

impl Columns {
    pub(super) fn push(&mut self, row: Row) {
        self.uids.push(row.uid);
        self.sets.push(row.set);
        self.modseqs.push(row.modseq);
        self.sizes.push(row.size);
        self.crlf_missing.push(row.crlf_missing);
        self.dates.push(row.internal_date);
        self.saved.push(row.saved);
        self.emails.push(row.email);
    }

    pub(super) fn reserve(&mut self, more: usize) {
        self.uids.reserve(more);
        self.sets.reserve(more);
        self.modseqs.reserve(more);
        self.sizes.reserve(more);
        self.crlf_missing.reserve(more);
        self.dates.reserve(more);
        self.saved.reserve(more);
        self.emails.reserve(more);
    }

    /// Appends these, each with the set that its own stands for here.
    pub(super) fn extend(&mut self, rows: &[Row], sets: &[u32]) {
        let set_of = |row: &Row| sets.get(row.set as usize).copied().unwrap_or(0);
        self.uids.extend(rows.iter().map(|row| row.uid));
        self.sets.extend(rows.iter().map(set_of));
        self.modseqs.extend(rows.iter().map(|row| row.modseq));
        self.sizes.extend(rows.iter().map(|row| row.size));
        let crlf_missing = rows.iter().map(|row| row.crlf_missing);
        self.crlf_missing.extend(crlf_missing);
        self.dates.extend(rows.iter().map(|row| row.internal_date));
        self.saved.extend(rows.iter().map(|row| row.saved));
        self.emails.extend(rows.iter().map(|row| row.email));
    }

    pub(super) fn remove(&mut self, gone: &[Range<usize>]) {
        remove_ranges(&mut self.uids, gone);
        remove_ranges(&mut self.sets, gone);
        remove_ranges(&mut self.modseqs, gone);
        remove_ranges(&mut self.sizes, gone);
        remove_ranges(&mut self.crlf_missing, gone);
        remove_ranges(&mut self.dates, gone);
        remove_ranges(&mut self.saved, gone);
        remove_ranges(&mut self.emails, gone);
    }
}

/// Removes ascending, disjoint ranges in one pass.
fn remove_ranges<T: Copy>(column: &mut Vec<T>, gone: &[Range<usize>]) {
    let mut kept = gone.first().map_or(column.len(), |range| range.start);
    for (n, range) in gone.iter().enumerate() {
        let next = gone.get(n + 1).map_or(column.len(), |range| range.start);
        column.copy_within(range.end..next, kept);
        kept += next - range.end;
    }
    column.truncate(kept);
    if column.capacity() > 64 && column.capacity() / 4 > column.len() {
        column.shrink_to_fit();
    }
}
