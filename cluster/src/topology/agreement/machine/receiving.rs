//! What other nodes say, each checked against who says it.

use super::*;
use crate::limits::ROUND_MAX;

impl Agreement {
    pub(super) fn receive(&mut self, now: Instant, from: NodeId, message: Message) {
        if message.cluster != self.cluster {
            self.counts.foreign += 1;
            return;
        }
        if from == self.node {
            self.counts.absurd += 1;
            return;
        }
        self.hear(now, from, message.epoch);
        match message.body {
            // Whoever was asked has nothing newer, so the next who has is asked at once.
            Body::Notice if message.epoch <= self.epoch() => self.spread.asked_until = now,
            Body::Notice => {}
            Body::Offer => self.receive_offer(from, message.epoch),
            Body::Ask => self.receive_ask(from, message.epoch),
            Body::Document(document) => self.receive_document(now, from, document),
            Body::Prepare { epoch, ballot } => {
                if self.is_asked(from, epoch, ballot) {
                    self.receive_prepare(from, ballot);
                }
            }
            Body::Accept { ballot, value } => {
                if self.is_asked(from, value.epoch(), ballot) {
                    self.receive_accept(now, from, ballot, value);
                }
            }
            Body::Promise { epoch, ballot, accepted } => {
                if self.is_answered(from, epoch) {
                    self.receive_promise(now, from, ballot, accepted);
                }
            }
            Body::Accepted { epoch, ballot } => {
                if self.is_answered(from, epoch) {
                    self.receive_accepted(now, from, ballot);
                }
            }
            Body::Refuse { epoch, ballot, promised } => {
                if self.is_answered(from, epoch) {
                    self.receive_refusal(now, ballot, promised);
                }
            }
        }
    }

    fn receive_offer(&mut self, from: NodeId, epoch: Epoch) {
        if epoch <= self.disk.epoch() {
            self.send(from, Body::Notice);
        } else if epoch <= self.epoch() && self.is_trusted(from) {
            self.disk.hold(from, Body::Notice);
        }
    }

    /// Anybody of the cluster may ask: a node that joins is no member yet.
    fn receive_ask(&mut self, from: NodeId, epoch: Epoch) {
        match &self.state {
            Some(state) if state.now().epoch > epoch => {
                let document = state.document.clone();
                self.send(from, Body::Document(document));
            }
            _ => self.send(from, Body::Notice),
        }
    }

    fn receive_document(&mut self, now: Instant, from: NodeId, document: Encoded) {
        if !self.is_trusted(from) {
            self.counts.outsiders += 1;
            return;
        }
        let goes_back = self.mutations.has(Mutation::DocumentGoesBack);
        if document.epoch() <= self.epoch() && !goes_back {
            self.counts.stale += 1;
            return;
        }
        let is_ours = document.document().cluster == self.cluster;
        let follows = |it: &Document| document.document().check_after(it).is_ok() || goes_back;
        if !is_ours || !self.now().is_none_or(follows) {
            self.counts.absurd += 1;
            return;
        }
        self.adopt(now, document.clone());
        self.spread.offer_to(heirs(document.document(), self.node));
        self.disk.hold(from, Body::Notice);
    }

    /// Whether this voter is to answer a proposer. One that is behind is given the newer document;
    /// a voter that is behind has asked for it already, as the proposer's epoch is in its message.
    fn is_asked(&mut self, from: NodeId, epoch: Epoch, ballot: Ballot) -> bool {
        let Some(state) = &self.state else {
            self.counts.outsiders += 1;
            return false;
        };
        let (next, document) = (state.next(), state.document.clone());
        if epoch != next {
            self.counts.stale += 1;
            if epoch < next {
                self.send(from, Body::Document(document));
            }
            return false;
        }
        if ballot.node != from || ballot.round == 0 || ballot.round > ROUND_MAX {
            self.counts.absurd += 1;
            return false;
        }
        if !self.is_member(from) || !self.is_voter(self.node) {
            self.counts.outsiders += 1;
            return false;
        }
        true
    }

    fn receive_prepare(&mut self, from: NodeId, ballot: Ballot) {
        let Some(state) = &mut self.state else { return };
        let (epoch, before) = (state.next(), state.acceptor.promised);
        match state.acceptor.prepare(ballot) {
            Ok(accepted) => {
                if before != Some(ballot) {
                    self.disk.change();
                }
                self.disk.hold(from, Body::Promise { epoch, ballot, accepted });
            }
            Err(promised) => self.send(from, Body::Refuse { epoch, ballot, promised }),
        }
    }

    fn receive_accept(&mut self, now: Instant, from: NodeId, ballot: Ballot, value: Encoded) {
        let Some(state) = &mut self.state else { return };
        if !state.allows(&value) {
            self.counts.absurd += 1;
            return;
        }
        let epoch = value.epoch();
        let is_known = state.acceptor.accepted.as_ref().is_some_and(|it| it.0 == ballot);
        match state.acceptor.accept(ballot, value) {
            Ok(()) => {
                if !is_known {
                    self.disk.change();
                }
                self.disk.hold(from, Body::Accepted { epoch, ballot });
                self.finish_later(now);
            }
            Err(promised) => self.send(from, Body::Refuse { epoch, ballot, promised }),
        }
    }

    /// Whether an answer is a voter's, for the epoch to be decided.
    fn is_answered(&mut self, from: NodeId, epoch: Epoch) -> bool {
        if self.state.as_ref().is_none_or(|it| it.next() != epoch) {
            self.counts.stale += 1;
            return false;
        }
        if !self.is_voter(from) {
            self.counts.outsiders += 1;
            return false;
        }
        true
    }

    fn receive_refusal(&mut self, now: Instant, ballot: Ballot, promised: Ballot) {
        if promised <= ballot || promised.round > ROUND_MAX {
            self.counts.absurd += 1;
        } else if self.round_of(ballot).is_some() {
            self.give_way(now, promised);
        }
    }
}
