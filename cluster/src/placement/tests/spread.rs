//! How well owners are mixed: who shares vnodes with whom, and who has the first slots.

use std::collections::BTreeMap;

use super::support::{document, equals, finish_all, joined, member, owners};
use crate::placement::rebalance;
use crate::topology::{Document, Epoch, Standing};
use schemas::ids::NodeId;

/// What one node shares with others.
struct Peers {
    copies: usize,
    firsts: usize,
    shared: BTreeMap<NodeId, usize>,
}

fn peers(document: &Document) -> Vec<Peers> {
    let mut all: BTreeMap<NodeId, Peers> = BTreeMap::new();
    for slots in owners(document) {
        let owners: Vec<NodeId> = slots.into_iter().flatten().collect();
        for (at, &owner) in owners.iter().enumerate() {
            let none = Peers { copies: 0, firsts: 0, shared: BTreeMap::new() };
            let peers = all.entry(owner).or_insert(none);
            peers.copies += 1;
            peers.firsts += usize::from(at == 0);
            for &other in owners.iter().filter(|&&it| it != owner) {
                *peers.shared.entry(other).or_default() += 1;
            }
        }
    }
    all.into_values().collect()
}

/// A hundred changes: as many nodes join as leave or are lost.
fn aged(mut document: Document, racks: u64, seed: u64) -> Document {
    let mut rng = fastrand::Rng::with_seed(seed);
    for nth in 0..50 {
        let newcomer = member(1000 + nth, "dc", &format!("rack{:02}", nth % racks), 100);
        document = joined(&document, newcomer);
        rebalance(&mut document);
        finish_all(&mut document);
        let at = rng.usize(0..document.members.len() - 1);
        document.members[at].standing = Standing::Leaving;
        rebalance(&mut document);
        finish_all(&mut document);
        document.epoch = Epoch(document.epoch.0 + 2);
    }
    document
}

/// 100 nodes in 10 racks with 4,096 vnodes: about 123 copies each, 246 times another's. With owners
/// drawn at random a node would share vnodes with 84 of the 90 it can, with some one of them 8 or 9
/// times.
#[test]
fn a_node_shares_vnodes_with_most_others_and_few_with_each() {
    let mut young = document(12, equals(100, 10), &[("dc", 3)]);
    rebalance(&mut young);
    for document in [aged(young.clone(), 10, 1), young] {
        for peers in peers(&document) {
            assert!(peers.shared.len() >= 70, "{} others", peers.shared.len());
            let most = peers.shared.values().max().expect("there are others");
            assert!(most * 100 <= peers.copies * 12, "{most} of {} with one", peers.copies);
        }
    }
}

#[test]
fn what_a_lost_node_had_goes_to_nearly_as_many_others_as_copies() {
    let mut before = document(12, equals(100, 10), &[("dc", 3)]);
    rebalance(&mut before);
    finish_all(&mut before);
    before.members[17].standing = Standing::Lost;
    let lost = before.members[17].id;
    let mut after = before.clone();
    rebalance(&mut after);
    let mut takers: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (old, new) in owners(&before).concat().into_iter().zip(owners(&after).concat()) {
        if old == Some(lost) {
            *takers.entry(new.expect("another")).or_default() += 1;
        }
    }
    assert!(takers.len() >= 85, "{} nodes", takers.len());
    assert!(takers.values().all(|&it| it <= 3), "{takers:?}");
}

/// Coordinators prefer first slots, and namespaces of one copy have no others.
#[test]
fn first_slots_are_shared_like_copies() {
    for racks in [10, 1] {
        let mut young = document(12, equals(100, racks), &[("dc", 3)]);
        rebalance(&mut young);
        for (document, percent) in [(aged(young.clone(), racks, 2), 15), (young, 5)] {
            for Peers { copies, firsts, .. } in peers(&document) {
                let off = (3 * firsts).abs_diff(copies);
                assert!(off * 100 <= copies * percent, "{firsts} of {copies}");
            }
        }
    }
}

/// A cluster begins with one node, which has all first slots.
#[test]
fn first_slots_are_shared_in_a_cluster_that_has_grown_from_one_node() {
    let mut document = document(10, equals(1, 1), &[("dc", 3)]);
    for id in 2..=12 {
        rebalance(&mut document);
        finish_all(&mut document);
        for Peers { copies, firsts, .. } in peers(&document) {
            let slots = id.min(4) as usize - 1;
            let off = (slots * firsts).abs_diff(copies);
            assert!(off * 100 <= copies * 40, "{firsts} of {copies} of {} nodes", id - 1);
        }
        document = joined(&document, member(id, "dc", &format!("rack{:02}", id % 4), 100));
    }
}

/// With fewer racks than copies the first copies, which a namespace of fewer copies has, are on
/// different racks, too.
#[test]
fn the_first_copies_are_on_different_racks() {
    let mut young = document(12, equals(30, 2), &[("dc", 3)]);
    rebalance(&mut young);
    let mut old = young.clone();
    for id in 0..20 {
        old = joined(&old, member(100 + id, "dc", &format!("rack{:02}", id % 2), 100));
        let leaves = old.members.iter_mut().find(|it| it.standing.stays()).expect("some stay");
        leaves.standing = Standing::Leaving;
        rebalance(&mut old);
        finish_all(&mut old);
    }
    for (document, percent) in [(young, 0), (old, 10)] {
        let rack = |id: NodeId| &document.member(document.index_of(id).expect("a member")).rack;
        let all = owners(&document);
        let same = |slots: &&Vec<Option<NodeId>>| {
            rack(slots[0].expect("an owner")) == rack(slots[1].expect("an owner"))
        };
        let same = all.iter().filter(same).count();
        assert!(same * 100 <= all.len() * percent, "{same} of {}", all.len());
    }
}
