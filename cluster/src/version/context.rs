//! [`Context`]: which writes of one key somebody has seen.
//!
//! A version vector (Parker et al., "Detection of Mutual Inconsistency in Distributed Systems",
//! 1983) whose entries are stamps: of each actor, the last one that is seen. An actor's stamps
//! ascend as its counters do, and whoever has seen one of its writes of a key has seen all before
//! it, so either number says the same. Stamps say more:
//! - Stamps of all actors can be compared, so one stamp, the **floor**, can stand for them all:
//!   everything stamped below it is seen. It takes the place of the entries below it, which is how
//!   a context stays short.
//! - A context that somebody invents covers nothing that is stamped after it, and how far ahead a
//!   stamp may be is checked where stamps are born ([`HlcClock::admits`](super::HlcClock::admits)).
//!   So it does no more than one that was read a moment later. An invented counter would cover
//!   what is yet to be written, for ever.
//!
//! Contexts of one key are a lattice, and [`Context::join`] is its join.

use std::cmp::Reverse;

use schemas::ids::{Actor, Hlc, Version};

/// Which writes of one key are seen.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Context {
    /// Everything stamped below is seen.
    floor: Hlc,
    /// Of an actor, everything up to the stamp. Ascending by actor; no stamp is below the floor.
    seen: Vec<(Actor, Hlc)>,
}

impl Context {
    /// Nothing is seen: what is written with it replaces nothing.
    pub const NOTHING: Self = Self { floor: Hlc(0), seen: Vec::new() };

    /// The context of `floor` and `seen`; `None` unless it is one: actors ascend, and no stamp is
    /// below the floor.
    pub(super) fn new(floor: Hlc, seen: Vec<(Actor, Hlc)>) -> Option<Self> {
        let is_one = seen.is_sorted_by(|a, b| a.0 < b.0) && seen.iter().all(|it| it.1 >= floor);
        is_one.then_some(Self { floor, seen })
    }

    /// Whether nothing is seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.floor == Hlc(0) && self.seen.is_empty()
    }

    /// Everything stamped below this is seen; zero if that is said of no stamp.
    #[must_use]
    pub fn floor(&self) -> Hlc {
        self.floor
    }

    /// The last stamps that are seen of actors, ascending by actor; those below the floor are not
    /// told.
    #[must_use]
    pub fn seen(&self) -> &[(Actor, Hlc)] {
        &self.seen
    }

    /// The greatest stamp in it: what is written with it is stamped above.
    #[must_use]
    pub fn hlc(&self) -> Hlc {
        self.seen.iter().fold(self.floor, |greatest, it| greatest.max(it.1))
    }

    /// Whether the write of `version` is seen.
    #[must_use]
    pub fn covers(&self, version: &Version) -> bool {
        version.hlc < self.floor
            || self.of(version.dot.actor).is_some_and(|last| version.hlc <= last)
    }

    /// Whether all that `other` has seen is seen.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let has = |&(actor, hlc): &(Actor, Hlc)| {
            hlc < self.floor || self.of(actor).is_some_and(|last| hlc <= last)
        };
        other.floor <= self.floor && other.seen.iter().all(has)
    }

    /// Adds all that `other` has seen.
    pub fn join(&mut self, other: &Self) {
        self.seen.extend_from_slice(&other.seen);
        self.seen.sort_by_key(|&(actor, hlc)| (actor, Reverse(hlc)));
        self.seen.dedup_by_key(|it| it.0);
        self.raise_floor(other.floor);
    }

    /// Everything stamped below `floor` is seen, too.
    pub(super) fn raise_floor(&mut self, floor: Hlc) {
        self.floor = self.floor.max(floor);
        self.seen.retain(|it| it.1 >= self.floor);
    }

    /// The write of `version` is seen, and all that its actor wrote before it.
    pub(super) fn add(&mut self, version: &Version) {
        let seen = vec![(version.dot.actor, version.hlc)];
        self.join(&Self { floor: Hlc(0), seen });
    }

    /// The last stamp of `actor` that is seen, unless it is below the floor.
    pub(super) fn of(&self, actor: Actor) -> Option<Hlc> {
        let at = self.seen.binary_search_by_key(&actor, |it| it.0).ok()?;
        Some(self.seen[at].1)
    }

    /// The context without all but `actors_max` actors: those that `matters` says yes to stay
    /// first, then those seen last.
    pub(super) fn narrowed(mut self, actors_max: usize, matters: impl Fn(Actor) -> bool) -> Self {
        if self.seen.len() > actors_max {
            self.seen.sort_by_cached_key(|&(actor, hlc)| Reverse((matters(actor), hlc, actor)));
            self.seen.truncate(actors_max);
            self.seen.sort_unstable();
        }
        self
    }
}

#[cfg(test)]
mod tests;
