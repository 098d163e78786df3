//! The power goes at every operation, and the disk keeps, loses and tears what it likes.

use super::rig::*;
use crate::env::sim::{Crash, When};

const ENTRIES: usize = 60;

/// From the state that a cut left: reopen, check, append, cut again at some operation, check.
fn lives(disk: &SimDisk, config: &LogConfig, shadow: &Shadow, class: Crash, seed: u64) {
    let shadow = Rc::new(RefCell::new(shadow.clone()));
    let second = disk.crash(class, seed);
    second.crash_at_io(10 + seed * 7 % 40, When::Before);
    go_on(&second, config, seed, 6, &shadow);
    let third = second.crash(class, seed + 1);
    assert!(go_on(&third, config, seed + 1, 2, &shadow), "nothing cuts it");
    let all = third.crash(Crash::LoseAll, seed);
    assert!(go_on(&all, config, seed + 2, 0, &shadow), "nothing was lost that was settled");
}

fn cut_everywhere(durability: Durability, seeds: std::ops::Range<u64>) -> usize {
    let config = config(durability);
    let mut cases = 0;
    for seed in seeds {
        let whole = SimDisk::new(seed);
        run(&whole, &config, seed, ENTRIES);
        for nth in 1..=whole.ios() {
            let when = if (nth + seed).is_multiple_of(2) { When::Before } else { When::After };
            let disk = SimDisk::new(seed);
            disk.crash_at_io(nth, when);
            let shadow = run(&disk, &config, seed, ENTRIES);
            assert!(disk.is_dead(), "one seed is one run");
            for class in Crash::ALL {
                lives(&disk, &config, &shadow, class, nth);
                cases += 1;
            }
        }
    }
    cases
}

#[test]
fn synced_entries_survive_a_cut_at_any_operation() {
    assert!(cut_everywhere(Durability::Sync, 0..6) > 3000);
}

#[test]
fn periodic_entries_survive_up_to_the_last_sync() {
    assert!(cut_everywhere(Durability::Periodic { interval_us: 500 }, 10..13) > 1000);
}

#[test]
fn unsynced_entries_are_lost_from_some_point_on() {
    assert!(cut_everywhere(Durability::None, 20..23) > 1000);
}

/// Every sync on both of its sides, for the log that promises the most.
#[test]
fn a_cut_before_and_after_every_sync() {
    let config = config(Durability::Sync);
    let whole = SimDisk::new(30);
    run(&whole, &config, 30, ENTRIES);
    for nth in 1..=whole.syncs() {
        for when in [When::Before, When::After] {
            let disk = SimDisk::new(30);
            disk.crash_at_sync(nth, when);
            let shadow = run(&disk, &config, 30, ENTRIES);
            for class in Crash::ALL {
                lives(&disk, &config, &shadow, class, nth);
            }
        }
    }
}

/// A kill takes nothing from the disk, so the next process reads what was never synced. It acts on
/// it, so it may not be lost any more, whenever the power goes after that.
#[test]
fn what_a_start_has_seen_is_durable() {
    for durability in [Durability::Sync, Durability::None] {
        let config = config(durability);
        for seed in 50..150 {
            let shadow = Rc::new(RefCell::new(Shadow::default()));
            let disk = SimDisk::new(seed);
            let sim = Sim::new(seed);
            let env = sim.env(&disk);
            sim.block_on(async {
                let mut rig = Rig::open(&env, config.clone(), &shadow).await;
                work(&mut rig, (seed % 40) as usize).await.unwrap();
                // What is in flight ends; the log does not hear of it.
                env.sleep_us(10_000).await;
            });
            drop(sim);
            let sim = Sim::new(seed + 1);
            let env = sim.env(&disk);
            sim.block_on(Rig::open(&env, config.clone(), &shadow));
            drop(sim);
            for class in Crash::ALL {
                let shadow = Rc::new(RefCell::new(shadow.borrow().clone()));
                assert!(go_on(&disk.crash(class, seed), &config, seed, 3, &shadow));
            }
        }
    }
}

/// A process is killed with a write in flight. The next one finds no trace of it, drops it and
/// goes on; then the kernel gets the write to the disk. A log that scanned on wherever a batch is
/// valid would bring the dropped entry back, in front of what was acknowledged since.
#[test]
fn a_batch_that_reaches_the_disk_late_does_not_come_back() {
    let config = config(Durability::Sync);
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let (sim, disk) = (Sim::new(40), SimDisk::new(40));
    let env = sim.env(&disk);
    let at_the_kill = sim.block_on(async {
        let mut rig = Rig::open(&env, config.clone(), &shadow).await;
        for sequence in 1..=3 {
            rig.append().await.unwrap();
            rig.log.commit();
            rig.until_durable(Sequence(sequence)).await;
        }
        let at_the_kill = (disk.crash(Crash::LoseAll, 0), shadow.borrow().clone());
        rig.append().await.unwrap();
        rig.log.commit();
        rig.until_durable(Sequence(4)).await;
        at_the_kill
    });
    let (found, shadow) = (at_the_kill.0, Rc::new(RefCell::new(at_the_kill.1)));
    shadow.borrow_mut().entries_made = 100;
    assert!(go_on(&found, &config, 41, 1, &shadow));
    let old = found.paths().into_iter().find(|path| disk.bytes(path) != found.bytes(path));
    let old = old.expect("the segment of the first life");
    found.put(&old, &disk.bytes(&old).unwrap());
    assert!(go_on(&found, &config, 42, 1, &shadow));
    assert_eq!(shadow.borrow().appended.len(), 5);
}
