//! Leniencies, by name: what we accept beyond the grammar of RFC 3501, who needs it, and the switch
//! that ends it.
//!
//! Each constant is consulted at exactly one place and tested there. Setting it to `false` makes
//! that place strict. None of them changes what a well-formed command means.

/// Quoted strings with UTF-8 in them, which RFC 9051 4.3 allows and RFC 3501 9 does not. Sent by
/// clients for passwords and by people who search.
pub const UTF8_IN_QUOTED: bool = true;

/// Flags with a backslash that nobody can set (`\Recent`, `\Junk`) are left out of flag lists
/// instead of refused. Sent by clients that copy the flags they were told.
pub const UNKNOWN_SYSTEM_FLAGS: bool = true;

/// Spaces behind the last argument. Typed by people and written by scripts.
pub const SPACES_AT_END: bool = true;

/// APPEND of a message whose header fields are not ASCII, by a client that has not enabled
/// UTF8=ACCEPT: RFC 6855 4 has it refused. Sent by people who move old mail here, with Latin-1 in
/// its subjects; refused, it would stay behind.
pub const EIGHT_BIT_HEADERS_IN_APPEND: bool = true;
