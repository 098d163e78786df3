//! Nodes outside the topology: those that want to join, and those that have left.

use super::super::{Health, Record, Tunables};
use super::network::{Faults, Network, id, members};
use super::{Forged, identity, machine_of_five, seconds};
use crate::limits::STRANGERS_MAX;
use crate::liveness::Event;

#[test]
fn a_node_that_wants_to_join_is_seen_by_all_and_becomes_a_member() {
    let mut network = Network::of(6, 5, 1, Tunables::lan(), Faults::loss(50), 1);
    let end = network.now + seconds(30);
    assert!(network.run_until(end, Network::all_up));
    network.set_members(members(6));
    network.crash(5);
    network.run(seconds(60));
    assert!(network.all_see(&[0, 1, 2, 3, 4], &[5], Health::Down));
    network.start(5);
    let end = network.now + seconds(30);
    assert!(network.run_until(end, Network::all_up));
}

#[test]
fn a_node_that_has_left_is_forgotten_when_room_is_needed() {
    let mut network = Network::new(5, Tunables::lan(), Faults::none(), 2);
    network.run(seconds(10));
    network.set_record(4, Record::default());
    network.run(seconds(10));
    network.set_members(members(4));
    assert!(network.nodes[0].machine.is_up(id(4)), "it may still have to hand over");
    network.crash(4);
    network.run(seconds(30));
    assert_eq!(network.nodes[0].machine.boot(id(4)), Some(1));
    assert!(network.nodes[0].machine.record(id(4)).is_some());
    for index in 100..100 + STRANGERS_MAX {
        network.deliver(0, Forged::from(identity(index, 1, 0)).bytes().into());
    }
    assert_eq!(network.nodes[0].machine.boot(id(4)), None);
    assert_eq!(network.nodes[0].machine.record(id(4)), None);
    assert!(network.nodes[0].machine.is_up(id(100 + STRANGERS_MAX - 1)));
}

/// A topology that loses many members at once keeps the bound.
#[test]
fn a_topology_that_shrinks_keeps_few_strangers() {
    let mut machine = machine_of_five();
    let now = machine.outside.now;
    machine.set_members(now, members(500));
    for index in 5..500 {
        machine.handle(now, Event::Datagram(&Forged::from(identity(index, 1, 0)).bytes()));
    }
    assert_eq!(machine.nodes().count(), 499);
    machine.set_members(now, members(5));
    assert_eq!(machine.nodes().count(), 4 + STRANGERS_MAX);
    super::assert_as_foca(&machine);
    for index in 1..5 {
        assert!(machine.is_up(id(index)));
    }
}

#[test]
#[should_panic(expected = "a topology of 10001 members")]
fn a_topology_of_too_many_is_our_own_bug() {
    machine_of_five().set_members(crate::time::Instant(2_000_000), members(10_001));
}
