//! Every limit that is not a setting: what it bounds, its name in the threat model, its value.
//!
//! Settings have their defaults in `config`; this file holds what an operator has no reason to
//! change. The id of each, as of every constant with one, is in the name of a test that crosses it
//! (tests/suite/tidy.rs looks for the name). Owners of a protocol have their own beside their code,
//! with the LIM id in the doc sentence.

use std::time::Duration;

/// LIM-05: a TLS handshake must be finished within this time.
pub const TLS_HANDSHAKE: Duration = Duration::from_secs(30);
/// LIM-10: output waiting for one client before the session waits for it to be read, in bytes.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// LIM-10: a client that does not take [`OUTPUT_BYTES_MAX`], or all that waits, within this time is
/// closed.
pub const CLIENT_NOT_READING: Duration = Duration::from_secs(300);
/// LIM-22: bytes read from a client while no command can be taken from them: commands sent ahead
/// wait in its own system from there on.
pub const READ_AHEAD_BYTES_MAX: usize = 16 * 1024;
/// LIM-33 and LIM-11: longest SASL response line in bytes (RFC 4954 4: 12288 octets).
pub const SASL_LINE_BYTES_MAX: usize = 12_288;
/// LIM-40: bytes of a password; one that is empty or longer is a failed login like any other.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// LIM-36: bytes of a body held in memory before it is staged in the store in pieces.
pub const BODY_MEMORY_BYTES_MAX: usize = 256 * 1024;

/// LIM-01: connections for a process that may open `files` files: room is left for the store, the
/// relay and the log.
pub const fn connections_for(files: usize) -> usize {
    let connections = (files / 10 * 8).saturating_sub(256);
    if connections < 16 { 16 } else { connections }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lim_01_connections_leave_room_for_other_files() {
        assert_eq!(connections_for(65_536), 52_168);
        assert_eq!(connections_for(1024), 560);
        assert_eq!(connections_for(100), 16);
    }
}
