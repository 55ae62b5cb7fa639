//! The one mechanism that serves every line protocol: listening, framing, deadlines, TLS, parking,
//! farewell.
//!
//! [`protocol`] says what a protocol and a service are, [`drive`] runs one connection, [`turn`] is
//! all that a verb sees of it. Knows no protocol by name.

pub mod authn;
pub mod conn;
mod deflate;
pub mod drive;
mod entrance;
pub mod gate;
pub mod listen;
pub mod login;
pub mod protocol;
mod proxied;
pub mod recall;
pub mod sessions;
pub mod shutdown;
pub mod tasks;
pub mod throttle;
pub mod turn;

pub use conn::{Gone, Peer, Transport};
pub use protocol::{Farewell, Halt, Next, Protocol, Service, Step, Terms};
pub use turn::{Body, Response, Turn};
