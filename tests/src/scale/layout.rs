//! The topology of so many nodes, in three racks of one data centre.

use cluster::topology::{
    DataCentre, Document, Epoch, Member, MemberIndex, Namespace, Phase, Policy, Ring, Slot,
    Standing,
};
use fastrand::Rng;
use schemas::ids::{ClusterId, NamespaceId, Vnode, VnodeBits};

use crate::sim::{address, node_id};

/// Voters of a cluster of so many nodes.
const VOTERS: usize = 7;

/// What node `number`, from 0, is as a member.
#[must_use]
pub fn member(number: usize) -> Member {
    Member {
        id: node_id(number),
        dc: "dc".into(),
        rack: format!("r{}", number % 3).into(),
        weight: 100,
        standing: Standing::Member,
        address: address(number),
        may_vote: true,
    }
}

/// A cluster of `nodes` nodes, three copies and `vnodes` vnodes, of which each was changed at
/// another of `epochs` epochs.
///
/// # Panics
/// If there are fewer than three nodes, or the number of vnodes is no power of two that a ring may
/// have.
#[must_use]
pub fn document(nodes: usize, vnodes: u32, epochs: u32, seed: u64) -> Document {
    assert!((3..=10_000).contains(&nodes), "{nodes} nodes");
    let mut rng = Rng::with_seed(seed);
    let layout = vec![DataCentre { name: "dc".into(), copies: 3 }];
    let mut ring = Ring::new(vnodes, layout.clone(), Epoch(1));
    // One after the other in each third of the nodes: three racks where they are in turn.
    for vnode in 0..vnodes {
        let slot = |at: usize| {
            let in_rack = (nodes - at).div_ceil(3);
            let member = Some(MemberIndex((vnode as usize % in_rack * 3 + at) as u16));
            Slot { reader: member, successor: member }
        };
        let slots = [0, 1, 2].map(slot);
        let epoch = Epoch(rng.u32(1..=epochs));
        ring.set(Vnode(vnode as u16), &slots, Phase::Stable, epoch);
    }
    let members: Vec<Member> = (0..nodes).map(member).collect();
    Document {
        cluster: ClusterId(u128::from(seed) << 1 | 1),
        epoch: Epoch(epochs),
        token_seed: seed,
        bits: VnodeBits::from_count(vnodes).expect("a power of two"),
        voters: members.iter().take(VOTERS.min(nodes - (nodes + 1) % 2)).map(|it| it.id).collect(),
        members,
        namespaces: vec![Namespace {
            id: NamespaceId::DEFAULT,
            name: "default".into(),
            policy: Policy::LastWriterWins,
            replication: layout,
            former: None,
            is_strict: false,
            ttl_ms: 0,
        }],
        last_namespace: NamespaceId::DEFAULT,
        scaling: None,
        ring,
        is_paused: false,
    }
}
