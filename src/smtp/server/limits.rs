//! Limits of the receiving side that are no settings (THREATS LIM ids in the doc sentences).

use std::time::Duration;

/// LIM-07: until the first MAIL or login, the connection lasts no longer than this.
pub const FIRST_MAIL_WITHIN: Duration = Duration::from_secs(300);
/// LIM-12: longest text line taken in, in bytes without CRLF. RFC 5321 4.5.3.1.6 asks for 998;
/// senders of longer ones are too many, so they are taken in, and folded when they are sent on.
pub const TEXT_LINE_BYTES_MAX: usize = 64 * 1024;
/// LIM-15: messages of a connection over which an MTA hands mail over: it was named by the
/// operator, and what it is refused waits in its queue.
pub const DELIVERY_TRANSACTIONS_MAX: u32 = 10_000;
/// LIM-16: from this many errors on, each costs a second.
pub const STRIKES_SLOW: u32 = 10;
/// LIM-16: at this many errors the connection is closed.
pub const STRIKES_MAX: u32 = 20;
/// LIM-16: commands without effect (EHLO, NOOP, RSET, VRFY, HELP, DATA to nobody) between two
/// messages.
pub const JUNK_COMMANDS_MAX: u32 = 100;
/// LIM-16: recipients refused for good, in one connection.
pub const REFUSED_RECIPIENTS_MAX: u32 = 20;
/// LIM-16: recipients refused for now or named twice, between two messages. Honest clients may
/// offer more than we take, and send the message again to the rest.
pub const IDLE_RECIPIENTS_MAX: u32 = 1_000;
/// LIM-29: bytes of a header.
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// LIM-36: bytes of a header that any connection may hold; more needs one of [`LARGE_HEADERS_MAX`].
pub const HEADER_BYTES_FREE: usize = 64 * 1024;
/// LIM-37: connections that may hold a header larger than [`HEADER_BYTES_FREE`] at the
/// same time; others are asked to come back.
pub const LARGE_HEADERS_MAX: usize = 64;
/// LIM-29: bytes of one header field.
pub const FIELD_BYTES_MAX: usize = 128 * 1024;
/// LIM-29: fields of a header.
pub const FIELDS_MAX: usize = 2_000;
/// LIM-31: Received fields of a message; more of them mean a loop (RFC 5321 6.3).
pub const RECEIVED_FIELDS_MAX: usize = 100;
