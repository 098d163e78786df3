//! [`Node`]: one process's state machine: who is a member, who answers, and how vnodes that move
//! get from one phase to the next.

mod counts;
mod promises;
mod scaler;
mod steward;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use schemas::ids::{Actor, ClusterId, NodeId, Vnode};

pub use self::counts::{Counts, Sizes};
use self::promises::Promises;
pub use self::scaler::Scaled;
use self::scaler::Scaler;
use self::steward::Steward;
use crate::autoscale;
use crate::horizon::{Promise, Promised};
use crate::liveness::{self, Health, Liveness, Load};
use crate::mutation::Mutations;
use crate::time::{Instant, Now};
use crate::topology::agreement::{self, Agreement, ProposalError, StateError, Ticket, Timing};
use crate::topology::{Change, Document, Epoch};

/// What nodes tell each other.
#[derive(Clone, PartialEq, Debug)]
pub enum NodeMessage {
    /// Of the topology.
    Topology(agreement::Message),
    /// The sender has all of these vnodes that its part in moving them needs, in these epochs.
    CaughtUp(Vec<(Vnode, Epoch)>),
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum NodeEvent<'a> {
    /// A datagram of gossip came.
    Datagram(&'a [u8]),
    /// Another node said something.
    Received {
        /// Who.
        from: NodeId,
        /// What.
        message: NodeMessage,
    },
    /// What [`NodeEffect::Persist`] asked for is on disk.
    Persisted(Ticket),
    /// Somebody wants the topology changed.
    Propose {
        /// Names the outcome.
        ticket: Ticket,
        /// How.
        change: Change,
        /// When the outcome is wanted at the latest.
        deadline: Instant,
    },
    /// A core has caught up with a vnode, in an epoch of it.
    CaughtUp(Vnode, Epoch),
    /// A core was told of a newer topology.
    Newer(NodeId, Epoch),
    /// How busy this node is.
    Load(Load),
    /// A core promises something of what is old.
    Promise {
        /// Which, from 0.
        core: u16,
        /// How many there are.
        cores: u16,
        /// What.
        promise: Promise,
    },
    /// The moment of [`Node::deadline`] has come.
    Due,
}

/// What a node wants done.
#[derive(Clone, Debug)]
pub enum NodeEffect {
    /// A datagram, which may be lost.
    Datagram {
        /// To whom.
        to: NodeId,
        /// Where that is.
        address: SocketAddr,
        /// What.
        bytes: Box<[u8]>,
    },
    /// A message, which may be lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: NodeMessage,
    },
    /// This is to be on disk in place of what was there before.
    Persist {
        /// Names the write.
        ticket: Ticket,
        /// What.
        bytes: Vec<u8>,
    },
    /// The topology, decided and on disk: for all cores.
    Topology(Arc<Document>),
    /// Whether a node answers: for all cores.
    Liveness {
        /// Which.
        node: NodeId,
        /// Whether it does.
        is_up: bool,
    },
    /// A life of a node is known: for all cores.
    Life(Actor),
    /// What all members promise of what is old: for all cores.
    Promised(Promised),
    /// What became of a change.
    Outcome {
        /// Which.
        ticket: Ticket,
        /// The epoch that has it, or why none has.
        result: Result<Epoch, ProposalError>,
    },
    /// A data centre follows its load: decided, and for whoever starts and stops machines.
    Scaled(Scaled),
}

/// How a node starts.
#[derive(Clone, Debug)]
pub enum Origin {
    /// It creates a cluster, with this first document.
    Create(Document),
    /// It joins one that these nodes are of.
    Join(ClusterId, Vec<NodeId>),
    /// It finds this on its disk: what [`NodeEffect::Persist`] asked for last.
    Restart(Vec<u8>),
}

/// Settings of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeTunables {
    /// Of gossip.
    pub liveness: liveness::Tunables,
    /// Of agreeing on the topology.
    pub timing: Timing,
    /// How often moves are looked after.
    pub steward_every: Duration,
    /// Mistakes that a simulation has switched on.
    pub mutations: Mutations,
    /// How long a member is down before it is given up for lost: nothing that is dead is purged
    /// while it is neither.
    pub forget_after: Duration,
    /// How often the load of data centres is looked at.
    pub autoscale_every: Duration,
}

impl Default for NodeTunables {
    /// For nodes of one data centre.
    fn default() -> Self {
        Self {
            liveness: liveness::Tunables::lan(),
            timing: Timing::default(),
            steward_every: Duration::from_secs(1),
            autoscale_every: Duration::from_secs(5),
            forget_after: Duration::from_secs(7 * 86_400),
            mutations: Mutations::default(),
        }
    }
}

/// Changes that the steward proposes bear numbers from here on.
const STEWARD_TICKETS: u64 = 1 << 63;

/// And changes that follow the load from here on.
const SCALER_TICKETS: u64 = 3 << 62;

/// How long what a node proposes by itself is tried.
const PROPOSAL_PATIENCE: Duration = Duration::from_secs(30);

/// The distributed logic of one process beside that of its cores.
///
/// It is driven as a [`Shard`](crate::shard::Shard) is.
pub struct Node {
    me: Actor,
    agreement: Agreement,
    liveness: Liveness,
    steward: Steward,
    promises: Promises,
    scaler: Scaler,
    gossip: liveness::Tunables,
    /// The last document that the cores were told.
    document: Option<Arc<Document>>,
    up: BTreeMap<NodeId, bool>,
    /// The lives that the cores were told of.
    lives: BTreeMap<NodeId, u32>,
    load: Load,
    impostors: u64,
    effects: VecDeque<NodeEffect>,
}

impl Node {
    /// A node at the start of a life: `me`, reached at `address`.
    ///
    /// # Errors
    /// What is on its disk is damaged.
    pub fn new(
        now: Now,
        me: Actor,
        address: SocketAddr,
        origin: Origin,
        tunables: &NodeTunables,
        seed: u64,
    ) -> Result<Self, StateError> {
        let mut rng = Rng::with_seed(seed);
        let (of_agreement, of_liveness) = (rng.fork(), rng.u64(..));
        let timing = tunables.timing;
        let mut seeds = Vec::new();
        let mut agreement = match origin {
            Origin::Create(document) => {
                Agreement::create(me.node, document, timing, of_agreement, now.at)
            }
            Origin::Join(cluster, of_cluster) => {
                seeds = of_cluster;
                Agreement::join(me.node, cluster, timing, of_agreement, now.at)
            }
            Origin::Restart(bytes) => {
                Agreement::restart(me.node, &bytes, timing, of_agreement, now.at)?
            }
        };
        agreement.plant(tunables.mutations);
        let liveness =
            Liveness::new(now.at, agreement.cluster(), me, address, tunables.liveness, of_liveness);
        let mut node = Self {
            me,
            agreement,
            liveness,
            steward: Steward::new(now.at, tunables),
            promises: Promises::default(),
            scaler: Scaler::new(now.at, tunables.autoscale_every),
            gossip: tunables.liveness,
            document: None,
            up: BTreeMap::new(),
            lives: BTreeMap::new(),
            load: Load::default(),
            impostors: 0,
            effects: VecDeque::new(),
        };
        for seed in seeds {
            node.agreement.handle(now.at, agreement::Event::Seed(seed));
        }
        node.settle(now);
        Ok(node)
    }

    /// As [`Liveness::assume_up`].
    pub fn assume_up(&mut self, now: Now, nodes: impl Iterator<Item = (Actor, SocketAddr)>) {
        self.liveness.assume_up(now.at, nodes);
        self.settle(now);
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Now, event: NodeEvent<'_>) {
        match event {
            NodeEvent::Datagram(bytes) => {
                self.liveness.handle(now.at, liveness::Event::Datagram(bytes));
            }
            NodeEvent::Received { from, message: NodeMessage::Topology(message) } => {
                self.agreement.handle(now.at, agreement::Event::Received { from, message });
            }
            NodeEvent::Received { from, message: NodeMessage::CaughtUp(vnodes) } => {
                if from == self.me.node {
                    self.impostors += 1;
                } else if let Some(document) = &self.document {
                    self.steward.report(document, from, &vnodes);
                }
            }
            NodeEvent::Persisted(ticket) => {
                self.agreement.handle(now.at, agreement::Event::Persisted(ticket));
            }
            NodeEvent::Propose { ticket, change, deadline } => {
                let propose = agreement::Event::Propose { ticket, change, deadline };
                self.agreement.handle(now.at, propose);
            }
            NodeEvent::CaughtUp(vnode, epoch) => self.steward.caught_up(vnode, epoch),
            NodeEvent::Newer(node, epoch) => {
                self.agreement.handle(now.at, agreement::Event::Heard { node, epoch });
            }
            NodeEvent::Load(load) => {
                self.load = load;
                self.tell_of_itself(now);
            }
            NodeEvent::Promise { core, cores, promise } => {
                if self.promises.of_core(core, cores, promise) {
                    self.tell_of_itself(now);
                }
            }
            NodeEvent::Due => {
                if self.agreement.deadline() <= now.at {
                    self.agreement.handle(now.at, agreement::Event::Wake);
                }
                if self.liveness.deadline().is_some_and(|at| at <= now.at) {
                    self.liveness.handle(now.at, liveness::Event::Tick);
                }
                self.look_after_moves(now);
                self.look_after_load(now);
            }
        }
        self.settle(now);
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<NodeEffect> {
        self.effects.pop_front()
    }

    /// When [`NodeEvent::Due`] is to be handled.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        let liveness = self.liveness.deadline().unwrap_or(Instant::NEVER);
        self.agreement
            .deadline()
            .min(liveness)
            .min(self.steward.deadline())
            .min(self.scaler.deadline())
    }

    /// The topology on disk.
    #[must_use]
    pub fn document(&self) -> Option<&Arc<Document>> {
        self.document.as_ref()
    }

    /// Who answers, as far as this node knows.
    #[must_use]
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// What was heard and had no effect.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            liveness: self.liveness.counters(),
            agreement: self.agreement.counts(),
            reports_ignored: self.steward.ignored,
            impostors: self.impostors,
        }
    }

    /// How much it keeps.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let mut sizes = Sizes {
            known: self.liveness.nodes().count(),
            records: self.liveness.records().count(),
            told: self.up.len(),
            proposals: self.agreement.proposals(),
            held: self.agreement.held(),
            offers: self.agreement.offers(),
            effects: self.effects.len(),
            ..Sizes::default()
        };
        self.steward.measure(&mut sizes);
        sizes
    }

    /// The node that looks after moves and load, as far as this one knows: the first voter that
    /// answers. Two may think so at a time: what they propose is decided once.
    #[must_use]
    pub fn proposer(&self) -> Option<NodeId> {
        let document = self.document.as_ref()?;
        document.voters.iter().copied().find(|&voter| self.liveness.is_up(voter))
    }

    fn look_after_moves(&mut self, now: Now) {
        if self.steward.deadline() > now.at {
            return;
        }
        self.steward.looked(now.at);
        let Some(document) = self.document.clone() else { return };
        self.tell_promises(&document);
        let proposer = self.proposer();
        let own = self.steward.own_report(&document, self.me.node);
        if proposer != Some(self.me.node) {
            if let Some(to) = proposer.filter(|_| !own.is_empty()) {
                let message = NodeMessage::CaughtUp(own);
                self.effects.push_back(NodeEffect::Send { to, message });
            }
            return;
        }
        self.steward.report(&document, self.me.node, &own);
        let liveness = &self.liveness;
        let is_up = |node: NodeId| node == self.me.node || liveness.is_up(node);
        self.steward.look_who_is_down(now.at, &document, is_up);
        let own_epoch = document.epoch;
        let has = |node: NodeId, epoch: Epoch| {
            let heard = liveness.record(node).map(|heard| heard.record.epoch);
            let known = if node == self.me.node { Some(own_epoch) } else { heard };
            known.is_some_and(|known| known >= epoch)
        };
        if let Some(change) = self.steward.next_change(now.at, &document, has) {
            let ticket = Ticket(STEWARD_TICKETS + self.steward.next_ticket());
            let deadline = now.at + PROPOSAL_PATIENCE;
            let propose = agreement::Event::Propose { ticket, change, deadline };
            self.agreement.handle(now.at, propose);
        }
    }

    fn look_after_load(&mut self, now: Now) {
        if self.scaler.deadline() > now.at {
            return;
        }
        self.scaler.looked(now.at);
        let Some(document) = self.document.clone() else { return };
        let scaling = document.scaling.as_ref().filter(|_| !document.is_paused);
        let is_mine = self.proposer() == Some(self.me.node);
        let Some(scaling) = scaling.filter(|_| is_mine) else { return self.scaler.rest() };
        let every = self.gossip.record_period(document.members.len());
        let policy = scaling.policy.with_records_every(every);
        let load = |node: NodeId| match self.liveness.record(node) {
            Some(heard) => Some(autoscale::Load::told(heard.record.load, heard.received_at)),
            None if node == self.me.node => Some(autoscale::Load::told(self.load, now.at)),
            None => None,
        };
        for (ticket, change) in self.scaler.changes(now.at, &document, &policy, load) {
            let ticket = Ticket(SCALER_TICKETS + ticket);
            let deadline = now.at + PROPOSAL_PATIENCE;
            let propose = agreement::Event::Propose { ticket, change, deadline };
            self.agreement.handle(now.at, propose);
        }
    }

    fn tell_promises(&mut self, document: &Document) {
        let heard = |node: NodeId| self.liveness.record(node).map(|heard| heard.record);
        if let Some(promised) = self.promises.of_all(document, self.me.node, heard) {
            self.effects.push_back(NodeEffect::Promised(promised));
        }
    }

    /// Carries on what the parts want.
    fn settle(&mut self, now: Now) {
        while let Some(effect) = self.agreement.poll() {
            match effect {
                agreement::Effect::Send { to, message } => {
                    let message = NodeMessage::Topology(message);
                    self.effects.push_back(NodeEffect::Send { to, message });
                }
                agreement::Effect::Persist { ticket, bytes } => {
                    self.effects.push_back(NodeEffect::Persist { ticket, bytes });
                }
                agreement::Effect::Adopted(document) => self.adopt(now, document),
                agreement::Effect::Outcome { ticket, result } if ticket.0 >= SCALER_TICKETS => {
                    let scaled = self.scaler.outcome(ticket.0 - SCALER_TICKETS, &result);
                    self.effects.extend(scaled.map(NodeEffect::Scaled));
                }
                agreement::Effect::Outcome { ticket, .. } if ticket.0 >= STEWARD_TICKETS => {
                    self.steward.is_proposing = false;
                }
                agreement::Effect::Outcome { ticket, result } => {
                    self.effects.push_back(NodeEffect::Outcome { ticket, result });
                }
            }
        }
        while let Some(effect) = self.liveness.poll() {
            match effect {
                liveness::Effect::Send { to, address, datagram } => {
                    let bytes = datagram;
                    self.effects.push_back(NodeEffect::Datagram { to, address, bytes });
                }
                liveness::Effect::Changed { actor, health } => {
                    self.tell_life(actor.node);
                    self.tell_liveness(actor.node, health != Health::Down);
                }
            }
        }
    }

    /// Tells the cores of the life that a member is in.
    fn tell_life(&mut self, node: NodeId) {
        let is_member = |it: &Arc<Document>| it.index_of(node).is_some();
        let Some(boot) = self.liveness.boot(node) else { return };
        if self.document.as_ref().is_some_and(is_member)
            && self.lives.insert(node, boot) != Some(boot)
        {
            self.effects.push_back(NodeEffect::Life(Actor { node, boot }));
        }
    }

    /// Tells cores of a member; of others nobody asks them anything.
    fn tell_liveness(&mut self, node: NodeId, is_up: bool) {
        let document = self.document.as_ref();
        if document.is_none_or(|document| document.index_of(node).is_none()) {
            return;
        }
        if self.up.insert(node, is_up) != Some(is_up) {
            self.effects.push_back(NodeEffect::Liveness { node, is_up });
        }
    }

    fn adopt(&mut self, now: Now, document: Arc<Document>) {
        let members: Vec<(NodeId, SocketAddr)> =
            document.members.iter().map(|member| (member.id, member.address)).collect();
        self.liveness.set_members(now.at, &members[..]);
        self.up.retain(|&node, _| document.index_of(node).is_some());
        self.lives.retain(|&node, _| document.index_of(node).is_some());
        self.promises.topology(&document, self.me.node);
        self.document = Some(Arc::clone(&document));
        self.tell_of_itself(now);
        self.effects.push_back(NodeEffect::Topology(document));
        // Of members that were heard of before they were any, no change is told.
        let me = self.me.node;
        for (node, _) in members.into_iter().filter(|(node, _)| *node != me) {
            self.tell_life(node);
            let is_up = self.liveness.is_up(node);
            self.tell_liveness(node, is_up);
        }
    }

    fn tell_of_itself(&mut self, now: Now) {
        let Some(epoch) = self.document.as_ref().map(|document| document.epoch) else { return };
        let (load, promise) = (self.load, self.promises.own());
        let record = liveness::Record { epoch, wall_ms: now.wall_ms, load, promise };
        self.liveness.set_record(now.at, record);
    }
}

#[cfg(test)]
mod tests;
