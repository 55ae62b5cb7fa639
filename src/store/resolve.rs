//! From a batch to plain changes: bounds, conditions, counters, sums.
//!
//! Every engine of this crate that is its own only writer resolves batches here, so they agree on
//! what a batch means. Pure: the caller gives a view of the state, the answer is a list of changes
//! with all numbers filled in. Nothing is changed when the answer is an error.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    batch::{Batch, Body, Condition, Hole, Template, Width, Write},
    engine::{CommitError, ReadError},
    key::{KEY_BYTES_MAX, Key},
};
use crate::base::ids::BlobId;

/// What a batch comes to at one moment.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// The first number of each take.
    pub(super) counters: Vec<u64>,
    /// In the order in which they apply.
    pub(super) changes: Vec<Change>,
}

/// One plain change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The key has this value from now on.
    Put(Bytes, Bytes),
    /// The key has no value from now on.
    Delete(Bytes),
    /// The body is gone.
    DropBody(BlobId),
}

/// Checks what can be checked without the state; done before the batch queues for its commit.
/// Answers its bytes without bodies.
pub(super) fn check_bounds(batch: &Batch) -> Result<usize, CommitError> {
    let mut total = 0;
    for condition in &batch.conditions {
        let (Condition::Absent(key)
        | Condition::Present(key)
        | Condition::Equals(key, _)
        | Condition::AtMost(key, _)) = condition;
        total += check_key(key.as_bytes())?;
    }
    for take in &batch.takes {
        total += check_key(take.counter.as_bytes())? + COUNTER_BYTES;
    }
    for write in &batch.writes {
        total += match write {
            Write::Put(key, value) => {
                check_holes(key, batch)?;
                check_holes(value, batch)?;
                if value.bytes.len() > VALUE_BYTES_MAX {
                    return Err(CommitError::Unacceptable("a value is longer than 64 KiB"));
                }
                check_key(&key.bytes)? + value.bytes.len()
            }
            Write::Delete(key) => check_key(key.as_bytes())?,
            Write::Sum(key, _) => check_key(key.as_bytes())? + COUNTER_BYTES,
            Write::DropBody(_) => BLOB_ID_BYTES,
        };
    }
    total += batch.bodies.len() * BLOB_ID_BYTES;
    if total > BATCH_BYTES_MAX {
        return Err(CommitError::Unacceptable("a batch is longer than 8 MiB"));
    }
    Ok(total)
}

/// Resolves `batch` against `view`; hands back its bodies. The batch passed [`check_bounds`].
pub(super) fn resolve(
    batch: Batch,
    view: impl Fn(&[u8]) -> Result<Option<Bytes>, ReadError>,
) -> Result<(Resolved, Vec<Body>), CommitError> {
    for condition in &batch.conditions {
        if !holds(condition, &view)? {
            return Err(CommitError::Conflict);
        }
    }
    let mut numbers = Numbers {
        view,
        latest: HashMap::new(),
    };
    let mut resolved = Resolved {
        counters: Vec::with_capacity(batch.takes.len()),
        changes: Vec::with_capacity(batch.takes.len() + batch.writes.len()),
    };
    for take in batch.takes {
        let key = take.counter.into_bytes();
        let last = u64::from_be_bytes(numbers.read(&key)?);
        let next = last
            .checked_add(u64::from(take.count.get()))
            .ok_or(CommitError::Exhausted)?;
        resolved.counters.push(last + 1);
        resolved
            .changes
            .push(numbers.write(key, next.to_be_bytes()));
    }
    for write in batch.writes {
        resolved.changes.push(match write {
            Write::Put(key, value) => {
                let key = filled(key, &resolved.counters)?;
                let value = filled(value, &resolved.counters)?;
                numbers.forget(&key, Some(&value));
                Change::Put(key, value)
            }
            Write::Delete(key) => {
                let key = key.into_bytes();
                numbers.forget(&key, None);
                Change::Delete(key)
            }
            Write::Sum(key, delta) => {
                let key = key.into_bytes();
                let sum = i64::from_be_bytes(numbers.read(&key)?);
                let sum = sum.checked_add(delta).ok_or(CommitError::Exhausted)?;
                numbers.write(key, sum.to_be_bytes())
            }
            Write::DropBody(id) => Change::DropBody(id),
        });
    }
    Ok((resolved, batch.bodies))
}

fn holds(
    condition: &Condition,
    view: &impl Fn(&[u8]) -> Result<Option<Bytes>, ReadError>,
) -> Result<bool, CommitError> {
    let value = |key: &Key| view(key.as_bytes());
    Ok(match condition {
        Condition::Absent(key) => value(key)?.is_none(),
        Condition::Present(key) => value(key)?.is_some(),
        Condition::Equals(key, expected) => value(key)?.as_ref() == Some(expected),
        Condition::AtMost(key, most) => i64::from_be_bytes(number(value(key)?)?) <= *most,
    })
}

/// Counters and sums as this batch sees them: its own earlier writes first, then the state.
struct Numbers<V> {
    view: V,
    /// Only keys that this batch has written as numbers or that later numbers might build upon.
    latest: HashMap<Bytes, Option<Bytes>>,
}

impl<V: Fn(&[u8]) -> Result<Option<Bytes>, ReadError>> Numbers<V> {
    fn read(&self, key: &[u8]) -> Result<[u8; COUNTER_BYTES], CommitError> {
        let value = match self.latest.get(key) {
            Some(value) => value.clone(),
            None => (self.view)(key)?,
        };
        number(value)
    }

    fn write(&mut self, key: Bytes, number: [u8; COUNTER_BYTES]) -> Change {
        let value = Bytes::copy_from_slice(&number);
        self.latest.insert(key.clone(), Some(value.clone()));
        Change::Put(key, value)
    }

    /// A plain write of `key`: a later sum in this batch must build upon it.
    fn forget(&mut self, key: &Bytes, value: Option<&Bytes>) {
        // Keys of numbers are few and short; values of other keys are shared, not copied.
        if value.is_none_or(|value| value.len() == COUNTER_BYTES) || self.latest.contains_key(key) {
            self.latest.insert(key.clone(), value.cloned());
        }
    }
}

/// The bytes of a counter or a sum.
fn number(value: Option<Bytes>) -> Result<[u8; COUNTER_BYTES], CommitError> {
    match value {
        None => Ok([0; COUNTER_BYTES]),
        Some(value) => <[u8; COUNTER_BYTES]>::try_from(value.as_ref())
            .map_err(|_| CommitError::Unacceptable("a counter or sum is not eight bytes")),
    }
}

fn check_key(key: &[u8]) -> Result<usize, CommitError> {
    match key.len() {
        0 => Err(CommitError::Unacceptable("a key is empty")),
        length if length > KEY_BYTES_MAX => {
            Err(CommitError::Unacceptable("a key is longer than 480 bytes"))
        }
        length => Ok(length),
    }
}

fn check_holes(template: &Template, batch: &Batch) -> Result<(), CommitError> {
    for hole in &template.holes {
        let end = hole.at.checked_add(width_bytes(hole.width));
        if end.is_none_or(|end| end > template.bytes.len()) {
            return Err(CommitError::Unacceptable(
                "a hole lies outside of its template",
            ));
        }
        if hole.take >= batch.takes.len() {
            return Err(CommitError::Unacceptable(
                "a hole names no counter of its batch",
            ));
        }
    }
    Ok(())
}

fn filled(template: Template, counters: &[u64]) -> Result<Bytes, CommitError> {
    let Template { mut bytes, holes } = template;
    for Hole {
        at,
        take,
        plus,
        width,
    } in holes
    {
        let number = counters[take]
            .checked_add(u64::from(plus))
            .ok_or(CommitError::Exhausted)?;
        match width {
            Width::U64 => bytes[at..at + 8].copy_from_slice(&number.to_be_bytes()),
            Width::U32 => {
                let number = u32::try_from(number).map_err(|_| CommitError::Exhausted)?;
                bytes[at..at + 4].copy_from_slice(&number.to_be_bytes());
            }
        }
    }
    Ok(bytes.into())
}

fn width_bytes(width: Width) -> usize {
    match width {
        Width::U32 => 4,
        Width::U64 => 8,
    }
}

/// Longest value in bytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Largest batch in bytes, without its bodies.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
const COUNTER_BYTES: usize = 8;
const BLOB_ID_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, num::NonZeroU32};

    use super::*;

    fn key(text: &str) -> Key {
        Key::from_bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn run(batch: Batch, state: &BTreeMap<Bytes, Bytes>) -> Result<Resolved, CommitError> {
        check_bounds(&batch)?;
        resolve(batch, |key| Ok(state.get(key).cloned())).map(|(resolved, _)| resolved)
    }

    #[test]
    fn counters_of_one_batch_follow_each_other_and_fill_holes() {
        let state = BTreeMap::from([(
            Bytes::from("c"),
            Bytes::copy_from_slice(&7_u64.to_be_bytes()),
        )]);
        let mut batch = Batch::new();
        let first = batch.take(key("c"), NonZeroU32::new(3).unwrap());
        let second = batch.take_one(key("c"));
        let mut template = Template::from(b"k".to_vec());
        template
            .hole(first, 2, Width::U32)
            .hole(second, 0, Width::U64);
        batch.put(template, Vec::new());
        let resolved = run(batch, &state).unwrap();
        assert_eq!(resolved.counters, [8, 11]);
        let expected = b"k\0\0\0\x0a\0\0\0\0\0\0\0\x0b".as_slice();
        assert_eq!(
            resolved.changes[2],
            Change::Put(expected.into(), Bytes::new())
        );
    }

    #[test]
    fn a_sum_builds_upon_earlier_writes_of_its_batch() {
        let mut batch = Batch::new();
        batch
            .put(key("s"), 5_i64.to_be_bytes().to_vec())
            .sum(key("s"), -7)
            .sum(key("s"), 1);
        let resolved = run(batch, &BTreeMap::new()).unwrap();
        assert_eq!(
            resolved.changes[2],
            Change::Put("s".into(), Bytes::copy_from_slice(&(-1_i64).to_be_bytes()))
        );
        let mut batch = Batch::new();
        batch.sum(key("s"), 3).delete(key("s")).sum(key("s"), 1);
        let resolved = run(batch, &BTreeMap::new()).unwrap();
        assert_eq!(
            resolved.changes[2],
            Change::Put("s".into(), Bytes::copy_from_slice(&1_i64.to_be_bytes()))
        );
    }

    #[test]
    fn numbers_that_do_not_fit_are_exhausted() {
        let big = |n: u64| BTreeMap::from([("c".into(), Bytes::copy_from_slice(&n.to_be_bytes()))]);
        let mut batch = Batch::new();
        let take = batch.take_one(key("c"));
        let mut value = Template::default();
        value.hole(take, 0, Width::U32);
        batch.put(key("k"), value);
        let refused = run(batch, &big(u64::from(u32::MAX)));
        assert!(matches!(refused, Err(CommitError::Exhausted)));

        let mut batch = Batch::new();
        batch.take_one(key("c"));
        assert!(matches!(
            run(batch, &big(u64::MAX)),
            Err(CommitError::Exhausted)
        ));

        let mut batch = Batch::new();
        batch.sum(key("s"), i64::MAX).sum(key("s"), 1);
        assert!(matches!(
            run(batch, &BTreeMap::new()),
            Err(CommitError::Exhausted)
        ));
    }

    #[test]
    fn batches_beyond_the_bounds_are_unacceptable() {
        let long_key = Key::from_bytes(vec![1; KEY_BYTES_MAX + 1].into());
        let mut hole_outside = Template::from(vec![0; 7]);
        hole_outside.holes.push(Hole {
            at: 0,
            take: 0,
            plus: 0,
            width: Width::U64,
        });
        let mut hole_without_take = Template::default();
        hole_without_take.hole(1, 0, Width::U64);
        let rows: [&dyn Fn(&mut Batch); 6] = [
            &|batch| _ = batch.delete(long_key.clone()),
            &|batch| _ = batch.delete(key("")),
            &|batch| _ = batch.put(key("k"), vec![0; VALUE_BYTES_MAX + 1]),
            &|batch| _ = batch.put(key("k"), hole_outside.clone()),
            &|batch| _ = batch.put(key("k"), hole_without_take.clone()),
            &|batch| {
                for n in 0..BATCH_BYTES_MAX / VALUE_BYTES_MAX {
                    batch.put(key(&n.to_string()), vec![0; VALUE_BYTES_MAX]);
                }
            },
        ];
        for (n, row) in rows.iter().enumerate() {
            let mut batch = Batch::new();
            batch.take_one(key("c"));
            row(&mut batch);
            let refused = run(batch, &BTreeMap::new());
            assert!(
                matches!(refused, Err(CommitError::Unacceptable(_))),
                "row {n}"
            );
        }
        let mut batch = Batch::new();
        batch.put(
            Key::from_bytes(vec![1; KEY_BYTES_MAX].into()),
            vec![0; VALUE_BYTES_MAX],
        );
        assert!(run(batch, &BTreeMap::new()).is_ok());
    }
}
