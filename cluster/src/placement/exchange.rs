//! Brings every place to its quota: those with more hand slots to those with fewer.
//!
//! What costs least is done first:
//! - ways on which no copy more moves: through slots whose owner is new anyway;
//! - a slot from a place with more to one with fewer: a copy moves, and must;
//! - other ways, on which fewer copies move before those on which more do.
//!
//! Each of these first without putting two copies of a round on a rack or having a reader succeed
//! another, then with.

use super::board::{At, Board, NOBODY};
use super::turns::{Turns, Whom};
use super::ways::Ways;

/// Has places with more than their quota give slots back to readers with less, and these to others
/// theirs: nothing has to be streamed for it. So a change that is taken back leaves no trace.
pub(super) fn give_back(board: &mut Board, turns: &mut Turns) {
    if board.is_moving && !is_level(board) {
        let mut slots = slots_by_place(board, turns);
        Ways::new(board, turns, &mut slots, Whom::Reader).take(0);
    }
}

/// Brings every place to its quota.
pub(super) fn level(board: &mut Board, turns: &mut Turns) {
    if is_level(board) {
        return;
    }
    let mut slots = slots_by_place(board, turns);
    let either = [Whom::Fresh, Whom::Anyone];
    if board.is_touched {
        for whom in either {
            Ways::new(board, turns, &mut slots, whom).take(0);
        }
    }
    for whom in either {
        for place in 0..board.nodes.len() as u16 {
            hand_on(board, turns, &mut slots, (place, whom));
        }
    }
    let places = board.nodes.len();
    for whom in either {
        Ways::new(board, turns, &mut slots, whom).take(places);
    }
}

/// Whether every place has its quota.
fn is_level(board: &Board) -> bool {
    board.loads == board.quotas
}

/// The slots of each place, beginning anywhere.
fn slots_by_place(board: &Board, turns: &Turns) -> Vec<Vec<At>> {
    let capacity = |&load: &u32| Vec::with_capacity(load as usize);
    let mut slots: Vec<Vec<At>> = board.loads.iter().map(capacity).collect();
    for at in board.slots().filter(|&at| board.owner(at) != NOBODY) {
        slots[usize::from(board.owner(at))].push(at);
    }
    for (place, slots) in slots.iter_mut().enumerate() {
        let first = turns.draw(board, place as u16, 1) % slots.len().max(1) as u64;
        slots.rotate_left(first as usize);
    }
    slots
}

/// Hands slots of `place` to places that are short until it has its quota or none can go: such
/// slots of a row as it has more often, and the other less, than other slots.
fn hand_on(
    board: &mut Board,
    turns: &mut Turns,
    slots: &mut [Vec<At>],
    (place, whom): (u16, Whom),
) {
    let mut order: Vec<usize> = (0..board.copies).collect();
    let mut next = vec![0; board.copies];
    while board.surplus(place) > 0 {
        let Some(short) = turns.shortest(board) else { return };
        let more = |&slot: &usize| {
            i64::from(board.with_slot(short, slot)) - i64::from(board.with_slot(place, slot))
        };
        order.sort_by_key(more);
        let mut candidates = order.iter().filter_map(|&slot| {
            find(board, turns, &slots[usize::from(place)], (place, whom), (slot, &mut next[slot]))
        });
        let Some((at, to)) = candidates.next() else { return };
        board.set(at, to);
        slots[usize::from(to)].push(at);
        turns.refresh(board, place);
        turns.refresh(board, to);
    }
}

/// The first of `slots` from `next` on that is this slot of its row, that `place` still has and
/// that one who is short may have; those that were passed over stay so: nobody becomes short.
fn find(
    board: &Board,
    turns: &mut Turns,
    slots: &[At],
    (place, whom): (u16, Whom),
    (slot, next): (usize, &mut usize),
) -> Option<(At, u16)> {
    while let Some(&at) = slots.get(*next) {
        *next += 1;
        if at.slot() != slot || board.owner(at) != place {
            continue;
        }
        if let Some((to, true)) = turns.next(board, at, whom) {
            return Some((at, to));
        }
    }
    None
}
