//! The sending side of SMTP: one conversation, written top to bottom as the RFC tells it.
//!
//! [`Conversation`] waits; what replies mean ([`classify`]), what a reply is ([`reply`]), what a
//! server offers ([`extensions`]) and how content is written ([`content`]) is pure. RFC 5321
//! (client parts), 1870, 2034, 2920, 3207, 4954, 6152, 6531. Not here: which host, when, how often,
//! what then (`relay`).

pub mod classify;
mod content;
pub mod conversation;
mod extensions;
mod login;
pub mod reply;
mod stream;
mod tls;
mod transaction;

pub use content::Encoder as LineEncoder;
pub use conversation::{Cause, Conversation, Failure, Timeouts};
pub use login::{Login, Proof};
pub use tls::TlsClient;
pub use transaction::{Fate, Mail, Sent};

pub use crate::net::Transport;
