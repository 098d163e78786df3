//! [`Round`]: a proposer's attempt to have one epoch decided.
//!
//! - Only voters count, once each and phase.
//! - What any of the majority that promised has accepted is proposed, of several the one with the
//!   greatest ballot; its own only where none has.

use std::collections::BTreeSet;
use std::time::Duration;

use schemas::ids::NodeId;

use super::acceptor::Ballot;
use super::message::Body;
use crate::time::Instant;
use crate::topology::{Document, Encoded, Epoch};

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) epoch: Epoch,
    pub(super) ballot: Ballot,
    voters: Vec<NodeId>,
    majority: usize,
    /// Voters that have answered in this phase.
    answered: BTreeSet<NodeId>,
    best: Option<(Ballot, Encoded)>,
    /// What its proposer would like; `None` to have decided what others have accepted.
    own: Option<Encoded>,
    /// What voters are asked to accept, in the second phase.
    value: Option<Encoded>,
    /// When those that have not answered are asked again.
    pub(super) resend_at: Instant,
    pub(super) resend_after: Duration,
}

impl Round {
    /// An attempt to have `own` decided by the voters of `document`.
    pub(super) fn new(document: &Document, ballot: Ballot, own: Option<Encoded>) -> Self {
        Self {
            epoch: Epoch(document.epoch.0 + 1),
            ballot,
            voters: document.voters.clone(),
            majority: document.majority(),
            answered: BTreeSet::new(),
            best: None,
            own,
            value: None,
            resend_at: Instant::NEVER,
            resend_after: Duration::ZERO,
        }
    }

    /// Takes half of the voters for a majority, or less: a mistake.
    pub(super) fn be_hasty(&mut self) {
        self.majority = (self.voters.len() / 2).max(1);
    }

    /// Whether voters have been asked anything: not before the own promise is on disk.
    pub(super) fn is_open(&self) -> bool {
        self.resend_at < Instant::NEVER
    }

    /// Counts a promise; gives the value to propose once there are enough.
    pub(super) fn promise(
        &mut self,
        from: NodeId,
        accepted: Option<(Ballot, Encoded)>,
    ) -> Option<Encoded> {
        if self.value.is_some() || !self.count(from) {
            return None;
        }
        let ballot = |it: &Option<(Ballot, Encoded)>| it.as_ref().map(|it| it.0);
        if ballot(&accepted) > ballot(&self.best) {
            self.best = accepted;
        }
        if self.answered.len() < self.majority {
            return None;
        }
        self.answered.clear();
        self.value = self.best.take().map(|it| it.1).or(self.own.clone());
        self.value.clone()
    }

    /// Counts an acceptance; gives what is decided once there are enough.
    pub(super) fn accepted(&mut self, from: NodeId) -> Option<Encoded> {
        let value = self.value.clone()?;
        (self.count(from) && self.answered.len() >= self.majority).then_some(value)
    }

    fn count(&mut self, from: NodeId) -> bool {
        self.voters.contains(&from) && self.answered.insert(from)
    }

    /// Whether what voters are asked to accept is what its proposer would like.
    pub(super) fn proposes_own(&self) -> bool {
        self.own.is_some() && self.value == self.own
    }

    /// Voters that have answered in this phase.
    pub(super) fn got(&self) -> usize {
        self.answered.len()
    }

    /// What to ask whom.
    pub(super) fn requests(&self, node: NodeId) -> impl Iterator<Item = (NodeId, Body)> {
        let body = match &self.value {
            None => Body::Prepare { epoch: self.epoch, ballot: self.ballot },
            Some(value) => Body::Accept { ballot: self.ballot, value: value.clone() },
        };
        let silent = move |it: &&NodeId| **it != node && !self.answered.contains(it);
        self.voters.iter().filter(silent).map(move |it| (*it, body.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::sample::{cluster, done, node};
    use crate::topology::{Change, Encoded};

    fn ballot(round: u64) -> Ballot {
        Ballot { round, node: node(1) }
    }

    fn round(own: Option<&Encoded>) -> Round {
        Round::new(&cluster(6), ballot(9), own.cloned())
    }

    fn values() -> [Encoded; 2] {
        let next = |change| Encoded::new(done(&cluster(6), &change));
        [next(Change::Pause), next(Change::Leave(node(1)))]
    }

    #[test]
    fn a_majority_of_the_voters_decides_each_counted_once() {
        let [own, _] = values();
        let mut round = round(Some(&own));
        assert_eq!(round.voters.len(), 5);
        let outside = (1..=6).map(node).find(|it| !round.voters.contains(it)).expect("a sixth");
        let voters = round.voters.clone();
        assert_eq!(round.accepted(voters[0]), None, "nobody was asked to accept");
        for from in [voters[0], voters[1], voters[1], outside, node(77)] {
            assert_eq!(round.promise(from, None), None);
        }
        assert_eq!(round.promise(voters[2], None), Some(own.clone()));
        assert!(round.proposes_own());
        assert_eq!(round.promise(voters[3], None), None, "late");
        assert_eq!(round.requests(voters[0]).count(), 4);
        for from in [voters[4], voters[3], voters[4], outside] {
            assert_eq!(round.accepted(from), None);
        }
        assert_eq!((round.got(), round.requests(voters[0]).count()), (2, 2));
        assert_eq!(round.accepted(voters[0]), Some(own));
    }

    #[test]
    fn what_was_accepted_comes_before_what_is_wanted() {
        let [own, other] = values();
        for (accepted, proposed) in [
            ([None, None, None], Some(&own)),
            ([Some((ballot(1), other.clone())), None, None], Some(&other)),
            ([None, None, Some((ballot(1), other.clone()))], Some(&other)),
            (
                [Some((ballot(1), own.clone())), Some((ballot(2), other.clone())), None],
                Some(&other),
            ),
            ([Some((ballot(2), own.clone())), Some((ballot(1), other.clone())), None], Some(&own)),
        ] {
            let mut round = round(Some(&own));
            let voters = round.voters.clone();
            let values: Vec<_> = voters.iter().zip(accepted).collect();
            let last = values.into_iter().map(|(from, it)| round.promise(*from, it)).last();
            assert_eq!(last.flatten().as_ref(), proposed);
        }
        let mut none = round(None);
        let voters = none.voters.clone();
        assert!(voters.iter().all(|it| none.promise(*it, None).is_none()), "nothing to propose");
        assert!(!none.proposes_own());
    }
}
