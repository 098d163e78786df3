//! [`Queue`]: what is to happen, in the order of time, and of making where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slab::Slab;

/// What is to happen, and when.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// Time, number, and where it is kept: what is sorted is small.
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    kept: Slab<T>,
    next: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), kept: Slab::new(), next: 0 }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at_us: u64, it: T) {
        let place = u32::try_from(self.kept.insert(it)).expect("far fewer are under way");
        self.heap.push(Reverse((at_us, self.next, place)));
        self.next += 1;
    }

    /// The next, and when it happens.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((at_us, _, place)) = self.heap.pop()?;
        Some((at_us, self.kept.remove(place as usize)))
    }

    /// How much is to happen.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at_us, ..))| *at_us)
    }
}
