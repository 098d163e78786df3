//! More than the disk keeps up with: memory stays bounded, writers are slowed before they are
//! refused, and reads that would not fit are turned away.

use std::rc::Rc;

use engine::commit_log::LogConfig;
use engine::env::Env;
use engine::env::sim::{Crash, Fail, Fault, Io, Sim, SimDisk};
use engine::limits::SLOWED_US_MAX;
use engine::store::{Get, PutError};

use crate::harness::{Client, KEYS, Write, small_config};

#[test]
fn writers_are_slowed_then_refused_while_nothing_can_be_flushed() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.log_bytes_max = 1 << 20;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        disk.inject(Fault {
            on: Some(Io::Write),
            path: ".sst".to_owned(),
            nth: 1,
            sticky: true,
            how: Fail::Enospc,
        });
        let mut waits_us = Vec::new();
        let refused = loop {
            let start_us = env.monotonic_us();
            let key = client.taken() as u32 % KEYS;
            if let Err(refused) = client.write(Write::put(key, client.taken(), 3000)) {
                break refused;
            }
            client.settle().await.unwrap();
            waits_us.push(env.monotonic_us() - start_us);
            let bytes = client.store.stats().memtables_bytes as usize;
            assert!(bytes <= config.memtables_bytes_max, "{bytes} bytes");
        };
        assert!(matches!(refused, PutError::Busy { retry_after_us: 1.. }), "{refused}");
        let (first, last) = (waits_us[0], waits_us[waits_us.len() - 1]);
        assert!(last > 20 * first, "from {first} us to {last} us");
        let stats = client.store.stats();
        assert!(stats.slowdowns_memory > 3 && stats.flush_errors > 0 && stats.puts_busy == 1);
        for key in 0..KEYS {
            assert!(client.check_read(key).await, "reads go on");
        }
        disk.clear_faults();
        let start = client.taken();
        client.write_until_taken(Write::put(1, start, 3000)).await.unwrap();
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        client.round().await.unwrap();
        assert!(client.store.stats().memtables_bytes < 16 << 10, "it clears by itself");
        let left = disk.paths().into_iter().filter(|path| path.ends_with(".sst.tmp")).count();
        assert_eq!(left, 0, "flushes that failed leave nothing behind");
    });
}

/// A new node has no segment to recycle. Where batches are written faster than zeros, the next
/// segment was not ready when the one in use was full, and all writers were refused until it was.
#[test]
fn writers_who_wait_are_slowed_and_not_refused_while_the_log_grows() {
    const IN_FLIGHT: usize = 400;
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.memtable_bytes = 256 << 20;
    config.memtables_bytes_max = 1 << 30;
    config.log_bytes_max = 1 << 30;
    config.log.segment_bytes = 16 << 20;
    config.log.batch_bytes_max = LogConfig::default().batch_bytes_max;
    let segments = 8;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        while client.store.stats().log_bytes < segments * config.log.segment_bytes {
            while client.taken() - client.ledger.borrow().acknowledged < IN_FLIGHT {
                let key = client.taken() as u32 % KEYS;
                client.write(Write::put(key, client.taken(), 8000)).unwrap();
            }
            client.round().await.unwrap();
        }
        let stats = client.store.stats();
        assert!(stats.slowdowns_log > 0, "{} slowdowns", stats.slowdowns());
        assert_eq!((stats.puts_busy, stats.puts_busy_log, stats.flushes), (0, 0, 0));
    });
}

#[test]
fn one_key_written_for_ever_holds_no_more_log_than_it_may() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let config = small_config();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        for index in 0..200 {
            // Rows of one length take each other's place in the memtable.
            client.write_until_taken(Write::put(1, index, 500)).await.unwrap();
            client.settle().await.unwrap();
            let kept = client.store.stats().log_bytes_kept;
            let room = config.log_bytes_max + 2 * config.log.segment_bytes;
            assert!(kept <= room, "{kept} bytes of the log kept");
        }
        let stats = client.store.stats();
        let segments = stats.log_bytes / config.log.segment_bytes;
        assert!((4..=segments + 1).contains(&stats.flushes), "{} flushes", stats.flushes);
        assert!(client.check_read(1).await);
    });
}

/// Only the first of the acknowledgements that were held back had a timer. A core that parks
/// between the ends of its operations gave the second one when something else woke it.
#[test]
fn each_acknowledgement_that_is_held_back_comes_in_time() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let config = small_config();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        let (path, how) = (".sst".to_owned(), Fail::Enospc);
        disk.inject(Fault { on: Some(Io::Write), path, nth: 1, sticky: true, how });
        while (client.store.stats().memtables_bytes as usize) < config.memtables_bytes_max * 7 / 8 {
            let key = client.taken() as u32 % KEYS;
            client.write(Write::put(key, client.taken(), 3000)).unwrap();
            client.settle().await.unwrap();
        }
        for _ in 0..5 {
            let slowdowns = client.store.stats().slowdowns();
            client.write(Write::put(1, client.taken(), 10)).unwrap();
            while client.store.stats().slowdowns() == slowdowns {
                client.round().await.unwrap();
            }
            client.write(Write::put(2, client.taken(), 10)).unwrap();
            let start_us = env.monotonic_us();
            client.settle().await.unwrap();
            let waited_us = env.monotonic_us() - start_us;
            assert!(waited_us < SLOWED_US_MAX + 5000, "{waited_us} us");
        }
    });
}

/// While one flush was under way, every tick froze a memtable of one batch because the log was
/// still as long: memory for writes was full of nearly empty memtables, and each became a table.
#[test]
fn a_long_log_freezes_no_more_memtables_than_it_is_long() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let config = small_config();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        let (path, how) = (".sst".to_owned(), Fail::Enospc);
        disk.inject(Fault { on: Some(Io::Write), path, nth: 1, sticky: true, how });
        for index in 0..200 {
            client.write(Write::put(1, index, 500)).unwrap();
            client.settle().await.unwrap();
        }
        assert_eq!(client.store.stats().slowdowns(), 0);
        disk.clear_faults();
        client.store.flush().await.unwrap();
        let stats = client.store.stats();
        let most = stats.log_bytes / config.log_bytes_max + 1;
        assert!((4..=most).contains(&stats.flushes), "{} flushes, {most} at most", stats.flushes);
    });
}

/// A memtable of hardly anything is full when it is empty, and a start froze it: its flush wrote a
/// table without records, which there is not.
#[test]
fn a_start_freezes_no_empty_memtable() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.memtable_bytes = 1;
    let ledger = Rc::default();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &ledger).await.unwrap();
        for key in 0..3 {
            client.write(Write::put(key, client.taken(), 10)).unwrap();
            client.settle().await.unwrap();
        }
    });
    let left = disk.crash(Crash::LoseAll, 1);
    let sim = Sim::new(2);
    let env = sim.env(&left);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
        client.check_recovered().await.unwrap();
        client.store.flush().await.unwrap();
    });
}

#[test]
fn reads_past_the_limit_are_turned_away_and_the_others_answered() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.reads_in_flight_max = 3;
    (config.cache_bytes, config.tables_memory_bytes) = (0, 0);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            client.write_until_taken(Write::put(key, client.taken(), 5000)).await.unwrap();
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        let mut tickets = Vec::new();
        let mut busy = 0;
        for key in 0..KEYS {
            match client.get(key) {
                Get::Miss(ticket) => tickets.push((key, ticket)),
                Get::Busy { retry_after_us } => {
                    assert!(retry_after_us > 0);
                    busy += 1;
                }
                other => panic!("key {key}: {other:?}"),
            }
        }
        assert_eq!((tickets.len(), busy), (3, KEYS as usize - 3));
        for (key, ticket) in tickets {
            let value = client.answer(ticket).await.unwrap().unwrap();
            assert!(value.unwrap().starts_with(format!("{key}/").as_bytes()));
        }
        assert!(client.check_read(0).await, "there is room again");
    });
}
