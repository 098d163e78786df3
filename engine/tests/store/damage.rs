//! Files that are not what was written: what cannot be read is said, with file and place, and all
//! else is served.

use std::cell::RefCell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Fail, Fault, Io, Sim, SimDisk};
use engine::store::{OpenError, OpenErrorKind, StoreConfig};

use crate::harness::{Client, DIR, KEYS, Ledger, Write, small_config};

/// So much memory that everything is flushed to one table.
fn config() -> StoreConfig {
    let mut config = small_config();
    config.memtable_bytes = 128 << 10;
    config.memtables_bytes_max = 512 << 10;
    config.log_bytes_max = 1 << 20;
    config
}

/// A disk with a store that was stopped cleanly: its records are in tables, and some in the log.
fn stopped() -> (SimDisk, Ledger) {
    let disk = SimDisk::new(1);
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.expect("the disk works");
        for index in 0..2 * KEYS {
            client.write(Write::put(index % KEYS, index as usize, 900)).expect("the disk works");
            client.settle().await.expect("the disk works");
        }
        client.store.flush().await.expect("the disk works");
        for index in 2 * KEYS..2 * KEYS + 3 {
            client.write(Write::put(index % KEYS, index as usize, 900)).expect("the disk works");
            client.settle().await.expect("the disk works");
        }
        client.store.close().await.expect("the disk works");
    });
    drop(sim);
    (disk, Rc::into_inner(ledger).expect("the disk works").into_inner())
}

fn tables(disk: &SimDisk) -> Vec<String> {
    disk.paths().into_iter().filter(|path| path.ends_with(".sst")).collect()
}

fn open_error(disk: &SimDisk, damage: &str) -> OpenError {
    let sim = Sim::new(2);
    let env = sim.env(disk);
    sim.block_on(async {
        let opened = Client::open(&env, config(), &Rc::default()).await;
        opened.err().unwrap_or_else(|| panic!("opens in spite of {damage}"))
    })
}

#[test]
fn a_damaged_block_fails_its_keys_and_no_others() {
    let (disk, ledger) = stopped();
    let tables = tables(&disk);
    assert_eq!(tables.len(), 1, "{tables:?}");
    // Behind the first blocks and far before the index.
    disk.corrupt(&tables[0], |bytes| bytes[9000] ^= 1);
    let sim = Sim::new(2);
    let env = sim.env(&disk);
    let shared = Rc::new(RefCell::new(ledger.clone()));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &shared).await.unwrap();
        let expected = ledger.after(ledger.writes.len(), 0);
        let (mut served, mut failed) = (0, 0);
        for key in 0..KEYS {
            match client.read(key, 0).await.unwrap() {
                Ok(value) => {
                    assert_eq!(value, expected[&key]);
                    served += 1;
                }
                Err(error) => {
                    assert_eq!(error.path, tables[0]);
                    assert!((9000 - 4096..=9000).contains(&error.offset), "{error}");
                    failed += 1;
                }
            }
        }
        assert!((1..=5).contains(&failed), "a block holds four such records: {failed} failed");
        assert_eq!(served + failed, KEYS);
        // A new write of such a key is served whatever the block says.
        for key in 0..KEYS {
            client.write(Write::put(key, client.taken(), 10)).unwrap();
            client.settle().await.unwrap();
            assert!(client.check_read(key).await);
        }
    });
}

/// A block of the bottom was damaged: the same settle was begun, failed and was begun again for
/// ever, all of it read each time; level 0, of which it takes everything, was merged late or never.
#[test]
fn a_damaged_block_of_the_bottom_keeps_nothing_else_from_being_compacted() {
    let errors = overwrite_over_a_bad_table(|disk, table| {
        disk.corrupt(table, |bytes| bytes[100] ^= 1);
    });
    assert_eq!(errors, 1, "damage is for good");
}

/// As above, but the disk may be better in a while.
#[test]
fn a_table_of_the_bottom_that_the_disk_refuses_is_tried_now_and_then() {
    let errors = overwrite_over_a_bad_table(|disk, table| {
        let path = table.to_owned();
        disk.inject(Fault { on: Some(Io::Read), path, nth: 1, sticky: true, how: Fail::Eio });
    });
    assert!((2..12).contains(&errors), "{errors} times");
}

/// Overwrites a store's keys for a minute after something was done to a table of the bottom. Says
/// how many compactions failed.
fn overwrite_over_a_bad_table(harm: impl FnOnce(&SimDisk, &str)) -> u64 {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, small_config(), &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            client.write_until_taken(Write::put(key, client.taken(), 5000)).await.unwrap();
        }
        client.store.flush().await.unwrap();
        rest(&mut client, 500).await;
        harm(&disk, &tables(&disk)[0]);
        for index in 0..20 * KEYS {
            let write = Write::put(index % KEYS, client.taken(), 5000);
            client.write_until_taken(write).await.unwrap();
            client.settle().await.unwrap();
            rest(&mut client, 100).await;
            let tables = client.store.stats().tables;
            assert!(tables[0] <= 3, "{tables:?}");
            assert!(tables.iter().sum::<u64>() <= 20, "{tables:?}");
        }
        let stats = client.store.stats();
        assert_eq!((stats.tables_unreadable, stats.tables[23]), (1, 4));
        stats.compaction_errors
    })
}

async fn rest(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        client.env.sleep_us(1000).await;
        client.round().await.expect("the log works");
    }
}

type Damage = fn(&mut Vec<u8>);

#[test]
fn a_store_with_damaged_files_does_not_open() {
    let (whole, _) = stopped();
    let table = tables(&whole).remove(0);
    let manifest = format!("{DIR}/MANIFEST");
    let damages: [(&str, &str, Damage); 4] = [
        ("footer", &table, |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("table cut off", &table, |bytes| bytes.truncate(4096)),
        ("manifest", &manifest, |bytes| bytes[4096 + 40] ^= 1),
        ("manifest cut off", &manifest, |bytes| bytes.truncate(8192)),
    ];
    for (name, path, damage) in damages {
        let (disk, _) = stopped();
        disk.corrupt(path, damage);
        let error = open_error(&disk, name);
        assert_eq!(error.kind(), OpenErrorKind::Damaged, "{name}: {error}");
        assert!(error.to_string().contains(path), "{name}: {error}");
    }
    let (disk, _) = stopped();
    disk.remove(&table);
    assert!(open_error(&disk, "no table").to_string().contains(&table));
    let (disk, _) = stopped();
    disk.remove(&manifest);
    assert_eq!(open_error(&disk, "no manifest").kind(), OpenErrorKind::Damaged);
}

#[test]
fn an_acknowledged_batch_that_is_damaged_stops_the_start() {
    let (disk, ledger) = stopped();
    let last = ledger.writes.last().and_then(|write| write.value.clone()).unwrap();
    let at = |bytes: &[u8]| bytes.windows(last.len()).position(|window| window == last);
    let mut logs = disk.paths().into_iter().filter(|path| path.ends_with(".log"));
    let log = logs.find(|path| at(&disk.bytes(path).unwrap()).is_some()).unwrap();
    // The clean stop tells that it was acknowledged.
    disk.corrupt(&log, |bytes| {
        let at = at(bytes).unwrap();
        bytes[at] ^= 1;
    });
    let error = open_error(&disk, "a damaged batch");
    assert_eq!(error.kind(), OpenErrorKind::Damaged);
    assert!(error.to_string().contains("acknowledged"), "{error}");
}

/// A manifest from before a flush was put back. The start removed the tables that it does not name
/// before it saw that the log does not go on from it, and the right manifest came too late.
#[test]
fn an_older_manifest_is_refused_and_costs_nothing() {
    let (disk, manifest) = (SimDisk::new(1), format!("{DIR}/MANIFEST"));
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let sim = Sim::new(1);
    let env = sim.env(&disk);
    let older = sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        let older = disk.bytes(&manifest).unwrap();
        for index in 0..20 * KEYS {
            client.write(Write::put(index % KEYS, index as usize, 900)).unwrap();
            client.settle().await.unwrap();
        }
        client.store.flush().await.unwrap();
        client.store.close().await.unwrap();
        older
    });
    drop(sim);
    let newer = disk.bytes(&manifest).unwrap();
    disk.put(&manifest, &older);
    let error = open_error(&disk, "an older manifest");
    assert_eq!(error.kind(), OpenErrorKind::Damaged, "{error}");
    disk.put(&manifest, &newer);
    let sim = Sim::new(2);
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        client.check_recovered().await.unwrap();
    });
}

#[test]
fn what_nobody_names_is_removed_at_start() {
    let (disk, ledger) = stopped();
    let strays = [format!("{DIR}/0001000000007777.sst"), format!("{DIR}/0001000000007778.sst.tmp")];
    for stray in &strays {
        disk.put(stray, &[7; 4096]);
    }
    disk.put(&format!("{DIR}/notes.txt"), b"not ours");
    let sim = Sim::new(2);
    let env = sim.env(&disk);
    let shared = Rc::new(RefCell::new(ledger));
    sim.block_on(async {
        let (mut client, report) = Client::open(&env, config(), &shared).await.unwrap();
        assert_eq!((report.files_removed, report.tables, report.records), (2, 1, 3));
        client.check_recovered().await.unwrap();
    });
    let paths = disk.paths();
    assert!(!strays.iter().any(|stray| paths.contains(stray)));
    assert!(paths.contains(&format!("{DIR}/notes.txt")));
}
