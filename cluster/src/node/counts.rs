//! What a node has counted, and how much it keeps: for metrics, and for tests that nothing grows.

use crate::liveness::Counters;
use crate::topology::agreement;

/// What was heard and had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Datagrams, and what gossip went through.
    pub liveness: Counters,
    /// Messages about the topology.
    pub agreement: agreement::Counts,
    /// Reports of vnodes that do not move so, or of nodes that are no members.
    pub reports_ignored: u64,
    /// Reports that claim to come from this node.
    pub impostors: u64,
}

/// How many there are of what a node keeps; each is bounded, as told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sizes {
    /// Nodes that gossip knows: members, and [`STRANGERS_MAX`](crate::limits::STRANGERS_MAX).
    pub known: usize,
    /// Records of nodes on gossip: as many.
    pub records: usize,
    /// Nodes of which cores were told whether they answer: members.
    pub told: usize,
    /// Vnodes that this node has caught up with: those that move.
    pub caught_up: usize,
    /// Nodes that have, by vnode: a member and vnode that moves each.
    pub reports: usize,
    /// Changes that wait to be decided: [`PROPOSALS_MAX`](crate::limits::PROPOSALS_MAX).
    pub proposals: usize,
    /// Answers that wait for the disk: one a member or seed.
    pub held: usize,
    /// Nodes that are to be offered a document: members of it and of the one before.
    pub offers: usize,
    /// Effects that were not polled: 0 between events.
    pub effects: usize,
}
