//! Fuzz target: a manifest of any frames is read and listed, and what it says is written again.
//!
//! ```text
//! input: | how 1 | base frames 1 | header 48, if how says so | frame, frame, .. |
//! how:   bit 0 sums are made right, bit 1 the header's bytes are the input's, bit 2 the file is a
//!        page longer than its header says
//! frame: | op 1 | length 2 | bytes |, at the next page
//! op:    bits 0-1 0: nothing is made right, 1: the sum, 2, 3: the head; bit 2 a page is left out
//! ```

use std::collections::BTreeSet;

use schemas::ids::{Hlc, ShardId, Token};

use super::file::{Manifest, NAME};
use super::frame::{Header, shard_hash};
use super::{FrameContent, Hole, ManifestError, TableEntry, Version, VersionEdit};
use crate::env::sim::{Sim, SimDisk};
use crate::env::{ALIGN, Env};
use crate::fuzz::{Input, bit};
use crate::integrity::checksum;
use crate::limits::LOG_SEQUENCE_MAX;
use crate::sstable::{FileId, Properties, TokenRange};

const DIR: &str = "shard";
const INCARNATION: u64 = 7;
const PAGES_MAX: usize = 16;
const HEADER_BYTES: usize = 48;
const HEAD_BYTES: usize = 16;

/// Reads an input.
pub(crate) fn manifest(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let file = file(&mut input);
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let (found, listed) = sim.block_on(async {
        env.create_dir(DIR).await.expect("the disk works");
        disk.put(&format!("{DIR}/{NAME}"), &file);
        (Manifest::find(&env, DIR).await, Manifest::list(&env, DIR).await)
    });
    if let Ok(listing) = &listed {
        let mut end = ALIGN as u64;
        for frame in &listing.frames {
            assert_eq!(frame.offset, end, "what is listed follows each other");
            end += frame.bytes;
            if let FrameContent::Edit(_, Some(edit)) = &frame.content {
                check_edit(edit);
            }
        }
        assert!(end == listing.file_bytes.next_multiple_of(ALIGN as u64));
    }
    match (found, listed) {
        (Ok(version), Ok(listing)) => {
            assert!(listing.version.as_ref() == Ok(&version), "what is listed is what is read");
            check_version(&version);
            return true;
        }
        (Err(ManifestError::Corrupt(error)), Ok(listing)) => {
            assert!(error.file.ends_with(NAME) && listing.version == Err(error));
        }
        (Err(error), Err(_)) => assert!(error.to_string().contains(NAME), "{error} names the file"),
        (found, listed) => panic!("{found:?}, {listed:?}"),
    }
    false
}

/// The manifest that an input describes.
fn file(input: &mut Input<'_>) -> Vec<u8> {
    let (how, base_frames) = (input.u8(), input.u8());
    let own_header = if bit(how, 1) { input.take(HEADER_BYTES) } else { &[] };
    let mut file = vec![0; ALIGN];
    for sequence in 1u64.. {
        if input.is_empty() || file.len() >= PAGES_MAX * ALIGN {
            break;
        }
        let op = input.u8();
        let len = usize::from(input.u16());
        file.resize(file.len() + ALIGN * usize::from(bit(op, 2)), 0);
        let (at, bytes) = (file.len(), input.take(len));
        file.extend_from_slice(bytes);
        file.resize((at + bytes.len().max(HEAD_BYTES)).next_multiple_of(ALIGN), 0);
        if op & 3 >= 2 {
            let body_len = bytes.len().saturating_sub(HEAD_BYTES) as u32;
            file[at + 4..at + 8].copy_from_slice(&body_len.to_le_bytes());
            file[at + 8..at + 16].copy_from_slice(&sequence.to_le_bytes());
        }
        if bit(how, 0) && op & 3 > 0 {
            let sum = checksum(INCARNATION, at as u64, &file[at + 4..]);
            file[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    let header = Header {
        incarnation: INCARNATION,
        base_frames: base_frames.into(),
        file_len: file.len() as u64,
        shard: shard_hash(DIR),
    };
    file[..ALIGN].copy_from_slice(&header.encode());
    file[..own_header.len()].copy_from_slice(own_header);
    if bit(how, 0) {
        let sum = checksum(0, 0, &file[..ALIGN - 4]);
        file[ALIGN - 4..ALIGN].copy_from_slice(&sum.to_le_bytes());
    }
    file.resize(file.len() + ALIGN * usize::from(bit(how, 2)), 0);
    file
}

/// An edit is written as it was read.
fn check_edit(edit: &VersionEdit) {
    let mut bytes = Vec::new();
    edit.encode(&mut bytes);
    assert_eq!(bytes.len(), edit.encoded_len());
    assert!(VersionEdit::decode(&bytes).as_ref() == Some(edit));
}

/// A version is sound, and a manifest written of it says the same.
fn check_version(version: &Version) {
    let ids: BTreeSet<FileId> = version.tables().map(|table| table.id).collect();
    assert_eq!(ids.len(), version.tables().count(), "no table is there twice");
    assert!(version.flushed() <= LOG_SEQUENCE_MAX, "there is a batch to come");
    for level in 1..super::LEVELS as u8 {
        let tables = version.level(level);
        assert!(tables.is_sorted_by(|a, b| a.visible.last() < b.visible.first()));
    }
    let holes: Vec<&Hole> = version.holes().iter().collect();
    assert!(holes.is_sorted_by(|a, b| a.tokens.last() < b.tokens.first()));
    for table in version.tables() {
        assert!((0.0..=1.0).contains(&table.visible_fraction()));
    }
    let header = Header { incarnation: 1, base_frames: 0, file_len: 0, shard: shard_hash(DIR) };
    for tables_max in [1, 1000] {
        let mut bytes = header.encode();
        for (edit, sequence) in version.snapshot(tables_max).iter().zip(1..) {
            let offset = bytes.len() as u64;
            header.put_frame(&mut bytes, offset, sequence, Some(edit));
        }
        assert!(header.replay(&bytes, NAME).as_ref() == Ok(version));
    }
}

fn entry(number: u32, level: u8, first: u64, last: u64) -> TableEntry {
    let tokens = TokenRange::new(Token(first), Token(last)).expect("a range");
    let properties = Properties {
        records: 10,
        tombstones: 1,
        expiring: 0,
        raw_bytes: 1000,
        tokens,
        hlc_min: Hlc(1),
        hlc_max: Hlc(number.into()),
        expires_max_ms: 0,
    };
    let id = FileId::new(1, ShardId(0), number);
    let (file_crc, as_of, hidden) = (number, id, 0);
    let visible = tokens;
    TableEntry { id, level, visible, file_bytes: 8192, file_crc, as_of, hidden, properties }
}

/// Inputs that encoders made, to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let added = |added: &[TableEntry]| VersionEdit { added: added.to_vec(), ..Default::default() };
    let first = added(&[entry(1, 0, 0, 100), entry(2, 0, 5, 50), entry(3, 1, 0, 9)]);
    let second = VersionEdit {
        dropped: vec![FileId::new(1, ShardId(0), 1)],
        flushed: Some(9),
        file_numbers: 70,
        purged: 3,
        holes: vec![
            Hole { tokens: entry(2, 0, 7, 20).visible, before: FileId::new(1, ShardId(0), 4) },
            Hole { tokens: entry(2, 0, 30, 90).visible, before: FileId::new(1, ShardId(0), 5) },
        ],
        ..added(&[entry(4, 23, 0, 9), entry(5, 23, 10, 100)])
    };
    let header = Header { incarnation: INCARNATION, base_frames: 1, file_len: 8192, shard: 0 };
    let mut seeds = Vec::new();
    for op in [1, 2] {
        let mut input = vec![1, 1];
        for (edit, sequence) in [Some(&first), Some(&second), None].into_iter().zip(1..) {
            let mut frame = Vec::new();
            header.put_frame(&mut frame, sequence * ALIGN as u64, sequence, edit);
            frame.truncate(HEAD_BYTES + edit.map_or(0, VersionEdit::encoded_len));
            input.push(op);
            input.extend_from_slice(&(frame.len() as u16).to_le_bytes());
            input.extend_from_slice(&frame);
        }
        seeds.push(input);
    }
    let shard = shard_hash(DIR);
    let empty = Header { base_frames: 0, file_len: ALIGN as u64, shard, ..header };
    seeds.push([&[3, 0], &empty.encode()[..HEADER_BYTES]].concat());
    seeds
}
