//! Data centres with fewer nodes than copies: each node has a copy of every vnode.
//!
//! - A node that is to go and reads a slot keeps it, as long as there are not as many copies
//!   without it: what nobody else can take is not given up.
//! - Empty slots are the last ones: namespaces of fewer copies have the first.
//! - First slots are shared evenly: a node that gets a copy in a slot that was nobody's changes
//!   places with one that has an earlier slot more often.

use std::ops::Range;

use schemas::ids::Vnode;

use crate::topology::{Document, MemberIndex, Phase, Slot, Standing};

/// A data centre with fewer nodes than copies.
pub(super) struct Scarce<'a> {
    document: &'a Document,
    slots: Range<usize>,
    /// Slots that are to have an owner.
    copies: usize,
    /// The nodes that may own copies.
    nodes: &'a [MemberIndex],
    /// By slot, then by member: how many vnodes' slots it has.
    counts: Vec<Vec<u32>>,
}

impl<'a> Scarce<'a> {
    pub(super) fn new(
        document: &'a Document,
        slots: Range<usize>,
        copies: usize,
        nodes: &'a [MemberIndex],
    ) -> Self {
        let counts = vec![vec![0; document.members.len()]; copies];
        Self { document, slots, copies, nodes, counts }
    }

    /// Names the owners of the data centre's slots of each vnode that is not settling.
    pub(super) fn decide(mut self, mut name: impl FnMut(Vnode, Vec<Option<MemberIndex>>)) {
        let ring = &self.document.ring;
        let open = || ring.all().filter(|&vnode| ring.phase(vnode) != Phase::Settling);
        let kept = |slot: &Slot| slot.successor.filter(|&it| self.is_node(it));
        let mut rows: Vec<(Vnode, Vec<Option<MemberIndex>>)> =
            open().map(|vnode| (vnode, self.slots_of(vnode).iter().map(kept).collect())).collect();
        for (_, owners) in &rows {
            self.count(owners);
        }
        for (vnode, owners) in &mut rows {
            let slots = self.slots_of(*vnode);
            self.keep_needed(&slots, owners);
            self.place(*vnode, &slots, owners);
            self.close_up(owners);
            self.keep_needed(&slots, owners);
        }
        rows.into_iter().for_each(|(vnode, owners)| name(vnode, owners));
    }

    fn slots_of(&self, vnode: Vnode) -> Vec<Slot> {
        let slots = self.document.ring.slots(vnode);
        slots.skip(self.slots.start).take(self.copies).collect()
    }

    fn is_node(&self, member: MemberIndex) -> bool {
        self.nodes.binary_search(&member).is_ok()
    }

    /// Leaves free slots to readers that are to go, as many as are needed; first to those that were
    /// to stay before.
    fn keep_needed(&self, slots: &[Slot], owners: &mut [Option<MemberIndex>]) {
        let is_going = |it: MemberIndex| {
            !self.is_node(it) && self.document.member(it).standing != Standing::Lost
        };
        let kept = owners.iter().flatten().filter(|&&it| !self.is_node(it)).count();
        let could = |&at: &usize| owners[at].is_none() && slots[at].reader.is_some_and(is_going);
        let mut needed: Vec<usize> = (0..self.copies).filter(could).collect();
        needed.sort_by_key(|&at| slots[at].is_moving());
        needed.truncate(self.copies - self.nodes.len() - kept);
        needed.into_iter().for_each(|at| owners[at] = slots[at].reader);
    }

    fn count(&mut self, owners: &[Option<MemberIndex>]) {
        for (slot, owner) in owners.iter().enumerate() {
            if let Some(owner) = owner {
                self.counts[slot][usize::from(owner.0)] += 1;
            }
        }
    }

    /// Gives a slot to each node that has none: the one it reads, or the first that is free.
    fn place(&mut self, vnode: Vnode, slots: &[Slot], owners: &mut [Option<MemberIndex>]) {
        let lacks = |it: &MemberIndex| !owners.contains(&Some(*it));
        let mut missing: Vec<MemberIndex> = self.nodes.iter().copied().filter(lacks).collect();
        let first = usize::from(vnode.0) % missing.len().max(1);
        missing.rotate_left(first);
        for node in missing {
            let reads = |at: &usize| slots[*at].reader == Some(node);
            let free = |at: &usize| owners[*at].is_none();
            let own = (0..self.copies).find(|at| free(at) && reads(at));
            let at = own.or_else(|| (0..self.copies).find(free)).expect("more slots than nodes");
            owners[at] = Some(node);
            self.counts[at][usize::from(node.0)] += 1;
            if slots[at] == (Slot { reader: None, successor: None }) {
                self.change_places(at, owners);
            }
        }
    }

    /// Has the owner of slot `at` change places with the node that has an earlier slot the most
    /// often above it.
    fn change_places(&mut self, at: usize, owners: &mut [Option<MemberIndex>]) {
        let count = |slot: usize, of: MemberIndex| self.counts[slot][usize::from(of.0)];
        let Some(node) = owners[at] else { return };
        let above = |slot: usize| {
            let other = owners[slot].filter(|&it| self.is_node(it))?;
            let above = count(slot, other).saturating_sub(count(slot, node));
            (above > 1).then_some((above, slot, other))
        };
        let Some((_, slot, other)) = (0..at).rev().filter_map(above).max() else { return };
        for (slot, from, to) in [(slot, other, node), (at, node, other)] {
            owners[slot] = Some(to);
            self.counts[slot][usize::from(from.0)] -= 1;
            self.counts[slot][usize::from(to.0)] += 1;
        }
    }

    /// Has the last nodes take the first slots that are empty.
    fn close_up(&mut self, owners: &mut [Option<MemberIndex>]) {
        let is_node = |it: &Option<MemberIndex>| it.is_some_and(|it| self.is_node(it));
        while let Some(empty) = owners.iter().position(Option::is_none) {
            let Some(last) = owners.iter().rposition(is_node).filter(|&it| it > empty) else {
                return;
            };
            owners.swap(empty, last);
        }
    }
}
