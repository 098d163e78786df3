//! The scrub: damage that nobody asks for is found within a pass, and nothing else is disturbed.

use std::cell::RefCell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Fail, Fault, Io, Sim, SimDisk};
use engine::store::{Damage, FoundBy, ScrubOptions, Stats, StoreConfig};

use crate::harness::{Client, KEYS, Ledger, Write, small_config};

/// Virtual seconds of a pass.
const PASS_S: u64 = 2;

fn config() -> StoreConfig {
    let mut config = small_config();
    config.scrub = ScrubOptions { pass_s: PASS_S, bytes_per_s_max: 1 << 30 };
    config
}

/// A store with all keys in one table, and its client.
async fn with_a_table(sim: &Sim, disk: &SimDisk, config: StoreConfig) -> Client {
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let (mut client, _) = Client::open(&sim.env(disk), config, &ledger).await.unwrap();
    for key in 0..KEYS {
        client.write(Write::put(key, client.taken(), 500)).unwrap();
    }
    client.settle().await.unwrap();
    client.store.flush().await.unwrap();
    client
}

fn table_of(disk: &SimDisk) -> String {
    let mut tables = disk.paths().into_iter().filter(|path| path.ends_with(".sst"));
    let table = tables.next().expect("there is a table");
    assert_eq!(tables.next(), None);
    table
}

#[test]
fn damage_that_nobody_reads_is_found_within_a_pass() {
    let bytes = {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        sim.block_on(with_a_table(&sim, &disk, config()));
        disk.bytes(&table_of(&disk)).unwrap()
    };
    let mut found = 0;
    for at in (0..bytes.len()).step_by(701) {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        sim.block_on(async {
            let mut client = with_a_table(&sim, &disk, config()).await;
            disk.corrupt(&table_of(&disk), |bytes| bytes[at] ^= 1);
            client.rest(2 * 1000 * PASS_S + 100).await;
            let damaged: Vec<Damage> = client.store.damaged().collect();
            let [Damage { offset, found_by, .. }] = damaged[..] else {
                panic!("byte {at} of {}: {damaged:?}", bytes.len());
            };
            assert!(offset <= at as u64 && found_by == FoundBy::Scrub);
            let stats = client.store.stats();
            assert_eq!((stats.blocks_damaged, stats.tables_unreadable), (1, 1));
            assert!(stats.scrub_passes >= 1, "it goes on after what it found");
            found += 1;
        });
    }
    assert!(found > 15, "{found} places");
}

/// Tables of several requests each, one after the other.
#[test]
fn every_table_is_scrubbed_to_its_end() {
    let (sim, disk) = (Sim::new(6), SimDisk::new(6));
    sim.block_on(async {
        let mut config = config();
        (config.memtable_bytes, config.memtables_bytes_max) = (2 << 20, 8 << 20);
        config.log_bytes_max = 4 << 20;
        (config.compaction.level0_tables, config.compaction.upper_percent) = (100, 1 << 20);
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let (mut client, _) = Client::open(&sim.env(&disk), config, &ledger).await.unwrap();
        for _ in 0..3 {
            for key in 0..KEYS {
                let write = Write::put(key, client.taken(), 20_000);
                client.write_until_taken(write).await.unwrap();
            }
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
        }
        let tables: Vec<String> =
            disk.paths().into_iter().filter(|path| path.ends_with(".sst")).collect();
        assert_eq!(tables.len(), 3, "{tables:?}");
        for table in &tables {
            disk.corrupt(table, |bytes| {
                assert!(bytes.len() > 400_000, "more than three requests");
                let at = bytes.len() - 30_000;
                bytes[at] ^= 1;
            });
        }
        client.rest(2 * 1000 * PASS_S + 500).await;
        let damaged: Vec<Damage> = client.store.damaged().collect();
        assert_eq!(damaged.len(), 3, "{damaged:?}");
        assert!(damaged.iter().all(|it| it.offset > 128 << 10 && it.found_by == FoundBy::Scrub));
    });
}

#[test]
fn a_sound_store_is_scrubbed_again_and_again_in_silence() {
    let (sim, disk) = (Sim::new(2), SimDisk::new(2));
    sim.block_on(async {
        let mut client = with_a_table(&sim, &disk, config()).await;
        client.rest(10 * 1000 * PASS_S).await;
        let stats = client.store.stats();
        assert!((8..=12).contains(&stats.scrub_passes), "{} passes", stats.scrub_passes);
        let all = stats.table_bytes.iter().sum::<u64>();
        assert!(stats.scrub_bytes > 6 * all, "{} bytes of {all}", stats.scrub_bytes);
        assert_eq!((stats.blocks_damaged, stats.scrub_errors), (0, 0));
        assert_eq!(client.store.damaged().count(), 0);
    });
}

#[test]
fn it_never_reads_faster_than_it_may() {
    let (sim, disk) = (Sim::new(3), SimDisk::new(3));
    sim.block_on(async {
        let mut config = config();
        // The table in a second would be more than is allowed.
        config.scrub = ScrubOptions { pass_s: 1, bytes_per_s_max: 10_000 };
        let mut client = with_a_table(&sim, &disk, config).await;
        client.rest(100_000).await;
        let Stats { scrub_bytes: bytes, table_bytes, .. } = client.store.stats();
        assert!(table_bytes.iter().sum::<u64>() > 12_000);
        assert!((800_000..=1_030_000).contains(bytes), "{bytes} bytes in 100 s");
    });
}

/// What the disk refuses once is not damage.
#[test]
fn a_table_that_cannot_be_read_is_tried_again_in_the_next_pass() {
    let (sim, disk) = (Sim::new(4), SimDisk::new(4));
    sim.block_on(async {
        let mut client = with_a_table(&sim, &disk, config()).await;
        let (on, path) = (Some(Io::Read), ".sst".to_owned());
        disk.inject(Fault { on, path, nth: 1, sticky: true, how: Fail::Eio });
        client.rest(2 * 1000 * PASS_S + 100).await;
        let stats = client.store.stats();
        assert!(stats.scrub_errors >= 1 && stats.blocks_damaged == 0, "{stats:?}");
        let (before, errors) = (stats.scrub_bytes, stats.scrub_errors);
        disk.clear_faults();
        client.rest(2 * 1000 * PASS_S + 100).await;
        let stats = client.store.stats();
        assert!(stats.scrub_bytes > before && stats.scrub_errors == errors);
    });
}

/// A scrub that waits for its hour must not hold up the end.
#[test]
fn a_store_closes_at_once_while_its_scrub_waits() {
    let (sim, disk) = (Sim::new(5), SimDisk::new(5));
    sim.block_on(async {
        let mut config = config();
        config.scrub.pass_s = 1 << 20;
        let client = with_a_table(&sim, &disk, config).await;
        let before_us = client.env.monotonic_us();
        let env = client.env.clone();
        client.store.close().await.unwrap();
        assert!(env.monotonic_us() - before_us < 1_000_000);
    });
}
