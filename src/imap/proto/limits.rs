//! What one IMAP client may ask of us at once; each limit is crossed by a test that names it.

use crate::wire::literal::CommandLimits;

/// LIM-18: before login.
pub const BEFORE_LOGIN: CommandLimits = CommandLimits {
    line_bytes_max: 8_192,
    literal_bytes_max: 4_096,
    command_bytes_max: 16 * 1024,
    literals_max: 16,
    parentheses_max: 16,
};

/// LIM-19: after login.
pub const AFTER_LOGIN: CommandLimits = CommandLimits {
    line_bytes_max: 64 * 1024,
    literal_bytes_max: 128 * 1024,
    command_bytes_max: 1024 * 1024,
    literals_max: 1_000,
    parentheses_max: 4_096,
};

/// LIM-13: octets of a message that is refused and on its way anyway are received and dropped up to
/// this many, so that one a little too large is only refused; more end the connection (RFC 7888 4).
pub const fn discarded_bytes_max(message_bytes_max: u64) -> u64 {
    message_bytes_max.saturating_add(message_bytes_max / 4)
}

/// LIM-18: refusals before the connection is closed, before login.
pub const STRIKES_BEFORE_LOGIN_MAX: u32 = 3;
/// LIM-19: refusals before the connection is closed, after login.
pub const STRIKES_AFTER_LOGIN_MAX: u32 = 20;
/// LIM-18: longest tag in bytes.
pub const TAG_BYTES_MAX: usize = 64;
/// LIM-20: how deep search keys may be nested.
pub const SEARCH_DEPTH_MAX: usize = 50;
/// LIM-20: search keys in one command.
pub const SEARCH_KEYS_MAX: usize = 1_000;
/// LIM-20: criteria of one SORT.
pub const SORT_CRITERIA_MAX: usize = 32;
/// LIM-20: mailboxes and groups of them that one ESEARCH names.
pub const SOURCE_NAMES_MAX: usize = 1_000;
/// LIM-36: groups of one NOTIFY; it names as many mailboxes as an ESEARCH.
pub const NOTIFY_GROUPS_MAX: usize = 100;
/// LIM-21: ranges of a sequence set after merging.
pub const SET_RANGES_MAX: usize = 10_000;
/// LIM-38: known message numbers of one QRESYNC; its known UIDs are a set of LIM-21.
pub const MATCHES_MAX: usize = 1_000;
/// LIM-38: the largest mod-sequence (RFC 7162 3.1), and of numbers of octets (RFC 9051 9).
pub const NUMBER64_MAX: u64 = 9_223_372_036_854_775_807;
/// LIM-26: patterns of one LIST.
pub const LIST_PATTERNS_MAX: usize = 32;
/// LIM-26: longest reference or pattern of a LIST in bytes, as sent.
pub const LIST_PATTERN_BYTES_MAX: usize = 256;
/// LIM-19: data items of one FETCH after saying each once.
pub const FETCH_ITEMS_MAX: usize = 128;
/// LIM-19: field names of one HEADER.FIELDS list.
pub const HEADER_FIELDS_MAX: usize = 256;
/// LIM-28: depth of a body section's part numbers; deeper parts do not exist.
pub const SECTION_DEPTH_MAX: usize = 100;
/// LIM-27: entries in one GETMETADATA or SETMETADATA.
pub const METADATA_ENTRIES_MAX: usize = 1_000;
/// LIM-24: flags in one flag list, before those that mean nothing are left out.
pub const FLAGS_MAX: usize = 512;
/// RFC 2971 3: field and value pairs of one ID, and the longest field and value in bytes.
pub const ID_PAIRS_MAX: usize = 30;
/// RFC 2971 3.3: longest field name of an ID in bytes.
pub const ID_FIELD_BYTES_MAX: usize = 30;
/// RFC 2971 3.3: longest value of an ID in bytes.
pub const ID_VALUE_BYTES_MAX: usize = 1024;
