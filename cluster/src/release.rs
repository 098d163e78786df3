//! [`Release`]: vnodes that this node has given away. They are forgotten when every owner has on
//! disk all that this node has of them.
//!
//! Whoever has not is told what there is to have, and gets it as owners get all from each other.
//!
//! A copy that falls short of a horizon is given away to one that has all of it, in the same way,
//! and then begins anew with that horizon, which keeps out what is late.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use schemas::clock::VnodeClock;
use schemas::ids::{NodeId, Vnode};

use crate::coordinator::{Access, copies};
use crate::event::{Effect, Order, StoreError, Stored};
use crate::horizon::{Horizon, HorizonStep};
use crate::message::Message;
use crate::repair::Short;
use crate::replica::fence_own;
use crate::shard::{Core, Purpose, Sizes, Turn};
use crate::time::Instant;
use crate::topology::{Epoch, Phase};

/// Vnodes asked about at a time.
const ASKED_MAX: usize = 16;

/// What the store does for a vnode that was given away, or that another node gave away.
#[derive(Clone, Debug)]
pub(crate) enum ReleaseStep {
    /// Reads the own clock.
    Read(Vnode),
    /// Forgets it.
    Drop(Vnode),
    /// Remembers that it has not all.
    Unhold,
    /// Reads the clock for a node that has given the vnode to this one, and what it has.
    Compare(NodeId, Vnode, Epoch, VnodeClock),
}

/// Vnodes that this node has given away.
#[derive(Debug)]
pub(crate) struct Release {
    vnodes: RangeInclusive<Vnode>,
    given: BTreeMap<Vnode, Given>,
}

#[derive(Debug)]
struct Given {
    epoch: Epoch,
    owners: BTreeSet<NodeId>,
    /// Who has all of `clock`.
    has_all: BTreeSet<NodeId>,
    clock: Option<VnodeClock>,
    ask_at: Instant,
    is_dropping: bool,
    /// The horizon to begin anew with, of a vnode that this node owns.
    anew: Option<Rc<Horizon>>,
}

impl Release {
    pub(crate) fn new(vnodes: RangeInclusive<Vnode>) -> Self {
        Self { vnodes, given: BTreeMap::new() }
    }

    /// Takes up the vnodes that this node holds and does not own any more.
    pub(crate) fn topology(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.at;
        let document = Arc::clone(&turn.core.document);
        let vnodes = self.vnodes.start().0..=self.vnodes.end().0;
        for vnode in vnodes.map(Vnode).filter(|it| usize::from(it.0) < document.ring.vnodes()) {
            let epoch = document.ring.epoch(vnode);
            if self.given.get(&vnode).is_some_and(|it| it.epoch == epoch) {
                continue;
            }
            if self.given.remove(&vnode).is_some() {
                turn.core.retaking.remove(&vnode);
            }
            let core = &*turn.core;
            let owners = copies(&document, vnode, None, Access::Write);
            let is_given = core.has_some(vnode)
                && !owners.contains(&core.me.node)
                && document.ring.phase(vnode) == Phase::Stable
                && !owners.is_empty();
            if is_given {
                let given = Given {
                    epoch,
                    owners: owners.into_iter().collect(),
                    has_all: BTreeSet::new(),
                    clock: None,
                    ask_at: now,
                    is_dropping: false,
                    anew: None,
                };
                self.given.insert(vnode, given);
            }
        }
    }

    /// Writes down how much there is of what.
    pub(crate) fn measure(&self, sizes: &mut Sizes) {
        sizes.given = self.given.len();
    }

    /// This node's copy of a vnode has not all that another's horizon is of.
    pub(crate) fn falls_short(&mut self, turn: &mut Turn<'_>, (vnode, of, horizon): Short) {
        let core = &mut *turn.core;
        if core.retaking.contains(&vnode) || core.dropping.contains(&vnode) {
            return;
        }
        core.counts.retaken += 1;
        core.held.remove(&vnode);
        core.retaking.insert(vnode);
        core.order(Purpose::Release(ReleaseStep::Unhold), Order::Hold(vnode, false));
        let given = Given {
            epoch: core.document.ring.epoch(vnode),
            owners: BTreeSet::from([of]),
            has_all: BTreeSet::new(),
            clock: None,
            ask_at: turn.now.at,
            is_dropping: false,
            anew: Some(horizon),
        };
        self.given.insert(vnode, given);
    }

    /// The least epoch of a vnode that was given away and is not forgotten.
    pub(crate) fn least_epoch(&self) -> Option<Epoch> {
        self.given.values().filter(|it| it.anew.is_none()).map(|it| it.epoch).min()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let waits = self.given.values().filter(|it| !it.is_dropping);
        waits.take(ASKED_MAX).map(|it| it.ask_at).min()
    }

    /// Asks owners whether they have all.
    pub(crate) fn due(&mut self, turn: &mut Turn<'_>) {
        let (now, retry) = (turn.now.at, turn.core.tunables.repair_retry);
        let waits = self.given.iter_mut().filter(|(_, it)| !it.is_dropping).take(ASKED_MAX);
        for (&vnode, it) in waits.filter(|(_, it)| it.ask_at <= now) {
            it.ask_at = now + retry;
            if turn.core.is_forgetting(vnode) {
                continue;
            }
            turn.core.order(Purpose::Release(ReleaseStep::Read(vnode)), Order::Clock(vnode));
        }
    }

    /// The store has told the own clock, or the clock that another's is compared with.
    pub(crate) fn read(
        &mut self,
        turn: &mut Turn<'_>,
        step: ReleaseStep,
        result: Result<Stored, StoreError>,
    ) -> Option<(Vnode, NodeId)> {
        let Ok(Stored::Clock(clock)) = result else { return None };
        match step {
            ReleaseStep::Read(vnode) => {
                let it = self.given.get_mut(&vnode)?;
                if it.clock.as_ref() != Some(&clock) {
                    (it.has_all, it.clock) = (BTreeSet::new(), Some(clock.clone()));
                }
                for &owner in it.owners.difference(&it.has_all) {
                    let message = Message::Release { epoch: it.epoch, clock: clock.clone() };
                    turn.core.send(owner, vnode, message);
                }
                None
            }
            ReleaseStep::Compare(from, vnode, epoch, theirs) if clock.dominates(&theirs) => {
                let message = Message::Released { epoch, clock: theirs };
                turn.core.send(from, vnode, message);
                None
            }
            ReleaseStep::Compare(from, vnode, ..) => Some((vnode, from)),
            ReleaseStep::Drop(_) | ReleaseStep::Unhold => unreachable!("it reads nothing"),
        }
    }

    /// An owner has all that this node told of.
    pub(crate) fn released(
        &mut self,
        core: &mut Core,
        from: NodeId,
        vnode: Vnode,
        epoch: Epoch,
        clock: &VnodeClock,
    ) {
        let is_same = |it: &&mut Given| it.epoch == epoch && it.clock.as_ref() == Some(clock);
        let Some(it) = self.given.get_mut(&vnode).filter(is_same) else {
            core.counts.stray_answers += 1;
            return;
        };
        if !it.owners.contains(&from) {
            core.counts.stray_answers += 1;
            return;
        }
        it.has_all.insert(from);
        if !it.is_dropping && it.owners.is_subset(&it.has_all) {
            it.is_dropping = true;
            core.dropping.insert(vnode);
            core.order(Purpose::Release(ReleaseStep::Drop(vnode)), Order::Drop(vnode));
        }
    }

    /// The store will not forget a vnode, for now.
    pub(crate) fn not_dropped(&mut self, core: &mut Core, vnode: Vnode) {
        core.dropping.remove(&vnode);
        if let Some(it) = self.given.get_mut(&vnode) {
            (it.is_dropping, it.has_all) = (false, BTreeSet::new());
        }
    }

    /// The store has forgotten a vnode.
    pub(crate) fn dropped(&mut self, core: &mut Core, vnode: Vnode) {
        let given = self.given.remove(&vnode);
        core.dropping.remove(&vnode);
        core.retaking.remove(&vnode);
        core.inexact.remove(&vnode);
        core.held.remove(&vnode);
        core.horizons.remove(&vnode);
        match given.and_then(|it| it.anew) {
            Some(horizon) => {
                let order = Order::Horizon(vnode, Rc::clone(&horizon));
                core.order(Purpose::Horizon(HorizonStep::Keep(vnode, horizon)), order);
            }
            None => {
                core.stored.remove(&vnode);
                core.effect(Effect::Released(vnode));
            }
        }
    }
}

/// A node that has given a vnode to this one asks whether all of it is here.
pub(crate) fn compare(
    core: &mut Core,
    from: NodeId,
    vnode: Vnode,
    epoch: Epoch,
    clock: VnodeClock,
) {
    let result = fence_own(core, vnode, epoch).and_then(|()| core.has_room_to_compare());
    if let Err(refusal) = result {
        return core.count_refusal(from, epoch, refusal);
    }
    if core.is_forgetting(vnode) {
        return;
    }
    let step = ReleaseStep::Compare(from, vnode, epoch, clock);
    core.order(Purpose::Release(step), Order::Clock(vnode));
}
