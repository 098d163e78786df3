//! [`Turns`]: which place is next to be given a copy.
//!
//! - Places below their quota come first, each as often as it is short, evenly spread over what is
//!   given, and in an order that looks random: so owners of a lost node's copies are many.
//! - Then those that have their quota or more, the least above it first.
//! - The order depends on the data centre's nodes and nothing else.

use std::ops::Range;

use super::board::{At, Board, NOBODY};
use super::chance::mix;
use super::tournament::{NONE, Tournament};

/// Keys from here on are of places that are not short.
const SATED: u64 = 1 << 62;

/// Who may be given a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// Nodes that hold no copy of the row: a reader that succeeds another reader leaves its own
    /// slot to be streamed to somebody else.
    Fresh,
    /// Everyone whom the row's bounds admit.
    Anyone,
    /// Nodes that had a slot of the row and lost it: to give them one is no move.
    Former,
    /// The slot's reader: it has what others would have to stream.
    Reader,
}

/// The order in which places are served.
pub(super) struct Turns {
    salt: u64,
    /// By place: how many copies it was short of at first.
    due: Vec<u32>,
    keys: Tournament,
    closed: Vec<Range<usize>>,
}

impl Turns {
    pub(super) fn new(board: &Board) -> Self {
        let seed = board.copies as u64;
        let salt = board
            .nodes
            .iter()
            .fold(seed, |salt, node| mix(mix(salt ^ node.id) ^ u64::from(node.weight)));
        let short = |place: usize| board.quotas[place].saturating_sub(board.loads[place]);
        let due = (0..board.nodes.len()).map(short).collect();
        let keys = Tournament::new(board.nodes.iter().map(|_| NONE));
        let mut turns = Self { salt, due, keys, closed: Vec::new() };
        turns.keys = turns.all(board);
        turns
    }

    /// To be told when the number of slots of `place` has changed.
    pub(super) fn refresh(&mut self, board: &Board, place: u16) {
        let key = self.key(board, place);
        self.keys.set(usize::from(place), key);
    }

    /// Who is next of those that may have the slot, and whether it is short of copies.
    pub(super) fn next(&mut self, board: &Board, at: At, whom: Whom) -> Option<(u16, bool)> {
        let least = least(&self.keys, &mut self.closed, board, (at, whom));
        (least != NONE).then_some((least as u16, least < SATED))
    }

    /// As [`Turns::next`], of some places only.
    pub(super) fn first_of(
        &mut self,
        places: &Tournament,
        board: &Board,
        at: At,
        whom: Whom,
    ) -> Option<(u16, bool)> {
        let least = least(places, &mut self.closed, board, (at, whom));
        (least != NONE).then_some((least as u16, least < SATED))
    }

    /// Whether the row admits `place` to the slot.
    pub(super) fn may_have(&mut self, board: &Board, at: At, place: u16) -> bool {
        board.closed(at, false, &mut self.closed);
        !self.closed.iter().any(|closed| closed.contains(&usize::from(place)))
    }

    /// All places in their order.
    pub(super) fn all(&self, board: &Board) -> Tournament {
        let places = 0..board.nodes.len();
        Tournament::new(places.map(|place| self.key(board, place as u16)))
    }

    /// A place that is short, whoever is next.
    pub(super) fn shortest(&self, board: &Board) -> Option<u16> {
        let least = self.keys.min(0..board.nodes.len());
        (least < SATED).then_some(least as u16)
    }

    /// Something of `place` and a number that looks random.
    pub(super) fn draw(&self, board: &Board, place: u16, number: u32) -> u64 {
        mix(self.salt ^ mix(board.nodes[usize::from(place)].id ^ mix(u64::from(number))))
    }

    /// A place that is short is served at a random moment of each of as many equal parts of the
    /// whole as it is short of copies. 40 bits of that moment, 16 of the place.
    fn key(&self, board: &Board, place: u16) -> u64 {
        let surplus = board.surplus(place);
        if surplus >= 0 {
            let chance = self.draw(board, place, 0) & 0xffff;
            return SATED | (surplus as u64) << 32 | chance << 16 | u64::from(place);
        }
        let short = surplus.unsigned_abs();
        let due = u64::from(self.due[usize::from(place)]).max(short);
        let served = due - short;
        let chance = self.draw(board, place, served as u32) & 0xffff;
        let moment = ((served << 16 | chance) << 24) / due;
        moment << 16 | u64::from(place)
    }
}

/// The least key of those of `places` that may have the slot.
fn least(
    places: &Tournament,
    closed: &mut Vec<Range<usize>>,
    board: &Board,
    (at, whom): (At, Whom),
) -> u64 {
    let few: &[u16] = match whom {
        Whom::Former => board.previous(at),
        Whom::Reader => &[board.reader(at)],
        Whom::Fresh | Whom::Anyone => {
            board.closed(at, whom == Whom::Fresh, closed);
            return least_but(places, closed, board.nodes.len());
        }
    };
    let key = |place: u16| if place == NOBODY { NONE } else { places.key(usize::from(place)) };
    if few.iter().all(|&place| key(place) == NONE) {
        return NONE;
    }
    board.closed(at, false, closed);
    let is_closed = |place: u16| closed.iter().any(|it| it.contains(&usize::from(place)));
    few.iter().filter(|&&it| !is_closed(it)).map(|&it| key(it)).min().unwrap_or(NONE)
}

/// The least key of `places`, as many as are given, that is in no range of `closed`, which ascend
/// by their starts.
fn least_but(places: &Tournament, closed: &[Range<usize>], count: usize) -> u64 {
    let (mut least, mut open) = (NONE, 0);
    for closed in closed {
        if open < closed.start {
            least = least.min(places.min(open..closed.start));
        }
        open = open.max(closed.end);
    }
    least.min(places.min(open..count))
}
