//! [`Ways`]: from places with more slots than their quota to places with fewer, through others.
//!
//! A slot that one place can hand to another is an edge of a graph, a way an augmenting path (Ford
//! and Fulkerson, 1956): each place on it hands on one slot and is handed one. There always are
//! owners with these quotas (`DESIGN.md`), so as long as a place has too many there is a way. The
//! cheapest ways are taken first, of these the shortest, all of a kind at once (Dinic, 1970).

use super::board::{At, Board};
use super::tournament::{NONE, Tournament};
use super::turns::{Turns, Whom};

/// What it takes to come to a place: copies that move, then edges.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Distance {
    moves: usize,
    edges: usize,
}

/// A slot on its way.
#[derive(Clone, Copy, Debug)]
struct Edge {
    at: At,
    from: u16,
    to: u16,
}

pub(super) struct Ways<'a> {
    board: &'a mut Board,
    turns: &'a mut Turns,
    /// By place: slots it has or had.
    slots: &'a mut [Vec<At>],
    whom: Whom,
    /// Copies that may move for one way, at most.
    moves_max: usize,
    /// By place: how far it is from a place with more.
    distances: Vec<Option<Distance>>,
    /// By distance, moves first: the places that may be handed a slot.
    open: Vec<Vec<Tournament>>,
    /// By place: its first slot that may still go.
    next: Vec<usize>,
}

impl<'a> Ways<'a> {
    pub(super) fn new(
        board: &'a mut Board,
        turns: &'a mut Turns,
        slots: &'a mut [Vec<At>],
        whom: Whom,
    ) -> Self {
        let (distances, open, next) = (Vec::new(), Vec::new(), Vec::new());
        Self { board, turns, slots, whom, moves_max: 0, distances, open, next }
    }

    /// Takes ways for each of which `moves_max` copies move at most, until there are none.
    pub(super) fn take(mut self, moves_max: usize) {
        self.moves_max = moves_max;
        let places = 0..self.board.nodes.len() as u16;
        while let Some(length) = self.survey() {
            let mut arrived = false;
            for place in places.clone() {
                while self.board.surplus(place) > 0 {
                    let Some(way) = self.find(place, length) else { break };
                    arrived |= self.walk(&way, length);
                }
            }
            if !arrived {
                break;
            }
        }
        places.for_each(|place| self.turns.refresh(self.board, place));
    }

    /// Measures distances; how long the shortest way is.
    fn survey(&mut self) -> Option<Distance> {
        let places = 0..self.board.nodes.len() as u16;
        self.distances = vec![None; places.len()];
        let mut unseen = self.turns.all(self.board);
        let (mut before, mut found): (Vec<Vec<u16>>, _) = (Vec::new(), None);
        for moves in 0..=self.moves_max {
            let mut layers: Vec<Vec<u16>> = Vec::new();
            while found.is_none()
                && (layers.len() <= before.len() || !layers[layers.len() - 1].is_empty())
            {
                let here = Distance { moves, edges: layers.len() };
                let mut layer = Vec::new();
                if here == (Distance { moves: 0, edges: 0 }) {
                    layer.extend(places.clone().filter(|&it| self.board.surplus(it) > 0));
                    layer.iter().for_each(|&it| self.see(&mut unseen, it, here));
                } else if here.edges > 0 {
                    let near = layers[here.edges - 1].iter().map(|&it| (it, false));
                    let paid = before.get(here.edges - 1).into_iter().flatten();
                    for (place, pays) in near.chain(paid.map(|&it| (it, true))) {
                        self.reach((place, pays), here, &mut unseen, &mut layer);
                    }
                }
                let ends = layer.iter().any(|&it| self.board.surplus(it) < 0);
                found = ends.then_some(here);
                layers.push(layer);
            }
            if found.is_some() || layers.iter().all(Vec::is_empty) {
                break;
            }
            before = layers;
        }
        self.open(found?);
        found
    }

    fn see(&mut self, unseen: &mut Tournament, place: u16, at: Distance) {
        unseen.set(usize::from(place), NONE);
        self.distances[usize::from(place)] = Some(at);
    }

    /// Adds to `layer` whom `place` can hand a slot, for nothing or for a copy that moves.
    fn reach(
        &mut self,
        (place, pays): (u16, bool),
        here: Distance,
        unseen: &mut Tournament,
        layer: &mut Vec<u16>,
    ) {
        for nth in 0..self.slots[usize::from(place)].len() {
            let at = self.slots[usize::from(place)][nth];
            if self.board.owner(at) != place {
                continue;
            }
            let whom = if pays { self.whom } else { self.for_nothing(at) };
            while let Some((to, _)) = self.turns.first_of(unseen, self.board, at, whom) {
                self.see(unseen, to, here);
                layer.push(to);
            }
        }
    }

    /// To whom the slot can be handed without a copy more that moves.
    fn for_nothing(&self, at: At) -> Whom {
        let is_moved = !self.board.had(at, self.board.owner(at));
        if is_moved || self.whom == Whom::Reader { self.whom } else { Whom::Former }
    }

    /// Opens the places on ways of this length.
    fn open(&mut self, length: Distance) {
        self.next = vec![0; self.board.nodes.len()];
        let all = self.turns.all(self.board);
        let edges = self.distances.iter().flatten().map(|it| it.edges).max().unwrap_or(0);
        let key = |(place, distance): (usize, &Option<Distance>), here: Distance| {
            let serves = here < length || self.board.surplus(place as u16) < 0;
            if *distance == Some(here) && serves { all.key(place) } else { NONE }
        };
        let at = |here: Distance| {
            Tournament::new(self.distances.iter().enumerate().map(|it| key(it, here)))
        };
        let of = |moves| (0..=edges).map(|edges| at(Distance { moves, edges })).collect();
        self.open = (0..=length.moves).map(of).collect();
    }

    /// A way of this length from `first`.
    fn find(&mut self, first: u16, length: Distance) -> Option<Vec<Edge>> {
        let mut way: Vec<Edge> = Vec::with_capacity(length.edges);
        let mut place = first;
        loop {
            let here = self.distances[usize::from(place)].expect("a way leads through it");
            if here == length {
                return Some(way);
            }
            if let Some((at, to)) = self.edge(place, here) {
                way.push(Edge { at, from: place, to });
                place = to;
            } else {
                self.open[here.moves][here.edges].set(usize::from(place), NONE);
                place = way.pop()?.from;
            }
        }
    }

    /// A slot that `place` can hand on along a way, and to whom.
    fn edge(&mut self, place: u16, here: Distance) -> Option<(At, u16)> {
        while let Some(&at) = self.slots[usize::from(place)].get(self.next[usize::from(place)]) {
            if self.board.owner(at) == place {
                for (moves, whom) in [(0, self.for_nothing(at)), (1, self.whom)] {
                    let open = self.open.get(here.moves + moves);
                    let Some(open) = open.and_then(|it| it.get(here.edges + 1)) else { continue };
                    if let Some((to, _)) = self.turns.first_of(open, self.board, at, whom) {
                        return Some((at, to));
                    }
                }
            }
            self.next[usize::from(place)] += 1;
        }
        None
    }

    /// Hands slots on along `way`, from its end; whether it came to its start. Two edges of a way
    /// may be of one row, and the later one in the way of the earlier: then the place between is
    /// short in place of the last.
    fn walk(&mut self, way: &[Edge], length: Distance) -> bool {
        for &Edge { at, from, to } in way.iter().rev() {
            if self.board.owner(at) != from || !self.turns.may_have(self.board, at, to) {
                self.next[usize::from(from)] += 1;
                return false;
            }
            self.board.set(at, to);
            self.slots[usize::from(to)].push(at);
            if self.board.surplus(to) >= 0 {
                self.open[length.moves][length.edges].set(usize::from(to), NONE);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use schemas::ids::Vnode;

    use super::*;
    use crate::placement::rebalance::nodes_of;
    use crate::placement::tests::support::{document, member};
    use crate::topology::{MemberIndex, Phase, Slot};

    /// Each of two edges may be fine and both together put two copies on a rack.
    #[test]
    fn a_way_that_is_in_its_own_way_ends_there() {
        let racks = ["a", "b", "c", "c"];
        let members = racks.iter().zip(1..).map(|(rack, id)| member(id, "dc", rack, 1));
        let mut document = document(0, members.collect(), &[("dc", 2)]);
        let slot = |it| Slot { reader: Some(MemberIndex(it)), successor: Some(MemberIndex(it)) };
        document.ring.set(Vnode(0), &[slot(0), slot(1)], Phase::Stable, document.epoch);
        let nodes = nodes_of(&document, "dc");
        let mut board = Board::lay_out(&document, 0..2, 2, nodes);
        let mut turns = Turns::new(&board);
        let mut slots = vec![vec![At::new(0, 0)], vec![At::new(0, 1)], vec![], vec![]];
        let mut ways = Ways::new(&mut board, &mut turns, &mut slots, Whom::Anyone);
        ways.distances = vec![None; 4];
        let length = Distance { moves: 0, edges: 0 };
        ways.open(length);
        let first = Edge { at: At::new(0, 0), from: 0, to: 2 };
        let last = Edge { at: At::new(0, 1), from: 1, to: 3 };
        assert!(!ways.walk(&[first, last], length));
        assert_eq!(board.row(0), [0, 3]);
    }
}
