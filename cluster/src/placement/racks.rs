//! How copies of a vnode are spread over racks: in rounds, one to each rack with a node without.
//!
//! - A rack has [`Rack::least`] to [`Rack::most`] copies of each vnode, which differ by 1 at most:
//!   no copy could move to a rack that has two less and a node for it.
//! - Slots are cut into [`rounds`], too: where each round's slots are of different racks, the
//!   copies that a namespace of fewer copies has, the first ones, are spread as evenly.

use std::ops::Range;

/// A rack of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rack {
    /// Its nodes: racks are runs of nodes.
    pub(super) nodes: Range<usize>,
    /// Copies it has of each vnode, at least.
    pub(super) least: u32,
    /// And at most.
    pub(super) most: u32,
}

/// The bounds of racks of `sizes` nodes when each vnode has `copies`, which are as many as there
/// are nodes at most.
pub(super) fn spread(sizes: &[usize], copies: usize) -> Vec<Rack> {
    let filled = |rounds: usize| sizes.iter().map(|&nodes| nodes.min(rounds)).sum::<usize>();
    let rounds = (0..=copies).rev().find(|&rounds| filled(rounds) <= copies).unwrap_or(0);
    let last = usize::from(filled(rounds) < copies);
    let mut next = 0;
    let rack = |&nodes: &usize| {
        let first = next;
        next += nodes;
        let (least, most) = (nodes.min(rounds) as u32, nodes.min(rounds + last) as u32);
        Rack { nodes: first..next, least, most }
    };
    sizes.iter().map(rack).collect()
}

/// The slots of each slot's round.
pub(super) fn rounds(sizes: &[usize], copies: usize) -> Vec<Range<usize>> {
    let mut rounds = Vec::with_capacity(copies);
    for round in 0..copies {
        let first = rounds.len();
        let racks = sizes.iter().filter(|&&nodes| nodes > round).count();
        let end = copies.min(first + racks);
        rounds.extend((first..end).map(|_| first..end));
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_dealt_to_racks_in_rounds() {
        let bounds = |sizes: &[usize], copies: usize| -> Vec<(u32, u32)> {
            spread(sizes, copies).iter().map(|rack| (rack.least, rack.most)).collect()
        };
        assert_eq!(bounds(&[5], 3), [(3, 3)]);
        assert_eq!(bounds(&[4, 4], 3), [(1, 2), (1, 2)]);
        assert_eq!(bounds(&[4, 1], 3), [(2, 2), (1, 1)], "what small racks cannot");
        assert_eq!(bounds(&[2, 2, 2], 3), [(1, 1); 3]);
        assert_eq!(bounds(&[2, 2, 2, 2], 3), [(0, 1); 4]);
        assert_eq!(bounds(&[3, 3, 1], 4), [(1, 2), (1, 2), (1, 1)]);
        assert_eq!(bounds(&[1, 2], 3), [(1, 1), (2, 2)], "a copy on each node");
        assert_eq!(spread(&[2, 3], 2)[1].nodes, 2..5);
    }

    #[test]
    fn slots_of_a_round_are_as_many_as_racks_that_can_have_one() {
        assert_eq!(rounds(&[4, 4], 3), [0..2, 0..2, 2..3]);
        assert_eq!(rounds(&[4, 1, 1], 5), [0..3, 0..3, 0..3, 3..4, 4..5]);
        assert_eq!(rounds(&[9, 9, 9, 9], 2), [0..2, 0..2]);
        assert_eq!(rounds(&[3], 3), [0..1, 1..2, 2..3]);
    }
}
