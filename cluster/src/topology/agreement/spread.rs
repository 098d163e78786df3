//! [`Spread`]: how decided documents reach every node.
//!
//! - Who decided one offers it to the first of all members ([`order`]), and each who is given it to
//!   some more ([`heirs`]), so that nobody sends it to all. The heirs of one that keeps silent are
//!   offered it by whoever offered it to that one.
//! - Then who decided it offers it to all others, a few at a time, until each says that it has it
//!   or has kept silent too often. Who keeps silent waits behind all others.
//! - Who hears of a newer epoch, from gossip or in any message, asks for its document, one node at
//!   a time.
//! - Who hears of nothing asks some member now and then.
//!
//! It is bounded by the number of members.

use std::collections::{BTreeMap, VecDeque};

use schemas::ids::NodeId;

use crate::limits::{OFFER_HEIRS, OFFER_TRIES_MAX, OFFERS_MAX, SEEDS_MAX};
use crate::time::Instant;
use crate::topology::Document;

/// All members of `document`, those who decide the next epoch first.
pub(super) fn order(document: &Document) -> impl Iterator<Item = NodeId> {
    let voters = &document.voters;
    let others = document.members.iter().map(|it| it.id);
    let others = others.filter(|it| voters.binary_search(it).is_err());
    voters.iter().copied().chain(others)
}

/// To whom `node` offers `document` when it is given it. Of all but the first, who are offered it
/// by who decided it, each is one node's heir, a few steps from these.
pub(super) fn heirs(document: &Document, node: NodeId) -> impl Iterator<Item = NodeId> {
    let place = order(document).position(|it| it == node);
    let first = place.map_or(document.members.len(), |place| OFFERS_MAX + place * OFFER_HEIRS);
    order(document).skip(first).take(OFFER_HEIRS).filter(move |it| *it != node)
}

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
    /// Who is to be, from a moment on.
    rest: Vec<NodeId>,
    rest_at: Instant,
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
            rest: Vec::new(),
            rest_at: Instant::NEVER,
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
        (self.rest, self.rest_at) = (Vec::new(), Instant::NEVER);
    }

    /// And to these from `at` on.
    pub(super) fn offer_later(&mut self, nodes: Vec<NodeId>, at: Instant) {
        self.rest_at = if nodes.is_empty() { Instant::NEVER } else { at };
        self.rest = nodes;
    }

    /// Nodes that are to be offered it.
    pub(super) fn offers(&self) -> usize {
        self.waiting.len() + self.offered.len()
    }

    /// `node` has the document.
    pub(super) fn has(&mut self, node: NodeId) {
        if self.offered.remove(&node).is_none() {
            self.waiting.retain(|it| it.0 != node);
            self.rest.retain(|it| *it != node);
        }
    }

    /// Somebody to offer it to now, waiting for an answer until then. `heirs` are those of a node:
    /// where it keeps silent they are offered it in its place.
    pub(super) fn next_offer(
        &mut self,
        now: Instant,
        until: Instant,
        heirs: impl Fn(NodeId) -> Vec<NodeId>,
    ) -> Option<NodeId> {
        while let Some((&node, &(tries, _))) = self.offered.iter().find(|it| it.1.1 <= now) {
            self.offered.remove(&node);
            if tries == 1 {
                self.waiting.extend(heirs(node).into_iter().map(|heir| (heir, 0)));
            }
            if tries < OFFER_TRIES_MAX {
                self.waiting.push_back((node, tries));
            }
        }
        if self.offered.len() >= OFFERS_MAX {
            return None;
        }
        if self.rest_at <= now {
            self.waiting.extend(self.rest.drain(..).map(|node| (node, 0)));
            self.rest_at = Instant::NEVER;
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
        self.offered.values().map(|it| it.1).min().unwrap_or(Instant::NEVER).min(self.rest_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::sample::{cluster, node};

    fn nobody(_: NodeId) -> Vec<NodeId> {
        Vec::new()
    }

    /// Everybody is reached from the first, by one way, and nobody gives it to many.
    #[test]
    fn each_member_is_one_of_the_first_or_the_heir_of_one() {
        for nodes in [1, 3, 16, 17, 200] {
            let document = cluster(nodes);
            let all: Vec<NodeId> = order(&document).collect();
            assert_eq!(all.len(), document.members.len());
            assert_eq!(all[..document.voters.len()], document.voters);
            let mut reached: Vec<NodeId> = all.iter().copied().take(OFFERS_MAX).collect();
            let mut at = 0;
            while at < reached.len() {
                let of_it: Vec<NodeId> = heirs(&document, reached[at]).collect();
                assert!(of_it.len() <= OFFER_HEIRS);
                reached.extend(of_it);
                at += 1;
            }
            assert_eq!(reached, all);
        }
        assert_eq!(heirs(&cluster(40), node(99)).count(), 0, "it is no member");
    }

    #[test]
    fn the_rest_waits_for_its_moment() {
        let mut spread = Spread::new(Instant::NEVER);
        spread.offer_to([node(1)].into_iter());
        spread.offer_later(vec![node(2), node(3)], Instant(5));
        let until = Instant(100);
        assert_eq!(spread.next_offer(Instant(0), until, nobody), Some(node(1)));
        assert_eq!(spread.next_offer(Instant(4), until, nobody), None);
        spread.has(node(2));
        assert_eq!(spread.next_offer_at(), Instant(5));
        assert_eq!(spread.next_offer(Instant(5), until, nobody), Some(node(3)));
        assert_eq!(spread.next_offer(Instant(5), until, nobody), None);
        spread.offer_later(vec![node(4)], Instant(7));
        spread.offer_to(std::iter::empty());
        assert_eq!(spread.next_offer_at(), Instant::NEVER, "another document is offered");
    }

    #[test]
    fn the_heirs_of_one_that_keeps_silent_are_offered_it_in_its_place() {
        let mut spread = Spread::new(Instant::NEVER);
        spread.offer_to([node(1), node(2)].into_iter());
        let heirs = |it: NodeId| if it == node(2) { vec![node(7), node(8)] } else { vec![] };
        let mut offered = |now, until| -> Vec<NodeId> {
            std::iter::from_fn(|| spread.next_offer(now, until, heirs)).collect()
        };
        assert_eq!(offered(Instant(0), Instant(5)), [node(1), node(2)]);
        assert_eq!(offered(Instant(5), Instant(9)), [node(1), node(7), node(8), node(2)]);
        assert_eq!(offered(Instant(9), Instant(12)).len(), 4, "once is enough");
    }

    #[test]
    fn a_few_are_offered_it_at_a_time_and_none_for_ever() {
        let mut spread = Spread::new(Instant::NEVER);
        let all = OFFERS_MAX as u64 + 10;
        spread.offer_to((1..=all).map(node));
        let (mut now, mut offers) = (Instant(0), 0);
        spread.has(node(2));
        while spread.next_offer_at() < Instant::NEVER {
            now = now.max(spread.next_offer_at());
            while let Some(to) = spread.next_offer(now, now + Duration::from_secs(1), nobody) {
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
