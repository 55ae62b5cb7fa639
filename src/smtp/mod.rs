//! SMTP: how mail comes in from the world (port 25) and from our own people (587, 465), and how it
//! goes out.
//!
//! `proto` is what the protocol is (pure), `server` is what we do with its commands, `client` says
//! them to others.

pub mod client;
pub mod proto;
pub mod server;
