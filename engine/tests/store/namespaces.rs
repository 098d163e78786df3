//! Namespaces: those that are dropped are gone, those that are compressed take less.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::digest::{DigestRequest, View};
use engine::env::sim::{Fail, Fault, Io, Sim, SimDisk};
use engine::namespaces::Namespaces;
use engine::sstable::TokenRange;
use engine::store::PutError;
use schemas::ids::{Hlc, NamespaceId};

use crate::harness::{Client, KEYS, Ledger, Write, namespace_of, simulate, small_config};

const DROPPED: NamespaceId = NamespaceId(7);

fn dropping() -> Arc<Namespaces> {
    Arc::new(Namespaces::new([DROPPED], []))
}

async fn write_rounds(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        for key in 0..KEYS {
            let write = Write::put(key, client.taken(), 700);
            client.write_until_taken(write).await.unwrap();
        }
    }
    client.settle().await.unwrap();
}

/// The keys of the namespace have no value, the others have theirs.
async fn check_dropped(client: &mut Client) {
    let shown = client.shown(0).await.unwrap();
    let expected = client.ledger.borrow().after(client.taken(), 0);
    for key in 0..KEYS {
        let expected = expected[&key].as_ref().filter(|_| namespace_of(key) != DROPPED);
        assert_eq!(shown[&key].as_ref(), expected, "key {key}");
    }
    let scanned = client.scan(DROPPED, 5, 3000).await.unwrap();
    assert!(scanned.is_empty(), "{} records in a page", scanned.len());
    let view = View { purge_below: Hlc(0), now_ms: 0 };
    let request = DigestRequest { range: TokenRange::ALL, depth: 0, view };
    let digests = client.digest(request).await.unwrap();
    let keys: u64 = digests.leaves.iter().map(|(_, digest)| digest.keys).sum();
    let others = (0..KEYS).filter(|&key| namespace_of(key) != DROPPED).count();
    assert_eq!(keys, others as u64, "keys that a digest counts");
}

/// At once, after a start that is told, in memtables and in tables; and its bytes are given back.
#[test]
fn a_namespace_that_is_dropped_is_gone() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    let mut config = small_config();
    config.vnodes = schemas::ids::VnodeBits::new(3).unwrap();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &ledger).await.unwrap();
        write_rounds(&mut client, 6).await;
        client.store.set_namespaces(dropping());
        check_dropped(&mut client).await;
        let dropped = (0..KEYS).find(|&key| namespace_of(key) == DROPPED).unwrap();
        let write = Write::put(dropped, client.taken(), 10);
        assert_eq!(client.write(write), Err(PutError::NamespaceDropped));
        while client.store.stats().full_compaction {
            client.round().await.unwrap();
        }
        check_dropped(&mut client).await;
        let others = (0..KEYS).filter(|&key| namespace_of(key) != DROPPED).count();
        assert_eq!(client.store.stats().table_records, others as u64, "records in tables");
        client.store.close().await.unwrap();
        config.namespaces = dropping();
        let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
        check_dropped(&mut client).await;
    });
}

/// A start that came before the end of the compaction left the bytes where they were for ever.
#[test]
fn what_a_dropped_namespace_takes_is_given_back_once_also_after_a_start() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    let others = (0..KEYS).filter(|&key| namespace_of(key) != DROPPED).count() as u64;
    let dropping = || {
        let mut config = small_config();
        config.namespaces = dropping();
        config
    };
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        write_rounds(&mut client, 6).await;
        client.store.set_namespaces(dropping().namespaces);
        client.store.close().await.unwrap();
        let (mut client, _) = Client::open(&env, dropping(), &ledger).await.unwrap();
        assert!(client.store.stats().full_compaction, "it was not done");
        while client.store.stats().full_compaction {
            client.round().await.unwrap();
        }
        assert_eq!(client.store.stats().table_records, others);
        client.store.close().await.unwrap();
        let (client, _) = Client::open(&env, dropping(), &ledger).await.unwrap();
        assert!(!client.store.stats().full_compaction, "once is enough");
    });
}

/// The same writes with and without it: the same is shown, and tables are shorter.
#[test]
fn a_namespace_that_is_compressed_takes_less() {
    let bytes = [false, true].map(|compresses| {
        let (disk, ledger) = (SimDisk::new(1), Rc::new(RefCell::new(Ledger::default())));
        let (sim, env) = simulate(1, &disk, &ledger.borrow());
        let mut config = small_config();
        if compresses {
            config.namespaces = Arc::new(Namespaces::new([], [namespace_of(0)]));
        }
        sim.block_on(async {
            let (mut client, _) = Client::open(&env, config.clone(), &ledger).await.unwrap();
            write_rounds(&mut client, 10).await;
            client.store.flush().await.unwrap();
            client.store.close().await.unwrap();
            // A start that is told nothing reads what is compressed all the same.
            let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
            assert_eq!(client.check_recovered().await, Ok(10 * KEYS as usize));
            assert!(client.check_scan(7, 5000).await);
            client.store.stats().table_bytes.iter().sum::<u64>()
        })
    });
    assert!(bytes[1] < bytes[0] * 2 / 3, "{bytes:?} bytes of tables");
}

/// A table that the disk refuses for a while is left out of a full compaction, which ends without
/// it: what it holds of a dropped namespace was taken for purged.
#[test]
fn what_could_not_be_read_is_purged_by_a_later_start() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    let others = (0..KEYS).filter(|&key| namespace_of(key) != DROPPED).count() as u64;
    let mut config = small_config();
    config.namespaces = dropping();
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        write_rounds(&mut client, 6).await;
        client.store.flush().await.unwrap();
        client.store.compact_all();
        while client.store.stats().full_compaction {
            client.round().await.unwrap();
        }
        // What it replaced is removed behind it.
        client.rest(100).await;
        let table = disk.paths().into_iter().find(|path| path.ends_with(".sst")).unwrap();
        let (on, sticky, how) = (Some(Io::Read), true, Fail::Eio);
        disk.inject(Fault { on, path: table, nth: 1, sticky, how });
        client.store.set_namespaces(dropping());
        while client.store.stats().full_compaction {
            client.round().await.unwrap();
        }
        assert!(client.store.stats().table_records > others, "it cannot be read");
        assert!(client.store.stats().compaction_errors > 0);
        disk.clear_faults();
        client.store.close().await.unwrap();
        let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
        assert!(client.store.stats().full_compaction, "it was not done");
        while client.store.stats().full_compaction {
            client.round().await.unwrap();
        }
        assert_eq!(client.store.stats().table_records, others);
    });
}

/// Puts that were on their way to the log came into a memtable behind those that were flushed for
/// the purge, and stayed; so did those that a start replayed.
#[test]
fn what_is_on_its_way_when_a_namespace_is_dropped_goes_too() {
    [false, true].into_iter().for_each(drop_what_is_on_its_way);
}

fn drop_what_is_on_its_way(stops: bool) {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    let others = (0..KEYS).filter(|&key| namespace_of(key) != DROPPED).count() as u64;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &ledger).await.unwrap();
        write_rounds(&mut client, 2).await;
        for key in 0..KEYS {
            client.write(Write::put(key, client.taken(), 300)).unwrap();
        }
        client.store.set_namespaces(dropping());
        client.settle().await.unwrap();
        while client.store.stats().full_compaction {
            client.round().await.unwrap();
        }
        if stops {
            client.rest(100).await;
            drop(client);
            let mut config = small_config();
            config.namespaces = dropping();
            (client, _) = Client::open(&env, config, &ledger).await.unwrap();
            assert!(!client.store.stats().full_compaction, "it is told to be done");
        }
        client.store.flush().await.unwrap();
        let records = client.store.stats().table_records;
        assert!(records <= 2 * others, "{records}, {others} keys of others");
    });
}
