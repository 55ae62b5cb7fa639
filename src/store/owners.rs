//! Who owns a body: the count that tells when its bytes may go.
//!
//! One body may belong to emails of several accounts and to queued messages. Each of these is one
//! owner. A body with exactly one owner, the usual case, has no count stored. Counts change only
//! together with the records that own, in the same batch; the last owner takes the body along.

use bytes::Bytes;

use super::{
    batch::Batch,
    engine::{Engine, ReadError},
    key,
};
use crate::base::ids::BlobId;

/// Gives the body `blob`, which this same `batch` makes durable, all its first `owners`.
///
/// Never for a body that exists: its one owner may be uncounted, and a sum begins at zero. Who adds
/// an owner to such a body must read [`Owners`], and store one more than their count on condition
/// that it is unchanged.
pub fn own_first(batch: &mut Batch, blob: BlobId, owners: u32) {
    if owners > 1 {
        batch.sum(key::body_owners(blob), i64::from(owners));
    }
}

/// The count of a body as it is stored, read before [`disown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owners {
    blob: BlobId,
    stored: Option<Bytes>,
}

impl Owners {
    /// Reads the count of `blob`.
    pub async fn read(engine: &dyn Engine, blob: BlobId) -> Result<Self, ReadError> {
        let stored = engine.get(&key::body_owners(blob)).await?;
        Ok(Self { blob, stored })
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        let Some(stored) = &self.stored else { return 1 };
        stored.first_chunk().map_or(1, |b| i64::from_be_bytes(*b))
    }
}

/// Gives a body `added` more owners. The batch then happens only while the count is as it was read,
/// and must make sure that an owner is there at its commit.
pub fn share(batch: &mut Batch, owners: &Owners, added: u32) {
    let key = key::body_owners(owners.blob);
    batch.unchanged(key.clone(), owners.stored.clone());
    // A sum begins at zero: the one owner that was not counted is counted now.
    let uncounted = u32::from(owners.stored.is_none());
    batch.sum(key, i64::from(added) + i64::from(uncounted));
}

/// Takes `released` owners away from a body, and the body, with its facts, when none is left. The
/// batch then happens only while the count is as it was read. `batch` also removes the records that
/// owned.
pub fn disown(batch: &mut Batch, owners: &Owners, released: u32) {
    let key = key::body_owners(owners.blob);
    batch.unchanged(key.clone(), owners.stored.clone());
    if owners.count() > i64::from(released) {
        batch.sum(key, -i64::from(released));
        return;
    }
    if owners.stored.is_some() {
        batch.delete(key);
        // Only a body with several owners can have them.
        batch.delete(key::body_facts(owners.blob));
    }
    batch.drop_body(owners.blob);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{clock::Timestamp, random::Random},
        store::{Condition, Write},
    };

    #[test]
    fn the_last_owner_takes_the_body_along() {
        let blob = BlobId::fresh(Timestamp(1), &Random::seeded(1));
        let key = key::body_owners(blob);
        let gone = vec![
            Write::Delete(key.clone()),
            Write::Delete(key::body_facts(blob)),
            Write::DropBody(blob),
        ];
        let stored = |n: i64| Some(Bytes::copy_from_slice(&n.to_be_bytes()));
        for (value, released, expected) in [
            (None, 1, vec![Write::DropBody(blob)]),
            (stored(3), 1, vec![Write::Sum(key.clone(), -1)]),
            (stored(1), 1, gone.clone()),
            (stored(2), 2, gone),
        ] {
            let mut batch = Batch::new();
            let owners = Owners {
                blob,
                stored: value.clone(),
            };
            disown(&mut batch, &owners, released);
            assert_eq!(batch.writes, expected);
            let condition = match value {
                Some(value) => Condition::Equals(key.clone(), value),
                None => Condition::Absent(key.clone()),
            };
            assert_eq!(batch.conditions, [condition]);
        }
    }

    #[test]
    fn who_joins_the_one_owner_makes_two() {
        let blob = BlobId::fresh(Timestamp(1), &Random::seeded(1));
        let key = key::body_owners(blob);
        let three = Some(Bytes::copy_from_slice(&3_i64.to_be_bytes()));
        for (stored, added, sum) in [(None, 1, 2), (None, 2, 3), (three, 1, 1)] {
            let mut batch = Batch::new();
            let owners = Owners { blob, stored };
            share(&mut batch, &owners, added);
            assert_eq!(batch.writes, [Write::Sum(key.clone(), sum)]);
            assert_eq!(batch.conditions.len(), 1);
        }
    }

    #[test]
    fn one_owner_is_not_counted() {
        let blob = BlobId::fresh(Timestamp(1), &Random::seeded(1));
        let mut batch = Batch::new();
        own_first(&mut batch, blob, 1);
        assert!(batch.writes.is_empty());
        own_first(&mut batch, blob, 2);
        assert_eq!(batch.writes, [Write::Sum(key::body_owners(blob), 2)]);
    }
}
