//! The language of IMAP4rev1 (RFC 3501) with the extensions our clients use: commands in,
//! responses out.
//!
//! Pure: no sockets, no clock, no log. Nothing a peer sends can panic, recurse without a bound or
//! allocate by a declared size. Limits are counted where bytes become tokens (`dialog`, `parse`),
//! not per command.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod acl;
pub mod append;
pub mod command;
pub mod date;
pub mod dialog;
pub mod enabled;
pub mod encode;
pub mod esearch;
pub mod fetch;
pub mod flag;
mod gather;
pub mod limits;
pub mod list;
pub mod metadata;
pub mod mutf7;
pub mod notify;
pub mod object_id;
pub mod parse;
pub mod quirk;
pub mod response;
pub mod resync;
pub mod search;
pub mod section;
pub mod sequence;
pub mod sort;
pub mod sources;
pub mod status;
pub mod url;
pub mod verbs;
