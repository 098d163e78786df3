//! [`rebalance`]: names the successors that a document's members, weights and racks ask for.

use schemas::ids::Vnode;

use super::board::{At, Board};
use super::turns::Turns;
use super::{deal, exchange};
use crate::topology::{Document, MemberIndex, Phase, Slot};

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
        let Some(mut board) = Board::lay_out(document, &dc.name, slots.clone()) else { continue };
        decide(&mut board);
        for (row, vnode) in board.vnodes.iter().enumerate() {
            let at = usize::from(vnode.0) * stride + slots.start;
            for slot in 0..board.copies {
                owners[at + slot] = Some(board.member(At::new(row, slot)));
            }
        }
    }
    for vnode in document.ring.all_vnodes() {
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
}

/// Has `owners` succeed the readers of `vnode`.
fn name(document: &mut Document, vnode: Vnode, owners: &[Option<MemberIndex>]) {
    let ring = &document.ring;
    let succeeds = |(slot, &owner): (Slot, &Option<MemberIndex>)| slot.successor == owner;
    let reads = |(slot, &owner): (Slot, &Option<MemberIndex>)| slot.reader == owner;
    let is_stable = ring.slots(vnode).zip(owners).all(reads);
    let phase = if is_stable { Phase::Stable } else { Phase::Moving };
    if ring.phase(vnode) != phase || !ring.slots(vnode).zip(owners).all(succeeds) {
        let named = ring.slots(vnode).zip(owners);
        let slots: Vec<Slot> =
            named.map(|(slot, &owner)| Slot { successor: owner, ..slot }).collect();
        document.ring.set(vnode, &slots, phase, document.epoch);
    }
}
