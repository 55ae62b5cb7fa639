//! Every limit that is not a setting: what it bounds, its name in the threat model, its value.
//!
//! Settings have their defaults in `config`; this file holds what an operator has no reason to
//! change. Each constant is named by at least one test that crosses it (tests/suite/tidy.rs checks
//! that). Owners of a protocol add their own here, with the LIM id in the doc sentence.

use std::time::Duration;

/// LIM-05: a TLS handshake must be finished within this time.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(30);
/// LIM-10: output waiting for one client before the session waits for it to be read, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// LIM-10: a client that takes no byte for this long is closed.
pub const CLIENT_NOT_READING: Duration = Duration::from_secs(300);
/// LIM-33 and LIM-11: longest SASL response line in bytes (RFC 4954 4: 12288 octets).
pub const SASL_LINE_BYTES_MAX: usize = 12_288;
/// LIM-36: bytes of a body held in memory before it is staged in the store in pieces.
pub const BODY_MEMORY_BYTES_MAX: usize = 256 * 1024;
