//! Fuzz target: a log of any bytes is replayed, listed and repaired.
//!
//! ```text
//! input: | how 1 | flushed 1 | piece, piece, .. |
//! how:   bit 0 sums are made right, bit 1 the log is repaired, bit 2 files end where pieces do
//! piece: | op 1 | length 2 | bytes |, at the next page
//! op:    bits 0-1 0: nothing is made right, 1: the sum, 2: the header, 3: the count as well
//!        bit 2 the next segment begins here, bit 3 a page is left out
//! ```

use std::ops::ControlFlow;

use schemas::ids::ShardId;

use super::format::{self, ENTRY_HEADER_BYTES, Entries, HEADER_BYTES, Head, Kind, Place};
use super::{
    CommitLog, Durability, LogConfig, LogError, LogId, Sequence, check, list_segment, segment_id,
};
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::env::{ALIGN, Env};
use crate::fuzz::{Input, bit};
use crate::integrity::checksum;
use crate::record::{Kind as RecordKind, ROW_HEADER_BYTES, Record};

const PAGES_MAX: usize = 32;
const SEGMENTS_MAX: u32 = 4;
const SEGMENT_BYTES: usize = 4 * ALIGN;

/// Offsets in a batch's header.
const MAGIC: &[u8] = b"KVL1";
const SUM_AT: usize = 4;
const LENGTH_AT: usize = 8;
const ENTRIES_AT: usize = 12;
const SEGMENT_AT: usize = 16;

type Batch = (Sequence, Vec<Vec<u8>>);

fn log_id() -> LogId {
    LogId::new(1, ShardId(2))
}

/// Reads an input.
pub(crate) fn log(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (how, flushed) = (input.u8(), Sequence(input.u8().into()));
    let disk = SimDisk::new(1);
    for (number, mut bytes) in segments(&mut input, bit(how, 0)).into_iter().enumerate() {
        if !bit(how, 2) {
            bytes.resize(bytes.len().max(SEGMENT_BYTES), 0);
        }
        disk.put(&format::segment_name(log_id().segment(number as u32 + 1)), &bytes);
    }
    let sound = sound_batches(&disk);
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    let replayed = sim.block_on(replay(&env, flushed));
    match &replayed {
        Ok(batches) => check_batches(batches, &sound, flushed),
        Err(error) => assert!(error.to_string().contains(".log"), "{error} names the file"),
    }
    sim.block_on(list_all(&env, &disk));
    if bit(how, 1) {
        let repaired = repair(&disk, flushed);
        check_batches(&repaired, &sound, flushed);
        if let Ok(batches) = &replayed {
            assert!(repaired == *batches, "of a sound log nothing is given up");
        }
    }
    replayed.is_ok_and(|batches| !batches.is_empty())
}

/// The segments that an input describes.
fn segments(input: &mut Input<'_>, sums: bool) -> Vec<Vec<u8>> {
    let mut segments = vec![Vec::new()];
    let mut pages = 0;
    while !input.is_empty() && pages < PAGES_MAX {
        let op = input.u8();
        let len = usize::from(input.u16());
        let mut bytes = input.take(len).to_vec();
        if bit(op, 2) && segments.len() < SEGMENTS_MAX as usize {
            segments.push(Vec::new());
        }
        let segment = log_id().segment(segments.len() as u32);
        let file = segments.last_mut().expect("there is one");
        file.resize(file.len() + ALIGN * usize::from(bit(op, 3)), 0);
        if sums {
            mend(&mut bytes, op & 3, Place { segment, offset: file.len() as u64 });
        }
        file.extend_from_slice(&bytes);
        file.resize(file.len().next_multiple_of(ALIGN), 0);
        pages += bytes.len().div_ceil(ALIGN) + 1;
    }
    segments
}

/// Makes of `bytes` what passes for a batch at `place`, as far as `level` says.
fn mend(bytes: &mut [u8], level: u8, place: Place) {
    if bytes.len() < HEADER_BYTES || level == 0 {
        return;
    }
    if level >= 2 {
        bytes[..MAGIC.len()].copy_from_slice(MAGIC);
        let len = bytes.len() as u32;
        bytes[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&len.to_le_bytes());
        bytes[SEGMENT_AT..SEGMENT_AT + 8].copy_from_slice(&place.segment.to_le_bytes());
    }
    if level == 3 {
        let entries = Entries::of(bytes).count() as u32;
        bytes[ENTRIES_AT..ENTRIES_AT + 4].copy_from_slice(&entries.to_le_bytes());
    }
    let sum = checksum(place.segment, place.offset, &bytes[LENGTH_AT..]);
    bytes[SUM_AT..LENGTH_AT].copy_from_slice(&sum.to_le_bytes());
}

/// All batches on the disk whose sums hold, read without a scan: what a replay may give.
fn sound_batches(disk: &SimDisk) -> Vec<Batch> {
    let mut batches = Vec::new();
    for path in disk.paths() {
        let segment = segment_id(&path).expect("nothing else is there");
        let file = disk.bytes(&path).expect("it is there");
        for offset in (0..file.len()).step_by(ALIGN) {
            let rest = &file[offset..];
            let len = Input::new(&rest[LENGTH_AT..]).u32() as usize;
            let Some(bytes) = rest.get(..len).filter(|it| it.len() >= HEADER_BYTES) else {
                continue;
            };
            let sum = checksum(segment, offset as u64, &bytes[LENGTH_AT..]);
            let place = Place { segment, offset: offset as u64 };
            let label = format::verify(place, bytes);
            let is_summed = sum.to_le_bytes() == bytes[SUM_AT..LENGTH_AT];
            let Some(label) = label.inspect(|_| assert!(is_summed)) else { continue };
            if label.kind == Kind::Entries {
                let entries = Entries::of(bytes).map(<[u8]>::to_vec).collect();
                batches.push((label.sequence, entries));
            }
        }
    }
    batches
}

/// Batches that were replayed, each with its entries. One without entries is not seen.
fn check_batches(batches: &[Batch], sound: &[Batch], flushed: Sequence) {
    assert!(batches.is_sorted_by(|a, b| a.0 < b.0), "each batch once, in order");
    for batch in batches {
        assert!(batch.0 > flushed, "what is flushed is not replayed");
        assert!(sound.contains(batch), "batch {} is on the disk, whole", batch.0);
        batch.1.iter().for_each(|entry| check_row(entry));
    }
}

/// What is read of a row is what is written for it.
fn check_row(row: &[u8]) {
    let Some(record) = Record::from_row(row) else { return };
    let mut again = vec![0; record.row_len()];
    record.write_row(&mut again);
    // The last byte of the header is not read.
    again[ROW_HEADER_BYTES - 1] = row[ROW_HEADER_BYTES - 1];
    assert!(again == row);
    assert!(record.kind != RecordKind::Tombstone || record.value.is_empty());
    assert!(!record.key.bytes.is_empty());
}

fn gather(batches: &mut Vec<Batch>, sequence: Sequence, entry: &[u8]) {
    match batches.last_mut().filter(|(last, _)| *last == sequence) {
        Some((_, entries)) => entries.push(entry.to_vec()),
        None => batches.push((sequence, vec![entry.to_vec()])),
    }
}

async fn replay(env: &SimEnv, flushed: Sequence) -> Result<Vec<Batch>, LogError> {
    let mut batches = Vec::new();
    let apply = |sequence, entry: &[u8]| gather(&mut batches, sequence, entry);
    check(env, "", log_id(), flushed, apply).await?;
    Ok(batches)
}

/// The pieces of a listing follow each other to the file's last whole page.
async fn list_all(env: &SimEnv, disk: &SimDisk) {
    for path in disk.paths() {
        let id = segment_id(&path).expect("nothing else is there");
        let mut end = 0;
        let each = |listed: super::Listed<'_>| {
            assert_eq!(listed.offset, end);
            end += listed.bytes;
            ControlFlow::Continue(())
        };
        let listed = list_segment(env, &path, id, each).await;
        let (bytes, _) = listed.expect("a listing has no errors but the disk's");
        assert_eq!(end, bytes);
    }
}

/// A repair opens every log; and what it gave is there again at the next start.
fn repair(disk: &SimDisk, flushed: Sequence) -> Vec<Batch> {
    let mut first = None;
    for seed in 0..2 {
        let sim = Sim::new(seed);
        let mut batches = Vec::new();
        let apply = |sequence, entry: &[u8]| gather(&mut batches, sequence, entry);
        let opened = CommitLog::open(sim.env(disk), "", log_id(), config(), flushed, apply);
        let opened = sim.block_on(opened);
        drop(opened.expect("a repair gives up what it cannot read"));
        let before = first.get_or_insert_with(|| batches.clone());
        assert!(*before == batches, "a repair is for good");
    }
    first.expect("it was opened")
}

fn config() -> LogConfig {
    LogConfig {
        durability: Durability::Sync,
        segment_bytes: SEGMENT_BYTES as u64,
        batch_bytes_max: ALIGN,
        batches_max: 2,
        spare_segments: 1,
        repair: true,
    }
}

/// The input that describes the log on `disk`, level by level of mending.
fn input_of(disk: &SimDisk, how: u8, level: u8) -> Vec<u8> {
    let mut input = vec![how, 0];
    for (number, path) in disk.paths().iter().filter(|path| path.ends_with(".log")).enumerate() {
        let (bytes, mut offset) = (disk.bytes(path).expect("it is there"), 0);
        let segment = segment_id(path).expect("it is one");
        let mut op = level | u8::from(number > 0) << 2;
        while offset < bytes.len() {
            let place = Place { segment, offset: offset as u64 };
            let Head::Batch { length } = format::head(place, &bytes[offset..]) else { break };
            input.push(op);
            input.extend_from_slice(&(length as u16).to_le_bytes());
            input.extend_from_slice(&bytes[offset..offset + length]);
            offset += length.next_multiple_of(ALIGN);
            op = level;
        }
    }
    input
}

/// Inputs that encoders made, to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (how, level) in [(0, 0), (1, 1), (1, 2), (3, 3)] {
        for batches in [1, 5] {
            let disk = SimDisk::new(1);
            let sim = Sim::new(1);
            let env = sim.env(&disk);
            sim.block_on(write_log(&env, batches));
            seeds.push(input_of(&disk, how, level));
        }
    }
    seeds
}

async fn write_log(env: &SimEnv, batches: u64) {
    let config = LogConfig { repair: false, ..config() };
    let opened = CommitLog::open(env.clone(), "", log_id(), config, Sequence(0), |_, _| ()).await;
    let (mut log, _) = opened.expect("the disk works");
    let mut done = Vec::new();
    for batch in 1..=batches {
        let sample = crate::sstable::sample::value(&batch.to_le_bytes(), batch, 20);
        let len = sample.record().row_len();
        assert!(len + ENTRY_HEADER_BYTES < ALIGN);
        log.append(len, |out| sample.record().write_row(out)).expect("there is room");
        while log.durable() < Sequence(batch) {
            log.commit();
            env.parked().await;
            env.poll(&mut done);
            for done in done.drain(..) {
                log.complete(done).expect("the disk works");
            }
        }
    }
    log.seal();
    log.commit();
    while !log.is_settled() {
        env.parked().await;
        env.poll(&mut done);
        for done in done.drain(..) {
            log.complete(done).expect("the disk works");
        }
        log.commit();
    }
}
