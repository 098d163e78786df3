//! [`Ring`]: who owns each vnode, and who will.
//!
//! A vnode has a slot for each copy that the cluster keeps of it, those of one data centre side by
//! side. Each slot has a reader and a successor, which is the reader itself while nothing moves.
//! - A slot without a reader is one that is being added; without a successor, one that ends; with
//!   neither, one that its data centre has not the nodes for.
//! - No node is reader of two slots of a vnode, nor successor of two.
//! - All slots of a vnode move together, from phase to phase, an epoch each: so two neighbouring
//!   epochs always have quorums in common (`DESIGN.md`, "Moving a vnode").
//! - A namespace of fewer copies has the first slots of each data centre.

use schemas::ids::Vnode;

use super::document::{DataCentre, Epoch};

/// A member's place in its document's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberIndex(pub u16);

impl MemberIndex {
    /// Nobody.
    const NONE: Self = Self(u16::MAX);

    fn get(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// How far a vnode has moved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Phase {
    /// Readers are read and written; they are the successors.
    #[default]
    Stable,
    /// Readers are read; writes must reach readers and successors; successors are catching up.
    Moving,
    /// Successors have caught up and are read; writes must reach both, until no reader is left that
    /// would answer as if the vnode was still moving.
    Settling,
}

/// One copy of a vnode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Who has it.
    pub reader: Option<MemberIndex>,
    /// Who will have it.
    pub successor: Option<MemberIndex>,
}

impl Slot {
    /// Whether its owner changes.
    #[must_use]
    pub fn is_moving(self) -> bool {
        self.reader != self.successor
    }
}

/// Who owns each vnode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ring {
    /// How many slots each data centre has, ascending by name.
    layout: Vec<DataCentre>,
    /// Slots of one vnode.
    stride: usize,
    /// By vnode, then by slot.
    readers: Vec<MemberIndex>,
    successors: Vec<MemberIndex>,
    /// By vnode: when its slots or its phase changed last.
    epochs: Vec<Epoch>,
    phases: Vec<Phase>,
}

impl Ring {
    /// A ring of `vnodes` vnodes without an owner, stable since `epoch`.
    ///
    /// # Panics
    /// If the names of `layout` do not ascend.
    #[must_use]
    pub fn new(vnodes: u32, layout: Vec<DataCentre>, epoch: Epoch) -> Self {
        assert!(layout.is_sorted_by(|a, b| a.name < b.name), "data centres ascend");
        let stride = layout.iter().map(|dc| usize::from(dc.copies)).sum();
        let (vnodes, slots) = (vnodes as usize, vnodes as usize * stride);
        Self {
            layout,
            stride,
            readers: vec![MemberIndex::NONE; slots],
            successors: vec![MemberIndex::NONE; slots],
            epochs: vec![epoch; vnodes],
            phases: vec![Phase::Stable; vnodes],
        }
    }

    /// How many slots each data centre has, in the order of the slots.
    #[must_use]
    pub fn layout(&self) -> &[DataCentre] {
        &self.layout
    }

    /// Slots of each vnode.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// How many vnodes there are.
    #[must_use]
    pub fn vnodes(&self) -> usize {
        self.epochs.len()
    }

    /// Every vnode, ascending.
    pub fn all_vnodes(&self) -> impl Iterator<Item = Vnode> + use<> {
        (0..self.epochs.len()).map(|vnode| Vnode(vnode as u16))
    }

    /// The slots of `vnode`, in order.
    ///
    /// # Panics
    /// If there is no such vnode.
    pub fn slots(&self, vnode: Vnode) -> impl ExactSizeIterator<Item = Slot> {
        let slots = self.slots_of(vnode);
        let pairs = self.readers[slots.clone()].iter().zip(&self.successors[slots]);
        pairs.map(|(reader, successor)| Slot { reader: reader.get(), successor: successor.get() })
    }

    /// Slot `at` of `vnode`.
    ///
    /// # Panics
    /// If there is no such vnode or slot.
    #[must_use]
    pub fn slot(&self, vnode: Vnode, at: usize) -> Slot {
        let slot = self.slots_of(vnode).start + at;
        assert!(at < self.stride, "a slot of the vnode");
        Slot { reader: self.readers[slot].get(), successor: self.successors[slot].get() }
    }

    /// When the slots or the phase of `vnode` changed last: what replicas fence with.
    ///
    /// # Panics
    /// If there is no such vnode.
    #[must_use]
    pub fn epoch(&self, vnode: Vnode) -> Epoch {
        self.epochs[usize::from(vnode.0)]
    }

    /// How far `vnode` has moved.
    ///
    /// # Panics
    /// If there is no such vnode.
    #[must_use]
    pub fn phase(&self, vnode: Vnode) -> Phase {
        self.phases[usize::from(vnode.0)]
    }

    /// Makes `vnode` what is given from `epoch` on; nothing happens if that is what it is.
    ///
    /// # Panics
    /// If there is no such vnode, or it has another number of slots.
    pub fn set(&mut self, vnode: Vnode, slots: &[Slot], phase: Phase, epoch: Epoch) {
        assert_eq!(slots.len(), self.stride, "a slot for each copy");
        if self.phase(vnode) == phase && self.slots(vnode).eq(slots.iter().copied()) {
            return;
        }
        let at = self.slots_of(vnode).start;
        for (slot, to) in slots.iter().enumerate() {
            self.readers[at + slot] = to.reader.unwrap_or(MemberIndex::NONE);
            self.successors[at + slot] = to.successor.unwrap_or(MemberIndex::NONE);
        }
        (self.phases[usize::from(vnode.0)], self.epochs[usize::from(vnode.0)]) = (phase, epoch);
    }

    fn slots_of(&self, vnode: Vnode) -> std::ops::Range<usize> {
        let first = usize::from(vnode.0) * self.stride;
        first..first + self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vnode_changes_at_an_epoch_and_the_others_stay() {
        let dc = |name: &str, copies| DataCentre { name: name.into(), copies };
        let mut ring = Ring::new(4, vec![dc("a", 2), dc("b", 1)], Epoch(1));
        assert_eq!((ring.stride(), ring.vnodes()), (3, 4));
        let none = Slot { reader: None, successor: None };
        let moving = Slot { reader: Some(MemberIndex(1)), successor: Some(MemberIndex(2)) };
        let slots = [moving, none, none];
        ring.set(Vnode(2), &slots, Phase::Moving, Epoch(5));
        assert!(ring.slots(Vnode(2)).eq(slots));
        assert_eq!((ring.phase(Vnode(2)), ring.epoch(Vnode(2))), (Phase::Moving, Epoch(5)));
        assert!(ring.slot(Vnode(2), 0).is_moving() && !ring.slot(Vnode(2), 1).is_moving());
        ring.set(Vnode(2), &slots, Phase::Moving, Epoch(6));
        assert_eq!(ring.epoch(Vnode(2)), Epoch(5), "nothing changed");
        for other in [0, 1, 3] {
            assert!(ring.slots(Vnode(other)).eq([none; 3]));
            assert_eq!(ring.epoch(Vnode(other)), Epoch(1));
        }
    }
}
