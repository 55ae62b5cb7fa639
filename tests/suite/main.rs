//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod accounts;
mod smtp;
mod mailbox;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
