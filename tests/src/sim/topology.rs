//! The topology that a run begins with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;

use cluster::topology::{
    DataCentre, Document, Epoch, Member, MemberIndex, Namespace, Phase, Policy, Ring, Slot,
    Standing,
};
use schemas::ids::{ClusterId, NamespaceId, NodeId, Vnode, VnodeBits};

use super::options::Options;

/// The namespace whose last writer wins.
pub(super) const LWW: NamespaceId = NamespaceId::DEFAULT;

/// The namespace that keeps siblings.
pub(super) const SIBLINGS: NamespaceId = NamespaceId(2);

pub(super) fn document(options: &Options) -> Document {
    let (nodes, copies) = (options.nodes as u16, options.copies);
    let layout = vec![DataCentre { name: "dc".into(), copies }];
    let mut ring = Ring::new(options.vnodes, layout.clone(), Epoch(1));
    for vnode in 0..options.vnodes as u16 {
        let slot = |at: u8| {
            let member = MemberIndex((vnode + u16::from(at)) % nodes);
            Slot { reader: Some(member), successor: Some(member) }
        };
        let slots: Vec<Slot> = (0..copies).map(slot).collect();
        ring.set(Vnode(vnode), &slots, Phase::Stable, Epoch(1));
    }
    let members: Vec<Member> = (0..options.nodes).map(member).collect();
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
pub(crate) fn member(number: usize) -> Member {
    Member {
        id: node(number),
        dc: "dc".into(),
        rack: format!("r{}", number % 3).into(),
        weight: 100,
        standing: Standing::Member,
        address: address(number),
        may_vote: true,
    }
}
