//! What is stored of an email beside its body: which body it is, and what FETCH needs without reading it.
//!
//! The facts are opaque here; the mail floor writes and reads them. They usually stand in the record.
//! Those of a message with thousands of parts can be larger than a value and then are a body of their own.

use bytes::Bytes;

use super::{
    codec::{Reader, Undecodable, put_number},
    compose::weight,
    limits::{BATCH_BYTES_MAX, VALUE_BYTES_MAX},
};
use crate::{
    base::{ids::BlobId, ids::EmailId, ids::SortedId},
    store::{Batch, Content},
};

/// What is stored of an email beside its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// Its number.
    pub id: EmailId,
    /// Its body.
    pub blob: BlobId,
    /// Bytes of the body.
    pub size: u64,
    /// What FETCH needs, encoded.
    pub facts: Bytes,
}

/// The stored record of an email.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EmailRecord {
    pub(super) blob: BlobId,
    pub(super) size: u64,
    pub(super) facts: FactsPlace,
}

/// Where the facts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FactsPlace {
    Here(Bytes),
    Apart { blob: BlobId, bytes: u64 },
}

/// Fewer writes cannot fill a batch; not worth weighing.
const CROWD_WRITES: usize = 16;
const VERSION: u8 = 1;
const HERE: u8 = 0;
const APART: u8 = 1;

impl EmailRecord {
    /// The record for these facts. Large ones, and those of further copies in a batch that fills up,
    /// become a body of `batch`, named by `fresh`: so a message has room for many recipients.
    pub(super) fn new(
        batch: &mut Batch,
        blob: BlobId,
        size: u64,
        facts: &Bytes,
        fresh: impl FnOnce() -> BlobId,
    ) -> Self {
        let crowded = batch.writes.len() > CROWD_WRITES
            && weight(batch).saturating_add(facts.len()) > BATCH_BYTES_MAX / 2;
        let facts = if facts.len() <= VALUE_BYTES_MAX && !crowded {
            FactsPlace::Here(facts.clone())
        } else {
            let apart = fresh();
            batch.body(apart, Content::Bytes(facts.clone()));
            FactsPlace::Apart {
                blob: apart,
                bytes: facts.len() as u64,
            }
        };
        Self { blob, size, facts }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        out.extend_from_slice(self.blob.as_bytes());
        put_number(&mut out, self.size);
        match &self.facts {
            FactsPlace::Here(facts) => {
                out.push(HERE);
                out.extend_from_slice(facts);
            }
            FactsPlace::Apart { blob, bytes } => {
                out.push(APART);
                out.extend_from_slice(blob.as_bytes());
                put_number(&mut out, *bytes);
            }
        }
        out
    }

    pub(super) fn decode(value: &Bytes) -> Result<Self, Undecodable> {
        let mut reader = Reader::new(value);
        if reader.byte()? != VERSION {
            return Err(Undecodable);
        }
        let blob = SortedId::from_bytes(reader.array()?);
        let size = reader.number()?;
        let facts = match reader.byte()? {
            HERE => FactsPlace::Here(value.slice_ref(reader.rest())),
            APART => {
                let apart = SortedId::from_bytes(reader.array()?);
                let bytes = reader.number()?;
                FactsPlace::Apart { blob: apart, bytes }
            }
            _ => return Err(Undecodable),
        };
        Ok(Self { blob, size, facts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{clock::Timestamp, random::Random};

    #[test]
    fn records_survive_with_facts_of_any_size() {
        let random = Random::seeded(3);
        let fresh = || BlobId::fresh(Timestamp(9), &random);
        for (length, bodies) in [
            (0, 0),
            (2_000, 0),
            (VALUE_BYTES_MAX, 0),
            (VALUE_BYTES_MAX + 1, 1),
        ] {
            let mut batch = Batch::new();
            let facts = Bytes::from(vec![7; length]);
            let record = EmailRecord::new(&mut batch, fresh(), 12, &facts, fresh);
            assert_eq!(batch.bodies.len(), bodies);
            let value = Bytes::from(record.encode());
            assert!(value.len() <= 64 * 1024);
            assert_eq!(EmailRecord::decode(&value), Ok(record));
        }
        assert_eq!(
            EmailRecord::decode(&Bytes::from_static(b"\x01abc")),
            Err(Undecodable)
        );
    }
}
