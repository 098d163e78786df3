//! Power cuts: at every sync of the log, of flushes, of the manifest and of compactions, with
//! every class of what a cut leaves of unsynced sectors and names; and again during recovery.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Crash, Sim, SimDisk, When};
use engine::store::{Durability, Failure, StoreConfig};

use crate::harness::{Client, DIR, KEYS, Ledger, Write, check_disk, simulate, small_config};

/// A small workload with everything in it: overwrites, deletes, expiry, large values, flushes,
/// compactions, restarts.
#[derive(Clone, Copy, Debug)]
struct Workload {
    seed: u64,
    durability: Durability,
    writes: usize,
    /// Whether it ends with a clean stop.
    closes: bool,
}

impl Workload {
    fn config(&self) -> StoreConfig {
        let mut config = small_config();
        config.log.durability = self.durability;
        config
    }

    /// Runs the workload on `disk` until it ends or the power does.
    fn run(&self, disk: &SimDisk) -> Ledger {
        let sim = Sim::new(self.seed);
        let env = sim.env(disk);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let work = async {
            let opened = Client::open(&env, self.config(), &ledger).await;
            let (mut client, _) = opened.expect("an empty disk opens");
            self.work(&mut client).await.expect("no I/O fails");
            if self.closes {
                client.store.close().await.expect("no I/O fails");
            }
        };
        sim.run(work);
        drop(sim);
        Rc::into_inner(ledger).expect("the simulation is over").into_inner()
    }

    async fn work(&self, client: &mut Client) -> Result<(), Failure> {
        let mut rng = fastrand::Rng::with_seed(self.seed);
        for index in 0..self.writes {
            let key = rng.u32(..KEYS);
            let mut write = match rng.u32(..20) {
                0..4 => Write::delete(key, index),
                4 => Write::put(key, index, 6000),
                _ => Write::put(key, index, rng.usize(..400)),
            };
            if rng.u32(..8) == 0 {
                write.expires_at_ms = client.env.wall_ms() + rng.u64(..30);
            }
            client.write_until_taken(write).await?;
            match rng.u32(..10) {
                0..3 => client.settle().await?,
                3..6 => client.round().await?,
                6 => client.store.flush().await.expect("no I/O fails"),
                _ => {}
            }
            if rng.u32(..4) == 0 {
                client.check_read(rng.u32(..KEYS)).await;
            }
        }
        client.settle().await
    }
}

/// What came of a sweep.
#[derive(Default, Debug)]
struct Swept {
    cases: u64,
    failures: Vec<String>,
}

impl Swept {
    fn check(&mut self, case: &str, workload: &Workload, disk: &SimDisk, ledger: &Ledger) {
        self.cases += 1;
        let checked = check_disk(disk, self.cases, &workload.config(), ledger);
        if let Err(wrong) = checked {
            self.failures.push(format!("{workload:?}, {case}: {wrong}"));
        }
    }
}

/// Cuts the power of `workload` at every `step`-th sync, on both sides of it.
fn sweep(workload: &Workload, classes: &[Crash], step: usize) -> Swept {
    let whole = SimDisk::new(workload.seed);
    workload.run(&whole);
    let mut swept = Swept::default();
    for sync in (1..=whole.syncs()).step_by(step) {
        for when in [When::Before, When::After] {
            let disk = SimDisk::new(workload.seed);
            disk.crash_at_sync(sync, when);
            let ledger = workload.run(&disk);
            for &class in classes {
                let case = format!("{when:?} sync {sync}, {class:?}");
                let left = disk.crash(class, sync);
                swept.check(&case, workload, &left, &ledger);
            }
        }
    }
    swept
}

fn workloads() -> impl Iterator<Item = Workload> {
    (1..=WORKLOADS).map(|seed| Workload {
        seed,
        durability: Durability::Sync,
        writes: 40,
        closes: seed % 2 == 0,
    })
}

const WORKLOADS: u64 = 8;

/// As many cases as the test promises, however syncs come and go with the engine.
const CASES_MIN: u64 = 5_000;

#[test]
fn no_acknowledged_write_is_lost_at_any_sync() {
    let (mut cases, mut failures) = (0, Vec::new());
    for workload in workloads() {
        let swept = sweep(&workload, &Crash::ALL, 1);
        cases += swept.cases;
        failures.extend(swept.failures);
    }
    assert!(failures.is_empty(), "{} of {cases}: {:#?}", failures.len(), &failures[..1]);
    assert!(cases >= CASES_MIN, "{cases} cases");
    println!("{cases} power cuts");
}

/// The power goes a second time, at every sync of the recovery from the first time.
#[test]
fn a_recovery_can_be_recovered_from() {
    let mut swept = Swept::default();
    for workload in workloads().take(4) {
        let whole = SimDisk::new(workload.seed);
        workload.run(&whole);
        for sync in (1..=whole.syncs()).step_by(5) {
            let disk = SimDisk::new(workload.seed);
            disk.crash_at_sync(sync, When::After);
            let ledger = workload.run(&disk);
            let first = Crash::ALL[sync as usize % Crash::ALL.len()];
            recover_and_cut(&mut swept, &workload, &disk.crash(first, sync), &ledger);
        }
    }
    assert!(swept.failures.is_empty(), "{:#?}", &swept.failures[..1]);
    assert!(swept.cases >= 500, "{} cases", swept.cases);
    println!("{} power cuts in recoveries", swept.cases);
}

fn recover_and_cut(swept: &mut Swept, workload: &Workload, disk: &SimDisk, ledger: &Ledger) {
    let whole = disk.crash(Crash::KeepAll, 0);
    open_and_flush(workload, &whole, ledger);
    for sync in 1..=whole.syncs() {
        let again = disk.crash(Crash::KeepAll, 0);
        again.crash_at_sync(sync, When::Before);
        open_and_flush(workload, &again, ledger);
        for class in [Crash::LoseAll, Crash::Random, Crash::Torn] {
            let case = format!("again before sync {sync} of the recovery, {class:?}");
            swept.check(&case, workload, &again.crash(class, sync), ledger);
        }
    }
}

fn open_and_flush(workload: &Workload, disk: &SimDisk, ledger: &Ledger) {
    let (sim, env) = simulate(workload.seed, disk, ledger);
    let nothing = Rc::default();
    sim.run(async {
        let (mut client, _) =
            Client::open(&env, workload.config(), &nothing).await.expect("it opens");
        client.store.flush().await.expect("no I/O fails");
    });
}

/// A start that was killed between making the store's directory and its sync left a directory that
/// was there for the next start, and gone, with all in it, after a power cut.
#[test]
fn a_directory_that_an_earlier_start_made_is_durable() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    sim.block_on(async {
        env.create_dir(DIR).await.unwrap();
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        client.write(Write::put(1, 0, 100)).unwrap();
        client.settle().await.unwrap();
    });
    let left = disk.crash(Crash::LoseAll, 1);
    assert_eq!(check_disk(&left, 1, &small_config(), &ledger.borrow()), Ok(()));
}

/// A process was killed when its last edit of the manifest was written and not synced. The next
/// start read it, removed the tables that it drops and recycled the log that it says is flushed; a
/// power cut brought back the manifest that needs them.
#[test]
fn a_start_after_a_kill_makes_durable_what_it_acts_on() {
    let manifest = format!("{DIR}/MANIFEST");
    let mut swept = Swept::default();
    for workload in workloads().take(3) {
        let disk = SimDisk::new(workload.seed);
        let (in_doubt, manifest) = (Rc::new(RefCell::new(Vec::new())), manifest.clone());
        let noted = Rc::clone(&in_doubt);
        disk.watch(move |disk, _, when| {
            let on_disk = disk.crash(Crash::LoseAll, 0).bytes(&manifest);
            if when == When::After && disk.bytes(&manifest) != on_disk {
                noted.borrow_mut().push((disk.fork(), disk.ios()));
            }
        });
        workload.run(&disk);
        for (killed, io) in in_doubt.take().into_iter().step_by(4) {
            killed.end_process(io);
            // What was acknowledged by then is in a prefix; which is not what is asked here.
            let mut ledger = workload.run(&SimDisk::new(workload.seed));
            ledger.acknowledged = 0;
            let moments = Rc::new(RefCell::new(Vec::new()));
            let noted = Rc::clone(&moments);
            killed.watch(move |disk, _, when| {
                if when == When::Before {
                    noted.borrow_mut().push(disk.crash(Crash::ZeroFilled, io));
                }
            });
            open_and_flush(&workload, &killed, &ledger);
            for left in moments.take().iter().step_by(3) {
                let case = format!("killed at operation {io}");
                swept.check(&case, &workload, left, &ledger);
            }
        }
    }
    assert!(swept.failures.is_empty(), "{:#?}", &swept.failures[..1]);
    assert!(swept.cases >= 300, "{} cases", swept.cases);
}

/// A table that a crash left unnamed was removed, and the next one had its id: the sum of a block
/// knows its file by its id, so what the disk kept of the one would have passed for the other.
#[test]
fn no_file_id_is_given_twice() {
    let (mut unnamed, mut given) = (0, 0);
    for workload in workloads().take(4) {
        let whole = SimDisk::new(workload.seed);
        workload.run(&whole);
        for sync in (1..=whole.syncs()).step_by(3) {
            let disk = SimDisk::new(workload.seed);
            disk.crash_at_sync(sync, When::Before);
            let ledger = workload.run(&disk);
            let first_life = file_ids(&disk);
            let disk = disk.crash(Crash::ALL[sync as usize % Crash::ALL.len()], sync);
            let (kept, second_life) = next_life(&workload, &disk, &ledger);
            unnamed += first_life.difference(&kept).count();
            given += second_life.difference(&kept).count();
            let new = &second_life - &kept;
            let twice: Vec<_> = new.intersection(&first_life).collect();
            assert!(twice.is_empty(), "{workload:?}, before sync {sync}: {twice:?}");
        }
    }
    assert!(unnamed > 20 && given > 100, "{unnamed} files without a name, {given} new ones");
}

/// Opens the store of `disk` and writes to it. Says which file ids there were in the beginning, and
/// which in the end.
fn next_life(
    workload: &Workload,
    disk: &SimDisk,
    ledger: &Ledger,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (sim, env) = simulate(workload.seed, disk, ledger);
    sim.block_on(async {
        let opened = Client::open(&env, workload.config(), &Rc::default()).await;
        let (mut client, _) = opened.expect("it opens");
        let kept = file_ids(disk);
        for key in 0..KEYS {
            let write = Write::put(key, client.taken(), 2000);
            client.write_until_taken(write).await.expect("no I/O fails");
        }
        client.settle().await.expect("no I/O fails");
        client.store.flush().await.expect("no I/O fails");
        (kept, file_ids(disk))
    })
}

/// Of tables whole and unfinished.
fn file_ids(disk: &SimDisk) -> BTreeSet<String> {
    let paths = disk.paths();
    let ids = paths.iter().filter_map(|path| Some(path.split_once(".sst")?.0.to_owned()));
    ids.collect()
}

/// What the log has not synced may be lost under `periodic` and `none`, but only from the end.
#[test]
fn weaker_durability_loses_nothing_but_the_end() {
    for durability in [Durability::Periodic { interval_us: 3_000 }, Durability::None] {
        let workload = Workload { seed: 5, durability, writes: 24, closes: false };
        let whole = SimDisk::new(workload.seed);
        workload.run(&whole);
        let mut swept = Swept::default();
        for io in (1..=whole.ios()).step_by(4) {
            let disk = SimDisk::new(workload.seed);
            disk.crash_at_io(io, When::Before);
            let mut ledger = workload.run(&disk);
            ledger.acknowledged = 0;
            for class in Crash::ALL {
                let case = format!("before operation {io}, {class:?}");
                swept.check(&case, &workload, &disk.crash(class, io), &ledger);
            }
        }
        assert!(swept.failures.is_empty(), "{:#?}", &swept.failures[..1]);
        assert!(swept.cases >= 100, "{} cases", swept.cases);
    }
}

/// The check can fail: a store that acknowledges before the sync is found out.
#[test]
fn acknowledging_before_the_sync_is_caught() {
    let workload = Workload { seed: 1, durability: Durability::None, writes: 24, closes: false };
    let swept = sweep(&workload, &[Crash::LoseAll], 1);
    assert!(!swept.failures.is_empty(), "{} cases, and nothing was found", swept.cases);
}
