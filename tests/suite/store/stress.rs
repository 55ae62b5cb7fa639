//! Many tasks on one embedded engine while checkpoints, compactions and rotations go on beneath them.

use std::{sync::Arc, time::Duration};

use buzon::{
    base::random::Random,
    store::{
        Batch, Content, Engine, Order, PageLimit, ReadError, Template, Width,
        embedded::{Embedded, Options},
    },
};
use tokio::task::JoinSet;

use super::scratch::{Scratch, blob, content, key, options};

fn busy() -> Options {
    Options {
        segment_bytes: 60_000,
        overlay_bytes: 20_000,
        checkpoint_interval: Duration::from_millis(5),
        compact_below_percent: 80,
        ..options()
    }
}

/// Adds and drops bodies of its own and finds exactly those that it left.
async fn keeper(engine: Arc<Embedded>, task: u64) -> Vec<(u64, usize)> {
    let random = Random::seeded(task);
    let mut kept: Vec<(u64, usize)> = Vec::new();
    let mut dropped = Vec::new();
    for n in 0..ROUNDS {
        let id = task * 1_000_000 + n;
        let length = usize::try_from(random.below(6000)).unwrap();
        let mut batch = Batch::new();
        let row = batch.take_one(key("rows"));
        let mut name = Template::from(b"row/".to_vec());
        name.hole(row, 0, Width::U64);
        batch
            .put(name, b"row".to_vec())
            .sum(key(format!("kept/{task}")), 1);
        if n % 5 == 0 {
            let bytes = content(id, length);
            let mut stage = engine.stage().await.unwrap();
            stage.append(bytes.slice(..length / 3)).await.unwrap();
            tokio::task::yield_now().await;
            stage.append(bytes.slice(length / 3..)).await.unwrap();
            batch.body(blob(id), Content::Staged(stage.finish()));
        } else {
            batch.body(blob(id), Content::Bytes(content(id, length)));
        }
        kept.push((id, length));
        if kept.len() > 6 {
            let (id, _) = kept.remove(usize::try_from(random.below(6)).unwrap());
            batch
                .drop_body(blob(id))
                .sum(key(format!("kept/{task}")), -1);
            dropped.push(id);
        }
        engine.commit(batch).await.unwrap();
        let some = usize::try_from(random.below(kept.len() as u64)).unwrap();
        let (id, length) = kept[some];
        let read = engine.body(blob(id), 0..length as u64).await;
        assert_eq!(
            read.unwrap_or_else(|e| panic!("body {id}: {e:?}")),
            content(id, length)
        );
        if let Some(id) = dropped.last() {
            assert!(matches!(
                engine.body(blob(*id), 0..0).await,
                Err(ReadError::NoSuchBody)
            ));
        }
        let sum = engine
            .get(&key(format!("kept/{task}")))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(sum[..], (kept.len() as u64).to_be_bytes());
    }
    kept
}

/// Pages are of one moment: the rows have no gap, and none is missing that the counter has counted.
async fn pager(engine: Arc<Embedded>, rows: u64) {
    loop {
        let counted = engine.get(&key("rows")).await.unwrap();
        let counted = counted.map_or(0, |n| u64::from_be_bytes(n[..].try_into().unwrap()));
        for order in [Order::Ascending, Order::Descending] {
            let limit = PageLimit {
                entries: 10_000,
                bytes: 10_000_000,
            };
            let page = engine
                .page(key("row/").prefix_range(), limit, order)
                .await
                .unwrap();
            let mut numbers: Vec<_> = page
                .entries
                .iter()
                .map(|(key, _)| key.last_u64().unwrap())
                .collect();
            if order == Order::Descending {
                numbers.reverse();
            }
            assert!(numbers.len() as u64 >= counted);
            assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
        }
        if counted == rows {
            return;
        }
        tokio::task::yield_now().await;
    }
}

const ROUNDS: u64 = 60;
const TASKS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_and_writers_notice_nothing_of_the_upkeep() {
    let dir = Scratch::new();
    let engine = Embedded::open(dir.path(), busy()).unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        tasks.spawn(keeper(Arc::clone(&engine), task));
    }
    let mut readers = JoinSet::new();
    readers.spawn(pager(Arc::clone(&engine), ROUNDS * TASKS));
    readers.spawn({
        let engine = Arc::clone(&engine);
        async move {
            for _ in 0..30 {
                engine.compact().await;
            }
        }
    });
    let kept: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    readers.join_all().await;
    engine.compact().await;
    let journal = std::fs::read_dir(dir.path().join("journal")).unwrap();
    let names: Vec<_> = journal.map(|entry| entry.unwrap().file_name()).collect();
    let compacted = names
        .iter()
        .filter(|name| name.to_string_lossy().contains('-'))
        .count();
    assert!(compacted > 3, "{names:?}");
    engine.close().await;
    assert_eq!(Embedded::verify(dir.path()).unwrap().damaged, []);
    for index in [true, false] {
        let copy = dir.copy(index);
        let engine = Embedded::open(copy.path(), busy()).unwrap();
        assert_eq!(engine.report().damaged, []);
        for (id, length) in &kept {
            let read = engine.body(blob(*id), 0..*length as u64).await.unwrap();
            assert_eq!(read, content(*id, *length));
        }
    }
}
