//! Failing operations, and a disk without space.

use super::rig::*;
use crate::env::sim::{Crash, Fail, Fault, Io};

fn fault(on: Option<Io>, nth: u64, sticky: bool, how: Fail) -> Fault {
    Fault { on, path: String::new(), nth, sticky, how }
}

/// Runs a workload in which a fault strikes; what it reached, and what failed.
fn run_with(fault: Fault, seed: u64) -> (SimDisk, Shadow, Option<LogFailure>) {
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let disk = SimDisk::new(seed);
    let sim = Sim::new(seed);
    let env = sim.env(&disk);
    let failure = sim.block_on(async {
        let mut rig = Rig::open(&env, config(Durability::Sync), &shadow).await;
        disk.inject(fault);
        let mut result = work(&mut rig, 24).await;
        if result.is_ok() {
            result = rig.settle().await;
        }
        if let Err(failure) = &result {
            assert_eq!(rig.log.append(1, |_| ()), Err(AppendError::Failed));
            assert!(!rig.log.has_work(), "nothing more is written");
            assert_eq!(rig.log.failure().map(ToString::to_string), Some(failure.to_string()));
        }
        result.err()
    });
    let shadow = shadow.borrow().clone();
    (disk, shadow, failure)
}

/// What [`run_with`] does, for a log that fails without a write in flight to tell of it.
async fn work(rig: &mut Rig, count: usize) -> Result<(), LogFailure> {
    for _ in 0..count {
        let index = rig.shadow.borrow().entries_made;
        let bytes = entry(index);
        let sequence = loop {
            match rig.log.append(bytes.len(), |out| out.copy_from_slice(&bytes)) {
                Ok(sequence) => break sequence,
                Err(AppendError::Busy) => step(rig).await?,
                Err(AppendError::Failed) => {
                    return Err(rig.log.failure().expect("it says why").clone());
                }
                Err(error) => panic!("{error}"),
            }
        };
        rig.note_appended(sequence, bytes);
        if rig.env.random().is_multiple_of(3) {
            step(rig).await?;
        }
        if rig.env.random().is_multiple_of(10) {
            rig.flush();
        }
    }
    Ok(())
}

async fn step(rig: &mut Rig) -> Result<(), LogFailure> {
    rig.log.commit();
    match rig.log.failure() {
        Some(failure) => Err(failure.clone()),
        None => rig.step().await,
    }
}

#[test]
fn after_an_error_nothing_is_acknowledged_and_what_was_survives() {
    for on in [Io::Write, Io::Sync, Io::SyncDir, Io::Name, Io::Size] {
        let mut failures = 0;
        for nth in 1..40 {
            for sticky in [false, true] {
                let (disk, shadow, failure) =
                    run_with(fault(Some(on), nth, sticky, Fail::Eio), nth);
                failures += usize::from(failure.is_some());
                disk.clear_faults();
                for class in Crash::ALL {
                    let shadow = Rc::new(RefCell::new(shadow.clone()));
                    let after = disk.crash(class, nth);
                    assert!(go_on(&after, &config(Durability::Sync), nth, 2, &shadow));
                }
            }
        }
        assert!(failures > 0, "no fault struck: {on:?}");
    }
}

#[test]
fn short_writes_are_written_on() {
    for nth in 1..12 {
        let (disk, shadow, failure) =
            run_with(fault(Some(Io::Write), nth, false, Fail::Short), nth);
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(shadow.acknowledged, shadow.appended.len());
        let shadow = Rc::new(RefCell::new(shadow));
        let after = disk.crash(Crash::LoseAll, nth);
        assert!(go_on(&after, &config(Durability::Sync), nth, 2, &shadow));
    }
}

#[test]
fn a_disk_that_takes_nothing_is_given_up() {
    let config = LogConfig { batch_bytes_max: 4096, ..config(Durability::Sync) };
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut log, ..) = open(&env, config, Sequence(0)).await.unwrap();
        disk.inject(fault(Some(Io::Write), 1, true, Fail::Short));
        log.append(8, |out| out.fill(1)).unwrap();
        let failure = loop {
            log.commit();
            env.parked().await;
            let mut done = Vec::new();
            env.poll(&mut done);
            if let Some(Err(failure)) = done.pop().map(|done| log.complete(done).map(|_| ())) {
                break failure;
            }
        };
        assert_eq!(failure.source.kind(), std::io::ErrorKind::WriteZero);
    });
}

#[test]
fn a_full_disk_refuses_appends_and_recovers_without_a_restart() {
    let config = config(Durability::Sync);
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let (sim, disk) = (Sim::new(2), SimDisk::new(2));
    let env = sim.env(&disk);
    disk.set_capacity(2 * SEGMENT_BYTES + SEGMENT_BYTES / 2);
    sim.block_on(async {
        let mut rig = Rig::open(&env, config.clone(), &shadow).await;
        let refused = loop {
            let bytes = entry(rig.shadow.borrow().entries_made);
            match rig.log.append(bytes.len(), |out| out.copy_from_slice(&bytes)) {
                Ok(sequence) => rig.note_appended(sequence, bytes),
                Err(AppendError::Busy) => rig.step().await.unwrap(),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, AppendError::DiskFull);
        // All that was taken is written nevertheless.
        rig.settle().await.unwrap();
        let taken = rig.shadow.borrow().appended.len();
        assert_eq!(rig.shadow.borrow().acknowledged, taken);
        assert_eq!(rig.log.append(8000, |_| ()), Err(AppendError::DiskFull));
        disk.set_capacity(1 << 30);
        env.sleep_us(200_000).await;
        rig.append().await.unwrap();
        rig.settle().await.unwrap();
        assert_eq!(rig.shadow.borrow().acknowledged, taken + 1);
    });
    assert!(go_on(&disk.crash(Crash::LoseAll, 0), &config, 3, 3, &shadow));
}

/// A flush gives back segments of a log that stands still for want of space.
#[test]
fn flushing_is_enough_to_recover_from_a_full_disk() {
    let config = config(Durability::Sync);
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let (sim, disk) = (Sim::new(4), SimDisk::new(4));
    let env = sim.env(&disk);
    disk.set_capacity(2 * SEGMENT_BYTES + SEGMENT_BYTES / 8);
    sim.block_on(async {
        let mut rig = Rig::open(&env, config.clone(), &shadow).await;
        let max = config.batch_bytes_max - 52;
        let mut refused = 0;
        for _ in 0..400 {
            match rig.log.append(max, |out| out.fill(1)) {
                Ok(sequence) => rig.note_appended(sequence, vec![1; max]),
                Err(AppendError::DiskFull) => {
                    refused += 1;
                    while rig.shadow.borrow().acknowledged < rig.shadow.borrow().appended.len() {
                        rig.step().await.unwrap();
                    }
                    rig.flush();
                    rig.log.commit();
                    env.sleep_us(200_000).await;
                }
                Err(AppendError::Busy) => rig.step().await.unwrap(),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 3, "the disk was full {refused} times");
        rig.settle().await.unwrap();
    });
    let after = disk.crash(Crash::LoseAll, 0);
    after.set_capacity(1 << 30);
    assert!(go_on(&after, &config, 5, 1, &shadow));
}

/// A segment was renamed, and there was no space to make that durable. The next try renamed it from
/// the name that it did not have any more, which failed the log for good.
#[test]
fn a_segment_whose_name_is_not_durable_for_want_of_space_is_tried_again() {
    for nth in 1..6 {
        let shadow = Rc::new(RefCell::new(Shadow::default()));
        let (sim, disk) = (Sim::new(nth), SimDisk::new(nth));
        let env = sim.env(&disk);
        sim.block_on(async {
            let mut rig = Rig::open(&env, config(Durability::Sync), &shadow).await;
            disk.inject(fault(Some(Io::SyncDir), nth, false, Fail::Enospc));
            for index in 1..200 {
                let bytes = entry(index);
                loop {
                    match rig.log.append(bytes.len(), |out| out.copy_from_slice(&bytes)) {
                        Ok(sequence) => break rig.note_appended(sequence, bytes),
                        Err(AppendError::Busy) => step(&mut rig).await.unwrap(),
                        Err(AppendError::DiskFull) => env.sleep_us(200_000).await,
                        Err(error) => panic!("{error}"),
                    }
                }
                if index % 10 == 0 {
                    rig.flush();
                }
            }
            rig.settle().await.unwrap();
        });
        let after = disk.crash(Crash::LoseAll, nth);
        assert!(go_on(&after, &config(Durability::Sync), nth, 3, &shadow));
    }
}

#[test]
fn a_log_opens_on_a_full_disk_and_gives_what_it_has() {
    let config = config(Durability::Sync);
    let disk = SimDisk::new(6);
    let shadow = Rc::new(RefCell::new(run(&disk, &config, 6, 10)));
    // Nothing to recycle, and no space.
    for path in disk.paths() {
        if disk.bytes(&path).unwrap().iter().all(|&byte| byte == 0) {
            disk.remove(&path);
        }
    }
    let disk = disk.crash(Crash::LoseAll, 0);
    disk.set_capacity(0);
    let sim = Sim::new(7);
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut rig = Rig::open(&env, config.clone(), &shadow).await;
        assert_eq!(rig.log.append(8, |_| ()), Err(AppendError::DiskFull));
        disk.set_capacity(1 << 30);
        env.sleep_us(200_000).await;
        rig.append().await.unwrap();
        rig.settle().await.unwrap();
    });
}

/// A start on a full disk failed for want of a manifest: segments that did not fit had taken what
/// there was, again and again, while it was needed.
#[test]
fn a_segment_that_does_not_fit_takes_nothing_from_others() {
    for left in [SEGMENT_BYTES / 2, SEGMENT_BYTES] {
        let (sim, disk) = (Sim::new(7), SimDisk::new(6));
        let env = sim.env(&disk);
        disk.set_capacity(left);
        sim.block_on(async {
            let mut rig = Rig::open(&env, config(Durability::Sync), &Rc::default()).await;
            for _ in 0..3000 {
                assert_eq!(rig.log.append(8, |_| ()), Err(AppendError::DiskFull));
                assert_eq!(disk.space().available, left);
                env.sleep_us(100).await;
            }
        });
    }
}

#[test]
fn a_start_that_fails_can_be_tried_again() {
    let config = config(Durability::Sync);
    let disk = SimDisk::new(8);
    let shadow = run(&disk, &config, 8, 24);
    let mut failed = 0;
    for nth in 1..40 {
        for class in Crash::ALL {
            let disk = disk.crash(class, nth);
            disk.inject(fault(None, nth, false, Fail::Eio));
            let sim = Sim::new(nth);
            let env = sim.env(&disk);
            sim.block_on(async {
                if let Err(error) = open(&env, config.clone(), shadow.flushed).await {
                    assert!(matches!(error, LogError::Io { .. }), "{error}");
                    failed += 1;
                }
            });
            disk.clear_faults();
            let shadow = Rc::new(RefCell::new(shadow.clone()));
            assert!(go_on(&disk.crash(Crash::LoseAll, nth), &config, nth, 2, &shadow));
        }
    }
    assert!(failed > 20, "faults struck: {failed}");
}
