//! [`Once`]: requests of other nodes that were begun, so that none is begun twice.
//!
//! A core numbers what it forwards in ascending order. The last of them are remembered, and what is
//! before those counts as begun: who waits for its answer is told nothing, and knows nothing.
//! Bounded: so many numbers of so many cores of each member.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::{NodeId, Vnode};

use crate::limits::LANES_MAX;
use crate::message::OpId;

/// Numbers that are remembered of each core.
const REMEMBERED: usize = 1024;

/// Requests of other nodes that were begun.
#[derive(Debug, Default)]
pub(super) struct Once {
    /// By the first vnode of the core that forwards.
    begun: BTreeMap<(NodeId, Vnode), Begun>,
}

#[derive(Debug, Default)]
struct Begun {
    /// All below count as begun.
    floor: OpId,
    above: BTreeSet<OpId>,
}

impl Once {
    /// Whether `op` of the core of `node` whose first vnode is `lane` is to be begun: it was not
    /// before.
    pub(super) fn is_first(&mut self, node: NodeId, lane: Vnode, op: OpId) -> bool {
        let of_node = (node, Vnode(0))..=(node, Vnode(u16::MAX));
        if !self.begun.contains_key(&(node, lane)) && self.begun.range(of_node).count() >= LANES_MAX
        {
            return false;
        }
        let begun = self.begun.entry((node, lane)).or_default();
        if op < begun.floor || !begun.above.insert(op) {
            return false;
        }
        if begun.above.len() > REMEMBERED
            && let Some(OpId(lowest)) = begun.above.pop_first()
        {
            begun.floor = OpId(lowest + 1);
        }
        true
    }

    /// Forgets all nodes but those that `keep` names.
    pub(super) fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.begun.retain(|(node, _), _| keep(*node));
    }

    /// How many numbers are remembered.
    pub(super) fn len(&self) -> usize {
        self.begun.values().map(|it| it.above.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::node;

    const LANE: Vnode = Vnode(3);

    /// A request that arrived twice was written twice, the second time with a later stamp than what
    /// had overwritten the first. Found by the simulator, seed 2, within a minute.
    #[test]
    fn a_request_is_begun_once_however_late_it_comes_again() {
        let mut once = Once::default();
        let numbers = 2 * REMEMBERED as u64;
        for number in 0..numbers {
            // In another order than they were sent, a little.
            let op = OpId(number ^ 3);
            assert!(once.is_first(node(1), LANE, op));
            assert!(once.is_first(node(2), LANE, op), "of another node");
        }
        for number in 0..numbers {
            assert!(!once.is_first(node(1), LANE, OpId(number)), "{number}");
        }
        once.retain(|it| it == node(2));
        assert!(once.begun.len() == 1 && !once.is_first(node(2), LANE, OpId(5)));
    }

    /// Nodes of other numbers of cores: two cores of one forwarded to one core of another, both had
    /// the same numbers, and what the second asked was taken for what the first had.
    #[test]
    fn cores_of_a_node_number_by_themselves_and_there_are_only_so_many() {
        let mut once = Once::default();
        for lane in 0..LANES_MAX as u16 {
            assert!(once.is_first(node(1), Vnode(lane), OpId(7)));
            assert!(!once.is_first(node(1), Vnode(lane), OpId(7)));
        }
        assert!(!once.is_first(node(1), Vnode(u16::MAX), OpId(7)));
        assert!(once.is_first(node(2), Vnode(u16::MAX), OpId(7)));
        assert_eq!(once.len(), LANES_MAX + 1);
    }
}
