//! [`LeafCache`]: digests of the finest leaves of vnodes, for as long as nothing is written there.
//!
//! A write sets a bit of its leaf; the next digest scans it. A sum in place would need the record
//! that was there before, which a blind write does not read.

use schemas::ids::Token;

use crate::digest::{LEAF_BITS, Leaves, Sum};
use crate::limits;

/// Leaves of a vnode, a bit each of a word.
const LEAVES: usize = 1 << LEAF_BITS;
const _: () = assert!(LEAVES == u64::BITS as usize, "what was written is noted in one word");

#[derive(Clone, Default, Debug)]
enum Leaf {
    /// Nobody knows.
    #[default]
    Unknown,
    /// A scan with this ticket looks.
    Scanned(u64),
    /// As a scan found it.
    Known(Sum),
}

/// Digests of leaves.
#[derive(Debug)]
pub(crate) struct LeafCache {
    leaves: Leaves,
    /// The first leaf of the shard's first vnode.
    first: u64,
    vnodes: Vec<Option<Box<[Leaf]>>>,
    /// Which leaves of each vnode were written since a scan last began to look at them: all that a
    /// write touches here.
    written: Vec<u64>,
    /// Vnodes that have leaves.
    kept: usize,
}

impl LeafCache {
    /// One that knows nothing, for `vnodes` vnodes of `bits` bits from the one of `first` on.
    pub(super) fn new(bits: u8, first: Token, vnodes: usize) -> Self {
        let leaves = Leaves::new(bits, LEAF_BITS);
        let first = leaves.of(first) & !(LEAVES as u64 - 1);
        Self { leaves, first, vnodes: vec![None; vnodes], written: vec![0; vnodes], kept: 0 }
    }

    /// How leaves are cut.
    pub(crate) fn leaves(&self) -> Leaves {
        self.leaves
    }

    fn index(&self, leaf: u64) -> Option<(usize, usize)> {
        let at = usize::try_from(leaf.checked_sub(self.first)?).ok()?;
        (at / LEAVES < self.vnodes.len()).then_some((at / LEAVES, at % LEAVES))
    }

    /// A record with `token`, of the vnode at `index`, was written.
    #[inline]
    pub(super) fn touch(&mut self, index: usize, token: Token) {
        self.written[index] |= 1 << (self.leaves.of(token) % LEAVES as u64);
    }

    /// All records of the vnode at `index` changed.
    pub(super) fn touch_all(&mut self, index: usize) {
        self.written[index] = u64::MAX;
    }

    fn is_written(&self, vnode: usize, leaf: usize) -> bool {
        self.written[vnode] >> leaf & 1 == 1
    }

    /// What is known of `leaf`.
    pub(crate) fn get(&self, leaf: u64) -> Option<&Sum> {
        let (vnode, at) = self.index(leaf)?;
        match &self.vnodes[vnode].as_ref()?[at] {
            Leaf::Known(sum) if !self.is_written(vnode, at) => Some(sum),
            _ => None,
        }
    }

    /// Scan `ticket` begins to look at `leaf`.
    pub(crate) fn scanning(&mut self, leaf: u64, ticket: u64) {
        let Some((vnode, at)) = self.index(leaf) else { return };
        if self.vnodes[vnode].is_none() {
            if self.kept == limits::DIGEST_VNODES_KEPT_MAX {
                return;
            }
            self.kept += 1;
            self.vnodes[vnode] = Some(vec![Leaf::Unknown; LEAVES].into());
        }
        if let Some(leaves) = &mut self.vnodes[vnode] {
            leaves[at] = Leaf::Scanned(ticket);
            self.written[vnode] &= !(1 << at);
        }
    }

    /// Scan `ticket` found `sum` for the whole of `leaf`: it is known if nothing was written since.
    pub(crate) fn scanned(&mut self, leaf: u64, ticket: u64, sum: &Sum) {
        let Some((vnode, at)) = self.index(leaf) else { return };
        if !self.is_written(vnode, at)
            && let Some(leaves) = &mut self.vnodes[vnode]
            && matches!(leaves[at], Leaf::Scanned(it) if it == ticket)
        {
            leaves[at] = Leaf::Known(sum.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_meanwhile_is_not_known() {
        let mut cache = LeafCache::new(4, Token(0), 16);
        let leaf = cache.leaves().of(Token(u64::MAX));
        cache.touch(15, Token(u64::MAX));
        for (writes, known) in [(false, true), (true, false), (false, true)] {
            cache.scanning(leaf, 7);
            if writes {
                cache.touch(15, Token(u64::MAX));
            }
            cache.touch(15, Token(15 << 60)); // another leaf
            cache.scanned(leaf, 7, &Sum::default());
            assert_eq!(cache.get(leaf).is_some(), known);
        }
        cache.scanning(leaf, 8);
        cache.scanned(leaf, 7, &Sum::default());
        assert!(cache.get(leaf).is_none(), "of another scan");
    }

    #[test]
    fn leaves_of_other_shards_are_not_kept() {
        let mut cache = LeafCache::new(1, Token(1 << 63), 1);
        for (leaf, known) in [(0, false), (63, false), (64, true), (127, true)] {
            cache.scanning(leaf, 1);
            cache.scanned(leaf, 1, &Sum::default());
            assert_eq!(cache.get(leaf).is_some(), known, "{leaf}");
        }
    }
}
