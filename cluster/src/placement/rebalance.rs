//! [`rebalance`]: names the successors that a document's members, weights and racks ask for.

use schemas::ids::Vnode;

use super::board::{At, Board, Node};
use super::scarce::Scarce;
use super::turns::Turns;
use super::{deal, exchange};
use crate::topology::{Document, Member, MemberIndex, Phase, Slot};

/// Names as successors of each vnode that is not settling those who are to own it, and has those
/// vnodes move, from the document's epoch on, whose successors change. See the module for what
/// holds of successors afterwards.
///
/// The document's members, namespaces and layout are what the change makes them, and its ring's
/// slots have the readers and successors of before.
pub fn rebalance(document: &mut Document) {
    let stride = document.ring.stride();
    let mut owners = vec![None; document.ring.vnodes() * stride];
    let mut first = 0;
    for dc in document.ring.layout() {
        let slots = first..first + usize::from(dc.copies);
        first = slots.end;
        let place = |vnode: Vnode| usize::from(vnode.0) * stride + slots.start;
        let nodes = nodes_of(document, &dc.name);
        let copies = copies_of(document, &dc.name).min(slots.len());
        if nodes.len() < copies {
            let mut members: Vec<MemberIndex> = nodes.iter().map(|it| it.member).collect();
            members.sort();
            let scarce = Scarce::new(document, slots.clone(), copies, &members);
            scarce.decide(|vnode, row| owners[place(vnode)..][..copies].copy_from_slice(&row));
        } else if copies > 0 {
            let mut board = Board::lay_out(document, slots.clone(), copies, nodes);
            decide(&mut board);
            for (row, &vnode) in board.vnodes.iter().enumerate() {
                for slot in 0..copies {
                    owners[place(vnode) + slot] = Some(board.member(At::new(row, slot)));
                }
            }
        }
    }
    for vnode in document.ring.all() {
        if document.ring.phase(vnode) != Phase::Settling {
            name(document, vnode, &owners[usize::from(vnode.0) * stride..][..stride]);
        }
    }
}

/// Decides who owns what of one data centre.
fn decide(board: &mut Board) {
    deal::clear(board);
    deal::give_back(board);
    let mut turns = Turns::new(board);
    exchange::give_back(board, &mut turns);
    deal::fill(board, &mut turns);
    exchange::level(board, &mut turns);
    deal::keep_slots(board);
    deal::mix_in(board);
}

/// Has `owners` succeed the readers of `vnode`.
fn name(document: &mut Document, vnode: Vnode, owners: &[Option<MemberIndex>]) {
    let pairs = || document.ring.slots(vnode).zip(owners);
    if !pairs().all(|(slot, &owner)| slot.successor == owner) {
        let slots: Vec<Slot> =
            pairs().map(|(slot, &owner)| Slot { successor: owner, ..slot }).collect();
        document.ring.set(vnode, &slots, Phase::Moving, document.epoch);
    }
}

/// The nodes of a data centre that may own copies, rack by rack, then as they are listed.
pub(super) fn nodes_of(document: &Document, dc: &str) -> Vec<Node> {
    let may_own =
        |member: &Member| member.standing.stays() && member.weight > 0 && *member.dc == *dc;
    let members = document.members.iter().enumerate().filter(|(_, member)| may_own(member));
    let mut members: Vec<(usize, &Member)> = members.collect();
    members.sort_by_key(|&(at, member)| (&member.rack, at));
    let mut nodes: Vec<Node> = Vec::with_capacity(members.len());
    for (nth, &(at, member)) in members.iter().enumerate() {
        let rack = match nodes.last() {
            Some(last) => last.rack + usize::from(members[nth - 1].1.rack != member.rack),
            None => 0,
        };
        let index = MemberIndex(u16::try_from(at).expect("members are limited"));
        nodes.push(Node { member: index, id: member.id.0.get(), weight: member.weight, rack });
    }
    nodes
}

/// The most copies that any namespace keeps in a data centre.
fn copies_of(document: &Document, dc: &str) -> usize {
    let all = document.namespaces.iter().flat_map(|namespace| &namespace.replication);
    all.filter(|it| *it.name == *dc).map(|it| usize::from(it.copies)).max().unwrap_or(0)
}
