//! What a node that joins has others stream, by placement's own plan.

use std::num::NonZeroU64;

use cluster::placement::{Facts, plan, rebalance};
use cluster::topology::{Change, Document, Phase, Slot, apply};
use schemas::ids::{NodeId, Vnode};

use super::layout::{document, member};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct JoinOptions {
    /// Nodes before it.
    pub nodes: usize,
    /// Vnodes, a power of two.
    pub vnodes: u32,
    /// What each node has, in bytes.
    pub bytes_per_node: u64,
    /// What a node may receive for it in a second, and send, in bytes.
    pub bytes_per_s: u64,
}

/// What a join comes to.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Joined {
    /// Copies of vnodes that are streamed.
    pub copies: u64,
    /// Bytes that are streamed.
    pub bytes: u64,
    /// The bytes that the new node has to get at least: its share.
    pub share_bytes: u64,
    /// Nodes that stream.
    pub sources: usize,
    /// Bytes of the source that streams most.
    pub most_bytes: u64,
    /// Until the last node is done that sends or receives, in seconds.
    pub seconds: u64,
}

/// Lets one node more join a cluster whose vnodes lie where placement puts them.
///
/// # Panics
/// If a node cannot join so many.
#[must_use]
pub fn join(options: &JoinOptions, seed: u64) -> Joined {
    let before = placed(options.nodes, options.vnodes, seed);
    let change = Change::Join(member(options.nodes));
    let after = apply(&before, &change).expect("a node may join");
    let all_bytes = options.bytes_per_node * options.nodes as u64;
    let bytes = vec![all_bytes / 3 / u64::from(options.vnodes); options.vnodes as usize];
    let up: Vec<NodeId> = after.members.iter().map(|it| it.id).collect();
    let link_bytes_per_second = NonZeroU64::new(options.bytes_per_s).unwrap_or(NonZeroU64::MIN);
    let plan = plan(&before, &after, &Facts { bytes: &bytes, up: &up, link_bytes_per_second });
    let busiest = plan.nodes.iter().map(|it| it.incoming.bytes.max(it.outgoing.bytes)).max();
    let sources = plan.nodes.iter().filter(|it| it.outgoing.copies > 0);
    Joined {
        copies: plan.streamed.copies,
        bytes: plan.streamed.bytes,
        share_bytes: all_bytes / (options.nodes as u64 + 1),
        sources: sources.count(),
        most_bytes: plan.nodes.iter().map(|it| it.outgoing.bytes).max().unwrap_or(0),
        seconds: busiest.unwrap_or(0).div_ceil(options.bytes_per_s.max(1)),
    }
}

/// A cluster in which placement had all vnodes to place.
fn placed(nodes: usize, vnodes: u32, seed: u64) -> Document {
    let mut document = document(nodes, vnodes, 1, seed);
    let nobody = [Slot { reader: None, successor: None }; 3];
    let all: Vec<Vnode> = document.ring.all().collect();
    for vnode in &all {
        document.ring.set(*vnode, &nobody, Phase::Stable, document.epoch);
    }
    rebalance(&mut document);
    for vnode in &all {
        let slots = document.ring.slots(*vnode);
        let slots: Vec<Slot> = slots.map(|it| Slot { reader: it.successor, ..it }).collect();
        document.ring.set(*vnode, &slots, Phase::Stable, document.epoch);
    }
    document
}
