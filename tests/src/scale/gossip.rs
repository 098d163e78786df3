//! [`Gossip`]: the liveness machines alone, so that there can be very many.
//!
//! It begins with everybody known to be up by everybody.

use std::net::SocketAddr;
use std::sync::Arc;

use cluster::liveness::{Effect, Event, Health, Liveness, Record, Tunables};
use cluster::time::Instant;
use cluster::topology::Epoch;
use fastrand::Rng;
use schemas::ids::{Actor, ClusterId, NodeId};

use super::network::{Links, Network, Sent};
use crate::sim::{Queue, address, node_id};

#[derive(Debug)]
enum What {
    Datagram(Box<[u8]>),
    Tick(Instant),
}

struct One {
    machine: Option<Liveness>,
    alarm: Option<Instant>,
}

/// That a node found another to be otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// When, in microseconds.
    pub(super) at_us: u64,
    /// Who found it.
    pub(super) by: usize,
    /// Of whom.
    pub(super) of: usize,
    /// How it looks.
    pub(super) health: Health,
}

/// Machines, and what is on its way between them.
pub(super) struct Gossip {
    now_us: u64,
    nodes: Vec<One>,
    network: Network,
    queue: Queue<(usize, What)>,
    /// What was found since it was taken.
    pub(super) found: Vec<Found>,
}

impl Gossip {
    /// So many nodes.
    #[must_use]
    pub(super) fn new(nodes: usize, links: Links, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let members: Arc<[(NodeId, SocketAddr)]> =
            (0..nodes).map(|node| (node_id(node), address(node))).collect();
        let now = Instant(1_000_000);
        let mut machine = |node: usize| {
            let me = Actor { node: node_id(node), boot: 1 };
            let (cluster, tunables, seed) = (ClusterId(1), Tunables::lan(), rng.u64(..));
            let mut machine = Liveness::new(now, cluster, me, address(node), tunables, seed);
            machine.set_members(now, Arc::clone(&members));
            let all = members.iter().map(|&(node, address)| (Actor { node, boot: 1 }, address));
            machine.assume_up(now, all);
            One { machine: Some(machine), alarm: None }
        };
        let all = (0..nodes).map(&mut machine).collect();
        let network = Network::new(links, nodes, rng.fork());
        let (queue, found) = (Queue::default(), Vec::new());
        let mut gossip = Self { now_us: now.0, nodes: all, network, queue, found };
        (0..nodes).for_each(|node| gossip.drain(node));
        gossip
    }

    /// The moment of the run, in microseconds.
    #[must_use]
    pub(super) fn now_us(&self) -> u64 {
        self.now_us
    }

    /// What all nodes sent.
    #[must_use]
    pub(super) fn sent(&self) -> Sent {
        self.network.total()
    }

    /// It is gone without a word.
    pub(super) fn crash(&mut self, node: usize) {
        self.nodes[node].machine = None;
    }

    /// `node` tells that it has a topology of `epoch`.
    pub(super) fn tell(&mut self, node: usize, epoch: Epoch) {
        let now = Instant(self.now_us);
        let record = Record { epoch, ..Record::default() };
        if let Some(machine) = &mut self.nodes[node].machine {
            machine.set_record(now, record);
            self.drain(node);
        }
    }

    /// How many nodes know that `node` has a topology of `epoch`.
    #[must_use]
    pub(super) fn know(&self, node: usize, epoch: Epoch) -> usize {
        let machines = self.nodes.iter().filter_map(|it| it.machine.as_ref());
        let heard = machines.filter_map(|it| it.record(node_id(node)));
        heard.filter(|it| it.record.epoch >= epoch).count()
    }

    /// How many nodes have `node` as down.
    #[must_use]
    pub(super) fn miss(&self, node: usize) -> usize {
        let machines = self.nodes.iter().filter_map(|it| it.machine.as_ref());
        machines.filter(|it| !it.is_up(node_id(node))).count()
    }

    /// Lets things happen until `until_us`.
    pub(super) fn run(&mut self, until_us: u64) {
        while self.queue.next_at().is_some_and(|at_us| at_us <= until_us) {
            let Some((at_us, (node, what))) = self.queue.pop() else { break };
            self.now_us = at_us;
            self.happen(node, what);
        }
        self.now_us = until_us;
    }

    fn happen(&mut self, node: usize, what: What) {
        let it = &mut self.nodes[node];
        let Some(machine) = &mut it.machine else { return };
        let now = Instant(self.now_us);
        match what {
            What::Datagram(bytes) => machine.handle(now, Event::Datagram(&bytes)),
            What::Tick(at) if it.alarm == Some(at) => {
                it.alarm = None;
                machine.handle(now, Event::Tick);
            }
            What::Tick(_) => return,
        }
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node].machine.as_mut().and_then(Liveness::poll) {
            match effect {
                Effect::Send { to, datagram, .. } => {
                    let (to, bytes) = (to.0.get() as usize - 1, datagram.len() as u64);
                    if let Some(at_us) = self.network.datagram(self.now_us, (node, to), bytes) {
                        self.queue.push(at_us, (to, What::Datagram(datagram)));
                    }
                }
                Effect::Changed { actor, health } => {
                    let (at_us, of) = (self.now_us, actor.node.0.get() as usize - 1);
                    self.found.push(Found { at_us, by: node, of, health });
                }
            }
        }
        let it = &mut self.nodes[node];
        let Some(at) = it.machine.as_ref().and_then(Liveness::deadline) else { return };
        if it.alarm.is_none_or(|alarm| at < alarm) {
            it.alarm = Some(at);
            self.queue.push(at.0.max(self.now_us), (node, What::Tick(at)));
        }
    }
}
