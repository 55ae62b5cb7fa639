//! What the upkeep thread sees to on its own: an index that failed to be read.

use std::{
    future::ready,
    path::{Path, PathBuf},
};

use buzon::store::{
    Engine, ReadError,
};

use super::{
    crash::{DIR, open},
    disk::SimDisk,
    model::{Model, Step},
    scratch::options,
};

fn index() -> PathBuf {
    Path::new(DIR).join("index.redb")
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
