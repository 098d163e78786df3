//! [`World`]: nodes, network, clients and what goes wrong, one happening after another.
//!
//! All chance comes from the seed, all time from the queue: a run is the same every time.

use std::collections::VecDeque;
use std::sync::Arc;

use cluster::event::{Event, Order, Ticket};
use cluster::message::{HorizonMessage, Message};
use cluster::node::{NodeEvent, NodeMessage, Origin};
use cluster::time::Instant;
use cluster::topology::Document;
use cluster::topology::agreement;
use fastrand::Rng;
use schemas::ids::{Actor, Hlc, Token, Vnode};

use super::clients::Clients;
use super::durability::Durability;
use super::faults::Fault;
use super::forge::Forger;
use super::invariants::Invariants;
use super::network::Network;
use super::node::Node;
use super::operators::Operators;
use super::options::Options;
use super::queue::Queue;
use super::stranger::Stranger;
use super::topology;
use super::trace::Trace;

/// What is to happen at most, and a hundred times what ever is: where there is more, nodes answer
/// each other's answers.
const STORM: usize = 200_000;

/// What happens.
#[derive(Debug)]
pub(super) enum Happening {
    /// To a node in one of its lives; lost with that.
    To(usize, u32, ToNode),
    /// A process asks for something.
    Client(u32),
    /// An operator tries again.
    Operator(usize),
    /// Something is said again.
    Forged,
    /// The deadline of a stranger.
    StrangerDue(usize, Instant),
    FaultBegins(usize),
    FaultEnds(usize),
}

/// What happens to a node.
#[derive(Debug)]
pub(super) enum ToNode {
    /// A message for a core.
    Message(Actor, Vnode, Message),
    /// A message for the node.
    NodeMessage(Actor, NodeMessage),
    Datagram(Box<[u8]>),
    /// Something of a core's log is durable.
    Durable(usize),
    Answered(usize, Ticket, Order),
    /// A core's deadline.
    Due(usize, Instant),
    /// The node's.
    NodeDue(Instant),
    LookAtCeiling,
    CeilingIsDurable(Hlc),
    Persisted(agreement::Ticket, Vec<u8>),
}

/// All there is.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) now_us: u64,
    pub(super) rng: Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Clients,
    pub(super) operators: Operators,
    pub(super) forger: Forger,
    pub(super) strangers: Vec<Stranger>,
    pub(super) invariants: Invariants,
    pub(super) durability: Durability,
    pub(super) trace: Trace,
    pub(super) network: Network,
    queue: Queue<Happening>,
    pub(super) faults: Vec<Fault>,
    /// What waits for a node that is paused.
    pub(super) waiting: Vec<VecDeque<(u32, ToNode)>>,
    /// Whether a node has lost some of what it had.
    pub(super) has_lost: bool,
    /// What a clock told and was not so.
    pub(super) false_claim: Option<String>,
    pub(super) messages: u64,
    pub(super) datagrams: u64,
}

impl World {
    pub(super) fn new(options: Options, faults: Vec<Fault>) -> Self {
        let document = topology::document(&options);
        let most = options.nodes + faults.iter().filter(|fault| fault.what.adds_node()).count();
        let node = |number| {
            let origin = Origin::Create(document.clone());
            let mut node = Node::new(number, origin, &options);
            node.found(&document);
            node
        };
        let mut world = Self {
            now_us: 0,
            rng: Rng::with_seed(options.seed),
            nodes: (0..options.nodes).map(node).collect(),
            clients: Clients::new(&options),
            operators: Operators::default(),
            forger: Forger::default(),
            strangers: Vec::new(),
            invariants: Invariants::default(),
            durability: Durability::default(),
            trace: Trace::default(),
            network: Network::new(options.network, options.places, most),
            queue: Queue::default(),
            waiting: std::iter::repeat_with(VecDeque::new).take(most).collect(),
            faults,
            options,
            has_lost: false,
            false_claim: None,
            messages: 0,
            datagrams: 0,
        };
        (0..world.nodes.len()).for_each(|node| world.start(node));
        for process in 0..world.options.clients.processes {
            let at_us = world.rng.u64(5_000_000..10_000_000);
            world.queue.push(at_us, Happening::Client(process));
        }
        for (number, fault) in world.faults.iter().enumerate() {
            world.queue.push(fault.from_us, Happening::FaultBegins(number));
            world.queue.push(fault.to_us, Happening::FaultEnds(number));
        }
        world
    }

    /// Lets things happen until `until_us`.
    pub(super) fn run(&mut self, until_us: u64) {
        while self.queue.next_at().is_some_and(|at_us| at_us <= until_us) {
            let Some((at_us, happening)) = self.queue.pop() else { break };
            self.now_us = at_us;
            assert!(self.queue.len() < STORM, "a storm at {at_us} us: {happening:?}");
            self.happen(happening);
        }
        self.now_us = until_us;
    }

    pub(super) fn later(&mut self, at_us: u64, happening: Happening) {
        self.queue.push(at_us, happening);
    }

    /// To `node` in the life that it is in.
    pub(super) fn later_to(&mut self, at_us: u64, node: usize, what: ToNode) {
        self.queue.push(at_us, Happening::To(node, self.nodes[node].boot, what));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::To(node, boot, what) => {
                if !self.strangers.is_empty() {
                    self.overhear(node, &what);
                }
                let it = &self.nodes[node];
                if it.is_running && it.boot == boot {
                    if it.is_paused {
                        self.waiting[node].push_back((boot, what));
                    } else {
                        self.happen_to(node, what);
                    }
                }
            }
            Happening::Client(process) => self.client(process),
            Happening::Operator(number) => self.try_change(number),
            Happening::Forged => self.say_again(),
            Happening::StrangerDue(number, at) => self.stranger_due(number, at),
            Happening::FaultBegins(number) => self.fault(number, true),
            Happening::FaultEnds(number) => self.fault(number, false),
        }
    }

    fn happen_to(&mut self, node: usize, what: ToNode) {
        match what {
            ToNode::Message(from, vnode, message) => {
                let who = from.node.0.get() << 32 | node as u64;
                self.trace.add(self.now_us, 1, [who, u64::from(vnode.0), kind_of(&message)]);
                self.messages += 1;
                let core = self.nodes[node].core_of(vnode);
                self.drive(node, core, Event::Received { from, vnode, message });
            }
            ToNode::NodeMessage(from, message) => {
                self.trace.add(self.now_us, 7, [from.node.0.get(), node as u64, 0]);
                self.messages += 1;
                self.drive_node(node, NodeEvent::Received { from: from.node, message });
            }
            ToNode::Datagram(bytes) => {
                self.datagrams += 1;
                self.drive_node(node, NodeEvent::Datagram(&bytes));
            }
            ToNode::Durable(core) => self.durable(node, core),
            ToNode::Answered(core, ticket, order) => {
                let stored = self.nodes[node].cores[core].store.answer(&order);
                self.drive(node, core, Event::Answered(ticket, Ok(stored)));
            }
            ToNode::Due(core, at) => {
                let it = &mut self.nodes[node].cores[core];
                if it.alarm == Some(at) {
                    it.alarm = None;
                    self.drive(node, core, Event::Due);
                }
            }
            ToNode::NodeDue(at) => {
                let it = &mut self.nodes[node];
                if it.alarm == Some(at) {
                    it.alarm = None;
                    self.drive_node(node, NodeEvent::Due);
                }
            }
            ToNode::LookAtCeiling => self.look_at_ceiling(node),
            ToNode::CeilingIsDurable(ceiling) => {
                let it = &mut self.nodes[node];
                (it.ceiling, it.is_ceiling_rising) = (ceiling, false);
                self.drive_all(node, &Event::Ceiling(ceiling));
            }
            ToNode::Persisted(ticket, bytes) => {
                self.nodes[node].origin = Origin::Restart(bytes);
                self.trace.add(self.now_us, 8, [node as u64, ticket.0, 0]);
                self.drive_node(node, NodeEvent::Persisted(ticket));
            }
        }
    }

    /// The newest topology that anybody goes by.
    pub(super) fn document(&self) -> Option<&Arc<Document>> {
        self.nodes.iter().filter_map(Node::document).max_by_key(|document| document.epoch)
    }

    /// The nodes that clients and operators may ask.
    pub(super) fn is_serving(&self, node: usize) -> bool {
        let it = &self.nodes[node];
        let is_member = || it.document().is_some_and(|document| document.index_of(it.id).is_some());
        it.is_running && !it.is_paused && is_member()
    }

    /// Which core of a node a key belongs to.
    pub(super) fn core_of(&self, node: usize, token: Token) -> usize {
        self.nodes[node].core_of(token.vnode(self.nodes[node].bits))
    }
}

fn kind_of(message: &Message) -> u64 {
    match message {
        Message::Write(write) => write.op.map_or(1, |op| op.0 << 3 | 1),
        Message::Wrote { attempt, .. } => attempt.op.0 << 3 | 2,
        Message::Read(read) => read.op.0 << 3 | 3,
        Message::Answer { attempt, .. } => attempt.op.0 << 3 | 4,
        Message::Scan(scan) => scan.op.0 << 3 | 3,
        Message::Scanned { attempt, .. } => attempt.op.0 << 3 | 4,
        Message::Forward { op, .. } => op.0 << 3 | 5,
        Message::Forwarded { op, .. } => op.0 << 3 | 6,
        Message::Hint { op, .. } | Message::HintStored { op, .. } => op.0 << 3 | 7,
        Message::Pull(pull) => pull.session.0 << 3,
        Message::Pulled { session, .. } => session.0 << 3,
        Message::Ended(question) => question.number << 3 | 1,
        Message::EndedReport(report) => report.question.number << 3 | 2,
        Message::Void { ended, .. } => ended.upto() << 3 | 3,
        Message::Horizon(message) => match message {
            HorizonMessage::Ask { round, .. }
            | HorizonMessage::Told { round, .. }
            | HorizonMessage::Confirm { round, .. }
            | HorizonMessage::Confirmed { round } => round.0 << 3 | 6,
            HorizonMessage::Advance { epoch, .. } => u64::from(epoch.0),
        },
        Message::Release { epoch, .. } | Message::Released { epoch, .. } => u64::from(epoch.0),
    }
}
