//! Reads that wait for one block: the disk is asked once, and each has its own answer.

use std::cell::RefCell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Fail, Fault, Io, Sim, SimDisk};
use engine::store::{Get, GetTicket, ReadCause, ReadError};

use crate::harness::{Client, KEYS, Ledger, Write, small_config};

/// A store whose records are on the disk and not in memory, many to a block, and its disk.
async fn on_disk_alone(sim: &Sim, disk: &SimDisk) -> Client {
    let env = sim.env(disk);
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let config = small_config();
    let (mut client, _) = Client::open(&env, config.clone(), &ledger).await.unwrap();
    for key in 0..KEYS {
        client.write(Write::put(key, client.taken(), 600)).unwrap();
    }
    client.settle().await.unwrap();
    client.store.flush().await.unwrap();
    drop(client);
    let (mut client, _) = Client::open(&env, config, &ledger).await.unwrap();
    while client.store.stats().partition_loads == 0 {
        client.env.sleep_us(1000).await;
        client.round().await.unwrap();
    }
    client
}

/// Asks for every key `times` times, in one go.
fn ask(client: &mut Client, times: u32) -> Vec<(u32, GetTicket)> {
    let keys = (0..times).flat_map(|_| 0..KEYS);
    keys.map(|key| match client.get(key) {
        Get::Miss(ticket) => (key, ticket),
        other => panic!("{other:?} of key {key}, which is on the disk alone"),
    })
    .collect()
}

#[test]
fn a_block_that_many_reads_wait_for_is_read_once() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    sim.block_on(async {
        let mut client = on_disk_alone(&sim, &disk).await;
        let before = disk.ios();
        let asked = ask(&mut client, 3);
        let shown = client.ledger.borrow().after(KEYS as usize, 0);
        for (key, ticket) in asked.iter().rev() {
            let answer = client.answer(*ticket).await.unwrap();
            assert_eq!(answer.unwrap(), shown[key], "key {key}");
        }
        let ios = disk.ios() - before;
        client.store.tick();
        let stats = client.store.stats();
        assert_eq!(stats.gets_shared + ios, asked.len() as u64, "each read is asked or shared");
        assert!(ios < u64::from(KEYS) / 2, "{ios} reads of the disk for {} reads", asked.len());
        assert_eq!((stats.gets_disk, stats.reads_in_flight), (asked.len() as u64, 0));
    });
}

/// The error is everybody's who waited for it, and nobody's afterwards.
#[test]
fn a_block_that_cannot_be_read_fails_all_who_wait_for_it_once() {
    let (sim, disk) = (Sim::new(2), SimDisk::new(2));
    sim.block_on(async {
        let mut client = on_disk_alone(&sim, &disk).await;
        let on = Some(Io::Read);
        let path = ".sst".to_owned();
        disk.inject(Fault { on, path, nth: 1, sticky: false, how: Fail::Eio });
        let (mut failed, mut served) = (Vec::new(), 0);
        for (_, ticket) in ask(&mut client, 2) {
            match client.answer(ticket).await.unwrap() {
                Ok(_) => served += 1,
                Err(ReadError { offset, cause: ReadCause::Io(_), .. }) => failed.push(offset),
                Err(other) => panic!("{other}"),
            }
        }
        assert!(failed.len() > 2 && served > 0, "{} failed, {served} served", failed.len());
        assert!(failed.iter().all(|offset| *offset == failed[0]), "one block: {failed:?}");
        for key in 0..KEYS {
            assert!(client.check_read(key).await, "key {key}");
        }
    });
}

/// A short read is gone on with, and those who follow it wait for as long.
#[test]
fn who_shares_a_read_shares_its_second_try() {
    let (sim, disk) = (Sim::new(3), SimDisk::new(3));
    sim.block_on(async {
        let mut client = on_disk_alone(&sim, &disk).await;
        let (on, path) = (Some(Io::Read), ".sst".to_owned());
        disk.inject(Fault { on, path, nth: 1, sticky: false, how: Fail::Short });
        let shown = client.ledger.borrow().after(KEYS as usize, 0);
        let before = disk.ios();
        for (key, ticket) in ask(&mut client, 2) {
            let answer = client.answer(ticket).await.unwrap();
            assert_eq!(answer.unwrap(), shown[&key], "key {key}");
        }
        let tries = disk.ios() - before + client.store.stats().gets_shared;
        assert_eq!(tries, 2 * u64::from(KEYS) + 1, "one was read twice");
    });
}
