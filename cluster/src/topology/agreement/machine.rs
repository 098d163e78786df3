//! [`Agreement`]: one node's part in agreeing on the topology.
//!
//! - The document here only goes forward, and only to documents that were decided.
//! - What a voter promises or accepts is on disk before anybody hears of it, and so is the ballot
//!   that a proposer uses: restarted, it uses a greater one.
//! - Who decides e + 1 are the voters of e, whatever the document of e + 1 says.
//! - State is bounded by the number of members, two documents, and the proposals let in.
//! - Without a majority of voters nothing is decided, and everything else goes on.

mod proposing;
mod receiving;

use std::collections::VecDeque;
use std::sync::Arc;

use fastrand::Rng;
use schemas::ids::{ClusterId, NodeId};

use super::acceptor::{Acceptor, Ballot};
use super::counts::Counts;
use super::disk::Disk;
use super::driving::{Effect, Event, ProposalError, Ticket};
use super::message::{Body, Message};
use super::proposals::{Outcome, Proposals};
use super::round::Round;
use super::spread::{Spread, heirs};
use super::state::{State, StateError};
use super::timing::{Timing, about};
use crate::mutation::{Mutation, Mutations};
use crate::time::Instant;
use crate::topology::{Change, Document, Encoded, Epoch};

/// One node's part in agreeing on the topology.
///
/// The driver hands in events with [`handle`](Self::handle), carries out what [`poll`](Self::poll)
/// gives until it gives nothing, and sends [`Event::Wake`] once [`deadline`](Self::deadline) has
/// come. Effects are carried out in their order. Messages may be lost, doubled, delayed and
/// reordered; a write is not lost, but what was not [`Event::Persisted`] may be gone after a crash.
#[derive(Debug)]
pub struct Agreement {
    node: NodeId,
    cluster: ClusterId,
    timing: Timing,
    rng: Rng,
    /// `None` until the first document is known.
    state: Option<State>,
    disk: Disk,
    round: Option<Round>,
    retry: Retry,
    /// When what this voter has accepted is decided, if nobody else has.
    finish_at: Instant,
    proposals: Proposals,
    spread: Spread,
    counts: Counts,
    effects: VecDeque<Effect>,
    mutations: Mutations,
}

/// When the next attempt may begin, and above which round.
#[derive(Debug, Default)]
struct Retry {
    at: Instant,
    tries: u32,
    round: u64,
}

impl Agreement {
    /// The node that a new cluster is created with.
    #[must_use]
    pub fn create(
        node: NodeId,
        document: Document,
        timing: Timing,
        rng: Rng,
        now: Instant,
    ) -> Self {
        let mut agreement = Self::join(node, document.cluster, timing, rng, now);
        agreement.state = Some(State::new(Encoded::new(document)));
        agreement.disk.change();
        agreement.drive(now);
        agreement
    }

    /// A node that has no document yet: it asks its seeds.
    #[must_use]
    pub fn join(
        node: NodeId,
        cluster: ClusterId,
        timing: Timing,
        mut rng: Rng,
        now: Instant,
    ) -> Self {
        let pull_at = now + about(timing.pull, &mut rng);
        Self {
            node,
            cluster,
            timing,
            rng,
            state: None,
            disk: Disk::default(),
            round: None,
            retry: Retry::default(),
            finish_at: Instant::NEVER,
            proposals: Proposals::default(),
            spread: Spread::new(pull_at),
            counts: Counts::default(),
            effects: VecDeque::new(),
            mutations: Mutations::default(),
        }
    }

    /// Switches mistakes on, for a simulation that is to find them.
    pub(crate) fn plant(&mut self, mutations: Mutations) {
        self.mutations = mutations;
        if let Some(state) = self.state.as_mut().filter(|_| mutations.has(Mutation::ForgetPromise))
        {
            state.acceptor = Acceptor::default();
        }
    }

    /// A node that finds on its disk what [`Effect::Persist`] wrote last.
    ///
    /// # Errors
    /// It is damaged, or another node's. To go on without it would break promises: the node is
    /// lost, and comes back with a new identity.
    pub fn restart(
        node: NodeId,
        bytes: &[u8],
        timing: Timing,
        rng: Rng,
        now: Instant,
    ) -> Result<Self, StateError> {
        let state = State::decode(node, bytes)?;
        let mut agreement = Self::join(node, state.now().cluster, timing, rng, now);
        agreement.disk = Disk::with(&state);
        agreement.effects.push_back(Effect::Adopted(state.document.document().clone()));
        agreement.state = Some(state);
        agreement.finish_later(now);
        Ok(agreement)
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Received { from, message } => self.receive(now, from, message),
            Event::Persisted(ticket) => {
                if let Some(document) = self.disk.written(ticket) {
                    self.effects.push_back(Effect::Adopted(document.document().clone()));
                }
            }
            Event::Propose { ticket, change, deadline } => self.propose(ticket, change, deadline),
            Event::Heard { node, epoch } => self.hear(now, node, epoch),
            Event::Seed(node) if node != self.node => self.spread.add_seed(node),
            Event::Seed(_) => {}
            Event::Wake => {}
        }
        self.drive(now);
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When [`Event::Wake`] is due, if nothing else happens before.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let next_round = match &self.round {
            Some(round) => round.resend_at,
            None if !self.proposals.is_empty() => self.retry.at,
            None => self.finish_at.max(self.retry.at),
        };
        let next_offer =
            if self.is_settled() { self.spread.next_offer_at() } else { Instant::NEVER };
        let is_lone = self.state.is_none() && !self.spread.seeds.is_empty();
        let next_ask = if is_lone { self.spread.asked_until } else { self.spread.pull_at };
        next_round.min(next_offer).min(next_ask).min(self.proposals.deadline())
    }

    /// Whose topology it is.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The document on disk.
    #[must_use]
    pub fn document(&self) -> Option<&Arc<Document>> {
        self.disk.document().map(Encoded::document)
    }

    /// What was not heeded.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Changes that wait to be decided.
    pub(crate) fn proposals(&self) -> usize {
        self.proposals.len()
    }

    /// Answers that wait for the disk.
    pub(crate) fn held(&self) -> usize {
        self.disk.held()
    }

    /// Nodes that are to be offered a document.
    pub(crate) fn offers(&self) -> usize {
        self.spread.offers()
    }

    /// Does all that is due.
    fn drive(&mut self, now: Instant) {
        self.expire(now);
        loop {
            self.begin_round(now);
            self.write();
            // What need not wait for that write may end the round, and another may begin.
            let Some((to, body)) = self.disk.release() else { break };
            if to == self.node { self.receive_own(now, body) } else { self.send(to, body) }
        }
        self.send_requests(now);
        self.offer(now);
        self.pull(now);
    }

    fn write(&mut self) {
        let Some(state) = &self.state else { return };
        if let Some(ticket) = self.disk.write(state) {
            let bytes = state.encode(self.node);
            self.effects.push_back(Effect::Persist { ticket, bytes });
        }
    }

    fn send(&mut self, to: NodeId, body: Body) {
        let message = Message { cluster: self.cluster, epoch: self.disk.epoch(), body };
        self.effects.push_back(Effect::Send { to, message });
    }

    /// Whether the newest document known is on disk.
    fn is_settled(&self) -> bool {
        self.state.as_ref().is_some_and(|it| it.document.epoch() == self.disk.epoch())
    }

    /// The newest document known.
    fn now(&self) -> Option<&Document> {
        self.state.as_ref().map(State::now)
    }

    fn epoch(&self) -> Epoch {
        self.now().map_or(Epoch(0), |it| it.epoch)
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.now().is_some_and(|it| it.index_of(node).is_some())
    }

    fn is_voter(&self, node: NodeId) -> bool {
        self.now().is_some_and(|it| it.voters.contains(&node))
    }

    /// Makes `document`, which is decided and newer, the one that is known.
    fn adopt(&mut self, now: Instant, document: Encoded) {
        let needed = self.now().map_or(0, Document::majority);
        self.end_round();
        self.state = Some(State::new(document.clone()));
        self.disk.change();
        // What it would have said of the epoch that is decided helps nobody.
        self.disk.forget_held();
        self.retry = Retry::default();
        self.finish_at = Instant::NEVER;
        self.spread.offer_to(std::iter::empty());
        self.spread.asked_until = now;
        if let Some(outcome) = self.proposals.decided(&document, needed) {
            self.tell(outcome);
        }
        if !self.is_member(self.node) {
            while let Some(outcome) = self.proposals.end(Err(ProposalError::NoMember)) {
                self.tell(outcome);
            }
        }
    }

    fn tell(&mut self, (ticket, result): Outcome) {
        self.effects.push_back(Effect::Outcome { ticket, result });
    }

    /// Whether a document is taken from `node`.
    fn is_trusted(&self, node: NodeId) -> bool {
        self.is_member(node) || self.spread.seeds.contains(&node)
    }

    /// `node` has the document of `epoch`.
    fn hear(&mut self, now: Instant, node: NodeId, epoch: Epoch) {
        if epoch <= self.epoch() {
            if epoch == self.epoch() {
                self.spread.has(node);
            }
        } else if !self.is_trusted(node) {
            self.counts.outsiders += 1;
        } else if now >= self.spread.asked_until {
            self.ask(now, node);
        }
    }

    fn ask(&mut self, now: Instant, node: NodeId) {
        self.spread.asked_until = now + about(self.timing.ask, &mut self.rng);
        self.send(node, Body::Ask);
    }

    /// Asks somebody, whoever it is.
    fn pull(&mut self, now: Instant) {
        let is_lone = self.state.is_none() && now >= self.spread.asked_until;
        if !is_lone && now < self.spread.pull_at {
            return;
        }
        self.spread.pull_at = now + about(self.timing.pull, &mut self.rng);
        let members = self.now().map_or(&[][..], |it| &it.members).iter().map(|it| it.id);
        let nodes: Vec<NodeId> = members.chain(self.spread.seeds.iter().copied()).collect();
        let Some(&node) = self.rng.choice(&nodes) else { return };
        if node != self.node {
            self.ask(now, node);
        }
    }

    /// Offers what was decided here to those that may not have it.
    fn offer(&mut self, now: Instant) {
        if !self.is_settled() {
            return;
        }
        let until = now + about(self.timing.offer, &mut self.rng);
        let Some(document) = self.state.as_ref().map(|it| Arc::clone(it.document.document()))
        else {
            return;
        };
        let me = self.node;
        let of = |node| heirs(&document, node).filter(|it| *it != me).collect();
        while let Some(node) = self.spread.next_offer(now, until, of) {
            self.send(node, Body::Offer);
        }
    }
}
