//! Filters and indexes are in memory as far as they may be. What is not there is read when it is
//! asked for, and nobody can tell but by the time it takes.

use std::cell::RefCell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Sim, SimDisk, SimEnv};
use engine::sstable::{FileId, Table, TokenRange};
use engine::store::{Damage, FoundBy, Get, ScrubOptions, Stats, StoreConfig};

use crate::harness::{Client, KEYS, Ledger, Write, small_config, token_of};

/// Nothing is compacted.
fn config(tables_memory_bytes: usize) -> StoreConfig {
    let mut config = small_config();
    (config.cache_bytes, config.tables_memory_bytes) = (256 << 10, tables_memory_bytes);
    (config.compaction.level0_tables, config.compaction.upper_percent) = (1000, 1 << 20);
    config
}

async fn write_all(client: &mut Client, keys: u32, len: usize) {
    for key in 0..keys {
        client.write_until_taken(Write::put(key, client.taken(), len)).await.unwrap();
    }
    client.settle().await.unwrap();
    client.store.flush().await.unwrap();
}

/// Lets virtual time pass.
async fn rest(client: &mut Client, ms: u64) {
    for _ in 0..ms {
        client.env.sleep_us(1000).await;
        client.round().await.expect("the disk works");
    }
}

#[test]
fn memory_stays_within_its_bytes_over_many_tables() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let config = config(22 << 10);
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for round in 0..60 {
            write_all(&mut client, KEYS, 100 + round).await;
            for key in 0..KEYS {
                assert!(client.check_read(key).await);
                let Stats { tables_memory_bytes, tables_memory_bytes_max, .. } =
                    client.store.stats();
                assert!(tables_memory_bytes <= tables_memory_bytes_max, "{tables_memory_bytes}");
            }
            assert!(client.check_scan(9, 10_000).await);
        }
        // A key that was never written is looked for in every table.
        for key in KEYS..2 * KEYS {
            assert_eq!(client.read(key, 0).await.unwrap().unwrap(), None);
        }
        let stats = client.store.stats();
        assert!(stats.tables.iter().sum::<u64>() > 50, "{:?}", stats.tables);
        assert!(stats.partition_evictions > 100, "{stats:?}");
        assert!(stats.partition_misses > 500, "{stats:?}");
        assert!(stats.filter_probes > stats.partition_misses, "some were there");
        assert!(stats.cache_bytes + stats.tables_memory_bytes <= 256 << 10);
    });
}

/// A start reads no partition before it serves, and all that have room soon after.
#[test]
fn a_start_serves_at_once_and_has_its_partitions_soon() {
    let (sim, disk) = (Sim::new(2), SimDisk::new(2));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(64 << 10), &ledger).await.unwrap();
        for round in 0..8 {
            write_all(&mut client, KEYS, 100 + round).await;
        }
        client.store.tick();
        let all = client.store.stats().tables_memory_bytes;
        client.store.close().await.unwrap();
        for (bytes_max, has_room) in [(64 << 10, true), (all as usize * 3 / 4, false), (0, false)] {
            let (mut client, _) = Client::open(&env, config(bytes_max), &ledger).await.unwrap();
            assert!(matches!(client.get(3), Get::Miss(_)), "nothing is there yet");
            client.store.tick();
            let begun = client.store.stats().tables_memory_bytes;
            assert!(begun < all / 2 + all / 4, "{begun} of {all} bytes");
            rest(&mut client, 50).await;
            let stats = client.store.stats();
            assert_eq!(stats.tables_memory_bytes == all, has_room, "{stats:?}");
            assert!(stats.partition_loads > 0 || bytes_max == 0);
            assert!(stats.partition_evictions < 2, "for what was asked for, and nothing else");
            let misses = stats.partition_misses;
            for key in 0..KEYS {
                assert!(client.check_read(key).await);
                // One that was never written is looked for in every table.
                assert_eq!(client.read(KEYS + key, 0).await.unwrap().unwrap(), None);
            }
            assert_eq!(client.store.stats().partition_misses == misses, has_room);
            client.store.close().await.unwrap();
        }
    });
}

#[test]
fn a_partition_that_many_reads_wait_for_is_read_once() {
    let (sim, disk) = (Sim::new(3), SimDisk::new(3));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(0), &ledger).await.unwrap();
        write_all(&mut client, KEYS, 100).await;
        let before = disk.ios();
        let mut tickets = Vec::new();
        for key in 0..KEYS {
            match client.get(key) {
                Get::Miss(ticket) => tickets.push((key, ticket)),
                other => panic!("{other:?} of key {key}, whose partition is nowhere in memory"),
            }
        }
        let shown = ledger.borrow().after(KEYS as usize, 0);
        for (key, ticket) in tickets {
            assert_eq!(client.answer(ticket).await.unwrap().unwrap(), shown[&key]);
        }
        let ios = disk.ios() - before;
        assert_eq!(ios, 1, "its blocks were cached when they were written");
        assert_eq!(client.store.stats().gets_shared, u64::from(KEYS) - 1);
    });
}

/// Keys of a table that has two partitions.
const MANY: u32 = 700;

/// A disk with one table of [`MANY`] records with a block each, and who wrote them.
fn with_two_partitions() -> (SimDisk, Rc<RefCell<Ledger>>) {
    let (sim, disk) = (Sim::new(4), SimDisk::new(4));
    let ledger = Rc::new(RefCell::new(Ledger { keys: MANY, ..Ledger::default() }));
    let mut config = config(0);
    (config.memtable_bytes, config.memtables_bytes_max) = (8 << 20, 32 << 20);
    config.log_bytes_max = 32 << 20;
    sim.block_on(async {
        let (mut client, _) = Client::open(&sim.env(&disk), config, &ledger).await.unwrap();
        write_all(&mut client, MANY, 4500).await;
        assert_eq!(client.store.stats().tables[0], 1);
        client.store.close().await.unwrap();
    });
    (disk, ledger)
}

/// Flips a bit of the first partition, and says which file that is and where it begins.
async fn damage(disk: &SimDisk, env: &SimEnv) -> (String, u64, usize) {
    let mut tables = disk.paths().into_iter().filter(|path| path.ends_with(".sst"));
    let path = tables.next().expect("there is a table");
    let (dir, name) = path.rsplit_once('/').unwrap();
    let id = FileId::from_file_name(name).unwrap();
    let table = Table::open(env, dir, id, TokenRange::ALL).await.unwrap();
    assert_eq!(table.partitions(), 2);
    let (offset, len) = (table.partition_at(0).offset, table.partition_at(0).len);
    disk.corrupt(&path, |bytes| bytes[offset as usize + len as usize / 2] ^= 4);
    let is_lost = |key: &u32| table.partition_of(token_of(*key)) == Some(0);
    (path, offset, (0..MANY).filter(is_lost).count())
}

#[test]
fn a_damaged_partition_fails_its_keys_and_no_others() {
    let (sim, (disk, ledger)) = (Sim::new(5), with_two_partitions());
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(0), &ledger).await.unwrap();
        let (path, at, lost) = damage(&disk, &env).await;
        let expected = client.ledger.borrow().after(MANY as usize, 0);
        let mut failed = 0;
        for key in 0..MANY {
            match client.read(key, 0).await.unwrap() {
                Ok(value) => assert_eq!(value, expected[&key]),
                Err(error) => {
                    assert_eq!((&error.path, error.offset), (&path, at), "{error}");
                    failed += 1;
                }
            }
        }
        assert!(lost > 400 && failed == lost, "{failed} of {lost}");
        let damaged: Vec<Damage> = client.store.damaged().collect();
        assert_eq!(damaged.iter().map(|it| it.offset).collect::<Vec<_>>(), [at]);
        let stats = client.store.stats();
        assert_eq!((stats.blocks_damaged, stats.tables_unreadable), (1, 1));
        assert_eq!(stats.gets_failed, failed as u64);
    });
}

/// In memory it is whole, and nobody reads it anew but the scrub.
#[test]
fn damage_of_a_partition_that_is_in_memory_is_found_by_the_scrub() {
    let (sim, (disk, ledger)) = (Sim::new(5), with_two_partitions());
    let env = sim.env(&disk);
    sim.block_on(async {
        let mut config = config(64 << 10);
        config.scrub = ScrubOptions { pass_s: 2, bytes_per_s_max: 1 << 30 };
        let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
        rest(&mut client, 100).await;
        let (_, at, _) = damage(&disk, &env).await;
        for key in 0..MANY {
            assert!(client.read(key, 0).await.unwrap().unwrap().is_some());
        }
        assert_eq!(client.store.stats().partition_misses, 0);
        rest(&mut client, 5000).await;
        let damaged: Vec<Damage> = client.store.damaged().collect();
        let [Damage { offset, found_by, .. }] = damaged[..] else { panic!("{damaged:?}") };
        assert_eq!((offset, found_by), (at, FoundBy::Scrub));
        assert!(client.store.stats().scrub_passes >= 1);
    });
}
