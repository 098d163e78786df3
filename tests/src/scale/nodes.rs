//! [`Nodes`]: the machines of whole nodes, without cores: topology, gossip, moves. What cores would
//! have to stream takes a given time.

use std::sync::Arc;
use std::time::Duration;

use cluster::liveness::Load;
use cluster::moves::reporters;
use cluster::node::{Node, NodeEffect, NodeEvent, NodeMessage, NodeTunables, Origin, Scaled};
use cluster::time::{Instant, Now};
use cluster::topology::agreement::{Body, ProposalError, Ticket};
use cluster::topology::{Change, Document, Epoch, Phase};
use fastrand::Rng;
use schemas::ids::{Actor, ClusterId, NodeId, Vnode};

use super::network::{Links, MESSAGE_BYTES, Network, Sent};
use crate::sim::{Queue, address, node_id};

/// The wall clock when a run begins.
const START_MS: u64 = 1_790_000_000_000;

/// How a run's nodes are.
#[derive(Clone, Debug)]
pub struct NodesOptions {
    /// All chance comes from it.
    pub seed: u64,
    /// The most nodes there will be.
    pub most: usize,
    /// How links are.
    pub links: Links,
    /// How long a write of the topology takes.
    pub sync: Duration,
    /// How long a vnode takes to be streamed.
    pub catch_up: Duration,
    /// Of each node.
    pub tunables: NodeTunables,
}

#[derive(Debug)]
enum What {
    Datagram(Box<[u8]>),
    Message(NodeId, NodeMessage),
    Persisted(Ticket),
    CaughtUp(Vnode, Epoch),
    Due(Instant),
}

struct One {
    machine: Option<Node>,
    boot: u32,
    alarm: Option<Instant>,
    on_disk: Option<Vec<u8>>,
}

/// Something that a node told those around it.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// It has a topology on disk.
    Topology(Arc<Document>),
    /// Whether it finds that another answers.
    Liveness(NodeId, bool),
    /// A change has come to this.
    Outcome(Result<Epoch, ProposalError>),
    /// Machines are to be started or stopped.
    Scaled(Scaled),
}

/// Nodes, and what is on its way between them.
pub struct Nodes {
    options: NodesOptions,
    cluster: ClusterId,
    now_us: u64,
    nodes: Vec<One>,
    network: Network,
    queue: Queue<(usize, u32, What)>,
    /// What nodes told, and when, in microseconds.
    pub told: Vec<(u64, usize, Told)>,
    keeps_disks: bool,
}

impl Nodes {
    /// Those of `document`, of which each has it, and knows that all others are up.
    #[must_use]
    pub fn new(options: NodesOptions, document: &Document) -> Self {
        let mut rng = Rng::with_seed(options.seed);
        let one = || One { machine: None, boot: 0, alarm: None, on_disk: None };
        let mut all = Self {
            cluster: document.cluster,
            now_us: 1_000_000,
            nodes: std::iter::repeat_with(one).take(options.most).collect(),
            network: Network::new(options.links.clone(), options.most, rng.fork()),
            queue: Queue::default(),
            told: Vec::new(),
            keeps_disks: options.most <= 64,
            options,
        };
        // All but the voters ask for the document, and then there is one in memory.
        let members = document.members.len();
        let is_voter = |node: &usize| document.voters.contains(&node_id(*node));
        for node in (0..members).filter(is_voter) {
            all.start(node, Origin::Create(document.clone()));
        }
        for node in (0..members).filter(|node| !is_voter(node)) {
            all.start_new(node, document.voters.clone());
        }
        while (0..members).any(|node| all.document(node).is_none()) {
            all.run(all.now_us + 10_000);
        }
        all.greet(members);
        all
    }

    /// The moment of the run, in microseconds.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// The first `members` nodes know each other.
    fn greet(&mut self, members: usize) {
        let now = self.now();
        let actor = |node| (Actor { node: node_id(node), boot: 1 }, address(node));
        for node in 0..members {
            if let Some(machine) = &mut self.nodes[node].machine {
                machine.assume_up(now, (0..members).map(actor));
                self.drain(node);
            }
        }
    }

    /// Starts a node that joins, and is told of `seeds`.
    pub fn start_new(&mut self, node: usize, seeds: Vec<NodeId>) {
        self.start(node, Origin::Join(self.cluster, seeds));
    }

    /// A node that crashed starts with what is on its disk.
    ///
    /// # Panics
    /// If there are so many nodes that disks are not kept.
    pub fn restart(&mut self, node: usize) {
        assert!(self.keeps_disks, "too many nodes to keep what each wrote");
        let on_disk = self.nodes[node].on_disk.clone().expect("it was started before");
        self.start(node, Origin::Restart(on_disk));
    }

    fn start(&mut self, node: usize, origin: Origin) {
        let boot = self.nodes[node].boot + 1;
        let me = Actor { node: node_id(node), boot };
        let seed = self.options.seed ^ (node as u64) << 32 ^ u64::from(boot);
        let tunables = &self.options.tunables;
        let machine = Node::new(self.now(), me, address(node), origin, tunables, seed);
        let machine = Some(machine.expect("its own disk"));
        let on_disk = self.nodes[node].on_disk.take();
        self.nodes[node] = One { machine, boot, alarm: None, on_disk };
        self.drain(node);
    }

    /// Its memory is gone, and nobody answers there.
    pub fn stop(&mut self, node: usize) {
        self.nodes[node].machine = None;
        self.nodes[node].alarm = None;
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_running(&self, node: usize) -> bool {
        self.nodes[node].machine.is_some()
    }

    /// Nodes of different sides do not reach each other.
    pub fn set_side(&mut self, node: usize, side: u8) {
        self.network.set_side(node, side);
    }

    /// The topology that `node` goes by.
    #[must_use]
    pub fn document(&self, node: usize) -> Option<&Arc<Document>> {
        self.nodes[node].machine.as_ref()?.document()
    }

    /// The newest topology of all.
    #[must_use]
    pub fn newest(&self) -> Option<&Arc<Document>> {
        let machines = self.nodes.iter().filter_map(|it| it.machine.as_ref());
        machines.filter_map(Node::document).max_by_key(|it| it.epoch)
    }

    /// The machine of a node that runs.
    #[must_use]
    pub fn machine(&self, node: usize) -> Option<&Node> {
        self.nodes[node].machine.as_ref()
    }

    /// What a node sent.
    #[must_use]
    pub fn sent_by(&self, node: usize) -> Sent {
        self.network.sent(node)
    }

    /// What all nodes sent.
    #[must_use]
    pub fn sent(&self) -> Sent {
        self.network.total()
    }

    /// `node` tells that it is so busy.
    pub fn load(&mut self, node: usize, load: Load) {
        self.drive(node, NodeEvent::Load(load));
    }

    /// `node` is asked for a change.
    pub fn propose(&mut self, node: usize, change: Change, patience: Duration) {
        let deadline = Instant(self.now_us) + patience;
        self.drive(node, NodeEvent::Propose { ticket: Ticket(1), change, deadline });
    }

    /// Lets things happen until `until_us`.
    pub fn run(&mut self, until_us: u64) {
        while self.queue.next_at().is_some_and(|at_us| at_us <= until_us) {
            let Some((at_us, (node, boot, what))) = self.queue.pop() else { break };
            self.now_us = at_us;
            if self.nodes[node].boot == boot {
                self.happen(node, what);
            }
        }
        self.now_us = until_us;
    }

    fn happen(&mut self, node: usize, what: What) {
        match what {
            What::Datagram(bytes) => self.drive(node, NodeEvent::Datagram(&bytes)),
            What::Message(from, message) => self.drive(node, NodeEvent::Received { from, message }),
            What::Persisted(ticket) => self.drive(node, NodeEvent::Persisted(ticket)),
            What::CaughtUp(vnode, epoch) => self.drive(node, NodeEvent::CaughtUp(vnode, epoch)),
            What::Due(at) => {
                if self.nodes[node].alarm == Some(at) {
                    self.nodes[node].alarm = None;
                    self.drive(node, NodeEvent::Due);
                }
            }
        }
    }

    fn drive(&mut self, node: usize, event: NodeEvent<'_>) {
        let now = self.now();
        if let Some(machine) = &mut self.nodes[node].machine {
            machine.handle(now, event);
            self.drain(node);
        }
    }

    fn drain(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node].machine.as_mut().and_then(Node::poll) {
            self.carry_out(node, effect);
        }
        let it = &mut self.nodes[node];
        let Some(at) = it.machine.as_ref().map(Node::deadline) else { return };
        if it.alarm.is_none_or(|alarm| at < alarm) {
            it.alarm = Some(at);
            let (at_us, boot) = (at.0.max(self.now_us), it.boot);
            self.queue.push(at_us, (node, boot, What::Due(at)));
        }
    }

    fn carry_out(&mut self, node: usize, effect: NodeEffect) {
        match effect {
            NodeEffect::Datagram { to, bytes, .. } => {
                let ways = (node, place(to));
                let arrives = self.network.datagram(self.now_us, ways, bytes.len() as u64);
                self.arrive(arrives, ways.1, || What::Datagram(bytes));
            }
            NodeEffect::Send { to, message } => {
                let (ways, bytes) = ((node, place(to)), bytes_of(&message));
                let arrives = self.network.message(self.now_us, ways, bytes);
                self.arrive(arrives, ways.1, || What::Message(node_id(node), message));
            }
            NodeEffect::Persist { ticket, bytes } => {
                if self.keeps_disks {
                    self.nodes[node].on_disk = Some(bytes);
                }
                let at_us = self.now_us + self.options.sync.as_micros() as u64;
                self.arrive(Some(at_us), node, || What::Persisted(ticket));
            }
            NodeEffect::Topology(document) => {
                self.tell(node, Told::Topology(Arc::clone(&document)));
                self.stream(node, &document);
            }
            NodeEffect::Liveness { node: of, is_up } => self.tell(node, Told::Liveness(of, is_up)),
            NodeEffect::Outcome { result, .. } => self.tell(node, Told::Outcome(result)),
            NodeEffect::Scaled(scaled) => self.tell(node, Told::Scaled(scaled)),
            NodeEffect::Life(_) | NodeEffect::Promised(_) => {}
        }
    }

    fn tell(&mut self, node: usize, told: Told) {
        self.told.push((self.now_us, node, told));
    }

    fn arrive(&mut self, at_us: Option<u64>, to: usize, what: impl FnOnce() -> What) {
        let Some(at_us) = at_us.filter(|_| to < self.nodes.len()) else { return };
        self.queue.push(at_us, (to, self.nodes[to].boot, what()));
    }

    /// Its cores catch up with what moves.
    fn stream(&mut self, node: usize, document: &Document) {
        let (ring, me) = (&document.ring, node_id(node));
        let moving = ring.all().filter(|vnode| ring.phase(*vnode) == Phase::Moving);
        let mine: Vec<Vnode> =
            moving.filter(|vnode| reporters(document, *vnode).contains(&me)).collect();
        let at_us = self.now_us + self.options.catch_up.as_micros() as u64;
        for vnode in mine {
            self.arrive(Some(at_us), node, || What::CaughtUp(vnode, ring.epoch(vnode)));
        }
    }

    fn now(&self) -> Now {
        Now { at: Instant(self.now_us), wall_ms: START_MS + self.now_us / 1_000 }
    }
}

/// Nodes are numbered from 0, their ids from 1.
fn place(node: NodeId) -> usize {
    usize::try_from(node.0.get() - 1).unwrap_or(usize::MAX)
}

/// About what a message takes on the wire.
fn bytes_of(message: &NodeMessage) -> u64 {
    let more = match message {
        NodeMessage::CaughtUp(vnodes) => vnodes.len() * 6,
        NodeMessage::Topology(message) => match &message.body {
            Body::Document(document)
            | Body::Accept { value: document, .. }
            | Body::Promise { accepted: Some((_, document)), .. } => document.bytes().len(),
            _ => 0,
        },
    };
    MESSAGE_BYTES + more as u64
}
