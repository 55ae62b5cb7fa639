//! The one boxed future type used by traits that must stay dyn-compatible.

use std::{future::Future, pin::Pin};

/// A heap-allocated, sendable future, as returned by dyn-compatible async traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
