//! Records reach all, the latest stands, and nothing else counts.

use std::time::Duration;

use foca::State;
use schemas::ids::Actor;

use super::super::record::Told;
use super::super::{Effect, Event, Load, Record, Tunables};
use super::network::{Faults, Network, id};
use super::{Forged, identity, machine_of_five, seconds};
use crate::topology::Epoch;

fn record(epoch: u32, cpu_permille: u32) -> Record {
    let load = Load { cpu_permille, ..Load::default() };
    Record { epoch: Epoch(epoch), wall_ms: 7, load, ..Record::default() }
}

fn told(index: usize, boot: u32, sequence: u64, epoch: u32) -> Told {
    Told { actor: Actor { node: id(index), boot }, sequence, record: record(epoch, 1) }
}

#[test]
fn a_record_reaches_all_in_logarithmic_time() {
    for count in [8usize, 32, 128] {
        let mut network = Network::new(count, Tunables::lan(), Faults::none(), 1);
        let end = network.now + seconds(60);
        assert!(network.run_until(end, Network::all_up));
        network.run(seconds(10));
        let start = network.now;
        network.set_record(0, record(1, 5));
        let all_have_it = |network: &Network| {
            network.nodes[1..].iter().all(|it| it.machine.record(id(0)).is_some())
        };
        assert!(network.run_until(start + seconds(10), all_have_it));
        let took = network.now.since(start);
        let rounds = took.as_micros() as f64 / Tunables::lan().gossip_period.as_micros() as f64;
        println!("{count} nodes: a record is everywhere after {rounds:.1} rounds, {took:?}");
        assert!(rounds <= 2.0 * f64::from(count.ilog2()) + 2.0);
    }
}

#[test]
fn every_node_has_the_record_of_every_other_and_keeps_it_fresh() {
    let mut network = Network::new(10, Tunables::lan(), Faults::loss(100), 3);
    network.run(seconds(10));
    for index in 0..10 {
        network.set_record(index, record(1, index as u32));
    }
    network.run(seconds(60));
    for (by, node) in network.nodes.iter().enumerate() {
        assert_eq!(node.machine.records().count(), 9);
        for of in (0..10).filter(|it| *it != by) {
            let heard = node.machine.record(id(of)).unwrap();
            assert_eq!(heard.record, record(1, of as u32));
            assert!(network.now.since(heard.received_at) < seconds(15));
        }
    }
}

#[test]
fn a_new_epoch_is_told_at_once_and_all_else_with_the_next_regular_record() {
    let mut network = Network::new(5, Tunables::lan(), Faults::none(), 4);
    network.run(seconds(10));
    let of_first = |network: &Network| network.nodes[4].machine.record(id(0)).map(|it| it.record);
    network.set_record(0, record(1, 10));
    network.run(seconds(1));
    assert_eq!(of_first(&network), Some(record(1, 10)));
    network.set_record(0, record(1, 20));
    network.run(seconds(1));
    assert_eq!(of_first(&network), Some(record(1, 10)));
    network.set_record(0, record(2, 30));
    network.run(seconds(1));
    assert_eq!(of_first(&network), Some(record(2, 30)));
    network.set_record(0, record(2, 40));
    network.run(seconds(8));
    assert_eq!(of_first(&network), Some(record(2, 40)));
}

#[test]
fn a_node_that_starts_again_tells_anew() {
    let mut network = Network::new(5, Tunables::lan(), Faults::none(), 5);
    network.run(seconds(5));
    network.set_record(2, record(7, 1));
    network.run(seconds(60));
    assert!(network.nodes[0].machine.record(id(2)).unwrap().sequence > 5);
    network.crash(2);
    network.start(2);
    network.run(seconds(2));
    network.set_record(2, record(6, 2));
    network.run(seconds(2));
    let heard = network.nodes[0].machine.record(id(2)).unwrap();
    assert_eq!((heard.actor.boot, heard.sequence, heard.record), (2, 1, record(6, 2)));
}

#[test]
fn only_later_records_of_the_boot_that_is_known_count() {
    let mut machine = machine_of_five();
    let now = machine.outside.now;
    let mut feed = |told: Told| {
        let forged = Forged::from(identity(1, 1, 0)).telling(&told);
        machine.handle(now, Event::Datagram(&forged.bytes()));
        let refused = machine.counters().records_refused;
        (machine.record(id(2)).map(|it| (it.sequence, it.record.epoch.0)), refused)
    };
    assert_eq!(feed(told(2, 2, 1, 1)), (None, 1), "of a boot nobody has heard of");
    assert_eq!(feed(told(2, 1, 5, 1)), (Some((5, 1)), 1));
    assert_eq!(feed(told(2, 1, 5, 2)), (Some((5, 1)), 1), "doubled");
    assert_eq!(feed(told(2, 1, 4, 2)), (Some((5, 1)), 1), "older");
    assert_eq!(feed(told(2, 1, 6, 2)), (Some((6, 2)), 1));
    assert_eq!(feed(told(9, 1, 1, 2)), (Some((6, 2)), 2), "of nobody");
    let reborn = Forged::from(identity(1, 1, 0)).claiming(identity(2, 2, 0), 0, State::Alive);
    machine.handle(now, Event::Datagram(&reborn.bytes()));
    let mut feed = |told: Told| {
        let forged = Forged::from(identity(1, 1, 0)).telling(&told);
        machine.handle(now, Event::Datagram(&forged.bytes()));
        machine.record(id(2)).map(|it| (it.actor.boot, it.sequence))
    };
    assert_eq!(feed(told(2, 1, 7, 1)), Some((1, 6)), "of a boot that has ended");
    assert_eq!(feed(told(2, 2, 1, 1)), Some((2, 1)));
    assert_eq!(machine.counters().records_refused, 3);
}

/// Without it, a record made up in this node's name would stand for as long as this boot lasts.
#[test]
fn a_record_made_up_in_this_nodes_name_is_outbid() {
    let mut machine = machine_of_five();
    let now = machine.outside.now;
    machine.set_record(now, record(1, 1));
    let forged = Forged::from(identity(1, 1, 0)).telling(&told(0, 1, 900, 9));
    machine.handle(now, Event::Datagram(&forged.bytes()));
    assert_eq!(machine.counters().outranked, 1);
    assert_eq!(machine.deadline(), Some(now), "the answer does not wait");
    machine.handle(now, Event::Tick);
    machine.handle(now + Duration::from_millis(200), Event::Tick);
    let mut told_by = std::iter::from_fn(|| machine.poll()).filter_map(|it| match it {
        Effect::Send { datagram, .. } => Some(datagram),
        Effect::Changed { .. } => None,
    });
    let sequence = 901u64.to_le_bytes();
    assert!(told_by.any(|it| it.windows(8).any(|bytes| bytes == sequence)));
}

#[test]
fn values_beside_their_ranges_are_cut_to_them() {
    let mut network = Network::new(3, Tunables::lan(), Faults::none(), 6);
    network.run(seconds(5));
    let load = Load { cpu_permille: 1_003, disk_used_bytes: 9, ..Load::default() };
    network.set_record(0, Record { epoch: Epoch(1), wall_ms: u64::MAX, load, ..Record::default() });
    network.run(seconds(2));
    let heard = network.nodes[1].machine.record(id(0)).unwrap().record;
    assert_eq!((heard.wall_ms, heard.load.cpu_permille), ((1 << 48) - 1, 1_000));
    assert_eq!(heard.load.disk_used_bytes, 0);
}
