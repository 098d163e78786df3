//! Documents for tests: clusters of one data centre with nodes 1, 2, 3, ... .

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;

use schemas::ids::{ClusterId, NamespaceId, NodeId, Vnode, VnodeBits};

use super::document::{DataCentre, Document, Epoch, Member, Namespace, Policy, Standing};
use super::ring::{MemberIndex, Phase, Ring, Slot};

/// Node `number`, from 1.
pub(crate) fn node(number: u64) -> NodeId {
    NodeId(NonZeroU64::new(number).expect("from 1"))
}

/// `nodes` nodes with `copies` copies of each of `vnodes` vnodes: the copies of vnode `v` are on
/// the nodes from `v + 1` on, round the ring.
pub(crate) fn document(nodes: u16, copies: u8, vnodes: u32) -> Document {
    let layout = vec![DataCentre { name: "dc".into(), copies }];
    let mut ring = Ring::new(vnodes, layout.clone(), Epoch(1));
    for vnode in 0..vnodes as u16 {
        let slot = |at: u8| {
            let member = MemberIndex((vnode + u16::from(at)) % nodes);
            Slot { reader: Some(member), successor: Some(member) }
        };
        let slots: Vec<Slot> = (0..copies).map(slot).collect();
        ring.set(Vnode(vnode), &slots, Phase::Stable, Epoch(1));
    }
    let member = |number: u16| Member {
        id: node(u64::from(number)),
        dc: "dc".into(),
        rack: format!("r{}", number % 3).into(),
        weight: 1,
        standing: Standing::Member,
        address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7000 + number),
        may_vote: true,
    };
    Document {
        cluster: ClusterId(7),
        epoch: Epoch(1),
        token_seed: 1,
        bits: VnodeBits::from_count(vnodes).expect("a power of two"),
        members: (1..=nodes).map(member).collect(),
        voters: (1..=nodes.min(3)).map(|number| node(u64::from(number))).collect(),
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
