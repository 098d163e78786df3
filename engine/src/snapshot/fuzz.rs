//! Fuzz target: SNAPSHOT and SHARD.
//!
//! ```text
//! input: | how 1 | SNAPSHOT's first 48 bytes, those of the superblock in it, or those of SHARD |
//! how:   bit 0 sums and length are made right, bit 1 it is SHARD, bit 2 a page is added
//! ```

use std::num::NonZeroU64;

use schemas::ids::{ClusterId, Hlc, NodeId, ShardId, Token, VnodeBits};

use super::head::{HEAD_BYTES, SUM_AT as HEAD_SUM_AT, SnapshotHead};
use super::shard::{LENGTH_AT, SUM_AT as SHARD_SUM_AT, ShardHead};
use super::{ClocksCopy, HEAD_FILE, SHARD_FILE, SnapshotError};
use crate::data_dir::{NewNode, Superblock};
use crate::env::ALIGN;
use crate::fuzz::{Input, bit};
use crate::integrity::checksum;
use crate::manifest::{Hole, TableEntry, Version, VersionEdit};
use crate::sstable::{FileId, Properties, TokenRange};

const ID: u64 = 0x51ab;
const SHARD: ShardId = ShardId(1);

/// Where the sum of a superblock stands.
const NODE_SUM_AT: usize = 12;

/// Bytes of SNAPSHOT's first page that say something.
const HEAD_USED: usize = 48;

/// Reads an input: what is sound is the same when it was written again.
pub(crate) fn snapshot(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let how = input.u8();
    if bit(how, 1) { shard(how, input.rest()) } else { head(how, input) }
}

fn head(how: u8, mut input: Input<'_>) -> bool {
    let mut file = vec![0; HEAD_BYTES];
    let (first, node) = (input.take(HEAD_USED), input.take(ALIGN));
    file[..first.len()].copy_from_slice(first);
    file[ALIGN..ALIGN + node.len()].copy_from_slice(node);
    if bit(how, 0) {
        sum(&mut file[ALIGN..], NODE_SUM_AT);
        sum(&mut file, HEAD_SUM_AT);
    }
    file.resize(HEAD_BYTES + ALIGN * usize::from(bit(how, 2)), 0);
    let decoded = SnapshotHead::decode(&file, HEAD_FILE);
    match &decoded {
        Ok(head) => {
            let again = SnapshotHead::decode(&head.encode(), HEAD_FILE);
            assert_eq!(again.expect("it was encoded"), *head);
        }
        Err(error) => assert!(error.to_string().contains(HEAD_FILE), "{error} names the file"),
    }
    decoded.is_ok()
}

/// Makes the sum at byte `at` right, whose owner is what the bytes begin with.
fn sum(bytes: &mut [u8], at: usize) {
    let magic = Input::new(bytes).u64();
    bytes[at..at + 4].fill(0);
    let sum = checksum(magic, 0, bytes);
    bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn shard(how: u8, bytes: &[u8]) -> bool {
    let mut file = bytes.to_vec();
    if bit(how, 0) && bytes.len() >= LENGTH_AT + 8 {
        file[LENGTH_AT..LENGTH_AT + 8].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        file[SHARD_SUM_AT..SHARD_SUM_AT + 4].fill(0);
        let sum = checksum(ID, SHARD.0.into(), &file);
        file[SHARD_SUM_AT..SHARD_SUM_AT + 4].copy_from_slice(&sum.to_le_bytes());
    }
    let pages = bytes.len().next_multiple_of(ALIGN) + ALIGN * usize::from(bit(how, 2));
    file.resize(pages, 0);
    let decoded = ShardHead::decode(file, ID, SHARD, SHARD_FILE);
    match &decoded {
        Ok(head) => {
            let again = ShardHead::decode(head.encode(), ID, SHARD, SHARD_FILE);
            assert_eq!(again.expect("it was encoded"), *head);
        }
        Err(SnapshotError::Corrupt(_) | SnapshotError::Newer(_) | SnapshotError::Older(_)) => {}
        Err(error) => panic!("no other error: {error}"),
    }
    decoded.is_ok()
}

/// A head with something in each field.
pub(super) fn example() -> SnapshotHead {
    let node = Superblock::born(&NewNode {
        node: NodeId(NonZeroU64::MIN),
        cluster: ClusterId(9),
        cluster_name: "shop".to_owned(),
        seed: 7,
        vnodes: VnodeBits::DEFAULT,
        shards: 4,
    });
    SnapshotHead { id: ID, taken_at_ms: 1 << 40, tables: 3, bytes: 1 << 20, node }
}

fn table(number: u32, level: u8) -> TableEntry {
    let tokens = TokenRange::new(Token(u64::from(number) << 32), Token(u64::MAX >> level));
    let tokens = tokens.expect("it begins before it ends");
    let properties = Properties {
        records: 3,
        tombstones: 1,
        expiring: 1,
        raw_bytes: 100,
        tokens,
        hlc_min: Hlc(1),
        hlc_max: Hlc(7),
        expires_max_ms: 5,
    };
    let (id, file_crc) = (FileId::new(1, SHARD, number), !number);
    let (visible, as_of, hidden) = (tokens, id, 0);
    TableEntry { id, level, visible, file_bytes: 8192, file_crc, as_of, hidden, properties }
}

/// What a shard has with so many tables.
pub(super) fn example_shard(tables: u32) -> ShardHead {
    let added = (0..tables).map(|number| table(number, (number % 3) as u8)).collect();
    let clocks = (tables > 1).then_some(tables + 1);
    let hole = |tokens| Hole { tokens, before: FileId::new(1, SHARD, 2) };
    let holes = TokenRange::new(Token(7), Token(1 << 40)).filter(|_| tables > 2).map(hole);
    let (holes, flushed) = (holes.into_iter().collect(), Some(9));
    let edit =
        VersionEdit { added, flushed, file_numbers: 64, clocks, holes, ..Default::default() };
    let clocks = clocks.map(|number| ClocksCopy {
        id: FileId::new(1, SHARD, number),
        bytes: 4096,
        crc: number,
    });
    ShardHead {
        snapshot: ID,
        shard: SHARD,
        generation: 1,
        tokens: TokenRange::ALL,
        version: Version::default().apply(&edit).expect("tables in levels of their own"),
        clocks,
    }
}

/// Inputs that encoders made, to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let head = example().encode();
    let head = [&head[..HEAD_USED], &head[ALIGN..ALIGN + 62]].concat();
    let mut seeds: Vec<Vec<u8>> = [0, 1].map(|how| [&[how], &head[..]].concat()).into();
    for tables in 0..4 {
        let file = example_shard(tables).encode();
        let length = Input::new(&file[LENGTH_AT..]).u64() as usize;
        seeds.extend([2, 3].map(|how| [&[how], &file[..length]].concat()));
    }
    seeds
}
