//! A node of another cluster that has the name and the address of one of this cluster's: it hears
//! what that one is told, and talks to the others as if it were that one. Two clusters never merge.

use cluster::node::{Node, NodeEffect, NodeEvent, Origin};
use cluster::time::{Instant, Now};
use cluster::topology::Epoch;
use schemas::ids::{Actor, ClusterId, NodeId};

use super::topology;
use super::world::{Happening, ToNode, World};

/// A node of another cluster.
pub(super) struct Stranger {
    /// As which it appears.
    number: usize,
    machine: Node,
    alarm: Option<Instant>,
}

impl World {
    /// A stranger appears in place of `number`, or is gone.
    pub(super) fn stranger(&mut self, number: usize, begins: bool) {
        self.strangers.retain(|it| it.number != number);
        if !begins {
            return;
        }
        let mut document = topology::document(&self.options);
        // As far ahead as can be: who takes it for its own, takes it for newer.
        document.cluster = ClusterId(document.cluster.0 ^ 1 << 100);
        document.epoch = Epoch(1_000_000);
        let me = Actor { node: topology::node(number), boot: 1_000_000 };
        let (address, seed) = (topology::address(number), self.rng.u64(..));
        let (now, tunables) = (self.right_time(), &self.options.node);
        let machine = Node::new(now, me, address, Origin::Create(document), tunables, seed);
        let machine = machine.expect("it reads nothing");
        self.strangers.push(Stranger { number, machine, alarm: None });
        self.drain_stranger(number);
    }

    /// What was for `number` comes to the stranger as well.
    pub(super) fn overhear(&mut self, number: usize, what: &ToNode) {
        let now = self.right_time();
        let Some(it) = self.strangers.iter_mut().find(|it| it.number == number) else { return };
        match what {
            ToNode::Datagram(bytes) => it.machine.handle(now, NodeEvent::Datagram(bytes)),
            ToNode::NodeMessage(from, message) => {
                let (from, message) = (from.node, message.clone());
                it.machine.handle(now, NodeEvent::Received { from, message });
            }
            _ => return,
        }
        self.drain_stranger(number);
    }

    /// The deadline of a stranger.
    pub(super) fn stranger_due(&mut self, number: usize, at: Instant) {
        let now = self.right_time();
        let found = self.strangers.iter_mut().find(|it| it.number == number);
        let Some(it) = found.filter(|it| it.alarm == Some(at)) else { return };
        it.alarm = None;
        it.machine.handle(now, NodeEvent::Due);
        self.drain_stranger(number);
    }

    fn drain_stranger(&mut self, number: usize) {
        let now = self.right_time();
        while let Some(it) = self.strangers.iter_mut().find(|it| it.number == number)
            && let Some(effect) = it.machine.poll()
        {
            match effect {
                NodeEffect::Datagram { to, bytes, .. } => {
                    self.send_as(number, to, || ToNode::Datagram(bytes.clone()));
                }
                NodeEffect::Send { to, message } => {
                    let from = Actor { node: topology::node(number), boot: 1_000_000 };
                    self.send_as(number, to, || ToNode::NodeMessage(from, message.clone()));
                }
                NodeEffect::Persist { ticket, .. } => {
                    it.machine.handle(now, NodeEvent::Persisted(ticket));
                }
                NodeEffect::Topology(_)
                | NodeEffect::Liveness { .. }
                | NodeEffect::Outcome { .. }
                | NodeEffect::Promised(_)
                | NodeEffect::Scaled(_) => {}
            }
        }
        let Some(it) = self.strangers.iter_mut().find(|it| it.number == number) else { return };
        let at = it.machine.deadline();
        if it.alarm.is_none_or(|alarm| at < alarm) {
            it.alarm = Some(at);
            self.later(at.0.max(self.now_us), Happening::StrangerDue(number, at));
        }
    }

    fn send_as(&mut self, number: usize, to: NodeId, what: impl FnMut() -> ToNode) {
        if to != topology::node(number) {
            self.send(number, to, what);
        }
    }

    fn right_time(&self) -> Now {
        Now { at: Instant(self.now_us), wall_ms: 0 }
    }
}
