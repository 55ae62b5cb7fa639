//! buzon: one mail server. SMTP in, IMAP and POP3 to read, an outbound queue, one durable store.

pub mod base;
pub mod dns;
pub mod mail;
pub mod queue;
pub mod relay;
pub mod smtp;
pub mod store;
