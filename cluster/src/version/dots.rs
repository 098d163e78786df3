//! The counters behind dots: which write of this actor in a vnode comes next.
//!
//! What they keep true: counters of a `(vnode, actor)` are contiguous from 1, because a number is
//! used up only once the write it names has been taken ([`DotCounters::advance`]). Nothing is
//! stored: an actor is a node in one of its lives, and the next life starts again from 1 under
//! another `boot`. So a dot is never used twice, whatever a crash lost.

use std::ops::RangeInclusive;

use schemas::ids::{Actor, Dot, Vnode};

/// Gives the dots of the vnodes one core owns.
#[derive(Clone, Debug)]
pub struct DotCounters {
    actor: Actor,
    first: Vnode,
    /// Dots given in each vnode, from `first` on.
    given: Vec<u64>,
}

impl DotCounters {
    /// Counters of `actor`, at their start, for the vnodes of a core.
    #[must_use]
    pub fn new(actor: Actor, vnodes: RangeInclusive<Vnode>) -> Self {
        let (first, last) = (vnodes.start().0, vnodes.end().0);
        let count = usize::from(last.saturating_sub(first)) + usize::from(first <= last);
        Self { actor, first: Vnode(first), given: vec![0; count] }
    }

    /// Who gives the dots.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// The dot that the next write in `vnode` bears. It stays the next one until
    /// [`DotCounters::advance`].
    ///
    /// # Panics
    /// If the core does not own `vnode`: the request should have been forwarded.
    #[inline]
    #[must_use]
    pub fn next(&self, vnode: Vnode) -> Dot {
        Dot { actor: self.actor, counter: self.given[self.index(vnode)] + 1 }
    }

    /// How many dots were given in `vnode`.
    ///
    /// # Panics
    /// If the core does not own `vnode`.
    #[must_use]
    pub fn given(&self, vnode: Vnode) -> u64 {
        self.given[self.index(vnode)]
    }

    /// Uses up the dot [`DotCounters::next`] names in `vnode`: the write that bears it was taken.
    ///
    /// # Panics
    /// If the core does not own `vnode`.
    #[inline]
    pub fn advance(&mut self, vnode: Vnode) {
        let index = self.index(vnode);
        self.given[index] += 1;
    }

    fn index(&self, vnode: Vnode) -> usize {
        let index = vnode.0.checked_sub(self.first.0).map(usize::from);
        index.filter(|&i| i < self.given.len()).expect("a vnode of another core")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use schemas::ids::NodeId;

    use super::*;

    fn actor(boot: u32) -> Actor {
        Actor { node: NodeId(NonZeroU64::new(7).unwrap()), boot }
    }

    #[test]
    fn a_refused_write_leaves_no_gap() {
        let mut dots = DotCounters::new(actor(1), Vnode(4)..=Vnode(7));
        let refused = dots.next(Vnode(5));
        assert_eq!(dots.next(Vnode(5)), refused);
        dots.advance(Vnode(5));
        assert_eq!(dots.next(Vnode(5)).counter, 2);
        assert_eq!(dots.next(Vnode(6)).counter, 1);
    }

    #[test]
    fn a_core_may_own_the_whole_ring_or_its_last_vnode() {
        let mut dots = DotCounters::new(actor(1), Vnode(0)..=Vnode(u16::MAX));
        dots.advance(Vnode(u16::MAX));
        assert_eq!(dots.next(Vnode(u16::MAX)).counter, 2);
        let last = DotCounters::new(actor(1), Vnode(u16::MAX)..=Vnode(u16::MAX));
        assert_eq!(last.next(Vnode(u16::MAX)).counter, 1);
    }

    #[test]
    #[should_panic(expected = "a vnode of another core")]
    fn another_cores_vnode_is_our_own_bug() {
        let _ = DotCounters::new(actor(1), Vnode(4)..=Vnode(7)).next(Vnode(8));
    }

    proptest! {
        #[test]
        fn counters_are_contiguous_and_dots_unique(
            writes in prop::collection::vec((0u16..8, any::<bool>()), 0..300),
        ) {
            let mut dots = DotCounters::new(actor(3), Vnode(0)..=Vnode(7));
            let mut given = [0u64; 8];
            for (vnode, taken) in writes {
                let dot = dots.next(Vnode(vnode));
                prop_assert_eq!(dot.counter, given[usize::from(vnode)] + 1);
                prop_assert_eq!(dot.actor, actor(3));
                if taken {
                    dots.advance(Vnode(vnode));
                    given[usize::from(vnode)] += 1;
                }
            }
        }
    }
}
