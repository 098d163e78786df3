//! What every change ends with.

use schemas::ids::Vnode;

use crate::placement::rebalance;
use crate::topology::ring::State;
use crate::topology::{Document, MemberIndex, Phase, Slot, voters};

impl Document {
    /// Makes everything follow from the lists that a change left.
    pub(super) fn close(&mut self) {
        self.end_alteration();
        self.ring.lay_out(self.layout());
        if !self.is_paused {
            rebalance(self);
        }
        self.rest();
        self.forget_members();
        self.voters = voters::choose(&self.members, &self.voters);
    }

    /// The namespace that is being altered has its new copies once all vnodes have; vnodes have
    /// nothing to alter once it was dropped.
    fn end_alteration(&mut self) {
        let vnodes = || self.ring.all().filter(|vnode| self.ring.is_altering(*vnode));
        if vnodes().next().is_none() {
            for namespace in &mut self.namespaces {
                namespace.former = None;
            }
        } else if self.namespaces.iter().all(|it| it.former.is_none()) {
            for vnode in vnodes().collect::<Vec<_>>() {
                let slots: Vec<Slot> = self.ring.slots(vnode).collect();
                let state = State { is_altering: false, ..self.ring.state(vnode) };
                self.ring.put(vnode, &slots, State { epoch: self.epoch, ..state });
            }
        }
    }

    /// Vnodes whose moving slots went with a namespace are stable: all their configurations are
    /// the same.
    fn rest(&mut self) {
        let moves = |it: &_| self.ring.phase(*it) != Phase::Stable && !self.ring.is_altering(*it);
        let vnodes: Vec<Vnode> = self.ring.all().filter(moves).collect();
        for vnode in vnodes {
            let slots: Vec<Slot> = self.ring.slots(vnode).collect();
            if !slots.iter().any(|slot| slot.is_moving()) {
                self.ring.set(vnode, &slots, Phase::Stable, self.epoch);
            }
        }
    }

    /// Members that are going are gone when no slot names them.
    fn forget_members(&mut self) {
        let named = self.ring.named(self.members.len());
        let stays: Vec<bool> = self
            .members
            .iter()
            .zip(named)
            .map(|(member, is_named)| is_named || member.standing.stays())
            .collect();
        let mut next = 0;
        let mut place = |stays: &bool| {
            next += u16::from(*stays);
            if *stays { MemberIndex(next - 1) } else { MemberIndex::NONE }
        };
        let places: Vec<_> = stays.iter().map(&mut place).collect();
        self.ring.renumber(&places);
        let mut stays = stays.iter();
        self.members.retain(|_| *stays.next().expect("one a member"));
    }
}
