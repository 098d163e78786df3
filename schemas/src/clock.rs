//! [`VnodeClock`]: which dots of one vnode somebody has.
//!
//! For each actor it is a contiguous prefix and runs above it: a version vector with exceptions
//! (Malkhi and Terry, "Concise Version Vectors in WinFS", 2005; Preguica et al., "Dotted Version
//! Vectors", 2010).
//!
//! - It is a set of dots: inserting and joining add, in any order and any number of times alike.
//! - It is bounded. Past [`CLOCK_ACTORS_MAX`] and [`CLOCK_RUNS_MAX`] it says of dots that it has
//!   not got them. It never says that it has one that was not put in.
//! - Counter 0 names no write: every clock has it.
//!
//! ```text
//! clock: | actors 4 | per actor: node 8, boot 4, runs 4, upto 8, per run: first 8, last 8 |
//! ```
//! Actors ascend. Everything up to `upto` is there; runs ascend, begin above `upto + 1`, and do not
//! touch each other.

use std::num::NonZeroU64;

use crate::ids::{Actor, Dot, NodeId};
use crate::limits::{CLOCK_ACTORS_MAX, CLOCK_RUNS_MAX};

/// Counters from the first to the last, both counted.
type Run = (u64, u64);

/// The dots of one vnode that somebody has.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct VnodeClock {
    /// In the order of actors.
    actors: Vec<ActorClock>,
    /// Runs of all actors together.
    runs: usize,
}

/// The dots of one actor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ActorClock {
    actor: Actor,
    upto: u64,
    runs: Vec<Run>,
}

impl ActorClock {
    /// Whose dots they are.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// Every counter up to this one is there; 0 for none.
    #[must_use]
    pub fn upto(&self) -> u64 {
        self.upto
    }

    /// What is there above that: first and last counters, ascending.
    #[must_use]
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.runs
    }

    /// The greatest counter that is there.
    #[must_use]
    pub fn greatest(&self) -> u64 {
        self.runs.last().map_or(self.upto, |run| run.1)
    }

    /// Whether `counter` is there.
    #[must_use]
    pub fn contains(&self, counter: u64) -> bool {
        let at = self.runs.partition_point(|run| run.0 <= counter);
        counter <= self.upto || at.checked_sub(1).is_some_and(|at| counter <= self.runs[at].1)
    }

    /// Whether everything from `first` to `last` is there.
    fn covers(&self, (first, last): Run) -> bool {
        let first = first.max(self.upto.saturating_add(1));
        let at = self.runs.partition_point(|run| run.0 <= first);
        first > last
            || last <= self.upto
            || at.checked_sub(1).is_some_and(|at| last <= self.runs[at].1)
    }

    /// Whether it has all that `other` has.
    fn dominates(&self, other: &Self) -> bool {
        other.all_runs().all(|run| self.covers(run))
    }

    /// Its prefix and its runs.
    fn all_runs(&self) -> impl Iterator<Item = Run> {
        let prefix = (self.upto > 0).then_some((1, self.upto));
        prefix.into_iter().chain(self.runs.iter().copied())
    }

    /// How many counters there are.
    fn count(&self) -> u64 {
        self.all_runs().map(|(first, last)| last - first + 1).sum()
    }

    /// How many counters both have.
    fn count_common(&self, other: &Self) -> u64 {
        let (mut ours, mut theirs) = (self.all_runs().peekable(), other.all_runs().peekable());
        let mut common = 0;
        while let (Some(&a), Some(&b)) = (ours.peek(), theirs.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                common += last - first + 1;
            }
            if a.1 <= b.1 {
                ours.next();
            } else {
                theirs.next();
            }
        }
        common
    }

    /// Adds a run, which may touch or overlap what is there.
    fn add(&mut self, (first, last): Run) {
        if first > last || last <= self.upto {
            return;
        }
        if first <= self.upto + 1 {
            self.upto = last;
        } else {
            // Those that overlap or touch it become one.
            let from = self.runs.partition_point(|run| run.1 < first - 1);
            let to = self.runs.partition_point(|run| run.0 <= last.saturating_add(1));
            let (mut low, mut high) = (first, last);
            if from < to {
                (low, high) = (low.min(self.runs[from].0), high.max(self.runs[to - 1].1));
            }
            self.runs.splice(from..to, [(low, high)]);
        }
        let swallowed =
            self.runs.iter().take_while(|run| run.0 <= self.upto.saturating_add(1)).count();
        if let Some(run) = self.runs.drain(..swallowed).next_back() {
            self.upto = self.upto.max(run.1);
        }
    }
}

impl VnodeClock {
    /// Whether it has no dot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Whether it has no room left, and so may have forgotten dots.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.actors.len() == CLOCK_ACTORS_MAX || self.runs == CLOCK_RUNS_MAX
    }

    /// What it has, by actor, in their order.
    #[must_use]
    pub fn actors(&self) -> &[ActorClock] {
        &self.actors
    }

    /// What it has of `actor`; `None` if that is nothing.
    #[must_use]
    pub fn of(&self, actor: Actor) -> Option<&ActorClock> {
        self.find(actor).ok().map(|at| &self.actors[at])
    }

    /// What it has of `actor`, as a clock that has nothing else.
    #[must_use]
    pub fn only(&self, actor: Actor) -> Self {
        let actors: Vec<ActorClock> = self.of(actor).cloned().into_iter().collect();
        Self { runs: actors.iter().map(|it| it.runs.len()).sum(), actors }
    }

    /// Whether it has `dot`.
    #[must_use]
    pub fn contains(&self, dot: Dot) -> bool {
        dot.counter == 0 || self.of(dot.actor).is_some_and(|it| it.contains(dot.counter))
    }

    /// Adds `dot`. Whether it has the dot now, and had it not before: false for one that is there,
    /// and for one that the clock has no room for.
    #[inline]
    pub fn insert(&mut self, dot: Dot) -> bool {
        if let Ok(at) = self.find(dot.actor) {
            let known = &mut self.actors[at];
            if Some(dot.counter) == known.upto.checked_add(1) && known.runs.is_empty() {
                known.upto = dot.counter;
                return true;
            }
        }
        self.insert_slowly(dot)
    }

    fn insert_slowly(&mut self, dot: Dot) -> bool {
        if self.contains(dot) {
            return false;
        }
        self.add_runs(dot.actor, &[(dot.counter, dot.counter)]);
        self.contains(dot)
    }

    /// Adds all that `other` has. Whether that was more than it had.
    pub fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for theirs in &other.actors {
            self.add_runs(theirs.actor, &[(1, theirs.upto)]);
            self.add_runs(theirs.actor, &theirs.runs);
        }
        *self != before
    }

    /// Adds all dots of `actor` up to `counter`.
    pub fn insert_upto(&mut self, actor: Actor, counter: u64) {
        self.add_runs(actor, &[(1, counter)]);
    }

    /// Whether it has all that `other` has.
    #[must_use]
    pub fn dominates(&self, other: &Self) -> bool {
        let has =
            |theirs: &ActorClock| self.of(theirs.actor).is_some_and(|it| it.dominates(theirs));
        other.actors.iter().all(has)
    }

    /// How many dots it has that `other` has not.
    #[must_use]
    pub fn count_beyond(&self, other: &Self) -> u64 {
        let beyond = |ours: &ActorClock| {
            ours.count() - other.of(ours.actor).map_or(0, |theirs| ours.count_common(theirs))
        };
        self.actors.iter().map(beyond).fold(0, u64::saturating_add)
    }

    /// Adds runs of `actor`, as far as there is room.
    fn add_runs(&mut self, actor: Actor, runs: &[Run]) {
        if runs.iter().all(|run| run.0 > run.1) {
            return;
        }
        let at = match self.find(actor) {
            Ok(at) => at,
            Err(_) if self.actors.len() == CLOCK_ACTORS_MAX => return,
            Err(at) => {
                self.actors.insert(at, ActorClock { actor, upto: 0, runs: Vec::new() });
                at
            }
        };
        let known = &mut self.actors[at];
        let others = self.runs - known.runs.len();
        for &run in runs {
            known.add(run);
            // The last go first: what fills the gaps below makes room again.
            known.runs.truncate(CLOCK_RUNS_MAX - others);
        }
        self.runs = others + known.runs.len();
        if known.greatest() == 0 {
            self.actors.remove(at);
        }
    }

    #[inline]
    fn find(&self, actor: Actor) -> Result<usize, usize> {
        self.actors.binary_search_by(|it| it.actor.cmp(&actor))
    }

    /// Bytes of its encoding, at most [`CLOCK_BYTES_MAX`](crate::limits::CLOCK_BYTES_MAX).
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        HEAD_BYTES + self.actors.len() * ACTOR_BYTES + self.runs * RUN_BYTES
    }

    /// Appends its encoding to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.actors.len() as u32).to_le_bytes());
        for it in &self.actors {
            out.extend_from_slice(&it.actor.node.0.get().to_le_bytes());
            out.extend_from_slice(&it.actor.boot.to_le_bytes());
            out.extend_from_slice(&(it.runs.len() as u32).to_le_bytes());
            out.extend_from_slice(&it.upto.to_le_bytes());
            for (first, last) in &it.runs {
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&last.to_le_bytes());
            }
        }
    }

    /// Reads the clock that `bytes` begin with, and what is behind it; `None` unless it is sound.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = bytes;
        let count = take_u32(&mut rest)? as usize;
        if count > CLOCK_ACTORS_MAX || rest.len() < count * ACTOR_BYTES {
            return None;
        }
        let mut clock = Self { actors: Vec::with_capacity(count), runs: 0 };
        for _ in 0..count {
            let it = ActorClock::decode(&mut rest, CLOCK_RUNS_MAX - clock.runs)?;
            if clock.actors.last().is_some_and(|before| before.actor >= it.actor) {
                return None;
            }
            clock.runs += it.runs.len();
            clock.actors.push(it);
        }
        Some((clock, rest))
    }
}

impl ActorClock {
    fn decode(rest: &mut &[u8], runs_max: usize) -> Option<Self> {
        let node = NodeId(NonZeroU64::new(take_u64(rest)?)?);
        let actor = Actor { node, boot: take_u32(rest)? };
        let count = take_u32(rest)? as usize;
        let upto = take_u64(rest)?;
        if count > runs_max || rest.len() < count * RUN_BYTES {
            return None;
        }
        let mut it = Self { actor, upto, runs: Vec::with_capacity(count) };
        for _ in 0..count {
            let (first, last) = (take_u64(rest)?, take_u64(rest)?);
            // Above what is before it, with a gap between.
            if first > last || first.checked_sub(1)? <= it.greatest() {
                return None;
            }
            it.runs.push((first, last));
        }
        (it.greatest() > 0).then_some(it)
    }
}

pub(crate) const HEAD_BYTES: usize = 4;
pub(crate) const ACTOR_BYTES: usize = 24;
pub(crate) const RUN_BYTES: usize = 16;

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
