//! [`Steward`]: what a node knows of vnodes that move, and what follows from it.
//!
//! Every node reports what it has caught up with, again and again, to the one that looks after
//! moves; that one proposes the next phase of vnodes of which all have reported. It keeps nothing
//! that others do not tell again, so anybody may do it, and two at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::ids::{NodeId, Vnode};

use super::Sizes;
use crate::moves::{reporters, witnesses};
use crate::time::Instant;
use crate::topology::{Change, Document, Epoch, Phase};

/// What is known of vnodes that move.
#[derive(Debug)]
pub(super) struct Steward {
    every: Duration,
    look_at: Instant,
    /// What this node's cores have caught up with.
    own: BTreeMap<Vnode, Epoch>,
    /// What others have.
    reports: BTreeMap<Vnode, (Epoch, BTreeSet<NodeId>)>,
    pub(super) is_proposing: bool,
    /// Reports that did not count.
    pub(super) ignored: u64,
    last_ticket: u64,
}

impl Steward {
    pub(super) fn new(now: Instant, every: Duration) -> Self {
        Self {
            every,
            look_at: now + every,
            own: BTreeMap::new(),
            reports: BTreeMap::new(),
            is_proposing: false,
            ignored: 0,
            last_ticket: 0,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.look_at
    }

    pub(super) fn looked(&mut self, now: Instant) {
        self.look_at = now + self.every;
    }

    pub(super) fn next_ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// Writes down how much there is of what.
    pub(super) fn measure(&self, sizes: &mut Sizes) {
        sizes.caught_up = self.own.len();
        sizes.reports = self.reports.values().map(|(_, nodes)| nodes.len()).sum();
    }

    /// A core of this node has caught up.
    pub(super) fn caught_up(&mut self, vnode: Vnode, epoch: Epoch) {
        self.own.insert(vnode, epoch);
    }

    /// What this node is to report, of vnodes that still move as they did.
    pub(super) fn own_report(&mut self, document: &Document, me: NodeId) -> Vec<(Vnode, Epoch)> {
        self.own.retain(|&vnode, epoch| {
            is_moving(document, vnode, *epoch) && document.index_of(me).is_some()
        });
        self.own.iter().map(|(vnode, epoch)| (*vnode, *epoch)).collect()
    }

    /// `from` has caught up; what is not of this topology does not count.
    pub(super) fn report(&mut self, document: &Document, from: NodeId, vnodes: &[(Vnode, Epoch)]) {
        let is_member = document.index_of(from).is_some();
        for &(vnode, epoch) in vnodes {
            if !is_member || !is_moving(document, vnode, epoch) {
                self.ignored += 1;
                continue;
            }
            let (of, nodes) = self.reports.entry(vnode).or_default();
            if *of != epoch {
                (*of, *nodes) = (epoch, BTreeSet::new());
            }
            nodes.insert(from);
        }
    }

    /// The change that is due: at most one at a time is under way. `has` tells whether a node has
    /// an epoch on its disk.
    pub(super) fn next_change(
        &mut self,
        document: &Document,
        has: impl Fn(NodeId, Epoch) -> bool,
    ) -> Option<Change> {
        self.reports.retain(|&vnode, (epoch, _)| is_moving(document, vnode, *epoch));
        if self.is_proposing {
            return None;
        }
        let ring = &document.ring;
        let of_phase = |phase| ring.all().filter(move |&vnode| ring.phase(vnode) == phase);
        let over = of_phase(Phase::Settling).filter(|&vnode| {
            witnesses(document, vnode).into_iter().all(|node| has(node, ring.epoch(vnode)))
        });
        let over: Vec<(Vnode, Epoch)> = over.map(|vnode| (vnode, ring.epoch(vnode))).collect();
        let none = BTreeSet::new();
        let ready = of_phase(Phase::Moving).filter(|vnode| {
            let reported = self.reports.get(vnode).map_or(&none, |(_, nodes)| nodes);
            !document.is_paused && reporters(document, *vnode).is_subset(reported)
        });
        let ready: Vec<(Vnode, Epoch)> = ready.map(|vnode| (vnode, ring.epoch(vnode))).collect();
        let change = if !over.is_empty() {
            Some(Change::Finish(over))
        } else if !ready.is_empty() {
            Some(Change::Settle(ready))
        } else {
            None
        };
        self.is_proposing = change.is_some();
        change
    }
}

fn is_moving(document: &Document, vnode: Vnode, epoch: Epoch) -> bool {
    let ring = &document.ring;
    usize::from(vnode.0) < ring.vnodes()
        && ring.epoch(vnode) == epoch
        && ring.phase(vnode) == Phase::Moving
}
