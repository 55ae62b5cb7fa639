//! The operator's operations as typed requests.
//!
//! The command line makes a [`Request`]; it is run by [`Operations`], in the running server over
//! its local socket ([`socket`]) or in the command's own process when no server runs: an embedded
//! store has one owner. Answers are data; the command line makes text or JSON of them.

mod addressing;
pub mod operations;
mod personal;
mod queueing;
pub mod request;
mod sharing;
mod signing;
pub mod socket;
mod watching;

pub use operations::Operations;
pub use queueing::Ways;
pub use request::{
    Addressing, Answer, Answering, Filters, Listing, Password, QueueAction, QueueRequest, Request,
    Selected,
};
