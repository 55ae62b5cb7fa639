//! A range of the store from its beginning to its end, a page at a time.
//!
//! Each page is of its own point of time: what changes meanwhile in front of the reader is seen,
//! what changes behind it is not.

use bytes::Bytes;

use super::{
    engine::{Engine, KeyRange, Order, PageLimit, ReadError},
    key::Key,
};

/// Reads a range in ascending order.
pub struct Pages<'e> {
    engine: &'e dyn Engine,
    rest: Option<KeyRange>,
}

impl<'e> Pages<'e> {
    /// Of all of `range`.
    pub fn new(engine: &'e dyn Engine, range: KeyRange) -> Self {
        let rest = (range.from < range.to).then_some(range);
        Self { engine, rest }
    }

    /// The next entries, or none when all were read. A page may be empty.
    ///
    /// # Errors
    ///
    /// That of the engine; the same page is read by the next call.
    pub async fn next(&mut self) -> Result<Option<Vec<(Key, Bytes)>>, ReadError> {
        let Some(range) = &mut self.rest else {
            return Ok(None);
        };
        let limit = PageLimit::default();
        let page = self
            .engine
            .page(range.clone(), limit, Order::Ascending)
            .await?;
        match page.entries.last().filter(|_| page.more) {
            Some((last, _)) => range.from = last.successor(),
            None => self.rest = None,
        }
        Ok(Some(page.entries))
    }
}
