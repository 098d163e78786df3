//! A simulated network of agreements, and what must be true of it at every step:
//! - no two nodes adopt different documents of an epoch;
//! - every document is what some change that was proposed makes of the one before;
//! - a ballot is used by one life of its node, and for one value;
//! - a node's documents go forward, over restarts, too;
//! - every document checks;
//! - a proposal ends once, and its outcome is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use schemas::ids::NodeId;

use super::super::state::State;
use super::super::*;
use crate::time::Instant;
use crate::topology::sample::{self, node};
use crate::topology::{Change, Document, Encoded, Epoch, apply};

/// How bad the network and the disks are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Messages lost, of 100.
    pub(super) lost: u8,
    /// Messages doubled, of 100.
    pub(super) doubled: u8,
    /// The longest a message takes.
    pub(super) delay: Duration,
    /// The longest a write takes.
    pub(super) write: Duration,
}

impl Faults {
    /// None to speak of.
    pub(super) const NONE: Self = Self {
        lost: 0,
        doubled: 0,
        delay: Duration::from_millis(2),
        write: Duration::from_millis(5),
    };
}

/// From this number on each address is proposed once.
pub(super) const UNIQUE: u64 = 100;

/// What became of a proposal.
#[derive(Clone, Debug)]
pub(super) struct Proposed {
    pub(super) by: NodeId,
    pub(super) change: Change,
    pub(super) deadline: Instant,
    /// `None` while it waits, or if its node crashed.
    pub(super) outcome: Option<Result<Epoch, ProposalError>>,
}

#[derive(Debug, Default)]
struct Host {
    agreement: Option<Agreement>,
    /// What is on its disk.
    disk: Option<Vec<u8>>,
    /// A write under way.
    writing: Option<(Ticket, Vec<u8>)>,
    life: u32,
    adopted: Epoch,
    seeds: Vec<NodeId>,
}

#[derive(Debug)]
enum Due {
    Message { from: NodeId, to: NodeId, message: Message },
    Written { at: NodeId, life: u32 },
}

#[derive(Debug)]
pub(super) struct Network {
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) faults: Faults,
    pub(super) timing: Timing,
    hosts: BTreeMap<NodeId, Host>,
    due: BTreeMap<(Instant, u64), Due>,
    sequence: u64,
    /// Links that carry nothing, by sender and receiver.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    /// Some of the messages that were ever sent.
    old: Vec<(NodeId, NodeId, Message)>,
    /// What was decided.
    pub(super) decided: BTreeMap<Epoch, Arc<Document>>,
    pub(super) proposed: Vec<Proposed>,
    /// In which life of its node each ballot was used, and what was to be accepted under it.
    ballots: BTreeMap<(Epoch, Ballot), (u32, Option<Encoded>)>,
    /// Messages with a document that was decided.
    pub(super) documents: u64,
}

impl Network {
    /// The members of `document`, which all have it; and joining nodes, with members for seeds.
    pub(super) fn new(document: Document, joining: impl Iterator<Item = u64>, seed: u64) -> Self {
        let mut network = Self {
            rng: Rng::with_seed(seed),
            now: Instant(1_000_000),
            faults: Faults::NONE,
            timing: Timing::default(),
            hosts: BTreeMap::new(),
            due: BTreeMap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            old: Vec::new(),
            decided: BTreeMap::from([(document.epoch, Arc::new(document.clone()))]),
            proposed: Vec::new(),
            ballots: BTreeMap::new(),
            documents: 0,
        };
        let members: Vec<NodeId> = document.members.iter().map(|it| it.id).collect();
        let state = State::new(Encoded::new(document));
        for &id in &members {
            let host = Host { disk: Some(state.encode(id)), ..Host::default() };
            network.hosts.insert(id, host);
        }
        for id in joining.map(node) {
            let seeds = vec![members[0], members[network.rng.usize(..members.len())]];
            network.hosts.insert(id, Host { seeds, ..Host::default() });
        }
        let all: Vec<NodeId> = network.hosts.keys().copied().collect();
        all.into_iter().for_each(|id| network.start(id));
        network
    }

    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    pub(super) fn agreement(&self, id: NodeId) -> Option<&Agreement> {
        self.hosts[&id].agreement.as_ref()
    }

    /// Attempts that anybody has made.
    pub(super) fn ballots(&self) -> usize {
        self.ballots.len()
    }

    /// The document on a node's disk, if the node runs.
    pub(super) fn document(&self, id: NodeId) -> Option<Arc<Document>> {
        self.agreement(id)?.document().cloned()
    }

    /// Starts a node that does not run.
    pub(super) fn start(&mut self, id: NodeId) {
        let (timing, now, rng) = (self.timing, self.now, self.rng.fork());
        let cluster = self.decided.values().next().expect("the first").cluster;
        let host = self.hosts.get_mut(&id).expect("a host");
        if host.agreement.is_some() {
            return;
        }
        host.life += 1;
        let agreement = match &host.disk {
            Some(bytes) => Agreement::restart(id, bytes, timing, rng, now).expect("its own disk"),
            None => Agreement::join(id, cluster, timing, rng, now),
        };
        host.agreement = Some(agreement);
        let seeds = host.seeds.clone();
        self.handle(id, Event::Wake);
        for seed in seeds {
            self.handle(id, Event::Seed(seed));
        }
    }

    /// Ends a node: what was being written is there afterwards, or is not.
    pub(super) fn crash(&mut self, id: NodeId) {
        let is_there = self.rng.bool();
        let host = self.hosts.get_mut(&id).expect("a host");
        host.agreement = None;
        if let Some((_, bytes)) = host.writing.take()
            && is_there
        {
            host.disk = Some(bytes);
        }
    }

    /// Cuts every link between `apart` and the others, both ways.
    pub(super) fn part(&mut self, apart: &[NodeId]) {
        for a in self.nodes() {
            for b in self.nodes() {
                if apart.contains(&a) != apart.contains(&b) {
                    self.cut.insert((a, b));
                }
            }
        }
    }

    /// Has a node propose a change; gives its number. Nothing happens if the node does not run.
    pub(super) fn propose(&mut self, by: NodeId, change: Change, within: Duration) -> usize {
        let (deadline, ticket) = (self.now + within, Ticket(self.proposed.len() as u64));
        self.proposed.push(Proposed { by, change: change.clone(), deadline, outcome: None });
        self.handle(by, Event::Propose { ticket, change, deadline });
        self.proposed.len() - 1
    }

    pub(super) fn handle(&mut self, id: NodeId, event: Event) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let Some(agreement) = &mut host.agreement else { return };
        agreement.handle(self.now, event);
        assert!(agreement.deadline() > self.now, "all that was due is done: {agreement:?}");
        let effects: Vec<Effect> = std::iter::from_fn(|| agreement.poll()).collect();
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(id, to, message),
            Effect::Persist { ticket, bytes } => {
                let host = self.hosts.get_mut(&id).expect("a host");
                assert!(host.writing.replace((ticket, bytes)).is_none(), "one write at a time");
                let life = host.life;
                let after = self.up_to(self.faults.write);
                self.due_at(after, Due::Written { at: id, life });
            }
            Effect::Adopted(document) => {
                let host = self.hosts.get_mut(&id).expect("a host");
                assert!(document.epoch >= host.adopted, "documents go forward");
                host.adopted = document.epoch;
                self.check_decided(&document);
            }
            Effect::Outcome { ticket, result } => {
                let proposed = &mut self.proposed[ticket.0 as usize];
                assert!(proposed.by == id && proposed.outcome.is_none(), "it ends once");
                assert!(self.now <= proposed.deadline + Duration::from_millis(1), "and in time");
                proposed.outcome = Some(result);
            }
        }
    }

    fn check_decided(&mut self, document: &Arc<Document>) {
        let epoch = document.epoch;
        if let Some(known) = self.decided.get(&epoch) {
            assert_eq!(known, document, "two documents of one epoch");
            return;
        }
        document.check().expect("it is sound");
        let before = &self.decided[&Epoch(epoch.0 - 1)];
        let makes = |it: &Proposed| apply(before, &it.change).is_ok_and(|it| it == **document);
        assert!(self.proposed.iter().rev().any(makes), "nobody proposed {document:?}");
        self.decided.insert(epoch, document.clone());
    }

    fn check_ballot(&mut self, from: NodeId, body: &Body) {
        let (key, value) = match body {
            Body::Prepare { epoch, ballot } => ((*epoch, *ballot), None),
            Body::Accept { ballot, value } => ((value.epoch(), *ballot), Some(value)),
            _ => return,
        };
        let life = self.hosts[&from].life;
        let (used, proposed) = self.ballots.entry(key).or_insert((life, None));
        assert_eq!((*used, key.1.node), (life, from), "a ballot is used once");
        let same = |it: &Encoded| proposed.get_or_insert(it.clone()) == it;
        assert!(value.is_none_or(same), "for one value");
    }

    fn send(&mut self, from: NodeId, to: NodeId, message: Message) {
        self.check_ballot(from, &message.body);
        self.documents += u64::from(matches!(message.body, Body::Document(_)));
        if self.old.len() < 500 {
            self.old.push((from, to, message.clone()));
        } else {
            let at = self.rng.usize(..500);
            self.old[at] = (from, to, message.clone());
        }
        let copies = 1 + u8::from(self.rng.u8(..100) < self.faults.doubled);
        for _ in 0..copies {
            if self.rng.u8(..100) >= self.faults.lost {
                let after = self.up_to(self.faults.delay);
                self.due_at(after, Due::Message { from, to, message: message.clone() });
            }
        }
    }

    /// Sends a message of long ago once more.
    pub(super) fn replay(&mut self) {
        if let Some((from, to, message)) = self.rng.choice(&self.old).cloned() {
            let after = self.up_to(self.faults.delay);
            self.due_at(after, Due::Message { from, to, message });
        }
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.u64(1..=most.as_micros() as u64))
    }

    fn due_at(&mut self, after: Duration, due: Due) {
        self.sequence += 1;
        self.due.insert((self.now + after, self.sequence), due);
    }

    /// Lets that much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let running =
                self.hosts.iter().filter_map(|(id, it)| Some((it.agreement.as_ref()?, id)));
            let wake = running.map(|(it, id)| (it.deadline(), *id)).min();
            let due = self.due.first_key_value().map(|(key, _)| *key);
            let wake = wake.filter(|it| due.is_none_or(|due| it.0 < due.0));
            let at = wake.map(|it| it.0).or(due.map(|it| it.0)).unwrap_or(Instant::NEVER);
            if at > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(at);
            match (wake, due) {
                (Some((_, id)), _) => self.handle(id, Event::Wake),
                (None, Some(key)) => {
                    let due = self.due.remove(&key).expect("it was there");
                    self.happen(due);
                }
                (None, None) => unreachable!("there was a moment"),
            }
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Message { from, to, message } => {
                if !self.cut.contains(&(from, to)) {
                    self.handle(to, Event::Received { from, message });
                }
            }
            Due::Written { at, life } => {
                let host = self.hosts.get_mut(&at).expect("a host");
                if host.life != life {
                    return;
                }
                if let Some((ticket, bytes)) = host.writing.take() {
                    host.disk = Some(bytes);
                    self.handle(at, Event::Persisted(ticket));
                }
            }
        }
    }

    /// Ends all faults, starts every node, and checks that what is due in bounded time is done.
    pub(super) fn heal(&mut self) {
        self.faults = Faults::NONE;
        self.cut.clear();
        self.nodes().into_iter().for_each(|id| self.start(id));
        self.run(self.timing.pull * 12 + Duration::from_secs(20));
        let last = self.decided.values().next_back().expect("the first").clone();
        for id in self.nodes() {
            let document = self.document(id).expect("it has found one");
            assert_eq!(document.epoch, last.epoch, "node {id}: {:?}", self.agreement(id));
        }
        self.check_outcomes();
    }

    /// Whether each proposal's outcome is what the documents say, where that can be told.
    fn check_outcomes(&self) {
        for it in &self.proposed {
            let Change::Address { address, .. } = &it.change else { continue };
            if *address < sample::address(UNIQUE) {
                continue;
            }
            let has =
                |document: &Document| document.members.iter().any(|it| it.address == *address);
            match &it.outcome {
                Some(Ok(epoch)) => assert!(has(&self.decided[epoch]), "it was said to be decided"),
                Some(Err(ProposalError::Unknown { .. })) | None => {}
                Some(Err(why)) => {
                    let was_made = self.decided.values().any(|document| has(document));
                    assert!(!was_made, "it was said not to be: {why}");
                }
            }
        }
    }
}
