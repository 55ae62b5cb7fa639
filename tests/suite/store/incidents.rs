//! What happens to embedded stores: torn ends, damage, full disks, second processes, lost indexes.

mod full;

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use buzon::store::{
    Batch, CommitError, Content, Engine, ReadError, Room,
    embedded::{Embedded, OpenError, Options},
};
use bytes::Bytes;

use super::{
    crash::{DIR, open},
    disk::SimDisk,
    model::{Model, Step},
    scratch::{Scratch, add_body, blob, content, drop_body, key, options, whole},
};

fn segment(n: u32) -> PathBuf {
    Path::new(DIR).join(format!("journal/{n:08}.seg"))
}

fn index() -> PathBuf {
    Path::new(DIR).join("index.redb")
}

async fn put(engine: &dyn Engine, name: &str) -> Result<(), CommitError> {
    let mut batch = Batch::new();
    batch.put(key(name), b"value".to_vec());
    engine.commit(batch).await.map(|_| ())
}

async fn has(engine: &dyn Engine, name: &str) -> bool {
    engine.get(&key(name)).await.unwrap().is_some()
}

/// Offset of the first bytes of a body in a file.
fn find(disk: &SimDisk, path: &Path, bytes: &Bytes) -> usize {
    disk.bytes(path)
        .windows(bytes.len())
        .position(|window| window == bytes)
        .unwrap()
}

#[tokio::test]
async fn dur_02_a_torn_end_is_cut_at_every_byte_of_the_last_record() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let model = Model::default();
    let steps = [Step::Put(1, 9), Step::Take(0, 0), Step::Body(20)];
    let before = model.commit(&*engine, &steps).await.unwrap();
    let start = disk.bytes(&segment(1)).len();
    let steps = [
        Step::Put(2, 9),
        Step::Take(0, 0),
        Step::Body(30),
        Step::Drop(0),
    ];
    let after = before.commit(&*engine, &steps).await.unwrap();
    let end = disk.bytes(&segment(1)).len();
    // Padding at the very end belongs to no checksum.
    let body_end = find(&disk, &segment(1), &content(1, 30)) + 30;
    for at in start..end {
        for cut in [true, false] {
            let torn = disk.copy();
            torn.edit(&segment(1), |bytes| match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= 0x40,
            });
            let engine = open(&torn, options()).unwrap();
            assert_eq!(engine.report().damaged, []);
            let read = Model::read(&*engine, &after.lengths).await.unwrap();
            if !cut && at >= body_end {
                assert_eq!(read, after);
                continue;
            }
            let lengths = after.lengths.clone();
            assert_eq!(
                read,
                Model {
                    lengths,
                    ..before.clone()
                },
                "byte {at}, cut {cut}"
            );
            // The next record goes where the torn one was.
            put(&*engine, "next").await.unwrap();
            drop(engine);
            let engine = open(&torn, options()).unwrap();
            assert!(has(&*engine, "next").await);
        }
    }
}

#[tokio::test]
async fn dur_09_a_damaged_body_fails_alone_and_is_reported() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    for n in 0..3 {
        add_body(&*engine, n, 5000).await.unwrap();
    }
    let at = find(&disk, &segment(1), &content(1, 100));
    disk.edit(&segment(1), |bytes| bytes[at + 1000] ^= 1);
    assert!(matches!(
        engine.body(blob(1), 0..5000).await,
        Err(ReadError::Damaged(_))
    ));
    assert!(whole(&*engine, 0, 5000).await && whole(&*engine, 2, 5000).await);
    engine.close().await;
    let damaged = Embedded::verify_on(Arc::new(disk.clone()), Path::new(DIR))
        .unwrap()
        .damaged;
    assert_eq!(
        damaged.len(),
        2,
        "in the record and in the index: {damaged:?}"
    );
    assert!(damaged[0].path == segment(1) && damaged[1].what.contains(&blob(1).to_string()));
    // The rest goes on, also without the index.
    disk.delete(&index());
    let engine = open(&disk, options()).unwrap();
    assert_eq!(engine.report().damaged.len(), 1);
    assert!(has(&*engine, "body/1").await && whole(&*engine, 2, 5000).await);
    assert!(matches!(
        engine.body(blob(1), 0..5000).await,
        Err(ReadError::Damaged(_))
    ));
}

#[tokio::test]
async fn dur_10_a_damaged_record_is_left_out_and_the_rest_goes_on() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let mut starts = Vec::new();
    for name in ["a", "b", "c", "d"] {
        starts.push(disk.bytes(&segment(1)).len());
        put(&*engine, name).await.unwrap();
    }
    // In the header, so that the next record must be looked for, and in the metadata.
    for offset in [0, 5, 13, 30, 33, 47, 50, 70] {
        let damaged = disk.copy();
        damaged.edit(&segment(1), |bytes| bytes[starts[1] + offset] ^= 0x80);
        let engine = open(&damaged, options()).unwrap();
        let report = &engine.report().damaged;
        assert_eq!(report.len(), 1, "{report:?}");
        assert_eq!(
            (&report[0].path, report[0].offset),
            (&segment(1), starts[1] as u64)
        );
        for (name, there) in [("a", true), ("b", false), ("c", true), ("d", true)] {
            assert_eq!(has(&*engine, name).await, there, "{name}, offset {offset}");
        }
        put(&*engine, "e").await.unwrap();
    }
}

#[tokio::test]
async fn a_record_inside_a_message_is_not_taken_for_one_behind_damage() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    put(&*engine, "a").await.unwrap();
    let start = disk.bytes(&segment(1)).len();
    // A whole segment file of another store, as an attacker would send it by mail.
    let foreign = SimDisk::new();
    let other = open(&foreign, options()).unwrap();
    for _ in 0..20 {
        put(&*other, "evil").await.unwrap();
    }
    let mut batch = Batch::new();
    batch.put(key("b"), b"x".to_vec());
    batch.body(blob(1), Content::Bytes(foreign.bytes(&segment(1)).into()));
    engine.commit(batch).await.unwrap();
    put(&*engine, "c").await.unwrap();
    let disk = disk.copy();
    disk.edit(&segment(1), |bytes| bytes[start] ^= 1);
    let engine = open(&disk, options()).unwrap();
    assert_eq!(engine.report().damaged.len(), 1);
    assert!(!has(&*engine, "evil").await && !has(&*engine, "b").await);
    assert!(has(&*engine, "c").await);
}

#[tokio::test]
async fn a_lost_or_broken_index_is_made_again() {
    let disk = SimDisk::new();
    let small = || Options {
        segment_bytes: 2000,
        overlay_bytes: 4000,
        ..options()
    };
    let engine = open(&disk, small()).unwrap();
    let mut model = Model::default();
    for n in 0..40 {
        let steps = [
            Step::Put(n % 7, n),
            Step::Body(300),
            Step::Drop(3),
            Step::Take(0, n),
        ];
        model = model.commit(&*engine, &steps).await.unwrap();
    }
    engine.close().await;
    let breaks: [&dyn Fn(&SimDisk); 4] = [
        &|disk| disk.delete(&index()),
        &|disk| disk.edit(&index(), |bytes| bytes.truncate(0)),
        &|disk| disk.edit(&index(), |bytes| bytes.fill(0x5a)),
        &|disk| disk.edit(&index(), |bytes| bytes.truncate(5000)),
    ];
    for (n, damage) in breaks.iter().enumerate() {
        let disk = disk.copy();
        damage(&disk);
        let engine = open(&disk, small()).unwrap_or_else(|error| panic!("break {n}: {error:?}"));
        assert!(
            engine.report().rebuilt && engine.report().damaged.is_empty(),
            "break {n}"
        );
        assert_eq!(
            Model::read(&*engine, &model.lengths).await.unwrap(),
            model,
            "break {n}"
        );
    }
    let report = Embedded::rebuild_on(Arc::new(disk.clone()), Path::new(DIR), &small()).unwrap();
    assert!(report.rebuilt && report.damaged.is_empty() && report.records == 40);
    let engine = open(&disk, small()).unwrap();
    assert!(!engine.report().rebuilt);
    assert_eq!(Model::read(&*engine, &model.lengths).await.unwrap(), model);
}

#[tokio::test]
async fn dur_09_damage_inside_the_index_is_repaired_from_the_journal() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let mut model = Model::default();
    for n in 0..95 {
        let steps = [Step::Put(n, 250), Step::Body(100), Step::Take(0, 0)];
        model = model.commit(&*engine, &steps).await.unwrap();
    }
    engine.close().await;
    let mut noticed = 0;
    let image = disk.bytes(&index());
    let pages = image.len() / 4096;
    for page in 1..pages {
        if image[page * 4096..(page + 1) * 4096]
            .iter()
            .all(|byte| *byte == 0)
        {
            continue;
        }
        let disk = disk.copy();
        disk.edit(&index(), |bytes| {
            bytes[page * 4096..(page + 1) * 4096].fill(0x5a)
        });
        let engine = open(&disk, options()).unwrap();
        // A debug build of the library walks all pages when it opens a file; a release build meets
        // the damage when it reads.
        noticed += u32::from(engine.report().rebuilt);
        let read = Model::read(&*engine, &model.lengths).await;
        if let Err(error) = read {
            assert!(
                matches!(error, ReadError::Damaged(_)),
                "page {page}: {error:?}"
            );
            assert!(!engine.failed().await.is_empty());
            assert!(matches!(
                put(&*engine, "x").await,
                Err(CommitError::Poisoned)
            ));
            noticed += 1;
            engine.close().await;
            drop(engine);
            let engine = open(&disk, options()).unwrap();
            assert!(engine.report().rebuilt);
            assert_eq!(Model::read(&*engine, &model.lengths).await.unwrap(), model);
        } else {
            assert_eq!(read.unwrap(), model, "page {page}");
        }
    }
    assert!(noticed > 10, "{noticed} of {pages} pages");
}

#[tokio::test]
async fn a_journal_cut_by_hand_is_reported_and_not_written_into() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    add_body(&*engine, 1, 1000).await.unwrap();
    let end = disk.bytes(&segment(1)).len();
    add_body(&*engine, 2, 1000).await.unwrap();
    engine.close().await;
    for lost in [true, false] {
        let disk = disk.copy();
        match lost {
            true => disk.delete(&segment(1)),
            false => disk.edit(&segment(1), |bytes| bytes.truncate(end)),
        }
        let engine = open(&disk, options()).unwrap();
        assert_eq!(engine.report().damaged.len(), 1);
        assert!(has(&*engine, "body/2").await);
        let refused = engine.body(blob(2), 0..1000).await;
        assert!(matches!(refused, Err(ReadError::Damaged(_))), "{refused:?}");
        assert_eq!(whole(&*engine, 1, 1000).await, !lost);
        add_body(&*engine, 3, 1000).await.unwrap();
        assert!(disk.names().contains(&segment(2)));
        let engine = open(&disk.copy(), options()).unwrap();
        assert!(whole(&*engine, 3, 1000).await);
    }
}

#[tokio::test]
async fn dur_09_a_missing_segment_is_reported_without_an_index_too() {
    let disk = SimDisk::new();
    let small = || Options {
        segment_bytes: 2000,
        ..options()
    };
    let engine = open(&disk, small()).unwrap();
    for n in 0..10 {
        add_body(&*engine, n, 1000).await.unwrap();
    }
    engine.close().await;
    disk.delete(&index());
    for lost in [1, 3] {
        let disk = disk.copy();
        disk.delete(&segment(lost));
        let verified = Embedded::verify_on(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
        let paths: Vec<_> = verified.damaged.iter().map(|found| &found.path).collect();
        assert_eq!(paths, [&index(), &segment(lost)], "what is not there");
        let rebuilt = Embedded::rebuild_on(Arc::new(disk.clone()), Path::new(DIR), &small());
        let damaged = rebuilt.unwrap().damaged;
        assert!(
            damaged.len() == 1 && damaged[0].path == segment(lost),
            "{damaged:?}"
        );
        let engine = open(&disk, small()).unwrap();
        assert!(whole(&*engine, 9, 1000).await);
        assert!(!has(&*engine, "body/0").await || lost != 1);
    }
}

#[tokio::test]
async fn a_clean_stop_leaves_nothing_to_replay() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    put(&*engine, "a").await.unwrap();
    engine.close().await;
    let engine = open(&disk, options()).unwrap();
    assert_eq!(engine.report().records, 0);
    assert!(has(&*engine, "a").await);
}

#[tokio::test]
async fn one_process_at_a_time_and_only_its_own_format() {
    let dir = Scratch::new();
    let engine = Embedded::open(dir.path(), options()).unwrap();
    let second = Embedded::open(dir.path(), options());
    assert!(matches!(second, Err(OpenError::Locked(path)) if path == dir.path()));
    assert!(matches!(
        Embedded::verify(dir.path()),
        Err(OpenError::Locked(_))
    ));
    assert!(matches!(
        Embedded::rebuild(dir.path(), &options()),
        Err(OpenError::Locked(_))
    ));
    put(&*engine, "a").await.unwrap();
    engine.close().await;
    assert_eq!(Embedded::verify(dir.path()).unwrap().damaged, []);

    for (path, mode) in [
        ("journal", 0o700),
        ("journal/00000001.seg", 0o600),
        ("index.redb", 0o600),
        ("format", 0o600),
        ("lock", 0o600),
    ] {
        let found = std::fs::metadata(dir.path().join(path))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(found & 0o777, mode, "{path}");
    }

    // DUR-10: another format is refused, newer or older, with words that help.
    let format = dir.path().join("format");
    let text = std::fs::read_to_string(&format).unwrap();
    assert!(text.starts_with("buzon store 4\n"), "{text}");
    for other in ["3", "5"] {
        std::fs::write(&format, text.replace("store 4", &format!("store {other}"))).unwrap();
        let refused = Embedded::open(dir.path(), options()).unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains(&format!("is of version {other}"))
                && said.contains("reads version 4 and cannot read it"),
            "{said}"
        );
        assert!(matches!(refused, OpenError::Format { found, expected: 4, .. } if found == other));
    }
    for broken in ["", "x", "buzon store 4\n", "buzon store 4\nzzz\n"] {
        std::fs::write(&format, broken).unwrap();
        let refused = Embedded::open(dir.path(), options());
        assert!(matches!(refused, Err(OpenError::NoFormat(_))), "{broken:?}");
    }
    std::fs::remove_file(&format).unwrap();
    assert!(matches!(
        Embedded::open(dir.path(), options()),
        Err(OpenError::NoFormat(_))
    ));
    std::fs::write(&format, text).unwrap();
    let engine = Embedded::open(dir.path(), options()).unwrap();
    assert!(has(&*engine, "a").await);
}

#[tokio::test]
async fn verifying_what_is_no_store_makes_none() {
    let dir = Scratch::new();
    let missing = dir.path().join("missing");
    assert!(matches!(
        Embedded::verify(&missing),
        Err(OpenError::NoStore(_))
    ));
    assert!(matches!(
        Embedded::rebuild(&missing, &options()),
        Err(OpenError::NoStore(_))
    ));
    assert!(!missing.exists());
    let unreachable = dir.path().join("missing/store");
    assert!(matches!(
        Embedded::open(&unreachable, options()),
        Err(OpenError::Io { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_wait_for_a_sync_and_see_nothing_before_it() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    put(&*engine, "old").await.unwrap();
    let before = disk.operations();
    disk.allow_syncs(Some(0));
    let mut writing = tokio::task::JoinSet::new();
    for name in ["new", "newer"] {
        let engine = Arc::clone(&engine);
        writing.spawn(async move { put(&*engine, name).await });
    }
    // Written, and waiting in the sync.
    disk.reaches(before + 2).await;
    let mut seen = Vec::new();
    for name in ["old", "new", "newer"] {
        seen.push(has(&*engine, name).await);
    }
    disk.allow_syncs(None);
    assert_eq!(seen, [true, false, false]);
    assert!(writing.join_all().await.iter().all(Result::is_ok));
    assert!(has(&*engine, "new").await && has(&*engine, "newer").await);
}

#[tokio::test]
async fn waiting_batches_share_a_sync() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let before = disk.operations();
    disk.allow_syncs(Some(0));
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..50 {
        let engine = Arc::clone(&engine);
        writing.spawn(async move { put(&*engine, &n.to_string()).await });
    }
    disk.reaches(before + 2).await;
    // On one thread each writer has run until its batch was queued: there is one group to come.
    tokio::task::yield_now().await;
    disk.allow_syncs(None);
    assert!(writing.join_all().await.iter().all(Result::is_ok));
    // A write and a sync for each group.
    assert!(
        disk.operations() <= before + 4,
        "{} operations",
        disk.operations() - before
    );
}

#[tokio::test]
async fn overlays_that_grow_are_checkpointed_and_hold_commits_back() {
    let disk = SimDisk::new();
    let small = || Options {
        overlay_bytes: 2000,
        ..options()
    };
    let engine = open(&disk, small()).unwrap();
    let mut model = Model::default();
    for n in 0..60 {
        let steps = [
            Step::Put(n % 20, 200),
            Step::Put(n % 11, 100),
            Step::Sum(0, 1),
        ];
        model = model.commit(&*engine, &steps).await.unwrap();
    }
    assert_eq!(Model::read(&*engine, &model.lengths).await.unwrap(), model);
    let killed = disk.copy();
    let engine = open(&killed, small()).unwrap();
    assert!(
        engine.report().records < 40,
        "{} replayed",
        engine.report().records
    );
    assert_eq!(Model::read(&*engine, &model.lengths).await.unwrap(), model);
}

#[tokio::test]
async fn a_staged_body_is_committed_once() {
    let disk = SimDisk::new();
    let engine = open(&disk, options()).unwrap();
    let mut stage = engine.stage().await.unwrap();
    stage.append(content(1, 100)).await.unwrap();
    let staged = stage.finish();
    let again = || buzon::store::Staged {
        length: 100,
        token: Arc::clone(&staged.token),
    };
    // A conflict leaves it free for another try.
    let mut batch = Batch::new();
    batch
        .present(key("nothing"))
        .body(blob(1), Content::Staged(again()));
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Conflict)
    ));
    let mut batch = Batch::new();
    batch.body(blob(1), Content::Staged(again()));
    engine.commit(batch).await.unwrap();
    let mut batch = Batch::new();
    batch.body(blob(2), Content::Staged(again()));
    assert!(matches!(
        engine.commit(batch).await,
        Err(CommitError::Unacceptable(_))
    ));
    assert!(whole(&*engine, 1, 100).await);
}
