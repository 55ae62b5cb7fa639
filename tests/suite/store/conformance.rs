//! What every engine does, whatever it stands on.

use std::{num::NonZeroU32, sync::Arc};

use buzon::store::{
    Batch, CommitError, Content, Engine, KeyRange, Order, PageLimit, ReadError, Staged, Template,
    Width,
    embedded::Embedded,
    fault::{CommitFault, Fault},
    memory::Memory,
};
use bytes::Bytes;

use super::scratch::{Scratch, blob, content, key, options};

/// Runs every claim on every engine.
macro_rules! engines {
    ($($claim:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                super::$claim(std::sync::Arc::new(super::Memory::new())).await;
            })*
        }
        mod on_embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let dir = super::Scratch::new();
                let engine = super::Embedded::open(dir.path(), super::options()).unwrap();
                super::$claim(engine).await;
            })*
        }
        mod on_fault {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $claim() {
                let dir = super::Scratch::new();
                let engine = super::Embedded::open(dir.path(), super::options()).unwrap();
                super::$claim(std::sync::Arc::new(super::Fault::new(engine))).await;
            })*
        }
    };
}

engines!(
    conditions_decide_whether_a_batch_happens,
    counters_fill_keys_and_values,
    sums_add_up_and_start_at_zero,
    pages_keep_order_limits_and_bounds,
    pages_see_deletions,
    bodies_are_read_back_in_any_range,
    staged_bodies_are_bodies,
    a_staged_body_may_begin_with_what_came_last,
    an_abandoned_stage_leaves_nothing,
    a_dropped_body_is_gone,
    a_refused_batch_leaves_no_body,
    concurrent_counters_have_no_gaps_and_order_visibility,
    unacceptable_batches_do_nothing,
    a_closed_engine_says_so,
);

type Any = Arc<dyn Engine>;

async fn value(engine: &dyn Engine, name: &str) -> Option<Bytes> {
    engine.get(&key(name)).await.unwrap()
}

async fn put(engine: &dyn Engine, name: &str, value: &str) {
    let mut batch = Batch::new();
    batch.put(key(name), value.as_bytes().to_vec());
    engine.commit(batch).await.unwrap();
}

async fn conditions_decide_whether_a_batch_happens(engine: Any) {
    put(&*engine, "a", "1").await;
    let mut batch = Batch::new();
    batch.sum(key("sum"), 7);
    engine.commit(batch).await.unwrap();
    let holds: [&dyn Fn(&mut Batch); 6] = [
        &|batch| _ = batch.absent(key("b")),
        &|batch| _ = batch.present(key("a")),
        &|batch| _ = batch.unchanged(key("a"), Some("1".into())),
        &|batch| _ = batch.unchanged(key("b"), None),
        &|batch| _ = batch.at_most(key("sum"), 7),
        &|batch| _ = batch.at_most(key("b"), 0),
    ];
    let fails: [&dyn Fn(&mut Batch); 6] = [
        &|batch| _ = batch.absent(key("a")),
        &|batch| _ = batch.present(key("b")),
        &|batch| _ = batch.unchanged(key("a"), Some("2".into())),
        &|batch| _ = batch.unchanged(key("b"), Some("".into())),
        &|batch| _ = batch.at_most(key("sum"), 6),
        &|batch| _ = batch.at_most(key("b"), -1),
    ];
    for (n, condition) in fails.iter().enumerate() {
        let mut batch = Batch::new();
        batch.put(key("no"), b"x".to_vec()).delete(key("a"));
        batch.take_one(key("counter"));
        batch.present(key("a"));
        condition(&mut batch);
        let refused = engine.commit(batch).await;
        assert!(
            matches!(refused, Err(CommitError::Conflict)),
            "condition {n}: {refused:?}"
        );
        assert_eq!(value(&*engine, "no").await, None);
        assert_eq!(value(&*engine, "counter").await, None);
        assert_eq!(value(&*engine, "a").await, Some("1".into()));
    }
    for (n, condition) in holds.iter().enumerate() {
        let mut batch = Batch::new();
        condition(&mut batch);
        batch.put(key("yes"), n.to_string().into_bytes());
        engine.commit(batch).await.unwrap();
        assert_eq!(value(&*engine, "yes").await, Some(n.to_string().into()));
    }
}

async fn counters_fill_keys_and_values(engine: Any) {
    let mut batch = Batch::new();
    let uids = batch.take(key("uid"), NonZeroU32::new(3).unwrap());
    let modseq = batch.take_one(key("modseq"));
    let mut name = Template::from(b"log/".to_vec());
    name.hole(modseq, 0, Width::U64);
    let mut text = Template::from(b"uid ".to_vec());
    text.hole(uids, 2, Width::U32).extend(b" end");
    batch.put(name, text);
    assert_eq!(engine.commit(batch).await.unwrap().counters, [1, 1]);
    let written = engine.get(&key(b"log/\0\0\0\0\0\0\0\x01")).await.unwrap();
    assert_eq!(written, Some(Bytes::from_static(b"uid \0\0\0\x03 end")));
    assert_eq!(
        value(&*engine, "uid").await.as_deref(),
        Some(3_u64.to_be_bytes().as_slice())
    );

    let mut batch = Batch::new();
    batch.take_one(key("uid"));
    assert_eq!(engine.commit(batch).await.unwrap().counters, [4]);

    let mut full = Batch::new();
    full.put(key("narrow"), u64::from(u32::MAX).to_be_bytes().to_vec());
    engine.commit(full).await.unwrap();
    let mut batch = Batch::new();
    let take = batch.take_one(key("narrow"));
    let mut value_of = Template::default();
    value_of.hole(take, 0, Width::U32);
    batch.put(key("x"), value_of);
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Exhausted)
    ));
    assert_eq!(value(&*engine, "x").await, None);
}

async fn sums_add_up_and_start_at_zero(engine: Any) {
    for (delta, sum) in [(5_i64, 5_i64), (-7, -2), (2, 0), (i64::MAX, i64::MAX)] {
        let mut batch = Batch::new();
        batch.sum(key("sum"), delta);
        engine.commit(batch).await.unwrap();
        assert_eq!(
            value(&*engine, "sum").await.as_deref(),
            Some(sum.to_be_bytes().as_slice())
        );
    }
    let mut batch = Batch::new();
    batch.sum(key("sum"), 1);
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Exhausted)
    ));
}

fn range(from: &str, to: &str) -> KeyRange {
    KeyRange {
        from: key(from),
        to: key(to),
    }
}

async fn names(
    engine: &dyn Engine,
    range: KeyRange,
    entries: usize,
    order: Order,
) -> (String, bool) {
    let limit = PageLimit {
        entries,
        ..PageLimit::default()
    };
    let page = engine.page(range, limit, order).await.unwrap();
    let names = page
        .entries
        .iter()
        .map(|(key, _)| std::str::from_utf8(key.as_bytes()).unwrap());
    (names.collect(), page.more)
}

async fn pages_keep_order_limits_and_bounds(engine: Any) {
    for name in ["c", "a", "e", "b", "d"] {
        put(&*engine, name, "0123456789").await;
    }
    let rows = [
        (range("a", "f"), 9, Order::Ascending, "abcde", false),
        (range("a", "f"), 5, Order::Ascending, "abcde", false),
        (range("a", "f"), 4, Order::Ascending, "abcd", true),
        (range("a", "f"), 0, Order::Ascending, "a", true),
        (range("a", "f"), 9, Order::Descending, "edcba", false),
        (range("a", "f"), 2, Order::Descending, "ed", true),
        (range("b", "d"), 2, Order::Ascending, "bc", false),
        (range("b", "d"), 1, Order::Descending, "c", true),
        (range("bb", "dd"), 9, Order::Ascending, "cd", false),
        (range("x", "y"), 9, Order::Ascending, "", false),
        (range("d", "b"), 9, Order::Ascending, "", false),
        (range("b", "b"), 9, Order::Descending, "", false),
    ];
    for (n, (range, limit, order, expected, more)) in rows.into_iter().enumerate() {
        let found = names(&*engine, range, limit, order).await;
        assert_eq!(found, (expected.to_owned(), more), "row {n}");
    }
    for (bytes, expected, more) in [(0, 1, true), (11, 1, true), (22, 2, true), (55, 5, false)] {
        let limit = PageLimit {
            entries: 100,
            bytes,
        };
        let page = engine
            .page(range("a", "f"), limit, Order::Ascending)
            .await
            .unwrap();
        assert_eq!(
            (page.entries.len(), page.more),
            (expected, more),
            "{bytes} bytes"
        );
    }
}

async fn pages_see_deletions(engine: Any) {
    for name in ["a", "b", "c", "d"] {
        put(&*engine, name, "x").await;
    }
    let mut batch = Batch::new();
    batch.delete(key("a")).delete(key("c")).delete(key("never"));
    engine.commit(batch).await.unwrap();
    assert_eq!(
        names(&*engine, range("a", "z"), 1, Order::Ascending).await,
        ("b".into(), true)
    );
    assert_eq!(
        names(&*engine, range("a", "z"), 2, Order::Descending).await,
        ("db".into(), false)
    );
}

async fn bodies_are_read_back_in_any_range(engine: Any) {
    let lengths = [0, 1, 7, 8, 4096, 100_000];
    let mut batch = Batch::new();
    for (n, length) in lengths.into_iter().enumerate() {
        batch.body(blob(n as u64), Content::Bytes(content(n as u64, length)));
    }
    engine.commit(batch).await.unwrap();
    for (n, length) in lengths.into_iter().enumerate() {
        let (id, expected, end) = (blob(n as u64), content(n as u64, length), length as u64);
        assert_eq!(engine.body(id, 0..end).await.unwrap(), expected);
        let (from, to) = (length / 3, length / 2);
        let part = engine.body(id, from as u64..to as u64).await.unwrap();
        assert_eq!(part, expected.slice(from..to));
        assert!(engine.body(id, end..end).await.unwrap().is_empty());
        for outside in [0..end + 1, end + 1..end + 1, end + 1..end + 2] {
            let refused = engine.body(id, outside).await;
            assert!(matches!(refused, Err(ReadError::NoSuchBody)), "{refused:?}");
        }
    }
    assert!(matches!(
        engine.body(blob(99), 0..0).await,
        Err(ReadError::NoSuchBody)
    ));
}

/// Stages the pieces of a body; answers it and its bytes.
async fn stage(engine: &dyn Engine, n: u64, pieces: &[usize]) -> (Content, Bytes) {
    let whole = content(n, pieces.iter().sum());
    let mut stage = engine.stage().await.unwrap();
    let mut at = 0;
    for length in pieces {
        stage.append(whole.slice(at..at + length)).await.unwrap();
        at += length;
    }
    (Content::Staged(stage.finish()), whole)
}

async fn staged_bodies_are_bodies(engine: Any) {
    for (n, pieces) in [&[][..], &[0], &[10], &[100_000, 1, 0, 50_000]]
        .into_iter()
        .enumerate()
    {
        let n = n as u64;
        let (body, whole) = stage(&*engine, n, pieces).await;
        assert_eq!(body.length(), whole.len() as u64);
        assert!(matches!(
            engine.body(blob(n), 0..0).await,
            Err(ReadError::NoSuchBody)
        ));
        let mut batch = Batch::new();
        batch
            .body(blob(n), body)
            .body(blob(n + 100), Content::Bytes("beside".into()));
        engine.commit(batch).await.unwrap();
        let end = whole.len() as u64;
        assert_eq!(engine.body(blob(n), 0..end).await.unwrap(), whole);
        if end > 100_000 {
            let part = engine.body(blob(n), 99_990..100_010).await.unwrap();
            assert_eq!(part, whole.slice(99_990..100_010));
        }
        assert_eq!(engine.body(blob(n + 100), 0..6).await.unwrap(), "beside");
    }
}

async fn a_staged_body_may_begin_with_what_came_last(engine: Any) {
    let whole = content(1, 300_000);
    let mut stage = engine.stage().await.unwrap();
    for piece in [300..200_000, 200_000..300_000] {
        stage.append(whole.slice(piece)).await.unwrap();
    }
    for piece in [200..300, 200..200, 0..200] {
        stage.prepend(whole.slice(piece)).await.unwrap();
    }
    let mut batch = Batch::new();
    batch.body(blob(1), Content::Staged(stage.finish()));
    engine.commit(batch).await.unwrap();
    // Whole, so that its checksum is looked at.
    assert_eq!(engine.body(blob(1), 0..300_000).await.unwrap(), whole);
    let part = engine.body(blob(1), 100..250_000).await.unwrap();
    assert_eq!(part, whole.slice(100..250_000));
}

async fn an_abandoned_stage_leaves_nothing(engine: Any) {
    drop(stage(&*engine, 1, &[5000, 5000]).await);
    let mut unfinished = engine.stage().await.unwrap();
    unfinished.append(content(2, 10)).await.unwrap();
    drop(unfinished);
    let (body, whole) = stage(&*engine, 3, &[7]).await;
    let mut batch = Batch::new();
    batch.body(blob(3), body);
    engine.commit(batch).await.unwrap();
    assert_eq!(engine.body(blob(3), 0..7).await.unwrap(), whole);
}

async fn a_dropped_body_is_gone(engine: Any) {
    let (staged, _) = stage(&*engine, 2, &[10, 20]).await;
    let mut batch = Batch::new();
    batch
        .body(blob(1), Content::Bytes("one".into()))
        .body(blob(2), staged);
    engine.commit(batch).await.unwrap();
    let mut batch = Batch::new();
    batch
        .drop_body(blob(1))
        .drop_body(blob(2))
        .drop_body(blob(3));
    engine.commit(batch).await.unwrap();
    assert!(matches!(
        engine.body(blob(1), 0..3).await,
        Err(ReadError::NoSuchBody)
    ));
    assert!(matches!(
        engine.body(blob(2), 0..3).await,
        Err(ReadError::NoSuchBody)
    ));
}

async fn a_refused_batch_leaves_no_body(engine: Any) {
    let (staged, _) = stage(&*engine, 2, &[10]).await;
    let mut batch = Batch::new();
    batch
        .present(key("nothing"))
        .body(blob(1), Content::Bytes("one".into()));
    batch.body(blob(2), staged);
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Conflict)
    ));
    assert!(matches!(
        engine.body(blob(1), 0..0).await,
        Err(ReadError::NoSuchBody)
    ));
    assert!(matches!(
        engine.body(blob(2), 0..0).await,
        Err(ReadError::NoSuchBody)
    ));
}

async fn concurrent_counters_have_no_gaps_and_order_visibility(engine: Any) {
    const TASKS: u64 = 16;
    const EACH: u64 = 20;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move {
            let mut taken = Vec::new();
            for _ in 0..EACH {
                let mut batch = Batch::new();
                let n = batch.take_one(key("n"));
                let mut name = Template::from(b"row/".to_vec());
                name.hole(n, 0, Width::U64);
                batch.put(name, b"row".to_vec()).sum(key("rows"), 1);
                taken.push(engine.commit(batch).await.unwrap().counters[0]);
            }
            taken
        });
    }
    // Whoever has seen number n has seen everything written with lower numbers.
    let reader = tokio::task::JoinSet::from_iter([{
        let engine = Arc::clone(&engine);
        async move {
            loop {
                let seen = value(&*engine, "n").await;
                let seen = seen.map_or(0, |seen| u64::from_be_bytes(seen[..].try_into().unwrap()));
                let page = engine.page(
                    key("row/").prefix_range(),
                    PageLimit::default(),
                    Order::Ascending,
                );
                let rows = page.await.unwrap().entries;
                assert!(
                    rows.len() as u64 >= seen,
                    "{seen} taken, {} visible",
                    rows.len()
                );
                for (n, (name, _)) in (1..).zip(&rows) {
                    assert_eq!(name.last_u64(), Some(n), "no gap");
                }
                if seen == TASKS * EACH {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
    }]);
    let mut all: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    reader.join_all().await;
    all.sort_unstable();
    assert_eq!(all, (1..=TASKS * EACH).collect::<Vec<_>>());
    let rows = i64::try_from(TASKS * EACH).unwrap().to_be_bytes();
    assert_eq!(
        value(&*engine, "rows").await.as_deref(),
        Some(rows.as_slice())
    );
}

async fn unacceptable_batches_do_nothing(engine: Any) {
    let mut batch = Batch::new();
    batch
        .put(key("k"), vec![0; 64 * 1024 + 1])
        .put(key("other"), b"x".to_vec());
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Unacceptable(_))
    ));
    put(&*engine, "text", "not a number").await;
    let mut batch = Batch::new();
    batch.put(key("other"), b"x".to_vec()).sum(key("text"), 1);
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Unacceptable(_))
    ));
    assert_eq!(value(&*engine, "other").await, None);
    let foreign = Staged {
        length: 3,
        token: Arc::new("not of this engine"),
    };
    let mut batch = Batch::new();
    batch.body(blob(1), Content::Staged(foreign));
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Unacceptable(_))
    ));
}

async fn a_closed_engine_says_so(engine: Any) {
    put(&*engine, "a", "1").await;
    engine.close().await;
    engine.close().await;
    let mut batch = Batch::new();
    batch.delete(key("a"));
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Closed)
    ));
    assert!(matches!(
        engine.get(&key("a")).await,
        Err(ReadError::Closed)
    ));
    let page = engine
        .page(range("a", "b"), PageLimit::default(), Order::Ascending)
        .await;
    assert!(matches!(page, Err(ReadError::Closed)));
    assert!(matches!(
        engine.body(blob(1), 0..1).await,
        Err(ReadError::Closed)
    ));
}

#[tokio::test]
async fn dur_03_a_crash_asked_for_poisons_and_keeps_or_loses_the_batch() {
    for (fault, kept) in [
        (CommitFault::CrashBefore, false),
        (CommitFault::CrashAfter, true),
    ] {
        let inner = Arc::new(Memory::new());
        let engine = Fault::new(Arc::clone(&inner) as Any);
        put(&engine, "a", "1").await;
        engine.fail_commit(2, fault);
        put(&engine, "b", "1").await;
        let mut batch = Batch::new();
        batch.put(key("c"), b"1".to_vec());
        assert!(matches!(
            engine.commit(batch).await,
            Err(CommitError::Poisoned)
        ));
        assert!(matches!(
            engine.commit(Batch::new()).await,
            Err(CommitError::Poisoned)
        ));
        assert!(!engine.failed().await.is_empty());
        assert_eq!(value(&*inner, "c").await.is_some(), kept);
        assert_eq!(engine.commits(), 4);
    }
}

#[tokio::test]
async fn faults_asked_for_come_at_their_number() {
    let engine = Fault::new(Arc::new(Memory::new()));
    engine.fail_read(2);
    engine.fail_commit(1, CommitFault::Conflict);
    engine.fail_commit(2, CommitFault::Full);
    assert!(engine.get(&key("a")).await.is_ok());
    assert!(matches!(engine.get(&key("a")).await, Err(ReadError::Io(_))));
    assert!(engine.get(&key("a")).await.is_ok());
    assert_eq!(engine.reads(), 3);
    assert!(matches!(
        engine.commit(Batch::new()).await,
        Err(CommitError::Conflict)
    ));
    assert!(matches!(
        engine.commit(Batch::new()).await,
        Err(CommitError::Full)
    ));
    assert!(engine.commit(Batch::new()).await.is_ok());
    engine.set_room(Some(buzon::store::Room::Low));
    assert_eq!(engine.room(), buzon::store::Room::Low);
}

#[tokio::test]
async fn somebody_can_be_faster_than_a_commit() {
    let engine = Arc::new(Fault::new(Arc::new(Memory::new())));
    let other = Arc::clone(&engine);
    engine.before_commit(
        2,
        Box::pin(async move { put(&*other, "a", "theirs").await }),
    );
    put(&*engine, "b", "first").await;
    assert_eq!(value(&*engine, "a").await, None);
    let mut batch = Batch::new();
    batch.absent(key("a")).put(key("a"), b"ours".to_vec());
    let refused = engine.commit(batch).await;
    assert!(matches!(refused, Err(CommitError::Conflict)));
    assert_eq!(value(&*engine, "a").await, Some("theirs".into()));
}
