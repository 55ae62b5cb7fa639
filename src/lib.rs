//! buzon: one mail server. SMTP in, IMAP and POP3 to read, an outbound queue, one durable store.

pub mod base;
pub mod imap;
pub mod mail;
pub mod mailbox;
pub mod net;
pub mod sasl;
pub mod store;
pub mod tls;
pub mod wire;
