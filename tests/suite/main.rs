//! The one integration binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod dns;
mod imap;
mod interop;
mod mailbox;
mod net;
mod pop3;
mod queue;
mod relay;
mod route;
mod smtp;
mod smtp_client;
mod store;
mod tidy;
mod web;

#[path = "../support/mod.rs"]
mod support;
