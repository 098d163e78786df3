//! What readers had in memory they find there after it was flushed or compacted.

use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Sim, SimDisk};

use crate::harness::{Client, KEYS, Write, small_config};

/// Writes and flushes every key `rounds` times, reads them all, and says how many reads asked the
/// disk, and how many compactions there were.
fn reads_from_disk(cache_bytes: usize, rounds: usize) -> (u64, u64) {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut config = small_config();
        (config.cache_bytes, config.tables_memory_bytes) = (cache_bytes, cache_bytes / 2);
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for round in 0..rounds {
            for key in 0..KEYS {
                let write = Write::put(key, client.taken(), 1000 + round);
                client.write_until_taken(write).await.unwrap();
            }
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
        }
        for _ in 0..500 {
            client.env.sleep_us(1000).await;
            client.round().await.expect("the disk works");
        }
        for key in 0..KEYS {
            assert!(client.check_read(key).await, "key {key}");
        }
        let stats = client.store.stats();
        assert_eq!(stats.gets_memtable, 0, "all was flushed");
        assert!(stats.cache_bytes <= cache_bytes as u64);
        (stats.gets_disk, stats.compactions)
    })
}

#[test]
fn what_was_flushed_is_read_without_the_disk() {
    assert_eq!(reads_from_disk(1 << 20, 1).0, 0);
}

#[test]
fn what_was_compacted_is_read_without_the_disk_where_all_of_it_fits() {
    let (from_disk, compactions) = reads_from_disk(1 << 20, 12);
    assert!(compactions > 2, "{compactions} compactions");
    assert_eq!(from_disk, 0);
    let (from_disk, _) = reads_from_disk(8 << 10, 12);
    assert!(from_disk > 0, "and not where it does not");
}

/// Blocks of removed tables would otherwise fill the cache and push out what is asked for.
#[test]
fn blocks_of_tables_that_are_gone_leave_the_cache() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut config = small_config();
        config.cache_bytes = 8 << 20;
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for round in 0..60 {
            for key in 0..KEYS {
                let write = Write::put(key, client.taken(), 1000 + round);
                client.write_until_taken(write).await.unwrap();
            }
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
        }
        for _ in 0..500 {
            client.env.sleep_us(1000).await;
            client.round().await.expect("the disk works");
        }
        let stats = client.store.stats();
        let alive: u64 = stats.table_bytes.iter().sum();
        assert!(stats.tables_removed > 60);
        let cached = stats.cache_bytes;
        assert!(cached <= alive + (16 << 10), "{cached} bytes cached of {alive}");
    });
}
