//! Ordered key-value truth behind one trait.
//!
//! [`Engine`] is what every service above sees: point reads, bounded pages, declarative atomic
//! batches and bodies. Nothing above this folder knows which engine runs. Keys are made only in
//! [`key`]; the whole key space and its invariants stand in docs/STORE.md.

pub mod batch;
pub mod embedded;
pub mod engine;
pub mod fault;
pub mod key;
pub mod memory;
pub mod owners;
pub mod pages;
mod resolve;

pub use batch::{Batch, Body, Condition, Content, Staged, Take, Template, Width, Write};
pub use engine::{
    Applied, CommitError, Engine, KeyRange, Order, Page, PageLimit, ReadError, Room, Stage,
};
pub use key::{About, Key};
pub use pages::Pages;
