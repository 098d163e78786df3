//! [`Steward`]: what a node knows of vnodes that move, and what follows from it.
//!
//! Every node reports what it has caught up with, again and again, to the one that looks after
//! moves; that one proposes the next phase of vnodes of which all have reported. It keeps nothing
//! that others do not tell again, so anybody may do it, and two at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemas::ids::{NodeId, Vnode};

use super::{NodeTunables, Sizes};
use crate::moves::{reporters, witnesses};
use crate::mutation::{Mutation, Mutations};
use crate::time::Instant;
use crate::topology::{Change, Document, Epoch, Member, Phase, Standing};

/// What is known of vnodes that move.
#[derive(Debug)]
pub(super) struct Steward {
    every: Duration,
    look_at: Instant,
    forget_after: Duration,
    /// Members that do not answer, since when.
    down: BTreeMap<NodeId, Instant>,
    /// Since when all answer but the one that does not now, if one does not.
    others_up: Instant,
    /// What this node's cores have caught up with.
    own: BTreeMap<Vnode, Epoch>,
    /// What others have.
    reports: BTreeMap<Vnode, (Epoch, BTreeSet<NodeId>)>,
    pub(super) is_proposing: bool,
    /// Reports that did not count.
    pub(super) ignored: u64,
    last_ticket: u64,
    mutations: Mutations,
}

impl Steward {
    pub(super) fn new(now: Instant, tunables: &NodeTunables) -> Self {
        let NodeTunables { steward_every: every, forget_after, mutations, .. } = *tunables;
        Self {
            every,
            look_at: now + every,
            forget_after,
            down: BTreeMap::new(),
            others_up: now,
            own: BTreeMap::new(),
            reports: BTreeMap::new(),
            is_proposing: false,
            ignored: 0,
            last_ticket: 0,
            mutations,
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

    /// Remembers which members do not answer.
    pub(super) fn look_who_is_down(
        &mut self,
        now: Instant,
        document: &Document,
        is_up: impl Fn(NodeId) -> bool,
    ) {
        if self.down.len() > 1 {
            self.others_up = now;
        }
        self.down.retain(|&node, _| document.index_of(node).is_some() && !is_up(node));
        for member in document.members.iter().filter(|it| !is_up(it.id)) {
            self.down.entry(member.id).or_insert(now);
        }
    }

    /// A member that did not answer for so long that it is given up for lost. One at a time, and
    /// only if all others answered for as long: each that is lost takes copies with it, and what it
    /// kept for others, for which those have to have made up before.
    fn given_up(&self, now: Instant, document: &Document) -> Option<Change> {
        let mut down = self.down.iter();
        let (Some((&node, &since)), None) = (down.next(), down.next()) else { return None };
        let ring = &document.ring;
        let rests = ring.all().all(|vnode| ring.phase(vnode) == Phase::Stable);
        let is_member = |it: &Member| it.standing == Standing::Member;
        let lost = document.member(document.index_of(node)?);
        let owns = |it: &&Member| it.dc == lost.dc && it.id != node && it.weight > 0;
        let left = document.members.iter().filter(owns).count();
        let layout = ring.layout().iter().find(|it| it.name == lost.dc);
        let is_enough = layout.is_none_or(|it| left >= usize::from(it.copies));
        let is_safe = rests && is_enough && document.members.iter().all(is_member);
        let is_over = now.since(since.max(self.others_up)) >= self.forget_after;
        let with_last_copies = false;
        (is_safe && is_over && !document.is_paused)
            .then_some(Change::Lost { node, with_last_copies })
    }

    /// The change that is due: at most one at a time is under way. `has` tells whether a node has
    /// an epoch on its disk.
    pub(super) fn next_change(
        &mut self,
        now: Instant,
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
            self.mutations.has(Mutation::FinishEarly)
                || witnesses(document, vnode).into_iter().all(|node| has(node, ring.epoch(vnode)))
        });
        let over: Vec<(Vnode, Epoch)> = over.map(|vnode| (vnode, ring.epoch(vnode))).collect();
        let none = BTreeSet::new();
        let ready = of_phase(Phase::Moving).filter(|vnode| {
            let reported = self.reports.get(vnode).map_or(&none, |(_, nodes)| nodes);
            let is_early = self.mutations.has(Mutation::SettleEarly);
            let all_have = is_early || reporters(document, *vnode).is_subset(reported);
            !document.is_paused && all_have
        });
        let ready: Vec<(Vnode, Epoch)> = ready.map(|vnode| (vnode, ring.epoch(vnode))).collect();
        let change = if !over.is_empty() {
            Some(Change::Finish(over))
        } else if !ready.is_empty() {
            Some(Change::Settle(ready))
        } else {
            self.given_up(now, document)
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
