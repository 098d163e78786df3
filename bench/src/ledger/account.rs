//! What one run wrote, as one thread saw it, and as all threads did.
//!
//! Of the acknowledged writes of a key one number decides what is still possible: the latest start
//! among them, the key's **floor**. A write that ended before the floor was replaced. So a key
//! needs its floor and the writes that ended at it or later, which were all in flight at one
//! moment: memory is bounded by the keys, the writes in flight, and the unknown outcomes, of which
//! a run takes so many.
//! Floors and candidates of threads merge by maximum and union, in any order.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::generator::Nanos;
use crate::limits::UNKNOWN_MAX;

/// The end of a write whose outcome is unknown: it may be applied at any later moment of the run.
const NEVER: Nanos = Nanos::MAX;

/// The writes of one run that may still be their keys' values.
#[derive(Clone, Default, Debug)]
pub struct Account {
    keys: HashMap<u64, Entry, ahash::RandomState>,
    /// Writes that were acknowledged.
    acknowledged: u64,
    /// Writes whose outcome is unknown.
    unknown: u64,
    /// The highest sequence given to a write, refused ones too; 0 for none.
    highest: u64,
}

#[derive(Clone, Default, Debug)]
struct Entry {
    /// The latest start of an acknowledged write.
    floor: Option<Nanos>,
    candidates: SmallVec<[Candidate; 1]>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    sequence: u64,
    ended: Nanos,
}

impl Account {
    /// Write `sequence` of `key` was acknowledged: sent at `started` or later, its reply here at
    /// `ended` or before.
    #[inline]
    pub fn acknowledged(&mut self, key: u64, sequence: u64, started: Nanos, ended: Nanos) {
        self.acknowledged += 1;
        let entry = self.keys.entry(key).or_default();
        entry.candidates.push(Candidate { sequence, ended });
        entry.raise(Some(started));
    }

    /// Nobody knows whether write `sequence` of `key` was or will be applied.
    pub fn unknown(&mut self, key: u64, sequence: u64) {
        self.unknown += 1;
        let entry = self.keys.entry(key).or_default();
        entry.candidates.push(Candidate { sequence, ended: NEVER });
    }

    /// Sequences up to `sequence` were given out.
    pub fn used(&mut self, sequence: u64) {
        self.highest = self.highest.max(sequence);
    }

    /// Adds what another thread saw of the same run, by the same clock.
    pub fn merge(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.unknown += other.unknown;
        self.highest = self.highest.max(other.highest);
        for (key, theirs) in other.keys {
            let mine = self.keys.entry(key).or_default();
            mine.candidates.extend(theirs.candidates);
            mine.raise(theirs.floor);
        }
    }

    /// How many writes were acknowledged.
    #[must_use]
    pub fn acknowledged_total(&self) -> u64 {
        self.acknowledged
    }

    /// Of how many writes the outcome is unknown.
    #[must_use]
    pub fn unknown_total(&self) -> u64 {
        self.unknown
    }

    /// Whether it takes no more unknown outcomes: the run is to end.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.unknown >= UNKNOWN_MAX
    }

    /// The highest sequence given to a write; 0 for none.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// By key: whether a write was acknowledged, and the sequences that it may hold.
    pub(super) fn into_keys(self) -> impl Iterator<Item = (u64, bool, SmallVec<[u64; 2]>)> {
        self.keys.into_iter().map(|(key, entry)| {
            let sequences = entry.candidates.iter().map(|candidate| candidate.sequence);
            (key, entry.floor.is_some(), sequences.collect())
        })
    }
}

impl Entry {
    /// Drops what ended before the floor, which is now at least `floor`.
    #[inline]
    fn raise(&mut self, floor: Option<Nanos>) {
        self.floor = self.floor.max(floor);
        let Some(floor) = self.floor else { return };
        self.candidates.retain(|candidate| candidate.ended >= floor);
    }
}
