//! [`Recent`]: the dots that were applied lately, with their tokens: what another owner lacks of
//! them is found without reading a table.
//!
//! One ring for all vnodes, in the order in which rows were applied: a row costs a write beside the
//! one before it. Whether the ring still has all that somebody lacks needs no notes of what fell
//! out of it: two clocks say how many dots that is. In memory only; a start fills it from the log.

use std::collections::BTreeSet;

use schemas::clock::VnodeClock;
use schemas::ids::{Dot, Token, Vnode, VnodeBits};

use super::heads::{ActorNumber, Actors, NOBODY};

/// What another owner of a vnode lacks, as far as the ring knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DotsSince {
    /// All of it, oldest first, with the tokens of the keys that were written. A key may have been
    /// written again since: then its record has a later dot, which is among these too.
    Complete(Vec<(Dot, Token)>),
    /// More than the ring knows: digests have to be compared.
    NotCovered,
}

/// A dot. Its vnode is that of its token.
#[derive(Clone, Copy, Debug)]
struct Entry {
    token: Token,
    counter: u64,
    actor: ActorNumber,
}

/// The last dots that a shard has applied.
#[derive(Debug)]
pub(super) struct Recent {
    /// The oldest is at `next` once there are `dots_max`, and at 0 before.
    entries: Vec<Entry>,
    next: usize,
    dots_max: usize,
}

impl Recent {
    /// An empty ring that holds `dots_max` dots.
    pub(super) fn new(dots_max: usize) -> Self {
        Self { entries: Vec::with_capacity(dots_max), next: 0, dots_max }
    }

    /// The dot with this token is new in its clock.
    #[inline]
    pub(super) fn push(&mut self, token: Token, actor: ActorNumber, counter: u64) {
        let entry = Entry { token, counter, actor };
        if self.entries.len() < self.dots_max {
            self.entries.push(entry);
        } else if let Some(oldest) = self.entries.get_mut(self.next) {
            *oldest = entry;
            self.next = if self.next + 1 == self.dots_max { 0 } else { self.next + 1 };
        }
    }

    /// The clocks of the vnodes from `first` to `last` have no dot any more.
    pub(super) fn cleared(&mut self, bits: VnodeBits, first: Vnode, last: Vnode) {
        for entry in &mut self.entries {
            if (first..=last).contains(&entry.token.vnode(bits)) {
                entry.actor = NOBODY;
            }
        }
    }

    /// What `ours`, the clock of `vnode`, has and `theirs` has not.
    pub(super) fn since(
        &self,
        (bits, vnode): (VnodeBits, Vnode),
        actors: &Actors,
        ours: &VnodeClock,
        theirs: &VnodeClock,
    ) -> DotsSince {
        let lacking = ours.count_beyond(theirs);
        if lacking > self.entries.len() as u64 {
            return DotsSince::NotCovered;
        }
        let mut dots = Vec::new();
        if lacking == 0 {
            return DotsSince::Complete(dots);
        }
        // A clock that was full and forgot a dot may have seen it twice.
        let mut seen = BTreeSet::new();
        let (newer, older) = self.entries.split_at(self.next);
        for entry in older.iter().chain(newer).filter(|entry| entry.token.vnode(bits) == vnode) {
            let Some(actor) = actors.get(entry.actor) else { continue };
            let dot = Dot { actor, counter: entry.counter };
            if ours.contains(dot) && !theirs.contains(dot) && seen.insert(dot) {
                dots.push((dot, entry.token));
            }
        }
        if dots.len() as u64 == lacking { DotsSince::Complete(dots) } else { DotsSince::NotCovered }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU64;

    use proptest::prelude::*;
    use schemas::ids::{Actor, NodeId};

    use super::*;

    const BITS: VnodeBits = VnodeBits::new(1).unwrap();

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

    /// A ring, the numbers it uses, and the clocks of two vnodes.
    struct Ring {
        recent: Recent,
        actors: Actors,
        ours: [VnodeClock; 2],
    }

    impl Ring {
        fn new(dots_max: usize) -> Self {
            let (recent, ours) = (Recent::new(dots_max), Default::default());
            Self { recent, actors: Actors::default(), ours }
        }

        /// Applies a row of a vnode; its token tells which.
        fn apply(&mut self, token: Token, dot: Dot) -> bool {
            let known = self.actors.find(dot.actor);
            let number = known.unwrap_or_else(|| self.actors.add(dot.actor));
            let is_new = self.ours[usize::from(token.vnode(BITS).0)].insert(dot);
            if is_new {
                self.recent.push(token, number, dot.counter);
            }
            is_new
        }

        fn since(&self, vnode: u16, theirs: &VnodeClock) -> DotsSince {
            let ours = &self.ours[usize::from(vnode)];
            self.recent.since((BITS, Vnode(vnode)), &self.actors, ours, theirs)
        }
    }

    /// A token of a vnode.
    fn token(vnode: u64, number: u64) -> Token {
        Token(vnode << 63 | number)
    }

    proptest! {
        /// An answer is complete, or there is none; and there is one if the ring has it all.
        #[test]
        fn it_says_complete_of_all_and_nothing_else(
            saved in dots(),
            applied in dots(),
            others in 0u64..20,
            joined in dots(),
            theirs in dots(),
            dots_max in 0usize..50,
        ) {
            let mut ring = Ring::new(dots_max);
            ring.ours[1].join(&clock(&saved));
            let mut tokens: Vec<(Dot, Token)> = Vec::new();
            for (at, &(node, counter)) in applied.iter().enumerate() {
                let (dot, token) = (dot(node, counter), token(1, at as u64));
                if ring.apply(token, dot) {
                    tokens.push((dot, token));
                }
            }
            for counter in 1..=others {
                ring.apply(token(0, counter), dot(0, counter));
            }
            ring.ours[1].join(&clock(&joined));
            let left = dots_max.saturating_sub(others as usize).min(tokens.len());
            let kept = tokens.split_off(tokens.len() - left);
            let kept: BTreeMap<Dot, Token> = kept.into_iter().collect();
            let theirs = clock(&theirs);
            let mut all = theirs.clone();
            for &dot in kept.keys() {
                all.insert(dot);
            }
            match ring.since(1, &theirs) {
                DotsSince::NotCovered => prop_assert!(!all.dominates(&ring.ours[1])),
                DotsSince::Complete(missing) => {
                    prop_assert!(all.dominates(&ring.ours[1]));
                    let mut all = theirs.clone();
                    for (dot, token) in &missing {
                        prop_assert!(all.insert(*dot), "they have it already");
                        prop_assert_eq!(kept.get(dot), Some(token));
                    }
                    prop_assert!(all.dominates(&ring.ours[1]));
                    prop_assert!(missing.is_sorted_by_key(|(_, token)| *token), "oldest first");
                }
            }
        }
    }

    /// What everybody has may fall out: the rest is complete all the same.
    #[test]
    fn a_full_ring_serves_those_who_are_not_far_behind() {
        let mut ring = Ring::new(4);
        for counter in 1..=10 {
            ring.apply(token(1, counter), dot(0, counter));
        }
        let behind = |upto: u64| clock(&(1..=upto).map(|counter| (0, counter)).collect::<Vec<_>>());
        let missing = |from: u64| (from..=10).map(|it| (dot(0, it), token(1, it))).collect();
        assert_eq!(ring.since(1, &behind(5)), DotsSince::NotCovered);
        assert_eq!(ring.since(1, &behind(6)), DotsSince::Complete(missing(7)));
        assert_eq!(ring.since(1, &behind(8)), DotsSince::Complete(missing(9)));
        assert_eq!(ring.since(1, &behind(10)), DotsSince::Complete(Vec::new()));
        assert_eq!(ring.since(0, &behind(2)), DotsSince::Complete(Vec::new()));
    }

    /// What was lost may come again: it counts from then on.
    #[test]
    fn what_was_cleared_is_not_recent() {
        let mut ring = Ring::new(100);
        let none = VnodeClock::default();
        for counter in 1..=9 {
            ring.apply(token(counter % 2, counter), dot(0, counter));
        }
        ring.recent.cleared(BITS, Vnode(1), Vnode(1));
        assert_eq!(ring.since(1, &none), DotsSince::NotCovered);
        ring.ours[1] = VnodeClock::default();
        ring.apply(token(1, 50), dot(0, 3));
        assert_eq!(ring.since(1, &none), DotsSince::Complete(vec![(dot(0, 3), token(1, 50))]));
        assert!(matches!(ring.since(0, &none), DotsSince::Complete(dots) if dots.len() == 4));
    }
}
