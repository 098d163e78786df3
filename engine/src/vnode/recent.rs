//! [`Recent`]: the dots that were applied lately, with their tokens: what another owner lacks of
//! them is found without a scan.
//!
//! A ring for each vnode. What falls out of it, and what never was in it (a clock that was saved or
//! joined), is remembered by its greatest counter alone: up to there the ring knows nothing of an
//! actor. In memory only; a start fills it from the log.

use std::collections::VecDeque;

use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Dot, Token};

/// What another owner of a vnode lacks, as far as the ring knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DotsSince {
    /// All of it, oldest first, with the tokens of the keys that were written. A key may have been
    /// written again since: then its record has a later dot, which is among these too.
    Complete(Vec<(Dot, Token)>),
    /// More than the ring knows: digests have to be compared.
    NotCovered,
}

#[derive(Clone, Default, Debug)]
struct Ring {
    dots: VecDeque<(Dot, Token)>,
    /// Dots up to these counters may be missing in the ring; by actor.
    out: Vec<(Actor, u64)>,
}

impl Ring {
    /// Dots of `actor` up to `counter` may be missing.
    fn is_out(&mut self, actor: Actor, counter: u64) {
        match self.out.binary_search_by(|(it, _)| it.cmp(&actor)) {
            Ok(at) => self.out[at].1 = self.out[at].1.max(counter),
            Err(at) => self.out.insert(at, (actor, counter)),
        }
    }

    fn out(&self, actor: Actor) -> u64 {
        let at = self.out.binary_search_by(|(it, _)| it.cmp(&actor));
        at.map_or(0, |at| self.out[at].1)
    }
}

/// The rings of a shard's vnodes.
#[derive(Debug)]
pub(super) struct Recent {
    rings: Vec<Ring>,
    /// Dots of one ring.
    dots_max: usize,
}

impl Recent {
    /// Empty rings of `vnodes` vnodes, which hold `dots_max` dots together, at least 1 each.
    pub(super) fn new(vnodes: usize, dots_max: usize) -> Self {
        Self { rings: vec![Ring::default(); vnodes], dots_max: (dots_max / vnodes.max(1)).max(1) }
    }

    /// `dot` is new in the clock at `index`.
    #[inline]
    pub(super) fn push(&mut self, index: usize, dot: Dot, token: Token) {
        let ring = &mut self.rings[index];
        if ring.dots.len() == self.dots_max
            && let Some((oldest, _)) = ring.dots.pop_front()
        {
            ring.is_out(oldest.actor, oldest.counter);
        }
        ring.dots.push_back((dot, token));
    }

    /// The clock at `index` has the dots of `clock`, whose tokens nobody knows.
    pub(super) fn joined(&mut self, index: usize, clock: &VnodeClock) {
        for it in clock.actors() {
            self.rings[index].is_out(it.actor(), it.greatest());
        }
    }

    /// The clock at `index` has no dot any more.
    pub(super) fn cleared(&mut self, index: usize) {
        self.rings[index] = Ring::default();
    }

    /// What `ours`, the clock at `index`, has and `theirs` has not.
    pub(super) fn since(&self, index: usize, ours: &VnodeClock, theirs: &VnodeClock) -> DotsSince {
        let ring = &self.rings[index];
        let is_covered = ours.actors().iter().all(|it| theirs.has_upto(it, ring.out(it.actor())));
        if !is_covered {
            return DotsSince::NotCovered;
        }
        let lacks = |(dot, _): &&(Dot, Token)| ours.contains(*dot) && !theirs.contains(*dot);
        DotsSince::Complete(ring.dots.iter().filter(lacks).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use schemas::ids::NodeId;

    use super::*;

    fn dot(node: u64, counter: u64) -> Dot {
        let node = NodeId(NonZeroU64::new(node + 1).unwrap());
        Dot { actor: Actor { node, boot: 1 }, counter }
    }

    fn clock(dots: &[(u64, u64)]) -> VnodeClock {
        let mut clock = VnodeClock::default();
        for &(node, counter) in dots {
            clock.insert(dot(node, counter));
        }
        clock
    }

    fn dots() -> impl Strategy<Value = Vec<(u64, u64)>> {
        prop::collection::vec((0u64..3, 1u64..20), 0..40)
    }

    proptest! {
        /// An answer is complete, or there is none.
        #[test]
        fn it_never_says_complete_of_less(
            saved in dots(),
            applied in dots(),
            joined in dots(),
            theirs in dots(),
            dots_max in 1usize..30,
        ) {
            let (mut ours, mut recent) = (VnodeClock::default(), Recent::new(1, dots_max));
            let mut tokens = BTreeMap::new();
            let join = |ours: &mut VnodeClock, recent: &mut Recent, dots: &[(u64, u64)]| {
                ours.join(&clock(dots));
                recent.joined(0, &clock(dots));
            };
            join(&mut ours, &mut recent, &saved);
            for (at, &(node, counter)) in applied.iter().enumerate() {
                let (dot, token) = (dot(node, counter), Token(at as u64));
                if ours.insert(dot) {
                    recent.push(0, dot, token);
                    tokens.insert(dot, token);
                }
            }
            join(&mut ours, &mut recent, &joined);
            let theirs = clock(&theirs);
            match recent.since(0, &ours, &theirs) {
                DotsSince::NotCovered => prop_assert!(!theirs.dominates(&ours)),
                DotsSince::Complete(missing) => {
                    let mut all = theirs.clone();
                    for (dot, token) in &missing {
                        prop_assert!(all.insert(*dot), "they have it already");
                        prop_assert_eq!(tokens.get(dot), Some(token));
                    }
                    prop_assert!(all.dominates(&ours));
                }
            }
        }
    }

    /// What everybody has may fall out: the rest is complete all the same.
    #[test]
    fn a_full_ring_serves_those_who_are_not_far_behind() {
        let (mut ours, mut recent) = (VnodeClock::default(), Recent::new(1, 4));
        for counter in 1..=10 {
            ours.insert(dot(0, counter));
            recent.push(0, dot(0, counter), Token(counter));
        }
        let behind = |upto: u64| clock(&(1..=upto).map(|counter| (0, counter)).collect::<Vec<_>>());
        let missing = |from: u64| (from..=10).map(|it| (dot(0, it), Token(it))).collect();
        assert_eq!(recent.since(0, &ours, &behind(5)), DotsSince::NotCovered);
        assert_eq!(recent.since(0, &ours, &behind(6)), DotsSince::Complete(missing(7)));
        assert_eq!(recent.since(0, &ours, &behind(8)), DotsSince::Complete(missing(9)));
        assert_eq!(recent.since(0, &ours, &ours), DotsSince::Complete(Vec::new()));
        recent.cleared(0);
        let none = VnodeClock::default();
        assert_eq!(recent.since(0, &none, &behind(2)), DotsSince::Complete(Vec::new()));
    }

    #[test]
    fn the_bound_is_of_all_vnodes_together() {
        let mut recent = Recent::new(8, 64);
        for counter in 1..=100 {
            recent.push(counter as usize % 8, dot(0, counter), Token(0));
        }
        assert!(recent.rings.iter().all(|ring| ring.dots.len() == 8));
    }
}
