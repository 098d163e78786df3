//! Tables: what a read costs in memory, and what writing one costs the core.
//!
//! The disk is simulated, in memory: no figure here has I/O in it.

use std::hint::black_box;
use std::num::NonZeroU64;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::cache::BlockCache;
use engine::env::Env;
use engine::env::sim::{Sim, SimDisk, SimEnv};
use engine::record::{Key, Kind, Record};
use engine::sstable::{
    FileId, Probe, Residents, Table, TableInfo, TableScan, TableWriter, TokenRange,
};
use fastrand::Rng;
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version};
use std::rc::Rc;

/// Records of the table that is read: 64 MiB of them.
const RECORDS: u64 = 500_000;

/// Records of the table that is written.
const WRITTEN: u64 = 20_000;

/// Numbers of keys in the order of their tokens.
fn sorted_keys(count: u64) -> Vec<(Token, u64)> {
    let mut keys: Vec<_> = (0..count).map(|it| (Token::of(&it.to_be_bytes(), 0), it)).collect();
    keys.sort_unstable();
    keys
}

async fn write(env: &SimEnv, id: FileId, keys: &[(Token, u64)]) -> TableInfo {
    let mut writer = TableWriter::create(env, "shard", id).await.expect("a simulated disk");
    let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
    for &(token, number) in keys {
        let record = Record {
            key: Key { token, namespace: NamespaceId::DEFAULT, bytes: &number.to_be_bytes() },
            version: Version {
                hlc: Hlc::from_millis(1 << 40 | number),
                dot: Dot { actor, counter: number },
            },
            kind: Kind::Value,
            expires_at_ms: 0,
            value: &[7; 100],
        };
        writer.add(&record).await.expect("a simulated disk");
    }
    writer.finish().await.expect("a simulated disk")
}

/// Numbers of random keys; those from [`RECORDS`] on are absent.
fn random_keys(range: std::ops::Range<u64>) -> Vec<[u8; 8]> {
    let mut rng = Rng::with_seed(2);
    (0..1 << 16).map(|_| rng.u64(range.clone()).to_be_bytes()).collect()
}

fn key(bytes: &[u8; 8]) -> Key<'_> {
    Key { token: Token::of(bytes, 0), namespace: NamespaceId::DEFAULT, bytes }
}

fn reads(criterion: &mut Criterion) {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let (id, all) = (FileId(1), TokenRange::ALL);
    let table: Table<SimEnv> = sim.block_on(async {
        env.create_dir("shard").await.expect("a simulated disk");
        write(&env, id, &sorted_keys(RECORDS)).await;
        let residents = Residents::new(usize::MAX);
        let table = Table::open_among(&env, "shard", id, all, &residents).await;
        let table = table.expect("just written");
        assert!(table.load(&env).await.expect("just written"), "there is room");
        table
    });
    let present = random_keys(0..RECORDS);
    let absent = random_keys(RECORDS..u64::MAX);
    let mut group = criterion.benchmark_group("table");
    let mut at = 0;
    let mut next = move || {
        at = (at + 1) % (1 << 16);
        at
    };
    group.bench_function("probe, there", |bencher| {
        bencher.iter(|| table.probe(black_box(&key(&present[next()]))));
    });
    group.bench_function("probe, absent", |bencher| {
        bencher.iter(|| table.probe(black_box(&key(&absent[next()]))));
    });

    let mut cache = BlockCache::new(256 << 20);
    let file = disk.bytes("shard/0000000000000001.sst").expect("just written");
    for bytes in &present {
        let Probe::Block(place) = table.probe(&key(bytes)) else { panic!("it is there") };
        let (offset, len) = place.cover();
        let cover = &file[offset as usize..offset as usize + len];
        cache.insert(id, place.offset, Rc::new(table.block(place, cover).expect("sound")));
    }
    group.bench_function("filter, index, cache, block", |bencher| {
        bencher.iter(|| {
            let key = key(&present[next()]);
            let Probe::Block(place) = table.probe(&key) else { return None };
            let block = cache.get(id, place.offset)?;
            black_box(block.find(&key)).map(|record| record.value.len())
        });
    });
    let Probe::Block(place) = table.probe(&key(&present[0])) else { panic!("it is there") };
    let (offset, len) = place.cover();
    let cover = &file[offset as usize..offset as usize + len];
    let block = table.block(place, cover).expect("sound");
    group.bench_function("block find", |bencher| {
        bencher.iter(|| black_box(&block).find(black_box(&key(&present[0]))));
    });
    group.bench_function("block verify", |bencher| {
        bencher.iter(|| table.block(place, black_box(cover)));
    });
    group.sample_size(10).throughput(Throughput::Elements(RECORDS));
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            sim.block_on(async {
                let mut scan = TableScan::new(&env, &table, all).await.expect("sound");
                let mut bytes = 0;
                while let Some(record) = scan.current() {
                    bytes += record.value.len();
                    scan.advance().await.expect("sound");
                }
                bytes
            })
        });
    });
    group.finish();
}

fn writes(criterion: &mut Criterion) {
    let keys = sorted_keys(WRITTEN);
    let mut group = criterion.benchmark_group("table");
    group.sample_size(20).throughput(Throughput::Elements(WRITTEN));
    group.bench_function("write", |bencher| {
        let new_disk = || {
            let (sim, disk) = (Sim::new(1), SimDisk::new(1));
            let env = sim.env(&disk);
            sim.block_on(env.create_dir("shard")).expect("a simulated disk");
            (sim, env)
        };
        let write = |(sim, env): (Sim, SimEnv)| sim.block_on(write(&env, FileId(1), &keys));
        bencher.iter_batched(new_disk, write, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, reads, writes);
criterion_main!(benches);
