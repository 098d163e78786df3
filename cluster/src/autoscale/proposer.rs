//! Who evaluates the policy: the first voter that is up, as this node sees it.
//!
//! Two nodes may both think that it is they, for as long as their views differ. That does no harm:
//! a decision is a proposal for the epoch after the one it was made from, so the second is refused
//! as stale. What is ruled out by the rule is that everybody evaluates all the time.

use schemas::ids::NodeId;

/// The node that evaluates the policy: the first of `voters`, in the document's order, for which
/// `is_up` holds. `None` while no voter is up: the topology is frozen then.
#[must_use]
pub fn proposer(voters: &[NodeId], is_up: impl Fn(NodeId) -> bool) -> Option<NodeId> {
    voters.iter().copied().find(|&voter| is_up(voter))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    #[test]
    fn the_first_voter_that_is_up_evaluates() {
        let [a, b, c] = [7, 3, 9].map(|id| NodeId(NonZeroU64::new(id).unwrap()));
        let voters = [a, b, c];
        assert_eq!(proposer(&voters, |_| true), Some(a), "the document's order, not that of ids");
        assert_eq!(proposer(&voters, |node| node != a), Some(b));
        assert_eq!(proposer(&voters, |node| node == c), Some(c));
        assert_eq!(proposer(&voters, |_| false), None);
        assert_eq!(proposer(&[], |_| true), None);
    }
}
