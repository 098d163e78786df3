//! [`Quorum`]: which copies have answered, and whether they are enough.
//!
//! A vnode's slots are bits. What a level asks for is some counts, each over a set of slots; all of
//! them have to be met. While a vnode moves, writes have the counts of both configurations.
//! - Only slots that the namespace uses and that have a node count: a cluster with fewer nodes than
//!   copies works with what it has.
//! - Counting is by slot, so a node's answer counts once in each configuration.

use schemas::consistency::Consistency;
use schemas::ids::Vnode;
use smallvec::SmallVec;

use crate::topology::{Document, MemberIndex, Namespace, Phase, Ring, Slot};

/// What an operation needs copies for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Copies that are read.
    Read,
    /// Copies that are written: also those that are to be read once the vnode has moved.
    Write,
}

/// A set of the slots of a vnode; at most [`COPIES_MAX`](crate::limits::COPIES_MAX).
pub(super) type Slots = u32;

/// The copies of one configuration of a vnode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Readers,
    Successors,
}

impl Side {
    pub(super) fn of(self, slot: Slot) -> Option<MemberIndex> {
        match self {
            Self::Readers => slot.reader,
            Self::Successors => slot.successor,
        }
    }
}

/// So many of these slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Need {
    side: Side,
    slots: Slots,
    count: u32,
}

/// Who has answered, of the copies that an operation needs.
#[derive(Clone, Debug)]
pub struct Quorum {
    needs: SmallVec<[Need; 4]>,
    readers: Slots,
    successors: Slots,
}

/// A level that the copies there are can not meet, whoever answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the level needs {needed} copies of {copies}")]
pub struct Unmeetable {
    /// Copies it needs.
    pub needed: u32,
    /// Copies there are for it.
    pub copies: u32,
}

impl Quorum {
    /// What `level` needs of `vnode` for `namespace`, asked in data centre `local`.
    /// [`Consistency::Default`] is a quorum.
    ///
    /// # Errors
    /// [`Unmeetable`].
    ///
    /// # Panics
    /// If the ring has no such vnode.
    pub fn new(
        document: &Document,
        vnode: Vnode,
        namespace: &Namespace,
        level: Consistency,
        access: Access,
        local: &str,
    ) -> Result<Self, Unmeetable> {
        let mut quorum = Self { needs: SmallVec::new(), readers: 0, successors: 0 };
        for &side in configurations(access, document.ring.phase(vnode)) {
            quorum.add_side(document, vnode, namespace, level, side, local)?;
        }
        Ok(quorum)
    }

    fn add_side(
        &mut self,
        document: &Document,
        vnode: Vnode,
        namespace: &Namespace,
        level: Consistency,
        side: Side,
        local: &str,
    ) -> Result<(), Unmeetable> {
        let ring = &document.ring;
        let used = used_slots(document, vnode, Some(namespace), side);
        let mut all = 0;
        let mut start = 0;
        for dc in ring.layout() {
            let places = start..start + usize::from(dc.copies);
            let filled =
                |&at: &usize| used >> at & 1 == 1 && side.of(ring.slot(vnode, at)).is_some();
            let slots = places.filter(filled).fold(0, |slots, at| slots | 1 << at);
            all |= slots;
            start += usize::from(dc.copies);
            let is_local = *dc.name == *local;
            match level {
                Consistency::EachQuorum if slots != 0 => self.add(side, slots, majority(slots))?,
                Consistency::LocalQuorum if is_local => self.add(side, slots, majority(slots))?,
                Consistency::LocalOne if is_local => self.add(side, slots, 1)?,
                _ => {}
            }
        }
        match level {
            Consistency::Count(count) => self.add(side, all, u32::from(count.get())),
            Consistency::Quorum | Consistency::Default => self.add(side, all, majority(all)),
            Consistency::All => self.add(side, all, all.count_ones().max(1)),
            Consistency::LocalOne | Consistency::LocalQuorum | Consistency::EachQuorum => {
                let is_none = !self.needs.iter().any(|need| need.side == side);
                if is_none { self.add(side, 0, 1) } else { Ok(()) }
            }
        }
    }

    fn add(&mut self, side: Side, slots: Slots, needed: u32) -> Result<(), Unmeetable> {
        let copies = slots.count_ones();
        if copies < needed {
            return Err(Unmeetable { needed, copies });
        }
        self.needs.push(Need { side, slots, count: needed });
        Ok(())
    }

    /// Counts the answer of `member`.
    pub fn count(&mut self, ring: &Ring, vnode: Vnode, member: MemberIndex) {
        let (readers, successors) = slots_of(ring, vnode, member);
        self.readers |= readers;
        self.successors |= successors;
    }

    /// Takes what successors have for what the readers have that they are to replace: a mistake.
    pub(super) fn count_successors(&mut self) {
        self.readers |= self.successors;
    }

    /// Whether enough have answered.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.is_met_with(0, 0)
    }

    /// Whether enough have answered once all of `members` have, too.
    #[must_use]
    pub fn could_be_met(
        &self,
        ring: &Ring,
        vnode: Vnode,
        members: impl Iterator<Item = MemberIndex>,
    ) -> bool {
        let (readers, successors) = members.fold((0, 0), |sum, member| {
            let more = slots_of(ring, vnode, member);
            (sum.0 | more.0, sum.1 | more.1)
        });
        self.is_met_with(readers, successors)
    }

    fn is_met_with(&self, readers: Slots, successors: Slots) -> bool {
        let answered = |need: &Need| self.answered(need, readers, successors);
        self.needs.iter().all(|need| answered(need) >= need.count)
    }

    fn answered(&self, need: &Need, readers: Slots, successors: Slots) -> u32 {
        let answered = match need.side {
            Side::Readers => self.readers | readers,
            Side::Successors => self.successors | successors,
        };
        (answered & need.slots).count_ones()
    }

    /// How many answers there are of how many, of the count that lacks most.
    #[must_use]
    pub fn progress(&self) -> (u32, u32) {
        let progress = self.needs.iter().map(|need| (self.answered(need, 0, 0), need.count));
        progress.max_by_key(|(got, needed)| needed.saturating_sub(*got)).unwrap_or((0, 0))
    }
}

/// The configurations of a vnode that `access` concerns.
pub(super) fn configurations(access: Access, phase: Phase) -> &'static [Side] {
    match (access, phase) {
        (_, Phase::Stable) | (Access::Read, Phase::Moving) => &[Side::Readers],
        (Access::Read, Phase::Settling) => &[Side::Successors],
        (Access::Write, Phase::Moving | Phase::Settling) => &[Side::Readers, Side::Successors],
    }
}

/// The slots of `vnode` that `namespace` uses in one configuration; all for `None`.
pub(super) fn used_slots(
    document: &Document,
    vnode: Vnode,
    namespace: Option<&Namespace>,
    side: Side,
) -> Slots {
    let Some(namespace) = namespace else { return Slots::MAX };
    let (former, replication) = document.replication(namespace, vnode);
    document.ring.slots_for(if side == Side::Readers { former } else { replication })
}

fn majority(slots: Slots) -> u32 {
    slots.count_ones() / 2 + 1
}

/// The slots that `member` reads, and those that it will.
fn slots_of(ring: &Ring, vnode: Vnode, member: MemberIndex) -> (Slots, Slots) {
    ring.slots(vnode).enumerate().fold((0, 0), |(readers, successors), (at, slot)| {
        let bit = |it: Option<MemberIndex>| u32::from(it == Some(member)) << at;
        (readers | bit(slot.reader), successors | bit(slot.successor))
    })
}

#[cfg(test)]
mod tests;
