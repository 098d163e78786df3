//! Vnodes that move from one node to another: how fast, how many at a time, how far they are.

use std::num::NonZeroU64;
use std::time::Duration;

use schemas::consistency::Consistency;
use schemas::ids::{NodeId, Vnode};

use super::network::Network;
use crate::repair::{Move, MoveState};
use crate::topology::fixture::{self, node};
use crate::topology::{Document, Epoch, MemberIndex, Phase, Slot};
use crate::tunables::Tunables;

const VNODES: u16 = 8;

/// Bytes that a record of these tests counts for.
const RECORD_BYTES: u64 = 1 + 100 + 64;

fn tunables() -> Tunables {
    Tunables {
        move_bytes_per_second: NonZeroU64::new(10 * RECORD_BYTES).expect("not 0"),
        // A page is one record.
        repair_page_bytes_max: 1,
        ..Tunables::default()
    }
}

/// Node 1 has all of eight vnodes, with 256 keys; node 2 is to take some of them over.
fn network(tunables: &Tunables, moving: u16) -> Network {
    let mut document = fixture::document(2, 1, u32::from(VNODES));
    let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(0)) };
    for vnode in 0..VNODES {
        document.ring.set(Vnode(vnode), &[slot], Phase::Stable, Epoch(1));
    }
    let mut network = Network::new(document, tunables);
    for byte in 0..=255 {
        network.put(1, &[byte], &[1; 100], Consistency::ONE);
    }
    let document = alter(&network, |document| {
        let slot = Slot { successor: Some(MemberIndex(1)), ..slot };
        for vnode in 0..moving {
            document.ring.set(Vnode(vnode), &[slot], Phase::Moving, document.epoch);
        }
    });
    network.adopt(document);
    network
}

/// The next document, altered.
fn alter(network: &Network, alter: impl FnOnce(&mut Document)) -> Document {
    let mut document = (*network.document).clone();
    document.epoch = Epoch(document.epoch.0 + 1);
    alter(&mut document);
    document
}

fn moves(network: &Network) -> Vec<Move> {
    network.nodes[1].shard.moves(network.now())
}

fn records(network: &Network) -> u64 {
    network.nodes[1].records.len() as u64
}

fn keys_of(network: &Network, vnode: u16) -> u64 {
    let bits = network.document.bits;
    let all = network.nodes[0].records.keys();
    all.filter(|key| key.token.vnode(bits) == Vnode(vnode)).count() as u64
}

#[test]
fn what_moves_comes_no_faster_than_it_may() {
    let mut network = network(&tunables(), VNODES);
    let pages_at_once = tunables().moves_max as u64;
    for second in 1..=20 {
        network.pass(Duration::from_secs(1));
        let (came, most) = (records(&network), second * 10 + pages_at_once);
        assert!((second * 10..=most).contains(&came), "{came} in {second} s: ten a second");
    }
    network.pass(Duration::from_secs(30));
    assert_eq!(records(&network), 256);
    assert_eq!(network.nodes[1].caught_up.len(), usize::from(VNODES));
}

#[test]
fn comparisons_as_a_matter_of_course_have_a_pace_of_their_own() {
    let tunables = Tunables {
        repair_bytes_per_second: NonZeroU64::new(5 * RECORD_BYTES).expect("not 0"),
        move_bytes_per_second: NonZeroU64::MAX,
        repair_period: Duration::from_secs(10),
        ..tunables()
    };
    let mut network = Network::new(fixture::document(2, 2, 1), &tunables);
    network.node(2).is_cut_off = true;
    for byte in 0..200 {
        network.put(1, &[byte], &[1; 100], Consistency::ONE);
    }
    // Nothing of it is sent any more.
    network.pass(Duration::from_secs(2));
    network.node(2).is_cut_off = false;
    network.pass(Duration::from_secs(20));
    assert!((40..=110).contains(&records(&network)), "{}: five a second", records(&network));
    assert!(moves(&network).is_empty(), "nothing moves");
}

#[test]
fn so_many_move_at_a_time_and_the_others_follow() {
    let mut network = network(&Tunables { moves_max: 2, ..tunables() }, VNODES);
    let mut most = 0;
    for _ in 0..600 {
        network.pass(Duration::from_millis(100));
        let streams = |it: &&Move| it.state == MoveState::Streams(node(1));
        let count = moves(&network).iter().filter(streams).count();
        assert!(count <= 2);
        most = most.max(count);
    }
    assert_eq!((most, records(&network)), (2, 256));
    assert!(moves(&network).iter().all(|it| it.state == MoveState::CaughtUp));
}

#[test]
fn a_move_tells_how_far_it_is_and_how_long_it_takes() {
    let mut network = network(&tunables(), 1);
    let keys = keys_of(&network, 0);
    let of_1: Vec<NodeId> = vec![node(1)];
    network.pass(Duration::from_secs(1));
    let mut last = Duration::MAX;
    while records(&network) < keys {
        let [it] = &moves(&network)[..] else { panic!("one moves") };
        assert_eq!((it.vnode, it.state), (Vnode(0), MoveState::Streams(node(1))));
        assert!(it.compared.is_empty() && it.open == of_1);
        let came = records(&network);
        assert_eq!((it.records, it.bytes), (came, came * RECORD_BYTES));
        assert_eq!(it.bytes_left, Some((keys - came) * RECORD_BYTES));
        let (eta, right) = (it.eta.expect("known"), (keys - came) * 100);
        assert!(eta.as_millis().abs_diff(u128::from(right)) < 200, "{eta:?} {right} ms");
        assert!(eta < last);
        last = eta;
        network.pass(Duration::from_millis(500));
    }
    network.pass(Duration::from_secs(1));
    let [it] = &moves(&network)[..] else { panic!("one moves") };
    assert_eq!((it.state, it.bytes_left), (MoveState::CaughtUp, Some(0)));
    assert!(it.open.is_empty() && it.compared == of_1);
}

/// What had come stays, and nothing comes twice.
#[test]
fn a_pause_stops_at_the_next_page_and_going_on_goes_on_there() {
    let mut network = network(&tunables(), VNODES);
    network.pass(Duration::from_secs(5));
    let paused = alter(&network, |document| document.is_paused = true);
    network.adopt(paused);
    network.pass(Duration::from_millis(300));
    let before = records(&network);
    network.pass(Duration::from_secs(3600));
    assert!(before >= 40 && records(&network) == before);
    assert!(moves(&network).iter().all(|it| it.state == MoveState::Paused));
    let resumed = alter(&network, |document| document.is_paused = false);
    network.adopt(resumed);
    network.pass(Duration::from_secs(40));
    assert_eq!(records(&network), 256);
    let came: u64 = moves(&network).iter().map(|it| it.records).sum();
    assert_eq!(came, 256, "each record once");
    assert_eq!(network.nodes[1].shard.counts().repairs_failed, 0);
}

#[test]
fn what_goes_back_is_asked_for_no_longer() {
    let mut network = network(&tunables(), VNODES);
    network.pass(Duration::from_secs(5));
    let aborted = alter(&network, |document| {
        let slot = Slot { reader: Some(MemberIndex(0)), successor: Some(MemberIndex(0)) };
        for vnode in 0..VNODES {
            document.ring.set(Vnode(vnode), &[slot], Phase::Stable, document.epoch);
        }
        document.is_paused = true;
    });
    network.adopt(aborted);
    network.pass(Duration::from_secs(1));
    let before = records(&network);
    network.pass(Duration::from_secs(60));
    assert!(records(&network) <= before && moves(&network).is_empty());
    assert_eq!(network.nodes[1].shard.sizes().orders, 0, "nothing is left to do");
}

/// A successor whose source does not answer leaves its room to others.
#[test]
fn who_finds_nobody_keeps_nobody_waiting() {
    let mut document = fixture::document(3, 1, 4);
    let reader = |at: u16| Slot { reader: Some(MemberIndex(at)), successor: Some(MemberIndex(2)) };
    for vnode in 0..4 {
        let from = u16::from(vnode == 3);
        document.ring.set(Vnode(vnode), &[reader(from)], Phase::Moving, Epoch(1));
    }
    let mut network = Network::new(document, &Tunables { moves_max: 1, ..tunables() });
    network.tell(3, crate::event::Event::Liveness { node: node(1), is_up: false });
    network.node(1).is_cut_off = true;
    network.pass(Duration::from_secs(30));
    let caught_up: Vec<Vnode> = network.nodes[2].caught_up.iter().map(|it| it.0).collect();
    assert_eq!(caught_up, [Vnode(3)]);
}
