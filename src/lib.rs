//! buzon: one mail server. SMTP in, IMAP and POP3 to read, an outbound queue, one durable store.

pub mod accounts;
pub mod admin;
pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod dns;
pub mod fulltext;
pub mod imap;
pub mod mail;
pub mod mailbox;
pub mod net;
pub mod observe;
pub mod pop3;
pub mod queue;
pub mod relay;
pub mod route;
pub mod sasl;
pub mod smtp;
pub mod store;
pub mod tls;
pub mod verify;
pub mod web;
pub mod wire;
