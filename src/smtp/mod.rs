//! SMTP: how mail comes in from the world (port 25) and from our own people (587, 465).
//!
//! `proto` is what the protocol is (pure), `server` is what we do with its commands.

pub mod proto;
//! SMTP: RFC 5321 and its extensions.

pub mod client;
