//! What is asked of a table is the same wherever its partitions are cut, and whether they are in
//! memory or not.

use std::rc::Rc;

use fastrand::Rng;
use schemas::ids::{NamespaceId, Token};

use crate::env::Env;
use crate::env::sim::{Fail, Fault, Io, Sim, SimDisk, SimEnv};
use crate::limits::{
    BLOCK_BYTES_TARGET, FILTER_KEYS_MAX, PARTITION_BLOCKS_TARGET, PARTITION_KEYS_TARGET,
};
use crate::record::Key;
use crate::sstable::sample::{Sample, mixed, value, write_table};
use crate::sstable::{
    FileId, OrderedProbe, Probe, Residents, Table, TableError, TableScan, TokenRange,
};

const DIR: &str = "shard";
const ID: FileId = FileId(1);
const PATH: &str = "shard/0000000000000001.sst";

/// Runs `test` with a table of `samples`, which it puts in order, none of whose partitions is in
/// memory, and what there is room for in memory.
fn with_table(
    samples: &mut [Sample],
    bytes_max: usize,
    test: impl AsyncFnOnce(SimEnv, SimDisk, Table<SimEnv>, Rc<Residents>),
) {
    samples.sort_by_key(Sample::place);
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        env.create_dir(DIR).await.unwrap();
        write_table(&env, DIR, ID, samples).await;
        let residents = Residents::new(bytes_max);
        let table = Table::open_among(&env, DIR, ID, TokenRange::ALL, &residents).await.unwrap();
        test(env, disk, table, residents).await;
    });
}

fn small(count: u64) -> Vec<Sample> {
    (0..count).map(|number| value(&number.to_be_bytes(), number + 1, 10)).collect()
}

async fn scan(env: &SimEnv, table: &Table<SimEnv>, range: TokenRange) -> Vec<Sample> {
    let mut scan = TableScan::new(env, table, range).await.unwrap();
    let mut found = Vec::new();
    while let Some(record) = scan.current() {
        found.push(Sample::of(&record));
        scan.advance().await.unwrap();
    }
    found
}

/// Says what was asked with all that has to be read for it.
async fn get(table: &Table<SimEnv>, key: &Key<'_>) -> Result<Option<Sample>, TableError> {
    let at = match table.probe(key) {
        Probe::Absent => None,
        Probe::Block(at) => Some(at),
        Probe::Partition { number, at } => {
            let partition = table.read_partition(number).await?;
            assert_eq!(table.partition_at(number), at);
            partition.probe(key)
        }
    };
    let Some(at) = at else { return Ok(None) };
    let block = table.read_block(at).await?;
    Ok(block.find(key).map(|record| Sample::of(&record)))
}

/// Every record is where its token leads to, before its partitions are in memory and after it; a
/// scan has all of them.
async fn check_all(env: &SimEnv, table: &Table<SimEnv>, samples: &[Sample]) {
    for _ in 0..2 {
        for sample in samples.iter().step_by(1 + samples.len() / 300) {
            assert_eq!(get(table, &sample.key()).await.unwrap().as_ref(), Some(sample));
            let longer = [&sample.key[..], b"0"].concat();
            let absent = Key { bytes: &longer, ..sample.key() };
            assert_eq!(get(table, &absent).await.unwrap(), None);
        }
        assert!(scan(env, table, TokenRange::ALL).await == samples, "a scan has all of it");
        assert!(table.load(env).await.unwrap(), "there is room");
    }
    for sample in samples {
        assert!(matches!(table.probe(&sample.key()), Probe::Block(_)));
    }
    let mut keys = 0;
    for number in 0..table.partitions() {
        let partition = table.read_partition(number).await.unwrap();
        keys += table.contents.top.keys(number);
        for (at, first) in partition.blocks() {
            assert_eq!(table.partition_of(first), Some(number));
            let block = table.read_block(at).await.unwrap();
            assert_eq!(table.partition_of(block.last_key().token), Some(number));
        }
    }
    assert_eq!(keys as usize, samples.len());
}

#[test]
fn a_table_of_many_keys_is_cut_by_keys() {
    let mut samples = small(5 * PARTITION_KEYS_TARGET as u64);
    let all = samples.clone();
    with_table(&mut samples, usize::MAX, async |env, _, table, _| {
        assert_eq!(table.partitions(), 5);
        for number in 0..5 {
            let bytes = table.partition_at(number).len;
            assert!((4 << 10..10 << 10).contains(&bytes), "{bytes} bytes");
            let keys = table.contents.top.keys(number) as usize;
            // It goes on to the end of the block in which it is full.
            let end = PARTITION_KEYS_TARGET + BLOCK_BYTES_TARGET / 20;
            assert!(number == 4 || (PARTITION_KEYS_TARGET..end).contains(&keys), "{keys} keys");
        }
        let mut all = all;
        all.sort_by_key(Sample::place);
        check_all(&env, &table, &all).await;
    });
}

#[test]
fn a_table_of_large_records_is_cut_by_blocks() {
    let count = 5 * PARTITION_BLOCKS_TARGET as u64 / 2;
    let mut samples: Vec<Sample> =
        (0..count).map(|number| value(&number.to_be_bytes(), number + 1, 4000)).collect();
    samples.push(value(b"huge", 1, 1 << 20));
    samples.sort_by_key(Sample::place);
    let all = samples.clone();
    with_table(&mut samples, usize::MAX, async |env, _, table, _| {
        assert_eq!(table.partitions(), 3);
        assert!(table.partition_at(0).len < 10 << 10);
        check_all(&env, &table, &all).await;
    });
}

/// The last key of each block and the first of the next share a token, so no partition could end
/// where a block does: it ends within one.
#[test]
fn a_partition_ends_though_every_block_ends_in_a_run_of_one_token() {
    let mut samples = vec![value(b"first", 1, 3000)];
    for number in 0..5 * PARTITION_BLOCKS_TARGET as u64 {
        samples.push(value(&number.to_be_bytes(), 1, 1900));
    }
    samples.sort_by_key(Sample::place);
    // Tokens in pairs: the first record has a block of its own, and its token.
    for pair in 0..samples.len() / 2 {
        let token = Token(1 + pair as u64);
        samples[2 * pair].token = token;
        samples[2 * pair + 1].token = token;
    }
    samples.pop();
    samples.sort_by_key(Sample::place);
    samples[0].value = vec![1; 3000];
    samples[1..].iter_mut().for_each(|it| it.value = vec![1; 1900]);
    let all = samples.clone();
    with_table(&mut samples, usize::MAX, async |env, _, table, _| {
        assert!((2..=3).contains(&table.partitions()), "{} partitions", table.partitions());
        let partition = table.read_partition(0).await.unwrap();
        assert_eq!(partition.blocks().count(), 2 * PARTITION_BLOCKS_TARGET);
        check_all(&env, &table, &all).await;
    });
}

/// Somebody who knows the seed can find keys that share a token, and a key may be in many
/// namespaces: they stay in one partition, and past its bound its filter gives up, but no other.
#[test]
fn keys_of_one_token_are_never_parted() {
    let mut samples = small(2 * PARTITION_KEYS_TARGET as u64);
    let same = samples.len() as u32;
    for number in 0..same {
        let mut sample = value(&number.to_be_bytes(), 1, 5);
        sample.token = Token(u64::MAX / 2);
        samples.push(sample);
    }
    let many = FILTER_KEYS_MAX as u32 + 5000;
    for namespace in 1..=many {
        let mut sample = value(b"many", 1, 5);
        (sample.token, sample.namespace) = (Token(u64::MAX / 4), NamespaceId(namespace));
        samples.push(sample);
    }
    samples.sort_by_key(Sample::place);
    let all = samples.clone();
    with_table(&mut samples, usize::MAX, async |env, _, table, _| {
        let number = table.partition_of(Token(u64::MAX / 4)).unwrap();
        let unfiltered = u64::from(table.contents.top.keys(number));
        assert_eq!(table.unfiltered_keys(), unfiltered);
        assert!(unfiltered >= u64::from(many) && table.partitions() > 3);
        check_all(&env, &table, &all).await;
        let absent = |token, namespace| {
            table.probe(&Key { token, namespace: NamespaceId(namespace), bytes: b"k" })
        };
        assert!(matches!(absent(Token(u64::MAX / 4), 77_777), Probe::Block(_)), "it gave up");
        let passed = (2..1000).filter(|&it| absent(Token(u64::MAX / 2), it) != Probe::Absent);
        assert!(passed.count() < 20, "the others did not");
    });
}

#[test]
fn a_scan_over_borders_gives_the_tokens_it_was_asked_for() {
    let mut samples = small(3 * PARTITION_KEYS_TARGET as u64);
    let mut all = samples.clone();
    all.sort_by_key(Sample::place);
    with_table(&mut samples, 14 << 10, async |env, _, table, _| {
        let mut rng = Rng::with_seed(4);
        let borders: Vec<Token> = (0..table.partitions())
            .map(|number| table.contents.top.tokens(number).first())
            .collect();
        for round in 0..60 {
            let mut ends = [rng.choice(&borders).unwrap().0, rng.choice(&all).unwrap().token.0];
            let near = ends[0].wrapping_add(rng.u64(..3)).wrapping_sub(1);
            ends[0] = if round % 2 == 0 { near } else { ends[0] };
            ends.sort_unstable();
            let range = TokenRange::new(Token(ends[0]), Token(ends[1])).unwrap();
            let expected: Vec<_> =
                all.iter().filter(|it| range.contains(it.token)).cloned().collect();
            assert!(scan(&env, &table, range).await == expected, "{range:?}");
            if round == 30 {
                assert!(!table.load(&env).await.unwrap(), "only a part has room");
            }
        }
    });
}

/// A scan reads ahead. What it cannot read there is told behind the records that it can.
#[test]
fn damage_of_a_partition_fails_a_scan_where_it_is_and_leaves_the_others() {
    let mut samples = small(3 * PARTITION_KEYS_TARGET as u64);
    let mut all = samples.clone();
    all.sort_by_key(Sample::place);
    with_table(&mut samples, usize::MAX, async |env, disk, table, _| {
        let at = table.partition_at(1);
        disk.corrupt(PATH, |bytes| bytes[at.offset as usize + 100] ^= 1);
        let mut scan = TableScan::new(&env, &table, TokenRange::ALL).await.unwrap();
        let mut records = 0;
        let error = loop {
            assert_eq!(scan.current().map(|it| Sample::of(&it)).as_ref(), all.get(records));
            records += 1;
            if let Err(error) = scan.advance().await {
                break error;
            }
        };
        let first = table.contents.top.keys(0) as usize;
        assert_eq!(records, first, "all of the first partition came");
        let is_at = |error: &TableError| match error {
            TableError::Corrupt(it) => (it.file.as_str(), it.offset) == (PATH, at.offset),
            _ => false,
        };
        assert!(is_at(&error), "{error}");
        assert!(table.load(&env).await.unwrap(), "what can be read is");
        for (number, sample) in all.iter().enumerate().step_by(50) {
            match get(&table, &sample.key()).await {
                Ok(found) => assert_eq!(found.as_ref(), Some(sample)),
                Err(error) => {
                    assert!(is_at(&error), "{error}");
                    assert_eq!(table.partition_of(sample.token), Some(1), "record {number}");
                }
            }
        }
        let lost = table.tokens_at(at.offset).unwrap();
        assert_eq!((lost.first(), lost.last() < Token(u64::MAX)), (all[first].token, true));
        let block = table.tokens_at(0).unwrap();
        assert!(block.first() == all[0].token && block.last() < all[300].token, "{block:?}");
    });
}

/// Keys that are asked for in order: each partition is read at most once, however many are asked
/// for, and none of them has to be in memory.
#[test]
fn an_ordered_probe_reads_each_partition_once() {
    let mut samples = small(6 * PARTITION_KEYS_TARGET as u64);
    let mut all = samples.clone();
    all.sort_by_key(Sample::place);
    with_table(&mut samples, 0, async |_, disk, table, residents| {
        let mut absent = mixed(&mut Rng::with_seed(8), 2000);
        absent.sort_by_key(Sample::place);
        let half = TokenRange::new(Token(0), Token(u64::MAX / 2)).unwrap();
        for step in [1, 1000] {
            let before = disk.ios();
            let mut probe = OrderedProbe::new(vec![table.with_visible(half), table.clone()]);
            for sample in all.iter().step_by(step) {
                assert!(probe.may_contain(&sample.key()).await);
            }
            let reads = disk.ios() - before;
            assert!(reads <= 2 * table.partitions() as u64, "{reads} reads");
        }
        let mut probe = OrderedProbe::new(vec![table.with_visible(half)]);
        let mut passed = 0;
        for sample in &absent {
            passed += u32::from(probe.may_contain(&sample.key()).await);
        }
        assert!(passed < 20, "{passed} of {} pass", absent.len());
        for sample in all.iter().skip_while(|it| half.contains(it.token)) {
            assert!(!probe.may_contain(&sample.key()).await, "it cannot be seen");
        }
        assert_eq!(residents.loads(), 0);
    });
}

/// What cannot be read may be there: a tombstone stays.
#[test]
fn an_ordered_probe_says_maybe_of_what_it_cannot_read() {
    let mut samples = small(3 * PARTITION_KEYS_TARGET as u64);
    let mut absent = mixed(&mut Rng::with_seed(8), 1000);
    absent.sort_by_key(Sample::place);
    with_table(&mut samples, 0, async |_, disk, table, _| {
        disk.inject(Fault {
            on: Some(Io::Read),
            path: ".sst".to_owned(),
            nth: 1,
            sticky: false,
            how: Fail::Eio,
        });
        let mut probe = OrderedProbe::new(vec![table.clone()]);
        for sample in &absent {
            let maybe = probe.may_contain(&sample.key()).await;
            assert!(maybe || table.partition_of(sample.token) != Some(0));
        }
        let last = absent.last().unwrap();
        assert!(!probe.may_contain(&last.key()).await, "the others are read");
    });
}

/// Whoever passes through keeps no partition in memory, and what damage of a block has taken was
/// told as all that its partition has.
#[test]
fn damage_that_a_passer_by_finds_is_of_one_block() {
    for scrubs in [false, true] {
        let mut samples = small(3 * PARTITION_KEYS_TARGET as u64);
        with_table(&mut samples, usize::MAX, async |env, disk, table, residents| {
            let blocks: Vec<_> = table.read_partition(1).await.unwrap().blocks().collect();
            let [(at, first), (_, next)] = blocks[5..7] else { panic!("more than six") };
            disk.corrupt(PATH, |bytes| bytes[at.offset as usize + 9] ^= 1);
            assert_eq!(residents.loads(), 0);
            if scrubs {
                let mut from = Some(0);
                let mut damaged = Vec::new();
                while let Some(block) = from {
                    let checked = table.check_blocks(&env, block).await.unwrap();
                    damaged.extend(checked.damaged.iter().map(|it| it.offset));
                    from = checked.next;
                }
                assert_eq!(damaged, [at.offset]);
            } else {
                let mut scan = TableScan::new(&env, &table, TokenRange::ALL).await.unwrap();
                while scan.advance().await.is_ok() {
                    assert!(scan.current().is_some(), "it ends in an error");
                }
            }
            let lost = table.tokens_at(at.offset).unwrap();
            assert_eq!((lost.first(), lost.last()), (first, next));
        });
    }
}
