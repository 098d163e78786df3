//! A disk that fills up: puts are refused, deletes and reads are not, and it clears by itself.

use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Sim, SimDisk};
use engine::store::{PutError, SpaceLevel};
use schemas::ids::Hlc;

use crate::harness::{Client, DIR, KEYS, Write, small_config};

#[test]
fn a_full_disk_refuses_puts_and_nothing_else() {
    let disk = SimDisk::new(1);
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    let mut config = small_config();
    config.space.poll_interval_us = 1000;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        client.write(Write::put(1, 0, 100)).unwrap();
        client.settle().await.unwrap();
        for (percent, level) in [
            (50, SpaceLevel::Ample),
            (86, SpaceLevel::Warn),
            (93, SpaceLevel::BackgroundStopped),
            (98, SpaceLevel::PutsRefused),
        ] {
            // A segment of the log that is being made is there when it is asked.
            env.sleep_us(10_000).await;
            let space = disk.space();
            disk.set_capacity((space.total - space.available) * 100 / percent);
            env.sleep_us(2000).await;
            client.round().await.unwrap();
            assert_eq!(client.store.stats().space, level, "{percent} % used");
            let put = client.write(Write::put(2, client.taken(), 10));
            let refused = level == SpaceLevel::PutsRefused;
            assert_eq!(put, if refused { Err(PutError::DiskFull) } else { Ok(()) });
            client.settle().await.unwrap();
        }
        client.write(Write::delete(1, client.taken())).unwrap();
        client.settle().await.unwrap();
        assert!(client.check_read(1).await && client.check_read(2).await);
        assert_eq!(client.store.stats().puts_disk_full, 1);
        disk.set_capacity(1 << 40);
        env.sleep_us(2000).await;
        client.round().await.unwrap();
        client.write(Write::put(1, client.taken(), 10)).unwrap();
        client.settle().await.unwrap();
    });
}

/// A disk that was nearly full stayed so: of all that was due a settle of everything came first,
/// was refused for want of space, and nothing else was tried. Level 0 grew, and deletes, which are
/// what the disk is waiting for, gave nothing back.
#[test]
fn a_full_disk_is_compacted_and_clears_when_records_are_deleted() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = small_config();
    config.space.poll_interval_us = 1000;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            put_and_rest(&mut client, key, 30_000, 20).await;
        }
        disk.put("somebody's", &vec![1; 12 << 20]);
        fill(&disk, 93);
        for index in 0..10 * KEYS {
            put_and_rest(&mut client, index % KEYS, 30_000, 5).await;
            let level0 = client.store.stats().tables[0];
            assert!(level0 < 12, "{level0} tables in level 0");
        }
        rest(&mut client, 300).await;
        fill(&disk, 98);
        rest(&mut client, 5).await;
        assert_eq!(client.store.stats().space, SpaceLevel::PutsRefused);
        for key in 0..KEYS {
            client.write_until_taken(Write::delete(key, client.taken())).await.unwrap();
        }
        client.settle().await.unwrap();
        client.store.set_purge_horizon(Hlc(client.taken() as u64 + 1));
        client.store.flush().await.unwrap();
        rest(&mut client, 500).await;
        let left = client.store.stats().table_bytes.iter().sum::<u64>();
        assert!(left < 100_000, "{left} bytes of tables");
        client.write(Write::put(1, client.taken(), 10)).unwrap();
        client.settle().await.unwrap();
    });
}

/// A crash left a full disk, of a table that was being written or that was not named yet. The
/// manifest had no room to be renewed: the store did not open, and what would have made room was
/// removed only afterwards.
#[test]
fn a_disk_that_a_crash_left_full_opens() {
    for left in ["0001000000000007.sst.tmp", "0001000000000007.sst"] {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        let ledger = Rc::default();
        sim.block_on(async {
            let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
            client.write(Write::put(1, 0, 100)).unwrap();
            client.store.flush().await.unwrap();
            client.settle().await.unwrap();
            client.store.close().await.unwrap();
            disk.put(&format!("{DIR}/{left}"), &vec![7; 1 << 20]);
            fill(&disk, 100);
            let (mut client, report) = Client::open(&env, small_config(), &ledger).await.unwrap();
            assert_eq!(report.files_removed, 1, "{left}");
            client.check_recovered().await.unwrap();
        });
    }
}

/// A start cleared away what nobody names and counted on the space, which a segment of another
/// core's log had taken by then.
#[test]
fn a_start_needs_no_space() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let ledger = Rc::default();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        client.write(Write::put(1, 0, 100)).unwrap();
        client.settle().await.unwrap();
        client.store.close().await.unwrap();
        fill(&disk, 100);
        for _ in 0..3 {
            let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
            client.check_recovered().await.unwrap();
        }
    });
}

/// Gives the disk a size of which so many percent are used.
fn fill(disk: &SimDisk, percent: u64) {
    let space = disk.space();
    disk.set_capacity((space.total - space.available) * 100 / percent);
}

async fn put_and_rest(client: &mut Client, key: u32, len: usize, rounds: usize) {
    client.write_until_taken(Write::put(key, client.taken(), len)).await.unwrap();
    client.settle().await.unwrap();
    rest(client, rounds).await;
}

async fn rest(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        client.env.sleep_us(1000).await;
        client.round().await.expect("the disk works");
    }
}
