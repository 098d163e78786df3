//! [`rebalance`]: every vnode has as many successors as copies, and no member two more than another
//! of its data centre.
//!
//! - Only members that stay and have a weight get vnodes; one that leaves keeps what nobody else
//!   can take.
//! - Vnodes that are settling are left alone. A balanced document is left alone.

use schemas::ids::Vnode;

use crate::topology::{Document, MemberIndex, Phase, Slot, Standing};

/// The successors of one data centre's slots.
struct Balance<'a> {
    document: &'a Document,
    members: Vec<MemberIndex>,
    /// By member of the document.
    loads: Vec<usize>,
    slots: std::ops::Range<usize>,
}

/// Gives every vnode that is not settling the successors it is to have.
pub fn rebalance(document: &mut Document) {
    let mut successors: Vec<Vec<Option<MemberIndex>>> = document
        .ring
        .all()
        .map(|vnode| document.ring.slots(vnode).map(|slot| slot.successor).collect())
        .collect();
    let mut start = 0;
    for dc in document.ring.layout() {
        let slots = start..start + usize::from(dc.copies);
        start = slots.end;
        let is_owner = |at: &MemberIndex| {
            let member = document.member(*at);
            member.dc == dc.name && member.standing.stays() && member.weight > 0
        };
        let members = (0..document.members.len()).map(|at| MemberIndex(at as u16));
        let members = members.filter(is_owner).collect();
        let loads = vec![0; document.members.len()];
        Balance { document, members, loads, slots }.run(&mut successors);
    }
    let (mut ring, epoch) = (document.ring.clone(), document.epoch);
    for (vnode, successors) in document.ring.all().zip(successors) {
        if ring.phase(vnode) != Phase::Settling {
            let slots = document.ring.slots(vnode).zip(successors);
            let slots: Vec<Slot> =
                slots.map(|(slot, successor)| Slot { successor, ..slot }).collect();
            ring.set(vnode, &slots, Phase::Moving, epoch);
        }
    }
    document.ring = ring;
}

impl Balance<'_> {
    fn run(&mut self, successors: &mut [Vec<Option<MemberIndex>>]) {
        for slot in successors.iter().flat_map(|all| &all[self.slots.clone()]).flatten() {
            self.loads[usize::from(slot.0)] += 1;
        }
        let movable: Vec<Vnode> = self.document.ring.all().collect();
        let movable = movable
            .into_iter()
            .filter(|vnode| self.document.ring.phase(*vnode) != Phase::Settling)
            .collect::<Vec<_>>();
        for vnode in &movable {
            self.fill(*vnode, &mut successors[usize::from(vnode.0)]);
        }
        while self.even_out(&movable, successors) {}
    }

    /// Gives slots without an owner that stays to the member with the least, the reader first.
    fn fill(&mut self, vnode: Vnode, all: &mut [Option<MemberIndex>]) {
        for at in self.slots.clone() {
            if all[at].is_some_and(|it| self.members.contains(&it)) {
                continue;
            }
            let reader = self.document.ring.slot(vnode, at).reader;
            let taken = &all[self.slots.clone()];
            let free = |it: &&MemberIndex| !taken.contains(&Some(**it));
            let least = self.members.iter().filter(free);
            let least =
                least.min_by_key(|it| (reader != Some(**it), self.loads[usize::from(it.0)]));
            let leaving = reader.filter(|it| {
                let leaves = self.document.member(*it).standing == Standing::Leaving;
                leaves && (all[at] == reader || !taken.contains(&reader))
            });
            let next = least.copied().or(leaving);
            if let Some(old) = std::mem::replace(&mut all[at], next) {
                self.loads[usize::from(old.0)] -= 1;
            }
            if let Some(new) = next {
                self.loads[usize::from(new.0)] += 1;
            }
        }
    }

    /// Moves a slot from the member with the most to the one with the least.
    fn even_out(&mut self, movable: &[Vnode], successors: &mut [Vec<Option<MemberIndex>>]) -> bool {
        let load = |it: &&MemberIndex| self.loads[usize::from(it.0)];
        let Some(&most) = self.members.iter().max_by_key(load) else { return false };
        let Some(&least) = self.members.iter().min_by_key(load) else { return false };
        if self.loads[usize::from(most.0)] < self.loads[usize::from(least.0)] + 2 {
            return false;
        }
        for vnode in movable {
            let all = &mut successors[usize::from(vnode.0)][self.slots.clone()];
            let Some(at) = all.iter().position(|it| *it == Some(most)) else { continue };
            if !all.contains(&Some(least)) {
                all[at] = Some(least);
                self.loads[usize::from(most.0)] -= 1;
                self.loads[usize::from(least.0)] += 1;
                return true;
            }
        }
        false
    }
}
