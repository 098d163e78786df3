//! The bytes of SNAPSHOT and SHARD: what they were, and that no flipped bit passes.

use schemas::ids::ShardId;

use super::fuzz::{example, example_shard};
use super::*;
use crate::env::ALIGN;
use crate::env::sim::{Fail, Fault, Io, Sim, SimDisk};
use crate::integrity::checksum;

fn is_damage<T>(result: Result<T, SnapshotError>) -> bool {
    matches!(result, Err(SnapshotError::Corrupt(_)))
}

/// The bytes are on disk: they may never change under this format's number.
#[test]
fn the_formats_are_what_they_were() {
    let head = example().encode();
    assert_eq!(head[..12], *b"kvcSNAP\n\x01\0\0\0");
    assert_eq!(head[12..16], checksum(0x0a_50_41_4e_53_63_76_6b, 0, &without(&head)).to_le_bytes());
    assert_eq!(head[16..24], 0x51abu64.to_le_bytes());
    assert_eq!(head[24..48], [1u64 << 40, 3, 1 << 20].map(u64::to_le_bytes).concat());
    assert!(head[48..ALIGN].iter().all(|&byte| byte == 0));
    assert_eq!(head[ALIGN..ALIGN + 8], *b"kvcNODE\n");
    let shard = example_shard(2).encode();
    assert_eq!(shard[..12], *b"kvcSHRD\n\x02\0\0\0");
    let length = 64 + 4 + 32 + 2 * 120 + 4 + 32;
    assert_eq!(shard[12..16], checksum(0x51ab, 1, &without(&shard)[..length]).to_le_bytes());
    assert_eq!(shard[16..32], [0x51ab, length as u64].map(u64::to_le_bytes).concat());
    assert_eq!(shard[32..48], [0, u64::MAX].map(u64::to_le_bytes).concat());
    assert_eq!(shard[48..64], *b"\x01\0\x01\0\x03\0\0\0\0\x10\0\0\0\0\0\0");
    assert_eq!(shard[64..72], *b"\x10\x01\0\0\0\0\0\0");
    assert_eq!(shard.len(), ALIGN);
}

/// The bytes with the sum as zero.
fn without(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[12..16].fill(0);
    file
}

#[test]
fn every_flipped_bit_of_a_head_is_found() {
    let mut file = example().encode().to_vec();
    assert_eq!(SnapshotHead::decode(&file, "it").unwrap(), example());
    for bit in 0..file.len() * 8 {
        file[bit / 8] ^= 1 << (bit % 8);
        assert!(is_damage(SnapshotHead::decode(&file, "it")), "bit {bit}");
        file[bit / 8] ^= 1 << (bit % 8);
    }
    for len in [0, 1, ALIGN, 2 * ALIGN - 1, 2 * ALIGN + 1, 3 * ALIGN] {
        let mut cut = file.clone();
        cut.resize(len, 0);
        assert!(is_damage(SnapshotHead::decode(&cut, "it")), "{len} bytes");
    }
}

#[test]
fn every_flipped_bit_of_a_shards_file_is_found_and_so_is_another_snapshots_file() {
    let whole = example_shard(3);
    let (id, shard) = (whole.snapshot, whole.shard);
    let file = whole.encode();
    let decode = |file: &[u8], id, shard| ShardHead::decode(file.to_vec(), id, shard, "it");
    assert_eq!(decode(&file, id, shard).unwrap(), whole);
    let mut flipped = file.clone();
    for bit in 0..file.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(is_damage(decode(&flipped, id, shard)), "bit {bit}");
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
    for len in [0, 1, 63, 64, ALIGN - 1, ALIGN + 1, 2 * ALIGN] {
        let mut cut = file.clone();
        cut.resize(len, 0);
        assert!(is_damage(decode(&cut, id, shard)), "{len} bytes");
    }
    assert!(is_damage(decode(&file, id ^ 1, shard)), "another snapshot's");
    assert!(is_damage(decode(&file, id, ShardId(shard.0 + 1))), "another shard's");
}

#[test]
fn another_format_is_told_from_damage() {
    let mut head = example().encode().to_vec();
    head[8] = 2;
    let sum = checksum(0x0a_50_41_4e_53_63_76_6b, 0, &without(&head));
    head[12..16].copy_from_slice(&sum.to_le_bytes());
    assert!(matches!(SnapshotHead::decode(&head, "it"), Err(SnapshotError::Newer(_))));
    let shard = |format: u32| {
        let mut shard = example_shard(0).encode();
        shard[8..12].copy_from_slice(&format.to_le_bytes());
        let sum = checksum(0x51ab, 1, &without(&shard)[..64 + 4 + 32]);
        shard[12..16].copy_from_slice(&sum.to_le_bytes());
        ShardHead::decode(shard, 0x51ab, ShardId(1), "it")
    };
    assert!(matches!(shard(SHARD_FORMAT + 1), Err(SnapshotError::Newer(_))));
    assert!(matches!(shard(SHARD_FORMAT - 1), Err(SnapshotError::Older(_))));
    assert!(is_damage(shard(0)), "a format that never was");
}

/// A begin whose last sync failed left its directory: nobody had its id, and its name was taken
/// until a restart.
#[test]
fn a_begin_that_fails_frees_its_name() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let name = SnapshotName::new("a").unwrap();
    sim.block_on(async {
        let (on, path) = (Some(Io::SyncDir), SNAPSHOTS_DIR.to_owned());
        disk.inject(Fault { on, path, nth: 1, sticky: false, how: Fail::Eio });
        assert!(matches!(begin(&env, &name).await, Err(SnapshotError::Io { .. })));
        assert_eq!(list(&env).await.unwrap(), []);
        begin(&env, &name).await.unwrap();
        assert!(matches!(begin(&env, &name).await, Err(SnapshotError::Exists { .. })));
    });
}
