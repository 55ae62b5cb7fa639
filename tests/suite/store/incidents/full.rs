//! Full disks, the reserve for them, and the space that compaction gives back.

use super::*;

#[tokio::test(start_paused = true)]
async fn dur_04_a_full_disk_refuses_mail_and_lets_delete_and_recovers_without_restart() {
    let full = || Options {
        ballast_bytes: 200_000,
        low_water_bytes: 300_000,
        compact_below_percent: 90,
        segment_bytes: 100_000,
        ..options()
    };
    let disk = SimDisk::new();
    let engine = open(&disk, full()).unwrap();
    assert!(disk.names().contains(&Path::new(DIR).join("ballast")));
    for n in 0..10 {
        add_body(&*engine, n, 30_000).await.unwrap();
    }
    assert!(engine.checkpoint().await);
    assert_eq!(engine.room(), Room::Enough);
    // Others fill the disk.
    disk.set_capacity(disk.used() + 250_000);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(engine.room(), Room::Low, "below the low-water mark");
    disk.set_capacity(disk.used() + 1000);
    assert!(matches!(
        add_body(&*engine, 90, 30_000).await,
        Err(CommitError::Full)
    ));
    assert!(!has(&*engine, "body/90").await, "nothing of it is visible");
    assert!(
        !disk.names().contains(&Path::new(DIR).join("ballast")),
        "the reserve is in use"
    );
    assert!(matches!(
        add_body(&*engine, 90, 30_000).await,
        Err(CommitError::Full)
    ));
    assert!(matches!(
        engine.stage().await.map(|_| ()),
        Err(CommitError::Full)
    ));
    // Reading and deleting go on.
    assert!(whole(&*engine, 9, 30_000).await);
    let ballast = Path::new(DIR).join("ballast");
    let with_reserve = 200_000;
    let used = disk.used() + with_reserve;
    for n in 0..9 {
        drop_body(&*engine, n).await.unwrap();
    }
    // Some of it may have been compacted on its own before.
    engine.compact().await;
    // With so much room the reserve may be had again already.
    let reserve = if disk.names().contains(&ballast) {
        0
    } else {
        with_reserve
    };
    assert!(disk.used() + reserve < used - 150_000, "deleting made room");
    assert!(whole(&*engine, 9, 30_000).await);
    engine.close().await;

    // A full disk can be opened, too; and it is normal again without a restart when there is room.
    disk.set_capacity(disk.used() + 1000);
    let engine = open(&disk, full()).unwrap();
    assert_eq!(engine.room(), Room::Low);
    disk.set_capacity(u64::MAX);
    tokio::time::advance(Duration::from_secs(2)).await;
    engine.checkpoint().await;
    add_body(&*engine, 91, 30_000).await.unwrap();
    assert!(whole(&*engine, 91, 30_000).await);
    assert_eq!(engine.room(), Room::Enough);
}

#[tokio::test]
async fn dur_04_the_reserve_is_what_the_options_say_after_each_start() {
    let ballast = Path::new(DIR).join("ballast");
    let disk = SimDisk::new();
    for bytes in [1000, 5000, 0, 2000] {
        let engine = open(
            &disk,
            Options {
                ballast_bytes: bytes,
                ..options()
            },
        )
        .unwrap();
        assert_eq!(engine.room(), Room::Enough);
        engine.close().await;
        let there = disk
            .names()
            .contains(&ballast)
            .then(|| disk.bytes(&ballast).len() as u64);
        assert_eq!(there, (bytes > 0).then_some(bytes));
    }
}

#[tokio::test]
async fn dur_04_opening_a_full_disk_gives_up_the_reserve() {
    let with_reserve = || Options {
        ballast_bytes: 4_000_000,
        ..options()
    };
    let disk = SimDisk::new();
    let engine = open(&disk, with_reserve()).unwrap();
    add_body(&*engine, 1, 1000).await.unwrap();
    drop(engine);
    disk.delete(&index());
    disk.set_capacity(disk.used());
    let engine = open(&disk, with_reserve()).unwrap();
    assert!(whole(&*engine, 1, 1000).await);
    drop_body(&*engine, 1).await.unwrap();
}

#[tokio::test]
async fn compaction_gives_back_dead_bodies_and_abandoned_pieces() {
    let disk = SimDisk::new();
    let small = || Options {
        segment_bytes: 50_000,
        compact_below_percent: 80,
        ..options()
    };
    let engine = open(&disk, small()).unwrap();
    for n in 0..20 {
        add_body(&*engine, n, 10_000).await.unwrap();
        let mut stage = engine.stage().await.unwrap();
        stage.append(content(1, 10_000)).await.unwrap();
        drop(stage);
    }
    let mut kept = BTreeSet::new();
    for n in 0..20 {
        if n % 4 == 0 {
            kept.insert(n);
        } else {
            drop_body(&*engine, n).await.unwrap();
        }
    }
    let before = disk.used();
    assert!(engine.compact().await >= 6);
    assert!(
        disk.used() < before / 2,
        "{before} before, {} now",
        disk.used()
    );
    assert_eq!(engine.compact().await, 0, "there is an end to it");
    for n in 0..20 {
        assert_eq!(whole(&*engine, n, 10_000).await, kept.contains(&n));
    }
    // What is gone stays gone when the index is made again.
    engine.close().await;
    disk.delete(&index());
    let engine = open(&disk, small()).unwrap();
    assert_eq!(engine.report().damaged, []);
    for n in 0..20 {
        assert_eq!(whole(&*engine, n, 10_000).await, kept.contains(&n));
        assert_eq!(has(&*engine, &format!("body/{n}")).await, kept.contains(&n));
    }
}

#[tokio::test]
async fn compaction_leaves_open_stages_and_their_batches_alone() {
    let disk = SimDisk::new();
    let small = || Options {
        segment_bytes: 20_000,
        compact_below_percent: 99,
        ..options()
    };
    let engine = open(&disk, small()).unwrap();
    let mut stage = engine.stage().await.unwrap();
    stage
        .append(content(7, 30_000).slice(..5000))
        .await
        .unwrap();
    // Its first piece is soon in a segment of dead bodies.
    for n in 20..30 {
        add_body(&*engine, n, 10_000).await.unwrap();
        drop_body(&*engine, n).await.unwrap();
    }
    stage
        .append(content(7, 30_000).slice(5000..30_000))
        .await
        .unwrap();
    let staged = stage.finish();
    assert!(engine.compact().await > 0);
    let mut batch = Batch::new();
    batch
        .put(key("body/7"), b"here".to_vec())
        .body(blob(7), Content::Staged(staged));
    engine.commit(batch).await.unwrap();
    assert!(whole(&*engine, 7, 30_000).await);
    // Killed before the checkpoint: the batch finds its pieces.
    let killed = open(&disk.copy(), small()).unwrap();
    assert!(whole(&*killed, 7, 30_000).await);
    // After it, they move.
    assert!(engine.checkpoint().await);
    engine.compact().await;
    let moved = Path::new(DIR).join("journal/00000001-1.seg");
    assert!(disk.names().contains(&moved), "{:?}", disk.names());
    assert!(whole(&*engine, 7, 30_000).await);
    assert_eq!(
        engine.body(blob(7), 4990..5010).await.unwrap(),
        content(7, 30_000).slice(4990..5010)
    );
    engine.close().await;
    disk.delete(&index());
    let engine = open(&disk, small()).unwrap();
    assert!(whole(&*engine, 7, 30_000).await);
}
