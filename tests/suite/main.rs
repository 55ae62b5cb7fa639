//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod accounts;
mod imap;
mod mailbox;
mod smtp;
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod dns;
mod queue;
mod relay;
mod route;
mod smtp_client;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
