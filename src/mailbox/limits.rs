//! Fixed limits of mailboxes: what each bounds, its name in the threat model, its value.
//!
//! Settings have their defaults in the options of the service; these are what an operator has no
//! reason to change. Each id is in the name of a test that crosses it.

use std::time::Duration;

/// LIM-23: mailboxes of one account.
pub(super) const MAILBOXES_MAX: usize = 10_000;
/// LIM-23: bytes of one level of a mailbox name, in UTF-8.
pub(super) const NAME_LEVEL_BYTES_MAX: usize = 255;
/// LIM-23: bytes of a whole mailbox name, in UTF-8.
pub(super) const NAME_BYTES_MAX: usize = 1_000;
/// LIM-23: levels of a mailbox name.
pub(super) const NAME_LEVELS_MAX: usize = 32;
/// LIM-23: subscriptions of one account; names need not exist, so this is a limit of its own.
pub(super) const SUBSCRIPTIONS_MAX: usize = 10_000;
/// LIM-24: distinct keywords in use in one mailbox.
pub(super) const KEYWORDS_MAX: usize = 256;
/// LIM-24: bytes of one keyword.
pub(super) const KEYWORD_BYTES_MAX: usize = 128;
/// LIM-23: identifiers in the access control list of one mailbox.
pub(super) const IDENTIFIERS_MAX: usize = 100;
/// LIM-23: mailboxes of others that one account is shown; by their names it reaches more.
pub(super) const SHARED_MAX: usize = 1_000;
/// LIM-23: of these, how many more of each account are looked at before as many of all others were.
pub(super) const SHARED_ROUNDS: [usize; 4] = [2, 10, 50, usize::MAX];
/// LIM-23: grants that are looked at for it, also of mailboxes that may not be seen.
pub(super) const SHARED_GRANTS_MAX: usize = 4_000;
/// LIM-27: private annotations that one who is not the owner has of one mailbox.
pub(super) const METADATA_GUEST_ENTRIES_MAX: i64 = 100;
/// LIM-27: annotations of one account, of all its mailboxes together, without those.
pub(super) const METADATA_ENTRIES_MAX: i64 = 1_000;
/// LIM-27: bytes of one annotation: with its version byte what engines take.
pub const METADATA_BYTES_MAX: usize = 64 * 1024 - 1;

/// Bytes of one stored value that this folder writes; engines take 64 KiB.
pub(super) const VALUE_BYTES_MAX: usize = 60 * 1024;
/// Bytes of one batch without bodies that this folder writes; engines take 8 MiB. A COPY, a MOVE or
/// a RENAME of INBOX is one batch: at most 30 bytes for each message, usually about 10.
pub(super) const BATCH_BYTES_MAX: usize = 7 * 1024 * 1024;
/// Bytes of one batch of the background work, for which nobody should have to wait.
pub(super) const BACKGROUND_BATCH_BYTES: usize = 450 * 1024;
/// How often a change that met a concurrent one is tried before it is given up as busy.
pub(super) const ATTEMPTS_MAX: usize = 8;
/// Messages in one chunk of a snapshot.
pub(super) const CHUNK_MESSAGES: usize = 1_000;
/// Log records behind a snapshot that make the next one due.
pub(super) const TAIL_RECORDS: u32 = 256;
/// Log records behind a snapshot that make the next one due in a mailbox that nobody uses.
pub(super) const TAIL_RECORDS_IDLE: u32 = 32;
/// Marks behind which the log is history that is kept: about four thousand records, a week of a
/// busy mailbox. A client that was away so long hears exactly what is gone (RFC 7162 3.2.6).
pub(super) const HISTORY_MARKS: usize = 16;
/// Unused mailboxes that stay in memory, at most.
pub(super) const IDLE_MAILBOXES_MAX: usize = 256;
/// Messages of unused mailboxes that stay in memory, at most; about 40 bytes each.
pub(super) const IDLE_MESSAGES_MAX: usize = 1_000_000;
/// Mailboxes whose appended records are counted for the sake of the next snapshot, at most.
pub(super) const COUNTED_MAILBOXES_MAX: usize = 50_000;
/// A notice can be lost when a session ends in the middle of its commit: after this long a mailbox
/// is read again without one.
pub(super) const NOTICE_TRUSTED: Duration = Duration::from_secs(10);
/// Time between two rounds of the background work.
pub(super) const TEND_INTERVAL: Duration = Duration::from_secs(5);
/// LIM-37: bytes of each body on its way in that do not count against the budget of all: as much
/// as a connection's own buffers.
pub(super) const BODY_BYTES_FREE: usize = 4 * 1024;
/// LIM-37: bodies that are written past the memory at once when the budget is used up; the others
/// wait for their turn.
pub(super) const BODIES_PASSING_MAX: usize = 64;
/// DUR-04: how long an expunged message stays stored at most while the disk is nearly full. A
/// session that was not told of it yet may then miss it; mail for everybody is worth more.
pub(super) const GRACE_WITHOUT_ROOM: Duration = Duration::from_secs(20);
/// Bytes of one piece of a body handed to a connection.
pub(super) const PIECE_BYTES: u64 = 128 * 1024;
/// A body up to this size is read in one piece, which verifies its checksum.
pub(super) const WHOLE_BYTES_MAX: u64 = 256 * 1024;
