//! Members that come and go.

use std::collections::BTreeSet;

use schemas::ids::{NodeId, Vnode};

use super::ChangeRefused;
use crate::topology::{DataCentre, Document, Member, MemberIndex, Namespace, Phase, Standing};

impl Document {
    /// The member `node`.
    pub(super) fn known(&mut self, node: NodeId) -> Result<&mut Member, ChangeRefused> {
        let at = self.index_of(node).ok_or(ChangeRefused::UnknownMember(node))?;
        Ok(&mut self.members[usize::from(at.0)])
    }

    pub(super) fn join(&mut self, member: Member) -> Result<(), ChangeRefused> {
        let Err(at) = self.members.binary_search_by(|it| it.id.cmp(&member.id)) else {
            return Err(ChangeRefused::AlreadyMember(member.id));
        };
        let place = |it: usize| MemberIndex((it + usize::from(it >= at)) as u16);
        let places: Vec<_> = (0..self.members.len()).map(place).collect();
        self.ring.renumber(&places);
        self.members.insert(at, Member { standing: Standing::Member, ..member });
        Ok(())
    }

    pub(super) fn leave(&mut self, node: NodeId) -> Result<(), ChangeRefused> {
        let before = self.members.clone();
        let member = self.known(node)?;
        if member.standing.stays() {
            member.standing = Standing::Leaving;
        }
        self.check_owners(&before)
    }

    pub(super) fn lose(
        &mut self,
        node: NodeId,
        with_last_copies: bool,
    ) -> Result<(), ChangeRefused> {
        self.known(node)?.standing = Standing::Lost;
        match self.lost_with(node).filter(|_| !with_last_copies) {
            Some(vnode) => Err(ChangeRefused::LastCopy { node, vnode }),
            None => Ok(()),
        }
    }

    pub(super) fn replace(
        &mut self,
        old: NodeId,
        new: Member,
        is_lost: bool,
    ) -> Result<(), ChangeRefused> {
        let (before, id) = (self.members.clone(), new.id);
        let dc = self.known(old)?.dc.clone();
        if new.dc != dc {
            return Err(ChangeRefused::OtherDataCentre { old: dc, new: new.dc });
        }
        self.join(new)?;
        if is_lost {
            self.lose(old, false)?;
        } else if self.known(old)?.standing.stays() {
            self.known(old)?.standing = Standing::Leaving;
        }
        self.check_owners(&before)?;
        let (old, new) = (self.index_of(old), self.index_of(id));
        for vnode in self.ring.all() {
            let mut slots: Vec<_> = self.ring.slots(vnode).collect();
            // A slot it was to have, or else the one it has.
            let aimed = slots.iter().position(|slot| slot.successor == old);
            let place = aimed.or_else(|| slots.iter().position(|slot| slot.reader == old));
            if let Some(at) = place.filter(|_| self.ring.phase(vnode) != Phase::Settling) {
                slots[at].successor = new;
                self.ring.set(vnode, &slots, Phase::Moving, self.epoch);
            }
        }
        Ok(())
    }

    pub(super) fn weigh(&mut self, node: NodeId, weight: u32) -> Result<(), ChangeRefused> {
        let before = self.members.clone();
        self.known(node)?.weight = weight;
        self.check_owners(&before)
    }

    pub(super) fn replace_voters(
        &mut self,
        absent: &[NodeId],
        back: &[NodeId],
    ) -> Result<(), ChangeRefused> {
        for (nodes, may_vote) in [(absent, false), (back, true)] {
            for node in nodes {
                self.known(*node)?.may_vote = may_vote;
            }
        }
        Ok(())
    }

    /// No data centre may have come to fewer owners than copies by this change.
    fn check_owners(&self, before: &[Member]) -> Result<(), ChangeRefused> {
        let owners = |members: &[Member], dc: &str| {
            let owns = |it: &&Member| *it.dc == *dc && it.standing.stays() && it.weight > 0;
            members.iter().filter(owns).count()
        };
        for dc in self.ring.layout() {
            let nodes = owners(&self.members, &dc.name);
            if nodes < usize::from(dc.copies) && nodes < owners(before, &dc.name) {
                let (dc, copies) = (dc.name.clone(), dc.copies);
                return Err(ChangeRefused::TooFewNodes { dc, nodes, copies });
            }
        }
        Ok(())
    }

    /// A vnode that some namespace has nothing left of, now that `node` is lost.
    fn lost_with(&self, node: NodeId) -> Option<Vnode> {
        let lost = self.index_of(node);
        let is_lost = |it: MemberIndex| self.member(it).standing == Standing::Lost;
        let slots_for = |it: &Vec<DataCentre>| self.ring.slots_for(it);
        let former = |it: &Namespace| slots_for(it.former.as_ref().unwrap_or(&it.replication));
        // Many namespaces have the same slots.
        let usual = self.namespaces.iter().map(|it| slots_for(&it.replication));
        let (usual, former): (BTreeSet<_>, BTreeSet<_>) =
            (usual.collect(), self.namespaces.iter().map(former).collect());
        self.ring.all().find(|vnode| {
            let (mut held, mut gone) = (0u32, 0u32);
            for (at, slot) in self.ring.slots(*vnode).enumerate() {
                let settled = slot.successor.filter(|_| self.ring.phase(*vnode) == Phase::Settling);
                for owner in [slot.reader, settled] {
                    held |= u32::from(owner.is_some_and(|it| !is_lost(it))) << at;
                    gone |= u32::from(owner.is_some() && owner == lost) << at;
                }
            }
            let namespaces = if self.ring.is_altering(*vnode) { &former } else { &usual };
            namespaces.iter().any(|slots| slots & gone != 0 && slots & held == 0)
        })
    }
}
