//! What one core's store does on a real disk, without a network before it:
//!
//! ```sh
//! cargo run --release -p engine --example throughput -- DIRECTORY [KEYS] [VALUE_BYTES]
//! ```
//!
//! Puts with 256 in flight, durable and not; gets of random keys from the memtable, from cached
//! blocks, and with 64 in flight from the disk. The directory is made, and must not exist.

use std::num::NonZeroU64;
use std::path::PathBuf;

use engine::env::Env;
use engine::env::direct::{DirectEnv, PREEMPT_TIMER, give_way, with_heartbeat, with_ring};
use engine::env::ring::{Ring, RingConfig};
use engine::record::{Key, Kind, Record, lww};
use engine::store::{Done, Durability, Failure, Get, Store, StoreConfig};
use glommio::{Latency, LocalExecutorBuilder, Shares};
use schemas::ids::{Actor, Dot, Hlc, NamespaceId, NodeId, ShardId, Token, Version};

const ALL: (Token, Token) = (Token(0), Token(u64::MAX));
const IN_FLIGHT: u64 = 256;
const READS_IN_FLIGHT: u64 = 64;
const PHASE_US: u64 = 3_000_000;
const RING: &str = "the ring works";

struct Load {
    env: DirectEnv,
    ring: Ring,
    store: Store<DirectEnv>,
    rng: fastrand::Rng,
    keys: u64,
    value: Vec<u8>,
    hlc: u64,
    done: Vec<Done>,
}

impl Load {
    async fn open(
        env: &DirectEnv,
        ring: &Ring,
        config: StoreConfig,
        keys: u64,
        value: usize,
    ) -> Self {
        let opened = with_ring(ring, Store::open(env.clone(), "shard", config, lww)).await;
        let (store, report) = opened.expect(RING).expect("the store opens");
        println!("open: {report:?}");
        let (env, ring, rng) = (env.clone(), ring.clone(), fastrand::Rng::with_seed(1));
        Self { env, ring, store, rng, keys, value: vec![7; value], hlc: 1, done: Vec::new() }
    }

    fn put(&mut self, key: u64) -> bool {
        self.hlc += 1;
        let actor = Actor { node: NodeId(NonZeroU64::MIN), boot: 1 };
        let bytes = key.to_be_bytes();
        let record = Record {
            key: key_of(&bytes),
            version: Version { hlc: Hlc(self.hlc), dot: Dot { actor, counter: self.hlc } },
            kind: Kind::Value,
            expires_at_ms: 0,
            value: &self.value,
        };
        self.store.put_now(&record).is_ok()
    }

    /// One round of a core's loop.
    async fn round(&mut self) -> Result<(), Failure> {
        self.store.tick();
        self.ring.enter().expect("the ring works");
        give_way().await;
        self.store.poll(&mut self.done)
    }

    /// Puts as fast as they are acknowledged, `count` of them or for the length of a phase.
    async fn puts(&mut self, name: &str, keys: impl Fn(&mut Self, u64) -> u64, count: u64) {
        let (start_us, before) = (self.env.monotonic_us(), self.store.stats().clone());
        let (mut taken, mut acknowledged, mut refused) = (0, 0, 0);
        let first = before.puts;
        while acknowledged < count && self.env.monotonic_us() - start_us < 20 * PHASE_US {
            while taken < count && taken - acknowledged < IN_FLIGHT {
                let key = keys(self, taken);
                if !self.put(key) {
                    refused += 1;
                    break;
                }
                taken += 1;
            }
            self.round().await.expect("the disk works");
            for done in self.done.drain(..) {
                if let Done::PutsUpto(ticket) = done {
                    acknowledged = ticket.0 + 1 - first;
                }
            }
        }
        let us = self.env.monotonic_us() - start_us;
        let stats = self.store.stats();
        let batches = stats.log_batches - before.log_batches;
        println!(
            "{name}: {} puts/s, {} ns each; {batches} batches of {} puts; {refused} refused; \
             {} flushes, {} compactions",
            acknowledged * 1_000_000 / us,
            us * 1000 / acknowledged,
            acknowledged / batches.max(1),
            stats.flushes,
            stats.compactions,
        );
    }

    /// Gets of random keys for the length of a phase.
    async fn gets(&mut self, name: &str) {
        let (start_us, before) = (self.env.monotonic_us(), self.store.stats().clone());
        let (mut gets, mut waiting, mut us) = (0u64, 0, 0);
        while us < PHASE_US {
            for _ in 0..IN_FLIGHT {
                if waiting == READS_IN_FLIGHT {
                    break;
                }
                let bytes = self.rng.u64(..self.keys).to_be_bytes();
                match self.store.get_now(&key_of(&bytes), 1) {
                    Get::Hit(record) => assert_eq!(record.value.len(), self.value.len()),
                    Get::Miss(_) => waiting += 1,
                    other => panic!("{other:?}"),
                }
                gets += 1;
            }
            self.round().await.expect("the disk works");
            waiting -=
                self.done.drain(..).filter(|it| matches!(it, Done::Get(_, Ok(_)))).count() as u64;
            us = self.env.monotonic_us() - start_us;
        }
        let stats = self.store.stats();
        println!(
            "{name}: {} gets/s, {} ns each; from memtable {}, cache {}, disk {}",
            gets * 1_000_000 / us,
            us * 1000 / gets,
            stats.gets_memtable - before.gets_memtable,
            stats.gets_cache - before.gets_cache,
            stats.gets_disk - before.gets_disk,
        );
    }
}

fn key_of(bytes: &[u8; 8]) -> Key<'_> {
    Key { token: Token::of(bytes, 1), namespace: NamespaceId::DEFAULT, bytes }
}

async fn run(root: PathBuf, keys: u64, value: usize) {
    let ring = Ring::new(RingConfig::default()).expect("the kernel has io_uring");
    let env = DirectEnv::new(&root, ring.clone(), 1).await.expect("the directory can be used");
    let data = keys as usize * (value + 100);
    let config = |cache_bytes: usize, durability| {
        let mut config = StoreConfig::new(1, ShardId(0), ALL, 512 << 20);
        // What filters and indexes of so many keys take, and some more.
        config.tables_memory_bytes = data / 64;
        config.cache_bytes = cache_bytes.max(config.tables_memory_bytes);
        config.log.durability = durability;
        config
    };
    let mut load = Load::open(&env, &ring, config(2 * data, Durability::Sync), keys, value).await;
    load.puts("durable puts of new keys", |_, index| index, keys).await;
    let all = keys;
    load.puts("durable puts of known keys", move |it, _| it.rng.u64(..all), keys).await;
    load.gets("gets, unflushed").await;
    with_ring(&ring, load.store.flush()).await.expect(RING).expect("the disk works");
    load.gets("gets, cache warming").await;
    load.gets("gets, cached").await;
    with_ring(&ring, load.store.close()).await.expect(RING).expect("the disk works");

    let config = config(data / 8, Durability::None);
    let mut load = Load::open(&env, &ring, config, keys, value).await;
    load.hlc = 1 << 40;
    load.gets("gets, cache of an eighth").await;
    load.puts("unsynced puts of known keys", move |it, _| it.rng.u64(..all), keys).await;
    with_ring(&ring, load.store.close()).await.expect(RING).expect("the disk works");
}

#[expect(clippy::disallowed_methods, reason = "an example makes its own directory")]
fn main() {
    let mut args = std::env::args().skip(1);
    let root =
        PathBuf::from(args.next().expect("usage: throughput DIRECTORY [KEYS] [VALUE_BYTES]"));
    let keys = args.next().map_or(1_000_000, |it| it.parse().expect("a number of keys"));
    let value = args.next().map_or(100, |it| it.parse().expect("a number of bytes"));
    std::fs::create_dir(&root).expect("the directory can be made");
    // As the server's cores are run.
    LocalExecutorBuilder::default()
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(1 << 20)
        .spawn(move || async move {
            let (shares, latency) = (Shares::Static(1000), Latency::NotImportant);
            let queue = glommio::executor().create_task_queue(shares, latency, "foreground");
            let task = glommio::spawn_local_into(with_heartbeat(run(root, keys, value)), queue);
            let ran = task.expect("the queue was made just now").await;
            ran.expect("the system gives a thread");
        })
        .expect("the executor starts")
        .join()
        .expect("the run ends well");
}
