//! Fixed limits of the search index: what each bounds, its name in the threat model, its value.
//!
//! An email beyond one of them is not lost to searches: it is always a candidate.

use std::time::Duration;

/// LIM-36: different keys of one email. Two megabytes of prose have about 20,000.
pub(super) const KEYS_MAX: usize = 64 * 1024;
/// LIM-36: bytes of one email that are read for the index; of each part no more than a search
/// reads.
pub(super) const EMAIL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// An email up to this many bytes is read at once.
pub(super) const WHOLE_BYTES_MAX: u64 = 32 * 1024;
/// LIM-36: places in one batch on its way into the index, of eight bytes each.
pub(super) const BATCH_PLACES_MAX: usize = 512 * 1024;
/// LIM-25: groups of three characters of one text that are looked up; a longer text has more
/// candidates than it could have.
pub(super) const NEEDLE_GRAMS_MAX: usize = 64;
/// LIM-25: keys that are looked up for one search; one that asks for more is not narrowed.
pub(super) const LOOKUPS_MAX: usize = 2_000;
/// How long changes are collected before they are taken up: one small file is written for all.
pub(super) const SETTLE: Duration = Duration::from_secs(20);
/// How long nothing is tried after an error, or while the disk is nearly full.
pub(super) const PAUSE: Duration = Duration::from_secs(60);
/// How long the same trouble is not logged again.
pub(super) const TOLD_AGAIN: Duration = Duration::from_secs(3600);
/// Segments of one size class that are merged into one of the next.
pub(super) const MERGED_SEGMENTS: usize = 6;
/// A segment up to this many bytes is of the smallest class; each class is so many times larger.
pub(super) const CLASS_BYTES: u64 = 64 * 1024;
/// DUR-04: a larger merge must leave [`MERGE_ROOM_BYTES`] free, and its own size once more.
pub(super) const SMALL_MERGE_BYTES: u64 = 16 * 1024 * 1024;
/// See [`SMALL_MERGE_BYTES`].
pub(super) const MERGE_ROOM_BYTES: u64 = 1024 * 1024 * 1024;
/// Removed emails that may stay in the index at most, and their share of all.
pub(super) const REMOVED_MIN: u64 = 1_000;
/// See [`REMOVED_MIN`].
pub(super) const REMOVED_SHARE: u64 = 4;
