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
//! - A vnode is stable when none of its slots is moving and it is not being altered, and only then.

use schemas::ids::Vnode;

use super::document::{DataCentre, Epoch};

/// A member's place in its document's list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberIndex(pub u16);

impl MemberIndex {
    /// Nobody.
    pub(super) const NONE: Self = Self(u16::MAX);

    pub(super) fn get(self) -> Option<Self> {
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

/// What a vnode has beside its slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State {
    /// When its slots or its phase changed last.
    pub(super) epoch: Epoch,
    pub(super) phase: Phase,
    pub(super) is_altering: bool,
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
    /// By vnode.
    states: Vec<State>,
}

impl Ring {
    /// A ring of `vnodes` vnodes without an owner, stable since `epoch`.
    ///
    /// # Panics
    /// If the names of `layout` do not ascend.
    #[must_use]
    pub fn new(vnodes: u32, layout: Vec<DataCentre>, epoch: Epoch) -> Self {
        assert!(layout.is_sorted_by(|a, b| a.name < b.name), "data centres ascend");
        let stride = stride_of(&layout);
        let (vnodes, slots) = (vnodes as usize, vnodes as usize * stride);
        Self {
            layout,
            stride,
            readers: vec![MemberIndex::NONE; slots],
            successors: vec![MemberIndex::NONE; slots],
            states: vec![State { epoch, phase: Phase::Stable, is_altering: false }; vnodes],
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
        self.states.len()
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
        self.state(vnode).epoch
    }

    /// How far `vnode` has moved.
    ///
    /// # Panics
    /// If there is no such vnode.
    #[must_use]
    pub fn phase(&self, vnode: Vnode) -> Phase {
        self.state(vnode).phase
    }

    /// Whether the readers of `vnode` keep to the copies that the namespace which is being altered
    /// had before.
    ///
    /// # Panics
    /// If there is no such vnode.
    #[must_use]
    pub fn is_altering(&self, vnode: Vnode) -> bool {
        self.state(vnode).is_altering
    }

    /// Makes `vnode` what is given from `epoch` on; nothing happens if that is what it is. Between
    /// stable and moving its slots decide, and whether it is being altered.
    ///
    /// # Panics
    /// If there is no such vnode, or it has another number of slots.
    pub fn set(&mut self, vnode: Vnode, slots: &[Slot], phase: Phase, epoch: Epoch) {
        let is_altering = self.is_altering(vnode);
        let moves = is_altering || slots.iter().any(|slot| slot.is_moving());
        let phase = match phase {
            Phase::Settling => Phase::Settling,
            Phase::Stable | Phase::Moving if moves => Phase::Moving,
            Phase::Stable | Phase::Moving => Phase::Stable,
        };
        self.put(vnode, slots, State { epoch, phase, is_altering });
    }

    /// Makes `vnode` what is given, its epoch only if anything else changes.
    pub(super) fn put(&mut self, vnode: Vnode, slots: &[Slot], state: State) {
        let old = self.state(vnode);
        let is_same = State { epoch: old.epoch, ..state } == old;
        if !is_same || !self.slots(vnode).eq(slots.iter().copied()) {
            self.restore(vnode, slots, state);
        }
    }

    /// Makes `vnode` what is given.
    pub(super) fn restore(&mut self, vnode: Vnode, slots: &[Slot], state: State) {
        assert_eq!(slots.len(), self.stride, "a slot for each copy");
        let at = self.slots_of(vnode).start;
        for (slot, to) in slots.iter().enumerate() {
            self.readers[at + slot] = to.reader.unwrap_or(MemberIndex::NONE);
            self.successors[at + slot] = to.successor.unwrap_or(MemberIndex::NONE);
        }
        self.states[usize::from(vnode.0)] = state;
    }

    pub(super) fn state(&self, vnode: Vnode) -> State {
        self.states[usize::from(vnode.0)]
    }

    /// Who reads the slots of `vnode`, as [`MemberIndex::NONE`] where nobody does.
    pub(super) fn readers(&self, vnode: Vnode) -> &[MemberIndex] {
        &self.readers[self.slots_of(vnode)]
    }

    /// Who will, likewise.
    pub(super) fn successors(&self, vnode: Vnode) -> &[MemberIndex] {
        &self.successors[self.slots_of(vnode)]
    }

    /// All of the ring's vnodes.
    pub fn all(&self) -> impl Iterator<Item = Vnode> + use<> {
        (0..self.states.len()).map(|vnode| Vnode(vnode as u16))
    }

    /// The slots that a namespace with `replication` has, one bit each.
    #[must_use]
    pub fn slots_for(&self, replication: &[DataCentre]) -> u32 {
        let (mut slots, mut start) = (0, 0);
        for dc in &self.layout {
            let copies = replication.iter().find(|it| it.name == dc.name).map_or(0, |it| it.copies);
            let places = start..start + usize::from(copies.min(dc.copies));
            slots = places.fold(slots, |slots, at| slots | 1 << at);
            start += usize::from(dc.copies);
        }
        slots
    }

    fn slots_of(&self, vnode: Vnode) -> std::ops::Range<usize> {
        let first = usize::from(vnode.0) * self.stride;
        first..first + self.stride
    }

    /// Gives each data centre as many slots as `layout` says: new ones belong to nobody, and the
    /// last ones go. What is left of a vnode's slots is as it was, so its epoch is, too.
    pub(super) fn lay_out(&mut self, layout: Vec<DataCentre>) {
        if layout == self.layout {
            return;
        }
        let sources = self.sources(&layout);
        let laid_out = |column: &[MemberIndex], vnodes: usize, stride: usize| -> Vec<MemberIndex> {
            let place = |vnode, from: &Option<usize>| {
                from.map_or(MemberIndex::NONE, |from| column[vnode * stride + from])
            };
            (0..vnodes)
                .flat_map(|vnode| sources.iter().map(move |from| place(vnode, from)))
                .collect()
        };
        self.readers = laid_out(&self.readers, self.vnodes(), self.stride);
        self.successors = laid_out(&self.successors, self.vnodes(), self.stride);
        (self.stride, self.layout) = (sources.len(), layout);
    }

    /// Which slot each slot of `layout` has been.
    fn sources(&self, layout: &[DataCentre]) -> Vec<Option<usize>> {
        let mut sources = Vec::with_capacity(stride_of(layout));
        for dc in layout {
            let before = self.layout.iter().take_while(|it| it.name < dc.name);
            let start: usize = before.map(|it| usize::from(it.copies)).sum();
            let own = self.layout.iter().find(|it| it.name == dc.name).map_or(0, |it| it.copies);
            sources.extend((0..dc.copies).map(|at| (at < own).then(|| start + usize::from(at))));
        }
        sources
    }

    /// Names members by other places: `places` has the new one of each. Nothing moves by that.
    pub(super) fn renumber(&mut self, places: &[MemberIndex]) {
        for slot in self.readers.iter_mut().chain(&mut self.successors) {
            if let Some(member) = slot.get() {
                *slot = places[usize::from(member.0)];
            }
        }
    }

    /// Which of `members` members any slot names.
    pub(super) fn named(&self, members: usize) -> Vec<bool> {
        let mut named = vec![false; members];
        for member in self.readers.iter().chain(&self.successors).filter_map(|it| it.get()) {
            named[usize::from(member.0)] = true;
        }
        named
    }
}

fn stride_of(layout: &[DataCentre]) -> usize {
    layout.iter().map(|dc| usize::from(dc.copies)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dc(name: &str, copies: u8) -> DataCentre {
        DataCentre { name: name.into(), copies }
    }

    fn stays(member: u16) -> Slot {
        Slot { reader: Some(MemberIndex(member)), successor: Some(MemberIndex(member)) }
    }

    const NONE: Slot = Slot { reader: None, successor: None };

    #[test]
    fn a_vnode_changes_at_an_epoch_and_the_others_stay() {
        let mut ring = Ring::new(4, vec![dc("a", 2), dc("b", 1)], Epoch(1));
        assert_eq!((ring.stride(), ring.vnodes()), (3, 4));
        let moving = Slot { reader: Some(MemberIndex(1)), successor: Some(MemberIndex(2)) };
        let slots = [moving, NONE, NONE];
        ring.set(Vnode(2), &slots, Phase::Moving, Epoch(5));
        assert!(ring.slots(Vnode(2)).eq(slots));
        assert_eq!((ring.phase(Vnode(2)), ring.epoch(Vnode(2))), (Phase::Moving, Epoch(5)));
        assert!(ring.slot(Vnode(2), 0).is_moving() && !ring.slot(Vnode(2), 1).is_moving());
        ring.set(Vnode(2), &slots, Phase::Moving, Epoch(6));
        assert_eq!(ring.epoch(Vnode(2)), Epoch(5), "nothing changed");
        for other in [0, 1, 3] {
            assert!(ring.slots(Vnode(other)).eq([NONE; 3]));
            assert_eq!(ring.epoch(Vnode(other)), Epoch(1));
        }
    }

    #[test]
    fn slots_decide_whether_a_vnode_is_stable() {
        let mut ring = Ring::new(1, vec![dc("a", 1)], Epoch(1));
        ring.set(Vnode(0), &[stays(4)], Phase::Moving, Epoch(2));
        assert_eq!((ring.phase(Vnode(0)), ring.epoch(Vnode(0))), (Phase::Stable, Epoch(2)));
        let altering = State { epoch: Epoch(3), phase: Phase::Moving, is_altering: true };
        ring.put(Vnode(0), &[stays(4)], altering);
        ring.set(Vnode(0), &[stays(4)], Phase::Stable, Epoch(4));
        assert_eq!((ring.phase(Vnode(0)), ring.epoch(Vnode(0))), (Phase::Moving, Epoch(3)));
    }

    #[test]
    fn another_layout_keeps_the_slots_that_both_have() {
        let mut ring = Ring::new(2, vec![dc("b", 2), dc("d", 1)], Epoch(1));
        for vnode in [0, 1] {
            let slots = [stays(10 + vnode), stays(20 + vnode), stays(30 + vnode)];
            ring.set(Vnode(vnode), &slots, Phase::Stable, Epoch(2));
        }
        ring.lay_out(vec![dc("a", 1), dc("b", 1), dc("d", 2)]);
        for vnode in [0, 1] {
            let slots = [NONE, stays(10 + vnode), stays(30 + vnode), NONE];
            assert!(ring.slots(Vnode(vnode)).eq(slots));
            assert_eq!(ring.epoch(Vnode(vnode)), Epoch(2));
        }
        assert_eq!(ring.slots_for(&[dc("b", 3), dc("d", 1)]), 0b0110);
        ring.lay_out(Vec::new());
        assert_eq!((ring.stride(), ring.vnodes()), (0, 2));
    }
}
