//! The store: one conformance suite over every engine, and what the embedded one survives.
//!
//! `conformance` says what an engine is; it runs on memory and on the embedded engine, and on each
//! wrapped in `store::fault`. The other modules are about the embedded engine alone.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod conformance;
mod crash;
pub(crate) mod disk;
mod incidents;
mod model;
mod scratch;
mod shortage;
mod stress;
mod upkeep;
