//! Vnodes that change hands: whom a successor has to catch up with, and when who gave a vnode away
//! may forget it. Pure. `DESIGN.md`, "Moving a vnode", has the argument.

use std::collections::BTreeSet;

use schemas::ids::{NodeId, Vnode};

use crate::topology::{Document, MemberIndex, Phase, Slot, Standing};

/// Whom a copy of a moving vnode has to have compared with to the end, in the vnode's epoch.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Sources {
    /// All of these.
    pub all: BTreeSet<NodeId>,
    /// And so many of these: with the node itself, where it is one of them, a majority of all
    /// readers, and of those of its data centre. For slots whose reader nobody can ask.
    pub most: Vec<(usize, BTreeSet<NodeId>)>,
}

impl Sources {
    /// Whether there is nobody to compare with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.most.is_empty()
    }

    /// How many nodes it names.
    pub(crate) fn len(&self) -> usize {
        self.all.len() + self.most.iter().map(|(_, group)| group.len()).sum::<usize>()
    }

    /// Whether it is enough to have compared with `compared`.
    #[must_use]
    pub fn are_met(&self, compared: &BTreeSet<NodeId>) -> bool {
        let is_met = |(count, group): &(usize, BTreeSet<NodeId>)| {
            group.intersection(compared).count() >= *count
        };
        self.all.is_subset(compared) && self.most.iter().all(is_met)
    }

    /// Everybody who may be compared with.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        let most = self.most.iter().flat_map(|(_, group)| group);
        let all: BTreeSet<NodeId> = most.chain(&self.all).copied().collect();
        all.into_iter()
    }
}

/// Whom `node` has to compare with before `vnode`, which is moving, may settle; nobody if it has
/// all that its part needs.
///
/// - The successor of a slot takes over from its reader; of a reader that is lost, or of a slot
///   that is new, from a majority of all readers and of those of its data centre, the lost one
///   counted.
/// - A slot that ends is taken over by all successors.
/// - Where copies of a namespace are altered, readers have not the same: all successors take over
///   from all readers that are not lost.
#[must_use]
pub fn sources(document: &Document, vnode: Vnode, node: NodeId) -> Sources {
    let ring = &document.ring;
    let mut sources = Sources::default();
    let Some(index) = document.index_of(node) else { return sources };
    if ring.phase(vnode) != Phase::Moving {
        return sources;
    }
    let id = |index: MemberIndex| document.member(index).id;
    let is_lost = |index: MemberIndex| document.member(index).standing == Standing::Lost;
    let slots: Vec<Slot> = ring.slots(vnode).collect();
    if !slots.iter().any(|slot| slot.successor == Some(index)) {
        return sources;
    }
    if ring.is_altering(vnode) {
        let readers = slots.iter().filter_map(|slot| slot.reader);
        sources.all.extend(readers.filter(|&reader| !is_lost(reader)).map(id));
    }
    for slot in slots.iter().filter(|slot| slot.is_moving()) {
        match (slot.reader, slot.successor) {
            (Some(reader), Some(successor)) if successor == index && !is_lost(reader) => {
                sources.all.insert(id(reader));
            }
            (_, Some(successor)) if successor == index => {
                sources.most = majorities(document, &slots, index);
            }
            (Some(reader), None) if !is_lost(reader) => {
                sources.all.insert(id(reader));
            }
            _ => {}
        }
    }
    sources.all.remove(&node);
    sources
}

/// A majority of all readers, and of those of the data centre of `index`; where fewer than that are
/// not lost, all that are not: more there is not to have. `index` has what it has itself: it may be
/// the reader of another slot.
fn majorities(
    document: &Document,
    slots: &[Slot],
    index: MemberIndex,
) -> Vec<(usize, BTreeSet<NodeId>)> {
    let member = |index: MemberIndex| document.member(index);
    let readers = || slots.iter().filter_map(|slot| slot.reader);
    let near = readers().filter(|&reader| member(reader).dc == member(index).dc);
    let majority = |readers: Vec<MemberIndex>| {
        let majority = readers.len() / 2 + usize::from(!readers.is_empty());
        let is_left = |it: &MemberIndex| member(*it).standing != Standing::Lost;
        let left: Vec<MemberIndex> = readers.iter().copied().filter(is_left).collect();
        let asked = if left.len() < majority { left } else { readers };
        let others = asked.iter().filter(|&&it| it != index).map(|&it| member(it).id);
        let itself = usize::from(asked.contains(&index));
        (majority.min(asked.len()) - itself, others.collect())
    };
    let groups = [readers().collect(), near.collect()].map(majority);
    groups.into_iter().filter(|(count, _)| *count > 0).collect()
}

/// Who has to say that it has caught up before `vnode`, which is moving, may settle.
#[must_use]
pub fn reporters(document: &Document, vnode: Vnode) -> BTreeSet<NodeId> {
    let successors = document.ring.slots(vnode).filter_map(|slot| slot.successor);
    let nodes = successors.map(|index| document.member(index).id);
    let successors = nodes.filter(|&node| !sources(document, vnode, node).is_empty());
    successors.chain(leavers(document, vnode)).collect()
}

/// Who is leaving and gives `vnode` away; it is gone when it has given all, and has to have handed
/// over before what it keeps for others.
pub fn leavers(document: &Document, vnode: Vnode) -> impl Iterator<Item = NodeId> {
    let slots = document.ring.slots(vnode).filter(|slot| slot.is_moving());
    let members = slots.filter_map(|slot| Some(document.member(slot.reader?)));
    members.filter(|member| member.standing == Standing::Leaving).map(|member| member.id)
}

/// Who has to have the epoch of `vnode`, which is settling, before it is stable: readers that are
/// replaced; for one that is lost, all others.
#[must_use]
pub fn witnesses(document: &Document, vnode: Vnode) -> BTreeSet<NodeId> {
    let member = |index: MemberIndex| document.member(index);
    let readers = || document.ring.slots(vnode).filter_map(|slot| Some((slot, slot.reader?)));
    let is_lost = |index: MemberIndex| member(index).standing == Standing::Lost;
    let any_lost = readers().any(|(slot, reader)| slot.is_moving() && is_lost(reader));
    let witnesses = readers()
        .filter(|(slot, reader)| !is_lost(*reader) && (slot.is_moving() || any_lost))
        .map(|(_, reader)| member(reader).id);
    witnesses.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{DataCentre, Epoch, Ring, fixture, fixture::node};

    const VNODE: Vnode = Vnode(0);

    /// One vnode; slots as (reader, successor) of nodes from 1, 0 for nobody.
    fn moving(slots: &[(u16, u16)], phase: Phase) -> Document {
        let mut document = fixture::document(6, 1, 1);
        let layout = vec![DataCentre { name: "dc".into(), copies: slots.len() as u8 }];
        document.ring = Ring::new(1, layout, Epoch(1));
        let member = |number: u16| number.checked_sub(1).map(MemberIndex);
        let slots: Vec<Slot> = slots
            .iter()
            .map(|&(reader, successor)| Slot {
                reader: member(reader),
                successor: member(successor),
            })
            .collect();
        document.ring.set(VNODE, &slots, phase, Epoch(2));
        document
    }

    fn nodes(numbers: &[u64]) -> BTreeSet<NodeId> {
        numbers.iter().map(|&number| node(number)).collect()
    }

    #[test]
    fn a_successor_catches_up_with_the_reader_it_replaces() {
        let document = moving(&[(1, 4), (2, 2), (3, 5)], Phase::Moving);
        let of = |number| sources(&document, VNODE, node(number));
        assert_eq!(of(4), Sources { all: nodes(&[1]), most: Vec::new() });
        assert_eq!(of(5), Sources { all: nodes(&[3]), most: Vec::new() });
        assert!(of(2).is_empty() && of(1).is_empty());
        assert_eq!(reporters(&document, VNODE), nodes(&[4, 5]));
        assert!(!of(4).are_met(&nodes(&[2, 3])) && of(4).are_met(&nodes(&[1])));
    }

    #[test]
    fn of_a_lost_reader_a_majority_of_the_others_tells() {
        let mut document = moving(&[(1, 4), (2, 2), (3, 3)], Phase::Moving);
        document.members[0].standing = Standing::Lost;
        let of_4 = sources(&document, VNODE, node(4));
        assert!(!of_4.are_met(&nodes(&[2])) && of_4.are_met(&nodes(&[2, 3])));
        let settling = |mut document: Document| {
            let slots: Vec<Slot> = document.ring.slots(VNODE).collect();
            document.ring.set(VNODE, &slots, Phase::Settling, Epoch(3));
            witnesses(&document, VNODE)
        };
        assert_eq!(settling(document), nodes(&[2, 3]));
        assert_eq!(settling(moving(&[(1, 4), (2, 2), (3, 3)], Phase::Moving)), nodes(&[1]));
    }

    /// Two copies are no majority without the lost one, and nobody else will ever answer.
    #[test]
    fn where_no_majority_is_left_all_that_are_left_tell() {
        let mut document = moving(&[(1, 3), (2, 2)], Phase::Moving);
        document.members[0].standing = Standing::Lost;
        let of_3 = sources(&document, VNODE, node(3));
        assert!(!of_3.are_met(&nodes(&[1])) && of_3.are_met(&nodes(&[2])));
        let mut document = moving(&[(1, 4), (2, 5), (3, 3)], Phase::Moving);
        document.members[0].standing = Standing::Lost;
        document.members[1].standing = Standing::Lost;
        let of_4 = sources(&document, VNODE, node(4));
        assert!(!of_4.are_met(&nodes(&[1, 2])) && of_4.are_met(&nodes(&[3])));
    }

    #[test]
    fn a_new_slot_takes_from_a_majority_and_one_that_ends_gives_to_all() {
        let document = moving(&[(1, 1), (2, 2), (0, 3)], Phase::Moving);
        let of_3 = sources(&document, VNODE, node(3));
        assert!(!of_3.are_met(&nodes(&[1])) && of_3.are_met(&nodes(&[1, 2])));
        let document = moving(&[(1, 1), (2, 2), (3, 0)], Phase::Moving);
        assert_eq!(sources(&document, VNODE, node(1)).all, nodes(&[3]));
        assert_eq!(reporters(&document, VNODE), nodes(&[1, 2]));
    }

    /// Where there are few nodes a reader may get a slot before its own: it has what it has.
    #[test]
    fn a_reader_that_takes_another_slot_counts_itself() {
        let mut document = moving(&[(1, 3), (2, 2), (3, 0)], Phase::Moving);
        document.members[0].standing = Standing::Lost;
        let of_3 = sources(&document, VNODE, node(3));
        assert!(!of_3.are_met(&nodes(&[])) && of_3.are_met(&nodes(&[2])));
        assert!(of_3.nodes().all(|it| it == node(2) || it == node(1)), "nobody asks itself");
        let document = moving(&[(1, 2), (0, 1)], Phase::Moving);
        assert!(sources(&document, VNODE, node(1)).is_empty(), "it is the only reader");
        assert_eq!(reporters(&document, VNODE), nodes(&[2]));
    }
}
