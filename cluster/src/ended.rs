//! [`EndedLives`]: dots that a crash took, of which nothing more is to come, are asked for and
//! called void ([`crate::version::EndedBoot`] says how that is safe).
//!
//! ```text
//! own clock has gaps of an ended life --> Ended? to all members --> Dots of the store, reported
//!                                     --> Ended? to owners      --> Dots of the store, reported
//! all that there is --> Void to owners --> own clock has all of it --> Join of the void ones
//! ```
//! - One owner asks, the first reader that is up, and only while all members are: nobody knows who
//!   may have hints, so all are givers. Two may ask at a time; what each learns is true.
//! - A question is of one epoch of the topology, and is put anew in the next: givers and owners are
//!   those of one document, and whoever answers knows all members that the ended life knew.
//! - A node answers when it knows that the life is over, and refuses what that life sends from then
//!   on; when operations are over that were under way, since they may carry what they have read;
//!   and of what is on disk, after all that was taken before.
//! - Bounded: so many questions at a time, each for so long, and one line for each that waits to be
//!   answered. What is lost is asked again; an owner that lacks some learns it, and what is void,
//!   as owners learn all from each other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use schemas::clock::VnodeClock;
use schemas::ids::{Actor, NodeId, Vnode};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::coordinator::{Access, Coordinator, copies};
use crate::event::{Order, Stored};
use crate::message::{Message, OpId};
use crate::mutation::Mutation;
use crate::shard::{Core, Purpose, Turn};
use crate::time::Instant;
use crate::topology::{Epoch, Standing};
use crate::version::{Ended, EndedBoot, Question, Report, Round};

/// Lives that one core asks about at a time.
const ASKED_MAX: usize = 8;

/// Questions that wait for operations to be over. Past it all are forgotten: they are asked again.
const WAITING_MAX: usize = 256;

/// What the store does about ended lives.
#[derive(Clone, Debug)]
pub(crate) enum EndedStep {
    /// Reads the own clock, for what is missing.
    Look(Vnode),
    /// Reads what there is of one, for who asks.
    Report(NodeId, Vnode, Question),
    /// Reads the own clock, for what is void.
    Compare(Vnode, Epoch, Rc<Ended>),
    /// Counts what is void as seen.
    Add,
    /// Counts what is there as seen.
    Recount,
}

/// The ended lives that one core asks about.
#[derive(Debug)]
pub(crate) struct EndedLives {
    vnodes: RangeInclusive<Vnode>,
    /// When to look at which vnode.
    next: BTreeSet<(Instant, Vnode)>,
    asking: BTreeMap<(Vnode, Actor), Asking>,
    next_number: u64,
    /// What was asked by whom, and the first operation that began after.
    waiting: BTreeMap<(NodeId, Vnode, Actor), (Question, OpId)>,
    /// Vnodes that were counted anew, and until when that is not done again.
    recounted: BTreeMap<Vnode, Instant>,
}

#[derive(Debug)]
struct Asking {
    boot: EndedBoot,
    ask_at: Instant,
    give_up_at: Instant,
}

impl EndedLives {
    pub(crate) fn new(boot: u32, vnodes: RangeInclusive<Vnode>) -> Self {
        Self {
            vnodes,
            next: BTreeSet::new(),
            asking: BTreeMap::new(),
            next_number: u64::from(boot) << 40,
            waiting: BTreeMap::new(),
            recounted: BTreeMap::new(),
        }
    }

    /// Takes up the vnodes that this node reads by the document of now. What was asked by another
    /// is asked anew.
    pub(crate) fn topology(&mut self, turn: &Turn<'_>) {
        let (core, me) = (&*turn.core, turn.core.me.node);
        let document = Arc::clone(&core.document);
        self.asking.clear();
        self.waiting.clear();
        let known: BTreeMap<Vnode, Instant> = self.next.iter().map(|it| (it.1, it.0)).collect();
        self.next.clear();
        let every_us = look_every(core).as_micros() as u64;
        let vnodes = self.vnodes.start().0..=self.vnodes.end().0;
        for vnode in vnodes.map(Vnode).filter(|it| usize::from(it.0) < document.ring.vnodes()) {
            if copies(&document, vnode, None, Access::Read).contains(&me) {
                let hash = xxh3_64_with_seed(&vnode.0.to_le_bytes(), me.0.get());
                let spread = Duration::from_micros(hash % (every_us + 1));
                let at = known.get(&vnode).copied().unwrap_or(turn.now.at + spread);
                self.next.insert((at, vnode));
            }
        }
    }

    /// Ended lives that are asked about, here and by others.
    pub(crate) fn len(&self) -> usize {
        self.asking.len() + self.waiting.len()
    }

    /// When [`due`](Self::due) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let has_room = self.asking.len() < ASKED_MAX;
        let look = self.next.first().filter(|_| has_room).map(|it| it.0);
        let again = self.asking.values().map(|it| it.ask_at).min();
        [look, again].into_iter().flatten().min()
    }

    /// Looks at vnodes, and asks again.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.at;
        self.asking.retain(|_, it| it.give_up_at > now);
        for (&(vnode, _), it) in self.asking.iter_mut().filter(|(_, it)| it.ask_at <= now) {
            it.ask(turn, vnode);
        }
        let all_are_up = has_all_members(turn.core);
        while self.asking.len() < ASKED_MAX {
            let Some(&(at, vnode)) = self.next.first().filter(|(at, _)| *at <= now) else { return };
            self.next.remove(&(at, vnode));
            self.next.insert((now + look_every(turn.core), vnode));
            if all_are_up && is_asker(turn.core, vnode) && !turn.core.is_forgetting(vnode) {
                turn.core.order(Purpose::Ended(EndedStep::Look(vnode)), Order::Clock(vnode));
            }
        }
    }

    /// The store has told what it was asked for.
    pub(crate) fn read(&mut self, turn: &mut Turn<'_>, step: EndedStep, stored: Stored) {
        match (step, stored) {
            (EndedStep::Look(vnode), Stored::Clock(clock)) => self.looked(turn, vnode, &clock),
            (EndedStep::Report(to, vnode, question), Stored::Dots(dots)) => {
                match dots.filter(|_| !turn.core.is_forgetting(vnode)) {
                    Some(clock) if is_of_now(turn.core, question) => {
                        let report = Box::new(Report { question, clock });
                        turn.core.send(to, vnode, Message::EndedReport(report));
                    }
                    Some(_) => {}
                    None => self.recount(turn, vnode),
                }
            }
            (EndedStep::Compare(vnode, epoch, ended), Stored::Clock(mut clock)) => {
                let core = &mut *turn.core;
                let may = core.document.epoch == epoch && !core.is_forgetting(vnode);
                if may && ended.collapse(&mut clock) {
                    core.counts.lives_ended += 1;
                    let order = Order::Join(vnode, clock.only(ended.actor()));
                    core.order(Purpose::Ended(EndedStep::Add), order);
                }
            }
            (step, stored) => unreachable!("{step:?} asks for no {stored:?}"),
        }
    }

    /// The clock of `vnode` ran out of room: counts anew what is there, before it is asked again.
    fn recount(&mut self, turn: &mut Turn<'_>, vnode: Vnode) {
        let now = turn.now.at;
        self.recounted.retain(|_, until| *until > now);
        let is_wanted = !turn.core.inexact.contains(&vnode) && !turn.core.is_forgetting(vnode);
        if is_wanted && !self.recounted.contains_key(&vnode) {
            self.recounted.insert(vnode, now + look_every(turn.core));
            turn.core.order(Purpose::Ended(EndedStep::Recount), Order::Recount(vnode));
        }
    }

    /// Begins to ask about the ended lives of which `clock`, the own one, lacks some.
    fn looked(&mut self, turn: &mut Turn<'_>, vnode: Vnode, clock: &VnodeClock) {
        if !has_all_members(turn.core) || !is_asker(turn.core, vnode) {
            return;
        }
        let lacks = clock.actors().iter().filter(|it| !it.runs().is_empty());
        for actor in lacks.map(|it| it.actor()) {
            let is_new = !self.asking.contains_key(&(vnode, actor));
            if is_new && self.asking.len() < ASKED_MAX && turn.core.is_over(actor) {
                self.begin(turn, vnode, actor);
            }
        }
    }

    fn begin(&mut self, turn: &mut Turn<'_>, vnode: Vnode, actor: Actor) {
        let document = Arc::clone(&turn.core.document);
        let owners = copies(&document, vnode, None, Access::Write).into_iter().collect();
        let mut givers: BTreeSet<NodeId> = document.members.iter().map(|it| it.id).collect();
        if turn.core.is_wrong(Mutation::VoidWithoutGivers) {
            givers.clear();
        }
        self.next_number += 1;
        let now = turn.now.at;
        let boot = EndedBoot::new(actor, document.epoch, self.next_number, givers, owners);
        let give_up_at = now + turn.core.tunables.repair_period;
        let mut asking = Asking { boot, ask_at: now, give_up_at };
        asking.ask(turn, vnode);
        self.asking.insert((vnode, actor), asking);
    }

    /// `from` asks what there is of an ended life.
    pub(crate) fn asked(
        &mut self,
        turn: &mut Turn<'_>,
        coordinator: &Coordinator,
        from: NodeId,
        vnode: Vnode,
        question: Question,
    ) {
        let core = &mut *turn.core;
        core.heard_newer(from, question.epoch);
        let owners = copies_of(core, vnode);
        let answers = match question.round {
            Round::Givers => true,
            Round::Owners => core.is_held(vnode) && owners.contains(&core.me.node),
        };
        let is_known = is_of_now(core, question) && owners.contains(&from) && answers;
        let may = core.is_over(question.actor) && !core.is_forgetting(vnode);
        if !is_known || !may || core.has_room().is_err() {
            return;
        }
        let place = (from, vnode, question.actor);
        let waits = self.waiting.get(&place).filter(|it| it.0 == question);
        let began = waits.map_or(coordinator.next_op(), |it| it.1);
        if coordinator.has_older(vnode, began) {
            if self.waiting.len() >= WAITING_MAX {
                self.waiting.clear();
            }
            self.waiting.insert(place, (question, began));
            return;
        }
        self.waiting.remove(&place);
        let step = EndedStep::Report(from, vnode, question);
        core.order(Purpose::Ended(step), Order::Dots { vnode, actor: question.actor });
    }

    /// `from` tells what it has.
    pub(crate) fn reported(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        vnode: Vnode,
        report: &Report,
    ) {
        let place = (vnode, report.question.actor);
        let Some(asking) = self.asking.get_mut(&place) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        let before = asking.boot.question();
        let taken = asking.boot.take(from, report);
        match taken {
            Ok(Some(ended)) => {
                self.asking.remove(&place);
                let (epoch, ended) = (before.epoch, Rc::new(ended));
                for owner in copies_of(turn.core, vnode) {
                    let ended = Rc::clone(&ended);
                    turn.core.send(owner, vnode, Message::Void { epoch, ended });
                }
            }
            Ok(None) if asking.boot.question() != before => asking.ask(turn, vnode),
            Ok(None) => {}
            Err(_) => turn.core.counts.stray_answers += 1,
        }
    }
}

impl Asking {
    /// Asks all that have not answered.
    fn ask(&mut self, turn: &mut Turn<'_>, vnode: Vnode) {
        self.ask_at = turn.now.at + turn.core.tunables.repair_retry;
        let question = self.boot.question();
        for &node in self.boot.asked() {
            turn.core.send(node, vnode, Message::Ended(question));
        }
    }
}

/// An owner has learnt what is void of an ended life.
pub(crate) fn void(core: &mut Core, from: NodeId, vnode: Vnode, epoch: Epoch, ended: Rc<Ended>) {
    core.heard_newer(from, epoch);
    let owners = copies_of(core, vnode);
    let is_owner = owners.contains(&core.me.node) && owners.contains(&from);
    let is_known = is_owner && core.document.epoch == epoch && core.is_over(ended.actor());
    if is_known && !core.is_forgetting(vnode) && core.has_room().is_ok() {
        let step = EndedStep::Compare(vnode, epoch, ended);
        core.order(Purpose::Ended(step), Order::Clock(vnode));
    }
}

fn is_of_now(core: &Core, question: Question) -> bool {
    core.document.epoch == question.epoch
}

/// Those that have copies of `vnode`; nobody if there is no such vnode.
fn copies_of(core: &Core, vnode: Vnode) -> Vec<NodeId> {
    let document = &core.document;
    if usize::from(vnode.0) < document.ring.vnodes() {
        copies(document, vnode, None, Access::Write).into_iter().collect()
    } else {
        Vec::new()
    }
}

/// How often each vnode is looked at.
fn look_every(core: &Core) -> Duration {
    core.tunables.repair_period / 2
}

/// Whether it is this node that asks.
fn is_asker(core: &Core, vnode: Vnode) -> bool {
    let readers = copies(&core.document, vnode, None, Access::Read);
    readers.into_iter().find(|&node| core.is_up(node)) == Some(core.me.node)
}

/// Whether all members answer, so that all could be asked.
fn has_all_members(core: &Core) -> bool {
    let mut members = core.document.members.iter();
    members.all(|it| it.standing != Standing::Lost && core.is_up(it.id))
}
