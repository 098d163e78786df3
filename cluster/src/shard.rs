//! [`Shard`]: one core's state machine, and the contract with whoever drives it.

mod core;
mod counts;
mod log;
mod peers;
mod route;

pub(crate) use self::core::{Core, Purpose, Turn};
pub use self::counts::{Counts, Sizes};
pub use self::route::{Route, RouteOp};

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use schemas::ids::{Actor, Hlc, NodeId, Token, Version, Vnode};
use schemas::status::Status;

use crate::coordinator::{Coordinator, Forwarder};
use crate::ended::{self, EndedLives};
use crate::event::{Effect, Event, StoreError, Stored, Ticket};
use crate::handoff::{Handoff, HintStep};
use crate::horizon::{self, Horizon, HorizonStep, Promises, Rounds};
use crate::message::Message;
use crate::release::{self, Release, ReleaseStep};
use crate::repair::{self, Move, Repair, RepairStep};
use crate::replica;
use crate::time::{Instant, Now};
use crate::topology::Document;
use crate::tunables::Tunables;

/// The distributed logic of one core.
///
/// Driving it:
/// - [`handle`](Self::handle) is told what happens. Then [`poll`](Self::poll) is called until it
///   gives nothing, and each effect is carried out, before the next event.
/// - Whether the store has taken a record is told ([`Event::Taken`]) before the next `poll`.
/// - When [`deadline`](Self::deadline) comes, [`Event::Due`] is handled. Time does not go back.
/// - Effects on the store are lost only with the whole node; messages may be lost at any time.
///
/// What [`route`](Self::route) calls [`Route::Local`] the driver may do by itself, within the round
/// in which it asked:
/// - A read: it reads the store.
/// - A write: it asks [`next_version`](Self::next_version) and has the store take the record; if it
///   does, it says so ([`local_taken`](Self::local_taken)) before anything else happens to the
///   shard. When the record is on disk it says so ([`local_durable`](Self::local_durable)), in the
///   order in which the store took that and what the shard ordered, and tells the client.
#[derive(Debug)]
pub struct Shard {
    core: Core,
    coordinator: Coordinator,
    handoff: Handoff,
    repair: Repair,
    release: Release,
    ended: EndedLives,
    promises: Promises,
    rounds: Rounds,
}

/// A shard's parts, for one event.
struct Parts<'a> {
    turn: Turn<'a>,
    coordinator: &'a mut Coordinator,
    repair: &'a mut Repair,
    release: &'a mut Release,
    ended: &'a mut EndedLives,
    promises: &'a mut Promises,
    rounds: &'a mut Rounds,
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
    /// The vnodes of which the store has anything.
    pub stored: BTreeSet<Vnode>,
    /// The vnodes of which something was lost since [`Order::Clear`](crate::event::Order::Clear)
    /// was last durable for them: damaged, set aside, or in the part of a log that is suspect.
    pub lost: BTreeSet<Vnode>,
    /// The vnodes whose clock was cleared, and does not tell all that is there.
    pub inexact: BTreeSet<Vnode>,
    /// The purge horizons of vnodes.
    pub horizons: BTreeMap<Vnode, Rc<Horizon>>,
    /// The nodes that hints are kept for.
    pub hinted: BTreeSet<NodeId>,
    /// Settings.
    pub tunables: Tunables,
}

impl Shard {
    /// A shard at the start of a life of its node.
    #[must_use]
    pub fn new(now: Now, start: Start) -> Self {
        let boot = start.me.boot;
        let vnodes = start.vnodes.clone();
        let mut core = Core::new(start.me, vnodes, start.document, start.tunables);
        core.held = start.held;
        core.stored = start.stored;
        core.inexact = start.inexact;
        core.horizons = start.horizons;
        core.clear(start.lost);
        let coordinator = Coordinator::new(&core, start.floor);
        let handoff = Handoff::new(boot, start.hinted);
        let repair = Repair::new(boot, start.vnodes.clone(), &core.tunables);
        let release = Release::new(start.vnodes.clone());
        let ended = EndedLives::new(boot, start.vnodes.clone());
        let promises = Promises::new(now.at);
        let rounds = Rounds::new(boot, start.vnodes);
        let mut shard =
            Self { core, coordinator, handoff, repair, release, ended, promises, rounds };
        let mut parts = shard.parts(now);
        parts.repair.topology(&mut parts.turn);
        parts.release.topology(&mut parts.turn);
        parts.ended.topology(&parts.turn);
        shard
    }

    fn parts(&mut self, now: Now) -> Parts<'_> {
        let turn = Turn { now, core: &mut self.core, handoff: &mut self.handoff };
        let (coordinator, repair) = (&mut self.coordinator, &mut self.repair);
        let (release, ended) = (&mut self.release, &mut self.ended);
        let (promises, rounds) = (&mut self.promises, &mut self.rounds);
        Parts { turn, coordinator, repair, release, ended, promises, rounds }
    }

    /// Something has happened.
    ///
    /// # Panics
    /// If the driver does not keep to the contract above.
    pub fn handle(&mut self, now: Now, event: Event) {
        let Parts { mut turn, coordinator, repair, release, ended, rounds, .. } = self.parts(now);
        match event {
            Event::Request(id, request) => coordinator.request(&mut turn, id, &request),
            Event::MultiGet(id, wanted) => coordinator.multi_get(&mut turn, id, &wanted),
            Event::Scan(id, scan) => coordinator.scan(&mut turn, id, &scan),
            Event::Received { from, vnode, message } => {
                if turn.core.is_heard(from, vnode) {
                    self.hear(now, from.node, vnode, message);
                }
            }
            Event::Taken(ticket, taken) => self.taken(now, ticket, taken),
            Event::Durable(ticket) => self.durable(now, ticket),
            Event::Answered(ticket, result) => self.answered(now, ticket, result),
            Event::Topology(document) => {
                if document.epoch > turn.core.document.epoch {
                    turn.core.set_document(document);
                    turn.handoff.topology(turn.core);
                    coordinator.topology(&mut turn);
                    repair.topology(&mut turn);
                    release.topology(&mut turn);
                    ended.topology(&turn);
                }
            }
            Event::Liveness { node, is_up } => {
                turn.core.peers.set_up(node, is_up);
                if is_up {
                    turn.handoff.is_up(now.at, node);
                    let dirty = turn.handoff.take_dirty(node);
                    dirty.into_iter().for_each(|vnode| repair.soon(now.at, vnode));
                }
            }
            Event::Life(life) => turn.core.peers.has_begun(life),
            Event::Ceiling(ceiling) => coordinator.raise_ceiling(ceiling),
            Event::Promised(promised) => {
                if let Some(floor) = promised.floor.filter(|_| !turn.core.has_floor) {
                    coordinator.pass(now.wall_ms, floor);
                    turn.core.has_floor = true;
                }
                rounds.promised(promised);
            }
            Event::Due => self.due(now),
        }
        while let Some((vnode, message)) = self.core.next_loopback() {
            self.hear(now, self.core.me.node, vnode, message);
        }
    }

    fn due(&mut self, now: Now) {
        let Parts { mut turn, coordinator, repair, release, ended, promises, rounds } =
            self.parts(now);
        coordinator.due(&mut turn);
        turn.handoff.go_on(now.at, turn.core);
        repair.due(&mut turn);
        release.due(&mut turn);
        ended.due(&mut turn);
        if turn.core.is_leaving() && turn.handoff.is_empty() {
            repair.leaves(&mut turn);
        }
        if promises.deadline() <= now.at {
            let last = coordinator.pass(now.wall_ms, Hlc(0));
            let (under_way, given) = (coordinator.least_under_way(), release.least_epoch());
            promises.due(&mut turn, last, under_way, given);
        }
        rounds.due(&mut turn);
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Effect> {
        self.core.next_effect()
    }

    /// When [`Event::Due`] is to be handled.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let all = [
            self.coordinator.deadline(),
            self.handoff.deadline(),
            self.repair.deadline(),
            self.release.deadline(),
            self.ended.deadline(),
            Some(self.promises.deadline()),
            Some(self.rounds.deadline()),
        ];
        all.into_iter().flatten().min()
    }

    /// The greatest stamp that was given: what the node's ceiling has to stay above.
    #[must_use]
    pub fn last_stamp(&self) -> Hlc {
        self.coordinator.last_stamp()
    }

    /// The vnodes that move to this node, and how far they are.
    #[must_use]
    pub fn moves(&self, now: Now) -> Vec<Move> {
        self.repair.moves(&self.core, now.at)
    }

    /// What happened that ought not to, or not often.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.counts
    }

    /// How much it keeps.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        self.core.measure(&mut sizes);
        self.coordinator.measure(&mut sizes);
        self.handoff.measure(&mut sizes);
        self.repair.measure(&mut sizes);
        self.release.measure(&mut sizes);
        sizes.lives = self.ended.len();
        sizes.rounds = self.rounds.len();
        sizes
    }

    /// How this core does `op` on a key with `token`. Pure.
    #[must_use]
    pub fn route(&self, token: Token, op: RouteOp) -> Route {
        route::route(&self.core, token, op)
    }

    /// Stamp and dot of the next write in `vnode`, whose writer has seen `seen`: for a write that
    /// is [`Route::Local`]. They stay the next until the store has taken a write with them.
    ///
    /// # Errors
    /// [`Status::StampAhead`]; [`Status::Overloaded`] while stamps have run dry.
    ///
    /// # Panics
    /// If the core does not own `vnode`.
    pub fn next_version(&mut self, now: Now, vnode: Vnode, seen: Hlc) -> Result<Version, Status> {
        self.coordinator.next_version(&self.core, now.wall_ms, vnode, seen)
    }

    /// The store has taken a write of `vnode` with the [`next_version`](Self::next_version).
    ///
    /// # Panics
    /// If it is not the next one.
    pub fn local_taken(&mut self, vnode: Vnode, version: Version) {
        self.coordinator.local_taken(&mut self.core, vnode, version);
        self.core.log.taken();
    }

    /// The first local write of those not on disk is on disk.
    ///
    /// # Panics
    /// If there is none.
    pub fn local_durable(&mut self) {
        self.coordinator.local_durable();
        self.core.log.durable();
    }

    /// `node`, which may be this one, says something of a vnode of this core.
    fn hear(&mut self, now: Now, node: NodeId, vnode: Vnode, message: Message) {
        let Parts { mut turn, coordinator, repair, release, ended, rounds, .. } = self.parts(now);
        match message {
            Message::Write(write) => {
                let last = coordinator.pass(now.wall_ms, Hlc(0));
                replica::write(&mut turn, node, vnode, write, last);
            }
            Message::Read(read) => replica::read(turn.core, node, vnode, read),
            Message::Wrote { attempt, result } => {
                coordinator.wrote(&mut turn, node, attempt, result);
            }
            Message::Answer { attempt, result } => {
                coordinator.answer(&mut turn, node, attempt, result);
            }
            Message::Scan(scan) => replica::scan(turn.core, node, vnode, scan),
            Message::Scanned { attempt, result } => {
                coordinator.scanned(&mut turn, node, attempt, result);
            }
            Message::Forward { op, lane, request, left } => {
                let mut request = (*request).clone();
                request.patience = request.patience.min(left);
                let from = Forwarder { node, lane, op };
                coordinator.request_of(&mut turn, from, vnode, &request.into());
            }
            Message::Forwarded { op, reply } => {
                coordinator.hear_forwarded(&mut turn, node, op, reply);
            }
            Message::Hint { op, epoch, record } => {
                replica::hint(turn.core, node, vnode, op, epoch, record);
            }
            Message::HintStored { op, result } if repair::is_given(op) => {
                repair.given(&mut turn, node, op, result);
            }
            Message::HintStored { op, result } => {
                turn.handoff.confirmed(now.at, turn.core, node, op, result);
            }
            Message::Release { epoch, clock } => {
                release::compare(turn.core, node, vnode, epoch, clock);
            }
            Message::Released { epoch, clock } => {
                release.released(turn.core, node, vnode, epoch, &clock);
            }
            Message::Ended(question) => {
                ended.asked(&mut turn, coordinator, node, vnode, question);
            }
            Message::EndedReport(report) => ended.reported(&mut turn, node, vnode, &report),
            Message::Void { epoch, ended } => {
                ended::void(turn.core, node, vnode, epoch, ended);
            }
            Message::Pull(pull) => repair::answer(turn.core, node, vnode, pull),
            Message::Pulled { session, step, is_held, horizon, result } => {
                let pulled =
                    repair.pulled(&mut turn, node, session, step, (is_held, &horizon), result);
                if let Some(short) = pulled {
                    release.falls_short(&mut turn, short);
                }
            }
            Message::Horizon(message) => {
                let last = coordinator.pass(now.wall_ms, Hlc(0));
                horizon::hear(&mut turn, rounds, (node, last), vnode, message);
            }
        }
    }

    fn taken(&mut self, now: Now, ticket: Ticket, taken: Result<(), StoreError>) {
        let purpose = match taken {
            Ok(()) => {
                self.core.log.taken();
                self.core.purpose(ticket)
            }
            Err(_) => self.core.end_order(ticket),
        };
        let Parts { mut turn, coordinator, repair, release, .. } = self.parts(now);
        match purpose {
            Purpose::Assign(op) => coordinator.taken(&mut turn, op, taken),
            Purpose::Replica(ask) => replica::taken(turn.core, ask, taken),
            // A hint that is not kept, or not dropped, changes nothing; what is void is said again.
            Purpose::Handoff(_) | Purpose::Ended(_) => {}
            Purpose::Repair(step) => repair.taken(&mut turn, step, taken),
            // The next start tells of it again.
            Purpose::Clear(_) => {}
            Purpose::Release(ReleaseStep::Drop(vnode)) => {
                if taken.is_err() {
                    release.not_dropped(turn.core, vnode);
                }
            }
            Purpose::Release(ReleaseStep::Unhold) => {}
            Purpose::Horizon(HorizonStep::Keep(vnode, kept)) => {
                if taken.is_ok() {
                    horizon::taken(turn.core, vnode, kept);
                }
            }
            Purpose::Release(step) => unreachable!("{step:?} keeps nothing"),
            Purpose::Horizon(step) => unreachable!("{step:?} keeps nothing"),
            Purpose::Answer(_) | Purpose::Base(_) => unreachable!("it keeps nothing"),
        }
    }

    fn durable(&mut self, now: Now, ticket: Ticket) {
        let purpose = self.core.end_order(ticket);
        self.core.log.durable();
        let Parts { mut turn, coordinator, repair, release, .. } = self.parts(now);
        match purpose {
            Purpose::Assign(op) => coordinator.durable(&mut turn, op),
            Purpose::Replica(ask) => replica::durable(&mut turn, ask),
            Purpose::Handoff(HintStep::Kept(target)) => turn.handoff.durable(now.at, target),
            Purpose::Handoff(_) | Purpose::Ended(_) => {}
            Purpose::Repair(step) => repair.durable(&mut turn, step),
            Purpose::Clear(vnode) => {
                turn.core.clearing.remove(&vnode);
                repair.cleared(&mut turn, vnode);
            }
            Purpose::Release(ReleaseStep::Drop(vnode)) => {
                release.dropped(turn.core, vnode);
                repair.begin_anew(now.at, vnode);
            }
            Purpose::Release(ReleaseStep::Unhold) | Purpose::Horizon(HorizonStep::Keep(..)) => {}
            Purpose::Horizon(step) => unreachable!("{step:?} keeps nothing"),
            Purpose::Release(step) => unreachable!("{step:?} keeps nothing"),
            Purpose::Answer(_) | Purpose::Base(_) => unreachable!("it keeps nothing"),
        }
    }

    fn answered(&mut self, now: Now, ticket: Ticket, result: Result<Stored, StoreError>) {
        let purpose = self.core.end_order(ticket);
        let Parts { mut turn, coordinator, repair, release, ended, promises, rounds } =
            self.parts(now);
        match (purpose, result) {
            (Purpose::Base(key), result) => coordinator.base(&mut turn, key, result),
            (Purpose::Replica(ask), result) => replica::got(turn.core, ask, result),
            (Purpose::Handoff(HintStep::Read(target)), Ok(Stored::Hints(hints, has_more))) => {
                turn.handoff.read(now.at, turn.core, target, hints, has_more);
                turn.handoff.go_on(now.at, turn.core);
            }
            (Purpose::Handoff(HintStep::Read(target)), Err(_)) => {
                turn.handoff.not_read(now.at, target);
            }
            (Purpose::Repair(RepairStep::Read(id)), result) => repair.read(&mut turn, id, result),
            (Purpose::Release(step), result) => {
                if let Some((vnode, node)) = release.read(&mut turn, step, result) {
                    repair.want(now.at, vnode, node);
                }
            }
            (Purpose::Ended(step), Ok(stored)) => ended.read(&mut turn, step, stored),
            (Purpose::Ended(_), Err(_)) => {}
            (Purpose::Answer(asked), result) => repair::stored(turn.core, &asked, result),
            (Purpose::Horizon(HorizonStep::OldestHint), Ok(Stored::OldestHint(oldest))) => {
                promises.read(&mut turn, oldest);
            }
            // The next period asks again.
            (Purpose::Horizon(HorizonStep::OldestHint), Err(_)) => {}
            (Purpose::Horizon(step), result) => {
                let wanted = horizon::clock_read(&mut turn, rounds, step, result);
                wanted.into_iter().for_each(|(vnode, node)| repair.want(now.at, vnode, node));
            }
            (purpose, result) => unreachable!("{purpose:?} asks for no {result:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
