//! What the upkeep thread sees to on its own: pieces that nobody named, an index that failed to be
//! read, and calls while it compacts everything.

use std::{
    future::ready,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use buzon::store::{
    Batch, Content, Engine, ReadError,
    embedded::{Embedded, Options},
};

use super::{
    crash::{DIR, open},
    disk::SimDisk,
    model::{Model, Step},
    scratch::{blob, content, key, options, whole},
};

fn index() -> PathBuf {
    Path::new(DIR).join("index.redb")
}

fn journal_bytes(disk: &SimDisk) -> usize {
    let journal = Path::new(DIR).join("journal");
    let names = disk.names().into_iter();
    let files = names.filter(|name| name.starts_with(&journal));
    files.map(|name| disk.bytes(&name).len()).sum()
}

async fn abandon_pieces(engine: &dyn Engine) {
    for n in 0..40 {
        let mut stage = engine.stage().await.unwrap();
        stage.append(content(n, 10_000)).await.unwrap();
    }
}

#[tokio::test]
async fn dur_04_segments_of_abandoned_pieces_alone_are_given_back() {
    let small = || Options {
        segment_bytes: 50_000,
        compact_below_percent: 60,
        ..options()
    };
    let disk = SimDisk::new();
    let engine = open(&disk, small()).unwrap();
    let mut stage = engine.stage().await.unwrap();
    let body = content(7, 20_000);
    stage.append(body.slice(..10_000)).await.unwrap();
    // Segment after segment, and no batch is committed.
    abandon_pieces(&*engine).await;
    assert!(engine.compact().await >= 6);
    assert!(journal_bytes(&disk) < 120_000, "{}", journal_bytes(&disk));
    // What is still being staged was left alone, and is found when it is given up.
    let mut given_up = engine.stage().await.unwrap();
    given_up.append(content(8, 40_000)).await.unwrap();
    stage.append(body.slice(10_000..)).await.unwrap();
    abandon_pieces(&*engine).await;
    engine.compact().await;
    let before = journal_bytes(&disk);
    drop(given_up);
    engine.compact().await;
    assert!(journal_bytes(&disk) < before - 40_000, "{before}");
    let mut batch = Batch::new();
    batch.body(blob(7), Content::Staged(stage.finish()));
    engine.commit(batch).await.unwrap();
    assert!(engine.checkpoint().await);
    engine.compact().await;
    assert!(whole(&*engine, 7, 20_000).await);
    engine.close().await;
    for with_index in [true, false] {
        if !with_index {
            disk.delete(&index());
        }
        let engine = open(&disk, small()).unwrap();
        assert_eq!(engine.report().damaged, []);
        assert!(whole(&*engine, 7, 20_000).await);
        engine.close().await;
        let verified = Embedded::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        assert_eq!(verified.damaged, []);
    }
}

/// A store with everything in its index, closed.
async fn filled() -> (SimDisk, Model) {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let mut model = Model::default();
    for n in 0..95 {
        let steps = [Step::Put(n, 250), Step::Body(100), Step::Take(0, 0)];
        model = model.commit(&*engine, &steps).await.unwrap();
    }
    engine.close().await;
    (disk, model)
}

#[tokio::test]
async fn dur_03_an_index_that_failed_to_be_read_once_is_opened_anew() {
    let (disk, model) = filled().await;
    let mut failed = 0;
    for good in 0..5 {
        let disk = disk.copy();
        let engine = open(&disk, options()).unwrap();
        disk.fail_reads(&index(), good, 1);
        match Model::read(&*engine, &model.lengths).await {
            Err(error) => assert!(matches!(error, ReadError::Io(_)), "{error:?}"),
            Ok(read) => assert!(read == model && !disk.has_failed_to_read(1)),
        }
        failed += u32::from(disk.has_failed_to_read(1));
        assert!(engine.checkpoint().await, "nothing is new, and all is well");
        assert_eq!(Model::read(&*engine, &model.lengths).await.unwrap(), model);
        let steps = [Step::Absent(200), Step::Take(0, 0), Step::Sum(0, 1)];
        let after = model.commit(&*engine, &steps).await.unwrap();
        assert_eq!(Model::read(&*engine, &after.lengths).await.unwrap(), after);
        tokio::select! {
            biased;
            reason = engine.failed() => panic!("{reason}"),
            () = ready(()) => {}
        }
    }
    assert!(failed > 0, "an open index is read again");
}

#[tokio::test]
async fn dur_03_a_segment_is_compacted_although_the_index_failed_to_be_read_for_it_once() {
    let disk = SimDisk::new();
    let small = || Options {
        segment_bytes: 50_000,
        compact_below_percent: 60,
        ..options()
    };
    // So much that the index is not all in memory once it is opened.
    let uncompacted = Options {
        compact_below_percent: 0,
        ..small()
    };
    let engine = open(&disk, uncompacted).unwrap();
    for n in 0..2_000 {
        let mut batch = Batch::new();
        batch.body(blob(n), Content::Bytes(content(n, 200)));
        engine.commit(batch).await.unwrap();
    }
    for n in (0..2_000).filter(|n| n % 4 != 0) {
        let mut batch = Batch::new();
        batch.drop_body(blob(n));
        engine.commit(batch).await.unwrap();
    }
    engine.close().await;
    let whole_disk = disk.copy();
    let engine = open(&whole_disk, small()).unwrap();
    engine.compact().await;
    let least = journal_bytes(&whole_disk);
    engine.close().await;
    let mut failed = 0;
    for good in 0..12 {
        let disk = disk.copy();
        let engine = open(&disk, small()).unwrap();
        disk.fail_reads(&index(), good, 1);
        engine.compact().await;
        failed += u32::from(disk.has_failed_to_read(1));
        // Something new, so that there is another look.
        engine.commit(marker()).await.unwrap();
        assert!(engine.checkpoint().await);
        engine.compact().await;
        let bytes = journal_bytes(&disk);
        assert!(bytes < least + 10_000, "read {good}: {bytes}, not {least}");
        engine.close().await;
    }
    assert!(failed > 0, "an open index is read again");
}

fn marker() -> Batch {
    let mut batch = Batch::new();
    batch.put(key("marker"), b"x".to_vec());
    batch
}

#[tokio::test]
async fn dur_03_an_index_that_cannot_be_read_any_more_stops_the_store() {
    let (disk, model) = filled().await;
    let engine = open(&disk, options()).unwrap();
    disk.fail_reads(&index(), 0, u64::MAX);
    let read = Model::read(&*engine, &model.lengths).await;
    assert!(matches!(read, Err(ReadError::Io(_))), "{read:?}");
    assert!(!engine.failed().await.is_empty());
    drop(engine);
    let engine = open(&disk.copy(), options()).unwrap();
    assert!(
        !engine.report().rebuilt,
        "nothing says that the index is bad"
    );
    assert_eq!(Model::read(&*engine, &model.lengths).await.unwrap(), model);
}

#[tokio::test]
async fn compacting_everything_lets_others_through() {
    let small = Options {
        segment_bytes: 5000,
        compact_below_percent: 80,
        ..options()
    };
    let disk = SimDisk::new();
    let engine = open(&disk, small).unwrap();
    for n in 0..60 {
        let mut batch = Batch::new();
        batch.body(blob(n), Content::Bytes(content(n, 5000)));
        engine.commit(batch).await.unwrap();
        let mut batch = Batch::new();
        batch.drop_body(blob(n)).put(key("n"), vec![0]);
        engine.commit(batch).await.unwrap();
    }
    assert!(engine.checkpoint().await);
    disk.allow_syncs(Some(0));
    let mut compacting = tokio::task::JoinSet::new();
    compacting.spawn({
        let engine = Arc::clone(&engine);
        async move { engine.compact().await }
    });
    // Of the copy of a segment; perhaps of one that is compacted without being asked.
    disk.holds_a_sync().await;
    let mut checkpoint = pin!(engine.checkpoint());
    tokio::select! {
        biased;
        _ = &mut checkpoint => panic!("the thread waits for its disk"),
        () = ready(()) => {}
    }
    // Not enough for all of them.
    disk.allow_syncs(Some(20));
    let done = tokio::time::timeout(Duration::from_secs(30), checkpoint).await;
    assert!(done.is_ok(), "it is answered before all is compacted");
    disk.allow_syncs(None);
    assert!(compacting.join_all().await[0] > 30);
}
