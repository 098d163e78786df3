//! [`Vnodes`]: what a store keeps of its vnodes while it runs.

use std::collections::BTreeSet;

use schemas::clock::VnodeClock;
use schemas::ids::{Token, Vnode, VnodeBits};

use super::clocks::Clocks;
use super::file::ClocksFile;
use super::leaves::LeafCache;
use super::recent::{DotsSince, Recent};
use crate::record::{Mark, Record};

/// What a store keeps of its vnodes.
pub struct Vnodes {
    clocks: Clocks,
    recent: Recent,
    pub(crate) leaves: LeafCache,
    /// Marks were applied that no snapshot has.
    marked: bool,
    /// Vnodes that lost records, which the log does not say yet.
    to_clear: BTreeSet<(Vnode, Vnode)>,
}

impl Vnodes {
    /// Those of a shard that owns the tokens from `tokens.0` to `tokens.1`, with what was saved and
    /// room for `recent_max` recent dots.
    #[must_use]
    pub fn new(
        bits: VnodeBits,
        tokens: (Token, Token),
        recent_max: usize,
        saved: &ClocksFile,
    ) -> Self {
        let mut clocks = Clocks::new(bits, tokens);
        clocks.load(saved);
        let recent = Recent::new(recent_max);
        let leaves = LeafCache::new(bits.get(), tokens.0, clocks.len());
        Self { clocks, recent, leaves, marked: false, to_clear: BTreeSet::new() }
    }

    /// `record` is in the memtable.
    #[inline]
    pub fn applied(&mut self, record: &Record<'_>) {
        let vnode = record.key.token.vnode(self.clocks.bits());
        if let Some(index) = self.clocks.index(vnode) {
            let dot = record.version.dot;
            if let Some(actor) = self.clocks.insert(index, dot) {
                self.recent.push(record.key.token, actor, dot.counter);
            }
            self.leaves.touch(index, record.key.token);
        }
    }

    /// The log says `mark`.
    pub(crate) fn marked(&mut self, mark: &Mark) {
        self.marked = true;
        match mark {
            Mark::Join(vnode, clock) => {
                if let Some(index) = self.clocks.index(*vnode) {
                    self.clocks.join(index, clock);
                }
            }
            Mark::Clear(first, last) => self.clear(*first, *last),
        }
    }

    fn clear(&mut self, first: Vnode, last: Vnode) {
        let indexes = (first.0..=last.0).filter_map(|vnode| self.clocks.index(Vnode(vnode)));
        let mut indexes: Vec<usize> = indexes.collect();
        // The same block is found damaged again and again.
        indexes.retain(|&index| !self.clocks.is_empty_at(index));
        if !indexes.is_empty() {
            indexes.into_iter().for_each(|index| self.clocks.clear(index));
            self.recent.cleared(self.clocks.bits(), first, last);
        }
    }

    /// Forgets what the vnodes from `first` to `last` have, of which records were lost. The log is
    /// still to be told.
    pub(crate) fn lost(&mut self, first: Vnode, last: Vnode) {
        self.clear(first, last);
        self.to_clear.insert((first, last));
    }

    /// Vnodes, from the first to the last, that the log is to be told of.
    pub(crate) fn to_clear(&self) -> Option<(Vnode, Vnode)> {
        self.to_clear.first().copied()
    }

    /// The log was told of `vnodes`.
    pub(crate) fn told(&mut self, vnodes: (Vnode, Vnode)) {
        self.marked = true;
        self.to_clear.remove(&vnodes);
    }

    /// No record of `vnode` is there any more.
    pub(crate) fn emptied(&mut self, vnode: Vnode) {
        if let Some(index) = self.clocks.index(vnode) {
            self.leaves.touch_all(index);
        }
    }

    /// Records of any vnode may be gone.
    pub(crate) fn forget_leaves(&mut self) {
        (0..self.clocks.len()).for_each(|index| self.leaves.touch_all(index));
    }

    /// The clocks, to be saved with what is in the memtable that is frozen now.
    pub fn snapshot(&mut self) -> Clocks {
        self.marked = false;
        self.clocks.clone()
    }

    /// Whether marks were applied since the last snapshot.
    pub(crate) fn has_marks(&self) -> bool {
        self.marked
    }

    /// How the ring is cut.
    pub(crate) fn bits(&self) -> VnodeBits {
        self.clocks.bits()
    }

    /// The clock of `vnode`; `None` if it is another shard's.
    #[must_use]
    pub fn clock(&self, vnode: Vnode) -> Option<VnodeClock> {
        self.clocks.index(vnode).map(|index| self.clocks.at(index))
    }

    /// What `vnode` has and `theirs` has not; `None` if it is another shard's.
    #[must_use]
    pub fn dots_since(&self, vnode: Vnode, theirs: &VnodeClock) -> Option<DotsSince> {
        let ours = self.clock(vnode)?;
        let place = (self.clocks.bits(), vnode);
        Some(self.recent.since(place, self.clocks.actors(), &ours, theirs))
    }
}
