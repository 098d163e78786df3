//! [`World`]: nodes, network, clients and what goes wrong, one happening after another.
//!
//! All chance comes from the seed, all time from the queue: a run is the same every time.

use std::collections::VecDeque;
use std::sync::Arc;

use cluster::event::{Effect, Event, Order, RequestId, StoreError, Ticket};
use cluster::message::Message;
use cluster::time::Instant;
use cluster::topology::Document;
use cluster::version::next_ceiling;
use fastrand::Rng;
use schemas::ids::{Actor, Hlc, NodeId, Vnode};

use super::clients::Clients;
use super::faults::{Fault, What};
use super::network::Network;
use super::node::Node;
use super::options::Options;
use super::queue::Queue;
use super::topology;
use super::trace::Trace;

/// How often a node looks whether its ceiling is to rise.
const CEILING_EVERY_US: u64 = 500_000;

/// What happens.
#[derive(Debug)]
pub(super) enum Happening {
    Arrives {
        from: Actor,
        to: usize,
        boot: u32,
        vnode: Vnode,
        message: Message,
    },
    /// Something of a core's log is durable.
    Durable {
        node: usize,
        boot: u32,
        core: usize,
    },
    Got {
        node: usize,
        boot: u32,
        core: usize,
        ticket: Ticket,
        order: Order,
    },
    Due {
        node: usize,
        boot: u32,
        core: usize,
        at: Instant,
    },
    LookAtCeiling {
        node: usize,
        boot: u32,
    },
    CeilingIsDurable {
        node: usize,
        boot: u32,
        ceiling: Hlc,
    },
    Liveness {
        node: usize,
        boot: u32,
        of: usize,
        is_up: bool,
    },
    Client(u32),
    FaultBegins(usize),
    FaultEnds(usize),
}

/// All there is.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) now_us: u64,
    pub(super) rng: Rng,
    pub(super) nodes: Vec<Node>,
    pub(super) clients: Clients,
    pub(super) trace: Trace,
    network: Network,
    queue: Queue<Happening>,
    faults: Vec<Fault>,
    /// What waits for a node that is paused.
    waiting: Vec<VecDeque<Happening>>,
    pub(super) messages: u64,
}

impl World {
    pub(super) fn new(options: Options, faults: Vec<Fault>) -> Self {
        let document = Arc::new(topology::document(&options));
        let mut nodes: Vec<Node> = document
            .members
            .iter()
            .map(|member| Node::new(member.id, Arc::clone(&document), &options))
            .collect();
        nodes.iter_mut().for_each(Node::found);
        let count = nodes.len();
        let mut world = Self {
            now_us: 0,
            rng: Rng::with_seed(options.seed),
            clients: Clients::new(&options),
            trace: Trace::default(),
            network: Network::new(options.network, count),
            queue: Queue::default(),
            waiting: vec_of(count, VecDeque::new),
            nodes,
            faults,
            options,
            messages: 0,
        };
        (0..count).for_each(|node| world.start(node));
        for process in 0..world.options.clients.processes {
            let at_us = world.rng.u64(..1_000_000);
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
            self.happen(happening);
        }
        self.now_us = until_us;
    }

    pub(super) fn later(&mut self, at_us: u64, happening: Happening) {
        self.queue.push(at_us, happening);
    }

    fn happen(&mut self, happening: Happening) {
        use Happening::{
            Arrives, CeilingIsDurable, Client, Due, Durable, FaultBegins, FaultEnds, Got, Liveness,
            LookAtCeiling,
        };
        let place = match &happening {
            Arrives { to, boot, .. } => Some((*to, *boot)),
            Durable { node, boot, .. }
            | Got { node, boot, .. }
            | Due { node, boot, .. }
            | LookAtCeiling { node, boot }
            | CeilingIsDurable { node, boot, .. }
            | Liveness { node, boot, .. } => Some((*node, *boot)),
            Client(_) | FaultBegins(_) | FaultEnds(_) => None,
        };
        if let Some((node, boot)) = place {
            let it = &self.nodes[node];
            if !it.is_running || boot != it.boot {
                return;
            }
            if it.is_paused {
                return self.waiting[node].push_back(happening);
            }
        }
        match happening {
            Arrives { from, to, vnode, message, .. } => self.arrive(from, to, vnode, message),
            Durable { node, core, .. } => self.durable(node, core),
            Got { node, core, ticket, order, .. } => {
                let stored = self.nodes[node].cores[core].store.answer(&order);
                self.drive(node, core, Event::Answered(ticket, Ok(stored)));
            }
            Due { node, core, at, .. } => {
                let it = &mut self.nodes[node].cores[core];
                if it.alarm == Some(at) {
                    it.alarm = None;
                    self.drive(node, core, Event::Due);
                }
            }
            LookAtCeiling { node, .. } => self.look_at_ceiling(node),
            CeilingIsDurable { node, ceiling, .. } => {
                let it = &mut self.nodes[node];
                (it.ceiling, it.is_ceiling_rising) = (ceiling, false);
                self.drive_all(node, &Event::Ceiling(ceiling));
            }
            Liveness { node, of, is_up, .. } => {
                let of = self.nodes[of].id;
                self.drive_all(node, &Event::Liveness { node: of, is_up });
            }
            Client(process) => self.client(process),
            FaultBegins(number) => {
                let what = self.faults[number].what.clone();
                self.fault(number, &what, true);
            }
            FaultEnds(number) => {
                let what = self.faults[number].what.clone();
                self.fault(number, &what, false);
            }
        }
    }

    fn arrive(&mut self, from: Actor, to: usize, vnode: Vnode, message: Message) {
        let core = self.nodes[to].core_of(vnode);
        let who = from.node.0.get() << 32 | to as u64;
        self.trace.add(self.now_us, 1, [who, u64::from(vnode.0), kind_of(&message)]);
        self.messages += 1;
        self.drive(to, core, Event::Received { from, vnode, message });
    }

    fn durable(&mut self, node: usize, core: usize) {
        while let Some(ticket) = self.nodes[node].cores[core].store.next_durable(self.now_us) {
            self.trace.add(self.now_us, 2, [node as u64, core as u64, u64::from(ticket.0)]);
            self.drive(node, core, Event::Durable(ticket));
        }
    }

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
        loop {
            let Some(shard) = &mut self.nodes[node].cores[core].shard else { return };
            let Some(effect) = shard.poll() else { break };
            self.carry_out(node, core, effect);
        }
        self.arm(node, core);
    }

    fn arm(&mut self, node: usize, core: usize) {
        let boot = self.nodes[node].boot;
        let it = &mut self.nodes[node].cores[core];
        let Some(at) = it.shard.as_ref().and_then(|shard| shard.deadline()) else { return };
        if it.alarm.is_none_or(|alarm| at < alarm) {
            it.alarm = Some(at);
            let at_us = at.0.max(self.now_us);
            self.queue.push(at_us, Happening::Due { node, boot, core, at });
        }
    }

    fn carry_out(&mut self, node: usize, core: usize, effect: Effect) {
        match effect {
            Effect::Reply(request, reply) => self.reply(request, reply),
            Effect::Send { to, vnode, message } => self.send(node, to, vnode, message),
            Effect::Store(ticket, order) if is_question(&order) => {
                let boot = self.nodes[node].boot;
                let is_miss = self.rng.u32(..1000) < self.options.miss_permille;
                let delay_us = if is_miss { self.rng.u64(50..5000) } else { 0 };
                let got = Happening::Got { node, boot, core, ticket, order };
                self.queue.push(self.now_us + delay_us, got);
            }
            Effect::Store(ticket, order) => {
                let sync_us = self.rng.u64(20..=self.options.sync_us_max.max(21));
                let (now, boot) = (self.nodes[node].now(self.now_us), self.nodes[node].boot);
                let it = &mut self.nodes[node].cores[core];
                let taken = it.store.take(self.now_us, sync_us, ticket, order);
                if let Some(at_us) = taken {
                    self.queue.push(at_us, Happening::Durable { node, boot, core });
                }
                let result = taken.map(|_| ()).ok_or(StoreError::Full);
                if let Some(shard) = &mut it.shard {
                    shard.handle(now, Event::Taken(ticket, result));
                }
            }
            Effect::Newer { .. } | Effect::Older(_) => {}
            Effect::CaughtUp(..) | Effect::Released(_) => {}
        }
    }

    fn send(&mut self, node: usize, to: NodeId, vnode: Vnode, message: Message) {
        let Some(to) = self.nodes.iter().position(|it| it.id == to) else { return };
        let (from, boot) = (self.nodes[node].actor(), self.nodes[to].boot);
        let arrivals = self.network.arrivals(&mut self.rng, self.now_us, node, to);
        for at_us in arrivals.into_iter().flatten() {
            let message = message.clone();
            self.queue.push(at_us, Happening::Arrives { from, to, boot, vnode, message });
        }
    }

    fn start(&mut self, node: usize) {
        let boot = self.nodes[node].boot + 1;
        self.nodes[node].start(self.now_us, &self.options.tunables);
        self.trace.add(self.now_us, 3, [node as u64, u64::from(boot), 0]);
        (0..self.nodes[node].cores.len()).for_each(|core| self.arm(node, core));
        self.look_at_ceiling(node);
        self.tell_of(node, true);
        for of in 0..self.nodes.len() {
            if !self.nodes[of].is_running && of != node {
                let happening = Happening::Liveness { node, boot, of, is_up: false };
                self.queue.push(self.now_us + self.rng.u64(..5_000_000), happening);
            }
        }
    }

    /// After a while all others know that a node answers, or that it does not.
    fn tell_of(&mut self, of: usize, is_up: bool) {
        for node in 0..self.nodes.len() {
            let boot = self.nodes[node].boot;
            let at_us = self.now_us + self.rng.u64(100_000..10_000_000);
            self.queue.push(at_us, Happening::Liveness { node, boot, of, is_up });
        }
    }

    fn look_at_ceiling(&mut self, node: usize) {
        let (boot, wall_ms) = (self.nodes[node].boot, self.nodes[node].now(self.now_us).wall_ms);
        let it = &mut self.nodes[node];
        if !it.is_ceiling_rising
            && let Some(ceiling) = next_ceiling(it.ceiling, it.last_stamp(), wall_ms)
        {
            it.is_ceiling_rising = true;
            let at_us = self.now_us + self.rng.u64(20..=self.options.sync_us_max.max(21));
            self.queue.push(at_us, Happening::CeilingIsDurable { node, boot, ceiling });
        }
        let at_us = self.now_us + CEILING_EVERY_US;
        self.queue.push(at_us, Happening::LookAtCeiling { node, boot });
    }

    fn fault(&mut self, number: usize, what: &What, begins: bool) {
        self.trace.add(self.now_us, 4, [number as u64, u64::from(begins), 0]);
        match *what {
            What::Crash { node } if begins => self.crash(node),
            What::Crash { node } => {
                if !self.nodes[node].is_running {
                    self.start(node);
                }
            }
            What::Pause { node } => self.pause(node, begins),
            What::Cut { ref from, ref to, both_ways } => {
                for (&from, &to) in from.iter().flat_map(|it| to.iter().map(move |to| (it, to))) {
                    self.network.cut(from, to, begins);
                    if both_ways {
                        self.network.cut(to, from, begins);
                    }
                }
            }
            What::Clog { from, to } if begins => {
                self.network.clog(from, to, self.faults[number].to_us);
            }
            What::Clog { .. } => {}
            What::Slow { node, by_us } => self.network.slow(node, if begins { by_us } else { 0 }),
            What::ClockOff { node, by_ms } => {
                self.nodes[node].set_clock_off(if begins { by_ms } else { 0 });
            }
            What::ClockFrozen { node } => self.nodes[node].freeze_clock(self.now_us, begins),
            What::DiskFull { node } => {
                self.nodes[node].cores.iter_mut().for_each(|it| it.store.is_full = begins);
            }
        }
    }

    fn crash(&mut self, node: usize) {
        if !self.nodes[node].is_running {
            return;
        }
        let it = &mut self.nodes[node];
        (it.is_running, it.is_paused) = (false, false);
        for core in &mut it.cores {
            core.store.crash(&mut self.rng);
            (core.shard, core.alarm) = (None, None);
        }
        self.waiting[node].clear();
        self.tell_of(node, false);
        self.node_is_gone(node);
    }

    fn pause(&mut self, node: usize, begins: bool) {
        if !self.nodes[node].is_running || self.nodes[node].is_paused == begins {
            return;
        }
        self.nodes[node].is_paused = begins;
        self.tell_of(node, !begins);
        if !begins {
            for happening in std::mem::take(&mut self.waiting[node]) {
                self.queue.push(self.now_us, happening);
            }
        }
    }

    /// Everything is mended and started.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        self.network.options.loss_permille = 0;
        for node in 0..self.nodes.len() {
            self.nodes[node].set_clock_off(0);
            self.nodes[node].freeze_clock(self.now_us, false);
            self.nodes[node].cores.iter_mut().for_each(|it| it.store.is_full = false);
            self.pause(node, false);
            if !self.nodes[node].is_running {
                self.start(node);
            }
            for of in 0..self.nodes.len() {
                let boot = self.nodes[node].boot;
                let happening = Happening::Liveness { node, boot, of, is_up: true };
                self.queue.push(self.now_us + 12_000_000, happening);
            }
        }
    }

    /// Which core of a node a key belongs to.
    pub(super) fn core_of(&self, node: usize, token: schemas::ids::Token) -> usize {
        self.nodes[node].core_of(token.vnode(self.document().bits))
    }

    pub(super) fn document(&self) -> &Arc<Document> {
        &self.nodes[0].document
    }

    pub(super) fn drive_request(
        &mut self,
        node: usize,
        core: usize,
        id: RequestId,
        request: std::rc::Rc<cluster::coordinator::Request>,
    ) {
        self.drive(node, core, Event::Request(id, request));
    }
}

fn is_question(order: &Order) -> bool {
    use Order::{Clock, Get, Hints, Leaves, Page, Since};
    matches!(order, Get(_) | Hints { .. } | Clock(_) | Since { .. } | Leaves(_) | Page { .. })
}

fn vec_of<T>(count: usize, make: impl FnMut() -> T) -> Vec<T> {
    std::iter::repeat_with(make).take(count).collect()
}

fn kind_of(message: &Message) -> u64 {
    match message {
        Message::Write(write) => write.op.map_or(1, |op| op.0 << 3 | 1),
        Message::Wrote { op, .. } => op.0 << 3 | 2,
        Message::Read(read) => read.op.0 << 3 | 3,
        Message::Answer { op, .. } => op.0 << 3 | 4,
        Message::Forward { op, .. } => op.0 << 3 | 5,
        Message::Forwarded { op, .. } => op.0 << 3 | 6,
        Message::Hint { op, .. } | Message::HintStored { op, .. } => op.0 << 3 | 7,
        Message::Pull(pull) => pull.session.0 << 3,
        Message::Pulled { session, .. } => session.0 << 3,
        Message::Release { epoch, .. } | Message::Released { epoch, .. } => u64::from(epoch.0),
    }
}
