//! The one integration binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod dns;
mod queue;
mod relay;
mod smtp_client;
mod store;
