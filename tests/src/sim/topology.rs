//! The topology that a run begins with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;

use cluster::topology::{
    DataCentre, Document, Epoch, Member, MemberIndex, Namespace, Phase, Policy, Ring, Slot,
    Standing,
};
use schemas::ids::{ClusterId, NamespaceId, NodeId, Vnode, VnodeBits};

use super::options::Options;
use super::places::Places;

/// The namespace whose last writer wins.
pub(super) const LWW: NamespaceId = NamespaceId::DEFAULT;

/// The namespace that keeps siblings.
pub(super) const SIBLINGS: NamespaceId = NamespaceId(2);

pub(super) fn document(options: &Options) -> Document {
    let layout = Places::layout(options);
    let mut ring = Ring::new(options.vnodes, layout.clone(), Epoch(1));
    for vnode in 0..options.vnodes as u16 {
        let slots: Vec<Slot> = slots(options, &layout, vnode).collect();
        ring.set(Vnode(vnode), &slots, Phase::Stable, Epoch(1));
    }
    let members: Vec<Member> =
        (0..options.nodes).map(|number| member(number, options.places)).collect();
    Document {
        cluster: ClusterId(u128::from(options.seed) << 1 | 1),
        epoch: Epoch(1),
        token_seed: options.seed,
        bits: VnodeBits::from_count(options.vnodes).expect("a power of two"),
        voters: members.iter().take(5).map(|it| it.id).collect(),
        members,
        namespaces: vec![
            namespace(LWW, "lww", Policy::LastWriterWins, &layout),
            namespace(SIBLINGS, "siblings", Policy::Siblings, &layout),
        ],
        last_namespace: SIBLINGS,
        ring,
        scaling: None,
        is_paused: false,
    }
}

/// Who has a vnode: nodes that follow each other in each data centre.
fn slots(options: &Options, layout: &[DataCentre], vnode: u16) -> impl Iterator<Item = Slot> {
    layout.iter().flat_map(move |dc| {
        let is_there = |&it: &u16| Places::name(options.places.of(usize::from(it))) == &*dc.name;
        let nodes: Vec<u16> = (0..options.nodes as u16).filter(is_there).collect();
        (0..u16::from(dc.copies)).map(move |at| {
            let member = MemberIndex(nodes[usize::from(vnode + at) % nodes.len()]);
            Slot { reader: Some(member), successor: Some(member) }
        })
    })
}

fn namespace(id: NamespaceId, name: &str, policy: Policy, layout: &[DataCentre]) -> Namespace {
    let replication = layout.to_vec();
    let name = name.into();
    Namespace { id, name, policy, replication, former: None, is_strict: false, ttl_ms: 0 }
}

/// The node `number`, from 0.
pub(crate) fn node(number: usize) -> NodeId {
    NodeId(NonZeroU64::MIN.saturating_add(number as u64))
}

/// Where it is reached.
pub(crate) fn address(number: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, (number >> 8) as u8, number as u8)), 7401)
}

/// What it is as a member.
pub(super) fn member(number: usize, places: Places) -> Member {
    let rack = number / usize::from(places.data_centres.max(1)) % 3;
    Member {
        id: node(number),
        dc: Places::name(places.of(number)).into(),
        rack: format!("r{rack}").into(),
        weight: 100,
        standing: Standing::Member,
        address: address(number),
        may_vote: true,
    }
}
