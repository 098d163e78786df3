//! Operations that go straight at the engine, beside those that are coordinated.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::ids::{Hlc, Vnode};
use schemas::status::Status;

use super::network::{NAMESPACE, Network};
use crate::coordinator::Access;
use crate::event::Event;
use crate::record::{Kind, Record};
use crate::shard::{Route, RouteOp};
use crate::topology::fixture;
use crate::topology::{Epoch, MemberIndex, Phase, Slot};
use crate::tunables::Tunables;

/// Two nodes; the first has the only copy of the only vnode.
fn network() -> Network {
    Network::new(fixture::document(2, 1, 1), &Tunables::default())
}

/// Writes at the first node's engine, as its driver does; not on disk yet.
fn write(network: &mut Network, key: &[u8]) -> Rc<Record> {
    let (key, now) = (network.key(key), network.now());
    let shard = &mut network.node(1).shard;
    let level = Consistency::Quorum;
    let op = RouteOp { namespace: NAMESPACE, access: Access::Write, level };
    assert_eq!(shard.route(key.token, op), Route::Local);
    let version = shard.next_version(now, Vnode(0), Hlc(0)).expect("a version");
    shard.local_taken(Vnode(0), version);
    let (kind, value) = (Kind::Value, [1].into());
    Rc::new(Record { key, version, kind, expires_at_ms: 0, value })
}

#[test]
fn both_ways_give_stamps_and_dots_from_one_count() {
    let mut network = network();
    let mut dots = Vec::new();
    for round in 0..5u8 {
        network.put(1, &[round], &[0], Consistency::ONE);
        let coordinated = network.nodes[0].records[&network.key(&[round])].version;
        let record = write(&mut network, &[round]);
        let local = record.version;
        network.node(1).put(record);
        network.node(1).shard.local_durable();
        assert!(local.hlc > coordinated.hlc && network.nodes[0].shard.last_stamp() == local.hlc);
        dots.extend([coordinated.dot.counter, local.dot.counter]);
    }
    assert!(dots.into_iter().eq(1..=10), "no dot is left out or given twice");
}

#[test]
fn a_version_that_the_store_did_not_take_is_the_next_ones() {
    let mut network = network();
    let now = network.now();
    let shard = &mut network.node(1).shard;
    let refused = shard.next_version(now, Vnode(0), Hlc(0)).expect("a version");
    let next = shard.next_version(now, Vnode(0), Hlc(0)).expect("a version");
    assert!(next.dot == refused.dot && next.hlc > refused.hlc);
    let ahead = Hlc::from_millis(now.wall_ms + 3_600_000);
    assert_eq!(shard.next_version(now, Vnode(0), ahead), Err(Status::StampAhead));
}

/// A write was taken as the only copy's, and the vnode began to move before it was on disk. The
/// client was told; the successor had caught up without it, and was read.
#[test]
fn who_takes_over_waits_for_what_was_taken_before() {
    let mut network = network();
    let record = write(&mut network, b"k");
    let mut moving = (*network.document).clone();
    let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(1)) };
    moving.ring.set(Vnode(0), &[slot], Phase::Moving, Epoch(2));
    moving.epoch = Epoch(2);
    network.adopt(moving);
    network.pass(Duration::from_secs(5));
    assert!(network.nodes[1].caught_up.is_empty(), "the source has not all on disk");
    network.node(1).put(Rc::clone(&record));
    network.node(1).shard.local_durable();
    network.pass(Duration::from_secs(5));
    assert!(network.nodes[1].caught_up.contains(&(Vnode(0), Epoch(2))));
    assert_eq!(network.nodes[1].records[&record.key], record);
}

/// As above, of a coordinated write.
#[test]
fn who_takes_over_waits_for_what_was_ordered_before() {
    let mut network = network();
    network.node(1).is_disk_held = true;
    let request = Rc::new(crate::coordinator::Request {
        namespace: NAMESPACE,
        key: (*b"k").into(),
        wanted: crate::coordinator::Wanted::Delete { context: None },
        level: Consistency::ONE,
        is_strict: true,
        seen: Hlc(0),
        patience: Duration::from_secs(60),
    });
    network.ask(1, |id| Event::Request(id, request));
    let mut moving = (*network.document).clone();
    let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(1)) };
    moving.ring.set(Vnode(0), &[slot], Phase::Moving, Epoch(2));
    moving.epoch = Epoch(2);
    let moving = Arc::new(moving);
    // The first node's own message to the second is lost, so that only the move brings it.
    network.node(2).is_cut_off = true;
    network.tell(1, Event::Topology(Arc::clone(&moving)));
    network.node(2).is_cut_off = false;
    network.tell(2, Event::Topology(moving));
    network.pass(Duration::from_secs(5));
    assert!(network.nodes[1].caught_up.is_empty());
    network.release_disk(1);
    network.pass(Duration::from_secs(5));
    assert!(network.nodes[1].caught_up.contains(&(Vnode(0), Epoch(2))));
    assert!(network.nodes[1].records.contains_key(&network.key(b"k")));
}
