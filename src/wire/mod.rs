//! Bytes without a protocol: the buffer a peer fills, lines, literals, counted octets, dot framing,
//! base64.
//!
//! Pure: no sockets, no time. Everything here gives the same result however the input is split.
#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod base64;
pub mod dot;
pub mod fold;
pub mod frame;
pub mod input;
pub mod lines;
pub mod literal;
pub mod mechanism;
pub mod output;
pub mod protocol;
pub mod proxy;

pub use frame::Frame;
pub use input::{Input, Line};
pub use mechanism::MechanismName;
pub use output::Output;
pub use protocol::{Farewell, Protocol, Step};
