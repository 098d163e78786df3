//! Who is up is seen up, who is down is seen down, and whoever can comes back by itself.

use std::time::Duration;

use super::super::{Health, Tunables};
use super::network::{Faults, Network, id};
use super::seconds;

const LAN: fn() -> Tunables = Tunables::lan;

/// A network of `count` in which all have found each other.
fn joined(count: usize, faults: Faults, seed: u64) -> Network {
    let mut network = Network::new(count, LAN(), faults, seed);
    let end = network.now + seconds(30);
    assert!(network.run_until(end, Network::all_up), "{count} nodes find each other");
    network
}

fn others(network: &Network, but: usize) -> Vec<usize> {
    (0..network.nodes.len()).filter(|it| *it != but).collect()
}

/// All see all up within `time`; how long it took.
fn heals(network: &mut Network, time: Duration) -> Duration {
    let (start, end) = (network.now, network.now + time);
    assert!(network.run_until(end, Network::all_up), "not healed after {time:?}");
    network.now.since(start)
}

#[test]
fn a_crash_is_seen_by_all_and_in_time() {
    for (count, loss) in [(3, 0), (3, 100), (10, 0), (10, 100), (30, 0), (30, 100)] {
        let mut network = joined(count, Faults::loss(loss), 7);
        network.run(seconds(10));
        let rest = others(&network, 1);
        network.crash(1);
        let start = network.now;
        let suspicion = LAN().suspicion(count);
        let end = start + suspicion + LAN().probe_period * 8;
        let seen = network.run_until(end, |it| it.all_see(&rest, &[1], Health::Down));
        let took = network.now.since(start);
        println!("{count} nodes, loss {loss}: down at all after {took:?}, suspicion {suspicion:?}");
        assert!(seen, "{count} nodes, loss {loss}");
        assert!(network.all_see(&rest, &rest, Health::Up) || loss > 0);
    }
}

#[test]
fn an_hour_without_crashes_is_an_hour_without_nodes_down() {
    for (count, loss) in [(10, 0), (5, 100), (10, 100)] {
        let mut network = joined(count, Faults::loss(loss), 3);
        network.run(seconds(3_600));
        println!("{count} nodes, loss {loss}: {} suspicions", network.suspicions());
        assert_eq!(network.downs(), 0, "{count} nodes, loss {loss}");
        assert_eq!(loss > 0, network.suspicions() > 0);
        for node in &network.nodes {
            assert_eq!(node.machine.counters().renewals, 0);
        }
    }
}

#[test]
fn a_paused_node_comes_back_by_itself_and_accuses_nobody() {
    for pause in [seconds(60), seconds(7_200)] {
        let mut network = joined(5, Faults::loss(50), 11);
        let rest = others(&network, 2);
        network.pause(2);
        network.run(pause);
        assert!(network.all_see(&rest, &[2], Health::Down));
        network.changes.clear();
        network.resume(2);
        let took = heals(&mut network, seconds(30));
        println!("paused for {pause:?}: up at all after {took:?}");
        network.run(seconds(60));
        assert_eq!(network.downs(), 0);
        assert_eq!(network.nodes[2].boot, 1);
    }
}

/// A node suspects another that stands still, and then stands still itself, for less than others
/// wait. The other refutes meanwhile, but when the process goes on the suspicion's time is over
/// before that is read.
#[test]
fn a_short_pause_takes_nobody_down() {
    let mut pauses = 0;
    for seed in 0..20 {
        let mut network = joined(5, Faults::none(), seed);
        network.pause(3);
        network.run(seconds(4));
        network.resume(3);
        network.pause(2);
        network.run(Duration::from_millis(3_500));
        network.resume(2);
        network.run(seconds(30));
        assert_eq!(network.downs(), 0, "seed {seed}");
        pauses += network.nodes[2].machine.counters().pauses;
    }
    assert_eq!(pauses, 20);
}

/// Word of a suspicion is lost while its node cannot be reached: it is told when it can be again.
#[test]
fn a_node_that_was_cut_off_for_less_than_others_wait_is_not_down() {
    for seed in 0..20 {
        let mut network = joined(6, Faults::none(), seed);
        let rest = others(&network, 3);
        network.part(&[3], &rest);
        network.run(seconds(4));
        assert!(network.suspicions() > 0);
        network.cut.clear();
        network.run(seconds(30));
        assert_eq!(network.downs(), 0, "seed {seed}");
    }
}

#[test]
fn a_partition_of_hours_heals_by_itself() {
    let mut network = joined(7, Faults::loss(50), 5);
    let (left, right) = ([0, 1, 2], [3, 4, 5, 6]);
    network.part(&left, &right);
    network.run(seconds(3 * 3_600));
    for (here, there) in [(&left[..], &right[..]), (&right[..], &left[..])] {
        assert!(network.all_see(here, here, Health::Up));
        assert!(network.all_see(here, there, Health::Down));
    }
    network.cut.clear();
    let took = heals(&mut network, seconds(60));
    println!("healed after {took:?}");
    network.changes.clear();
    network.run(seconds(60));
    assert_eq!(network.downs(), 0);
    assert!(network.nodes.iter().all(|it| it.boot == 1));
}

/// One node that was alone for long brings its old opinions back: all the others are down. They
/// must not even have to defend themselves.
#[test]
fn who_comes_back_from_isolation_takes_nobody_down() {
    for seed in 0..6 {
        let mut network = joined(6, Faults::none(), seed);
        let rest = others(&network, 0);
        network.part(&[0], &rest);
        network.run(seconds(1_200));
        assert!(network.all_see(&[0], &rest, Health::Down));
        network.changes.clear();
        network.cut.clear();
        heals(&mut network, seconds(30));
        network.run(seconds(60));
        assert_eq!(network.downs(), 0, "seed {seed}");
        assert!(rest.iter().all(|it| network.nodes[*it].machine.counters().renewals == 0));
    }
}

/// A node that hears nothing suspects everybody, and says so to all. Nobody believes it for longer
/// than it takes to refute; it is the one that is down.
#[test]
fn a_deaf_node_takes_nobody_down_but_itself() {
    for seed in 0..5 {
        let mut network = joined(6, Faults::none(), seed);
        let rest = others(&network, 0);
        network.changes.clear();
        network.cut.extend(rest.iter().map(|from| (*from, 0)));
        network.run(seconds(600));
        assert!(network.all_see(&rest, &[0], Health::Down));
        let wronged = network
            .changes
            .iter()
            .filter(|it| it.by != 0 && it.of.node != id(0) && it.health == Health::Down);
        assert_eq!(wronged.count(), 0, "seed {seed}");
        network.cut.clear();
        heals(&mut network, seconds(60));
    }
}

#[test]
fn a_mute_node_takes_nobody_down_but_itself() {
    let mut network = joined(6, Faults::none(), 2);
    let rest = others(&network, 0);
    network.changes.clear();
    network.cut.extend(rest.iter().map(|to| (0, *to)));
    network.run(seconds(600));
    assert!(network.all_see(&rest, &[0], Health::Down));
    assert!(
        network
            .changes
            .iter()
            .all(|it| it.by == 0 || it.of.node == id(0) || it.health != Health::Down)
    );
    network.cut.clear();
    heals(&mut network, seconds(60));
}

#[test]
fn two_nodes_cut_from_each_other_only_stay_up_for_all() {
    let mut network = joined(5, Faults::loss(50), 4);
    network.part(&[0], &[1]);
    network.run(seconds(1_800));
    assert_eq!(network.downs(), 0);
}

#[test]
fn a_node_that_starts_again_is_seen_with_its_new_boot() {
    let mut network = joined(5, Faults::loss(50), 8);
    network.crash(3);
    network.start(3);
    let took = heals(&mut network, seconds(10));
    println!("the new boot is known to all after {took:?}");
    network.run(seconds(60));
    assert_eq!(network.downs(), 0, "nobody had to notice more than the new boot");
    // Down for an hour, then again.
    network.crash(3);
    network.run(seconds(3_600));
    network.start(3);
    heals(&mut network, seconds(10));
    assert_eq!(network.nodes[3].boot, 3);
}

#[test]
fn a_cluster_that_was_off_finds_itself_again() {
    let mut network = joined(9, Faults::loss(50), 9);
    for index in 0..9 {
        network.crash(index);
    }
    network.run(seconds(60));
    for index in 0..9 {
        network.start(index);
    }
    heals(&mut network, seconds(30));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let run = |seed| {
        let mut network = Network::new(7, LAN(), Faults::loss(100), seed);
        network.run(seconds(30));
        network.crash(1);
        network.pause(2);
        network.run(seconds(60));
        network.start(1);
        network.resume(2);
        network.run(seconds(60));
        (network.trace(), network.changes)
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
}

/// Whatever is tuned and whatever happened: when the network is whole again, so is the view.
#[test]
fn all_is_well_again_after_anything() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let tunables = Tunables::drawn(&mut rng);
        let count = rng.usize(3..=9);
        let mut network = Network::new(count, tunables, Faults::loss(rng.u32(..200)), seed);
        for _ in 0..40 {
            disturb(&mut network, &mut rng);
            network.run(Duration::from_millis(rng.u64(..20_000)));
        }
        network.cut.clear();
        network.faults = Faults::none();
        for index in 0..count {
            if !network.nodes[index].is_running {
                network.start(index);
            }
            network.resume(index);
        }
        let rounds = (tunables.seek_period + tunables.probe_period) * 10;
        heals(&mut network, rounds + tunables.suspicion(count) * 2);
        network.run(tunables.suspicion(count) * 2);
        network.changes.clear();
        network.run(seconds(300));
        assert_eq!(network.downs(), 0, "seed {seed}");
        assert!(network.longest <= tunables.datagram_bytes);
    }
}

fn disturb(network: &mut Network, rng: &mut fastrand::Rng) {
    let count = network.nodes.len();
    let (a, b) = (rng.usize(..count), rng.usize(..count));
    match rng.u32(..8) {
        0 => network.crash(a),
        1 => network.pause(a),
        2 => network.resume(a),
        3 | 4 if !network.nodes[a].is_running => network.start(a),
        5 => _ = network.cut.insert((a, b)),
        6 => {
            let left: Vec<_> = (0..count).filter(|_| rng.bool()).collect();
            let right: Vec<_> = (0..count).filter(|it| !left.contains(it)).collect();
            network.part(&left, &right);
        }
        7 => network.cut.clear(),
        _ => {}
    }
}
