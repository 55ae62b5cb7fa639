//! Leniencies of the command dialogue, by name: what we accept beyond the grammar, who needs it,
//! and the switch that ends it. Those of paths are in `mail::quirk`; that a bare LF ends a command
//! line is in `wire::input`.

/// `EHLO my_pc` and other arguments that are neither a host name nor an address literal. RFC 5321
/// 4.1.4 forbids to refuse mail for a name that does not match; half the world's clients cannot say
/// a correct one.
pub const ODD_CLIENT_NAME: bool = true;

/// On submission: a bare CR or LF in message data becomes CRLF instead of costing the message.
/// Needed by scripts that send a file as it is. Port 25 is strict: there the same bytes are an
/// attack.
pub const BARE_LINE_ENDS_ON_SUBMISSION: bool = true;
