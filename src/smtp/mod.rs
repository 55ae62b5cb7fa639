//! SMTP: RFC 5321 and its extensions.

pub mod client;
pub mod proto;
pub mod server;
