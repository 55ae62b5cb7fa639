//! What SMTP is: commands, replies, the order they come in. Pure: no socket, no clock, no log.
//!
//! RFC 5321, with SIZE (1870), ETRN (1985), ENHANCEDSTATUSCODES (2034), PIPELINING (2920), CHUNKING
//! (3030), STARTTLS (3207), DSN (3461), AUTH (4954), 8BITMIME (6152), SMTPUTF8 (6531), REQUIRETLS
//! (8689), LIMITS (9422); LMTP (2033), and XCLIENT of Postfix. [`dialog::VERBS`] is the table that
//! everything is made from: admission, the EHLO answer, HELP.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod command;
pub mod dialog;
pub mod ehlo;
pub mod help;
mod parameters;
pub mod parse;
pub mod quirk;
pub mod reply;
pub mod xclient;
