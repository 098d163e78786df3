//! Clocks of vnodes: a dot counts as seen only if its record is there, and stays so.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use engine::env::Env;
use engine::env::sim::{Crash, Sim, SimDisk, When};
use engine::store::{Done, Durability, PutTicket, StoreConfig};
use engine::vnode::DotsSince;
use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Dot, NodeId, Vnode, VnodeBits};

use crate::harness::{Client, KEYS, Ledger, Write, simulate, small_config, token_of};

/// Few vnodes, so that each has several dots.
fn config() -> StoreConfig {
    let mut config = small_config();
    config.vnodes = BITS;
    config
}

const BITS: VnodeBits = VnodeBits::new(3).unwrap();

fn vnodes() -> impl Iterator<Item = Vnode> {
    (0..BITS.count() as u16).map(Vnode)
}

/// The dots of the first `count` writes, by vnode. Counter 0 is no dot.
fn dots(ledger: &Ledger, count: usize) -> BTreeMap<Vnode, BTreeSet<u64>> {
    let mut dots: BTreeMap<Vnode, BTreeSet<u64>> = BTreeMap::new();
    for write in ledger.writes[..count].iter().filter(|write| write.index > 0) {
        let vnode = token_of(write.key).vnode(BITS);
        dots.entry(vnode).or_default().insert(write.index as u64);
    }
    dots
}

fn counters(clock: &VnodeClock) -> BTreeSet<u64> {
    let all = |it: &schemas::clock::ActorClock| {
        let runs: Vec<u64> = it.runs().iter().flat_map(|run| run.0..=run.1).collect();
        (1..=it.upto()).chain(runs)
    };
    clock.actors().iter().flat_map(all).collect()
}

fn seen(client: &Client) -> BTreeMap<Vnode, BTreeSet<u64>> {
    let seen = vnodes().map(|vnode| (vnode, counters(&client.store.clock(vnode))));
    seen.filter(|(_, counters)| !counters.is_empty()).collect()
}

fn of_another_node(counters: impl IntoIterator<Item = u64>) -> VnodeClock {
    let actor = Actor { node: NodeId(u64::MAX.try_into().unwrap()), boot: 3 };
    let mut clock = VnodeClock::default();
    for counter in counters {
        clock.insert(Dot { actor, counter });
    }
    clock
}

/// Waits until a join is acknowledged. No write waits meanwhile, and none comes after it.
async fn settle_join(client: &mut Client, ticket: PutTicket) {
    let mut done = Vec::new();
    while !done.iter().any(|done| matches!(done, Done::PutsUpto(upto) if *upto >= ticket)) {
        client.store.tick();
        client.env.sleep_us(100).await;
        client.store.poll(&mut done).expect("no I/O fails");
    }
}

async fn rest(client: &mut Client, rounds: usize) {
    for _ in 0..rounds {
        client.env.sleep_us(1000).await;
        client.round().await.expect("the log works");
    }
}

/// Checks what came back after a stop: the clocks are those of as many writes, the first of
/// `before`, as explain what the store shows.
async fn check_recovered(client: &mut Client, before: &Ledger, what: &str) {
    let kept = client.check_recovered().await.expect("what was acknowledged is there");
    let seen = seen(client);
    let counts = before.acknowledged..=before.writes.len().min(kept);
    let count = counts.into_iter().find(|&count| dots(before, count) == seen);
    let Some(count) = count else {
        panic!("{what}: {seen:?} of {:?}", dots(before, kept));
    };
    client.has_kept(count);
}

/// Random writes with flushes and compactions; then a cut of the power or a clean stop.
async fn live(client: &mut Client, rng: &mut fastrand::Rng) {
    for _ in 0..rng.u32(50..150) {
        let (key, index) = (rng.u32(..KEYS), client.taken());
        let mut write = match rng.u32(..4) {
            0 => Write::delete(key, index),
            _ => Write::put(key, index, rng.usize(..900)),
        };
        if rng.u32(..8) == 0 {
            write.hlc = write.hlc.saturating_sub(rng.u64(..20)); // it may stand against nothing
        }
        client.write_until_taken(write).await.expect("no I/O fails");
        match rng.u32(..20) {
            0 => client.store.flush().await.expect("no I/O fails"),
            1..8 => client.round().await.expect("no I/O fails"),
            _ => {}
        }
    }
}

/// After any stop the clocks are exactly those of the records that are there, whether they are in
/// tables, in the log, or gone because others stand against them.
#[test]
fn a_clock_has_the_dots_of_all_that_is_there() {
    for seed in 1..=20 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut disk, mut ledger) = (SimDisk::new(seed), Ledger::default());
        for life in 0..4 {
            let (sim, env) = simulate(rng.u64(..), &disk, &ledger);
            let shared = Rc::new(RefCell::new(ledger.clone()));
            let work = async {
                let opened = Client::open(&env, config(), &shared).await;
                let (mut client, report) = opened.expect("it opens");
                assert!(!report.clocks_lost, "seed {seed}, life {life}");
                check_recovered(&mut client, &ledger, &format!("seed {seed}, life {life}")).await;
                live(&mut client, &mut rng).await;
                client.settle().await.expect("no I/O fails");
                assert_eq!(seen(&client), dots(&shared.borrow(), client.taken()));
                live(&mut client, &mut rng).await;
            };
            sim.run(work);
            disk = disk.crash(Crash::ALL[life % Crash::ALL.len()], seed);
            ledger = shared.borrow().clone();
        }
    }
}

/// Under `sync` a dot is seen when its put is durable, not before.
#[test]
fn what_is_not_durable_is_not_seen() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
        client.write(Write::put(1, 1, 10)).unwrap();
        assert!(seen(&client).is_empty());
        client.settle().await.unwrap();
        assert_eq!(seen(&client).len(), 1);
    });
}

/// A joined clock is there after a power cut once it was acknowledged, with tables and without.
#[test]
fn joined_clocks_and_cleared_ones_stay_so() {
    for durability in [Durability::Sync, Durability::None] {
        for flushes in 0..8 {
            joined_and_cleared(durability, flushes);
        }
    }
}

fn joined_and_cleared(durability: Durability, flushes: u8) {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let mut config = config();
    config.log.durability = durability;
    let (brought, vnode, lost) = (of_another_node([1, 2, 3, 9]), Vnode(2), Vnode(5));
    let flush = async |client: &mut Client, bit: u8| {
        if flushes & bit != 0 {
            client.store.flush().await.unwrap();
        }
    };
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        for key in 0..KEYS {
            client.write(Write::put(key, key as usize + 1, 10)).unwrap();
        }
        client.settle().await.unwrap();
        flush(&mut client, 1).await;
        for joined in [vnode, lost] {
            let ticket = client.store.join_clock(joined, &brought).unwrap();
            settle_join(&mut client, ticket.expect("it is new")).await;
            assert!(client.store.clock(joined).dominates(&brought));
            assert_eq!(client.store.join_clock(joined, &brought).unwrap(), None);
        }
        flush(&mut client, 2).await;
        client.store.clear_clock(lost);
        assert!(client.store.clock(lost).is_empty());
        rest(&mut client, 20).await;
        flush(&mut client, 4).await;
        client.store.close().await.unwrap();
    });
    let sim = Sim::new(2);
    let env = sim.env(&disk.crash(Crash::LoseAll, 1));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &Rc::default()).await.unwrap();
        assert!(client.store.clock(vnode).dominates(&brought), "{durability:?} {flushes}");
        assert!(client.store.clock(lost).is_empty(), "{durability:?} {flushes}");
        client.store.flush().await.unwrap();
        client.store.close().await.unwrap();
    });
}

/// Joins without a single row fill the log: it has to come to an end all the same.
#[test]
fn joins_alone_do_not_keep_the_log_for_ever() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
        for counter in 1..200 {
            let ticket = client.store.join_clock(Vnode(1), &of_another_node([counter])).unwrap();
            settle_join(&mut client, ticket.expect("it is new")).await;
            client.round().await.unwrap();
        }
        rest(&mut client, 200).await;
        assert!(client.store.stats().log_bytes_kept < 3 * config().log_bytes_max);
        assert_eq!(client.store.stats().tables.iter().sum::<u64>(), 0);
        client.store.close().await.unwrap();
    });
    let clocks = disk.paths().into_iter().filter(|path| path.ends_with(".clk")).count();
    assert_eq!(clocks, 1, "the others are removed");
    let env = sim.env(&disk);
    sim.block_on(async {
        let (client, _) = Client::open(&env, config(), &Rc::default()).await.unwrap();
        assert_eq!(counters(&client.store.clock(Vnode(1))), (1..200).collect());
    });
}

/// A store of one flushed table of every key.
fn flushed() -> (SimDisk, Ledger) {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        for key in 0..KEYS {
            client.write_until_taken(Write::put(key, client.taken(), 900)).await.unwrap();
        }
        client.settle().await.unwrap();
        client.store.flush().await.unwrap();
        client.store.close().await.unwrap();
    });
    let ledger = ledger.borrow().clone();
    (disk, ledger)
}

#[test]
fn clocks_that_are_damaged_are_said_to_be_lost_and_nothing_else_is() {
    for missing in [false, true] {
        let (disk, ledger) = flushed();
        let path = disk.paths().into_iter().find(|path| path.ends_with(".clk")).unwrap();
        if missing {
            disk.remove(&path);
        } else {
            disk.corrupt(&path, |bytes| bytes[60] ^= 1);
        }
        let sim = Sim::new(2);
        let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(ledger)));
        sim.block_on(async {
            let (mut client, report) = Client::open(&env, config(), &ledger).await.unwrap();
            assert!(report.clocks_lost);
            assert!(seen(&client).is_empty());
            client.check_recovered().await.unwrap();
        });
    }
}

/// A record in a block that cannot be read is lost: its vnode claims nothing any more, nor after a
/// restart. Others keep their clocks.
#[test]
fn a_damaged_block_clears_the_vnodes_it_touches() {
    let (disk, ledger) = flushed();
    let table = disk.paths().into_iter().find(|path| path.ends_with(".sst")).unwrap();
    disk.corrupt(&table, |bytes| bytes[100] ^= 1); // in the first block, of the least tokens
    let whole = dots(&ledger, ledger.writes.len());
    let ledger = Rc::new(RefCell::new(ledger));
    let left = |client: &Client| {
        let left = seen(client);
        let gone: Vec<Vnode> =
            whole.keys().filter(|vnode| !left.contains_key(vnode)).copied().collect();
        assert!(left.iter().all(|(vnode, counters)| whole[vnode] == *counters));
        gone
    };
    let mut before = Vec::new();
    let sim = Sim::new(2);
    let env = sim.env(&disk);
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        assert!(left(&client).is_empty());
        for key in 0..KEYS {
            drop(client.read(key, 0).await);
        }
        before = left(&client);
        assert!(!before.is_empty() && before.len() < whole.len(), "{before:?}");
        client.store.close().await.unwrap();
    });
    let sim = Sim::new(3);
    let env = sim.env(&disk.crash(Crash::LoseAll, 1));
    sim.block_on(async {
        let (client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        assert_eq!(left(&client), before);
    });
}

/// `--repair` gave up batches: what they held is not seen, and no join that came behind them, which
/// may speak of it, counts.
#[test]
fn a_repaired_log_claims_nothing_that_was_given_up() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
        for key in 0..6 {
            client.write(Write::put(key, key as usize + 1, 5000)).unwrap();
            client.settle().await.unwrap();
        }
        let ticket = client.store.join_clock(Vnode(1), &of_another_node([1])).unwrap();
        settle_join(&mut client, ticket.unwrap()).await;
        client.store.close().await.unwrap();
    });
    let log = disk.paths().into_iter().find(|path| {
        let has = |bytes: Vec<u8>| bytes.windows(4).any(|window| window == b"2/3/");
        path.ends_with(".log") && disk.bytes(path).is_some_and(has)
    });
    disk.corrupt(&log.unwrap(), |bytes| {
        let at = bytes.windows(4).position(|window| window == b"2/3/").unwrap();
        bytes[at] ^= 1;
    });
    let mut config = config();
    config.log.repair = true;
    let sim = Sim::new(2);
    let env = sim.env(&disk);
    sim.block_on(async {
        let (client, report) = Client::open(&env, config, &ledger).await.unwrap();
        assert_eq!(report.log.given_up.len(), 1);
        let mut all = BTreeSet::new();
        seen(&client).into_values().for_each(|counters| all.extend(counters));
        assert_eq!(all, BTreeSet::from([1, 2, 4, 5, 6]));
        assert!(!client.store.clock(Vnode(1)).dominates(&of_another_node([1])));
    });
}

/// The clocks go to disk before the manifest that names them, and are there whenever it does.
#[test]
fn a_cut_at_any_sync_leaves_clocks_that_fit_the_records() {
    let run = |disk: &SimDisk| {
        let sim = Sim::new(5);
        let (env, ledger) = (sim.env(disk), Rc::new(RefCell::new(Ledger::default())));
        let mut rng = fastrand::Rng::with_seed(5);
        sim.run(async {
            let (mut client, _) = Client::open(&env, config(), &ledger).await.unwrap();
            live(&mut client, &mut rng).await;
            client.store.flush().await.unwrap();
        });
        ledger.borrow().clone()
    };
    let whole = SimDisk::new(5);
    run(&whole);
    for sync in 1..=whole.syncs() {
        for class in Crash::ALL {
            let disk = SimDisk::new(5);
            disk.crash_at_sync(sync, When::After);
            let before = run(&disk);
            let ledger = Rc::new(RefCell::new(before.clone()));
            let sim = Sim::new(6);
            let env = sim.env(&disk.crash(class, sync));
            sim.block_on(async {
                let (mut client, report) = Client::open(&env, config(), &ledger).await.unwrap();
                assert!(!report.clocks_lost, "{class:?} at sync {sync}");
                check_recovered(&mut client, &before, &format!("{class:?} at sync {sync}")).await;
            });
        }
    }
}

/// After a start the ring has what the log brought back, and no more than that is called complete.
#[test]
fn recent_dots_are_those_since_the_last_flush() {
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let (env, ledger) = (sim.env(&disk), Rc::new(RefCell::new(Ledger::default())));
    let all = |client: &Client, theirs: &BTreeMap<Vnode, VnodeClock>| {
        let since = |(vnode, clock): (&Vnode, _)| client.store.dots_since(*vnode, clock);
        let missing = theirs.iter().map(since).map(|since| match since {
            DotsSince::Complete(dots) => Some(dots),
            DotsSince::NotCovered => None,
        });
        let missing: Option<Vec<_>> = missing.collect();
        missing.map(|it| it.concat().into_iter().map(|(dot, _)| dot.counter).collect())
    };
    let clocks = |client: &Client| -> BTreeMap<Vnode, VnodeClock> {
        vnodes().map(|vnode| (vnode, client.store.clock(vnode))).collect()
    };
    let none: BTreeMap<_, _> = vnodes().map(|vnode| (vnode, VnodeClock::default())).collect();
    let mut config = config();
    config.recent_dots_max = 1000;
    sim.block_on(async {
        let (mut client, _) = Client::open(&env, config.clone(), &ledger).await.unwrap();
        client.write(Write::put(0, 0, 10)).unwrap();
        let write_ten = async |client: &mut Client| {
            for key in 0..10 {
                client.write(Write::put(key, client.taken(), 10)).unwrap();
            }
            client.settle().await.unwrap();
        };
        write_ten(&mut client).await;
        assert_eq!(all(&client, &none), Some((1..=10).collect::<BTreeSet<u64>>()));
        let before = clocks(&client);
        client.store.flush().await.unwrap();
        write_ten(&mut client).await;
        client.store.close().await.unwrap();
        let (client, _) = Client::open(&env, config, &ledger).await.unwrap();
        assert_eq!(all(&client, &before), Some((11..=20).collect::<BTreeSet<u64>>()));
        assert_eq!(all(&client, &none), None, "what was flushed is in no ring");
    });
}
