//! Every operation fails once, or from then on, in every way: answers stay right, what is
//! acknowledged stays, and when the disk works again, so does the store, unless its log failed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use engine::env::sim::{Crash, Fail, Fault, Io, Sim, SimDisk};
use engine::env::{Class, Env};
use engine::store::StoreConfig;

use crate::harness::{Client, KEYS, Ledger, Write, check_disk, small_config};

const WRITES: usize = 30;

/// Virtual microseconds in which a store closes, whatever fails: many times what it takes.
const CLOSE_US: u64 = 20_000_000;

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The store did not open.
    NotOpened,
    /// The store failed, and said so.
    Failed,
    /// All is well.
    Well,
}

struct Run {
    end: End,
    ledger: Ledger,
    ios: u64,
}

/// Runs a workload on `disk`, with `fault` from the start; it ends `WRITES` writes later.
fn run(disk: &SimDisk, config: &StoreConfig, fault: Option<Fault>) -> Run {
    let sim = Sim::new(3);
    let env = sim.env(disk);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let sticky = fault.as_ref().is_some_and(|fault| fault.sticky);
    if let Some(fault) = fault {
        disk.inject(fault);
    }
    let end = sim.block_on(async {
        let Ok((mut client, _)) = Client::open(&env, config.clone(), &ledger).await else {
            return End::NotOpened;
        };
        if work(&mut client, if sticky { WRITES / 2 } else { WRITES }).await.is_err() {
            return End::Failed;
        }
        // From here on the disk works, and so must the store.
        disk.clear_faults();
        if sticky && work(&mut client, WRITES / 2).await.is_err() {
            return End::Failed;
        }
        if client.settle().await.is_err() || client.store.flush().await.is_err() {
            return End::Failed;
        }
        let all = client.taken();
        assert_eq!(client.check_recovered().await, Ok(all));
        End::Well
    });
    drop(sim);
    let ledger = Rc::into_inner(ledger).expect("the simulation is over").into_inner();
    Run { end, ledger, ios: disk.ios() }
}

async fn work(client: &mut Client, writes: usize) -> Result<(), engine::store::Failure> {
    let mut rng = fastrand::Rng::with_seed(client.taken() as u64);
    for _ in 0..writes {
        let (index, key) = (client.taken(), rng.u32(..KEYS));
        let write = match rng.u32(..5) {
            0 => Write::delete(key, index),
            1 => Write::put(key, index, 5000),
            _ => Write::put(key, index, rng.usize(..800)),
        };
        // On a disk that is full for long, the write after it is tried.
        let _refused = client.write(write);
        client.round().await?;
        client.check_read(rng.u32(..KEYS)).await;
    }
    Ok(())
}

/// Fails the `nth` operation, for each of them, and from it on. Returns how each run ended.
fn sweep(on: Option<Io>, how: Fail, sticky: bool) -> Vec<End> {
    let config = small_config();
    let whole = run(&SimDisk::new(3), &config, None);
    assert_eq!(whole.end, End::Well);
    let mut ends = Vec::new();
    for nth in 1..=whole.ios {
        let disk = SimDisk::new(nth);
        let fault = Fault { on, path: String::new(), nth, sticky, how };
        let Run { end, ledger, .. } = run(&disk, &config, Some(fault));
        disk.clear_faults();
        // What a failed sync was to cover may be lost: that is why the log does not go on.
        for class in [Crash::KeepAll, Crash::LoseAll, Crash::Random] {
            let left = disk.crash(class, nth);
            let checked = check_disk(&left, nth, &config, &ledger);
            checked.unwrap_or_else(|wrong| {
                panic!("operation {nth}, {how:?}, sticky {sticky}, {end:?}, {class:?}: {wrong}")
            });
        }
        ends.push(end);
    }
    ends
}

fn count(ends: &[End], end: End) -> usize {
    ends.iter().filter(|&&it| it == end).count()
}

#[test]
fn one_error_is_survived_or_ends_the_store() {
    let ends = sweep(None, Fail::Eio, false);
    assert!(count(&ends, End::Well) > ends.len() / 3, "flushes and compactions are tried again");
    assert!(count(&ends, End::Failed) > 10, "an error of the log is for ever");
    assert!(count(&ends, End::NotOpened) > 2, "{} runs", ends.len());
}

#[test]
fn a_disk_that_stays_broken_is_not_lied_about() {
    let ends = sweep(None, Fail::Eio, true);
    assert!(count(&ends, End::Failed) > 10, "{} runs", ends.len());
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    for sticky in [false, true] {
        let ends = sweep(None, Fail::Enospc, sticky);
        assert!(count(&ends, End::Well) > 10, "{} runs, sticky {sticky}", ends.len());
    }
}

#[test]
fn short_transfers_are_gone_on_with() {
    for on in [Io::Read, Io::Write] {
        let ends = sweep(Some(on), Fail::Short, false);
        assert_eq!(count(&ends, End::Well), ends.len(), "{on:?}");
    }
}

/// A tick found that a segment could not be made. The core, which is to be told by the next poll,
/// parked before it, and clients waited for as long as nothing else happened.
#[test]
fn a_core_that_parks_is_told_of_a_failure_that_a_tick_found() {
    let mut config = small_config();
    config.memtable_bytes = 128 << 10; // nothing is flushed
    for seed in 0..10 {
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        sim.block_on(async {
            let opened = Client::open(&env, config.clone(), &Rc::default()).await;
            let mut client = opened.expect("the disk works").0;
            let (on, path) = (Some(Io::Sync), "segment.tmp".to_owned());
            disk.inject(Fault { on, path, nth: 1, sticky: true, how: Fail::Eio });
            // More than half of the segment: the next one is made.
            for key in 0..2 {
                client.write(Write::put(key, client.taken(), 20_000)).expect("there is room");
            }
            let start_us = env.monotonic_us();
            loop {
                client.store.tick();
                if client.store.idle() {
                    env.parked().await;
                }
                if client.poll().is_err() {
                    break;
                }
            }
            let waited_us = env.monotonic_us() - start_us;
            assert!(waited_us < 50_000, "seed {seed}: {waited_us} us");
        });
    }
}

/// Works, with `fault` for the second half of it, and closes the store. `None`: that has no end.
fn close_with(seed: u64, fault: Fault) -> Option<End> {
    let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
    let env = sim.env(&disk);
    sim.block_on(async {
        let opened = Client::open(&env, small_config(), &Rc::default()).await;
        let mut client = opened.expect("the disk works").0;
        work(&mut client, WRITES).await.expect("the disk works");
        disk.inject(fault);
        let worked = work(&mut client, WRITES).await;
        let closed = Rc::new(Cell::new(None));
        let told = Rc::clone(&closed);
        env.spawn(Class::Idle, async move { told.set(Some(client.store.close().await.is_ok())) });
        let give_up_us = env.monotonic_us() + CLOSE_US;
        while closed.get().is_none() && env.monotonic_us() < give_up_us {
            env.sleep_us(1000).await;
        }
        let is_well = closed.get()? && worked.is_ok();
        Some(if is_well { End::Well } else { End::Failed })
    })
}

/// A commit of the manifest failed, and a compaction's change waited behind it: with the store told
/// to stop the commit was not tried again, the change never committed, and the end of the
/// compaction waited for without end.
#[test]
fn a_close_ends_whatever_fails() {
    for (path, most) in [("MANIFEST", 40), ("", 200)] {
        let mut ends = Vec::new();
        for nth in 1..=most {
            for sticky in [false, true] {
                let fault = Fault { on: None, path: path.to_owned(), nth, sticky, how: Fail::Eio };
                let end = close_with(nth, fault);
                ends.push(end.unwrap_or_else(|| panic!("{path} {nth}, sticky {sticky}: no end")));
            }
        }
        assert!(count(&ends, End::Well) > 20, "{path}");
        assert!(path == "MANIFEST" || count(&ends, End::Failed) > 20, "{path}");
    }
}

/// Each try of a flush takes the number of a file, and numbers have to be durable before: more are
/// committed when few are left, and without any no job begins.
#[test]
fn flushes_that_fail_do_not_run_out_of_file_numbers() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        let refuse = |path: &str| {
            let (path, how) = (path.to_owned(), Fail::Eio);
            disk.inject(Fault { on: Some(Io::Write), path, nth: 1, sticky: true, how });
        };
        refuse(".sst");
        refuse("MANIFEST");
        for key in 0..KEYS {
            client.write(Write::put(key, client.taken(), 2000)).unwrap();
        }
        client.settle().await.unwrap();
        let five_minutes = async |client: &mut Client| {
            for _ in 0..30_000 {
                client.env.sleep_us(10_000).await;
                client.round().await.unwrap();
            }
            client.store.stats().flush_errors
        };
        let without = five_minutes(&mut client).await;
        assert!((40..64).contains(&without), "{without} failures without the manifest");
        assert_eq!(five_minutes(&mut client).await, without, "it waits for numbers");
        disk.clear_faults();
        refuse(".sst");
        let with = five_minutes(&mut client).await;
        assert!(with > without + 64, "{with} failures with the manifest");
        disk.clear_faults();
        client.store.flush().await.unwrap();
        assert!(client.store.stats().flushes > 0);
        client.check_recovered().await.unwrap();
    });
}
