//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod accounts;
mod dns;
mod imap;
mod mailbox;
mod queue;
mod relay;
mod route;
mod smtp;
mod smtp_client;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
