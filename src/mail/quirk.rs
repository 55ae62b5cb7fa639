//! Leniencies, by name: what we accept beyond the grammar, who needs it, and the switch that ends
//! it.
//!
//! Each constant is consulted at exactly one place and tested there. Setting it to `false` makes
//! that place strict. None of them changes what an address means, only how it may be spelt.

/// `MAIL FROM:user@example.org` without angle brackets. Needed by people at telnet and by scripts
/// and devices that Postfix and Exim accept by default. The path then ends at the first space.
pub const PATH_WITHOUT_BRACKETS: bool = true;

/// `MAIL FROM: <user@example.org>`: spaces after the colon, which RFC 5321 3.3 forbids. Sent by
/// many printers, scanners and old clients; every common server accepts it.
pub const SPACE_BEFORE_PATH: bool = true;

/// Leading, trailing and double dots in an unquoted local part (`a..b.@example.jp`). Japanese
/// mobile carriers assigned such addresses for years. The value equals the quoted spelling, and
/// that is what we send.
pub const STRAY_DOTS_IN_LOCAL_PART: bool = true;

/// `user@foo_bar.example`: underscores in domains, which host names cannot have and the DNS can.
/// Such domains exist and have mail; Postfix and Exim take them. A name with labels beyond ASCII
/// stays strict, and so does the name of this host.
pub const UNDERSCORE_IN_DOMAIN: bool = true;
