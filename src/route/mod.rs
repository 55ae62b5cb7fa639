//! What becomes of a message: who may send it where, and the one commit that accepts it.
//!
//! RFC 5321 3.6 (relaying), 4.2.5 and 6.1 (what a 250 promises), 3.9 (aliases and lists). Local
//! copies and queued ones are made by the same commit; after it the message is ours, before it
//! nothing is. What is passed on for an address here has its sender rewritten (`srs`), so that
//! reports come back and find him. Not here: verbs and replies (`smtp`), attempts (`relay`).

mod advice;
mod again;
mod answer;
mod answering;
mod copies;
mod filing;
mod held;
mod listing;
mod pace;
mod passing;
mod plan;
mod postman;
pub mod report;
mod router;
mod signing;
mod srs;
mod success;
mod target;

pub use copies::Copies;
pub use held::Waited;
pub use listing::{list_heads, lists_here};
pub use pace::Full;
pub use passing::Rewriting;
pub use postman::{Fault, FirstLine, PostError, Posted, Postman, Report, Reports};
pub use router::{
    AcceptError, Acceptance, Composed, Edition, Options, Origin, Refusal, RouteFault, Router,
};
pub use target::Target;
