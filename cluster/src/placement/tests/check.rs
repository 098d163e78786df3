//! What must hold of a document after `rebalance`, in plain words: nothing here is used by it.

use std::collections::BTreeMap;
use std::ops::Range;

use schemas::ids::Vnode;

use crate::topology::{Document, MemberIndex, Phase, Slot, Standing};

/// A data centre of a document.
pub(super) struct Centre {
    /// Its slots of a vnode.
    pub(super) slots: Range<usize>,
    /// How many of them are to have an owner.
    asked: usize,
    /// And how many can, of the members that may own.
    pub(super) copies: usize,
    /// The members that may own, by rack.
    pub(super) racks: Vec<Vec<MemberIndex>>,
}

pub(super) fn centres(document: &Document) -> Vec<Centre> {
    let mut first = 0;
    let mut centres = Vec::new();
    for dc in document.ring.layout() {
        let slots = first..first + usize::from(dc.copies);
        first = slots.end;
        let mut racks: BTreeMap<&str, Vec<MemberIndex>> = BTreeMap::new();
        for (at, member) in document.members.iter().enumerate() {
            if member.dc == dc.name && member.standing.stays() && member.weight > 0 {
                racks.entry(&member.rack).or_default().push(MemberIndex(at as u16));
            }
        }
        let racks: Vec<_> = racks.into_values().collect();
        let asked = document.namespaces.iter().flat_map(|it| &it.replication);
        let asked = asked.filter(|it| it.name == dc.name).map(|it| usize::from(it.copies));
        let nodes = racks.iter().map(Vec::len).sum();
        let asked = asked.max().unwrap_or(0).min(slots.len());
        centres.push(Centre { slots, asked, copies: asked.min(nodes), racks });
    }
    centres
}

/// The vnodes that may change.
pub(super) fn open_vnodes(document: &Document) -> impl Iterator<Item = Vnode> {
    let ring = &document.ring;
    ring.all().filter(|&vnode| ring.phase(vnode) != Phase::Settling)
}

impl Centre {
    pub(super) fn nodes(&self) -> impl Iterator<Item = MemberIndex> {
        self.racks.iter().flatten().copied()
    }

    /// Whether each node has a copy of each vnode.
    pub(super) fn is_scarce(&self) -> bool {
        self.copies < self.asked
    }

    /// Who is to own the slots of `vnode` in this data centre.
    pub(super) fn successors(&self, document: &Document, vnode: Vnode) -> Vec<Option<MemberIndex>> {
        let slots = document.ring.slots(vnode).skip(self.slots.start).take(self.slots.len());
        slots.map(|slot| slot.successor).collect()
    }

    /// How many slots each member is to own, of those vnodes that may change.
    pub(super) fn loads(&self, document: &Document) -> Vec<u32> {
        let mut loads = vec![0; document.members.len()];
        for vnode in open_vnodes(document) {
            let owners = self.successors(document, vnode);
            owners[..self.asked].iter().flatten().for_each(|it| loads[usize::from(it.0)] += 1);
        }
        loads
    }

    /// And of the others.
    fn settling(&self, document: &Document) -> Vec<u32> {
        let mut loads = vec![0; document.members.len()];
        let ring = &document.ring;
        for vnode in ring.all().filter(|&it| ring.phase(it) == Phase::Settling) {
            let owners = self.successors(document, vnode);
            owners.iter().flatten().for_each(|it| loads[usize::from(it.0)] += 1);
        }
        loads
    }

    /// How many copies of a vnode each rack has, at least and at most: copies are dealt to racks in
    /// turn, as long as they have nodes.
    pub(super) fn bounds(&self) -> Vec<(usize, usize)> {
        let mut bounds = vec![(0, 0); self.racks.len()];
        let mut left = self.copies;
        for turn in 1.. {
            let open: Vec<usize> =
                (0..self.racks.len()).filter(|&at| self.racks[at].len() >= turn).collect();
            if left < open.len() || open.is_empty() {
                open.iter().for_each(|&at| bounds[at].1 += usize::from(left > 0));
                break;
            }
            left -= open.len();
            open.iter().for_each(|&at| bounds[at] = (turn, turn));
        }
        bounds
    }

    /// The ideal shares by member of those vnodes that may change: water rises in all nodes at
    /// once, to the same level for each unit of weight, but in no node above one copy of each
    /// vnode, and in no rack above or below what evenly spread copies need. What a node has of
    /// vnodes that settle is in it already.
    pub(super) fn ideal(&self, document: &Document) -> Vec<f64> {
        let vnodes = open_vnodes(document).count();
        self.risen(document, &self.settling(document), vnodes as f64)
    }

    /// The ideal shares of all vnodes, as if none were settling.
    fn ideal_of_all(&self, document: &Document) -> Vec<f64> {
        let none = vec![0; document.members.len()];
        self.risen(document, &none, document.ring.vnodes() as f64)
    }

    fn risen(&self, document: &Document, settling: &[u32], vnodes: f64) -> Vec<f64> {
        let bounds = self.bounds();
        let share = |member: MemberIndex, level: f64| {
            let at = usize::from(member.0);
            let weight = f64::from(document.members[at].weight);
            (level * weight - f64::from(settling[at])).clamp(0.0, vnodes)
        };
        let of_rack = |at: usize, level: f64| -> f64 {
            self.racks[at].iter().map(|&it| share(it, level)).sum()
        };
        let bounded = |at: usize, level: f64| {
            let (least, most) = bounds[at];
            of_rack(at, level).clamp(least as f64 * vnodes, most as f64 * vnodes)
        };
        let all = |level: f64| (0..self.racks.len()).map(|at| bounded(at, level)).sum();
        let level = rise(&all, vnodes * self.copies as f64);
        let mut ideal = vec![0.0; document.members.len()];
        for (at, rack) in self.racks.iter().enumerate() {
            let own = rise(&|level| of_rack(at, level), bounded(at, level));
            rack.iter().for_each(|&it| ideal[usize::from(it.0)] = share(it, own));
        }
        ideal
    }
}

/// The level at which `total` comes to `target`.
fn rise(total: &dyn Fn(f64) -> f64, target: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1e6);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        *(if total(middle) < target { &mut low } else { &mut high }) = middle;
    }
    high
}

/// An ideal share rounded down and up.
pub(super) fn rounded(ideal: f64) -> (u32, u32) {
    ((ideal + 1e-6).floor() as u32, (ideal - 1e-6).ceil() as u32)
}

/// Copies that `after` has on other nodes than `before`, of one data centre.
pub(super) fn moved(centre: &Centre, before: &Document, after: &Document) -> u32 {
    let of_vnode = |vnode| {
        let (old, new) = (centre.successors(before, vnode), centre.successors(after, vnode));
        new.iter().flatten().filter(|&&it| !old.contains(&Some(it))).count() as u32
    };
    after.ring.all().map(of_vnode).sum()
}

/// All that holds whatever was before.
pub(super) fn holds(before: &Document, after: &Document) {
    let ring = &after.ring;
    for vnode in ring.all() {
        let (old, new): (Vec<Slot>, Vec<Slot>) =
            (before.ring.slots(vnode).collect(), ring.slots(vnode).collect());
        assert!(old.iter().map(|it| it.reader).eq(new.iter().map(|it| it.reader)));
        let (was, is) = (before.ring.phase(vnode), ring.phase(vnode));
        if was == Phase::Settling {
            assert_eq!((&old, was), (&new, is), "a vnode that is settling waits");
        } else {
            let moves = new.iter().any(|it| it.reader != it.successor);
            assert_eq!(is, if moves { Phase::Moving } else { Phase::Stable });
        }
        let changed = (&old, was) != (&new, is);
        let epoch = if changed { after.epoch } else { before.ring.epoch(vnode) };
        assert_eq!(ring.epoch(vnode), epoch);
    }
    for centre in centres(after) {
        let rack_of = racks_by_member(&centre, after);
        for vnode in open_vnodes(after) {
            vnode_holds(&centre, &rack_of, before, after, vnode);
        }
        shares_hold(&centre, after);
    }
}

fn racks_by_member(centre: &Centre, document: &Document) -> Vec<Option<usize>> {
    let mut racks = vec![None; document.members.len()];
    for (rack, members) in centre.racks.iter().enumerate() {
        members.iter().for_each(|it| racks[usize::from(it.0)] = Some(rack));
    }
    racks
}

fn vnode_holds(
    centre: &Centre,
    rack_of: &[Option<usize>],
    before: &Document,
    after: &Document,
    vnode: Vnode,
) {
    let slots: Vec<Slot> = after.ring.slots(vnode).collect();
    let slots = &slots[centre.slots.clone()];
    let (kept, rest) = slots.split_at(centre.asked);
    assert!(rest.iter().all(|it| it.successor.is_none()), "{vnode:?} has copies nobody keeps");
    let is_node = |it: MemberIndex| rack_of[usize::from(it.0)].is_some();
    let (mut owned, mut going) = (Vec::new(), 0);
    for (at, slot) in kept.iter().enumerate() {
        match slot.successor {
            Some(owner) if is_node(owner) => {
                let earlier = &kept[..at];
                assert!(earlier.iter().all(|it| it.successor.is_some()), "{vnode:?}: a gap");
                owned.push(owner);
            }
            Some(owner) => {
                let member = after.member(owner);
                assert_ne!(member.standing, Standing::Lost, "{vnode:?} is to be lost");
                assert_eq!(slot.reader, Some(owner), "{vnode:?}: who goes gets nothing");
                going += 1;
            }
            None => (),
        }
    }
    assert!(
        going == 0 || going + centre.copies <= centre.asked,
        "{vnode:?}: nobody needs who goes"
    );
    owners_keep_their_slots(centre, before, after, vnode);
    owned.sort();
    owned.dedup();
    assert_eq!(owned.len(), centre.copies, "{vnode:?} has a node for each copy");
    let mut counts = vec![0; centre.racks.len()];
    for owner in owned {
        counts[rack_of[usize::from(owner.0)].expect("a node")] += 1;
    }
    let used = counts.iter().filter(|&&it| it > 0).count();
    assert_eq!(used, centre.copies.min(centre.racks.len()), "{vnode:?} is on too few racks");
    let most = counts.iter().max().copied().unwrap_or(0);
    for (rack, &count) in centre.racks.iter().zip(&counts) {
        assert!(count + 1 >= most || count == rack.len(), "{vnode:?} is uneven: {counts:?}");
    }
}

/// Unless a copy is added, or there are too few nodes.
fn owners_keep_their_slots(centre: &Centre, before: &Document, after: &Document, vnode: Vnode) {
    let none = |slot: Slot| slot.reader.is_none() && slot.successor.is_none();
    let slots: Vec<Slot> = before.ring.slots(vnode).collect();
    let slots = &slots[centre.slots.clone()][..centre.copies];
    if centre.is_scarce() || slots.iter().any(|&it| none(it)) {
        return;
    }
    let owners = centre.successors(after, vnode);
    for (at, slot) in slots.iter().enumerate() {
        if slot.successor.is_some_and(|it| owners.contains(&Some(it))) {
            assert_eq!(owners[at], slot.successor, "{vnode:?}: an owner keeps its slot");
        }
    }
}

/// Each node has its ideal share, rounded, of those vnodes that may change, or all have it of all
/// vnodes.
fn shares_hold(centre: &Centre, after: &Document) {
    let (loads, settling) = (centre.loads(after), centre.settling(after));
    let nodes: Vec<usize> = centre.nodes().map(|it| usize::from(it.0)).collect();
    let have = |ideal: &[f64], loads: &dyn Fn(usize) -> u32| {
        nodes.iter().all(|&at| {
            let (floor, ceil) = rounded(ideal[at]);
            (floor..=ceil).contains(&loads(at))
        })
    };
    let ideal = centre.ideal(after);
    let holds = have(&ideal, &|at| loads[at])
        || have(&centre.ideal_of_all(after), &|at| loads[at] + settling[at]);
    let both: Vec<(u32, f64)> = nodes.iter().map(|&at| (loads[at], ideal[at])).collect();
    assert!(holds, "copies and ideal shares: {both:?}");
}
