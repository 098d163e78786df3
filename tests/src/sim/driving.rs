//! How a node's machines are driven: what happens is told to them, and what they want is done.

use cluster::event::{Effect, Event, Order, StoreError};
use cluster::node::{NodeEffect, NodeEvent};
use cluster::version::next_ceiling;
use schemas::ids::NodeId;

use super::world::{ToNode, World};

/// How often a node looks whether its ceiling is to rise.
const CEILING_EVERY_US: u64 = 500_000;

impl World {
    pub(super) fn drive_all(&mut self, node: usize, event: &Event) {
        for core in 0..self.nodes[node].cores.len() {
            self.drive(node, core, event.clone());
        }
    }

    /// Tells a core of an event and carries out what it wants.
    pub(super) fn drive(&mut self, node: usize, core: usize, event: Event) {
        let now = self.nodes[node].now(self.now_us);
        let Some(shard) = &mut self.nodes[node].cores[core].shard else { return };
        shard.handle(now, event);
        while let Some(effect) =
            self.nodes[node].cores[core].shard.as_mut().and_then(|shard| shard.poll())
        {
            self.carry_out(node, core, effect);
        }
        self.arm(node, core);
    }

    /// Tells a node of an event and carries out what it wants.
    pub(super) fn drive_node(&mut self, node: usize, event: NodeEvent<'_>) {
        let now = self.nodes[node].now(self.now_us);
        let Some(machine) = &mut self.nodes[node].machine else { return };
        machine.handle(now, event);
        self.drain_node(node);
    }

    /// Carries out what a node wants.
    pub(super) fn drain_node(&mut self, node: usize) {
        while let Some(effect) = self.nodes[node].machine.as_mut().and_then(|it| it.poll()) {
            self.carry_out_node(node, effect);
        }
        let it = &mut self.nodes[node];
        let Some(at) = it.machine.as_ref().map(|machine| machine.deadline()) else { return };
        if it.alarm.is_none_or(|alarm| at < alarm) {
            it.alarm = Some(at);
            let at_us = at.0.max(self.now_us);
            self.later_to(at_us, node, ToNode::NodeDue(at));
        }
    }

    fn arm(&mut self, node: usize, core: usize) {
        let it = &mut self.nodes[node].cores[core];
        let Some(at) = it.shard.as_ref().and_then(|shard| shard.deadline()) else { return };
        if it.alarm.is_none_or(|alarm| at < alarm) {
            it.alarm = Some(at);
            let at_us = at.0.max(self.now_us);
            self.later_to(at_us, node, ToNode::Due(core, at));
        }
    }

    fn carry_out(&mut self, node: usize, core: usize, effect: Effect) {
        match effect {
            Effect::Reply(request, reply) => self.reply(request, reply),
            Effect::Send { to, vnode, message } => {
                let from = self.nodes[node].actor();
                self.send(node, to, || ToNode::Message(from, vnode, message.clone()));
            }
            Effect::Store(ticket, order) if is_question(&order) => {
                let is_miss = self.rng.u32(..1000) < self.options.miss_permille;
                let delay_us = if is_miss { self.rng.u64(50..5000) } else { 0 };
                let waits_for_us = match order {
                    Order::Dots { .. } => self.nodes[node].cores[core].store.last_durable_us(),
                    _ => 0,
                };
                let at_us = waits_for_us.max(self.now_us) + delay_us;
                self.later_to(at_us, node, ToNode::Answered(core, ticket, order));
            }
            Effect::Store(ticket, order) => {
                if let Order::Horizon(vnode, horizon) = &order {
                    self.check_horizon(node, *vnode, horizon);
                }
                if let Order::Drop(vnode) = order {
                    self.drops(node, vnode);
                }
                let sync_us = self.sync_us(node);
                let now = self.nodes[node].now(self.now_us);
                let it = &mut self.nodes[node].cores[core];
                let taken = it.store.take(self.now_us, sync_us, ticket, order);
                let result = taken.map(|_| ()).ok_or(StoreError::Full);
                if let Some(shard) = &mut it.shard {
                    shard.handle(now, Event::Taken(ticket, result));
                }
                if let Some(at_us) = taken {
                    self.later_to(at_us, node, ToNode::Durable(core));
                }
            }
            Effect::Newer { node: other, epoch } => {
                self.drive_node(node, NodeEvent::Newer(other, epoch));
            }
            Effect::CaughtUp(vnode, epoch) => {
                self.drive_node(node, NodeEvent::CaughtUp(vnode, epoch));
            }
            Effect::Promise(promise) => {
                let cores = self.nodes[node].cores.len() as u16;
                let event = NodeEvent::Promise { core: core as u16, cores, promise };
                self.drive_node(node, event);
            }
            Effect::Older(_) | Effect::Released(_) => {}
        }
    }

    fn carry_out_node(&mut self, node: usize, effect: NodeEffect) {
        match effect {
            NodeEffect::Datagram { to, bytes, .. } => {
                self.send(node, to, || ToNode::Datagram(bytes.clone()));
            }
            NodeEffect::Send { to, message } => {
                let from = self.nodes[node].actor();
                self.send(node, to, || ToNode::NodeMessage(from, message.clone()));
            }
            NodeEffect::Persist { ticket, bytes } => {
                let at_us = self.now_us + self.sync_us(node);
                self.later_to(at_us, node, ToNode::Persisted(ticket, bytes));
            }
            NodeEffect::Topology(document) => {
                let epoch = u64::from(document.epoch.0);
                self.trace.add(self.now_us, 9, [node as u64, epoch, 0]);
                self.invariants.adopted(self.nodes[node].id, &document);
                self.nodes[node].cores.iter_mut().for_each(|core| core.store.adopt(&document));
                if self.nodes[node].cores[0].shard.is_some() {
                    return self.drive_all(node, &Event::Topology(document));
                }
                self.nodes[node].start_cores(self.now_us, &document, &self.options);
                let ceiling = self.nodes[node].ceiling;
                self.drive_all(node, &Event::Ceiling(ceiling));
            }
            NodeEffect::Liveness { node: of, is_up } => {
                self.trace.add(self.now_us, 10, [node as u64, of.0.get(), u64::from(is_up)]);
                self.drive_all(node, &Event::Liveness { node: of, is_up });
            }
            NodeEffect::Life(life) => self.drive_all(node, &Event::Life(life)),
            NodeEffect::Promised(promised) => self.drive_all(node, &Event::Promised(promised)),
            NodeEffect::Outcome { ticket, result } => self.change_is_over(ticket, &result),
            NodeEffect::Scaled(_) => {}
        }
    }

    pub(super) fn send(&mut self, node: usize, to: NodeId, mut what: impl FnMut() -> ToNode) {
        let Some(to) = self.nodes.iter().position(|it| it.id == to) else { return };
        self.listen(to, &mut what);
        let arrivals = self.network.arrivals(&mut self.rng, self.now_us, node, to);
        for at_us in arrivals.into_iter().flatten() {
            self.later_to(at_us, to, what());
        }
    }

    pub(super) fn durable(&mut self, node: usize, core: usize) {
        while let Some(ticket) = self.nodes[node].cores[core].store.next_durable(self.now_us) {
            self.trace.add(self.now_us, 2, [node as u64, core as u64, u64::from(ticket.0)]);
            self.drive(node, core, Event::Durable(ticket));
        }
    }

    pub(super) fn look_at_ceiling(&mut self, node: usize) {
        let wall_ms = self.nodes[node].now(self.now_us).wall_ms;
        let it = &mut self.nodes[node];
        if !it.is_ceiling_rising
            && let Some(ceiling) = next_ceiling(it.ceiling, it.last_stamp(), wall_ms)
        {
            it.is_ceiling_rising = true;
            let at_us = self.now_us + self.sync_us(node);
            self.later_to(at_us, node, ToNode::CeilingIsDurable(ceiling));
        }
        self.later_to(self.now_us + CEILING_EVERY_US, node, ToNode::LookAtCeiling);
    }

    fn sync_us(&mut self, node: usize) -> u64 {
        self.nodes[node].slow_us + self.rng.u64(20..=self.options.sync_us_max.max(21))
    }
}

fn is_question(order: &Order) -> bool {
    use Order::{Clock, Dots, Get, Hints, Leaves, OldestHint, Page, Since};
    matches!(order, Get(_) | Hints { .. } | Clock(_) | Since { .. } | Leaves { .. } | Page { .. })
        || matches!(order, Dots { .. } | OldestHint)
}
