//! The one integration binary.

mod accounts;
mod mailbox;
mod smtp;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
