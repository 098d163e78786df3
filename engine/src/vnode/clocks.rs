//! [`Clocks`]: the clocks of all vnodes of a shard.
//!
//! A clone is a snapshot that costs a pointer for every [`CHUNK`] vnodes: a memtable that is frozen
//! keeps one, and what is written later copies the few clocks that it touches.

use std::rc::Rc;

use schemas::clock::VnodeClock;
use schemas::ids::{Token, Vnode, VnodeBits};

/// Vnodes whose clocks are copied together: well below a microsecond each.
const CHUNK: usize = 16;

/// The clocks of all vnodes of a shard. Clones are snapshots.
#[derive(Clone, Debug)]
pub struct Clocks {
    bits: VnodeBits,
    first: Vnode,
    count: usize,
    chunks: Vec<Rc<[VnodeClock]>>,
}

impl Clocks {
    /// Empty clocks for a shard that owns the tokens from `tokens.0` to `tokens.1`.
    pub(crate) fn new(bits: VnodeBits, tokens: (Token, Token)) -> Self {
        let (first, last) = (tokens.0.vnode(bits), tokens.1.vnode(bits));
        let count = usize::from(last.0.saturating_sub(first.0)) + 1;
        let chunk = || Rc::from(vec![VnodeClock::default(); CHUNK]);
        let chunks = (0..count.div_ceil(CHUNK)).map(|_| chunk()).collect();
        Self { bits, first, count, chunks }
    }

    /// How many vnodes there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How the ring is cut.
    pub(crate) fn bits(&self) -> VnodeBits {
        self.bits
    }

    /// The place of `vnode` among the shard's; `None` if it is another's.
    #[inline]
    pub(crate) fn index(&self, vnode: Vnode) -> Option<usize> {
        let index = usize::from(vnode.0).checked_sub(usize::from(self.first.0))?;
        (index < self.count).then_some(index)
    }

    /// The vnode at `index`.
    pub(crate) fn vnode(&self, index: usize) -> Vnode {
        Vnode(self.first.0 + index as u16)
    }

    /// The clock at `index`.
    pub(crate) fn at(&self, index: usize) -> &VnodeClock {
        &self.chunks[index / CHUNK][index % CHUNK]
    }

    /// The clock at `index`, to be changed.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: usize) -> &mut VnodeClock {
        &mut Rc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK]
    }

    /// All vnodes with their clocks, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Vnode, &VnodeClock)> {
        (0..self.count).map(|index| (self.vnode(index), self.at(index)))
    }
}
