//! IMAP4rev1: what is said (pure), what a session sees of a mailbox (pure), and the server.
//!
//! `proto` turns bytes into commands and responses into bytes; `view` is one session's numbering
//! of one mailbox. Neither waits, reads a clock or logs.

pub mod order;
pub mod proto;
pub mod server;
pub mod view;
