//! Fixed limits of IMAP sessions: what each bounds, its name in the threat model, its value.
//!
//! Those of commands as they are read are in `imap::proto::limits`. Each is named by a test that
//! crosses it.

use std::time::Duration;

/// LIM-06: silence before login.
pub(super) const IDLE_BEFORE_LOGIN: Duration = Duration::from_secs(60);
/// LIM-06: time to log in.
pub(super) const TOTAL_BEFORE_LOGIN: Duration = Duration::from_secs(180);
/// LIM-16: from this many refusals on, each comes a second late.
pub(super) const STRIKES_SLOW: u32 = 10;
/// LIM-25: time of one SEARCH, or of one LIST with STATUS.
pub(super) const SEARCH_TIME_MAX: Duration = Duration::from_secs(30);
/// LIM-25: bytes that one SEARCH may scan.
pub(super) const SEARCH_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// LIM-25: how long a command computes before others get their turn.
pub(super) const PAUSE_EVERY: Duration = Duration::from_millis(10);
/// LIM-36: messages whose stored facts are in memory at once.
pub(super) const RUN_MESSAGES: usize = 100;
/// LIM-36: bytes that one SORT or THREAD keeps of messages until they are in order.
pub(super) const ORDER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// LIM-19: messages of one APPEND. With their facts they fit one batch.
pub(super) const APPEND_MESSAGES_MAX: usize = 100;
/// LIM-19: literals and URLs that the messages of one APPEND are made of.
pub(super) const APPEND_PARTS_MAX: usize = 1_000;
/// LIM-19: bytes of the lines of one APPEND behind its first literal.
pub(super) const APPEND_LINES_BYTES_MAX: usize = 1024 * 1024;
/// LIM-13: all messages of one APPEND together are as large as this many of the largest.
pub(super) const APPEND_SIZE_FACTOR: u64 = 4;
/// LIM-19: bytes of one URL.
pub(super) const URL_BYTES_MAX: u64 = 8 * 1024;
/// LIM-36: octets of a decoded part that are kept from finding its length to sending it.
pub(super) const DECODED_BYTES_HELD: usize = 256 * 1024;
/// LIM-25: bytes that one FETCH may read of parts to decode of which it says little.
pub(super) const SIZED_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
