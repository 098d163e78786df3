//! Clocks of a shard, in memory and in their file.

use std::num::NonZeroU64;

use proptest::prelude::*;
use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Dot, NodeId, Token, Vnode, VnodeBits};

use super::*;
use crate::env::Env;
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::sstable::FileId;

const ID: FileId = FileId(0x0001_0000_0000_0005);
const PATH: &str = "shard/0001000000000005.clk";

fn dot(node: u64, counter: u64) -> Dot {
    let node = NodeId(NonZeroU64::new(node).unwrap());
    Dot { actor: Actor { node, boot: 1 }, counter }
}

/// Clocks of the second half of a ring of 64 vnodes, some with gaps, some empty.
fn sample() -> Clocks {
    let bits = VnodeBits::new(6).unwrap();
    let mut clocks = Clocks::new(bits, (Token(1 << 63), Token(u64::MAX)));
    for index in (0..32).step_by(3) {
        for counter in (1..9).chain([12, 13, 40]) {
            clocks.insert(index, dot(1 + counter % 3, counter + index as u64));
        }
    }
    clocks
}

proptest! {
    /// Whatever is in heads and whatever is not: a clock is what was put in, and so is a snapshot.
    #[test]
    fn clocks_with_heads_are_clocks(steps in prop::collection::vec(step(), 0..200)) {
        let (bits, tokens) = (VnodeBits::new(1).unwrap(), (Token(0), Token(u64::MAX)));
        let (mut clocks, mut snapshot) = (Clocks::new(bits, tokens), Clocks::new(bits, tokens));
        let mut model = [VnodeClock::default(), VnodeClock::default()];
        let mut before = model.clone();
        for (index, step) in steps {
            let clock = &mut model[index];
            match step {
                Step::Insert(dot) => {
                    prop_assert_eq!(clocks.insert(index, dot).is_some(), clock.insert(dot));
                }
                Step::Next(node) => {
                    let actor = dot(node, 1).actor;
                    let next = clock.of(actor).map_or(1, |it| it.upto() + 1);
                    let dot = Dot { actor, counter: next };
                    prop_assert!(clock.insert(dot) && clocks.insert(index, dot).is_some());
                }
                Step::Join(dots) => {
                    let mut other = VnodeClock::default();
                    for dot in dots {
                        other.insert(dot);
                    }
                    clock.join(&other);
                    clocks.join(index, &other);
                }
                Step::Clear => {
                    *clock = VnodeClock::default();
                    clocks.clear(index);
                }
                Step::Snapshot => (snapshot, before) = (clocks.clone(), model.clone()),
            }
            prop_assert_eq!(clocks.is_empty_at(index), model[index].is_empty());
        }
        for index in 0..2 {
            prop_assert_eq!(&clocks.at(index), &model[index]);
            prop_assert_eq!(&snapshot.at(index), &before[index]);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Dot),
    Next(u64),
    Join(Vec<Dot>),
    Clear,
    Snapshot,
}

/// Of more actors than a head has room for.
fn step() -> impl Strategy<Value = (usize, Step)> {
    let any_dot = || (1u64..10, 1u64..6).prop_map(|(node, counter)| dot(node, counter));
    let step = prop_oneof![
        4 => any_dot().prop_map(Step::Insert),
        20 => (1u64..10).prop_map(Step::Next),
        1 => prop::collection::vec(any_dot(), 0..9).prop_map(Step::Join),
        1 => Just(Step::Clear),
        1 => Just(Step::Snapshot),
    ];
    (0usize..2, step)
}

fn with_env<T>(disk: &SimDisk, work: impl AsyncFnOnce(SimEnv) -> T) -> T {
    let sim = Sim::new(1);
    sim.block_on(work(sim.env(disk)))
}

fn written() -> SimDisk {
    let disk = SimDisk::new(1);
    with_env(&disk, async |env| {
        env.create_dir("shard").await.unwrap();
        write(&env, "shard", ID, sample().iter()).await.unwrap();
    });
    disk
}

fn read(disk: &SimDisk, id: FileId) -> Result<ClocksFile, ClocksError> {
    with_env(disk, async |env| ClocksFile::read(&env, "shard", id).await)
}

#[test]
fn a_shard_has_the_vnodes_of_its_tokens() {
    let clocks = sample();
    assert_eq!((clocks.index(Vnode(32)), clocks.index(Vnode(63))), (Some(0), Some(31)));
    assert_eq!((clocks.index(Vnode(31)), clocks.index(Vnode(64))), (None, None));
    assert!(clocks.iter().map(|(vnode, _)| vnode.0).eq(32..64));
    let whole = Clocks::new(VnodeBits::new(16).unwrap(), (Token(0), Token(u64::MAX)));
    assert_eq!((whole.iter().count(), whole.index(Vnode(u16::MAX))), (1 << 16, Some(0xffff)));
}

#[test]
fn a_snapshot_does_not_see_what_comes_later() {
    let mut clocks = sample();
    let snapshot = clocks.clone();
    clocks.insert(3, dot(9, 1));
    assert!(clocks.at(3).contains(dot(9, 1)) && !snapshot.at(3).contains(dot(9, 1)));
}

#[test]
fn what_is_written_is_read() {
    let file = read(&written(), ID).unwrap();
    assert_eq!(file.clocks.len(), 11);
    let mut loaded = Clocks::new(VnodeBits::new(6).unwrap(), (Token(0), Token(u64::MAX)));
    loaded.load(&file);
    for (vnode, clock) in sample().iter() {
        assert_eq!(loaded.at(usize::from(vnode.0)), clock);
    }
    // Those of other shards are passed over.
    let mut other = Clocks::new(VnodeBits::new(6).unwrap(), (Token(0), Token((1 << 63) - 1)));
    other.load(&file);
    assert!(other.iter().all(|(_, clock)| clock.is_empty()));
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let disk = written();
    let bytes = disk.bytes(PATH).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        disk.put(PATH, bytes);
        match read(&disk, ID) {
            Err(ClocksError::Corrupt(it)) => assert_eq!(it.file, PATH, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    };
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed, &format!("byte {at}"));
    }
    for len in (0..bytes.len()).step_by(7) {
        refused(&bytes[..len], &format!("cut to {len}"));
    }
    refused(&[&bytes[..], &[0; 4096]].concat(), "a page more");
}

/// Another shard's, or an older one of this shard's, under this one's name.
#[test]
fn other_clocks_are_noticed_and_missing_ones_are_lost() {
    let (disk, other) = (written(), FileId(ID.0 + 1));
    assert!(matches!(read(&disk, other), Err(ClocksError::Io { .. })));
    disk.put("shard/0001000000000006.clk", &disk.bytes(PATH).unwrap());
    assert!(matches!(read(&disk, other), Err(ClocksError::Corrupt(_))));
    let read = |id| with_env(&disk, async |env| ClocksFile::read_if_whole(&env, "shard", id).await);
    assert_eq!(read(other).unwrap(), (ClocksFile::default(), true));
    assert_eq!(read(FileId(7)).unwrap(), (ClocksFile::default(), true));
    assert!(!read(ID).unwrap().1);
}

#[test]
fn a_newer_format_is_said_to_be() {
    let disk = written();
    disk.corrupt(PATH, |bytes| {
        bytes[8] += 1;
        bytes[12..16].fill(0);
        let length = u64::from_le_bytes(bytes[24..32].try_into().unwrap()) as usize;
        let sum = crate::integrity::checksum(ID.0, u64::MAX, &bytes[..length]);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    });
    assert!(matches!(read(&disk, ID), Err(ClocksError::FormatNewer(_))));
    let read = with_env(&disk, async |env| ClocksFile::read_if_whole(&env, "shard", ID).await);
    assert!(read.is_err(), "a newer kvcore's clocks are not thrown away");
}

/// The bytes are on disks: they may change only together with the version of the format.
#[test]
fn the_same_clocks_make_the_same_bytes_for_ever() {
    let bytes = written().bytes(PATH).unwrap();
    assert_eq!(bytes, written().bytes(PATH).unwrap());
    assert_eq!((CLOCKS_FORMAT, bytes.len(), crc32c::crc32c(&bytes)), (1, 4096, 3_990_696_520));
    assert_eq!(ClocksFile::id_of("0001000000000005.clk"), Some(ID));
    assert_eq!(ClocksFile::id_of("0001000000000005.sst"), None);
}
