//! What tables promise, on a disk that lies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use fastrand::Rng;
use schemas::ids::{Hlc, NamespaceId, Token};

use super::sample::{Sample, mixed, value, write_table};
use super::*;
use crate::env::sim::{Crash, Fail, Fault, Io, Sim, SimDisk, SimEnv, When};
use crate::env::{ALIGN, Env};
use crate::limits;
use crate::record::{Key, Kind};

const ID: FileId = FileId(0x0001_0002_0000_0003);
const DIR: &str = "shard";
const PATH: &str = "shard/0001000200000003.sst";

/// A disk with directory [`DIR`] and nothing in it.
fn new_disk(seed: u64) -> SimDisk {
    let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
    let env = sim.env(&disk);
    sim.block_on(async {
        env.create_dir(DIR).await.unwrap();
        env.sync_dir("").await.unwrap();
    });
    disk
}

fn with_env<T>(disk: &SimDisk, work: impl AsyncFnOnce(SimEnv) -> T) -> T {
    let sim = Sim::new(1);
    sim.block_on(work(sim.env(disk)))
}

/// A disk with one table of `samples`.
fn disk_with(samples: &[Sample]) -> SimDisk {
    let disk = new_disk(1);
    with_env(&disk, async |env| write_table(&env, DIR, ID, samples).await);
    disk
}

async fn scan(
    env: &SimEnv,
    table: &Table<SimEnv>,
    range: TokenRange,
) -> Result<Vec<Sample>, TableError> {
    let mut scan = TableScan::new(env, table, range).await?;
    let mut found = Vec::new();
    while let Some(record) = scan.current() {
        found.push(Sample::of(&record));
        scan.advance().await?;
    }
    Ok(found)
}

/// What the filter says of a key that can be seen.
async fn may_contain(table: &Table<SimEnv>, key: &Key<'_>) -> bool {
    OrderedProbe::new(vec![table.clone()]).may_contain(key).await
}

async fn find(table: &Table<SimEnv>, key: &Key<'_>) -> Result<Option<Sample>, TableError> {
    let Some(at) = table.locate(key).await? else { return Ok(None) };
    let block = table.read_block(at).await?;
    Ok(block.find(key).map(|record| Sample::of(&record)))
}

/// Opens the table and reads all of it, both ways.
async fn read_all(env: &SimEnv, samples: &[Sample]) -> Result<Vec<Sample>, TableError> {
    let table = Table::open(env, DIR, ID, TokenRange::ALL).await?;
    for sample in samples {
        if let Some(found) = find(&table, &sample.key()).await? {
            assert_eq!(found, *sample);
        }
    }
    scan(env, &table, TokenRange::ALL).await
}

fn range(first: u64, last: u64) -> TokenRange {
    TokenRange::new(Token(first), Token(last)).unwrap()
}

#[test]
fn what_was_written_is_found_and_nothing_else() {
    for (seed, count) in [(1, 1), (2, 2), (3, 30), (4, 500), (5, 3000)] {
        let samples = mixed(&mut Rng::with_seed(seed), count);
        let absent = mixed(&mut Rng::with_seed(seed + 100), count.min(500));
        let present: BTreeSet<_> = samples.iter().map(Sample::place).collect();
        with_env(&new_disk(seed), async |env| {
            let info = write_table(&env, DIR, ID, &samples).await;
            let table = Table::open(&env, DIR, ID, TokenRange::ALL).await.unwrap();
            assert_eq!((info.id, info.file_bytes), (table.id(), table.file_bytes()));
            assert_eq!(info.properties, *table.properties());
            assert_eq!(info.properties.records, samples.len() as u64);
            for sample in &samples {
                assert!(may_contain(&table, &sample.key()).await);
                let found = find(&table, &sample.key()).await.unwrap();
                assert_eq!(found.as_ref(), Some(sample));
            }
            for other in absent.iter().filter(|it| !present.contains(&it.place())) {
                assert_eq!(find(&table, &other.key()).await.unwrap(), None);
            }
            assert_eq!(scan(&env, &table, TokenRange::ALL).await.unwrap(), samples);
        });
    }
}

#[test]
fn the_largest_record_has_a_block_of_its_own() {
    let mut samples = vec![value(b"a", 1, 10), value(b"b", 2, limits::VALUE_BYTES_MAX)];
    samples.push(value(&[b'k'; limits::KEY_BYTES_MAX], u64::MAX, limits::VALUE_BYTES_MAX));
    samples.push(value(b"c", 3, 10));
    samples.sort_by_key(Sample::place);
    with_env(&disk_with(&samples), async |env| {
        assert_eq!(read_all(&env, &samples).await.unwrap(), samples);
    });
}

/// A run of keys of one token goes over many blocks: each is found through the index's ties.
#[test]
fn keys_of_one_token_are_told_apart() {
    let mut samples: Vec<Sample> = Vec::new();
    for token in [5, 6, 7] {
        for number in 0..100u32 {
            let mut sample = value(&number.to_be_bytes(), 1 + u64::from(number), 300);
            (sample.token, sample.namespace) = (Token(token), NamespaceId(1 + number % 3));
            samples.push(sample);
        }
    }
    samples.extend([value(b"x", 1, 1), value(b"y", 1, 1)]);
    samples.sort_by_key(Sample::place);
    with_env(&disk_with(&samples), async |env| {
        let table = Table::open(&env, DIR, ID, TokenRange::ALL).await.unwrap();
        for sample in &samples {
            assert!(may_contain(&table, &sample.key()).await);
            let found = find(&table, &sample.key()).await.unwrap();
            assert_eq!(found.as_ref(), Some(sample));
            let longer = [&sample.key[..], b"0"].concat();
            let absent = Key { bytes: &longer, ..sample.key() };
            assert_eq!(find(&table, &absent).await.unwrap(), None);
        }
        let only = scan(&env, &table, range(6, 6)).await.unwrap();
        assert_eq!(only.len(), 100);
        assert!(only.iter().all(|it| it.token == Token(6)));
    });
}

#[test]
fn a_scan_gives_the_tokens_it_was_asked_for() {
    let mut rng = Rng::with_seed(8);
    let samples = mixed(&mut rng, 600);
    with_env(&disk_with(&samples), async |env| {
        let table = Table::open(&env, DIR, ID, TokenRange::ALL).await.unwrap();
        for _ in 0..40 {
            let mut ends = [rng.choice(&samples).unwrap().token.0, rng.u64(..)];
            ends.sort_unstable();
            let range = range(ends[0], ends[1]);
            let expected: Vec<_> =
                samples.iter().filter(|it| range.contains(it.token)).cloned().collect();
            assert_eq!(scan(&env, &table, range).await.unwrap(), expected);
        }
    });
}

#[test]
fn nothing_is_seen_outside_the_visible_range() {
    let samples = mixed(&mut Rng::with_seed(9), 300);
    let visible = range(samples[100].token.0, samples[199].token.0);
    with_env(&disk_with(&samples), async |env| {
        let table = Table::open(&env, DIR, ID, visible).await.unwrap();
        for sample in &samples {
            let seen = visible.contains(sample.token);
            assert_eq!(may_contain(&table, &sample.key()).await, seen);
            assert_eq!(find(&table, &sample.key()).await.unwrap().is_some(), seen);
        }
        let seen: Vec<_> =
            samples.iter().filter(|it| visible.contains(it.token)).cloned().collect();
        assert_eq!(scan(&env, &table, TokenRange::ALL).await.unwrap(), seen);
        assert_eq!(table.range(), Some(visible));
        let none = table.with_visible(range(0, samples[0].token.0 - 1));
        assert_eq!(none.range(), None);
        assert!(scan(&env, &none, TokenRange::ALL).await.unwrap().is_empty());
    });
}

#[test]
fn properties_tell_of_all_records() {
    let mut samples = vec![value(b"a", 10, 5), value(b"b", 30, 7), value(b"c", 20, 0)];
    samples[0].expires_at_ms = 77;
    samples[1].expires_at_ms = 99;
    samples[2].kind = Kind::Tombstone;
    samples.sort_by_key(Sample::place);
    let info = with_env(&new_disk(1), async |env| write_table(&env, DIR, ID, &samples).await);
    let expected = Properties {
        records: 3,
        tombstones: 1,
        expiring: 2,
        raw_bytes: 3 + 12,
        tokens: range(samples[0].token.0, samples[2].token.0),
        hlc_min: Hlc(10),
        hlc_max: Hlc(30),
        expires_max_ms: 99,
    };
    assert_eq!(info.properties, expected);
}

/// Whoever keeps the blocks while they are written has what is read from the disk later.
#[test]
fn blocks_kept_while_writing_are_those_of_the_file() {
    let samples = small_samples();
    with_env(&new_disk(1), async |env| {
        let kept = Rc::<RefCell<Vec<(FileId, u64, Block)>>>::default();
        let keep: KeepBlock = {
            let kept = Rc::clone(&kept);
            Rc::new(move |file, offset, block| kept.borrow_mut().push((file, offset, block)))
        };
        let writer = TableWriter::create(&env, DIR, ID).await.unwrap();
        let mut writer = writer.keeping(Some(keep));
        for sample in &samples {
            writer.add(&sample.record()).await.unwrap();
        }
        writer.finish().await.unwrap();
        let table = Table::open(&env, DIR, ID, TokenRange::ALL).await.unwrap();
        let partition = table.read_partition(0).await.unwrap();
        let offsets: Vec<u64> = partition.blocks().map(|(at, _)| at.offset).collect();
        let kept = kept.take();
        assert!(kept.iter().all(|(file, ..)| *file == ID));
        assert!(kept.iter().map(|(_, offset, _)| *offset).eq(offsets));
        for (_, _, block) in kept.iter() {
            let at = table.locate(&block.record(0).key).await.unwrap().unwrap();
            let read = table.read_block(at).await.unwrap();
            assert!(block.iter().eq(read.iter()));
        }
        assert_eq!(kept.iter().map(|(.., block)| block.len()).sum::<usize>(), samples.len());
    });
}

/// The bytes are on disks: they may change only together with the version of the format.
#[test]
fn the_same_records_make_the_same_bytes_for_ever() {
    let samples = mixed(&mut Rng::with_seed(10), 400);
    let bytes = || disk_with(&samples).bytes(PATH).unwrap();
    assert_eq!(bytes(), bytes());
    let golden = [value(b"pear", 2, 3), value(b"apple", 1, 3)];
    let bytes = disk_with(&golden).bytes(PATH).unwrap();
    assert_eq!((TABLE_FORMAT, bytes.len(), crc32c::crc32c(&bytes)), (2, ALIGN, 2_530_776_670));
}

#[test]
fn small_records_take_few_bytes_more_than_themselves() {
    let mut samples: Vec<Sample> = (0..20_000u64)
        .map(|number| value(&number.to_be_bytes(), (1 << 48) + (number << 10), 100))
        .collect();
    samples.sort_by_key(Sample::place);
    let info = with_env(&new_disk(1), async |env| write_table(&env, DIR, ID, &samples).await);
    let overhead = (info.file_bytes - info.properties.raw_bytes) as f64 / samples.len() as f64;
    assert!(overhead < 25.0, "{overhead} bytes a record");
}

/// A table of several blocks and few pages, with room for every kind of entry.
fn small_samples() -> Vec<Sample> {
    let mut samples: Vec<Sample> =
        (0..12u64).map(|number| value(&number.to_be_bytes(), 1000 + number, 600)).collect();
    samples[3].expires_at_ms = 5;
    samples[4].kind = Kind::Tombstone;
    samples[4].value.clear();
    samples[5].namespace = NamespaceId(9);
    samples.sort_by_key(Sample::place);
    samples
}

/// What may be said of a file with changed bytes: damage at a place within it, or what it is not.
fn assert_refused(result: Result<Vec<Sample>, TableError>, len: usize, change: &str) {
    match result {
        Err(TableError::Corrupt(it)) => {
            assert!(it.file == PATH && it.offset <= len as u64, "{change}: {it}");
        }
        Err(TableError::NotATable { file }) => assert_eq!(file, PATH, "{change}"),
        other => panic!("{change}: {other:?}"),
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let samples = small_samples();
    let disk = disk_with(&samples);
    let bytes = disk.bytes(PATH).unwrap();
    let mut rng = Rng::with_seed(11);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= if rng.bool() { 1 << rng.u8(..8) } else { rng.u8(1..) };
        disk.put(PATH, &changed);
        let result = with_env(&disk, async |env| read_all(&env, &samples).await);
        assert_refused(result, bytes.len(), &format!("byte {at} of {}", bytes.len()));
    }
}

#[test]
fn every_cut_is_noticed() {
    let samples = small_samples();
    let disk = disk_with(&samples);
    let bytes = disk.bytes(PATH).unwrap();
    for len in 0..bytes.len() {
        disk.put(PATH, &bytes[..len]);
        let result = with_env(&disk, async |env| read_all(&env, &samples).await);
        assert_refused(result, bytes.len(), &format!("cut to {len}"));
    }
}

#[test]
fn blocks_in_each_others_place_are_noticed() {
    let mut samples: Vec<Sample> =
        (0..2u64).map(|number| value(&number.to_be_bytes(), 1, 4000)).collect();
    samples.sort_by_key(Sample::place);
    let disk = disk_with(&samples);
    with_env(&disk, async |env| {
        let table = Table::open(&env, DIR, ID, TokenRange::ALL).await.unwrap();
        let partition = table.read_partition(0).await.unwrap();
        let at: Vec<BlockAt> = partition.blocks().map(|(at, _)| at).collect();
        let [first, second] = at[..] else { panic!("two records") };
        assert_eq!((first.offset, first.len), (0, second.len));
        let len = first.len as usize;
        disk.corrupt(PATH, |bytes| bytes[..2 * len].rotate_left(len));
        for sample in &samples {
            assert!(find(&table, &sample.key()).await.is_err());
        }
    });
}

/// A file under another's name is whole in itself: its id gives it away.
#[test]
fn another_table_is_noticed() {
    let samples = small_samples();
    let disk = disk_with(&samples);
    let other = FileId(ID.0 + 1);
    disk.put(&format!("{DIR}/{}", other.file_name()), &disk.bytes(PATH).unwrap());
    let result = with_env(&disk, async |env| {
        Table::open(&env, DIR, other, TokenRange::ALL).await.map(|table| table.id())
    });
    assert!(matches!(result, Err(TableError::Corrupt(_))), "{result:?}");
}

#[test]
fn what_is_no_table_or_one_of_another_format_is_said_to_be() {
    let disk = disk_with(&small_samples());
    let open = |disk: &SimDisk| {
        with_env(disk, async |env| {
            Table::open(&env, DIR, ID, TokenRange::ALL).await.map(|table| table.id())
        })
    };
    // From `footer_len` on every version ends alike; the sum is right.
    let set_format = |format: u32| {
        disk.corrupt(PATH, |bytes| {
            let len = bytes.len();
            let footer_len = u32::from_le_bytes(bytes[len - 20..len - 16].try_into().unwrap());
            bytes[len - 16..len - 12].copy_from_slice(&format.to_le_bytes());
            let start = len - footer_len as usize;
            let sum = crate::integrity::checksum(0, start as u64, &bytes[start..len - 12]);
            bytes[len - 12..len - 8].copy_from_slice(&sum.to_le_bytes());
        });
    };
    set_format(TABLE_FORMAT - 1);
    match open(&disk) {
        Err(TableError::FormatOlder(it)) => {
            assert_eq!((&*it.file, it.found, it.supported), (PATH, TABLE_FORMAT - 1, TABLE_FORMAT));
        }
        other => panic!("{other:?}"),
    }
    set_format(TABLE_FORMAT + 1);
    match open(&disk) {
        Err(TableError::FormatNewer(it)) => {
            assert_eq!((&*it.file, it.found, it.supported), (PATH, TABLE_FORMAT + 1, TABLE_FORMAT));
        }
        other => panic!("{other:?}"),
    }
    disk.put(PATH, &[b'x'; 3 * ALIGN]);
    assert!(matches!(open(&disk), Err(TableError::NotATable { .. })));
}

/// Writing a table, the power cut at each sync and each operation: its name is there only with
/// the whole of it behind, and certainly once it was said to be finished.
#[test]
fn a_power_cut_leaves_the_whole_table_or_none() {
    let samples = small_samples();
    let mut cases = 0;
    for nth in 1.. {
        let mut cut = false;
        for when in [When::Before, When::After] {
            let disk = new_disk(nth);
            let sim = Sim::new(nth);
            disk.crash_at_io(disk.ios() + nth, when);
            let env = sim.env(&disk);
            let finished = sim.run(async { write_table(&env, DIR, ID, &samples).await }).is_some();
            cut |= !finished;
            for (class, seed) in Crash::ALL.into_iter().flat_map(|it| [(it, 1), (it, 2)]) {
                let after = disk.crash(class, seed);
                let there = after.bytes(PATH).is_some();
                assert!(there || !finished);
                if there {
                    let read = with_env(&after, async |env| read_all(&env, &samples).await);
                    assert_eq!(read.unwrap(), samples, "{class:?} at {nth}");
                }
                cases += 1;
            }
        }
        if !cut {
            break;
        }
    }
    assert!(cases > 100, "{cases} cases");
}

#[test]
fn a_disk_that_fails_is_an_error_and_what_was_begun_can_be_removed() {
    let samples = mixed(&mut Rng::with_seed(12), 2000);
    for (on, how) in [(Io::Write, Fail::Enospc), (Io::Write, Fail::Eio), (Io::Sync, Fail::Eio)] {
        for nth in 1.. {
            let disk = new_disk(nth);
            let path = DIR.to_owned();
            disk.inject(Fault { on: Some(on), path, nth, sticky: false, how });
            let failed = with_env(&disk, async |env| {
                let mut writer = TableWriter::create(&env, DIR, ID).await.unwrap();
                for sample in &samples {
                    if let Err(error) = writer.add(&sample.record()).await {
                        writer.abandon().await.unwrap();
                        return Some(error);
                    }
                }
                writer.finish().await.err()
            });
            let Some(error) = failed else { break };
            let of_this = matches!(&error, TableError::Io { file, .. } if file == PATH);
            assert!(of_this, "{error}");
            assert!(disk.paths().is_empty(), "{:?}", disk.paths());
        }
    }
}
