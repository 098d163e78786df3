use std::collections::BTreeMap;
use std::num::NonZeroU64;

use schemas::ids::{Actor, Dot, Hlc, NodeId, ShardId, Version};

use super::*;
use crate::env::sim::{Sim, SimDisk, SimEnv};
use crate::limits::SCAN_ROWS_BYTES_MAX;
use crate::memtable::Memtable;
use crate::record::{Kind, Record, lww};
use crate::sstable::{FileId, TableWriter};

const ALL: (Token, Token) = (Token(0), Token(u64::MAX));
const NOW_MS: u64 = 1000;

/// What a scan of a namespace has to give: key and value in order of (token, key).
type Model = BTreeMap<(u64, Vec<u8>), Vec<u8>>;

#[derive(Clone)]
struct Written {
    namespace: u32,
    token: u64,
    key: Vec<u8>,
    hlc: u64,
    value: Option<Vec<u8>>,
    expires_at_ms: u64,
}

impl Written {
    fn random(rng: &mut fastrand::Rng, hlc: u64) -> Self {
        // Few tokens, so that keys share them, and the greatest one too.
        let token = if rng.u8(..8) == 0 { u64::MAX } else { rng.u64(..40) << 58 | 7 };
        Self {
            namespace: rng.u32(1..4),
            token,
            key: vec![b'k', rng.u8(..6)],
            hlc,
            value: (rng.u8(..4) != 0).then(|| vec![hlc as u8; rng.usize(..60)]),
            expires_at_ms: [0, NOW_MS, NOW_MS + 1][rng.usize(..3)],
        }
    }

    fn record(&self) -> Record<'_> {
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        Record {
            key: Key {
                token: Token(self.token),
                namespace: NamespaceId(self.namespace),
                bytes: &self.key,
            },
            version: Version { hlc: Hlc(self.hlc), dot: Dot { actor, counter: self.hlc } },
            kind: if self.value.is_some() { Kind::Value } else { Kind::Tombstone },
            expires_at_ms: if self.value.is_some() { self.expires_at_ms } else { 0 },
            value: self.value.as_deref().unwrap_or_default(),
        }
    }
}

/// Writes are spread over memtables and tables at random, so newer records lie anywhere.
struct Sources {
    memtables: Vec<Memtable>,
    tables: Vec<Table<SimEnv>>,
}

impl Sources {
    fn runs(&self) -> Vec<Vec<Table<SimEnv>>> {
        self.tables.iter().map(|table| vec![table.clone()]).collect()
    }
}

async fn scatter(env: &SimEnv, writes: &[Written], rng: &mut fastrand::Rng) -> Sources {
    let mut memtables = (0..5).map(|_| Memtable::new(ALL, 4096, lww)).collect::<Vec<Memtable>>();
    for write in writes {
        memtables[rng.usize(..5)].put(&write.record());
    }
    let mut tables = Vec::new();
    for (number, memtable) in memtables.drain(2..).enumerate() {
        let id = FileId::new(1, ShardId(0), number as u32);
        let mut writer = TableWriter::create(env, "d", id).await.unwrap();
        for record in memtable.iter() {
            writer.add(&record).await.unwrap();
        }
        writer.finish().await.unwrap();
        let visible = TokenRange::new(ALL.0, ALL.1).unwrap();
        tables.push(Table::open(env, "d", id, visible).await.unwrap());
    }
    Sources { memtables, tables }
}

fn model(writes: &[Written], namespace: u32, from: u64, to: u64) -> Model {
    let mut newest = BTreeMap::new();
    for write in writes.iter().filter(|write| write.namespace == namespace) {
        newest.insert((write.token, write.key.clone()), write);
    }
    newest
        .into_iter()
        .filter(|((token, _), write)| {
            (from..=to).contains(token) && !write.record().is_dead(NOW_MS)
        })
        .map(|(key, write)| (key, write.value.clone().unwrap_or_default()))
        .collect()
}

async fn read_all(env: &SimEnv, sources: &Sources, mut request: ScanRequest) -> Model {
    let mut found = Model::new();
    let (mut left, mut pages) = (None, 0);
    loop {
        let copied = sources
            .memtables
            .iter()
            .map(|memtable| MemtableRows::copy(memtable, &request.first(), request.to))
            .collect();
        // Every other page goes on where the one before left the runs.
        let runs = match left.take().filter(|_| pages % 2 == 1) {
            Some(runs) => runs,
            None => open_runs(env, request.tokens(), sources.runs()).await.unwrap(),
        };
        let (page, runs) = page(env, &request, copied, runs, lww).await.unwrap();
        left = Some(runs);
        pages += 1;
        assert!(page.rows.len() <= request.records_max);
        for record in page.rows.iter() {
            let key = (record.key.token.0, record.key.bytes.to_vec());
            assert_eq!(record.key.namespace, request.namespace);
            assert!(found.last_key_value().is_none_or(|(last, _)| *last < key), "in order, once");
            found.insert(key, record.value.to_vec());
        }
        let Some(next) = page.next else { return found };
        assert_ne!(next, request.from, "a page gets on");
        request.from = next;
    }
}

#[test]
fn pages_together_are_the_live_records_of_the_namespace_in_order() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        let writes = (1..400).map(|hlc| Written::random(&mut rng, hlc)).collect::<Vec<_>>();
        sim.block_on(async {
            env.create_dir("d").await.unwrap();
            let sources = scatter(&env, &writes, &mut rng).await;
            for namespace in 1..4 {
                let from = if rng.bool() { 0 } else { rng.u64(..) };
                let to = if rng.bool() { u64::MAX } else { rng.u64(..) };
                let request = ScanRequest {
                    namespace: NamespaceId(namespace),
                    from: ScanPlace { token: Token(from), after_key: Box::default() },
                    to: Token(to),
                    records_max: rng.usize(1..50),
                    bytes_max: rng.usize(1..4000),
                    now_ms: NOW_MS,
                };
                let found = read_all(&env, &sources, request).await;
                assert_eq!(found, model(&writes, namespace, from, to), "seed {seed}");
            }
        });
    }
}

#[test]
fn rows_that_did_not_fit_a_copy_end_the_page_and_are_in_the_next() {
    let value = vec![7; SCAN_ROWS_BYTES_MAX / 3];
    let writes = (0..10u64)
        .map(|i| Written {
            namespace: 1,
            token: i << 60,
            key: vec![b'k'],
            hlc: i + 1,
            value: Some(value.clone()),
            expires_at_ms: 0,
        })
        .collect::<Vec<_>>();
    let mut memtable = Memtable::new(ALL, 1 << 20, lww);
    for write in &writes {
        memtable.put(&write.record());
    }
    let request = ScanRequest {
        namespace: NamespaceId(1),
        from: ScanPlace { token: Token(0), after_key: Box::default() },
        to: Token(u64::MAX),
        records_max: 100,
        bytes_max: usize::MAX,
        now_ms: NOW_MS,
    };
    let sources = Sources { memtables: vec![memtable], tables: Vec::new() };
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let found = sim.block_on(read_all(&env, &sources, request));
    assert!(found == model(&writes, 1, 0, u64::MAX), "{:?}", found.keys());
}
