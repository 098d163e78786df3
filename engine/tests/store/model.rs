//! Long random runs against a model: writes in any order of stamps, reads at every moment, flushes
//! and compactions under way, clean stops and cuts of the process.

use std::cell::RefCell;
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Crash, Sim, SimDisk};
use engine::limits::EXPIRED_MARGIN_MS;
use engine::store::Durability;
use schemas::ids::Hlc;

use crate::harness::{Client, KEYS, Ledger, Write, simulate, small_config};

const SEEDS: u64 = 30;
const LIVES: usize = 4;
const STEPS: usize = 400;

async fn live(sim: &Sim, client: &mut Client, rng: &mut fastrand::Rng) {
    for _ in 0..STEPS {
        let index = client.taken();
        let key = rng.u32(..KEYS);
        let mut write = match rng.u32(..10) {
            0..2 => Write::delete(key, index),
            2 => Write::put(key, index, rng.usize(3000..20_000)),
            _ => Write::put(key, index, rng.usize(..600)),
        };
        if rng.u32(..6) == 0 {
            write.expires_at_ms = client.env.wall_ms() + rng.u64(..200);
        }
        if rng.u32(..10) == 0 {
            write.hlc = write.hlc.saturating_sub(rng.u64(..20)); // a write that comes late
        }
        if rng.u32(..3) > 0 {
            client.write_until_taken(write).await.expect("no I/O fails");
        }
        for _ in 0..rng.u32(..4) {
            assert!(client.check_read(rng.u32(..KEYS)).await, "no I/O fails");
        }
        match rng.u32(..40) {
            0..20 => client.round().await.expect("no I/O fails"),
            20..25 => client.settle().await.expect("no I/O fails"),
            25 => client.store.flush().await.expect("no I/O fails"),
            // Writes that come late have stamps of at most 20 less.
            26 => client.store.set_purge_horizon(Hlc((index as u64).saturating_sub(20))),
            27 => {
                client.settle().await.expect("no I/O fails");
                assert!(client.check_scan(rng.usize(1..9), rng.usize(1..20_000)).await);
            }
            // What has expired is over for good.
            29 => sim.jump_wall_clock(2 * EXPIRED_MARGIN_MS as i64),
            28 => client.env.sleep_us(rng.u64(..50_000)).await,
            _ => {}
        }
    }
    client.settle().await.expect("no I/O fails");
}

#[test]
fn shows_what_the_model_says() {
    for seed in 1..=SEEDS {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut config = small_config();
        config.log.durability = match seed % 3 {
            0 => Durability::Periodic { interval_us: 2_000 },
            1 => Durability::None,
            _ => Durability::Sync,
        };
        // Nearly no filter and index is in memory, or none, or all.
        config.tables_memory_bytes = [2 << 10, 0, 24 << 10][seed as usize / 3 % 3];
        let mut disk = SimDisk::new(seed);
        let mut ledger = Ledger::default();
        let (mut compactions, mut purges, mut closed) = (0, 0, true);
        for life in 0..LIVES {
            println!("seed {seed}, life {life}"); // shown if the test fails
            let (sim, env) = simulate(rng.u64(..), &disk, &ledger);
            let shared = Rc::new(RefCell::new(ledger.clone()));
            let closes = rng.bool();
            sim.block_on(async {
                let opened = Client::open(&env, config.clone(), &shared).await;
                let (mut client, _) = opened.expect("it opens");
                if config.log.durability != Durability::Sync && !closed {
                    shared.borrow_mut().acknowledged = 0; // what the log had in memory is gone
                }
                let kept = client.check_recovered().await;
                kept.unwrap_or_else(|wrong| panic!("seed {seed}, life {life}: {wrong}"));
                live(&sim, &mut client, &mut rng).await;
                compactions += client.store.stats().compactions;
                purges += client.store.stats().tables_removed;
                if closes {
                    client.store.close().await.expect("no I/O fails");
                }
            });
            // A clean stop leaves nothing that a power cut could take.
            let class = if closes { Crash::LoseAll } else { Crash::KeepAll };
            disk = disk.crash(class, seed);
            ledger = shared.borrow().clone();
            closed = closes;
        }
        assert!(compactions > 5, "seed {seed}: {compactions} compactions");
        assert!(purges > 5, "seed {seed}: {purges} tables removed");
    }
}
