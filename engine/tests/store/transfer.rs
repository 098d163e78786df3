//! One vnode goes to another store, in chunks, cut off at any of them.

use std::cell::RefCell;
use std::rc::Rc;

use engine::digest::{DigestRequest, View};
use engine::env::Env;
use engine::env::sim::{Crash, Sim, SimDisk};
use engine::scan::WalkPlace;
use engine::sstable::TokenRange;
use engine::store::StoreConfig;
use engine::transfer::{Chunk, ExportRequest};
use schemas::ids::{Hlc, Token, Vnode, VnodeBits};

use crate::harness::{Client, KEYS, Ledger, Write, small_config};

/// A ring of two vnodes.
const BITS: VnodeBits = VnodeBits::new(1).unwrap();

fn config() -> StoreConfig {
    let mut config = small_config();
    config.vnodes = BITS;
    config
}

fn tokens(vnode: u16) -> TokenRange {
    let (first, last) = BITS.tokens(Vnode(vnode));
    TokenRange::new(first, last).unwrap()
}

async fn export(client: &mut Client, request: ExportRequest) -> Vec<u8> {
    let ticket = client.store.export_now(request).unwrap();
    loop {
        client.env.sleep_us(50).await;
        client.round().await.unwrap();
        if let Some(at) = client.chunks.iter().position(|(it, _)| *it == ticket) {
            return client.chunks.swap_remove(at).1.unwrap().encode();
        }
    }
}

async fn import(client: &mut Client, chunk: &Chunk) {
    for record in chunk.rows.iter() {
        while client.store.put_now(&record).is_err() {
            client.env.sleep_us(200).await;
            client.store.tick();
            client.store.poll(&mut Vec::new()).unwrap();
        }
    }
    while !client.store.stats().puts.eq(&client.store.stats().puts_acknowledged) {
        client.env.sleep_us(50).await;
        client.store.tick();
        client.store.poll(&mut Vec::new()).unwrap();
    }
}

async fn digest(client: &mut Client, vnode: u16, purge_below: u64) -> engine::digest::Digests {
    let view = View { purge_below: Hlc(purge_below), now_ms: 0 };
    client.digest(DigestRequest { range: tokens(vnode), depth: 3, view }).await.unwrap()
}

#[test]
fn a_vnode_goes_over_whatever_cuts_it_off() {
    for seed in 1..=10 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sim, from_disk) = (Sim::new(seed), SimDisk::new(seed));
        let from_env = sim.env(&from_disk);
        let mut to_disk = SimDisk::new(seed + 100);
        sim.block_on(async {
            let (mut from, _) = Client::open(&from_env, config(), &Rc::default()).await.unwrap();
            for index in 1..100 {
                let key = rng.u32(..KEYS);
                let write = match rng.u32(..3) {
                    0 => Write::delete(key, index),
                    _ => Write::put(key, index, rng.usize(..900)),
                };
                from.write_until_taken(write).await.unwrap();
                if rng.u32(..15) == 0 {
                    from.store.flush().await.unwrap();
                }
            }
            from.settle().await.unwrap();
            let clock = from.store.clock(Vnode(1));
            let bytes_max = rng.usize(1..4000);
            let mut place = Some(WalkPlace::before(tokens(1).first()));
            while place.is_some() {
                // Each life of the receiver takes in a few chunks, and ends without a word.
                let to_env = sim.env(&to_disk);
                let ledger = Rc::new(RefCell::new(Ledger::default()));
                let (mut to, _) = Client::open(&to_env, config(), &ledger).await.unwrap();
                for _ in 0..rng.u32(1..6) {
                    let Some(at) = place.clone() else { break };
                    let request =
                        ExportRequest { to: tokens(1).last(), from: at.clone(), bytes_max };
                    let bytes = export(&mut from, request).await;
                    let chunk = Chunk::decode(&bytes, &at, tokens(1).last()).unwrap();
                    import(&mut to, &chunk).await;
                    place = chunk.next();
                }
                drop(to);
                to_disk = to_disk.crash(Crash::LoseAll, seed);
            }
            let to_env = sim.env(&to_disk);
            let (mut to, _) = Client::open(&to_env, config(), &Rc::default()).await.unwrap();
            let (sent, got) = (digest(&mut from, 1, 0).await, digest(&mut to, 1, 0).await);
            assert_eq!(sent, got, "seed {seed}");
            assert!(sent.leaves.iter().any(|(_, digest)| digest.records > digest.keys));
            let none = digest(&mut to, 0, 0).await;
            assert!(none.leaves.iter().all(|(_, digest)| digest.records == 0));
            // What others stood against was not sent: the sender's clock tells that it is seen.
            assert!(clock.dominates(&to.store.clock(Vnode(1))));
            to.store.join_clock(Vnode(1), &clock).unwrap();
        });
    }
}

#[test]
fn an_empty_range_is_one_chunk_without_rows() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
        let bytes = export(&mut client, ExportRequest::first(tokens(1), 1000)).await;
        let chunk = Chunk::decode(&bytes, &WalkPlace::before(Token(0)), Token(u64::MAX)).unwrap();
        assert!(chunk.rows.is_empty() && chunk.next().is_none());
    });
}
