//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod accounts;
mod dns;
mod mailbox;
mod queue;
mod relay;
mod route;
mod smtp_client;
mod store;
mod tidy;
