use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use schemas::ids::{ClusterId, Dot, Hlc, NamespaceId, NodeId, Version as Stamp, VnodeBits};

use super::*;
use crate::data_dir::{NewNode, open};
use crate::env::sim::{Crash, Fail, Fault, Sim, SimDisk, SimEnv, When};
use crate::inspect::verify_snapshot;
use crate::record::{Key, Kind, Record, lww};
use crate::snapshot::{Root, SNAPSHOTS_DIR, SnapshotName, SnapshotReader};
use crate::store::{Get, SnapshotDone, SnapshotStep};

/// Every key ever written, and its value unless it was deleted.
type Model = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

const SEED: u64 = 7;
const KEYS: usize = 60;

fn newborn(shards: u16) -> NewNode {
    NewNode {
        node: NodeId(NonZeroU64::MIN),
        cluster: ClusterId(1),
        cluster_name: "shop".to_owned(),
        seed: SEED,
        vnodes: VnodeBits::from_count(16).unwrap(),
        shards,
    }
}

fn config(generation: u16, shard: ShardId, tokens: (Token, Token)) -> StoreConfig {
    let mut config = StoreConfig::new(generation, shard, tokens, 1 << 20);
    config.log.segment_bytes = 64 << 10;
    config.log.batch_bytes_max = 8 << 10;
    config.memtable_bytes = 24 << 10;
    config
}

/// Each shard has an environment of its own, as each core has.
async fn open_shards(
    core: &impl Fn() -> SimEnv,
    superblock: &Superblock,
) -> Vec<Option<Store<SimEnv>>> {
    let mut stores = Vec::new();
    stores.resize_with(usize::from(superblock.shards), || None);
    for (shard, tokens) in owners(superblock) {
        let dir = shard_dir(superblock.generation, shard);
        let mut config = config(superblock.generation, shard, tokens);
        config.vnodes = superblock.vnodes;
        let opened = Store::open(core(), &dir, config, lww).await;
        stores[usize::from(shard.0)] = Some(opened.unwrap().0);
    }
    stores
}

async fn close_shards(stores: Vec<Option<Store<SimEnv>>>) {
    for store in stores.into_iter().flatten() {
        store.close().await.unwrap();
    }
}

fn owner(superblock: &Superblock, token: Token) -> usize {
    usize::from(token.vnode(superblock.vnodes).shard(superblock.vnodes, superblock.shards).0)
}

/// Some writes and deletes, in the model as well; now and then a flush, so that tables of all
/// levels and logs have a part of them.
async fn write(
    core: &impl Fn() -> SimEnv,
    superblock: &Superblock,
    model: &mut Model,
    rng: &mut fastrand::Rng,
) {
    let mut stores = open_shards(core, superblock).await;
    for counter in 1..120 {
        let key = vec![b'k', rng.u8(..KEYS as u8)];
        let value = (rng.u8(..5) != 0).then(|| vec![rng.u8(..); rng.usize(..300)]);
        let token = Token::of(&key, SEED);
        let hlc = Hlc(u64::from(superblock.boot) << 32 | counter);
        let record = Record {
            key: Key { token, namespace: NamespaceId::DEFAULT, bytes: &key },
            version: Stamp { hlc, dot: Dot { actor: superblock.actor(), counter } },
            kind: if value.is_some() { Kind::Value } else { Kind::Tombstone },
            expires_at_ms: 0,
            value: value.as_deref().unwrap_or_default(),
        };
        let store = stores[owner(superblock, token)].as_mut().unwrap();
        store.put_now(&record).unwrap();
        model.insert(key.clone(), value);
        store.tick();
        if rng.u8(..40) == 0 {
            store.flush().await.unwrap();
        }
    }
    close_shards(stores).await;
}

/// Every key says what the model says, at the shard that owns it.
async fn check(core: &impl Fn() -> SimEnv, superblock: &Superblock, model: &Model, what: &str) {
    let mut stores = open_shards(core, superblock).await;
    for (key, value) in model {
        let token = Token::of(key, SEED);
        let store = stores[owner(superblock, token)].as_mut().unwrap();
        let key = Key { token, namespace: NamespaceId::DEFAULT, bytes: key };
        let found = read(store, &key).await;
        assert_eq!(&found, value, "{what}: key {:?}", key.bytes);
    }
    close_shards(stores).await;
}

async fn read(store: &mut Store<SimEnv>, key: &Key<'_>) -> Option<Vec<u8>> {
    let ticket = match store.get_now(key, 0) {
        Get::Hit(record) => return Some(record.value.to_vec()),
        Get::Absent => return None,
        Get::Busy { .. } => panic!("one read at a time"),
        Get::Miss(ticket) => ticket,
    };
    loop {
        let mut done = Vec::new();
        store.poll(&mut done).unwrap();
        for done in done {
            if let crate::store::Done::Get(ended, found) = done {
                assert_eq!(ended, ticket);
                return found.unwrap().record().map(|record| record.value.to_vec());
            }
        }
        store.env.sleep_us(50).await;
    }
}

async fn reshard_to(env: &SimEnv, superblock: &Superblock, shards: u16) -> Superblock {
    reshard(env, superblock, shards, config, lww, |_| {}).await.unwrap()
}

#[test]
fn every_record_survives_any_number_of_changes() {
    for seed in 0..12 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        let core = || sim.env(&disk);
        sim.block_on(async {
            let mut model = Model::new();
            let first = rng.u16(1..5);
            let mut superblock = open(&env, &newborn(first)).await.unwrap().superblock;
            for step in 0..6 {
                if rng.u8(..4) != 0 {
                    write(&core, &superblock, &mut model, &mut rng).await;
                }
                let shards = rng.u16(1..20);
                superblock = reshard_to(&env, &superblock, shards).await;
                let reopened = open(&env, &newborn(1)).await.unwrap().superblock;
                assert_eq!(reopened, Superblock { boot: superblock.boot + 1, ..superblock });
                superblock = reopened;
                let what = format!("seed {seed} step {step} shards {shards}");
                check(&core, &superblock, &model, &what).await;
            }
        });
    }
}

/// Has a store do a step of a snapshot.
async fn snapshot_step(store: &mut Store<SimEnv>, step: SnapshotStep) -> SnapshotDone {
    let ticket = store.snapshot_now(step).unwrap();
    loop {
        store.tick();
        store.env.sleep_us(50).await;
        let mut done = Vec::new();
        store.poll(&mut done).unwrap();
        for done in done {
            if let crate::store::Done::Snapshot(ended, result) = done {
                assert_eq!(ended, ticket);
                return result.unwrap();
            }
        }
    }
}

/// Takes a snapshot of all shards, some of whose records are in no table by then.
async fn take_snapshot(core: &impl Fn() -> SimEnv, superblock: &Superblock, name: &SnapshotName) {
    let mut stores = open_shards(core, superblock).await;
    let begin = SnapshotStep::Begin(name.clone());
    let SnapshotDone::Begun(begun) = snapshot_step(stores[0].as_mut().unwrap(), begin).await else {
        panic!("it is begun");
    };
    for store in stores.iter_mut().flatten() {
        snapshot_step(store, SnapshotStep::Take(name.clone(), begun)).await;
    }
    let finish = SnapshotStep::Finish(name.clone(), begun);
    snapshot_step(stores[0].as_mut().unwrap(), finish).await;
    close_shards(stores).await;
}

/// The values of a snapshot, by key, in the order of the ring; after `after`, if there is one.
async fn snapshot_values(env: &SimEnv, name: &SnapshotName, after: Option<&[u8]>) -> Model {
    let reader = SnapshotReader::open(env, &format!("{SNAPSHOTS_DIR}/{name}")).await.unwrap();
    let after = after.map(|key| reader.key(NamespaceId::DEFAULT.0, key));
    let mut records = reader.records(after.as_ref(), lww).await.unwrap();
    let (mut values, mut last) = (Model::new(), Token(0));
    while let Some(record) = records.current() {
        assert!(last <= record.key.token, "one order over all shards");
        last = record.key.token;
        let value = (record.kind == Kind::Value).then(|| record.value.to_vec());
        assert!(values.insert(record.key.bytes.to_vec(), value).is_none(), "each key once");
        records.advance().await.unwrap();
    }
    values
}

#[test]
fn a_snapshot_of_many_shards_is_what_it_was_however_many_there_are_later() {
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        let core = || sim.env(&disk);
        sim.block_on(async {
            let (mut model, mut taken) = (Model::new(), Vec::new());
            let mut superblock = open(&env, &newborn(3)).await.unwrap().superblock;
            for shards in [rng.u16(1..6), 20, rng.u16(1..4), 2] {
                write(&core, &superblock, &mut model, &mut rng).await;
                let name = SnapshotName::new(&format!("of-{}", superblock.generation)).unwrap();
                take_snapshot(&core, &superblock, &name).await;
                taken.push((name, model.clone()));
                reshard_to(&env, &superblock, shards).await;
                superblock = open(&env, &newborn(1)).await.unwrap().superblock;
            }
            for (name, model) in &taken {
                let values = snapshot_values(&env, name, None).await;
                let live = |model: &Model| -> Model {
                    model.clone().into_iter().filter(|(_, value)| value.is_some()).collect()
                };
                assert!(live(&values) == live(model), "seed {seed}: {name}");
                let dir = format!("{SNAPSHOTS_DIR}/{name}");
                let verified = verify_snapshot(&env, &dir, lww, None, &mut |_, _| {}).await;
                let verified = verified.unwrap();
                assert_eq!((&verified.findings, &verified.unnamed), (&vec![], &vec![]));
                let root = verified.namespaces[&NamespaceId::DEFAULT];
                assert_eq!(root.digest.keys, live(model).len() as u64);
                // Parts add up, whichever way the records are cut.
                let add =
                    |roots: &mut dyn Iterator<Item = Root>| roots.fold(Root::default(), Root::and);
                assert_eq!(add(&mut verified.shards.values().copied()), root);
                assert_eq!(add(&mut verified.vnodes.values().copied()), root);
                let key = live(model).into_keys().next().unwrap();
                let rest = snapshot_values(&env, name, Some(&key)).await;
                let is_behind = |it: &Vec<u8>| {
                    let place = |key: &[u8]| (Token::of(key, SEED), key.to_vec());
                    place(it) > place(&key)
                };
                assert!(rest.keys().eq(values.keys().filter(|it| is_behind(it))), "{name}");
            }
        });
    }
}

/// The clocks of all vnodes that have one.
async fn clocks(
    core: &impl Fn() -> SimEnv,
    superblock: &Superblock,
) -> BTreeMap<Vnode, VnodeClock> {
    let stores = open_shards(core, superblock).await;
    let mut clocks = BTreeMap::new();
    for vnode in (0..superblock.vnodes.count()).map(|vnode| Vnode(vnode as u16)) {
        let shard = vnode.shard(superblock.vnodes, superblock.shards);
        let clock = stores[usize::from(shard.0)].as_ref().unwrap().clock(vnode);
        if !clock.is_empty() {
            clocks.insert(vnode, clock);
        }
    }
    close_shards(stores).await;
    clocks
}

#[test]
fn clocks_go_with_their_vnodes() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let core = || sim.env(&disk);
    let mut rng = fastrand::Rng::with_seed(1);
    sim.block_on(async {
        let mut superblock = open(&env, &newborn(2)).await.unwrap().superblock;
        for shards in [5, 1, 20, 3] {
            write(&core, &superblock, &mut Model::new(), &mut rng).await;
            let before = clocks(&core, &superblock).await;
            assert!(before.len() > 10, "{}", before.len());
            superblock = reshard_to(&env, &superblock, shards).await;
            assert_eq!(clocks(&core, &superblock).await, before, "{shards} shards");
            superblock = open(&env, &newborn(1)).await.unwrap().superblock;
        }
    });
}

/// A directory of three shards that were one before; all that the middle one had is deleted and
/// compacted.
fn lost_middle(model: &mut Model) -> SimDisk {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let core = || sim.env(&disk);
    let mut rng = fastrand::Rng::with_seed(1);
    sim.block_on(async {
        let one = open(&env, &newborn(1)).await.unwrap().superblock;
        write(&core, &one, model, &mut rng).await;
        let three = reshard_to(&env, &one, 3).await;
        let file = |version: &Version| version.tables().next().map(|entry| entry.id);
        let before = Manifest::read(&env, &shard_dir(three.generation, ShardId(1))).await.unwrap();
        let mut stores = open_shards(&core, &three).await;
        let store = stores[1].as_mut().unwrap();
        let doomed = model.iter_mut().filter(|(key, _)| owner(&three, Token::of(key, SEED)) == 1);
        for (counter, (key, value)) in (1..).zip(doomed) {
            let key =
                Key { token: Token::of(key, SEED), namespace: NamespaceId::DEFAULT, bytes: key };
            let dot = Dot { actor: three.actor(), counter };
            store
                .put_now(&Record {
                    key,
                    version: Stamp { hlc: Hlc(9 << 32 | counter), dot },
                    kind: Kind::Tombstone,
                    expires_at_ms: 0,
                    value: &[],
                })
                .unwrap();
            *value = None;
            store.tick();
            store.flush().await.unwrap();
        }
        // Compactions run until they have nothing left to do.
        for _ in 0..500 {
            store.tick();
            store.poll(&mut Vec::new()).unwrap();
            store.env.sleep_us(1000).await;
        }
        close_shards(stores).await;
        let after = Manifest::read(&env, &shard_dir(three.generation, ShardId(1))).await.unwrap();
        assert!(file(&before).is_some_and(|id| after.get(id).is_none()), "the middle is compacted");
    });
    disk
}

/// Parts of one file meet again after what lay between them was compacted: their hull would show
/// records that are not there any more.
#[test]
fn parts_of_a_file_that_lost_their_middle_do_not_bring_it_back() {
    let mut model = Model::new();
    let disk = lost_middle(&mut model);
    let sim = Sim::new(2);
    let env = sim.env(&disk);
    let core = || sim.env(&disk);
    sim.block_on(async {
        let three = open(&env, &newborn(1)).await.unwrap().superblock;
        let before = tables(&disk, "gen-0002");
        let again = reshard_to(&env, &three, 1).await;
        assert!(!tables(&disk, "gen-0003").is_subset(&before), "a part was copied");
        check(&core, &again, &model, "one shard again").await;
    });
}

/// Copies were numbered anew by each try. The sum of a block knows its file by its id: one that a
/// disk kept from an earlier try passed for the one that was asked for.
#[test]
fn a_change_that_is_tried_again_gives_no_file_id_twice() {
    let disk = lost_middle(&mut Model::new());
    let linked = tables(&disk, "gen-0002");
    let mut copied = BTreeSet::new();
    for fails in [true, false] {
        let sim = Sim::new(2);
        let env = sim.env(&disk);
        let changed = sim.block_on(async {
            let three = open(&env, &newborn(1)).await.unwrap().superblock;
            if fails {
                let (path, how) = ("NODE".to_owned(), Fail::Eio);
                disk.inject(Fault { on: None, path, nth: 1, sticky: true, how });
            }
            reshard(&env, &three, 1, config, lww, |_| {}).await
        });
        disk.clear_faults();
        assert_eq!(changed.is_err(), fails, "{changed:?}");
        let copies: BTreeSet<String> = &tables(&disk, "gen-0003") - &linked;
        assert!(!copies.is_empty() && copied.is_disjoint(&copies), "{copied:?}, {copies:?}");
        copied.extend(copies);
    }
}

/// The names of the tables in `generation`.
fn tables(disk: &SimDisk, generation: &str) -> BTreeSet<String> {
    let paths = disk.paths();
    let in_it = paths.iter().filter(|it| it.starts_with(generation) && it.ends_with(".sst"));
    in_it.map(|path| path.rsplit_once('/').unwrap().1.to_owned()).collect()
}

/// A directory of two shards that were one before, with a part of everything in tables and logs.
fn prepared(model: &mut Model) -> SimDisk {
    let mut rng = fastrand::Rng::with_seed(3);
    let (sim, disk) = (Sim::new(3), SimDisk::new(3));
    let env = sim.env(&disk);
    let core = || sim.env(&disk);
    sim.block_on(async {
        let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
        write(&core, &superblock, model, &mut rng).await;
        let superblock = reshard_to(&env, &superblock, 2).await;
        let superblock = Superblock { boot: 9, ..superblock };
        write(&core, &superblock, model, &mut rng).await;
    });
    disk
}

/// A flush was tried without end: a start with another number of cores hung on a full disk.
#[test]
fn a_change_on_a_disk_that_fails_ends_and_loses_nothing() {
    let mut model = Model::new();
    let disk = prepared(&mut model).crash(Crash::KeepAll, 1);
    let mut flushes_given_up = 0;
    for how in [Fail::Enospc, Fail::Eio] {
        for nth in (1..).step_by(5) {
            let disk = disk.crash(Crash::KeepAll, 1);
            let sim = Sim::new(nth);
            let env = sim.env(&disk);
            let changed = sim.block_on(async {
                let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
                disk.inject(Fault { on: None, path: "gen".to_owned(), nth, sticky: true, how });
                reshard(&env, &superblock, 3, config, lww, |_| {}).await
            });
            disk.clear_faults();
            let gave_up = |error| matches!(error, ReshardError::Flush(FlushError::GaveUp { .. }));
            let done = changed.is_ok();
            flushes_given_up += u64::from(changed.is_err_and(gave_up));
            let sim = Sim::new(nth);
            let env = sim.env(&disk);
            let core = || sim.env(&disk);
            sim.block_on(async {
                let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
                check(&core, &superblock, &model, &format!("operation {nth} {how:?}")).await;
            });
            if done {
                break;
            }
        }
    }
    assert!(flushes_given_up > 4, "{flushes_given_up} flushes were given up");
}

#[test]
fn a_change_cut_anywhere_leaves_every_record() {
    let mut model = Model::new();
    let disk = prepared(&mut model).crash(Crash::KeepAll, 1);
    let mut crashes = 0;
    for when in [When::Before, When::After] {
        for at in 1.. {
            let disk = disk.crash(Crash::KeepAll, 1);
            let sim = Sim::new(at);
            let env = sim.env(&disk);
            disk.crash_at_sync(disk.syncs() + at, when);
            let ended = sim.run(async {
                let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
                reshard_to(&env, &superblock, 3).await;
            });
            if ended.is_some() {
                assert!(at > 10, "a change has more syncs");
                break;
            }
            for class in Crash::ALL {
                let disk = disk.crash(class, at);
                let sim = Sim::new(at);
                let env = sim.env(&disk);
                let core = || sim.env(&disk);
                sim.block_on(async {
                    let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
                    let what = format!("sync {at} {when:?} {class:?}");
                    check(&core, &superblock, &model, &what).await;
                });
                crashes += 1;
            }
        }
    }
    assert!(crashes > 200, "{crashes} crashes were tried");
}

/// A process was killed when NODE named the new generation and the directory was not synced. The
/// next start removed the old generation, and a power cut brought back the NODE that named it.
#[test]
fn a_start_after_a_kill_makes_durable_what_it_acts_on() {
    let mut model = Model::new();
    let disk = prepared(&mut model).crash(Crash::KeepAll, 1);
    let in_doubt = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&in_doubt);
    let on_disk = |disk: &SimDisk| disk.crash(Crash::LoseAll, 0).bytes("NODE");
    disk.watch(move |disk, _, _| {
        if disk.bytes("NODE") != on_disk(disk) {
            noted.borrow_mut().push(disk.fork());
        }
    });
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    sim.block_on(async {
        let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
        reshard_to(&env, &superblock, 3).await;
    });
    let mut crashes = 0;
    for killed in in_doubt.take() {
        killed.end_process(1);
        let moments = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&moments);
        killed.watch(move |disk, _, when| {
            if when == When::After {
                let left = [Crash::LoseAll, Crash::Random].map(|class| disk.crash(class, 1));
                noted.borrow_mut().extend(left);
            }
        });
        let sim = Sim::new(2);
        sim.block_on(open(&sim.env(&killed), &newborn(1))).unwrap();
        for left in moments.take() {
            let sim = Sim::new(3);
            let env = sim.env(&left);
            let core = || sim.env(&left);
            sim.block_on(async {
                let superblock = open(&env, &newborn(1)).await.unwrap().superblock;
                check(&core, &superblock, &model, &format!("crash {crashes}")).await;
            });
            crashes += 1;
        }
    }
    assert!(crashes > 20, "{crashes} crashes were tried");
}
