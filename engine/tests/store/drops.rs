//! Vnodes that are dropped: all of them or nothing, at one place in the order of writes, and for
//! good.

use std::cell::RefCell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Crash, Sim, SimDisk, SimEnv, When};
use engine::sstable::{FileId, Table, TokenRange};
use engine::store::{Durability, Failure, ScrubOptions, StoreConfig};
use fastrand::Rng;
use schemas::clock::VnodeClock;
use schemas::ids::{Token, Vnode, VnodeBits};

use crate::harness::{Client, DIR, KEYS, Ledger, Write, simulate, small_config, token_of};

const BITS: VnodeBits = VnodeBits::new(3).unwrap();

/// Eight vnodes, so that each has several keys.
fn config() -> StoreConfig {
    let mut config = small_config();
    config.vnodes = BITS;
    config
}

async fn settle_drops(client: &mut Client) -> Result<(), Failure> {
    while client.ledger.borrow().pending_drops().next().is_some() {
        client.round().await?;
        client.env.sleep_us(100).await;
    }
    Ok(())
}

async fn write_some(client: &mut Client, rng: &mut Rng, count: u32) -> Result<(), Failure> {
    for _ in 0..rng.u32(..count) {
        let (key, index) = (rng.u32(..KEYS), client.taken());
        if client.ledger.borrow().is_dropping(key) {
            continue;
        }
        let mut write = match rng.u32(..5) {
            0 => Write::delete(key, index),
            _ => Write::put(key, index, rng.usize(..900)),
        };
        if rng.u32(..10) == 0 {
            write.hlc = write.hlc.saturating_sub(rng.u64(..20));
        }
        client.write_until_taken(write).await?;
        if rng.u32(..8) == 0 {
            client.round().await?;
        }
    }
    Ok(())
}

/// What holds whenever nothing waits: keys, pages and clocks tell the same.
async fn check_all(client: &mut Client, now_ms: u64, what: &str) {
    let shown = client.shown(now_ms).await.expect("no I/O fails");
    let expected = client.ledger.borrow().after(client.taken(), now_ms);
    let wrong = (0..KEYS).find(|key| shown[key] != expected[key]);
    assert!(wrong.is_none(), "{what}: key {wrong:?}");
    assert!(client.check_scan(5, 3000).await, "{what}: no I/O fails");
    for vnode in 0..BITS.count() as u16 {
        let vnode = Vnode(vnode);
        let ledger = client.ledger.borrow();
        let drops = ledger.drops.iter().filter(|drop| drop.vnode == vnode);
        let from = drops.map(|drop| drop.at).max().unwrap_or(0);
        let writes = ledger.writes[from..].iter().filter(|write| write.index > 0);
        let writes = writes.filter(|write| token_of(write.key).vnode(BITS) == vnode).count();
        let dots = client.store.clock(vnode).count_beyond(&VnodeClock::default());
        assert_eq!(dots, writes as u64, "{what}: {vnode:?}, from write {from}");
    }
}

/// Random lives under every durability, with stops while vnodes are being dropped.
#[test]
fn what_is_dropped_is_gone_and_what_is_written_later_is_not() {
    let mut dropped = 0;
    for seed in 1..=30 {
        let mut rng = Rng::with_seed(seed);
        let mut config = config();
        config.log.durability = match seed % 3 {
            0 => Durability::Periodic { interval_us: 2_000 },
            1 => Durability::None,
            _ => Durability::Sync,
        };
        let (mut disk, mut ledger) = (SimDisk::new(seed), Ledger::default());
        for life in 0..4 {
            let what = format!("seed {seed}, life {life}");
            let (sim, env) = simulate(rng.u64(..), &disk, &ledger);
            let shared = Rc::new(RefCell::new(ledger.clone()));
            sim.block_on(async {
                let opened = Client::open(&env, config.clone(), &shared).await;
                let (mut client, _) = opened.expect("it opens");
                client.check_recovered().await.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
                client.drop_again();
                settle_drops(&mut client).await.expect("no I/O fails");
                live(&mut client, &mut rng, &what).await.expect("no I/O fails");
                dropped += client.store.stats().vnodes_dropped;
                client.store.close().await.expect("no I/O fails");
            });
            disk = disk.crash(Crash::LoseAll, seed);
            ledger = shared.borrow().clone();
        }
    }
    assert!(dropped > 300, "{dropped} vnodes dropped");
}

async fn live(client: &mut Client, rng: &mut Rng, what: &str) -> Result<(), Failure> {
    for _ in 0..6 {
        if rng.bool() {
            client.store.compact_vnode(Vnode(rng.u16(..BITS.count() as u16)));
        }
        write_some(client, rng, 120).await?;
        client.settle().await?;
        let keys: Vec<u32> = (0..rng.u32(1..4)).map(|_| rng.u32(..KEYS)).collect();
        client.drop_vnodes_of(&keys, BITS);
        write_some(client, rng, 40).await?;
        settle_drops(client).await?;
        client.settle().await?;
        check_all(client, client.env.wall_ms(), what).await;
        if rng.bool() {
            client.store.flush().await.expect("no I/O fails");
        }
    }
    // The last is cut off by the end of the life.
    client.drop_vnodes_of(&[rng.u32(..KEYS)], BITS);
    for _ in 0..rng.u32(..6) {
        client.round().await?;
    }
    Ok(())
}

/// Writes, a drop, more writes and another drop, as far as the disk lasts.
async fn drop_twice(env: &SimEnv, ledger: &Rc<RefCell<Ledger>>) -> Result<(), Failure> {
    let Ok((mut client, _)) = Client::open(env, config(), ledger).await else { return Ok(()) };
    let mut rng = Rng::with_seed(7);
    for _ in 0..2 {
        write_some(&mut client, &mut rng, 100).await?;
        client.settle().await?;
        client.drop_vnodes_of(&[1, 6], BITS);
        write_some(&mut client, &mut rng, 30).await?;
        client.settle().await?;
        settle_drops(&mut client).await?;
    }
    client.store.close().await
}

/// The power goes at every sync: each drop is done or not, none that was told is undone, and no
/// clock says more than there is.
#[test]
fn a_power_cut_leaves_a_vnode_whole_or_nothing_of_it() {
    let run = |disk: &SimDisk| {
        let ledger = Rc::new(RefCell::new(Ledger::default()));
        let sim = Sim::new(4);
        let (env, shared) = (sim.env(disk), Rc::clone(&ledger));
        sim.run(async move { drop(drop_twice(&env, &shared).await) });
        ledger.take()
    };
    let whole = SimDisk::new(5);
    assert!(run(&whole).drops.iter().all(|drop| drop.done));
    for sync in 1..=whole.syncs() {
        for (class, when) in
            Crash::ALL.into_iter().zip([When::Before, When::After].into_iter().cycle())
        {
            let disk = SimDisk::new(5);
            disk.crash_at_sync(sync, when);
            let before = run(&disk);
            let what = format!("{class:?} {when:?} sync {sync}");
            let (sim, env) = simulate(6, &disk.crash(class, sync), &before);
            let ledger = Rc::new(RefCell::new(before));
            sim.block_on(async {
                let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
                client.check_recovered().await.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
                let pending: Vec<_> = ledger.borrow().pending_drops().collect();
                client.drop_again();
                settle_drops(&mut client).await.expect("the disk works");
                for (_, vnode) in pending {
                    assert_eq!(
                        client.store.clock(vnode).count_beyond(&VnodeClock::default()),
                        0,
                        "{what}: {vnode:?}"
                    );
                }
            });
        }
    }
}

/// A vnode that is dropped takes nothing with it that compaction does not give back.
#[test]
fn a_node_that_gives_up_everything_has_no_tables() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        for round in 0..40 {
            for key in 0..KEYS {
                let write = Write::put(key, client.taken(), 100 + round);
                client.write_until_taken(write).await.unwrap();
            }
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        assert!(client.store.stats().tables.iter().sum::<u64>() > 0);
        client.drop_vnodes_of(&(0..KEYS).collect::<Vec<_>>(), BITS);
        settle_drops(&mut client).await.unwrap();
        client.rest(100).await;
        assert_eq!(client.store.stats().tables.iter().sum::<u64>(), 0, "no table is left");
        assert_eq!(client.store.size_of(TokenRange::ALL).bytes, 0);
    });
}

/// Damage among what was dropped kept its table from every compaction, and was found by scrubs and
/// merges that had no need to look there.
#[test]
fn damage_among_what_is_dropped_is_nobodys() {
    let mut damaged = 0;
    for found_before in [false, true] {
        let (sim, disk) = (Sim::new(3), SimDisk::new(3));
        let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
        let mut config = config();
        (config.memtable_bytes, config.memtables_bytes_max) = (128 << 10, 512 << 10);
        config.log_bytes_max = 1 << 20;
        (config.compaction.level0_tables, config.compaction.upper_percent) = (100, 1 << 20);
        config.scrub = ScrubOptions { pass_s: 1, bytes_per_s_max: 1 << 30 };
        sim.block_on(async {
            let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
            for key in 0..KEYS {
                client.write_until_taken(Write::put(key, client.taken(), 3000)).await.unwrap();
            }
            client.settle().await.unwrap();
            client.store.flush().await.unwrap();
            let (path, at, token) = block_within_a_vnode(&env, &disk).await;
            let key = (0..KEYS).find(|&key| token_of(key) == token).expect("some key's");
            let rot = || disk.corrupt(&path, |bytes| bytes[at as usize + 9] ^= 1);
            if found_before {
                rot();
                client.rest(3000).await;
                let found = client.store.damaged().map(|it| it.offset);
                assert_eq!(found.collect::<Vec<_>>(), [at]);
            }
            client.drop_vnodes_of(&[key], BITS);
            settle_drops(&mut client).await.unwrap();
            if !found_before {
                rot();
            }
            client.rest(3000).await;
            assert!(client.store.stats().scrub_passes >= 2);
            client.store.compact_all();
            client.rest(1000).await;
            assert_eq!(client.store.damaged().next(), None);
            let stats = client.store.stats();
            assert_eq!((stats.blocks_damaged, stats.tables_unreadable), (0, 0));
            assert!(!stats.full_compaction, "found before: {found_before}");
            assert_eq!(disk.bytes(&path), None, "written anew");
            check_all(&mut client, 0, "after the compaction").await;
            damaged += 1;
        });
    }
    assert_eq!(damaged, 2);
}

/// A block of the only table of which the next one begins in the same vnode: the table, the block's
/// place and its first token.
async fn block_within_a_vnode(env: &SimEnv, disk: &SimDisk) -> (String, u64, Token) {
    let name = |path: &str| path.rsplit_once('/').map(|(_, name)| name.to_owned()).unwrap();
    let paths = disk.paths().into_iter().filter(|path| path.ends_with(".sst"));
    let [path] = &paths.collect::<Vec<_>>()[..] else { panic!("one table") };
    let id = FileId::from_file_name(&name(path)).unwrap();
    let table = Table::open(env, DIR, id, TokenRange::ALL).await.unwrap();
    let partition = table.read_partition(0).await.unwrap();
    let blocks: Vec<_> = partition.blocks().collect();
    let two = blocks.windows(2).find(|two| two[0].1.vnode(BITS) == two[1].1.vnode(BITS));
    let (block, token) = two.expect("vnodes have several blocks")[0];
    (path.clone(), block.offset, token)
}

/// Tables that go since nothing of them can be seen counted as compactions: whoever looked for what
/// kept the disk busy was shown work that nobody did.
#[test]
fn tables_that_go_as_they_are_are_no_compactions() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    let bits = VnodeBits::new(0).unwrap();
    let config = StoreConfig { vnodes: bits, ..small_config() };
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
        for round in 0..20 {
            for key in 0..KEYS {
                let write = Write::put(key, client.taken(), 100 + round);
                client.write_until_taken(write).await.unwrap();
            }
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        client.rest(100).await;
        let before = client.store.stats().clone();
        assert!(before.compactions > 0 && before.compactions_running == 0);
        let written = before.compaction_bytes;
        client.drop_vnodes_of(&[0], bits);
        settle_drops(&mut client).await.unwrap();
        client.rest(100).await;
        let after = client.store.stats();
        assert!(after.tables_removed > before.tables_removed);
        assert_eq!(after.tables.iter().sum::<u64>(), 0, "no table is left");
        assert_eq!((after.compactions, after.compaction_bytes), (before.compactions, written));
    });
}
