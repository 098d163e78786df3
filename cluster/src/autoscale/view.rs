//! What the policy looks at: the members of one data centre, and the last load that each told.
//!
//! Members come from the decided topology and are believed. Loads come from gossip and are not:
//! one that is old, or that no node can have, is as good as none.

use std::time::Duration;

use schemas::ids::NodeId;

use crate::limits::AUTOSCALE_P99_US_MAX;
use crate::liveness;
use crate::time::Instant;

/// One data centre at one moment, as the node that evaluates sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The last epoch that changed this data centre's members or weights, decided a proposal of
    /// autoscaling for it, or changed the policy.
    pub changed_epoch: u32,
    /// The data centre's name.
    pub dc: &'a str,
    /// N: copies of each vnode in this data centre.
    pub replication: u32,
    /// All its members.
    pub members: &'a [Member<'a>],
    /// Machines that decided proposals asked for and that have neither joined nor been given up.
    pub starting: u32,
    /// Vnodes whose successors are not their owners yet.
    pub pending_moves: u32,
}

/// A node of the data centre.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// Who.
    pub node: NodeId,
    /// Its rack's name.
    pub rack: &'a str,
    /// Its share of the data and of the work, relative to the others'. One of weight 0 holds
    /// nothing and is left out of all averages.
    pub weight: u32,
    /// Vnodes it owns: its part of the data, exactly. It follows the weights as far as racks let
    /// it.
    pub vnodes: u32,
    /// What the document says of it.
    pub state: MemberState,
    /// Whether it is one of the voters.
    pub voter: bool,
    /// The last load it told, if any was received.
    pub load: Option<Load>,
}

/// What the topology document says of a member. Whether it answers is another question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// Vnodes are moving to it.
    Joining,
    /// It serves.
    Up,
    /// Vnodes are moving away from it.
    Leaving,
}

/// What a node told of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Busy permille of its cores since the last record, 0 to 1,000. Moves are in it.
    pub cpu_permille: u32,
    /// Bytes used on its data disks; without what it gave away and compaction has yet to free,
    /// or the same need would be met twice.
    pub disk_used_bytes: u64,
    /// Bytes of its data disks, at least `disk_used_bytes`.
    pub disk_total_bytes: u64,
    /// The 99th percentile of the latency of its clients' requests, in microseconds.
    pub p99_us: u64,
    /// Requests of clients a second. With none, the percentile says nothing.
    pub ops_per_s: u64,
    /// When it was received, by the clock of the node that evaluates.
    pub received_at: Instant,
}

impl Load {
    /// What gossip told of a node.
    pub(crate) fn told(load: liveness::Load, received_at: Instant) -> Self {
        let liveness::Load { cpu_permille, disk_used_bytes, disk_total_bytes, p99_us, ops_per_s } =
            load;
        Self { cpu_permille, disk_used_bytes, disk_total_bytes, p99_us, ops_per_s, received_at }
    }

    /// Whether a node can be in this state, and was so lately.
    pub(super) fn counts(&self, now: Instant, stale_after: Duration) -> bool {
        let possible = self.cpu_permille <= 1000
            && self.disk_total_bytes > 0
            && self.disk_used_bytes <= self.disk_total_bytes
            && self.p99_us <= AUTOSCALE_P99_US_MAX;
        possible && now.since(self.received_at) <= stale_after
    }
}
