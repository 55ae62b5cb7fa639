//! The search index: which emails can contain a text, so that a search reads few of them.
//!
//! A cache beside the store, in a directory of its own: groups of three characters of the texts
//! that SEARCH compares with, for each email. It is asked for candidates; the search itself decides
//! on each of them as it would without an index, so results are the same (RFC 3501 6.4.4). It is
//! fed in the background from what is committed; damaged, foreign or absent, it is made again, and
//! searches read everything meanwhile. docs/STORE.md has its files.

mod batch;
mod catalog;
mod codec;
mod feeder;
mod grams;
mod limits;
mod merge;
mod query;
mod segment;
mod service;
mod texts;

pub use self::{
    codec::Unreadable,
    query::{EmailSet, Query, Wanted},
    service::{Fulltext, Phase, Status},
};
