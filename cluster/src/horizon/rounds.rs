//! [`Rounds`]: advances the horizons of the vnodes that this core looks after.
//!
//! ```text
//! all members promised `below`  --> Ask -> Told(clock), of every reader: their union U
//!                               --> Confirm(U) -> Confirmed, once a reader's clock has all of U
//!                               --> Advance(below, U): each reader keeps it, if it has all of U
//! ```
//! - The promises are older than the question: what anybody had alone when it promised more, a
//!   reader had by then.
//! - A round is of one epoch of the vnode and of all readers. Whatever is lost or changes, it ends
//!   by its deadline and nothing has happened; the next pass begins another.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::{Hlc, NodeId, Vnode};

use super::answering::{led, may_take_part};
use super::mark::Horizon;
use super::promise::Promised;
use crate::message::{HorizonMessage, Message, OpId};
use crate::mutation::Mutation;
use crate::shard::Turn;
use crate::time::Instant;
use crate::topology::Epoch;

/// Rounds of one core at a time.
const ROUNDS_MAX: usize = 16;

/// The horizons that a core looks after.
#[derive(Debug)]
pub(crate) struct Rounds {
    vnodes: RangeInclusive<Vnode>,
    /// Up to where this pass has come; `None` between passes.
    next_vnode: Option<u16>,
    next_pass: Instant,
    promised: Option<Promised>,
    rounds: BTreeMap<OpId, Round>,
    next_round: u64,
}

#[derive(Debug)]
struct Round {
    vnode: Vnode,
    epoch: Epoch,
    below: Hlc,
    /// Who has not answered the last question.
    waits_for: BTreeSet<NodeId>,
    readers: Vec<NodeId>,
    told: BTreeMap<NodeId, VnodeClock>,
    /// What all of them have together, once all have told.
    union: Option<VnodeClock>,
    ask_at: Instant,
    deadline: Instant,
}

impl Rounds {
    pub(crate) fn new(boot: u32, vnodes: RangeInclusive<Vnode>) -> Self {
        Self {
            vnodes,
            next_vnode: None,
            next_pass: Instant(0),
            promised: None,
            rounds: BTreeMap::new(),
            next_round: u64::from(boot) << 40,
        }
    }

    /// All members have promised.
    pub(crate) fn promised(&mut self, promised: Promised) {
        self.promised = Some(promised);
    }

    pub(crate) fn deadline(&self) -> Instant {
        let rounds = self.rounds.values().map(|it| it.ask_at.min(it.deadline));
        rounds.chain([self.next_pass]).min().unwrap_or(Instant::NEVER)
    }

    /// Rounds under way.
    pub(crate) fn len(&self) -> usize {
        self.rounds.len()
    }

    /// Begins rounds where there is something to gain, asks again, gives up.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.at;
        self.rounds.retain(|_, round| {
            let is_led = led(turn.core, round.vnode).is_some_and(|it| it.0 == round.epoch);
            round.deadline > now && is_led
        });
        let late: Vec<OpId> =
            self.rounds.iter().filter(|(_, it)| it.ask_at <= now).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.ask(turn, id));
        if self.next_pass <= now {
            self.next_pass = now + turn.core.tunables.horizon_period;
            self.next_vnode.get_or_insert(self.vnodes.start().0);
        }
        self.begin(turn);
    }

    /// Goes on with this pass, as far as there is room.
    fn begin(&mut self, turn: &mut Turn<'_>) {
        while self.rounds.len() < ROUNDS_MAX
            && let Some(at) = self.next_vnode
        {
            let end = (turn.core.document.ring.vnodes() - 1).min(usize::from(self.vnodes.end().0));
            if usize::from(at) > end {
                self.next_vnode = None;
                return;
            }
            let vnode = Vnode(at);
            self.next_vnode = at.checked_add(1);
            let Some((epoch, readers)) = led(turn.core, vnode) else { continue };
            let Some(below) = self.promised_for(turn, epoch) else { continue };
            let is_under_way = self.rounds.values().any(|it| it.vnode == vnode);
            if below <= turn.core.below(vnode) || is_under_way {
                continue;
            }
            let id = OpId(self.next_round);
            self.next_round += 1;
            let round = Round {
                vnode,
                epoch,
                below,
                waits_for: readers.iter().copied().collect(),
                readers,
                told: BTreeMap::new(),
                union: None,
                ask_at: turn.now.at,
                deadline: turn.now.at + turn.core.tunables.repair_patience * 4,
            };
            self.rounds.insert(id, round);
            self.ask(turn, id);
        }
    }

    /// What all members promise of a vnode that changed last in `epoch`.
    fn promised_for(&self, turn: &Turn<'_>, epoch: Epoch) -> Option<Hlc> {
        let Promised { topology, promise, .. } = self.promised?;
        let is_of_now = topology == turn.core.document.epoch && promise.epoch >= epoch;
        is_of_now.then_some(promise.below)
    }

    /// Asks those that have not answered.
    fn ask(&mut self, turn: &mut Turn<'_>, id: OpId) {
        let Some(it) = self.rounds.get_mut(&id) else { return };
        it.ask_at = turn.now.at + turn.core.tunables.repair_retry;
        let (round, epoch) = (id, it.epoch);
        for &node in &it.waits_for {
            let message = match &it.union {
                None => HorizonMessage::Ask { round, epoch },
                Some(union) => HorizonMessage::Confirm { round, epoch, clock: union.clone() },
            };
            turn.core.send(node, it.vnode, Message::Horizon(message));
        }
    }

    /// A reader has told what it has.
    pub(super) fn told(
        &mut self,
        turn: &mut Turn<'_>,
        from: NodeId,
        vnode: Vnode,
        id: OpId,
        clock: VnodeClock,
    ) {
        let is_asked = |it: &&mut Round| {
            it.vnode == vnode && it.union.is_none() && it.waits_for.contains(&from)
        };
        let Some(it) = self.rounds.get_mut(&id).filter(is_asked) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        it.waits_for.remove(&from);
        it.told.insert(from, clock);
        if !it.waits_for.is_empty() {
            return;
        }
        let mut union = VnodeClock::default();
        for clock in it.told.values() {
            union.join(clock);
        }
        // A clock that is full leaves out what it has no room for.
        let has_all = it.told.values().all(|clock| union.dominates(clock));
        if !has_all {
            self.rounds.remove(&id);
            return;
        }
        it.union = Some(union);
        it.waits_for = it.readers.iter().copied().collect();
        self.ask(turn, id);
    }

    /// A reader has all that all had.
    pub(super) fn confirmed(&mut self, turn: &mut Turn<'_>, from: NodeId, vnode: Vnode, id: OpId) {
        let is_asked = |it: &&mut Round| {
            it.vnode == vnode && it.union.is_some() && it.waits_for.contains(&from)
        };
        let Some(it) = self.rounds.get_mut(&id).filter(is_asked) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        it.waits_for.remove(&from);
        let is_hasty = turn.core.is_wrong(Mutation::HorizonWithoutAllOwners);
        if !it.waits_for.is_empty() && !is_hasty {
            return;
        }
        let Some(round) = self.rounds.remove(&id) else { return };
        let Some(clock) = round.union else { return };
        // Nobody takes part any more in what changed meanwhile.
        if may_take_part(turn.core, turn.core.me.node, vnode, round.epoch) {
            let horizon = Rc::new(Horizon { below: round.below, clock });
            for node in round.readers {
                let (epoch, horizon) = (round.epoch, Rc::clone(&horizon));
                let message = Message::Horizon(HorizonMessage::Advance { epoch, horizon });
                turn.core.send(node, vnode, message);
            }
            turn.core.counts.horizons += 1;
        }
        self.begin(turn);
    }

    /// Who told of something in a round that `ours` has not.
    pub(super) fn beyond(&self, id: OpId, ours: &VnodeClock) -> Vec<NodeId> {
        let told = self.rounds.get(&id).map(|it| &it.told);
        let beyond = told.into_iter().flatten().filter(|(_, clock)| !ours.dominates(clock));
        beyond.map(|(node, _)| *node).collect()
    }
}
