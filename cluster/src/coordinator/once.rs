//! [`Once`]: requests of other nodes that were begun, so that none is begun twice.
//!
//! A node numbers what it forwards in ascending order. The last of them are remembered, and what is
//! before those counts as begun: who waits for its answer is told nothing, and knows nothing.

use std::collections::{BTreeMap, BTreeSet};

use schemas::ids::NodeId;

use crate::message::OpId;

/// Numbers that are remembered of each node.
const REMEMBERED: usize = 1024;

/// Requests of other nodes that were begun.
#[derive(Debug, Default)]
pub(super) struct Once {
    begun: BTreeMap<NodeId, Begun>,
}

#[derive(Debug, Default)]
struct Begun {
    /// All below count as begun.
    floor: OpId,
    above: BTreeSet<OpId>,
}

impl Once {
    /// Whether `op` of `node` is to be begun: it was not before.
    pub(super) fn is_first(&mut self, node: NodeId, op: OpId) -> bool {
        let begun = self.begun.entry(node).or_default();
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
        self.begun.retain(|&node, _| keep(node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::fixture::node;

    /// A request that arrived twice was written twice, the second time with a later stamp than what
    /// had overwritten the first. Found by the simulator, seed 2, within a minute.
    #[test]
    fn a_request_is_begun_once_however_late_it_comes_again() {
        let mut once = Once::default();
        let numbers = 2 * REMEMBERED as u64;
        for number in 0..numbers {
            // In another order than they were sent, a little.
            let op = OpId(number ^ 3);
            assert!(once.is_first(node(1), op));
            assert!(once.is_first(node(2), op), "of another node");
        }
        for number in 0..numbers {
            assert!(!once.is_first(node(1), OpId(number)), "{number}");
        }
        once.retain(|it| it == node(2));
        assert!(once.begun.len() == 1 && !once.is_first(node(2), OpId(5)));
    }
}
