//! [`Repair`]: whom to compare which vnode with, and when.
//!
//! Each vnode that this node has a copy of is compared with each of the others once a period; with
//! the first at a moment of its own, so that not all are at once. A vnode that is not held is
//! compared as often as it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::ids::{NodeId, Vnode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::session::{Progress, RepairStep, Session};
use crate::coordinator::{Access, copies};
use crate::event::{Effect, Order, StoreError, Stored};
use crate::horizon::{Horizon, HorizonIs};
use crate::message::{OpId, Pulled, Refusal};
use crate::moves::{self, Sources};
use crate::shard::{Purpose, Sizes, Turn};
use crate::time::Instant;
use crate::topology::Epoch;

/// Sessions of one core at a time.
const SESSIONS_MAX: usize = 8;

/// The comparisons of one core's vnodes.
#[derive(Debug)]
pub(crate) struct Repair {
    vnodes: RangeInclusive<Vnode>,
    plans: BTreeMap<Vnode, Plan>,
    next: BTreeSet<(Instant, Vnode)>,
    sessions: BTreeMap<OpId, Session>,
    next_session: u64,
    /// A copy that has not all that another's horizon is of.
    short: Option<Short>,
}

/// A vnode of which this node has not all that a horizon is of, and who has.
pub(crate) type Short = (Vnode, NodeId, Rc<Horizon>);

/// When a vnode is compared with whom.
#[derive(Debug)]
struct Plan {
    epoch: Epoch,
    /// The others that have copies.
    peers: Vec<NodeId>,
    /// Whose turn it is.
    turn: usize,
    at: Instant,
    /// Who was compared with to the end, in this epoch of the vnode.
    compared: BTreeSet<NodeId>,
    /// Who has to be, before the vnode may settle.
    sources: Sources,
    /// Who has what this node is to have too, asked for as soon as can be.
    wanted: BTreeSet<NodeId>,
    /// Whether it was said that all sources were compared with.
    is_caught_up: bool,
}

impl Plan {
    /// Whom to compare with now: who has to be, or whose turn it is.
    fn next_peer(&mut self, is_up: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let open = self.sources.nodes().filter(|it| !self.compared.contains(it) && is_up(*it));
        let open: Vec<NodeId> = open.collect();
        self.turn = self.turn.wrapping_add(1);
        let wanted = self.wanted.iter().copied().find(|&node| is_up(node));
        let has_to = if self.sources.are_met(&self.compared) { &[][..] } else { &open };
        let of_turn = |list: &[NodeId]| list.get(self.turn % list.len().max(1)).copied();
        let routine = || of_turn(&self.peers).filter(|&node| is_up(node));
        wanted.or_else(|| of_turn(has_to)).or_else(routine)
    }
}

impl Repair {
    pub(crate) fn new(boot: u32, vnodes: RangeInclusive<Vnode>) -> Self {
        Self {
            vnodes,
            plans: BTreeMap::new(),
            next: BTreeSet::new(),
            sessions: BTreeMap::new(),
            next_session: u64::from(boot) << 40,
            short: None,
        }
    }

    /// Takes up the vnodes that this node has copies of by the document of now.
    pub(crate) fn topology(&mut self, turn: &mut Turn<'_>) {
        let (core, me, now) = (&*turn.core, turn.core.me.node, turn.now.at);
        let document = Arc::clone(&core.document);
        let mut owned = Vec::new();
        let vnodes = self.vnodes.start().0..=self.vnodes.end().0;
        for vnode in vnodes.map(Vnode).filter(|it| usize::from(it.0) < document.ring.vnodes()) {
            let epoch = document.ring.epoch(vnode);
            if let Some(plan) = self.plans.get_mut(&vnode).filter(|plan| plan.epoch == epoch) {
                // Whom it takes over from may be lost by now.
                plan.sources = moves::sources(&document, vnode, me);
                plan.wanted.retain(|node| document.index_of(*node).is_some());
                owned.push(vnode);
                continue;
            }
            let before = self.plans.remove(&vnode);
            if let Some(plan) = &before {
                self.next.remove(&(plan.at, vnode));
            }
            let all = copies(&document, vnode, None, Access::Write);
            if !all.contains(&me) {
                continue;
            }
            owned.push(vnode);
            let peers: Vec<NodeId> = all.iter().copied().filter(|&node| node != me).collect();
            let period_us = core.tunables.repair_period.as_micros() as u64;
            let hash = xxh3_64_with_seed(&vnode.0.to_le_bytes(), me.0.get());
            let spread_us = period_us / peers.len().max(1) as u64 + 1;
            let fresh = (now + Duration::from_micros(hash % spread_us), hash as usize);
            // A vnode that changes again and again is compared all the same.
            let (at, whose) = before.map_or(fresh, |plan| (plan.at.min(fresh.0), plan.turn));
            if !peers.is_empty() {
                self.next.insert((at, vnode));
            }
            let plan = Plan {
                epoch,
                turn: whose,
                peers,
                at,
                compared: BTreeSet::new(),
                sources: moves::sources(&document, vnode, me),
                wanted: BTreeSet::new(),
                is_caught_up: false,
            };
            let has_to = !plan.sources.is_empty() && !document.is_paused;
            self.plans.insert(vnode, plan);
            if has_to {
                self.soon(now, vnode);
            }
        }
        turn.core.stored.extend(owned);
        let plans = &self.plans;
        self.sessions.retain(|_, session| plans.contains_key(&session.vnode));
    }

    /// Compares a vnode with whoever has its turn, as soon as there is room.
    pub(crate) fn soon(&mut self, now: Instant, vnode: Vnode) {
        if let Some(plan) = self.plans.get_mut(&vnode).filter(|plan| !plan.peers.is_empty()) {
            self.next.remove(&(plan.at, vnode));
            plan.at = now;
            self.next.insert((now, vnode));
        }
    }

    /// This node keeps nothing for others: tells so of the vnodes that it gives away in leaving.
    pub(crate) fn leaves(&mut self, turn: &mut Turn<'_>) {
        let document = Arc::clone(&turn.core.document);
        let me = turn.core.me.node;
        for (&vnode, plan) in &mut self.plans {
            let is_of_now = plan.epoch == document.ring.epoch(vnode);
            let gives = || moves::leavers(&document, vnode).any(|node| node == me);
            if is_of_now && !plan.is_caught_up && gives() {
                plan.is_caught_up = true;
                turn.core.effect(Effect::CaughtUp(vnode, plan.epoch));
            }
        }
    }

    /// `node` has what this node is to have of `vnode`, too.
    pub(crate) fn want(&mut self, now: Instant, vnode: Vnode, node: NodeId) {
        if let Some(plan) = self.plans.get_mut(&vnode) {
            plan.wanted.insert(node);
            self.next.remove(&(plan.at, vnode));
            plan.at = now;
            self.next.insert((now, vnode));
        }
    }

    /// When [`due`](Self::due) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let late = self.sessions.values().map(|it| it.deadline).min();
        let has_room = self.sessions.len() < SESSIONS_MAX;
        let next = self.next.first().filter(|_| has_room).map(|(at, _)| *at);
        [late, next].into_iter().flatten().min()
    }

    /// Begins sessions, and ends those that are late.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.at;
        let is_late = |it: &&Session| it.deadline <= now;
        let late: Vec<OpId> = self.sessions.values().filter(is_late).map(|it| it.id).collect();
        late.into_iter().for_each(|id| self.end(turn, id, Progress::Failed));
        while self.sessions.len() < SESSIONS_MAX {
            let Some(&(at, vnode)) = self.next.first().filter(|(at, _)| *at <= now) else { return };
            self.next.remove(&(at, vnode));
            let Some(plan) = self.plans.get_mut(&vnode) else { continue };
            // What is being forgotten must be gone before it is had again.
            let is_busy = turn.core.dropping.contains(&vnode)
                || turn.core.retaking.contains(&vnode)
                || self.sessions.values().any(|it| it.vnode == vnode);
            let peer = if is_busy { None } else { plan.next_peer(|node| turn.core.is_up(node)) };
            if let Some(peer) = peer {
                let id = OpId(self.next_session);
                self.next_session += 1;
                let session = Session::begin(turn, id, vnode, peer);
                self.sessions.insert(id, session);
                turn.core.counts.repairs += 1;
            }
            let period = turn.core.tunables.repair_period / plan.peers.len().max(1) as u32;
            let is_wanted = plan.wanted.iter().any(|&node| turn.core.is_up(node));
            let has_to = !plan.sources.are_met(&plan.compared) || is_wanted;
            let is_urgent = has_to || !turn.core.is_held(vnode);
            let soon = turn.core.tunables.repair_retry.min(period);
            plan.at = now + if is_urgent { soon } else { period };
            self.next.insert((plan.at, vnode));
        }
    }

    /// The store has read something for a session.
    pub(crate) fn read(
        &mut self,
        turn: &mut Turn<'_>,
        id: OpId,
        result: Result<Stored, StoreError>,
    ) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let progress = session.read(turn, result);
        self.end(turn, id, progress);
    }

    /// The store has taken what a session wants kept, or will not.
    pub(crate) fn taken(
        &mut self,
        turn: &mut Turn<'_>,
        step: RepairStep,
        taken: Result<(), StoreError>,
    ) {
        if let (RepairStep::Put(id) | RepairStep::Join(id), Err(_)) = (step, taken) {
            self.end(turn, id, Progress::Failed);
        }
    }

    /// What a session wants kept is on disk.
    pub(crate) fn durable(&mut self, turn: &mut Turn<'_>, step: RepairStep) {
        match step {
            RepairStep::Put(id) => {
                let Some(session) = self.sessions.get_mut(&id) else { return };
                let progress = session.put(turn);
                self.end(turn, id, progress);
            }
            RepairStep::Join(id) => self.end(turn, id, Progress::Done),
            RepairStep::Hold(vnode) if turn.core.retaking.contains(&vnode) => {}
            RepairStep::Hold(vnode) => {
                turn.core.held.insert(vnode);
                let Some(plan) = self.plans.get_mut(&vnode) else { return };
                let moves = !plan.sources.is_empty() && plan.sources.are_met(&plan.compared);
                if moves && !plan.is_caught_up {
                    plan.is_caught_up = true;
                    turn.core.effect(Effect::CaughtUp(vnode, plan.epoch));
                }
            }
            RepairStep::Read(_) => {}
        }
    }

    /// Writes down how much there is of what.
    pub(crate) fn measure(&self, sizes: &mut Sizes) {
        let plans = self.plans.values();
        sizes.plans = self.plans.len();
        sizes.compared = plans
            .map(|it| it.peers.len() + it.compared.len() + it.wanted.len() + it.sources.len())
            .sum();
        sizes.sessions = self.sessions.len();
    }

    /// Another owner has answered.
    pub(crate) fn pulled(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        id: OpId,
        step: u32,
        horizon: &HorizonIs,
        result: Result<Pulled, Refusal>,
    ) -> Option<Short> {
        let session = self.sessions.get_mut(&id).filter(|session| session.peer == from);
        let Some(session) = session else {
            turn.core.counts.stray_answers += 1;
            return None;
        };
        let progress = session.pulled(turn, step, horizon, result);
        self.end(turn, id, progress);
        self.short.take()
    }

    /// A vnode was forgotten, and is to be had again.
    pub(crate) fn begin_anew(&mut self, now: Instant, vnode: Vnode) {
        if let Some(plan) = self.plans.get_mut(&vnode) {
            plan.compared.clear();
        }
        self.soon(now, vnode);
    }

    fn end(&mut self, turn: &mut Turn<'_>, id: OpId, progress: Progress) {
        if progress == Progress::GoesOn {
            return;
        }
        let Some(session) = self.sessions.remove(&id) else { return };
        let vnode = session.vnode;
        match progress {
            Progress::GoesOn | Progress::Done => {}
            Progress::Failed => {
                turn.core.counts.repairs_failed += 1;
                return;
            }
            Progress::FallsShort(horizon) => {
                self.short = Some((vnode, session.peer, horizon));
                return;
            }
        }
        let is_of_now = |plan: &&mut Plan| plan.epoch == session.epoch();
        let Some(plan) = self.plans.get_mut(&vnode).filter(is_of_now) else { return };
        plan.compared.insert(session.peer);
        plan.wanted.remove(&session.peer);
        let moves = !plan.sources.is_empty();
        let is_complete = if moves {
            plan.sources.are_met(&plan.compared)
        } else {
            plan.compared.len() > plan.peers.len() / 2
        };
        if !is_complete {
            return self.soon(turn.now.at, vnode);
        }
        if !turn.core.is_held(vnode) {
            let purpose = Purpose::Repair(RepairStep::Hold(vnode));
            turn.core.order(purpose, Order::Hold(vnode, true));
        } else if moves && !plan.is_caught_up {
            plan.is_caught_up = true;
            turn.core.effect(Effect::CaughtUp(vnode, session.epoch()));
        }
    }
}
