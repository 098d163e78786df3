//! [`Repair`]: whom to compare which vnode with, and when.
//!
//! Each vnode that this node has a copy of is compared with each of the others once a period; with
//! the first at a moment of its own, so that not all are at once. A vnode that is not held is
//! compared as often as it takes.
//!
//! Vnodes that move have room for a few sessions of their own and the rest wait for them, so that
//! neither a node that joins floods itself, nor what moves keeps the rest from being compared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::ids::{NodeId, Vnode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::pace::Pace;
use super::progress::{Move, MoveState};
use super::session::{Progress, RepairStep, Session, bytes_of};
use crate::coordinator::{Access, copies};
use crate::event::{Effect, Order, StoreError, Stored};
use crate::horizon::{Horizon, HorizonIs};
use crate::message::{OpId, Pulled, Refusal};
use crate::moves::{self, Sources};
use crate::shard::{Core, Purpose, Sizes, Turn};
use crate::time::Instant;
use crate::topology::{Document, Epoch, Standing};
use crate::tunables::Tunables;

/// Sessions of one core at a time.
const SESSIONS_MAX: usize = 8;

/// What marks the number of a record that is given in a session.
const GIVEN: u64 = 1 << 63;

/// The number of the next record that is given: of the session, and its `count` before it.
pub(super) fn given(session: OpId, count: u64) -> OpId {
    OpId(GIVEN | (session.0 & 0xff) << 40 | count & ((1 << 40) - 1))
}

/// Whether a number is of a record that was given in a session.
pub(crate) fn is_given(op: OpId) -> bool {
    op.0 & GIVEN != 0
}

/// The comparisons of one core's vnodes.
#[derive(Debug)]
pub(crate) struct Repair {
    vnodes: RangeInclusive<Vnode>,
    plans: BTreeMap<Vnode, Plan>,
    next: BTreeSet<(Instant, Vnode)>,
    /// Vnodes that move and wait for room.
    queue: BTreeSet<Vnode>,
    sessions: BTreeMap<OpId, Session>,
    next_session: u64,
    /// Of what moves.
    moving: Pace,
    /// Of the rest.
    steady: Pace,
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
    /// From one turn to the next.
    period: Duration,
    /// Who was compared with to the end, in this epoch of the vnode.
    compared: BTreeSet<NodeId>,
    /// Who of them had all of the vnode.
    of_holders: BTreeSet<NodeId>,
    /// With whom all was compared, both ways.
    wholly: BTreeSet<NodeId>,
    /// Who has to be, before the vnode may settle.
    sources: Sources,
    /// Who has what this node is to have too, asked for as soon as can be, in their order. Each is
    /// asked once: who is still to be compared with says so again, and who is gone does not.
    wanted: VecDeque<NodeId>,
    /// When it is somebody's turn, whoever is wanted.
    routine_at: Instant,
    /// Whether it was said that all sources were compared with.
    is_caught_up: bool,
    /// What has come in this epoch, and since when.
    bytes: u64,
    records: u64,
    since: Option<Instant>,
}

impl Plan {
    /// Whether somebody has to be compared with before the vnode may settle.
    fn moves(&self) -> bool {
        !self.is_caught_up && !self.sources.are_met(&self.of_holders)
    }

    /// Who has what this node is to have, too.
    fn next_wanted(&mut self, is_up: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        let at = self.wanted.iter().position(|&node| is_up(node))?;
        self.wanted.remove(at)
    }

    /// Who has to be compared with, and is up. Where sources were, and had not all themselves, it
    /// is everybody else, and they again once that was so, too.
    fn open(&self, is_up: impl Fn(NodeId) -> bool) -> Vec<NodeId> {
        let sources = self.sources.nodes().filter(|it| !self.of_holders.contains(it));
        let sources: Vec<NodeId> = sources.filter(|&node| is_up(node)).collect();
        let is_new = |node: &NodeId| !self.compared.contains(node);
        if sources.iter().any(is_new) {
            return sources.into_iter().filter(is_new).collect();
        }
        let others = self.peers.iter().copied().filter(|node| is_new(node) && is_up(*node));
        let others: Vec<NodeId> = others.collect();
        if others.is_empty() { sources } else { others }
    }

    /// Whom to compare with now: who has to be, or whose turn it is.
    fn next_peer(
        &mut self,
        now: Instant,
        is_move: bool,
        is_up: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let is_routine = self.routine_at <= now && !is_move;
        let wanted = if is_routine { None } else { self.next_wanted(&is_up) };
        if wanted.is_some() {
            return wanted;
        }
        self.turn = self.turn.wrapping_add(1);
        let of_turn = |list: &[NodeId]| list.get(self.turn % list.len().max(1)).copied();
        let open = if is_move { self.open(&is_up) } else { Vec::new() };
        of_turn(&open).or_else(|| {
            self.routine_at = now + self.period;
            of_turn(&self.peers).filter(|&node| is_up(node))
        })
    }
}

impl Plan {
    /// The others that are there.
    fn others(&self, document: &Document) -> impl Iterator<Item = NodeId> {
        let is_lost = |node: NodeId| {
            let index = document.index_of(node);
            index.is_none_or(|index| document.member(index).standing == Standing::Lost)
        };
        self.peers.iter().copied().filter(move |&node| !is_lost(node))
    }

    /// Whether this node has all that its part needs: from enough of those that had all, or from
    /// everybody that there is.
    fn has_all(&self, document: &Document) -> bool {
        let is_enough = if self.sources.is_empty() {
            self.of_holders.len() > self.peers.len() / 2
        } else {
            self.sources.are_met(&self.of_holders)
        };
        is_enough || self.others(document).all(|peer| self.compared.contains(&peer))
    }
}

impl Repair {
    pub(crate) fn new(boot: u32, vnodes: RangeInclusive<Vnode>, tunables: &Tunables) -> Self {
        Self {
            vnodes,
            plans: BTreeMap::new(),
            next: BTreeSet::new(),
            queue: BTreeSet::new(),
            sessions: BTreeMap::new(),
            next_session: u64::from(boot) << 40,
            moving: Pace::new(tunables.move_bytes_per_second),
            steady: Pace::new(tunables.repair_bytes_per_second),
            short: None,
        }
    }

    /// Takes up the vnodes that this node has copies of by the document of now.
    pub(crate) fn topology(&mut self, turn: &mut Turn<'_>) {
        let (core, me, now) = (&*turn.core, turn.core.me.node, turn.now.at);
        let document = Arc::clone(&core.document);
        let (mut owned, mut alone) = (Vec::new(), Vec::new());
        let vnodes = self.vnodes.start().0..=self.vnodes.end().0;
        for vnode in vnodes.map(Vnode).filter(|it| usize::from(it.0) < document.ring.vnodes()) {
            let epoch = document.ring.epoch(vnode);
            if let Some(plan) = self.plans.get_mut(&vnode).filter(|plan| plan.epoch == epoch) {
                // Whom it takes over from may be lost by now.
                plan.sources = moves::sources(&document, vnode, me);
                plan.wanted.retain(|&node| document.index_of(node).is_some());
                owned.push(vnode);
                continue;
            }
            let before = self.plans.remove(&vnode);
            let is_first = before.is_none();
            self.queue.remove(&vnode);
            if let Some(plan) = &before {
                self.next.remove(&(plan.at, vnode));
            }
            let all = copies(&document, vnode, None, Access::Write);
            if !all.contains(&me) {
                continue;
            }
            owned.push(vnode);
            let peers: Vec<NodeId> = all.iter().copied().filter(|&node| node != me).collect();
            let period = core.tunables.repair_period / peers.len().max(1) as u32;
            let hash = xxh3_64_with_seed(&vnode.0.to_le_bytes(), me.0.get());
            let spread_us = period.as_micros() as u64 + 1;
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
                of_holders: BTreeSet::new(),
                wholly: BTreeSet::new(),
                sources: moves::sources(&document, vnode, me),
                wanted: VecDeque::new(),
                routine_at: at,
                period,
                is_caught_up: false,
                bytes: 0,
                records: 0,
                since: None,
            };
            let has_to = !plan.sources.is_empty() && !document.is_paused;
            // Later on there is who had it as well, and gave it away.
            if is_first && plan.peers.is_empty() && core.inexact.contains(&vnode) {
                alone.push(vnode);
            }
            self.plans.insert(vnode, plan);
            if has_to {
                self.soon(now, vnode);
            }
        }
        turn.core.stored.extend(owned);
        alone.into_iter().for_each(|vnode| is_alone(turn.core, vnode));
        self.go_on(turn);
    }

    /// Sessions of vnodes that this node has no copy of any more end; those that were paused go on.
    fn go_on(&mut self, turn: &Turn<'_>) {
        let now = turn.now.at;
        let plans = &self.plans;
        self.sessions.retain(|_, session| plans.contains_key(&session.vnode));
        let is_paused = turn.core.document.is_paused;
        let patience = turn.core.tunables.repair_patience;
        for session in self.sessions.values_mut().filter(|_| !is_paused) {
            if session.waits == Some(Instant::NEVER) {
                (session.waits, session.deadline) = (Some(now), now + patience);
            }
        }
        self.fill_room(now, turn.core.tunables.moves_max);
    }

    /// Vnodes that move and have waited for room come next.
    fn fill_room(&mut self, now: Instant, moves_max: usize) {
        let moving = self.sessions.values().filter(|it| it.is_move).count();
        for _ in moving..moves_max {
            let Some(vnode) = self.queue.pop_first() else { return };
            self.soon(now, vnode);
        }
    }

    /// Compares a vnode with whoever has its turn, as soon as there is room. Of the only copy that
    /// may be who gave it away.
    pub(crate) fn soon(&mut self, now: Instant, vnode: Vnode) {
        let has_any = |plan: &&mut Plan| !plan.peers.is_empty() || !plan.wanted.is_empty();
        if let Some(plan) = self.plans.get_mut(&vnode).filter(has_any) {
            self.next.remove(&(plan.at, vnode));
            self.queue.remove(&vnode);
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
            if !plan.wanted.contains(&node) {
                plan.wanted.push_back(node);
            }
            self.soon(now, vnode);
        }
    }

    /// When [`due`](Self::due) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let late = self.sessions.values().map(|it| it.deadline).min();
        let turns = self.sessions.values().filter_map(|it| it.waits).min();
        let has_room = self.sessions.len() < SESSIONS_MAX;
        let next = self.next.first().filter(|_| has_room).map(|(at, _)| *at);
        let first = [late, turns, next].into_iter().flatten().min();
        first.filter(|&at| at != Instant::NEVER)
    }

    /// Begins sessions, asks for pages that had to wait, and ends sessions that are late.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.at;
        let is_late = |it: &&Session| it.deadline <= now;
        let late: Vec<OpId> = self.sessions.values().filter(is_late).map(|it| it.id).collect();
        late.into_iter().for_each(|id| self.end(turn, id, Progress::Failed));
        // Those that had room found nobody, maybe.
        self.fill_room(now, turn.core.tunables.moves_max);
        let turns = self.sessions.values().filter(|it| it.waits.is_some_and(|at| at <= now));
        let turns: Vec<OpId> = turns.map(|it| it.id).collect();
        turns.into_iter().for_each(|id| self.end(turn, id, Progress::Turns));
        while self.sessions.len() < SESSIONS_MAX {
            let Some(&(_, vnode)) = self.next.first().filter(|(at, _)| *at <= now) else { return };
            self.begin(turn, vnode);
        }
    }

    /// Compares a vnode with whoever has its turn, or puts it off.
    fn begin(&mut self, turn: &mut Turn<'_>, vnode: Vnode) {
        let now = turn.now.at;
        let moving = self.sessions.values().filter(|it| it.is_move).count();
        let plan = self.plans.get_mut(&vnode).expect("it has its next time");
        self.next.remove(&(plan.at, vnode));
        // What is being forgotten must be gone before it is had again.
        let is_busy = turn.core.is_forgetting(vnode)
            || turn.core.retaking.contains(&vnode)
            || self.sessions.values().any(|it| it.vnode == vnode);
        let is_paused = turn.core.document.is_paused;
        let is_move = plan.moves() && !is_paused;
        if is_move && moving >= turn.core.tunables.moves_max && !is_busy {
            self.queue.insert(vnode);
            return;
        }
        let is_up = |node| turn.core.is_up(node);
        let peer = if is_busy {
            None
        } else if plan.moves() && is_paused && !turn.core.is_held(vnode) {
            plan.next_wanted(is_up)
        } else {
            plan.next_peer(now, is_move, is_up)
        };
        let is_wanted = plan.wanted.iter().any(|&node| turn.core.is_up(node));
        let is_urgent = is_move || is_wanted || !turn.core.is_held(vnode);
        let soon = turn.core.tunables.repair_retry.min(plan.period);
        plan.at = now + if is_urgent { soon } else { plan.period };
        self.next.insert((plan.at, vnode));
        if let Some(peer) = peer {
            plan.since = plan.since.or(Some(now));
            let id = OpId(self.next_session);
            self.next_session += 1;
            let session = Session::begin(turn, id, vnode, peer, is_move);
            self.sessions.insert(id, session);
            turn.core.counts.repairs += 1;
        }
    }

    /// Asks for the next page of a session, when its turn has come.
    fn turn_page(&mut self, turn: &mut Turn<'_>, id: OpId) -> Progress {
        let Some(session) = self.sessions.get_mut(&id) else { return Progress::GoesOn };
        let is_paused = session.is_move && turn.core.document.is_paused;
        let pace = if session.is_move { &self.moving } else { &self.steady };
        let free_at = if is_paused { Instant::NEVER } else { pace.free_at() };
        if free_at <= turn.now.at {
            return session.turn_page(turn);
        }
        session.waits = Some(free_at);
        session.deadline =
            if is_paused { Instant::NEVER } else { free_at + turn.core.tunables.repair_patience };
        Progress::GoesOn
    }

    /// What moves here, ascending.
    pub(crate) fn moves(&self, core: &Core, now: Instant) -> Vec<Move> {
        let moving = self.plans.iter().filter(|(_, plan)| !plan.sources.is_empty());
        moving.map(|(&vnode, plan)| self.progress(core, now, vnode, plan)).collect()
    }

    fn progress(&self, core: &Core, now: Instant, vnode: Vnode, plan: &Plan) -> Move {
        let session = self.sessions.values().find(|it| it.vnode == vnode && it.is_move);
        let state = match session {
            _ if plan.is_caught_up => MoveState::CaughtUp,
            _ if core.document.is_paused => MoveState::Paused,
            Some(session) => MoveState::Streams(session.peer),
            None => MoveState::Waits,
        };
        let bytes_left = match session {
            _ if plan.is_caught_up => Some(0),
            session => session.and_then(Session::bytes_left),
        };
        let spent = now.since(plan.since.unwrap_or(now));
        let eta = |left: u64| {
            let micros = spent.as_micros() * u128::from(left) / u128::from(plan.bytes.max(1));
            let as_before = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
            as_before.max(self.moving.time_for(left))
        };
        let open = plan.sources.nodes().filter(|it| !plan.of_holders.contains(it));
        Move {
            vnode,
            epoch: plan.epoch,
            state,
            compared: plan.of_holders.iter().copied().collect(),
            open: open.collect(),
            bytes: plan.bytes,
            records: plan.records,
            bytes_left,
            eta: bytes_left.map(eta),
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
                let moves = !plan.sources.is_empty() && plan.has_all(&turn.core.document);
                if moves && !plan.is_caught_up {
                    plan.is_caught_up = true;
                    turn.core.effect(Effect::CaughtUp(vnode, plan.epoch));
                }
            }
            RepairStep::Exact(vnode) => {
                turn.core.inexact.remove(&vnode);
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
        (is_held, horizon): (bool, &HorizonIs),
        result: Result<Pulled, Refusal>,
    ) -> Option<Short> {
        let session = self.sessions.get_mut(&id).filter(|session| session.peer == from);
        let Some(session) = session else {
            turn.core.counts.stray_answers += 1;
            return None;
        };
        if let Ok(Pulled::Records(_, page) | Pulled::Leaf(page, _)) = &result {
            let (bytes, now) = (bytes_of(page), turn.now.at);
            let pace = if session.is_move { &mut self.moving } else { &mut self.steady };
            pace.took(now, bytes);
            if let Some(plan) = self.plans.get_mut(&session.vnode) {
                plan.bytes += bytes;
                plan.records += page.records.len() as u64;
            }
        }
        let progress = session.pulled(turn, step, (is_held, horizon), result);
        self.end(turn, id, progress);
        self.short.take()
    }

    /// A vnode was forgotten, and is to be had again.
    pub(crate) fn begin_anew(&mut self, now: Instant, vnode: Vnode) {
        if let Some(plan) = self.plans.get_mut(&vnode) {
            plan.compared.clear();
            plan.of_holders.clear();
            plan.wholly.clear();
        }
        self.soon(now, vnode);
    }

    /// Another owner has what it was given, or will not have it.
    pub(crate) fn given(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        op: OpId,
        result: Result<(), Refusal>,
    ) {
        let of_peer = self.sessions.values_mut().filter(|session| session.peer == from);
        let told: Option<(OpId, Progress)> = of_peer
            .filter_map(|session| Some((session.id, session.given(turn, op, result)?)))
            .next();
        match told {
            Some((id, progress)) => self.end(turn, id, progress),
            None => turn.core.counts.stray_answers += 1,
        }
    }

    /// What was seen of a vnode is forgotten: it is compared with others, if there are any.
    pub(crate) fn cleared(&mut self, turn: &mut Turn<'_>, vnode: Vnode) {
        let Some(plan) = self.plans.get(&vnode) else { return };
        if plan.peers.is_empty() {
            is_alone(turn.core, vnode);
        }
        self.soon(turn.now.at, vnode);
    }

    fn end(&mut self, turn: &mut Turn<'_>, id: OpId, progress: Progress) {
        let progress = match progress {
            Progress::Turns => self.turn_page(turn, id),
            progress => progress,
        };
        if progress == Progress::GoesOn {
            return;
        }
        let Some(session) = self.sessions.remove(&id) else { return };
        self.fill_room(turn.now.at, turn.core.tunables.moves_max);
        let vnode = session.vnode;
        match progress {
            Progress::GoesOn | Progress::Turns | Progress::Done => {}
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
        let mut is_news = plan.compared.insert(session.peer);
        if session.is_of_holder {
            is_news |= plan.of_holders.insert(session.peer);
        }
        if session.is_whole {
            plan.wholly.insert(session.peer);
            let document = &turn.core.document;
            if plan.others(document).all(|peer| plan.wholly.contains(&peer)) {
                let purpose = Purpose::Repair(RepairStep::Exact(vnode));
                turn.core.order(purpose, Order::Exact(vnode));
            }
        }
        let moves = !plan.sources.is_empty();
        if !plan.has_all(&turn.core.document) {
            // Those that are up may all not have it, and have to wait for one that is not.
            if is_news {
                self.soon(turn.now.at, vnode);
            }
            return;
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

/// Nobody else has copies of a vnode that was cleared, or is being: what is here is all.
fn is_alone(core: &mut Core, vnode: Vnode) {
    core.order(Purpose::Repair(RepairStep::Hold(vnode)), Order::Hold(vnode, true));
    core.order(Purpose::Repair(RepairStep::Exact(vnode)), Order::Exact(vnode));
}
