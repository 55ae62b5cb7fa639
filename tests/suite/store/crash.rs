//! A fixed workload with trouble at its n-th disk operation, for every n (DUR-03, DUR-08).
//!
//! After each, the store is opened on what the disk kept and must hold exactly what was
//! acknowledged, with or without the one batch that was not answered; bodies whole; and it must go
//! on working.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use buzon::store::{
    Batch, CommitError, Engine, Order, PageLimit, Template, Width,
    embedded::{Embedded, OpenError, Options},
};

use super::{
    disk::{SimDisk, Survives, Trouble},
    model::{Model, Step},
    scratch::{key, options},
};

pub(crate) const DIR: &str = "/data";

pub(crate) fn open(disk: &SimDisk, options: Options) -> Result<Arc<Embedded>, OpenError> {
    Embedded::open_on(Arc::new(disk.clone()), Path::new(DIR), options)
}

pub(crate) fn small() -> Options {
    Options {
        segment_bytes: 3500,
        compact_below_percent: 80,
        ..options()
    }
}

/// What the workload does.
enum Act {
    Commit(Vec<Step>),
    Checkpoint,
    Compact,
    Reopen,
}

fn workload() -> Vec<Act> {
    use Step::{Absent, Body, Delete, Drop, Put, Staged, Sum, Take};
    let mut acts = Vec::new();
    for n in 0..6_u8 {
        acts.push(Act::Commit(vec![
            Take(0, n),
            Take(1, 0),
            Put(n, 30),
            Sum(0, 5),
            Body(700),
        ]));
        acts.push(Act::Commit(vec![
            Staged(vec![900, 20, 1100]),
            Take(0, 1),
            Delete(n / 2),
        ]));
        if n % 2 == 1 {
            acts.push(Act::Checkpoint);
        }
        acts.push(Act::Commit(vec![
            Drop(0),
            Sum(0, -3),
            Put(n, 0),
            Absent(40),
        ]));
        acts.push(Act::Commit(vec![Absent(n), Body(10)]));
        if n == 2 || n == 4 {
            acts.push(Act::Compact);
        }
        if n == 3 {
            acts.push(Act::Reopen);
        }
    }
    acts
}

/// How far the workload came.
struct Outcome {
    /// What was acknowledged.
    acked: Model,
    /// The state if the batch in flight happened all the same.
    maybe: Option<Model>,
    /// Commits refused because the disk was full.
    full: usize,
}

/// Runs the workload until it ends or the store fails.
async fn run(disk: &SimDisk) -> Outcome {
    let mut outcome = Outcome {
        acked: Model::default(),
        maybe: None,
        full: 0,
    };
    let Ok(mut engine) = open(disk, small()) else {
        return outcome;
    };
    for act in workload() {
        match act {
            Act::Checkpoint => _ = engine.checkpoint().await,
            Act::Compact => _ = engine.compact().await,
            Act::Reopen => {
                engine.close().await;
                let Ok(again) = open(disk, small()) else {
                    return outcome;
                };
                engine = again;
            }
            Act::Commit(steps) => match outcome.acked.commit(&*engine, &steps).await {
                Ok(after) => outcome.acked = after,
                Err(CommitError::Full) => {
                    outcome.full += 1;
                    // Its body's number is not used again.
                    if let Some(after) = outcome.acked.after(&steps) {
                        outcome.acked.lengths = after.lengths;
                    }
                }
                Err(CommitError::Poisoned) => {
                    assert!(!engine.failed().await.is_empty());
                    outcome.maybe = outcome.acked.after(&steps);
                    let again = outcome.acked.commit(&*engine, &steps).await;
                    assert!(
                        matches!(again, Err(CommitError::Poisoned)),
                        "dur_03: {again:?}"
                    );
                    // Reading goes on.
                    assert_acked(&Model::read(&*engine, &[]).await, &outcome, false);
                    return outcome;
                }
                Err(other) => panic!("{other:?}"),
            },
        }
    }
    engine.close().await;
    outcome
}

fn assert_acked(read: &Result<Model, buzon::store::ReadError>, outcome: &Outcome, bodies: bool) {
    // A dead disk may refuse to be read; what it reads must be right.
    let Ok(read) = read else { return };
    assert_eq!(read.entries, outcome.acked.entries);
    assert!(!bodies || read.bodies == outcome.acked.bodies);
}

/// The store on `disk` holds what was acknowledged and works.
async fn check(disk: &SimDisk, outcome: &Outcome, n: u64, what: &str) {
    let engine = open(disk, small()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!(engine.report().damaged, [], "{what}");
    let mut acked = outcome.acked.clone();
    if let Some(maybe) = &outcome.maybe {
        acked.lengths.clone_from(&maybe.lengths);
    }
    let mut read = Model::read(&*engine, &acked.lengths).await.unwrap();
    if read != acked {
        assert_eq!(Some(&read), outcome.maybe.as_ref(), "{what}");
    }
    // It goes on: the same numbers are not given twice, and all of it survives once more.
    let steps = [
        Step::Take(0, 0),
        Step::Body(50),
        Step::Staged(vec![60, 70]),
        Step::Put(1, 1),
    ];
    read = read
        .commit(&*engine, &steps)
        .await
        .unwrap_or_else(|e| panic!("{what}: {e:?}"));
    engine.close().await;
    match n % 3 {
        0 => {
            let verified = Embedded::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
            assert_eq!(verified.damaged, [], "{what}");
        }
        1 => disk.delete(&Path::new(DIR).join("index.redb")),
        _ => {}
    }
    let engine = open(disk, small()).unwrap();
    assert_eq!(engine.report().damaged, [], "{what}");
    let again = Model::read(&*engine, &read.lengths).await.unwrap();
    assert_eq!(again, read, "{what}, opened again");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn operations() -> u64 {
    let disk = SimDisk::new();
    let outcome = run(&disk).await;
    let operations = disk.operations();
    assert!(outcome.maybe.is_none() && outcome.full == 0);
    let names = disk.names();
    assert!(names.len() > 6, "several segments: {names:?}");
    let compacted = |path: &&PathBuf| path.to_string_lossy().contains('-');
    assert!(
        names.iter().filter(compacted).count() > 1,
        "some compacted: {names:?}"
    );
    check(&disk, &outcome, 0, "no trouble").await;
    operations
}

#[test]
fn dur_08_power_loss_at_any_operation_keeps_what_was_acknowledged() {
    runtime().block_on(async {
        for n in 1..=operations().await {
            let disk = SimDisk::new();
            disk.trouble(n, Trouble::PowerLoss);
            let outcome = run(&disk).await;
            for survives in [Survives::Nothing, Survives::Some(n)] {
                let left = disk.after_power_loss(survives);
                let what = format!("power loss at {n}, {survives:?} survives");
                check(&left, &outcome, n, &what).await;
            }
        }
    });
}

#[test]
fn dur_03_an_error_of_any_operation_stops_the_store_and_loses_nothing() {
    runtime().block_on(async {
        for n in 1..=operations().await {
            let disk = SimDisk::new();
            disk.trouble(n, Trouble::Fails);
            let outcome = run(&disk).await;
            if n % 2 == 0 {
                check(&disk.copy(), &outcome, n, &format!("error at {n}")).await;
            } else {
                // What a failed sync left may be lost later.
                let left = disk.after_power_loss(Survives::Some(n));
                check(
                    &left,
                    &outcome,
                    n,
                    &format!("error at {n}, then power loss"),
                )
                .await;
            }
        }
    });
}

#[test]
fn short_writes_are_completed() {
    runtime().block_on(async {
        // Whether an operation is a write changes from one to the next; a third of them is enough.
        for n in (1..=operations().await).step_by(3) {
            let disk = SimDisk::new();
            disk.trouble(n, Trouble::Short);
            let outcome = run(&disk).await;
            assert!(outcome.maybe.is_none(), "short write at {n}");
            check(&disk.copy(), &outcome, n, &format!("short write at {n}")).await;
        }
    });
}

#[test]
fn dur_04_a_full_disk_at_any_operation_refuses_whole_batches_and_goes_on() {
    runtime().block_on(async {
        let mut refused = 0;
        for n in 1..=operations().await {
            let disk = SimDisk::new();
            disk.trouble(n, Trouble::Full);
            let outcome = run(&disk).await;
            assert!(outcome.maybe.is_none(), "full at {n}");
            refused += outcome.full;
            check(&disk.copy(), &outcome, n, &format!("full at {n}")).await;
        }
        assert!(refused > 10, "the trouble met some commits: {refused}");
    });
}

/// Batches that were written together do not survive with a gap between them.
#[tokio::test]
async fn dur_02_of_a_torn_group_only_a_first_part_survives() {
    const WRITERS: u8 = 9;
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let before = disk.operations();
    disk.allow_syncs(Some(0));
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        let engine = Arc::clone(&engine);
        writers.spawn(async move {
            let mut batch = Batch::new();
            let row = batch.take_one(key("rows"));
            let mut name = Template::from(b"row/".to_vec());
            name.hole(row, 0, Width::U64);
            batch.put(name, vec![7; 150]);
            engine.commit(batch).await
        });
        if n == 0 {
            // The first group waits in its sync.
            disk.reaches(before + 2).await;
        }
    }
    // On one thread each writer runs until its batch is queued: all of them are the second group.
    tokio::task::yield_now().await;
    disk.allow_syncs(Some(1));
    disk.reaches(before + 4).await;
    let lost: Vec<_> = (0..60)
        .map(|seed| disk.after_power_loss(Survives::Some(seed)))
        .collect();
    disk.allow_syncs(None);
    assert!(writers.join_all().await.iter().all(Result::is_ok));
    let mut seen = BTreeSet::new();
    for left in lost {
        let engine = open(&left, options()).unwrap();
        assert_eq!(engine.report().damaged, []);
        let limit = PageLimit::default();
        let page = engine
            .page(key("row/").prefix_range(), limit, Order::Ascending)
            .await
            .unwrap();
        let rows: Vec<_> = page
            .entries
            .iter()
            .map(|(key, _)| key.last_u64().unwrap())
            .collect();
        assert!(!rows.is_empty(), "the first group was synced");
        assert!(rows.iter().copied().eq(1..=rows.len() as u64), "{rows:?}");
        seen.insert(rows.len());
    }
    assert!(seen.len() > 2, "torn at several places: {seen:?}");
}
