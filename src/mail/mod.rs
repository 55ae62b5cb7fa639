//! What a message is: addresses, envelopes, header fields, dates, MIME structure, and the facts
//! about an email that IMAP asks for.
//!
//! Everything here is pure: bytes in, values out; no clock, no log, no waiting. Nothing derived
//! from a message can panic, recurse without a bound, or take more than linear time.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::as_conversions
    )
)]

pub mod address;
pub mod algorithm;
pub mod body_text;
pub mod by_domain;
pub mod charset;
pub mod civil;
pub mod convert;
pub mod date;
pub mod dsn;
pub mod envelope;
pub mod envelope_text;
pub mod excerpt;
pub mod facts;
pub mod fuzzy;
pub mod header;
pub mod imap_text;
pub mod message_id;
pub mod mime;
pub mod preview;
pub mod quirk;
pub mod texts;
pub mod trace;
pub mod transfer;
pub mod urgency;
pub mod words;
