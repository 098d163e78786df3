//! A data directory under power cuts, at every operation and in every class.

use std::num::NonZeroU64;

use schemas::ids::{ClusterId, Hlc, NodeId, ShardId, VnodeBits};

use super::*;
use crate::env::sim::{Crash, Sim, SimDisk, When};
use crate::env::{ALIGN, Env, File, Open, buf::AlignedBuf};

fn newborn(shards: u16) -> NewNode {
    NewNode {
        node: NodeId(NonZeroU64::new(5).unwrap()),
        cluster: ClusterId(6),
        cluster_name: "shop".to_owned(),
        seed: 7,
        vnodes: VnodeBits::DEFAULT,
        shards,
    }
}

/// Opens the directory on `disk`; `None` if the power went.
fn start(disk: &SimDisk, shards: u16) -> Option<Result<Opened, DirError>> {
    let sim = Sim::new(1);
    let env = sim.env(disk);
    sim.run(async move { open(&env, &newborn(shards)).await })
}

fn started(disk: &SimDisk) -> Superblock {
    start(disk, 2).expect("the power stays").expect("the directory is sound").superblock
}

#[test]
fn each_start_of_a_node_has_a_boot_of_its_own() {
    let disk = SimDisk::new(1);
    let first = start(&disk, 2).unwrap().unwrap();
    assert!(first.created);
    assert_eq!((first.superblock.boot, first.superblock.shards), (1, 2));
    let second = start(&disk, 3).unwrap().unwrap();
    assert!(!second.created, "what it was born with stands");
    assert_eq!(second.superblock, Superblock { boot: 2, ..first.superblock });
}

/// Cuts the power at operation `at` of a start on a copy of what `prepare` left.
fn cut_at(at: u64, when: When, prepare: fn() -> SimDisk) -> (SimDisk, bool) {
    let disk = prepare();
    disk.crash_at_io(disk.ios() + at, when);
    let ended = start(&disk, 2).is_some();
    (disk, ended)
}

fn cut_everywhere(prepare: fn() -> SimDisk, check: impl Fn(&SimDisk)) -> usize {
    let mut crashes = 0;
    for when in [When::Before, When::After] {
        for at in 1.. {
            let (disk, ended) = cut_at(at, when, prepare);
            if ended {
                assert!(at > 5, "a start has more operations");
                break;
            }
            for class in Crash::ALL {
                for seed in 0..8 {
                    check(&disk.crash(class, seed));
                    crashes += 1;
                }
            }
        }
    }
    crashes
}

#[test]
fn a_first_start_cut_anywhere_is_done_again() {
    let crashes = cut_everywhere(
        || SimDisk::new(2),
        |left| {
            let boot = started(left).boot;
            assert!(boot == 1 || boot == 2);
            assert_eq!(started(left).boot, boot + 1);
        },
    );
    assert!(crashes > 500);
}

#[test]
fn a_later_start_cut_anywhere_repeats_no_boot_that_was_told() {
    let twice_started = || {
        let disk = SimDisk::new(3);
        started(&disk);
        assert_eq!(started(&disk).boot, 2);
        disk
    };
    let crashes = cut_everywhere(twice_started, |left| {
        let superblock = started(left);
        assert!(superblock.boot == 3 || superblock.boot == 4);
        assert_eq!(
            superblock,
            Superblock { boot: superblock.boot, ..Superblock::born(&newborn(2)) }
        );
    });
    assert!(crashes > 300);
}

#[test]
fn a_ceiling_that_was_synced_survives_and_a_torn_renewal_does_not_harm_it() {
    for class in Crash::ALL {
        for seed in 0..20 {
            let disk = SimDisk::new(4);
            let mut clock = start(&disk, 1).unwrap().unwrap().clock;
            let sim = Sim::new(seed);
            let env = sim.env(&disk);
            sim.block_on(async {
                let file = env.open(CLOCK_FILE, Open::ReadWrite).await.unwrap();
                for (ceiling, synced) in [(10, true), (20, true), (30, false)] {
                    let slot = clock.set(Hlc(ceiling));
                    let mut buf = AlignedBuf::zeroed(slot.bytes.len());
                    buf.copy_from_slice(&slot.bytes);
                    file.write_at(slot.offset, buf).await.unwrap();
                    if synced {
                        file.sync().await.unwrap();
                    }
                }
            });
            let left = disk.crash(class, seed);
            let ceiling = start(&left, 1).unwrap().unwrap().clock.ceiling();
            assert!(ceiling == Hlc(20) || ceiling == Hlc(30), "{class:?} {seed}: {ceiling:?}");
        }
    }
}

#[test]
fn a_generation_that_the_superblock_does_not_name_is_removed() {
    let disk = SimDisk::new(5);
    started(&disk);
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    sim.block_on(async {
        env.create_dir(&generation_dir(2)).await.unwrap();
        env.create_dir(&shard_dir(2, ShardId(0))).await.unwrap();
    });
    disk.put("gen-0002/shard-000/MANIFEST", b"half a resharding");
    disk.put("gen-0001/shard-001/MANIFEST", b"data");
    started(&disk);
    let paths = disk.paths();
    assert!(!paths.iter().any(|path| path.starts_with("gen-0002")), "{paths:?}");
    assert!(disk.bytes("gen-0001/shard-001/MANIFEST").is_some());
}

#[test]
fn what_is_missing_or_damaged_is_said_and_nothing_is_changed() {
    type Case<'a> = (fn(&SimDisk), &'a dyn Fn(&DirError) -> bool);
    let damaged = |error: &DirError, file: &str| match error {
        DirError::Corrupt(corrupt) => corrupt.file == file,
        _ => false,
    };
    let missing = |error: &DirError, file: &str| match error {
        DirError::Missing { path } => path == file,
        _ => false,
    };
    let shard = shard_dir(1, ShardId(1));
    let changes: [Case<'_>; 4] = [
        (|disk| disk.remove("gen-0001/shard-001"), &|error| missing(error, &shard)),
        (|disk| disk.remove(CLOCK_FILE), &|error| missing(error, CLOCK_FILE)),
        (|disk| disk.corrupt(CLOCK_FILE, |bytes| bytes.fill(1)), &|error| {
            damaged(error, CLOCK_FILE)
        }),
        (|disk| disk.corrupt(NODE_FILE, |bytes| bytes.extend([0; 512])), &|error| {
            damaged(error, NODE_FILE)
        }),
    ];
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let disk = SimDisk::new(6);
        started(&disk);
        change(&disk);
        let before = disk.bytes(NODE_FILE);
        let error = start(&disk, 2).unwrap().unwrap_err();
        assert!(expected(&error), "change {index}: {error}");
        assert_eq!(disk.bytes(NODE_FILE), before);
    }
}

/// Also what happened to them under a running node, which reads neither of them.
#[test]
fn each_damage_of_node_and_clock_is_said_by_the_next_start() {
    let whole = SimDisk::new(9);
    started(&whole);
    let (node, clock) = (whole.bytes(NODE_FILE).unwrap(), whole.bytes(CLOCK_FILE).unwrap());
    let flips = (0..node.len()).step_by(61).map(|at| {
        let mut flipped = node.clone();
        flipped[at] ^= 1 << (at % 8);
        flipped
    });
    let page = &clock[..node.len()];
    let longer = [&node[..], &node].concat();
    let mut cases: Vec<(&str, Vec<u8>)> = flips.map(|bytes| (NODE_FILE, bytes)).collect();
    for bytes in [&[][..], &node[..512], page, &[0; ALIGN], &longer] {
        cases.push((NODE_FILE, bytes.to_vec()));
    }
    for bytes in [&[][..], &clock[..512], &longer, &[0; 2 * ALIGN]] {
        cases.push((CLOCK_FILE, bytes.to_vec()));
    }
    for (file, bytes) in cases {
        let disk = whole.crash(Crash::KeepAll, 0);
        disk.put(file, &bytes);
        let error = start(&disk, 2).unwrap().unwrap_err();
        assert!(matches!(&error, DirError::Corrupt(it) if it.file == file), "{file}: {error}");
        assert!(disk.bytes(file).unwrap() == bytes, "nothing is changed");
    }
}

/// A NODE from before the number of shards changed was put back: it took the generation that holds
/// the data for a stray, removed it, and then said that the old one is missing.
#[test]
fn an_older_superblock_does_not_cost_the_newer_generation() {
    let disk = SimDisk::new(8);
    started(&disk);
    let older = disk.bytes(NODE_FILE).unwrap();
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    sim.block_on(async {
        env.create_dir(&generation_dir(2)).await.unwrap();
        env.create_dir(&shard_dir(2, ShardId(0))).await.unwrap();
        let newer = Superblock { generation: 2, shards: 1, ..Superblock::born(&newborn(2)) };
        write_superblock(&env, &newer).await.unwrap();
        remove_generation(&env, 1).await.unwrap();
    });
    disk.put("gen-0002/shard-000/MANIFEST", b"data");
    disk.put(NODE_FILE, &older);
    assert!(matches!(start(&disk, 1).unwrap(), Err(DirError::Missing { .. })));
    assert!(disk.bytes("gen-0002/shard-000/MANIFEST").is_some());
}

#[test]
fn shard_directories_are_there_before_the_superblock_names_them() {
    let disk = SimDisk::new(7);
    let superblock = started(&disk);
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    for shard in 0..superblock.shards {
        let path = shard_dir(superblock.generation, ShardId(shard));
        assert!(sim.block_on(env.list(&path)).unwrap().is_empty());
    }
}

/// A crash while a table was written left a full disk, on which NODE had no room for its next boot:
/// the node did not start, and what would have made room is removed by a start alone.
#[test]
fn a_disk_that_a_crash_left_full_starts() {
    let disk = SimDisk::new(1);
    let node = started(&disk);
    disk.put("gen-0001/shard-001/0001000100000001.sst.tmp", &[7; 8192]);
    disk.set_capacity(disk.space().total - disk.space().available);
    assert_eq!(started(&disk).boot, node.boot + 1);
}
