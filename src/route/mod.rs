//! What becomes of a message: who may send it where, and the one commit that accepts it.
//!
//! RFC 5321 3.6 (relaying), 4.2.5 and 6.1 (what a 250 promises), 3.9 (aliases and lists). Local
//! copies and queued ones are made by the same commit; after it the message is ours, before it
//! nothing is. Forwards keep the sender of the message: there is no sender rewriting (SRS), so a
//! forward's last report goes to whoever sent it. Not here: verbs and replies (`smtp`), attempts
//! (`relay`).

mod advice;
mod again;
mod copies;
mod held;
mod pace;
mod plan;
mod postman;
pub mod report;
mod router;
mod signing;
mod success;

pub use copies::Copies;
pub use held::Waited;
pub use postman::{Fault, FirstLine, PostError, Posted, Postman, Report, Reports};
pub use router::{
    AcceptError, Acceptance, Composed, Options, Origin, Refusal, RouteFault, Router, Target,
};
