//! The order of messages: what SORT sorts by and how THREAD groups (RFC 5256).
//!
//! Pure: values of messages in, an order or a forest of threads out. Reading those values is the
//! server's. Nothing recurses on how messages refer to each other.

mod forest;
mod ordered_subject;
mod references;
mod sort_key;
mod subject;

pub use self::{
    forest::{Forest, Token},
    ordered_subject::ordered_subject,
    references::{Linked, References},
    sort_key::{SortKeys, Sorting, TEXT_KEY_BYTES},
    subject::BaseSubject,
};
