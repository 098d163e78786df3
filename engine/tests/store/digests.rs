//! Digests: the same for the same records, however they lie; different where they differ, and only
//! there.

use std::rc::Rc;

use engine::digest::{Digest, DigestRequest, Digests, LEAF_BITS, View};
use engine::env::Env;
use engine::env::sim::{Fail, Fault, Io, Sim, SimDisk};
use engine::limits::EXPIRED_MARGIN_MS;
use engine::sstable::TokenRange;
use engine::store::{DigestError, DigestRefused, StoreConfig};
use schemas::ids::{Hlc, Token, Vnode, VnodeBits};

use crate::harness::{Client, KEYS, Write, small_config, token_of};

const BITS: VnodeBits = VnodeBits::new(4).unwrap();

fn config() -> StoreConfig {
    let mut config = small_config();
    config.vnodes = BITS;
    config
}

fn request(depth: u8, purge_below: u64, now_ms: u64) -> DigestRequest {
    let view = View { purge_below: Hlc(purge_below), now_ms };
    DigestRequest { range: TokenRange::ALL, depth, view }
}

fn total(digests: &Digests) -> Digest {
    digests.leaves.iter().fold(Digest::default(), |sum, (_, digest)| sum.and(*digest))
}

/// Puts `writes` in this order, with flushes here and there and the compactions they cause.
async fn fill(client: &mut Client, writes: &[Write], rng: &mut fastrand::Rng) {
    for write in writes {
        client.write_until_taken(write.clone()).await.unwrap();
        match rng.u32(..12) {
            0 => client.store.flush().await.unwrap(),
            1..6 => client.settle().await.unwrap(),
            _ => {}
        }
    }
    client.settle().await.unwrap();
}

fn some_writes(rng: &mut fastrand::Rng, now_ms: u64) -> Vec<Write> {
    let write = |index| {
        let key = rng.u32(..KEYS);
        let mut write = match rng.u32(..4) {
            0 => Write::delete(key, index),
            _ => Write::put(key, index, rng.usize(..900)),
        };
        if rng.u32(..4) == 0 {
            write.expires_at_ms = now_ms + rng.u64(..1000);
        }
        write
    };
    (0..120).map(write).collect()
}

#[test]
fn equal_records_have_equal_digests_and_one_that_differs_shows_in_its_leaf() {
    for seed in 1..=25 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sim, disks) = (Sim::new(seed), [SimDisk::new(seed), SimDisk::new(seed + 100)]);
        let envs = disks.each_ref().map(|disk| sim.env(disk));
        sim.block_on(async {
            let (mut a, _) = Client::open(&envs[0], config(), &Rc::default()).await.unwrap();
            let (mut b, _) = Client::open(&envs[1], config(), &Rc::default()).await.unwrap();
            let mut writes = some_writes(&mut rng, envs[0].wall_ms());
            fill(&mut a, &writes, &mut rng).await;
            rng.shuffle(&mut writes);
            // Delivery twice changes nothing.
            writes.extend_from_within(..20);
            fill(&mut b, &writes, &mut rng).await;
            // One of them has compacted what has expired, and purged what may go.
            let horizon = 60;
            sim.jump_wall_clock(2 * EXPIRED_MARGIN_MS as i64);
            b.store.set_purge_horizon(Hlc(horizon));
            let late: Vec<&Write> = writes.iter().filter(|write| write.hlc >= horizon).collect();
            for write in late.into_iter().take(30) {
                b.store.flush().await.unwrap();
                b.env.sleep_us(1_000_000).await;
                b.write_until_taken(write.clone()).await.unwrap();
                b.settle().await.unwrap();
            }
            let now_ms = envs[0].wall_ms();
            for depth in 0..=LEAF_BITS {
                let request = request(depth, horizon, now_ms);
                let (of_a, of_b) =
                    (a.digest(request).await.unwrap(), b.digest(request).await.unwrap());
                assert_eq!(of_a, of_b, "seed {seed} depth {depth}");
                assert_eq!(of_a.leaves.len(), 1 << (BITS.get() + depth));
                assert_eq!(total(&of_a), total(&a.digest(request).await.unwrap()));
                let keys = a.ledger.borrow().after(120, now_ms).into_values().flatten().count();
                assert_eq!(total(&of_a).keys, keys as u64, "seed {seed}");
            }
            let (key, index) = (rng.u32(..KEYS), a.taken());
            b.write_until_taken(Write::put(key, index + 500, 10)).await.unwrap();
            b.settle().await.unwrap();
            for depth in 0..=LEAF_BITS {
                let request = request(depth, horizon, now_ms);
                let (of_a, of_b) =
                    (a.digest(request).await.unwrap(), b.digest(request).await.unwrap());
                let differ: Vec<TokenRange> = of_a
                    .leaves
                    .iter()
                    .zip(&of_b.leaves)
                    .filter(|(a, b)| a != b)
                    .map(|(a, _)| a.0)
                    .collect();
                assert_eq!(differ.len(), 1, "seed {seed} depth {depth}");
                assert!(differ[0].contains(token_of(key)));
            }
        });
    }
}

/// Only what was written is scanned again, whatever is flushed and compacted meanwhile.
#[test]
fn what_was_not_written_is_not_scanned_again() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            client.write(Write::put(key, client.taken(), 100)).unwrap();
        }
        client.settle().await.unwrap();
        let (all, leaves) = (request(0, 0, 0), 16 << LEAF_BITS);
        let before = client.digest(all).await.unwrap();
        assert_eq!(client.store.stats().digest_leaves_scanned, leaves);
        client.store.flush().await.unwrap();
        assert_eq!(client.digest(all).await.unwrap(), before);
        assert_eq!(client.store.stats().digest_leaves_scanned, leaves);
        client.write(Write::put(3, client.taken(), 100)).unwrap();
        client.settle().await.unwrap();
        assert_ne!(client.digest(all).await.unwrap(), before);
        assert_eq!(client.store.stats().digest_leaves_scanned, leaves + 1);
        // Half a leaf is nobody's that is kept.
        let whole = TokenRange::new(Token(0), token_of(3)).unwrap();
        let cut = client.digest(DigestRequest { range: whole, ..all }).await.unwrap();
        assert_eq!(cut.leaves.last().unwrap().0.last(), token_of(3));
        assert_eq!(client.store.stats().digest_leaves_scanned, leaves + 2);
        let keys = (0..KEYS).filter(|&key| token_of(key) <= token_of(3)).count();
        assert_eq!(total(&cut).keys, keys as u64);
    });
}

/// What is written under the scan is not called known.
#[test]
fn writes_under_a_scan_are_seen_by_the_next() {
    for seed in 0..20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
        let env = sim.env(&disk);
        sim.block_on(async {
            let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
            let all = request(2, 0, 0);
            for _ in 0..8 {
                for _ in 0..rng.u32(..20) {
                    let write = Write::put(rng.u32(..KEYS), client.taken(), rng.usize(..600));
                    client.write_until_taken(write).await.unwrap();
                }
                client.store.digest_now(all).unwrap();
                if rng.bool() {
                    client.store.flush().await.unwrap();
                }
                client.settle().await.unwrap();
                while client.digests.pop().is_none() {
                    client.env.sleep_us(50).await;
                    client.round().await.unwrap();
                }
            }
            let kept = client.digest(all).await.unwrap();
            client.store.close().await.unwrap();
            let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
            assert_eq!(client.digest(all).await.unwrap(), kept, "seed {seed}");
        });
    }
}

/// More rows in a memtable than a piece of a scan copies.
#[test]
fn a_large_memtable_is_scanned_in_pieces() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = config();
    config.memtable_bytes = 16 << 20;
    config.memtables_bytes_max = 64 << 20;
    config.log.batch_bytes_max = 1 << 20;
    config.log.segment_bytes = 4 << 20;
    config.log_bytes_max = 32 << 20;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            let write = Write::put(key, client.taken(), 200_000);
            client.write_until_taken(write).await.unwrap();
        }
        client.settle().await.unwrap();
        let digests = client.digest(request(1, 0, 0)).await.unwrap();
        let (keys, bytes) = (u64::from(KEYS), u64::from(KEYS) * (200_000 + 5));
        assert_eq!((total(&digests).keys, total(&digests).bytes), (keys, bytes));
        client.store.flush().await.unwrap();
        client.write(Write::put(1, client.taken(), 10)).unwrap();
        client.settle().await.unwrap();
        assert_eq!(total(&client.digest(request(1, 0, 0)).await.unwrap()).keys, keys);
    });
}

#[test]
fn what_cannot_be_told_is_refused() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = config();
    config.vnodes = VnodeBits::DEFAULT;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config, &Rc::default()).await.unwrap();
        client.write(Write::put(1, 1, 100)).unwrap();
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        let refused = client.store.digest_now(request(0, 9, 0));
        assert!(matches!(refused, Err(DigestRefused::TooWide { .. })), "{refused:?}");
        let (first, last) = VnodeBits::DEFAULT.tokens(token_of(1).vnode(VnodeBits::DEFAULT));
        let range = TokenRange::new(first, last).unwrap();
        let one = DigestRequest { range, ..request(0, 9, 0) };
        disk.inject(Fault {
            on: Some(Io::Read),
            path: ".sst".to_owned(),
            nth: 1,
            sticky: false,
            how: Fail::Eio,
        });
        let failed = client.digest(one).await;
        assert!(matches!(failed, Err(DigestError::Table(_))), "{failed:?}");
        assert_eq!(total(&client.digest(one).await.unwrap()).keys, 1);
        client.store.set_purge_horizon(Hlc(10));
        let refused = client.store.digest_now(one);
        assert!(matches!(refused, Err(DigestRefused::BelowHorizon { .. })), "{refused:?}");
        let later = DigestRequest { range, ..request(0, 10, 0) };
        client.store.digest_now(later).unwrap();
        client.store.set_purge_horizon(Hlc(11));
        while client.digests.is_empty() {
            client.env.sleep_us(50).await;
            client.round().await.unwrap();
        }
        assert!(matches!(client.digests[0].1, Err(DigestError::HorizonPassed)));
    });
}

/// What is told without reading is near what a digest counts, in memory and in tables.
#[test]
fn sizes_are_near_what_there_is() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
        let half = TokenRange::new(Token(0), Token(u64::MAX / 2)).unwrap();
        let keys = (0..KEYS).filter(|&key| half.contains(token_of(key))).count() as u64;
        assert_eq!(client.store.size_of(TokenRange::ALL).records, 0);
        for key in 0..KEYS {
            client.write(Write::put(key, client.taken(), 400)).unwrap();
        }
        client.settle().await.unwrap();
        for _ in 0..2 {
            let (all, part) = (client.store.size_of(TokenRange::ALL), client.store.size_of(half));
            assert_eq!(all.records, u64::from(KEYS));
            assert!(all.bytes >= u64::from(KEYS) * 400, "{all:?}");
            assert!(part.records.abs_diff(keys) <= 5 && part.bytes < all.bytes, "{part:?}");
            let vnodes = (0..BITS.count() as u16).map(Vnode);
            let sum = vnodes.map(|vnode| client.store.size_of_vnode(vnode).records).sum::<u64>();
            assert!(sum.abs_diff(all.records) <= 8, "{sum}");
            client.store.flush().await.unwrap();
        }
    });
}
