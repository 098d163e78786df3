//! Snapshots: they have what was acknowledged when they were asked for, whatever goes on beside
//! them and whenever the power goes, and no damaged byte of one passes.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::rc::Rc;

use engine::data_dir::{self, NewNode};
use engine::env::Env as _;
use engine::env::sim::{Crash, Fail, Fault, Sim, SimDisk, SimEnv, When};
use engine::inspect::{SnapshotVerified, verify_snapshot};
use engine::record::{Kind, lww};
use engine::snapshot::{
    Begun, SNAPSHOTS_DIR, SnapshotError, SnapshotHead, SnapshotName, SnapshotReader, State, list,
};
use engine::store::{Durability, SnapshotDone, SnapshotRefused, SnapshotStep};
use schemas::ids::{ClusterId, NodeId, VnodeBits};

use crate::harness::{
    Client, KEYS, Ledger, Write, check_disk, number_of, simulate, small_config, token_of,
};
use crate::ledger::Shown;

fn name(text: &str) -> SnapshotName {
    SnapshotName::new(text).unwrap()
}

fn dir(name: &str) -> String {
    format!("{SNAPSHOTS_DIR}/{name}")
}

/// A node of one shard: what a snapshot says whose it is.
async fn open_node(env: &SimEnv) {
    let new = NewNode {
        node: NodeId(NonZeroU64::MIN),
        cluster: ClusterId(6),
        cluster_name: "shop".to_owned(),
        seed: 7,
        vnodes: VnodeBits::DEFAULT,
        shards: 1,
    };
    data_dir::open(env, &new).await.unwrap();
}

async fn begin(client: &mut Client, text: &str) -> Result<Begun, SnapshotError> {
    match client.snapshot(SnapshotStep::Begin(name(text))).await.unwrap()? {
        SnapshotDone::Begun(begun) => Ok(begun),
        other => panic!("{other:?}"),
    }
}

/// A whole snapshot, with nothing beside it.
async fn take(client: &mut Client, text: &str) -> Result<SnapshotHead, SnapshotError> {
    let begun = begin(client, text).await?;
    client.snapshot(SnapshotStep::Take(name(text), begun)).await.unwrap()?;
    finish(client, text, begun).await
}

async fn finish(
    client: &mut Client,
    text: &str,
    begun: Begun,
) -> Result<SnapshotHead, SnapshotError> {
    match client.snapshot(SnapshotStep::Finish(name(text), begun)).await.unwrap()? {
        SnapshotDone::Finished(head) => Ok(*head),
        other => panic!("{other:?}"),
    }
}

/// What a snapshot has of each key, expired or not.
async fn shown(env: &SimEnv, text: &str) -> Result<Shown, SnapshotError> {
    let reader = SnapshotReader::open(env, &dir(text)).await?;
    let mut shown: Shown = (0..KEYS).map(|key| (key, None)).collect();
    let mut records = reader.records(None, lww).await?;
    while let Some(record) = records.current() {
        let value = (record.kind == Kind::Value).then(|| record.value.to_vec());
        shown.insert(number_of(record.key.bytes.try_into().unwrap()), value);
        records.advance().await?;
    }
    Ok(shown)
}

async fn verified(env: &SimEnv, text: &str) -> SnapshotVerified {
    verify_snapshot(env, &dir(text), lww, None, &mut |_, _| {}).await.unwrap()
}

/// Whether a snapshot has the first so many writes of the ledger, for a number of `counts`.
fn fits(shown: &Shown, ledger: &Ledger, mut counts: RangeInclusive<usize>) -> bool {
    counts.any(|count| ledger.after(count, 0) == *shown)
}

fn some_write(rng: &mut fastrand::Rng, index: usize) -> Write {
    let key = rng.u32(..KEYS);
    let mut write = match rng.u32(..10) {
        0..2 => Write::delete(key, index),
        2 => Write::put(key, index, rng.usize(3000..15_000)),
        _ => Write::put(key, index, rng.usize(..600)),
    };
    if rng.u32(..10) == 0 {
        write.hlc = write.hlc.saturating_sub(rng.u64(..20)); // a write that comes late
    }
    write
}

async fn write_some(client: &mut Client, rng: &mut fastrand::Rng, count: usize) {
    for _ in 0..count {
        let index = client.taken();
        client.write_until_taken(some_write(rng, index)).await.unwrap();
        if rng.u32(..3) == 0 {
            client.round().await.unwrap();
        }
    }
}

/// One life of a store: writes, and snapshots in the midst of them.
async fn live(client: &mut Client, rng: &mut fastrand::Rng) -> BTreeMap<String, Shown> {
    let mut taken = BTreeMap::new();
    for number in 0..4 {
        let text = format!("s{number}");
        let count = rng.usize(..150);
        write_some(client, rng, count).await;
        let begun = begin(client, &text).await.unwrap();
        let acknowledged = client.ledger.borrow().acknowledged;
        let ticket = client.store.snapshot_now(SnapshotStep::Take(name(&text), begun)).unwrap();
        let counts = acknowledged..=client.taken();
        let count = rng.usize(..200);
        write_some(client, rng, count).await;
        client.snapshot_ended(ticket).await.unwrap().unwrap();
        assert!(matches!(shown(&client.env, &text).await, Err(SnapshotError::Incomplete { .. })));
        finish(client, &text, begun).await.unwrap();
        let shown = shown(&client.env, &text).await.unwrap();
        assert!(fits(&shown, &client.ledger.borrow(), counts), "{text} has another state");
        taken.insert(text, shown);
    }
    taken
}

#[test]
fn a_snapshot_has_what_was_acknowledged_whatever_is_written_and_compacted_beside_it() {
    let mut compactions = 0;
    for seed in 1..=12 {
        println!("seed {seed}"); // shown if the test fails
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut config = small_config();
        config.log.durability = match seed % 3 {
            0 => Durability::Periodic { interval_us: 2_000 },
            1 => Durability::None,
            _ => Durability::Sync,
        };
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let taken = sim.block_on(async {
            open_node(&env).await;
            let (mut client, _) = Client::open(&env, config.clone(), &ledger).await.unwrap();
            let taken = live(&mut client, &mut rng).await;
            write_some(&mut client, &mut rng, 300).await;
            compactions += client.store.stats().compactions;
            client.store.close().await.unwrap();
            taken
        });
        drop(sim);
        // After a power cut and another start they are what they were.
        let disk = disk.crash(Crash::LoseAll, seed);
        let sim = Sim::new(seed);
        let env = sim.env(&disk);
        sim.block_on(async {
            open_node(&env).await;
            for (text, before) in &taken {
                assert!(shown(&env, text).await.unwrap() == *before, "{text} has changed");
                let verified = verified(&env, text).await;
                assert_eq!((&verified.findings, &verified.unnamed), (&vec![], &vec![]));
                let keys: u64 = verified.namespaces.values().map(|root| root.digest.keys).sum();
                assert_eq!(keys, before.values().flatten().count() as u64);
            }
            let complete = list(&env).await.unwrap().into_iter().filter(|it| {
                matches!(it.state, State::Complete(_)) && taken.contains_key(it.name.as_str())
            });
            assert_eq!(complete.count(), taken.len());
        });
    }
    assert!(compactions > 50, "{compactions} compactions");
}

#[test]
fn a_snapshot_is_refused_where_it_cannot_be_and_removed_where_it_is_not_wanted() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.space.poll_interval_us = 0;
    sim.block_on(async {
        open_node(&env).await;
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        write_some(&mut client, &mut fastrand::Rng::with_seed(1), 60).await;
        let head = take(&mut client, "a").await.unwrap();
        assert!(head.tables > 0 && head.bytes > 0, "{head:?}");
        assert_eq!(head.node.cluster_name, "shop");
        let again = begin(&mut client, "a").await;
        assert!(matches!(again, Err(SnapshotError::Exists { .. })), "{again:?}");
        let listed = client.snapshot(SnapshotStep::List).await.unwrap().unwrap();
        assert!(matches!(listed, SnapshotDone::Listed(it) if it.len() == 1));
        assert_eq!(client.store.stats().snapshots, 1);

        let begun = begin(&mut client, "b").await.unwrap();
        let step = SnapshotStep::Take(name("b"), begun);
        let ticket = client.store.snapshot_now(step.clone()).unwrap();
        assert_eq!(client.store.snapshot_now(step), Err(SnapshotRefused::Busy));
        client.snapshot_ended(ticket).await.unwrap().unwrap();
        // Its id is not that of the parts.
        let other = Begun { id: begun.id ^ 1, ..begun };
        assert!(matches!(finish(&mut client, "b", other).await, Err(SnapshotError::Corrupt(_))));

        for text in ["a", "b"] {
            client.snapshot(SnapshotStep::Remove(name(text))).await.unwrap().unwrap();
            let again = client.snapshot(SnapshotStep::Remove(name(text))).await.unwrap();
            assert!(matches!(again, Err(SnapshotError::Unknown { .. })), "{again:?}");
        }
        assert!(disk.paths().iter().all(|path| !path.starts_with(SNAPSHOTS_DIR)));

        disk.set_capacity(disk.space().total - disk.space().available + 1);
        client.round().await.unwrap();
        let full = client.store.snapshot_now(SnapshotStep::Begin(name("c")));
        assert_eq!(full, Err(SnapshotRefused::DiskFull));
    });
}

/// What a vnode's drop hides in the tables of a store is hidden in those of a snapshot.
#[test]
fn a_snapshot_has_nothing_of_a_vnode_that_was_dropped() {
    let bits = VnodeBits::new(3).unwrap();
    let mut config = small_config();
    config.vnodes = bits;
    (config.compaction.level0_tables, config.compaction.upper_percent) = (100, 1 << 20);
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        open_node(&env).await;
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        write_some(&mut client, &mut rng, 60).await;
        client.store.flush().await.unwrap();
        client.settle().await.unwrap();
        client.drop_vnodes_of(&[0], bits);
        while client.ledger.borrow().pending_drops().next().is_some() {
            client.round().await.unwrap();
            client.env.sleep_us(100).await;
        }
        let index = client.taken();
        client.write_until_taken(Write::put(0, index, 50)).await.unwrap();
        client.settle().await.unwrap();
        take(&mut client, "a").await.unwrap();
        let reader = SnapshotReader::open(&env, &dir("a")).await.unwrap();
        assert!(!reader.shards()[0].version.holes().is_empty());
        let expected = client.ledger.borrow().after(client.taken(), 0);
        assert!(shown(&env, "a").await.unwrap() == expected);
        let verified = verified(&env, "a").await;
        assert_eq!(verified.findings, []);
        // Another key has the same token.
        let vnode = token_of(0).vnode(VnodeBits::DEFAULT);
        assert_eq!(verified.vnodes[&vnode].digest.keys, 1, "what was written after the drop");
    });
}

/// What a run of the sweep did and was told.
struct Run {
    disk: SimDisk,
    ledger: Ledger,
    /// Operations of the disk before the snapshot was begun.
    first_io: u64,
    /// What was acknowledged when it was asked for, and what was taken.
    counts: RangeInclusive<usize>,
    finished: bool,
    removed: bool,
}

/// Writes, a snapshot in the midst of them, and, if it is not to stay, its removal.
fn run(stays: bool, fault: impl FnOnce(&SimDisk)) -> Run {
    let (sim, disk) = (Sim::new(5), SimDisk::new(5));
    let env = sim.env(&disk);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let (first_io, counts) = (RefCell::new(0), RefCell::new(0..=0));
    let (finished, removed) = (RefCell::new(false), RefCell::new(false));
    sim.run(async {
        open_node(&env).await;
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        let mut rng = fastrand::Rng::with_seed(5);
        write_some(&mut client, &mut rng, 60).await;
        client.settle().await.unwrap();
        *first_io.borrow_mut() = disk.ios();
        fault(&disk);
        let step = async |client: &mut Client, step| client.snapshot(step).await;
        let Some(Ok(SnapshotDone::Begun(begun))) =
            step(&mut client, SnapshotStep::Begin(name("a"))).await
        else {
            return;
        };
        *counts.borrow_mut() = client.ledger.borrow().acknowledged..=client.taken();
        let Ok(ticket) = client.store.snapshot_now(SnapshotStep::Take(name("a"), begun)) else {
            return;
        };
        for _ in 0..10 {
            let index = client.taken();
            if client.write_until_taken(some_write(&mut rng, index)).await.is_err() {
                return;
            }
        }
        let Some(Ok(_)) = client.snapshot_ended(ticket).await else { return };
        let done = step(&mut client, SnapshotStep::Finish(name("a"), begun)).await;
        *finished.borrow_mut() = matches!(done, Some(Ok(_)));
        if stays {
            // What comes next may be cut off as well.
            write_some(&mut client, &mut rng, 3).await;
        } else if *finished.borrow() {
            let done = step(&mut client, SnapshotStep::Remove(name("a"))).await;
            *removed.borrow_mut() = matches!(done, Some(Ok(_)));
        }
    });
    drop(sim);
    let ledger = Rc::into_inner(ledger).unwrap().into_inner();
    let (finished, removed) = (finished.into_inner(), removed.into_inner());
    let (first_io, counts) = (first_io.into_inner(), counts.into_inner());
    Run { disk, ledger, first_io, counts, finished, removed }
}

/// What there is of the snapshot on `disk` is whole or refused; after a start it is whole or gone.
/// Says whether it is there.
fn check_snapshot(disk: &SimDisk, run: &Run, case: &str) -> bool {
    let (sim, env) = simulate(9, disk, &run.ledger);
    sim.block_on(async {
        let found = match shown(&env, "a").await {
            Ok(shown) => {
                assert!(fits(&shown, &run.ledger, run.counts.clone()), "{case}: another state");
                true
            }
            Err(SnapshotError::Incomplete { .. }) => false,
            Err(error) => panic!("{case}: {error}"),
        };
        open_node(&env).await;
        let listed = list(&env).await.unwrap();
        assert_eq!(listed.len(), usize::from(found), "{case}: {listed:?}");
        if found {
            assert_eq!(verified(&env, "a").await.findings, [], "{case}");
        } else {
            let left: Vec<_> =
                disk.paths().into_iter().filter(|it| it.starts_with(SNAPSHOTS_DIR)).collect();
            assert!(left.is_empty(), "{case}: {left:?}");
        }
        found
    })
}

#[test]
fn a_power_cut_at_any_operation_leaves_a_whole_snapshot_or_none_and_the_store_as_it_was() {
    for stays in [true, false] {
        let whole = run(stays, |_| {});
        assert!(whole.finished && whole.removed != stays);
        let mut seen = BTreeSet::new();
        for io in whole.first_io + 1..=whole.disk.ios() {
            for when in [When::Before, When::After] {
                let run = run(stays, |disk| disk.crash_at_io(io, when));
                for class in Crash::ALL {
                    let case = format!("stays {stays}, {when:?} operation {io}, {class:?}");
                    let left = run.disk.crash(class, io);
                    let found = check_snapshot(&left, &run, &case);
                    assert!(found || !run.finished || !stays, "{case}: it was finished");
                    assert!(!found || !run.removed, "{case}: it was removed");
                    seen.insert(found);
                    let checked = check_disk(&left, io, &small_config(), &run.ledger);
                    checked.unwrap_or_else(|wrong| panic!("{case}: {wrong}"));
                }
            }
        }
        assert_eq!(seen.len(), 2, "in some it is there, in some not");
    }
}

#[test]
fn an_operation_that_fails_costs_a_snapshot_and_nothing_else() {
    let whole = run(true, |_| {});
    let mut outcomes = BTreeSet::new();
    for nth in 1..=whole.disk.ios() - whole.first_io {
        for how in [Fail::Eio, Fail::Enospc, Fail::Torn] {
            let path = SNAPSHOTS_DIR.to_owned();
            let fault = Fault { on: None, path, nth, sticky: false, how };
            let run = run(true, |disk| disk.inject(fault));
            let case = format!("{how:?} at operation {nth} on snapshots");
            run.disk.clear_faults();
            run.disk.end_process(nth);
            let found = check_snapshot(&run.disk, &run, &case);
            assert!(found || !run.finished, "{case}: it was finished");
            outcomes.insert(run.finished);
            let checked = check_disk(&run.disk, nth, &small_config(), &run.ledger);
            checked.unwrap_or_else(|wrong| panic!("{case}: {wrong}"));
        }
    }
    assert_eq!(outcomes.len(), 2, "some fail, some come after all");
}

/// A disk that refuses tables for good: the snapshot is given up, not waited for for ever.
#[test]
fn memtables_that_cannot_be_flushed_end_a_snapshot() {
    let (sim, disk) = (Sim::new(2), SimDisk::new(2));
    let env = sim.env(&disk);
    sim.block_on(async {
        open_node(&env).await;
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        client.write_until_taken(Write::put(1, 0, 100)).await.unwrap();
        client.settle().await.unwrap();
        let path = ".sst.tmp".to_owned();
        disk.inject(Fault { on: None, path, nth: 1, sticky: true, how: Fail::Eio });
        let begun = begin(&mut client, "a").await.unwrap();
        let taken = client.snapshot(SnapshotStep::Take(name("a"), begun)).await.unwrap();
        assert!(matches!(taken, Err(SnapshotError::NotFlushed { .. })), "{taken:?}");
        disk.clear_faults();
        client.snapshot(SnapshotStep::Remove(name("a"))).await.unwrap().unwrap();
        take(&mut client, "a").await.unwrap();
        assert_eq!(shown(&env, "a").await.unwrap(), client.ledger.borrow().after(1, 0));
    });
}

/// A sound snapshot of a store with tables of several levels, and the paths of its files.
fn stocked() -> (SimDisk, Vec<String>) {
    let (sim, disk) = (Sim::new(3), SimDisk::new(3));
    let env = sim.env(&disk);
    sim.block_on(async {
        open_node(&env).await;
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        write_some(&mut client, &mut fastrand::Rng::with_seed(3), 120).await;
        take(&mut client, "a").await.unwrap();
        client.store.close().await.unwrap();
    });
    let mut paths = disk.paths();
    paths.retain(|path| path.starts_with(SNAPSHOTS_DIR));
    assert!(paths.len() >= 5, "{paths:?}");
    (disk, paths)
}

/// Verifies; findings that each name a file, or a refusal.
fn findings(disk: &SimDisk) -> Result<Vec<String>, String> {
    let sim = Sim::new(4);
    let env = sim.env(disk);
    sim.block_on(async {
        let verified = verify_snapshot(&env, &dir("a"), lww, None, &mut |_, _| {}).await;
        let verified = verified.map_err(|error| error.to_string())?;
        let is_read = shown(&env, "a").await.is_ok();
        assert!(is_read || !verified.is_sound(), "it cannot be read, and is called sound");
        Ok(verified.findings.into_iter().map(|it| it.to_string()).collect())
    })
}

#[test]
fn damage_of_any_file_of_a_snapshot_is_found_by_its_name() {
    let (disk, paths) = stocked();
    assert_eq!(findings(&disk), Ok(vec![]));
    let found = |path: &str, what: &str| {
        let found = findings(&disk).unwrap_or_else(|error| vec![error]);
        assert!(found.iter().any(|it| it.contains(path)), "{path} {what}: {found:?}");
    };
    for (index, path) in paths.iter().enumerate() {
        let whole = disk.bytes(path).unwrap();
        for at in (index..whole.len()).step_by(whole.len() / 41 + 1) {
            disk.corrupt(path, |bytes| bytes[at] ^= 1 << (at % 8));
            found(path, &format!("byte {at}"));
            disk.put(path, &whole);
        }
        for len in [0, whole.len() / 2, whole.len() - 1, whole.len() + 1, whole.len() + 4096] {
            let mut bytes = whole.clone();
            bytes.resize(len, 0);
            disk.put(path, &bytes);
            found(path, &format!("{len} bytes"));
        }
        let other = disk.bytes(&paths[(index + 1) % paths.len()]).unwrap();
        disk.put(path, &other);
        found(path, "is another file");
        disk.put(path, &whole);
        disk.remove(path);
        let gone = findings(&disk).unwrap_or_else(|error| vec![error]);
        let is_head = path.ends_with("SNAPSHOT");
        assert!(gone.iter().any(|it| it.contains(path) || is_head && it.contains("incomplete")));
        disk.put(path, &whole);
    }
    disk.put(&format!("{}/notes", dir("a")), b"x");
    assert_eq!(findings(&disk), Ok(vec![]), "what nobody names is no damage");
}

/// The sum of a whole file is what any program computes of it.
#[test]
fn sums_of_files_are_plain_crc32c() {
    let (disk, _) = stocked();
    let sim = Sim::new(4);
    let env = sim.env(&disk);
    sim.block_on(async {
        let reader = SnapshotReader::open(&env, &dir("a")).await.unwrap();
        for entry in reader.shards()[0].version.tables() {
            let path = format!("{}/shard-000/{}", dir("a"), entry.id.file_name());
            assert_eq!(crc32c::crc32c(&disk.bytes(&path).unwrap()), entry.file_crc);
        }
    });
}
