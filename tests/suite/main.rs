//! The one integration binary.

mod accounts;
mod imap;
mod mailbox;
mod smtp;
mod store;
#[path = "../support/mod.rs"]
mod support;
mod tidy;
