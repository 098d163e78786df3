//! [`Spread`]: how decided documents reach every node.
//!
//! - Who decided one offers it to all members, a few at a time, until each says that it has it or
//!   has kept silent too often. Who keeps silent waits behind all others.
//! - Who hears of a newer epoch, from gossip or in any message, asks for its document, one node at
//!   a time.
//! - Who hears of nothing asks some member now and then.
//!
//! It is bounded by the number of members.

use std::collections::{BTreeMap, VecDeque};

use schemas::ids::NodeId;

use crate::limits::{OFFER_TRIES_MAX, OFFERS_MAX, SEEDS_MAX};
use crate::time::Instant;

/// What a node knows of others' documents, and what it has to find out.
#[derive(Debug)]
pub(super) struct Spread {
    /// Nodes that may be asked though no document names them.
    pub(super) seeds: Vec<NodeId>,
    /// Until then an answer is waited for.
    pub(super) asked_until: Instant,
    /// When somebody is asked next, whatever is heard.
    pub(super) pull_at: Instant,
    /// Who is to be offered the document, and how often it was.
    waiting: VecDeque<(NodeId, u8)>,
    /// Who has been, how often, and until when an answer is waited for.
    offered: BTreeMap<NodeId, (u8, Instant)>,
}

impl Spread {
    pub(super) fn new(pull_at: Instant) -> Self {
        Self {
            seeds: Vec::new(),
            asked_until: Instant(0),
            pull_at,
            waiting: VecDeque::new(),
            offered: BTreeMap::new(),
        }
    }

    /// Takes a seed in; of too many the first ones stay.
    pub(super) fn add_seed(&mut self, node: NodeId) {
        if self.seeds.len() < SEEDS_MAX && !self.seeds.contains(&node) {
            self.seeds.push(node);
        }
    }

    /// Offers a new document to these, in this order, and the one before to nobody any more.
    pub(super) fn offer_to(&mut self, nodes: impl Iterator<Item = NodeId>) {
        self.offered.clear();
        self.waiting = nodes.map(|node| (node, 0)).collect();
    }

    /// Nodes that are to be offered it.
    pub(super) fn offers(&self) -> usize {
        self.waiting.len() + self.offered.len()
    }

    /// `node` has the document.
    pub(super) fn has(&mut self, node: NodeId) {
        if self.offered.remove(&node).is_none() && !self.waiting.is_empty() {
            self.waiting.retain(|it| it.0 != node);
        }
    }

    /// Somebody to offer it to now, waiting for an answer until then.
    pub(super) fn next_offer(&mut self, now: Instant, until: Instant) -> Option<NodeId> {
        while let Some((&node, &(tries, _))) = self.offered.iter().find(|it| it.1.1 <= now) {
            self.offered.remove(&node);
            if tries < OFFER_TRIES_MAX {
                self.waiting.push_back((node, tries));
            }
        }
        if self.offered.len() >= OFFERS_MAX {
            return None;
        }
        let (node, tries) = self.waiting.pop_front()?;
        self.offered.insert(node, (tries + 1, until));
        Some(node)
    }

    /// When there is something to offer.
    pub(super) fn next_offer_at(&self) -> Instant {
        if !self.waiting.is_empty() && self.offered.len() < OFFERS_MAX {
            return Instant(0);
        }
        self.offered.values().map(|it| it.1).min().unwrap_or(Instant::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::sample::node;

    #[test]
    fn a_few_are_offered_it_at_a_time_and_none_for_ever() {
        let mut spread = Spread::new(Instant::NEVER);
        let all = OFFERS_MAX as u64 + 10;
        spread.offer_to((1..=all).map(node));
        let (mut now, mut offers) = (Instant(0), 0);
        spread.has(node(2));
        while spread.next_offer_at() < Instant::NEVER {
            now = now.max(spread.next_offer_at());
            while let Some(to) = spread.next_offer(now, now + Duration::from_secs(1)) {
                assert_ne!(to, node(2));
                offers += 1;
                assert!(spread.offered.len() <= OFFERS_MAX);
                if to == node(3) {
                    spread.has(to);
                }
            }
        }
        assert_eq!(offers, (all - 2) * u64::from(OFFER_TRIES_MAX) + 1);
    }
}
