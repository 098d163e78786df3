//! Documents for tests, and what happens to them beside placement.

use std::num::NonZeroU64;

use schemas::ids::{ClusterId, NamespaceId, NodeId, Vnode, VnodeBits};

use crate::topology::{
    DataCentre, Document, Epoch, Member, MemberIndex, Namespace, Phase, Policy, Ring, Slot,
    Standing,
};

pub(super) const NOBODY: Slot = Slot { reader: None, successor: None };

pub(super) fn node(id: u64) -> NodeId {
    NodeId(NonZeroU64::new(id).expect("ids are not 0"))
}

pub(in crate::placement) fn member(id: u64, dc: &str, rack: &str, weight: u32) -> Member {
    Member {
        id: node(id),
        dc: dc.into(),
        rack: rack.into(),
        weight,
        standing: Standing::Member,
        address: ([127, 0, 0, 1], 7400).into(),
        may_vote: true,
    }
}

/// A document whose vnodes nobody owns yet.
pub(in crate::placement) fn document(
    bits: u8,
    members: Vec<Member>,
    copies: &[(&str, u8)],
) -> Document {
    let bits = VnodeBits::new(bits).expect("at most 16");
    let dc = |&(name, copies): &(&str, u8)| DataCentre { name: name.into(), copies };
    let layout: Vec<DataCentre> = copies.iter().map(dc).collect();
    let mut document = Document {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        token_seed: 0,
        bits,
        members,
        voters: Vec::new(),
        namespaces: vec![namespace(1, layout.clone())],
        last_namespace: NamespaceId(1),
        ring: Ring::new(bits.count(), layout, Epoch(0)),
        scaling: None,
        is_paused: false,
    };
    document.members.sort_by_key(|member| member.id);
    document
}

pub(super) fn namespace(id: u32, replication: Vec<DataCentre>) -> Namespace {
    Namespace {
        id: NamespaceId(id),
        name: format!("namespace-{id}").into(),
        policy: Policy::LastWriterWins,
        replication,
        former: None,
        is_strict: false,
        ttl_ms: 0,
    }
}

/// `nodes` equal members of one data centre with ids from 1 on, dealt to `racks` racks.
pub(super) fn equals(nodes: u64, racks: u64) -> Vec<Member> {
    (1..=nodes).map(|id| member(id, "dc", &format!("rack{:02}", id % racks), 100)).collect()
}

/// Has all moves of `vnode` be done.
pub(super) fn finish(document: &mut Document, vnode: Vnode) {
    let done = |slot: Slot| Slot { reader: slot.successor, ..slot };
    let slots: Vec<Slot> = document.ring.slots(vnode).map(done).collect();
    document.ring.set(vnode, &slots, Phase::Stable, document.epoch);
}

/// Has all moves of all vnodes be done.
pub(super) fn finish_all(document: &mut Document) {
    for vnode in document.ring.all() {
        finish(document, vnode);
    }
}

/// Has all successors of `vnode` have caught up, but not all have heard of it.
pub(super) fn settle(document: &mut Document, vnode: Vnode) {
    let slots: Vec<Slot> = document.ring.slots(vnode).collect();
    document.ring.set(vnode, &slots, Phase::Settling, document.epoch);
}

/// The document with other members; slots of those that are gone are nobody's.
pub(super) fn with_members(document: &Document, mut members: Vec<Member>) -> Document {
    members.sort_by_key(|member| member.id);
    let next = Document { members, ..document.clone() };
    let same = |of: Option<MemberIndex>| of.and_then(|it| next.index_of(document.member(it).id));
    let slot = |it: Slot| Slot { reader: same(it.reader), successor: same(it.successor) };
    let layout = document.ring.layout().to_vec();
    let ring = rebuilt(&document.ring, layout, |slots| slots.iter().map(|&it| slot(it)).collect());
    Document { ring, ..next }
}

/// The document with one more member.
pub(super) fn joined(document: &Document, member: Member) -> Document {
    let mut members = document.members.clone();
    members.push(member);
    with_members(document, members)
}

/// Has the first namespace keep so many copies in each data centre, in order of names. The layout
/// has room for what is kept and what is to be kept.
pub(super) fn replicate(document: &mut Document, copies: &[u8]) {
    for (dc, &copies) in document.namespaces[0].replication.iter_mut().zip(copies) {
        dc.copies = copies;
    }
    let old = document.ring.layout().to_vec();
    let mut layout = old.clone();
    let mut first = 0;
    for (dc, &copies) in layout.iter_mut().zip(copies) {
        let slots = first..first + usize::from(dc.copies);
        first = slots.end;
        let is_kept = |&at: &usize| {
            let mut vnodes = document.ring.all();
            vnodes.any(|vnode| document.ring.slot(vnode, at) != NOBODY)
        };
        let kept = slots.clone().rev().find(is_kept).map_or(0, |last| last + 1 - slots.start);
        dc.copies = (kept as u8).max(copies);
    }
    let now = layout.clone();
    document.ring = rebuilt(&document.ring, layout, |slots| {
        let mut next = Vec::new();
        let mut rest = slots;
        for (was, is) in old.iter().zip(&now) {
            let (of_dc, others) = rest.split_at(usize::from(was.copies));
            rest = others;
            let padded = of_dc.iter().copied().chain(std::iter::repeat(NOBODY));
            next.extend(padded.take(usize::from(is.copies)));
        }
        next
    });
}

fn rebuilt(ring: &Ring, layout: Vec<DataCentre>, next: impl Fn(&[Slot]) -> Vec<Slot>) -> Ring {
    let mut rebuilt = Ring::new(ring.vnodes() as u32, layout, Epoch(0));
    for vnode in ring.all() {
        let slots: Vec<Slot> = ring.slots(vnode).collect();
        rebuilt.set(vnode, &next(&slots), ring.phase(vnode), ring.epoch(vnode));
    }
    rebuilt
}

/// Who is to own each slot of each vnode.
pub(super) fn owners(document: &Document) -> Vec<Vec<Option<NodeId>>> {
    let id = |slot: Slot| slot.successor.map(|it| document.member(it).id);
    let ring = &document.ring;
    ring.all().map(|vnode| ring.slots(vnode).map(id).collect()).collect()
}

/// The slots whose owner `after` changes: before and after.
pub(super) fn changes(
    before: &Document,
    after: &Document,
) -> Vec<(Option<NodeId>, Option<NodeId>)> {
    let pairs = owners(before).concat().into_iter().zip(owners(after).concat());
    pairs.filter(|(before, after)| before != after).collect()
}
