//! A network of machines for tests: seeded delay, loss and duplicates; links cut one way; nodes
//! that crash, pause and start again. After every call a machine must hold what foca holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemas::ids::{Actor, ClusterId, NodeId};

use super::super::{Effect, Event, Health, Liveness, Record, Tunables};
use crate::time::Instant;

pub(super) const CLUSTER: ClusterId = ClusterId(0x5eed);

pub(super) fn id(index: usize) -> NodeId {
    // Ids are random in life: their order says nothing.
    let scattered = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    NodeId(NonZeroU64::new(scattered).unwrap())
}

pub(super) fn address(index: usize) -> SocketAddr {
    let (host, port) = (index / 50_000, index % 50_000);
    SocketAddr::new(Ipv4Addr::new(10, 0, 0, 1 + host as u8).into(), 1_000 + port as u16)
}

fn index_of(address: SocketAddr) -> Option<usize> {
    let SocketAddr::V4(v4) = address else { return None };
    let host = usize::from(v4.ip().octets()[3]).checked_sub(1)?;
    Some(host * 50_000 + usize::from(v4.port()).checked_sub(1_000)?)
}

pub(super) fn members(count: usize) -> Vec<(NodeId, SocketAddr)> {
    (0..count).map(|index| (id(index), address(index))).collect()
}

/// What the network does to datagrams.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    pub(super) loss_permille: u32,
    pub(super) duplicate_permille: u32,
    pub(super) delay_us: RangeInclusive<u64>,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self { loss_permille: 0, duplicate_permille: 0, delay_us: 100..=2_000 }
    }

    pub(super) fn loss(permille: u32) -> Self {
        Self { loss_permille: permille, duplicate_permille: 20, delay_us: 100..=20_000 }
    }
}

/// A health that one node saw of another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Change {
    pub(super) at: Instant,
    pub(super) by: usize,
    pub(super) of: Actor,
    pub(super) health: Health,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) bytes: Box<[u8]>,
}

pub(super) struct Node {
    pub(super) machine: Liveness,
    pub(super) boot: u32,
    pub(super) is_running: bool,
    pub(super) is_paused: bool,
    inbox: VecDeque<Box<[u8]>>,
    due: Option<Instant>,
}

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) faults: Faults,
    /// Links that carry nothing, from and to.
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) changes: Vec<Change>,
    pub(super) delivered: u64,
    pub(super) bytes: u64,
    pub(super) longest: usize,
    /// Datagrams as they were sent, if they are kept.
    pub(super) tap: Option<Vec<Flight>>,
    members: Vec<(NodeId, SocketAddr)>,
    clusters: usize,
    tunables: Tunables,
    flights: BTreeMap<(Instant, u64), Flight>,
    flown: u64,
    due: BTreeSet<(Instant, usize)>,
    rng: fastrand::Rng,
    trace: DefaultHasher,
}

impl Network {
    /// `count` nodes, all members of the topology, that start at once and know only addresses.
    pub(super) fn new(count: usize, tunables: Tunables, faults: Faults, seed: u64) -> Self {
        Self::of(count, count, 1, tunables, faults, seed)
    }

    /// `count` nodes of which the first `members` are members of the topology that all have; each
    /// is of one of `clusters` in turn.
    pub(super) fn of(
        count: usize,
        members: usize,
        clusters: usize,
        tunables: Tunables,
        faults: Faults,
        seed: u64,
    ) -> Self {
        let mut network = Self {
            now: Instant(1_000_000),
            nodes: Vec::new(),
            faults,
            cut: BTreeSet::new(),
            changes: Vec::new(),
            delivered: 0,
            bytes: 0,
            longest: 0,
            tap: None,
            members: self::members(members),
            clusters,
            tunables,
            flights: BTreeMap::new(),
            flown: 0,
            due: BTreeSet::new(),
            rng: fastrand::Rng::with_seed(seed),
            trace: DefaultHasher::new(),
        };
        for index in 0..count {
            let machine = network.machine(index, 1);
            network.nodes.push(Node {
                machine,
                boot: 1,
                is_running: true,
                is_paused: false,
                inbox: VecDeque::new(),
                due: None,
            });
            network.carry_out(index);
        }
        network
    }

    fn machine(&mut self, index: usize, boot: u32) -> Liveness {
        let me = Actor { node: id(index), boot };
        let seed = self.rng.u64(..);
        let cluster = ClusterId(CLUSTER.0 + (index % self.clusters) as u128);
        let mut machine = Liveness::new(self.now, cluster, me, address(index), self.tunables, seed);
        machine.set_members(self.now, &self.members[..]);
        machine
    }

    pub(super) fn crash(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.is_running = false;
        node.is_paused = false;
        node.inbox.clear();
        self.reschedule(index);
    }

    /// The process starts again, with the next boot.
    pub(super) fn start(&mut self, index: usize) {
        let boot = self.nodes[index].boot + 1;
        let machine = self.machine(index, boot);
        let node = &mut self.nodes[index];
        node.machine = machine;
        node.boot = boot;
        node.is_running = true;
        self.carry_out(index);
    }

    /// What SIGSTOP does: datagrams wait in the socket, up to its buffer; time goes on.
    pub(super) fn pause(&mut self, index: usize) {
        self.nodes[index].is_paused = true;
        self.reschedule(index);
    }

    /// The process goes on: at its worst with what is overdue, and only then with what it can
    /// read.
    pub(super) fn resume(&mut self, index: usize) {
        self.nodes[index].is_paused = false;
        if self.nodes[index].machine.deadline().is_some_and(|at| at <= self.now) {
            self.call(index, Event::Tick);
        }
        while let Some(datagram) = self.nodes[index].inbox.pop_front() {
            self.call(index, Event::Datagram(&datagram));
        }
        self.reschedule(index);
    }

    pub(super) fn set_record(&mut self, index: usize, record: Record) {
        self.nodes[index].machine.set_record(self.now, record);
        self.carry_out(index);
    }

    /// All are told that the topology's members are these.
    pub(super) fn set_members(&mut self, members: Vec<(NodeId, SocketAddr)>) {
        self.members = members;
        for index in 0..self.nodes.len() {
            self.nodes[index].machine.set_members(self.now, &self.members[..]);
            self.carry_out(index);
        }
    }

    /// Cuts all links between the two groups, both ways.
    pub(super) fn part(&mut self, left: &[usize], right: &[usize]) {
        for (&a, &b) in left.iter().flat_map(|a| right.iter().map(move |b| (a, b))) {
            self.cut.extend([(a, b), (b, a)]);
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until `done` or `end`; says whether it was done. `done` is asked every 10 ms.
    pub(super) fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) -> bool {
        let mut asked = self.now;
        loop {
            if self.now.since(asked) >= Duration::from_millis(10) {
                asked = self.now;
                if done(self) {
                    return true;
                }
            }
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let due = self.due.first().map(|(at, _)| *at);
            let Some(next) = flight.into_iter().chain(due).min().filter(|it| *it <= end) else {
                self.now = end;
                return done(self);
            };
            self.now = self.now.max(next);
            if flight == Some(next) {
                let (_, flight) = self.flights.pop_first().unwrap();
                self.deliver(flight.to, flight.bytes);
            } else {
                let (_, index) = *self.due.first().unwrap();
                self.call(index, Event::Tick);
            }
        }
    }

    /// Hands a datagram over as if it had come from outside.
    pub(super) fn deliver(&mut self, to: usize, datagram: Box<[u8]>) {
        let node = &mut self.nodes[to];
        if !node.is_running {
            return;
        }
        if node.is_paused {
            if node.inbox.len() < 200 {
                node.inbox.push_back(datagram);
            }
            return;
        }
        self.delivered += 1;
        self.bytes += datagram.len() as u64;
        self.call(to, Event::Datagram(&datagram));
    }

    pub(super) fn call(&mut self, index: usize, event: Event<'_>) {
        self.nodes[index].machine.handle(self.now, event);
        self.carry_out(index);
    }

    /// Carries out what a machine wants.
    pub(super) fn carry_out(&mut self, index: usize) {
        while let Some(effect) = self.nodes[index].machine.poll() {
            match effect {
                Effect::Send { address: to, datagram, .. } => self.send(index, to, datagram),
                Effect::Changed { actor, health } => {
                    let change = Change { at: self.now, by: index, of: actor, health };
                    change.hash(&mut self.trace);
                    self.changes.push(change);
                }
            }
        }
        super::assert_as_foca(&self.nodes[index].machine);
        self.reschedule(index);
    }

    fn send(&mut self, from: usize, to: SocketAddr, datagram: Box<[u8]>) {
        (self.now, from, to, &datagram).hash(&mut self.trace);
        self.longest = self.longest.max(datagram.len());
        let Some(to) = index_of(to).filter(|it| *it < self.nodes.len()) else { return };
        if self.cut.contains(&(from, to)) {
            return;
        }
        let flight = Flight { from, to, bytes: datagram };
        if let Some(tap) = &mut self.tap {
            tap.push(flight.clone());
        }
        let copies = 1 + usize::from(self.rng.u32(..1_000) < self.faults.duplicate_permille);
        for _ in 0..copies {
            if self.rng.u32(..1_000) >= self.faults.loss_permille {
                let delay = Duration::from_micros(self.rng.u64(self.faults.delay_us.clone()));
                self.flown += 1;
                self.flights.insert((self.now + delay, self.flown), flight.clone());
            }
        }
    }

    fn reschedule(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let live = node.is_running && !node.is_paused;
        let due = node.machine.deadline().filter(|_| live);
        if let Some(before) = std::mem::replace(&mut node.due, due) {
            self.due.remove(&(before, index));
        }
        self.due.extend(due.map(|at| (at, index)));
    }

    /// Whether each of `by` sees each of `of`, but itself, as `health` and in its last boot.
    pub(super) fn all_see(&self, by: &[usize], of: &[usize], health: Health) -> bool {
        by.iter().flat_map(|by| of.iter().map(move |of| (by, of))).all(|(&by, &of)| {
            let machine = &self.nodes[by].machine;
            let is_last = machine.boot(id(of)) == Some(self.nodes[of].boot);
            by == of || (machine.health(id(of)) == health && (is_last || health == Health::Down))
        })
    }

    pub(super) fn all_up(&self) -> bool {
        let all: Vec<_> = (0..self.nodes.len()).collect();
        self.all_see(&all, &all, Health::Up)
    }

    /// How often a node was seen to go down.
    pub(super) fn downs(&self) -> usize {
        self.changes.iter().filter(|it| it.health == Health::Down).count()
    }

    pub(super) fn suspicions(&self) -> usize {
        self.changes.iter().filter(|it| it.health == Health::Suspect).count()
    }

    pub(super) fn trace(&self) -> u64 {
        self.trace.finish()
    }
}
