//! What rows must change for themselves: slots beyond a rack's bounds are given up, and free slots
//! are given to somebody.
//!
//! - Nobody is put into a slot that another had, but a reader that gets its own back.
//! - Afterwards no slot is free, and each rack has of each row what it is to have.

use super::board::{At, Board, NOBODY};
use super::turns::{Turns, Whom};

/// Frees slots of racks that have too many of a row, or that another rack is to have.
pub(super) fn clear(board: &mut Board) {
    for row in 0..board.vnodes.len() {
        while let Some(slot) = misplaced(board, row) {
            board.set(At::new(row, slot), NOBODY);
        }
    }
}

/// The slot of `row` to free first, if one must be: of those whose rack can spare it, the one of
/// the owner with the most above its quota, so that little is left to level.
fn misplaced(board: &Board, row: usize) -> Option<usize> {
    let owners = board.row(row);
    let has = |rack| board.in_rack(row, rack);
    let is_over = board.racks.len() <= board.copies && {
        let owed: u32 = board.racks.iter().map(|it| it.least.saturating_sub(has(it))).sum();
        owed as usize > owners.iter().filter(|&&it| it == NOBODY).count()
    };
    let can_go = |place: u16| {
        let rack = board.rack(place);
        has(rack) > if is_over { rack.least } else { rack.most }
    };
    let taken = owners.iter().enumerate().filter(|&(_, &it)| it != NOBODY);
    let candidates = taken.filter(|&(_, &it)| can_go(it));
    candidates.max_by_key(|&(_, &it)| board.surplus(it)).map(|(slot, _)| slot)
}

/// Gives free slots back to their readers, as far as these have less than their quota: nothing has
/// to be streamed for it.
pub(super) fn give_back(board: &mut Board) {
    let mut closed = Vec::new();
    for at in board.slots() {
        let reader = board.reader(at);
        if board.owner(at) == NOBODY && reader != NOBODY && board.surplus(reader) < 0 {
            board.closed(at, false, &mut closed);
            if !closed.iter().any(|places| places.contains(&usize::from(reader))) {
                board.set(at, reader);
            }
        }
    }
}

/// Gives each free slot to whose turn it is.
pub(super) fn fill(board: &mut Board, turns: &mut Turns) {
    let mut free = Vec::new();
    for row in 0..board.vnodes.len() {
        free.clear();
        free.extend((0..board.copies).filter(|&slot| board.row(row)[slot] == NOBODY));
        for &slot in &free {
            let at = At::new(row, slot);
            let owner = match turns.next(board, at, Whom::Fresh) {
                Some((fresh, true)) => fresh,
                fresh => match turns.next(board, at, Whom::Anyone) {
                    Some((anyone, true)) => anyone,
                    anyone => fresh.or(anyone).expect("there are as many nodes as copies").0,
                },
            };
            board.set(at, owner);
            turns.refresh(board, owner);
        }
        arrange(board, row, &free);
    }
}

/// Has the owners of the `free` slots of `row`, which were filled just now, change places: each
/// slot goes to the one who has it least often for the number of its copies.
fn arrange(board: &mut Board, row: usize, free: &[usize]) {
    for (nth, &slot) in free.iter().enumerate() {
        let lacks = |&other: &usize| {
            let owner = board.row(row)[other];
            let with_slot = board.with_slot(owner, slot) - u32::from(other == slot);
            let load = board.loads[usize::from(owner)];
            i64::from(load) - i64::from(with_slot) * board.copies as i64
        };
        let others =
            free[nth..].iter().copied().filter(|&it| may_change_places(board, row, slot, it));
        let other = others.max_by_key(lacks).expect("the slot itself, at least");
        change_places(board, row, slot, board.row(row)[other]);
    }
}

/// Has owners of a row change places where one of them had the other's slot, or reads it and
/// neither had the slot that it has.
pub(super) fn keep_slots(board: &mut Board) {
    for row in 0..board.vnodes.len() {
        let first = At::new(row, 0);
        if board.previous(first) == board.row(row) {
            continue;
        }
        for slot in 0..board.copies {
            change_places(board, row, slot, board.previous(first)[slot]);
        }
        for slot in 0..board.copies {
            let keeps = |slot: usize| board.previous(first)[slot] == board.row(row)[slot];
            let reader = board.reader(At::new(row, slot));
            let there = board.row(row).iter().position(|&it| it == reader);
            if !keeps(slot) && there.is_some_and(|there| !keeps(there)) {
                change_places(board, row, slot, reader);
            }
        }
    }
}

/// Has who got a slot that was nobody's change places with the owner of an earlier slot, where that
/// one has it too often and the other not often enough: a cluster that grows from its first node
/// would else have all first slots there for ever. Both keep or get the vnode either way.
pub(super) fn mix_in(board: &mut Board) {
    for at in std::mem::take(&mut board.added) {
        let owner = board.owner(at);
        let excess = |slot: usize, of: u16| {
            let share = i64::from(board.loads[usize::from(of)]);
            (board.copies as i64 * i64::from(board.with_slot(of, slot)) - share) * 8 > share
        };
        let lacks = |slot: usize, of: u16| {
            board.copies as u32 * board.with_slot(of, slot) < board.loads[usize::from(of)]
        };
        let row = at.row();
        let earlier = (0..at.slot()).find(|&slot| {
            let other = board.row(row)[slot];
            may_change_places(board, row, slot, at.slot())
                && excess(slot, other)
                && lacks(slot, owner)
        });
        if let Some(slot) = earlier {
            change_places(board, row, slot, owner);
        }
    }
}

/// Whether owners may change places: as rounds are mixed before, they are afterwards.
fn may_change_places(board: &Board, row: usize, here: usize, there: usize) -> bool {
    let owners = board.row(row);
    let rack = &board.rack(owners[here]).nodes;
    board.rounds[here].contains(&there) || rack.contains(&usize::from(owners[there]))
}

/// Gives the slot to `owner`, if it has another one of the row, and that one to who has it now.
fn change_places(board: &mut Board, row: usize, slot: usize, owner: u16) {
    let there = board.row(row).iter().position(|&it| it == owner);
    if let Some(there) = there.filter(|&there| there != slot && owner != NOBODY) {
        let here = board.row(row)[slot];
        board.set(At::new(row, slot), owner);
        board.set(At::new(row, there), here);
    }
}
