//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod accounts;
mod dns;
mod mailbox;
mod queue;
mod relay;
mod smtp;
mod smtp_client;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
