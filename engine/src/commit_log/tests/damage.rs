//! Bytes change while nobody looks: never a wrong entry, and never fewer without saying so.

use super::rig::*;
use crate::commit_log::format::{self, Head, Place};
use crate::env::ALIGN;
use crate::env::sim::Crash;
use schemas::ids::ShardId;

/// The places of all batches, with their lengths, by file.
fn batches(disk: &SimDisk) -> Vec<(String, usize, usize)> {
    let mut batches = Vec::new();
    for path in disk.paths() {
        let Some(segment) = format::segment_id(&path) else { continue };
        let bytes = disk.bytes(&path).unwrap();
        for (index, block) in bytes.chunks(ALIGN).enumerate() {
            let offset = index * ALIGN;
            let place = Place { segment, offset: offset as u64 };
            if let Head::Batch { length } = format::head(place, block) {
                batches.push((path.clone(), offset, length));
            }
        }
    }
    batches
}

/// A log of a few segments with nothing flushed, closed or left as after a kill.
fn small_log(seed: u64, sealed: bool) -> (SimDisk, Shadow) {
    let shadow = Rc::new(RefCell::new(Shadow::default()));
    let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut rig = Rig::open(&env, config(Durability::Sync), &shadow).await;
        while rig.log.kept_bytes() < 2 * SEGMENT_BYTES {
            rig.append().await.unwrap();
            rig.step().await.unwrap();
        }
        if sealed {
            rig.settle().await.unwrap();
        }
    });
    let shadow = shadow.borrow().clone();
    (disk.crash(Crash::KeepAll, 0), shadow)
}

fn try_open(disk: &SimDisk, repair: bool) -> Result<(ReplayReport, Vec<Entry>), LogError> {
    let sim = Sim::new(1);
    let env = sim.env(disk);
    let config = LogConfig { repair, ..config(Durability::Sync) };
    sim.block_on(async {
        let (log, report, entries) = open(&env, config, Sequence(0)).await?;
        drop(log);
        Ok((report, entries))
    })
}

fn flipped(disk: &SimDisk, path: &str, at: usize, bit: usize) -> SimDisk {
    let damaged = disk.crash(Crash::KeepAll, 0);
    damaged.corrupt(path, |bytes| bytes[at] ^= 1 << bit);
    damaged
}

#[test]
fn padding_is_zeros() {
    let (disk, _) = small_log(9, true);
    for (path, offset, length) in batches(&disk) {
        let bytes = disk.bytes(&path).unwrap();
        let padding = &bytes[offset + length..(offset + length).next_multiple_of(ALIGN)];
        assert!(padding.iter().all(|&byte| byte == 0), "{path} {offset}");
    }
}

#[test]
fn any_damage_to_a_sealed_log_is_told_or_harmless() {
    let (disk, shadow) = small_log(1, true);
    let batches = batches(&disk);
    let (seal, before) = batches.split_last().unwrap();
    let mut told = 0;
    for (path, offset, length) in before {
        // All of a header, and a sample of what follows: one sum covers it.
        let places = (0..*length).filter(|at| *at < 60 || at % 97 == 0 || at + 1 == *length);
        for at in places {
            let damaged = flipped(&disk, path, offset + at, at % 8);
            let error = try_open(&damaged, false).expect_err("an acknowledged batch is damaged");
            let LogError::Damaged { at, .. } = &error else { panic!("{error}") };
            assert_eq!((&at.file, at.offset), (path, *offset as u64), "{error}");
            assert_eq!(damaged.paths(), disk.paths(), "nothing was changed");
            told += 1;
        }
    }
    assert!(told > 500);
    let (path, offset, _) = seal;
    for at in 0..2 * ALIGN {
        let damaged = flipped(&disk, path, offset + at, at % 8);
        if at % 7 == 0 {
            assert!(try_open(&damaged, false).unwrap().1 == shadow.appended);
        }
    }
}

/// Documented: without a seal, a damaged last batch cannot be told from a torn one.
#[test]
fn damage_to_an_unsealed_last_batch_drops_it_and_nothing_else() {
    let (disk, shadow) = small_log(2, false);
    let batches = batches(&disk);
    let (path, offset, length) = batches.last().unwrap();
    let last = shadow.appended[shadow.acknowledged - 1].0;
    let kept: Vec<Entry> = shadow.appended.iter().filter(|e| e.0 < last).cloned().collect();
    for at in (0..*length).filter(|at| *at < 60 || at % 97 == 0) {
        let damaged = flipped(&disk, path, offset + at, at % 8);
        let (report, entries) = try_open(&damaged, false).unwrap();
        assert!(entries == kept);
        let names_itself = !matches!(at, 0..4 | 16..24);
        assert_eq!(report.tail_bytes_dropped > 0, names_itself, "byte {at}");
    }
}

#[test]
fn damage_to_what_is_flushed_does_not_matter() {
    let (disk, shadow) = small_log(3, true);
    let batches = batches(&disk);
    let half = shadow.appended[shadow.appended.len() / 2].0;
    let kept: Vec<Entry> = shadow.appended.iter().filter(|e| e.0 > half).cloned().collect();
    let mut harmless = 0;
    for (path, offset, _) in &batches[..batches.len() - 1] {
        let damaged = flipped(&disk, path, offset + 50, 0);
        let sim = Sim::new(1);
        let env = sim.env(&damaged);
        if let Ok((_, _, entries)) = sim.block_on(open(&env, config(Durability::Sync), half)) {
            assert!(entries == kept);
            harmless += 1;
        }
    }
    assert_eq!(harmless as u64, half.0, "one batch for each sequence that is flushed");
}

#[test]
fn a_repair_gives_up_what_is_damaged_and_keeps_the_rest() {
    let (disk, shadow) = small_log(4, true);
    let batches = batches(&disk);
    for (index, (path, offset, _)) in batches[..batches.len() - 1].iter().enumerate() {
        let damaged = flipped(&disk, path, offset + 50, 3);
        let lost = Sequence(index as u64 + 1);
        let (report, entries) = try_open(&damaged, true).unwrap();
        let kept: Vec<Entry> = shadow.appended.iter().filter(|e| e.0 != lost).cloned().collect();
        assert!(entries == kept);
        assert_eq!(report.given_up, [(lost, lost)]);
        let aside = format::aside_name(format::segment_id(path).unwrap());
        assert_eq!(
            damaged.bytes(&aside).unwrap()[offset + 50],
            damaged.bytes(path).unwrap()[offset + 50]
        );

        // It is repaired for good, through crashes, appends and flushes.
        let shadow = Shadow { acknowledged: kept.len(), appended: kept, ..shadow.clone() };
        let shadow = Rc::new(RefCell::new(shadow));
        let evidence = damaged.bytes(&aside);
        let mut disk = damaged;
        for life in 0..3 {
            disk = disk.crash(Crash::LoseAll, life);
            assert!(go_on(&disk, &config(Durability::Sync), life, 10, &shadow));
        }
        assert_eq!(disk.bytes(&aside), evidence, "what was set aside is not used again");
    }
}

#[test]
fn two_damages_are_repaired_at_once() {
    let (disk, shadow) = small_log(5, true);
    let batches = batches(&disk);
    let mut lost = Vec::new();
    for index in [1, 2, 5] {
        let (path, offset, _) = &batches[index];
        disk.corrupt(path, |bytes| bytes[offset + 50] ^= 1);
        lost.push(Sequence(index as u64 + 1));
    }
    let (report, entries) = try_open(&disk, true).unwrap();
    let kept: Vec<Entry> =
        shadow.appended.iter().filter(|e| !lost.contains(&e.0)).cloned().collect();
    assert!(entries == kept);
    assert_eq!(report.given_up, [(lost[0], lost[1]), (lost[2], lost[2])]);
    assert!(try_open(&disk.crash(Crash::LoseAll, 0), false).unwrap().1 == kept);
}

/// A start that repairs makes two segments ready. Between them the background had begun to make
/// segments as well: it could take the second one's place and leave none to be made ever again, or
/// remove the file that the other was filling.
#[test]
fn after_a_repair_segments_are_made_as_ever() {
    for seed in 0..40 {
        let (disk, _) = small_log(seed, false);
        for path in disk.paths() {
            if disk.bytes(&path).unwrap().iter().all(|&byte| byte == 0) {
                disk.remove(&path);
            }
        }
        let (path, offset, _) = &batches(&disk)[1];
        disk.corrupt(path, |bytes| bytes[offset + 50] ^= 1);
        // One to be used again, and one that is too, or is to be removed.
        for (number, bytes) in [(100, SEGMENT_BYTES), (101, SEGMENT_BYTES << (seed % 2))] {
            let name = format::segment_name(log_id().segment(number));
            disk.put(&name, &vec![0; bytes as usize]);
        }
        let sim = Sim::new(seed);
        let env = sim.env(&disk);
        let config = LogConfig { spare_segments: 2, repair: true, ..config(Durability::Sync) };
        let appended = sim.block_on(async {
            let (log, report, _) = open(&env, config.clone(), Sequence(0)).await.unwrap();
            assert_eq!(report.given_up.len(), 1);
            let kept = log.kept_bytes();
            env.sleep_us(10_000).await; // the background ends
            let mut rig = Rig::around(&env, log, Durability::Sync);
            while rig.log.kept_bytes() < kept + 3 * SEGMENT_BYTES {
                rig.append().await.unwrap();
            }
            rig.settle().await.unwrap();
            rig.shadow.take().appended
        });
        let (_, entries) = try_open(&disk.crash(Crash::LoseAll, seed), false).unwrap();
        assert!(entries.ends_with(&appended), "seed {seed}: what was acknowledged is there");
    }
}

#[test]
fn a_missing_a_short_and_an_empty_segment_are_told() {
    let (disk, shadow) = small_log(6, true);
    let used: Vec<String> = {
        let mut paths: Vec<String> = batches(&disk).into_iter().map(|batch| batch.0).collect();
        paths.dedup();
        paths
    };
    assert!(used.len() >= 2);
    let is_damaged =
        |disk: &SimDisk| matches!(try_open(disk, false), Err(LogError::Damaged { .. }));
    for (index, path) in used.iter().enumerate() {
        let is_last = index + 1 == used.len();
        let without = disk.crash(Crash::KeepAll, 0);
        without.remove(path);
        assert!(is_last || is_damaged(&without), "without {path}");
        for len in [0, 1, ALIGN - 1, ALIGN, 2 * ALIGN, 3 * ALIGN + 5] {
            let short = disk.crash(Crash::KeepAll, 0);
            short.corrupt(path, |bytes| bytes.truncate(len));
            assert!(is_damaged(&short), "{path} of {len} bytes");
            let (_, entries) = try_open(&short, true).unwrap();
            assert!(entries.iter().all(|entry| shadow.appended.contains(entry)));
        }
    }
}

#[test]
fn exchanged_and_copied_segments_and_blocks_are_not_believed() {
    let (disk, shadow) = small_log(7, true);
    let mut paths: Vec<String> = batches(&disk).into_iter().map(|batch| batch.0).collect();
    paths.dedup();
    let (first, second) = (disk.bytes(&paths[0]).unwrap(), disk.bytes(&paths[1]).unwrap());
    let exchanged = disk.crash(Crash::KeepAll, 0);
    exchanged.put(&paths[0], &second);
    exchanged.put(&paths[1], &first);
    let error = try_open(&exchanged, false).unwrap_err();
    assert!(error.to_string().contains("another segment than its name says"), "{error}");
    for block in 1..SEGMENT_BYTES as usize / ALIGN {
        let misdirected = disk.crash(Crash::KeepAll, 0);
        misdirected.corrupt(&paths[0], |bytes| bytes.copy_within(..ALIGN, block * ALIGN));
        match try_open(&misdirected, false) {
            Ok((_, entries)) => assert!(entries == shadow.appended),
            Err(error) => assert!(matches!(error, LogError::Damaged { .. }), "{error}"),
        }
    }
}

/// The last segment and the spare one had changed places. The spare one was taken for a segment in
/// use again, the last one for one without batches, and all that was in it was lost in silence.
#[test]
fn a_last_segment_in_the_place_of_a_spare_one_is_not_believed() {
    let (disk, _) = small_log(9, true);
    let last = batches(&disk).pop().unwrap().0;
    let name = last.rsplit('/').next().unwrap();
    let id = u64::from_str_radix(name.strip_suffix(".log").unwrap(), 16).unwrap();
    let spare = last.replace(name, &format!("{:016x}.log", id + 1));
    disk.put(&spare, &disk.bytes(&last).unwrap());
    disk.corrupt(&last, |bytes| bytes.fill(0));
    let error = try_open(&disk, false).unwrap_err();
    assert!(error.to_string().contains("another segment than its name says"), "{error}");
}

/// Segments were numbered from 1 in every log: those of two shards had the same names and sums, and
/// each was read as the other's.
#[test]
fn a_segment_of_another_log_is_not_believed() {
    let (disk, _) = small_log(10, true);
    let mut paths: Vec<String> = batches(&disk).into_iter().map(|batch| batch.0).collect();
    paths.dedup();
    for (generation, shard) in [(1, 1), (1, 3), (0, 2), (2, 2)] {
        let id = LogId::new(generation, ShardId(shard));
        let theirs = SimDisk::new(10);
        let sim = Sim::new(10);
        let env = sim.env(&theirs);
        sim.block_on(async {
            let opened = open_as(&env, id, config(Durability::Sync), Sequence(0)).await;
            let mut rig = Rig::around(&env, opened.unwrap().0, Durability::Sync);
            while rig.log.kept_bytes() < 2 * SEGMENT_BYTES {
                rig.append().await.unwrap();
                rig.step().await.unwrap();
            }
            rig.settle().await.unwrap();
        });
        for path in &paths {
            let number = format::number(format::segment_id(path).unwrap());
            let name = format::segment_name(id.segment(number));
            let bytes = theirs.bytes(&name).unwrap();
            let exchanged = disk.crash(Crash::KeepAll, 0);
            exchanged.put(path, &bytes);
            let error = try_open(&exchanged, false).unwrap_err().to_string();
            assert!(error.contains("another segment than its name says"), "{error}");
            let added = disk.crash(Crash::KeepAll, 0);
            added.put(&name, &bytes);
            for repair in [false, true] {
                let error = try_open(&added, repair).unwrap_err().to_string();
                assert!(error.contains(&name) && error.contains("of another log"), "{error}");
            }
        }
    }
}

#[test]
fn a_log_takes_no_number_of_another() {
    let (disk, _) = small_log(11, true);
    let last = format::segment_name(log_id().segment(u32::MAX));
    disk.put(&last, &vec![0; SEGMENT_BYTES as usize]);
    let error = try_open(&disk, false).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
}

/// Any bytes at all: an error or some of the entries, never a panic and never a wrong one.
#[test]
fn garbage_is_never_an_entry() {
    let (disk, shadow) = small_log(8, true);
    let mut rng = fastrand::Rng::with_seed(8);
    for round in 0..300 {
        let damaged = disk.crash(Crash::KeepAll, round);
        for path in damaged.paths() {
            damaged.corrupt(&path, |bytes| {
                for _ in 0..rng.usize(..4) {
                    let (at, len) = (rng.usize(..bytes.len()), rng.usize(1..9000));
                    let end = (at + len).min(bytes.len());
                    let byte = if rng.bool() { 0 } else { rng.u8(..) };
                    bytes[at..end].fill(byte);
                }
            });
        }
        for repair in [false, true] {
            if let Ok((_, entries)) = try_open(&damaged.crash(Crash::KeepAll, 0), repair) {
                assert!(entries.iter().all(|entry| shadow.appended.contains(entry)));
                assert!(entries.is_sorted_by_key(|entry| entry.0));
            }
        }
    }
}
