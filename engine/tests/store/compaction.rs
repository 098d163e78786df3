//! What overwrites and deletes take on the disk comes back, while readers and writers go on.

use std::collections::BTreeSet;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Fail, Fault, Io, Sim, SimDisk, SimEnv};
use engine::scan::{ScanPlace, ScanRequest};
use engine::store::StoreConfig;
use schemas::ids::{Hlc, NamespaceId, Token, Vnode, VnodeBits};

use crate::harness::{Client, KEYS, Write, small_config, token_of};

fn table_bytes(client: &Client) -> u64 {
    client.store.stats().table_bytes.iter().sum()
}

/// Gives the background half a second.
async fn rest(client: &mut Client) {
    for _ in 0..500 {
        client.env.sleep_us(1000).await;
        client.round().await.expect("the disk works");
    }
}

#[test]
fn overwriting_does_not_fill_the_disk() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        let alive = u64::from(KEYS) * 1000;
        for round in 0..40 {
            for key in 0..KEYS {
                let len = 1000 + round; // another row each time: the memtable fills
                client.write_until_taken(Write::put(key, client.taken(), len)).await.unwrap();
            }
            client.settle().await.unwrap();
            assert!(client.check_read(round as u32 % KEYS).await);
            // Two tables of level 0 and two that came meanwhile, two runs, the bottom, and a job's
            // output beside its inputs.
            assert!(table_bytes(&client) < 10 * alive, "{} bytes", table_bytes(&client));
        }
        client.store.flush().await.unwrap();
        rest(&mut client).await;
        let stats = client.store.stats();
        assert!(stats.compactions > 10 && stats.tables_removed > 20);
        assert!(table_bytes(&client) < 5 * alive, "{} bytes at rest", table_bytes(&client));
        let named = stats.tables.iter().sum::<u64>() as usize;
        assert_eq!(table_files(&disk), named, "files of tables that are gone are gone");
    });
}

/// The output of a compaction that could not be opened stayed on the disk until the next start, and
/// so did one more for each try.
#[test]
fn what_a_compaction_could_not_use_does_not_stay() {
    let mut errors = 0;
    for nth in 1..=40 {
        let (sim, disk) = (Sim::new(nth), SimDisk::new(nth));
        let env = sim.env(&disk);
        sim.block_on(async {
            let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
            let (path, how) = (".sst".to_owned(), Fail::Eio);
            disk.inject(Fault { on: Some(Io::Read), path, nth, sticky: false, how });
            for round in 0..6 {
                for key in 0..KEYS {
                    let write = Write::put(key, client.taken(), 1000 + round);
                    client.write_until_taken(write).await.unwrap();
                }
                client.settle().await.unwrap();
            }
            client.store.flush().await.unwrap();
            rest(&mut client).await;
            let stats = client.store.stats();
            let named = stats.tables.iter().sum::<u64>() as usize;
            let files = disk.paths().into_iter().filter(|path| path.contains(".sst")).count();
            assert_eq!(files, named, "read {nth} failed");
            errors += stats.compaction_errors;
        });
    }
    assert!(errors > 10, "{errors} compactions failed");
}

/// Files of dropped tables waited until no read held a set of tables from before. Where a scan
/// always went on while tables came and went, that was never.
#[test]
fn tables_that_are_gone_are_removed_while_scans_go_on() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        let mut unnamed_most = 0;
        for index in 0..4 * KEYS {
            let write = Write::put(index % KEYS, client.taken(), 20_000 + index as usize);
            client.write_until_taken(write).await.unwrap();
            for _ in 0..20 {
                // One after the other and beside each other: there is always one that goes on.
                let _ = client.store.scan_now(everything(&env));
                client.round().await.unwrap();
            }
            let named = client.store.stats().tables.iter().sum::<u64>() as usize;
            unnamed_most = unnamed_most.max(table_files(&disk).saturating_sub(named));
        }
        assert!(client.store.stats().compactions > 50);
        assert!(unnamed_most < 10, "{unnamed_most} files that no manifest names");
    });
}

/// All of a namespace, in one page.
fn everything(env: &SimEnv) -> ScanRequest {
    ScanRequest {
        namespace: NamespaceId(2),
        from: ScanPlace { token: Token(0), after_key: Box::default() },
        to: Token(u64::MAX),
        records_max: KEYS as usize,
        bytes_max: 1 << 20,
        now_ms: env.wall_ms(),
    }
}

fn table_files(disk: &SimDisk) -> usize {
    disk.paths().into_iter().filter(|path| path.ends_with(".sst")).count()
}

/// The clock was ahead for a minute: a compaction of that minute made tombstones of all values that
/// would have been due by then, and the clock's way back did not bring them back.
#[test]
fn a_clock_that_was_ahead_destroys_nothing_that_is_not_due() {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            let expires_at_ms = env.wall_ms() + HOUR_MS as u64;
            let write = Write { expires_at_ms, ..Write::put(key, client.taken(), 2000) };
            client.write_until_taken(write).await.unwrap();
            client.settle().await.unwrap();
        }
        for (ahead_ms, tombstones) in [(2 * HOUR_MS, 0), (4 * HOUR_MS, KEYS - 1)] {
            sim.jump_wall_clock(ahead_ms);
            for len in [10, 11, 12] {
                client.write_until_taken(Write::put(0, client.taken(), len)).await.unwrap();
                client.settle().await.unwrap();
                client.store.flush().await.unwrap();
                rest(&mut client).await;
                assert!(client.check_read(1).await, "it is not seen while the clock is ahead");
            }
            assert_eq!(client.store.stats().table_tombstones, u64::from(tombstones));
            sim.jump_wall_clock(-ahead_ms);
            for key in (0..KEYS).filter(|_| tombstones == 0) {
                assert!(client.check_read(key).await, "it is there again");
            }
        }
    });
}

#[test]
fn the_deleted_gives_back_its_space_once_nothing_older_can_come() {
    the_deleted_gives_back_its_space(small_config().tables_memory_bytes);
}

/// Whether a tombstone may go is asked of partitions, which have to be read then.
#[test]
fn so_it_does_where_no_filter_is_in_memory() {
    the_deleted_gives_back_its_space(0);
}

fn the_deleted_gives_back_its_space(tables_memory_bytes: usize) {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let config = StoreConfig { tables_memory_bytes, ..small_config() };
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for horizon in [false, true] {
            for key in 0..KEYS {
                client.write_until_taken(Write::put(key, client.taken(), 2000)).await.unwrap();
            }
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
            for key in 0..KEYS {
                client.write_until_taken(Write::delete(key, client.taken())).await.unwrap();
            }
            client.settle().await.unwrap();
            if horizon {
                client.store.set_purge_horizon(Hlc(client.taken() as u64 + 1));
            }
            client.store.flush().await.unwrap();
            // Gives the picker a reason to look at the bottom again.
            client.write_until_taken(Write::put(0, client.taken(), 10)).await.unwrap();
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
            rest(&mut client).await;
            let (records, tombstones) =
                (client.store.stats().table_records, client.store.stats().table_tombstones);
            if horizon {
                assert_eq!(tombstones, 0, "of {records} records");
                assert!(records <= 3, "{records} records left of one that is alive");
            } else {
                assert!(tombstones >= u64::from(KEYS) - 1, "{tombstones} of {records} records");
            }
            for key in 0..KEYS {
                assert!(client.check_read(key).await);
            }
        }
    });
}

#[test]
fn a_full_compaction_leaves_one_run_of_what_is_alive() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        for key in (0..KEYS).chain(0..KEYS / 2) {
            client.write_until_taken(Write::put(key, client.taken(), 1000)).await.unwrap();
        }
        for key in KEYS / 2..KEYS {
            client.write_until_taken(Write::delete(key, client.taken())).await.unwrap();
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        // Asked for beside a job that is under way by itself.
        client.store.set_purge_horizon(Hlc(u64::MAX));
        let mut rounds = 0;
        while client.store.stats().compactions_running == 0 {
            for key in 0..KEYS / 2 {
                let write = Write::put(key, client.taken(), 1000 + rounds);
                client.write_until_taken(write).await.unwrap();
                client.round().await.unwrap();
            }
            rounds += 1;
            assert!(rounds < 100, "a compaction is under way at some moment");
        }
        client.store.compact_all();
        assert!(client.store.stats().full_compaction);
        rest(&mut client).await;
        let stats = client.store.stats();
        assert!(!stats.full_compaction, "it ends");
        let (upper, bottom) = stats.tables.split_at(stats.tables.len() - 1);
        assert!(upper.iter().all(|&tables| tables == 0) && bottom[0] > 0, "{:?}", stats.tables);
        assert_eq!((stats.table_records, stats.table_tombstones), (u64::from(KEYS / 2), 0));
        for key in 0..KEYS {
            assert!(client.check_read(key).await, "key {key}");
        }
    });
}

/// Deletes of one vnode are purged by a compaction of its own, and the others are where they were.
#[test]
fn a_vnode_is_compacted_alone() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.vnodes = VnodeBits::new(3).unwrap();
    // Nothing else is due.
    config.compaction.level0_tables = 100;
    config.compaction.upper_percent = 1 << 30;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        for deletes in [false, true] {
            for key in 0..KEYS {
                let index = client.taken();
                let put = Write::put(key, index, 300);
                let write = if deletes { Write::delete(key, index) } else { put };
                client.write_until_taken(write).await.unwrap();
            }
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
        }
        client.store.set_purge_horizon(Hlc(u64::MAX));
        let vnodes: BTreeSet<Vnode> =
            (0..KEYS).map(|key| token_of(key).vnode(config.vnodes)).collect();
        for vnode in vnodes {
            assert!(client.store.size_of_vnode(vnode).bytes > 0, "{vnode:?}");
            client.store.compact_vnode(vnode);
            while client.store.stats().vnodes_to_compact > 0 {
                client.env.sleep_us(100).await;
                client.round().await.unwrap();
            }
            assert_eq!(client.store.size_of_vnode(vnode).bytes, 0, "{vnode:?}");
            assert!(client.check_scan(9, 9000).await);
        }
        rest(&mut client).await;
        assert_eq!(table_bytes(&client), 0, "tables of which all is hidden go");
        let write = Write::put(0, client.taken(), 10);
        client.write_until_taken(write).await.unwrap();
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        assert!(client.check_read(0).await, "what is written later is there");
    });
}
