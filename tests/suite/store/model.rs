//! Random batches against a sorted map: every engine agrees with the plainest model, also when
//! reopened.

use std::{collections::BTreeMap, num::NonZeroU32};

use buzon::store::{
    Batch, CommitError, Content, Engine, KeyRange, Order, PageLimit, ReadError, Template, Width,
    embedded::{Embedded, Options},
    memory::Memory,
};
use proptest::{collection::vec, prelude::*, sample::select};

use super::scratch::{Scratch, blob, content, key, options};

/// One part of a batch, as a test writes it down.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Put(u8, u8),
    Delete(u8),
    Sum(u8, i8),
    /// Takes numbers of one of three counters and writes a row numbered with the first.
    Take(u8, u8),
    /// A small body of this length.
    Body(u16),
    /// A body in pieces of these lengths.
    Staged(Vec<u16>),
    /// Drops the oldest body that is left, this many bodies skipped.
    Drop(u8),
    /// Requires that a key is absent.
    Absent(u8),
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Number and length of each body.
    pub(crate) bodies: BTreeMap<u64, usize>,
    /// Lengths of all bodies there ever were.
    pub(crate) lengths: Vec<usize>,
}

impl Model {
    fn number(&self, name: &[u8]) -> u64 {
        let value = self.entries.get(name);
        value.map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()))
    }

    /// The model after the batch; `None` when a condition does not hold.
    pub(crate) fn after(&self, steps: &[Step]) -> Option<Self> {
        let mut after = self.clone();
        for step in steps {
            if let Step::Take(counter, count) = step {
                let name = counter_name(*counter);
                let first = after.number(&name) + 1;
                let last = first + u64::from(*count) % 5;
                after.entries.insert(name, last.to_be_bytes().to_vec());
                let row = [b"row".as_slice(), &[*counter], &first.to_be_bytes()].concat();
                let value = u32::try_from(first).unwrap() + 1;
                after.entries.insert(row, value.to_be_bytes().to_vec());
            }
        }
        for step in steps {
            match step {
                Step::Put(name, length) => {
                    after
                        .entries
                        .insert(entry_name(*name), vec![*name; usize::from(*length)]);
                }
                Step::Delete(name) => _ = after.entries.remove(&entry_name(*name)),
                Step::Sum(name, delta) => {
                    let name = sum_name(*name);
                    let sum = after.number(&name).cast_signed() + i64::from(*delta);
                    after.entries.insert(name, sum.to_be_bytes().to_vec());
                }
                Step::Take(..) => {}
                Step::Body(length) => after.add_body(usize::from(*length)),
                Step::Staged(pieces) => after.add_body(total(pieces)),
                Step::Drop(nth) => {
                    // Only what was there before: a batch does not drop what it brings.
                    let id = self.bodies.keys().nth(usize::from(*nth)).copied();
                    id.and_then(|id| after.bodies.remove(&id));
                }
                Step::Absent(name) if self.entries.contains_key(&entry_name(*name)) => return None,
                Step::Absent(_) => {}
            }
        }
        Some(after)
    }

    fn add_body(&mut self, length: usize) {
        self.bodies.insert(self.lengths.len() as u64, length);
        self.lengths.push(length);
    }

    /// The batch of `steps` on a store that holds this; stages its large bodies.
    pub(crate) async fn batch(
        &self,
        engine: &dyn Engine,
        steps: &[Step],
    ) -> Result<Batch, CommitError> {
        let mut batch = Batch::new();
        let mut next_body = self.lengths.len() as u64;
        for step in steps {
            match step {
                Step::Put(name, length) => {
                    batch.put(entry_name(*name), vec![*name; usize::from(*length)]);
                }
                Step::Delete(name) => _ = batch.delete(key(entry_name(*name))),
                Step::Sum(name, delta) => {
                    batch.sum(key(sum_name(*name)), i64::from(*delta));
                }
                Step::Take(counter, count) => {
                    let count = NonZeroU32::new(1 + u32::from(*count) % 5).unwrap();
                    let take = batch.take(key(counter_name(*counter)), count);
                    let mut row = Template::from([b"row".as_slice(), &[*counter]].concat());
                    row.hole(take, 0, Width::U64);
                    let mut value = Template::default();
                    value.hole(take, 1, Width::U32);
                    batch.put(row, value);
                }
                Step::Body(length) => {
                    let bytes = content(next_body, usize::from(*length));
                    batch.body(blob(next_body), Content::Bytes(bytes));
                    next_body += 1;
                }
                Step::Staged(pieces) => {
                    let whole = content(next_body, total(pieces));
                    let mut stage = engine.stage().await?;
                    let first = pieces.first().map_or(0, |first| usize::from(*first));
                    let mut at = first;
                    for piece in pieces.iter().skip(1) {
                        let end = at + usize::from(*piece);
                        stage.append(whole.slice(at..end)).await?;
                        at = end;
                    }
                    // A body may begin with the piece that came last.
                    stage.prepend(whole.slice(..first)).await?;
                    batch.body(blob(next_body), Content::Staged(stage.finish()));
                    next_body += 1;
                }
                Step::Drop(nth) => {
                    if let Some(id) = self.bodies.keys().nth(usize::from(*nth)) {
                        batch.drop_body(blob(*id));
                    }
                }
                Step::Absent(name) => _ = batch.absent(key(entry_name(*name))),
            }
        }
        Ok(batch)
    }

    /// Commits `steps`; the model afterwards.
    pub(crate) async fn commit(
        &self,
        engine: &dyn Engine,
        steps: &[Step],
    ) -> Result<Self, CommitError> {
        let batch = self.batch(engine, steps).await?;
        match (engine.commit(batch).await, self.after(steps)) {
            (Ok(_), Some(after)) => Ok(after),
            (Err(CommitError::Conflict), None) => Ok(self.clone()),
            (Err(CommitError::Conflict), Some(_)) => panic!("all conditions hold"),
            (Ok(_), None) => panic!("a condition does not hold"),
            (Err(error), _) => Err(error),
        }
    }

    /// Reads everything that `engine` holds, of the bodies there ever were.
    pub(crate) async fn read(engine: &dyn Engine, lengths: &[usize]) -> Result<Self, ReadError> {
        let mut model = Self {
            lengths: lengths.to_vec(),
            ..Self::default()
        };
        let mut from = key([0]);
        loop {
            let range = KeyRange {
                from,
                to: key([0xff; 4]),
            };
            let limit = PageLimit {
                entries: 7,
                bytes: 500,
            };
            let page = engine.page(range, limit, Order::Ascending).await?;
            for (key, value) in &page.entries {
                assert_eq!(engine.get(key).await?.as_ref(), Some(value));
                model
                    .entries
                    .insert(key.as_bytes().to_vec(), value.to_vec());
            }
            match page.entries.last() {
                Some((last, _)) if page.more => from = last.successor(),
                _ => break,
            }
        }
        for (n, length) in (0..).zip(lengths) {
            match engine.body(blob(n), 0..*length as u64).await {
                Ok(bytes) => {
                    assert_eq!(
                        bytes,
                        content(n, *length),
                        "body {n} is not what was stored"
                    );
                    model.bodies.insert(n, *length);
                }
                Err(ReadError::NoSuchBody) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(model)
    }
}

fn total(pieces: &[u16]) -> usize {
    pieces.iter().map(|piece| usize::from(*piece)).sum()
}

fn entry_name(name: u8) -> Vec<u8> {
    format!("entry/{name:02}").into_bytes()
}

fn sum_name(name: u8) -> Vec<u8> {
    format!("sum/{name}").into_bytes()
}

fn counter_name(counter: u8) -> Vec<u8> {
    format!("counter/{counter}").into_bytes()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..30_u8, any::<u8>()).prop_map(|(name, length)| Step::Put(name, length)),
        5 => (0..30_u8).prop_map(Step::Delete),
        2 => (0..3_u8, any::<i8>()).prop_map(|(name, delta)| Step::Sum(name, delta)),
        3 => (0..3_u8, any::<u8>()).prop_map(|(counter, count)| Step::Take(counter, count)),
        3 => (0..3000_u16).prop_map(Step::Body),
        1 => vec(0..3000_u16, 0..4).prop_map(Step::Staged),
        4 => (0..4_u8).prop_map(Step::Drop),
        1 => (0..30_u8).prop_map(Step::Absent),
    ]
}

/// What happens to an engine between batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Nothing,
    Checkpoint,
    Compact,
    Reopen,
    Crash,
    LoseIndex,
}

fn history() -> impl Strategy<Value = Vec<(Vec<Step>, Event)>> {
    let events = [
        Event::Nothing,
        Event::Checkpoint,
        Event::Compact,
        Event::Reopen,
        Event::Crash,
        Event::LoseIndex,
    ];
    let event = prop_oneof![
        8 => Just(Event::Nothing),
        6 => select(events[1..].to_vec()),
    ];
    vec((vec(step(), 1..12), event), 1..12)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Random pages in both orders equal those of the model.
async fn check_pages(engine: &dyn Engine, model: &Model, pages: &[(u8, u8, usize, bool)]) {
    for (from, to, entries, descending) in pages {
        let (from, to) = (entry_name(*from), entry_name(*to));
        let range = KeyRange {
            from: key(&from),
            to: key(&to),
        };
        let order = if *descending {
            Order::Descending
        } else {
            Order::Ascending
        };
        let limit = PageLimit {
            entries: *entries,
            bytes: 1 << 20,
        };
        let page = engine.page(range, limit, order).await.unwrap();
        let inside = |name: &Vec<u8>| from <= *name && *name < to;
        let mut all: Vec<_> = model
            .entries
            .iter()
            .filter(|(name, _)| inside(name))
            .collect();
        if *descending {
            all.reverse();
        }
        let expected = &all[..all.len().min((*entries).max(1))];
        let found: Vec<_> = page
            .entries
            .iter()
            .map(|(k, v)| (k.as_bytes(), &v[..]))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        assert_eq!(found, expected);
        assert_eq!(page.more, all.len() > expected.len());
    }
}

fn pages() -> impl Strategy<Value = Vec<(u8, u8, usize, bool)>> {
    vec((0..30_u8, 0..32_u8, 0..12_usize, any::<bool>()), 4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn memory_is_the_model(history in history(), pages in pages()) {
        runtime().block_on(async {
            let engine = Memory::new();
            let mut model = Model::default();
            for (steps, _) in &history {
                model = model.commit(&engine, steps).await.unwrap();
                check_pages(&engine, &model, &pages).await;
            }
            let read = Model::read(&engine, &model.lengths).await.unwrap();
            assert_eq!(read, model);
        });
    }

    #[test]
    fn embedded_is_the_model_however_it_is_reopened(history in history(), pages in pages()) {
        runtime().block_on(async {
            let dir = Scratch::new();
            let (segment_bytes, compact_below_percent) = (8000, 90);
            let options = || Options { segment_bytes, compact_below_percent, ..options() };
            let mut engine = Embedded::open(dir.path(), options()).unwrap();
            let mut model = Model::default();
            for (steps, event) in &history {
                model = model.commit(&*engine, steps).await.unwrap();
                check_pages(&*engine, &model, &pages).await;
                match event {
                    Event::Nothing => continue,
                    Event::Checkpoint => assert!(engine.checkpoint().await),
                    Event::Compact => _ = engine.compact().await,
                    Event::Reopen => {
                        engine.close().await;
                        engine = Embedded::open(dir.path(), options()).unwrap();
                    }
                    Event::Crash | Event::LoseIndex => {
                        let copy = dir.copy(*event == Event::Crash);
                        let there = Embedded::open(copy.path(), options()).unwrap();
                        assert_eq!(there.report().rebuilt, *event == Event::LoseIndex);
                        assert_eq!(there.report().damaged, []);
                        let read = Model::read(&*there, &model.lengths).await.unwrap();
                        assert_eq!(read, model);
                        continue;
                    }
                }
                check_pages(&*engine, &model, &pages).await;
                let read = Model::read(&*engine, &model.lengths).await.unwrap();
                assert_eq!(read, model);
            }
        });
    }
}
