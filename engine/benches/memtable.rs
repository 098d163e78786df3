//! The memtable at a million entries of 100-byte values: gets of keys that are there, of keys
//! that are not, puts of new keys and of known ones. Keys are drawn at random, so each operation
//! misses the CPU's caches as it would in service. The target is 200 ns a get.

use std::hint::black_box;
use std::num::NonZeroU64;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use engine::memtable::{Memtable, WARM_MAX};
use engine::record::{Key, Kind, Record, lww};
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, Token, Version};

const ENTRIES: u64 = 1_000_000;
const PUTS: u64 = 100_000;
const ALL: (Token, Token) = (Token(0), Token(u64::MAX));

fn key(bytes: &[u8; 16]) -> Key<'_> {
    Key { token: Token::of(bytes, 1), namespace: NamespaceId::DEFAULT, bytes }
}

fn key_bytes(i: u64) -> [u8; 16] {
    let mut bytes = *b"user0000........";
    bytes[8..].copy_from_slice(&i.to_be_bytes());
    bytes
}

fn put(memtable: &mut Memtable, i: u64, hlc: u64) {
    let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
    memtable.put(&Record {
        key: key(&key_bytes(i)),
        version: Version { hlc: Hlc(hlc), dot: Dot { actor, counter: hlc } },
        kind: Kind::Value,
        expires_at_ms: 0,
        value: &[7; 100],
    });
}

fn benches(c: &mut Criterion) {
    let mut memtable = Memtable::new(ALL, 1 << 20, lww);
    for i in 0..ENTRIES {
        put(&mut memtable, i, 1);
    }
    let mut rng = fastrand::Rng::with_seed(7);
    let mut group = c.benchmark_group("memtable, 1 M entries");
    group.bench_function("get, there", |b| {
        b.iter(|| {
            let bytes = key_bytes(rng.u64(0..ENTRIES));
            black_box(memtable.get(&key(&bytes)).map(|record| record.value[0]))
        });
    });
    group.throughput(Throughput::Elements(WARM_MAX as u64));
    group.bench_function("32 gets, there, warmed together", |b| {
        b.iter(|| {
            let bytes: [_; WARM_MAX] = std::array::from_fn(|_| key_bytes(rng.u64(0..ENTRIES)));
            memtable.warm(&bytes.each_ref().map(|bytes| key(bytes).token));
            for bytes in &bytes {
                black_box(memtable.get(&key(bytes)).map(|record| record.value[0]));
            }
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("get, not there", |b| {
        b.iter(|| {
            let bytes = key_bytes(rng.u64(ENTRIES..2 * ENTRIES));
            black_box(memtable.get(&key(&bytes)).is_some())
        });
    });
    let mut hlc = 1;
    group.bench_function("put, known key", |b| {
        b.iter(|| {
            hlc += 1;
            put(&mut memtable, rng.u64(0..ENTRIES), hlc);
        });
    });
    group.throughput(Throughput::Elements(PUTS)).sample_size(20);
    group.bench_function("put, 100,000 new keys", |b| {
        b.iter_batched_ref(
            || Memtable::new(ALL, 1 << 20, lww),
            |memtable| (0..PUTS).for_each(|i| put(memtable, i, 1)),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("sort a part", |b| {
        let mut part = 0;
        b.iter(|| {
            part = (part + 1) % engine::memtable::PARTS;
            black_box(memtable.sorted(part).count())
        });
    });
    group.finish();
}

criterion_group!(memtable, benches);
criterion_main!(memtable);
