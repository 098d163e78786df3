//! Files that the real store wrote, whole and then damaged everywhere: what is whole has no
//! findings, what is damaged has some that name the file, and nothing panics.

use std::num::NonZeroU64;
use std::ops::ControlFlow;

use schemas::ids::{ClusterId, NodeId, ShardId, Token, VnodeBits};

use super::*;
use crate::commit_log::{CommitLog, LogConfig, LogId, Piece, Sequence, list_segment, segment_id};
use crate::data_dir::{self, NewNode};
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::env::{ALIGN, Env, Open};
use crate::manifest::{FrameContent, Manifest};
use crate::record::lww;
use crate::sstable::{BlockAt, FileId, Table, TokenRange, sample};
use crate::store::{Store, StoreConfig};

const SHARD: &str = "gen-0001/shard-000";

fn config() -> StoreConfig {
    let all = (Token(0), Token(u64::MAX));
    let mut config = StoreConfig::new(1, ShardId(0), all, 64 << 10);
    config.log = LogConfig {
        segment_bytes: 64 << 10,
        batch_bytes_max: 32 << 10,
        spare_segments: 1,
        ..LogConfig::default()
    };
    config.log_bytes_max = 128 << 10;
    config
}

async fn put_some(env: &SimEnv, store: &mut Store<SimEnv>, hlcs: std::ops::Range<u64>) {
    for hlc in hlcs {
        let key = format!("key {hlc}");
        let value = sample::value(key.as_bytes(), hlc, hlc as usize % 300);
        store.put_now(&value.record()).unwrap();
        store.tick();
        env.parked().await;
        store.poll(&mut Vec::new()).unwrap();
    }
}

/// A node of one shard with tables, a log that holds more, and nothing running.
fn stocked() -> SimDisk {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let new = NewNode {
            node: NodeId(NonZeroU64::MIN),
            cluster: ClusterId(6),
            cluster_name: "shop".to_owned(),
            seed: 7,
            vnodes: VnodeBits::DEFAULT,
            shards: 1,
        };
        data_dir::open(&env, &new).await.unwrap();
        let (mut store, _) = Store::open(env.clone(), SHARD, config(), lww).await.unwrap();
        put_some(&env, &mut store, 1..60).await;
        store.flush().await.unwrap();
        put_some(&env, &mut store, 60..90).await;
    });
    disk
}

fn with_env<T>(disk: &SimDisk, work: impl AsyncFnOnce(SimEnv) -> T) -> T {
    let sim = Sim::new(1);
    sim.block_on(work(sim.env(disk)))
}

fn verified(disk: &SimDisk) -> Verified {
    with_env(disk, async |env| verify(&env, &mut |_, _| {}).await).unwrap()
}

/// Lists what the file is, whatever is in it.
fn list(disk: &SimDisk, path: &str) {
    with_env(disk, async |env| {
        let name = path.rsplit('/').next().unwrap();
        if name == "MANIFEST" {
            drop(Manifest::list(&env, SHARD).await);
        } else if let Some(id) = segment_id(name) {
            drop(list_segment(&env, path, id, |_| ControlFlow::Continue(())).await);
        }
    });
}

fn files(disk: &SimDisk, end: &str) -> Vec<String> {
    disk.paths().into_iter().filter(|path| path.ends_with(end)).collect()
}

#[test]
fn a_directory_that_is_whole_has_no_findings() {
    let disk = stocked();
    let (mut last, mut calls) = ((0, 0), 0);
    let verified = with_env(&disk, async |env| {
        let progress = &mut |done, total| (last, calls) = ((done, total), calls + 1);
        verify(&env, progress).await
    });
    let verified = verified.unwrap();
    assert_eq!((&verified.findings, &verified.torn), (&vec![], &vec![]));
    assert!(verified.unjudged.is_empty(), "{:?}", verified.unjudged);
    assert!(verified.unnamed.is_empty(), "{:?}", verified.unnamed);
    assert_eq!(verified.shards, 1);
    assert!(verified.tables > 0 && verified.blocks >= verified.tables, "{verified:?}");
    assert!(verified.batches > 0, "{verified:?}");
    assert!(verified.records + verified.entries >= 89);
    assert!(calls > 2 && last.0 > 0 && last.0 <= last.1, "{last:?}");
}

#[test]
fn what_nobody_names_is_told_and_is_no_damage() {
    let disk = stocked();
    let names = ["00010000000000ff.sst", "MANIFEST.old", "segment.tmp", "notes"];
    let paths = names.map(|name| format!("{SHARD}/{name}"));
    paths.iter().for_each(|path| disk.put(path, b"x"));
    disk.put("stray", b"x");
    let verified = verified(&disk);
    assert_eq!(verified.findings, []);
    let mut unnamed = verified.unnamed;
    unnamed.sort();
    let mut expected: Vec<String> = paths.into_iter().chain(["stray".to_owned()]).collect();
    expected.sort();
    assert_eq!(unnamed, expected);
}

/// Puts `bytes` in the place of `path`, and says what is found.
fn damaged(disk: &SimDisk, path: &str, bytes: &[u8]) -> Vec<Finding> {
    let whole = disk.bytes(path).unwrap();
    disk.put(path, bytes);
    list(disk, path);
    let findings = verified(disk).findings;
    disk.put(path, &whole);
    findings
}

fn flipped(whole: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    bytes[at] ^= 0x10;
    bytes
}

#[test]
fn every_changed_byte_of_a_table_is_found_in_its_block() {
    let disk = stocked();
    let path = files(&disk, ".sst").remove(0);
    let id = FileId::from_file_name(path.rsplit('/').next().unwrap()).unwrap();
    let whole = disk.bytes(&path).unwrap();
    let blocks: Vec<BlockAt> = with_env(&disk, async |env| {
        let table = Table::open(&env, SHARD, id, TokenRange::ALL).await.unwrap();
        assert_eq!(table.partitions(), 1, "a small table");
        table.read_partition(0).await.unwrap().blocks().map(|(at, _)| at).collect()
    });
    let block = |byte: usize| {
        let holds =
            |it: &&BlockAt| (it.offset..it.offset + u64::from(it.len)).contains(&(byte as u64));
        blocks.iter().find(holds).map(|it| it.offset)
    };
    for at in 0..whole.len() {
        disk.put(&path, &flipped(&whole, at));
        let findings = with_env(&disk, async |env| {
            match Table::open(&env, SHARD, id, TokenRange::ALL).await {
                Ok(table) => {
                    let mut findings = Vec::new();
                    check_table(&table, &mut |it| findings.push(it), &mut |_| {}).await;
                    findings
                }
                Err(error) => vec![error.into()],
            }
        });
        assert_eq!(findings.len(), 1, "byte {at}: {findings:?}");
        assert_eq!(findings[0].file, path);
        let data_end = blocks.last().map(|it| it.offset + u64::from(it.len));
        match block(at) {
            Some(block) => assert_eq!(findings[0].offset, block, "byte {at}: {findings:?}"),
            // Without its magic it is no table as a whole.
            None if at >= whole.len() - 8 => assert_eq!(findings[0].offset, 0),
            None => assert!(Some(findings[0].offset) >= data_end, "byte {at}: {findings:?}"),
        }
    }
}

#[test]
fn damage_to_a_named_file_is_found_by_its_name() {
    let disk = stocked();
    let tables = files(&disk, ".sst");
    for path in tables.iter().chain(&["NODE".to_owned()]) {
        let whole = disk.bytes(path).unwrap();
        for at in (0..whole.len()).step_by(61) {
            let findings = damaged(&disk, path, &flipped(&whole, at));
            assert!(findings.iter().any(|it| it.file == *path), "{path} byte {at}: {findings:?}");
        }
        for len in (0..whole.len()).step_by(ALIGN / 2) {
            let findings = damaged(&disk, path, &whole[..len]);
            assert!(findings.iter().any(|it| it.file == *path), "{path} cut at {len}");
        }
        disk.remove(path);
        assert!(verified(&disk).findings.iter().any(|it| it.file == *path), "{path} is gone");
        disk.put(path, &whole);
    }
}

/// Not every byte matters: room for edits, and what a crash may have torn.
#[test]
fn damage_to_what_is_written_in_place_does_no_harm() {
    let disk = stocked();
    let logs = files(&disk, ".log");
    let shards = [format!("{SHARD}/MANIFEST"), "CLOCK".to_owned()];
    for path in logs.iter().chain(&shards) {
        let whole = disk.bytes(path).unwrap();
        let used = whole.iter().rposition(|&byte| byte != 0).unwrap_or(0);
        let mut found = 0;
        for at in (0..=used).step_by(37) {
            let findings = damaged(&disk, path, &flipped(&whole, at));
            assert!(findings.iter().all(|it| it.file == *path), "{path} byte {at}: {findings:?}");
            found += findings.len();
        }
        let is_first_log = logs.first() == Some(path);
        assert!(found > 0 || !is_first_log && path.ends_with(".log") || path == "CLOCK", "{path}");
        for len in (0..whole.len()).step_by(whole.len() / 7) {
            damaged(&disk, path, &whole[..len]);
        }
    }
}

#[test]
fn files_in_each_others_place_are_found() {
    let disk = stocked();
    let manifest = format!("{SHARD}/MANIFEST");
    let table = files(&disk, ".sst").remove(0);
    let bytes = disk.bytes(&table).unwrap();
    for path in [&manifest, &table] {
        let other = disk.bytes(if *path == manifest { &table } else { &manifest }).unwrap();
        let findings = damaged(&disk, path, &other);
        assert!(findings.iter().any(|it| it.file == **path), "{findings:?}");
    }
    // Another table's bytes under this one's name.
    let other = sample::mixed(&mut fastrand::Rng::with_seed(3), 20);
    with_env(&disk, async |env| {
        sample::write_table(&env, "", FileId(0xabc), &other).await;
    });
    let other = disk.bytes("/0000000000000abc.sst").unwrap();
    let findings = damaged(&disk, &table, &other);
    assert!(findings.iter().any(|it| it.file == table), "{findings:?}");
    assert_eq!(disk.bytes(&table).unwrap(), bytes);
}

/// What is in tables is not needed again: a start does not look at it, an operator wants to know.
#[test]
fn a_damaged_batch_that_is_flushed_is_told_and_is_no_damage() {
    let disk = stocked();
    let path = files(&disk, ".log").remove(0);
    disk.corrupt(&path, |bytes| bytes[60] ^= 1);
    let flushed = with_env(&disk, async |env| Manifest::find(&env, SHARD).await);
    assert!(flushed.unwrap().flushed() > 1);
    let verified = verified(&disk);
    assert_eq!(verified.findings, []);
    let torn: Vec<_> = verified.torn.iter().map(|it| (&*it.file, it.offset)).collect();
    assert_eq!(torn, [(&*path, 0)]);
}

/// A batch whose sum agrees, of which a start could make nothing.
#[test]
fn an_entry_that_is_no_record_is_found_at_its_batch() {
    let disk = stocked();
    with_env(&disk, async |env| {
        let flushed = Sequence(Manifest::find(&env, SHARD).await.unwrap().flushed());
        let (config, id) = (config().log, LogId::new(1, ShardId(0)));
        let log = CommitLog::open(env.clone(), SHARD, id, config, flushed, |_, _| {}).await;
        let mut log = log.unwrap().0;
        let sequence = log.append(8, |out| out.fill(1)).unwrap();
        while log.durable() < sequence {
            log.commit();
            env.parked().await;
            let mut done = Vec::new();
            env.poll(&mut done);
            for done in done {
                log.complete(done).unwrap();
            }
        }
    });
    let findings = verified(&disk).findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].file.ends_with(".log") && findings[0].what.contains("no record"));
}

#[test]
fn a_manifest_and_a_segment_are_listed_whole() {
    let disk = stocked();
    with_env(&disk, async |env| {
        let listing = Manifest::list(&env, SHARD).await.unwrap();
        let bytes: u64 = listing.frames.iter().map(|frame| frame.bytes).sum();
        assert_eq!(bytes + ALIGN as u64, listing.file_bytes);
        let seals = listing.frames.iter().filter(|it| matches!(it.content, FrameContent::Seal(_)));
        assert_eq!(seals.count(), 1);
        assert!(listing.version.unwrap().tables().next().is_some());
        for path in files(&disk, ".log") {
            let id = segment_id(path.rsplit('/').next().unwrap()).unwrap();
            let (mut next, mut batches) = (0, 0);
            let listed = list_segment(&env, &path, id, |listed| {
                assert_eq!(listed.offset, next);
                next += listed.bytes;
                batches += u64::from(matches!(listed.piece, Piece::Batch(..)));
                ControlFlow::Continue(())
            });
            let (bytes, end) = listed.await.unwrap();
            assert_eq!(next, bytes, "{path}");
            assert!(end.is_some() && (batches > 0 || end.is_some_and(|it| it.offset == 0)));
        }
    });
}

#[test]
fn a_reader_of_plain_files_changes_nothing_and_opens_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let env = ReadOnly::new(dir.path());
    now(async {
        assert!(env.open("a", Open::Create).await.is_err());
        assert!(env.create_dir("d").await.is_err());
        assert!(env.list("").await.unwrap().is_empty());
        assert!(env.open(".", Open::Read).await.is_err(), "a directory is no file");
    });
    assert!(now(verify(&env, &mut |_, _| {})).is_err(), "there is no node");
}
