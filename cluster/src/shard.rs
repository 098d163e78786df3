//! [`Shard`]: one core's state machine, and the contract with whoever drives it.

mod core;
mod peers;

pub use self::core::Counts;
pub(crate) use self::core::{Core, Purpose, Turn};
pub(crate) use crate::coordinator::StoreStep;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use schemas::ids::{Actor, Hlc, Vnode};

use crate::coordinator::Coordinator;
use crate::event::{Effect, Event, Ticket};
use crate::message::Message;
use crate::replica;
use crate::time::{Instant, Now};
use crate::topology::Document;
use crate::tunables::Tunables;
use crate::version::DotCounters;

/// The distributed logic of one core.
///
/// Driving it:
/// - [`handle`](Self::handle) is told what happens. Then [`poll`](Self::poll) is called until it
///   gives nothing, and each effect is carried out, before the next event.
/// - Whether the store has taken a record is told ([`Event::Taken`]) before the next `poll`.
/// - When [`deadline`](Self::deadline) comes, [`Event::Due`] is handled. Time does not go back.
/// - Effects on the store are lost only with the whole node; messages may be lost at any time.
#[derive(Debug)]
pub struct Shard {
    core: Core,
    coordinator: Coordinator,
}

/// What a shard starts with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The node, and which of its lives begins.
    pub me: Actor,
    /// The vnodes of the core.
    pub vnodes: RangeInclusive<Vnode>,
    /// The topology that is on the node's disk.
    pub document: Arc<Document>,
    /// No stamp at or below this one is given: the ceiling that is on the node's disk.
    pub floor: Hlc,
    /// The vnodes of which the store has all that it ever acknowledged.
    pub held: BTreeSet<Vnode>,
    /// Settings.
    pub tunables: Tunables,
}

impl Shard {
    /// A shard at the start of a life of its node.
    #[must_use]
    pub fn new(start: Start) -> Self {
        let mut core = Core::new(start.me, start.document, start.tunables);
        core.held = start.held;
        let dots = DotCounters::new(start.me, start.vnodes);
        let coordinator = Coordinator::new(&core, dots, start.floor);
        Self { core, coordinator }
    }

    /// Something has happened.
    ///
    /// # Panics
    /// If the driver does not keep to the contract above.
    pub fn handle(&mut self, now: Now, event: Event) {
        let mut turn = Turn { now, core: &mut self.core };
        match event {
            Event::Request(id, request) => self.coordinator.request(&mut turn, id, &request),
            Event::Received { from, vnode, message } => self.hear(now, from, vnode, message),
            Event::Taken(ticket, taken) => self.taken(now, ticket, taken),
            Event::Durable(ticket) => match self.core.end_order(ticket) {
                Purpose::Coordinator(step) => {
                    let mut turn = Turn { now, core: &mut self.core };
                    self.coordinator.durable(&mut turn, step);
                }
                Purpose::Replica(ask) => replica::durable(&mut self.core, ask),
            },
            Event::Got(ticket, result) => match self.core.end_order(ticket) {
                Purpose::Coordinator(_) => unreachable!("it reads nothing"),
                Purpose::Replica(ask) => replica::got(&mut self.core, ask, result),
            },
            Event::Topology(document) => {
                if document.epoch > self.core.document.epoch {
                    self.core.set_document(document);
                    let mut turn = Turn { now, core: &mut self.core };
                    self.coordinator.topology(&mut turn);
                }
            }
            Event::Liveness { node, is_up } => self.core.peers.set_up(node, is_up),
            Event::Ceiling(ceiling) => self.coordinator.raise_ceiling(ceiling),
            Event::Due => self.coordinator.due(&mut turn),
        }
        while let Some((vnode, message)) = self.core.next_loopback() {
            self.hear(now, self.core.me, vnode, message);
        }
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Effect> {
        self.core.next_effect()
    }

    /// When [`Event::Due`] is to be handled.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.coordinator.deadline()
    }

    /// The greatest stamp that was given: what the node's ceiling has to stay above.
    #[must_use]
    pub fn last_stamp(&self) -> Hlc {
        self.coordinator.last_stamp()
    }

    /// What happened that ought not to, or not often.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.counts
    }

    /// Operations coordinated here, and orders to the store, that are under way.
    #[must_use]
    pub fn under_way(&self) -> (usize, usize) {
        (self.coordinator.len(), self.core.orders())
    }

    fn hear(&mut self, now: Now, from: Actor, vnode: Vnode, message: Message) {
        let node = from.node;
        if node != self.core.me.node && self.core.document.index_of(node).is_none() {
            self.core.counts.strangers += 1;
            return;
        }
        let mut turn = Turn { now, core: &mut self.core };
        match message {
            Message::Write(write) => replica::write(&mut self.core, node, vnode, write),
            Message::Read(read) => replica::read(&mut self.core, node, vnode, read),
            Message::Wrote { op, result } => {
                self.coordinator.hear_wrote(&mut turn, node, op, result);
            }
            Message::Answer { op, result } => {
                self.coordinator.hear_answer(&mut turn, node, op, result);
            }
            Message::Forward { op, request, left } => {
                let mut request = (*request).clone();
                request.patience = request.patience.min(left);
                self.coordinator.request_of(&mut turn, node, op, &request.into());
            }
            Message::Forwarded { op, reply } => {
                self.coordinator.hear_forwarded(&mut turn, node, op, reply);
            }
        }
    }

    fn taken(&mut self, now: Now, ticket: Ticket, taken: Result<(), crate::event::StoreError>) {
        let purpose = match taken {
            Ok(()) => self.core.purpose(ticket),
            Err(_) => self.core.end_order(ticket),
        };
        match purpose {
            Purpose::Coordinator(step) => {
                let mut turn = Turn { now, core: &mut self.core };
                self.coordinator.taken(&mut turn, step, taken);
            }
            Purpose::Replica(ask) => replica::taken(&mut self.core, ask, taken),
        }
    }
}
