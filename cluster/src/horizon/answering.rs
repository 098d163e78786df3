//! A reader's part: it tells what it has, says when it has all, and takes a horizon only with that.

use std::rc::Rc;
use std::sync::Arc;

use schemas::clock::VnodeClock;
use schemas::ids::{Hlc, NodeId, Vnode};

use super::mark::Horizon;
use super::rounds::Rounds;
use crate::coordinator::{Access, copies};
use crate::event::{Order, StoreError, Stored};
use crate::message::{HorizonMessage, Message, OpId};
use crate::replica::{fence_own, fence_peer};
use crate::shard::{Core, Purpose, Turn};
use crate::topology::{Epoch, Phase};

/// What the store does for a horizon.
#[derive(Clone, Debug)]
pub(crate) enum HorizonStep {
    /// Looks for the oldest value that is kept for others.
    OldestHint,
    /// Reads the own clock, for who collects them.
    Tell(NodeId, Vnode, OpId),
    /// Reads it, to say whether it has all of another.
    Confirm(NodeId, Vnode, OpId, VnodeClock),
    /// Reads it, to take a horizon in an epoch if it has all of the horizon's.
    Advance(Vnode, Epoch, Rc<Horizon>),
    /// Keeps a horizon.
    Keep(Vnode, Rc<Horizon>),
}

/// Whether this node and `peer` are readers of a vnode that rests in `epoch`, and this one has all
/// of it.
pub(super) fn may_take_part(core: &Core, peer: NodeId, vnode: Vnode, epoch: Epoch) -> bool {
    if fence_own(core, vnode, epoch).is_err() || core.document.ring.phase(vnode) != Phase::Stable {
        return false;
    }
    let readers = copies(&core.document, vnode, None, Access::Read);
    is_whole(core, vnode) && readers.contains(&peer) && readers.contains(&core.me.node)
}

fn is_whole(core: &Core, vnode: Vnode) -> bool {
    core.is_held(vnode) && !core.retaking.contains(&vnode) && !core.dropping.contains(&vnode)
}

/// Whether this node may take a horizon of a vnode that one of its owners tells of: if its copy is
/// whole, though it was given away.
fn may_adopt(core: &Core, vnode: Vnode, epoch: Epoch) -> bool {
    core.document.ring.epoch(vnode) == epoch && is_whole(core, vnode)
}

/// Another reader says something of a horizon, or this node itself; `last` is the last stamp that
/// this node gave. A horizon above it is none: this node has promised nothing like it.
pub(crate) fn hear(
    turn: &mut Turn<'_>,
    rounds: &mut Rounds,
    (from, last): (NodeId, Hlc),
    vnode: Vnode,
    message: HorizonMessage,
) {
    let core = &mut *turn.core;
    let (epoch, step) = match message {
        HorizonMessage::Told { round, clock } => {
            return rounds.told(turn, from, vnode, round, clock);
        }
        HorizonMessage::Confirmed { round } => return rounds.confirmed(turn, from, vnode, round),
        HorizonMessage::Ask { round, epoch } => (epoch, HorizonStep::Tell(from, vnode, round)),
        HorizonMessage::Confirm { round, epoch, clock } => {
            (epoch, HorizonStep::Confirm(from, vnode, round, clock))
        }
        HorizonMessage::Advance { horizon, .. } if horizon.below > last => {
            return core.counts.malformed += 1;
        }
        HorizonMessage::Advance { epoch, horizon } => {
            (epoch, HorizonStep::Advance(vnode, epoch, horizon))
        }
    };
    let may = match &step {
        HorizonStep::Advance(..) => {
            fence_peer(core, from, vnode, epoch).is_ok() && may_adopt(core, vnode, epoch)
        }
        _ => may_take_part(core, from, vnode, epoch),
    };
    if may {
        match core.has_room_to_compare() {
            Ok(()) => core.order(Purpose::Horizon(step), Order::Clock(vnode)),
            Err(refusal) => core.counts.count(refusal),
        }
    } else if let Err(refusal) = fence_own(core, vnode, epoch) {
        core.count_refusal(from, epoch, refusal);
    }
}

/// The store has read the own clock. Whom to compare with first, if something is missing.
pub(crate) fn clock_read(
    turn: &mut Turn<'_>,
    rounds: &Rounds,
    step: HorizonStep,
    result: Result<Stored, StoreError>,
) -> Vec<(Vnode, NodeId)> {
    let core = &mut *turn.core;
    let Ok(Stored::Clock(ours)) = result else { return Vec::new() };
    match step {
        HorizonStep::Tell(to, vnode, round) => {
            let told = HorizonMessage::Told { round, clock: ours };
            core.send(to, vnode, Message::Horizon(told));
        }
        HorizonStep::Confirm(to, vnode, round, clock) if ours.dominates(&clock) => {
            core.send(to, vnode, Message::Horizon(HorizonMessage::Confirmed { round }));
        }
        // Who collects gets from each what it lacks, and all others get it from there.
        HorizonStep::Confirm(from, vnode, round, _) if from == core.me.node => {
            let lacks = rounds.beyond(round, &ours).into_iter();
            return lacks.map(|node| (vnode, node)).collect();
        }
        HorizonStep::Confirm(from, vnode, ..) => return vec![(vnode, from)],
        HorizonStep::Advance(vnode, epoch, horizon) => {
            if may_adopt(core, vnode, epoch) && ours.dominates(&horizon.clock) {
                adopt(core, vnode, horizon);
            }
        }
        HorizonStep::OldestHint | HorizonStep::Keep(..) => unreachable!("it reads no clock"),
    }
    Vec::new()
}

/// Takes a horizon that this node's copy has all of, unless it has a later one.
pub(crate) fn adopt(core: &mut Core, vnode: Vnode, horizon: Rc<Horizon>) {
    if horizon.below > core.below(vnode) {
        let order = Order::Horizon(vnode, Rc::clone(&horizon));
        core.order(Purpose::Horizon(HorizonStep::Keep(vnode, horizon)), order);
    }
}

/// The store has taken a horizon: what comes from now on is behind it.
pub(crate) fn taken(core: &mut Core, vnode: Vnode, horizon: Rc<Horizon>) {
    if horizon.below > core.below(vnode) {
        core.horizons.insert(vnode, horizon);
    }
}

/// The readers of a vnode that rests, this node's own where it has all of it and is the first of
/// those that answer: it looks after the horizon.
pub(super) fn led(core: &Core, vnode: Vnode) -> Option<(Epoch, Vec<NodeId>)> {
    let document = Arc::clone(&core.document);
    let epoch = document.ring.epoch(vnode);
    let readers = copies(&document, vnode, None, Access::Read);
    let first = readers.iter().copied().find(|&node| core.is_up(node));
    let leads = first == Some(core.me.node) && may_take_part(core, core.me.node, vnode, epoch);
    leads.then(|| (epoch, readers.to_vec()))
}
