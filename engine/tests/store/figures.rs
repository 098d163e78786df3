//! What a store says of itself agrees with what happened to it.

use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Sim, SimDisk};

use crate::harness::{Client, KEYS, Write, small_config};

#[test]
fn every_batch_of_the_log_is_timed() {
    let disk = SimDisk::new(3);
    let sim = Sim::new(3);
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        for key in 0..20 {
            client.write(Write::put(key, client.taken(), 100)).unwrap();
            client.settle().await.unwrap();
        }
        let stats = client.store.stats();
        assert!(stats.log_batches >= 20, "{stats:?}");
        assert_eq!(stats.log_latency.count(), stats.log_batches);
        assert!(stats.log_latency.sum_us() >= stats.log_batches, "the disk takes its time");
    });
}

#[test]
fn what_tables_keep_in_memory_is_counted() {
    let (sim, disk) = (Sim::new(4), SimDisk::new(4));
    let env = sim.env(&disk);
    let ledger = Rc::default();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        assert_eq!(client.store.stats().tables_memory_bytes, 0);
        for key in 0..KEYS {
            client.write(Write::put(key, client.taken(), 100)).unwrap();
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        client.store.tick();
        let bytes = client.store.stats().tables_memory_bytes;
        assert!(bytes > u64::from(KEYS), "{bytes} bytes: a filter has a byte a key and more");
        assert_eq!(client.store.stats().unfiltered_keys, 0);
        client.store.close().await.unwrap();
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        while client.store.stats().partition_loads == 0 {
            client.env.sleep_us(1000).await;
            client.round().await.unwrap();
        }
        assert_eq!(client.store.stats().tables_memory_bytes, bytes);
    });
}
