//! DUR-04: on a disk that is nearly full, deleting gives room back soon, on its own, and without a
//! restart; also when the power goes meanwhile. And what is no data directory is left alone.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use buzon::store::{
    Engine, Room,
    embedded::{Embedded, OpenError, Options},
};

use super::{
    crash::{DIR, open},
    disk::{SimDisk, Survives, Trouble},
    scratch::{Scratch, add_body, content, drop_body, options, whole},
};

/// Low water at 300 KB, without a reserve.
fn tight() -> Options {
    Options {
        low_water_bytes: 300_000,
        compact_below_percent: 60,
        segment_bytes: 100_000,
        ..options()
    }
}

/// Lets the upkeep go its rounds until there is room.
async fn comes_to_enough(engine: &Embedded) -> bool {
    has_enough_within(engine, PATIENCE).await
}

/// Whether there is room within so many rounds.
async fn has_enough_within(engine: &Embedded, rounds: usize) -> bool {
    for _ in 0..rounds {
        // The disk's answer is known for a second.
        tokio::time::advance(Duration::from_secs(2)).await;
        if engine.room() == Room::Enough {
            return true;
        }
        round(engine).await;
    }
    false
}

/// A checkpoint is the beginning of a round; the threads that end it want to be run.
async fn round(engine: &Embedded) {
    engine.checkpoint().await;
    std::thread::sleep(Duration::from_millis(1));
}

/// Rounds for what comes, also on a machine that has other work.
const PATIENCE: usize = 20_000;
/// Rounds for what may not come.
const A_MOMENT: usize = 200;

#[tokio::test(start_paused = true)]
async fn dur_04_what_is_deleted_gives_room_although_a_segment_is_mostly_alive() {
    let disk = SimDisk::new();
    let engine = open(&disk, tight()).unwrap();
    for n in 0..40 {
        add_body(&*engine, n, 30_000).await.unwrap();
    }
    assert!(engine.checkpoint().await);
    disk.set_capacity(disk.used() + 250_000);
    let comes = has_enough_within(&engine, A_MOMENT).await;
    assert!(!comes, "nothing is deleted");
    // A quarter of each segment: not worth it while there is room.
    for n in (0..40).step_by(4) {
        drop_body(&*engine, n).await.unwrap();
    }
    assert!(comes_to_enough(&engine).await);
    add_body(&*engine, 90, 30_000).await.unwrap();
    for n in 0..40 {
        assert_eq!(whole(&*engine, n, 30_000).await, n % 4 != 0, "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn dur_04_the_newest_segment_gives_its_room_too() {
    let disk = SimDisk::new();
    let one_segment = Options {
        segment_bytes: 1 << 30,
        ..tight()
    };
    let engine = open(&disk, one_segment.clone()).unwrap();
    for n in 0..100 {
        add_body(&*engine, n, 30_000).await.unwrap();
    }
    assert!(engine.checkpoint().await);
    disk.set_capacity(disk.used() + 250_000);
    for n in 0..99 {
        drop_body(&*engine, n).await.unwrap();
    }
    assert!(comes_to_enough(&engine).await);
    assert!(whole(&*engine, 99, 30_000).await);
    // What follows is in the segment that was begun, and found again.
    add_body(&*engine, 100, 30_000).await.unwrap();
    engine.close().await;
    let engine = open(&disk.copy(), one_segment).unwrap();
    assert_eq!(engine.report().damaged, []);
    assert!(whole(&*engine, 99, 30_000).await);
    assert!(whole(&*engine, 100, 30_000).await);
}

/// A store whose one segment is nearly all deleted, all of it in the index.
async fn mostly_deleted(disk: &SimDisk, options: Options) -> Arc<Embedded> {
    let engine = open(disk, options).unwrap();
    for n in 0..100 {
        add_body(&*engine, n, 30_000).await.unwrap();
    }
    for n in 0..99 {
        drop_body(&*engine, n).await.unwrap();
    }
    assert!(engine.checkpoint().await);
    engine
}

#[tokio::test]
async fn dur_04_a_disk_that_others_filled_is_not_asked_for_a_segment_without_a_pause() {
    let disk = SimDisk::new();
    let one_segment = Options {
        segment_bytes: 1 << 30,
        ..tight()
    };
    let engine = mostly_deleted(&disk, one_segment).await;
    disk.set_capacity(disk.used());
    for _ in 0..3 {
        let before = disk.operations();
        assert!(engine.checkpoint().await, "nothing is new");
        // A file, no room for its header, and the file goes again.
        disk.reaches(before + TURN_OPERATIONS).await;
        // An hour lies between two rounds that nobody asks for.
        let more = disk.reaches(before + 3 * TURN_OPERATIONS);
        let more = tokio::time::timeout(Duration::from_millis(300), more).await;
        assert!(more.is_err(), "it is tried again and again");
    }
}

/// Making a file, writing, removing it, and the sync of the directory.
const TURN_OPERATIONS: u64 = 4;

#[tokio::test(start_paused = true)]
async fn dur_04_the_reserve_is_given_up_to_compact_the_newest_segment() {
    let disk = SimDisk::new();
    let one_segment = Options {
        segment_bytes: 1 << 30,
        ballast_bytes: 2_000_000,
        ..tight()
    };
    let engine = mostly_deleted(&disk, one_segment).await;
    let ballast = Path::new(DIR).join("ballast");
    while !disk.names().contains(&ballast) {
        engine.checkpoint().await;
    }
    disk.set_capacity(disk.used());
    assert!(comes_to_enough(&engine).await);
    assert!(whole(&*engine, 99, 30_000).await);
    add_body(&*engine, 100, 30_000).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dur_04_room_taken_by_abandoned_pieces_alone_comes_back() {
    for segment_bytes in [100_000, 1 << 30] {
        let disk = SimDisk::new();
        let options = Options {
            segment_bytes,
            ..tight()
        };
        let engine = open(&disk, options).unwrap();
        disk.set_capacity(disk.used() + 1_600_000);
        for n in 0..50 {
            let mut stage = engine.stage().await.unwrap();
            stage.append(content(n, 30_000)).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(engine.room(), Room::Low);
        assert!(
            comes_to_enough(&engine).await,
            "segments of {segment_bytes}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dur_04_room_does_not_come_and_go_at_the_low_water_mark() {
    let disk = SimDisk::new();
    let engine = open(&disk, tight()).unwrap();
    let used = disk.used();
    for (free, room) in [
        (300_000, Room::Enough),
        (299_999, Room::Low),
        (300_000, Room::Low),
        (337_499, Room::Low),
        (337_500, Room::Enough),
        (300_000, Room::Enough),
        (299_999, Room::Low),
    ] {
        disk.set_capacity(used + free);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(engine.room(), room, "{free} free");
    }
}

#[tokio::test(start_paused = true)]
async fn dur_04_no_power_loss_while_room_is_made_loses_anything() {
    let one_segment = Options {
        segment_bytes: 8_000_000,
        ..tight()
    };
    let prepared = SimDisk::new();
    let engine = open(&prepared, one_segment.clone()).unwrap();
    for n in 0..40 {
        add_body(&*engine, n, 30_000).await.unwrap();
    }
    for n in 0..39 {
        drop_body(&*engine, n).await.unwrap();
    }
    engine.close().await;
    for lost in 1.. {
        let disk = prepared.copy();
        disk.set_capacity(disk.used() + 250_000);
        let engine = open(&disk, one_segment.clone()).unwrap();
        let opened = disk.operations();
        disk.trouble(lost, Trouble::PowerLoss);
        let done = has_enough_within(&engine, A_MOMENT).await;
        drop(engine);
        for survives in [
            Survives::Nothing,
            Survives::Some(lost),
            Survives::Some(!lost),
        ] {
            for with_index in [true, false] {
                let disk = disk.after_power_loss(survives);
                if !with_index {
                    disk.delete(&Path::new(DIR).join("index.redb"));
                }
                let engine = open(&disk, one_segment.clone()).unwrap();
                assert_eq!(engine.report().damaged, [], "{lost} {survives:?}");
                assert!(whole(&*engine, 39, 30_000).await, "{lost} {survives:?}");
                assert!(!whole(&*engine, 0, 30_000).await, "{lost} {survives:?}");
            }
        }
        if done {
            assert!(disk.operations() - opened > 5, "room was made");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dur_04_a_small_index_is_written_with_little_room() {
    let reserve = 500_000;
    let small = || Options {
        ballast_bytes: reserve,
        low_water_bytes: 600_000,
        // As much as a large index would want.
        index_slack_bytes: 16 << 20,
        ..tight()
    };
    let disk = SimDisk::new();
    let engine = open(&disk, small()).unwrap();
    for n in 0..200 {
        add_body(&*engine, n, 30_000).await.unwrap();
    }
    assert!(engine.checkpoint().await);
    let index = disk.bytes(&index()).len() as u64;
    // Without the reserve there is just enough for the index; the slack alone is far more.
    let free = index + (1 << 20) + 450_000 - reserve;
    disk.set_capacity(disk.used() + free);
    for n in 0..200 {
        drop_body(&*engine, n).await.unwrap();
    }
    assert!(engine.checkpoint().await, "the reserve is given up for it");
    assert!(comes_to_enough(&engine).await);
    add_body(&*engine, 300, 30_000).await.unwrap();
    let ballast = Path::new(DIR).join("ballast");
    for _ in 0..PATIENCE {
        if disk.names().contains(&ballast) {
            return;
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        round(&engine).await;
    }
    panic!("the reserve is not had again");
}

fn index() -> PathBuf {
    Path::new(DIR).join("index.redb")
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let dir = Scratch::new();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "mine").unwrap();
    for refused in [
        Embedded::open(dir.path(), options()).map(|_| ()),
        Embedded::verify(dir.path()).map(|_| ()),
        Embedded::rebuild(dir.path(), &options()).map(|_| ()),
        Embedded::exists(dir.path()).map(|_| ()),
    ] {
        let refused = refused.unwrap_err();
        let said = refused.to_string();
        assert!(matches!(refused, OpenError::Foreign { .. }), "{said}");
        assert!(said.contains("notes.txt"), "{said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    std::fs::remove_file(file).unwrap();

    // The root of a file system, and what a creation leaves that was cut short.
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    std::fs::write(dir.path().join("format.tmp"), "buzon st").unwrap();
    assert!(!Embedded::exists(dir.path()).unwrap());
    drop(Embedded::open(dir.path(), options()).unwrap());
    assert!(Embedded::exists(dir.path()).unwrap());
    // A store's own directory may have what others put there.
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    drop(Embedded::open(dir.path(), options()).unwrap());
}

#[test]
fn another_version_is_named_beside_ours() {
    let dir = Scratch::new();
    drop(Embedded::open(dir.path(), options()).unwrap());
    for format in ["buzon store 99\n", "buzon store 99 of another day\nx\n"] {
        std::fs::write(dir.path().join("format"), format).unwrap();
        let refused: [OpenError; 3] = [
            Embedded::open(dir.path(), options())
                .map(|_| ())
                .unwrap_err(),
            Embedded::verify(dir.path()).map(|_| ()).unwrap_err(),
            Embedded::rebuild(dir.path(), &options())
                .map(|_| ())
                .unwrap_err(),
        ];
        for refused in refused {
            let said = refused.to_string();
            assert!(said.contains("of version 99"), "{said}");
            assert!(said.contains("reads version 4"), "{said}");
        }
    }
}
