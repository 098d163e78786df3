//! The chunks that a store's memtables are made of: those of one that is gone are for the next.
//! With those that are free, memtables hold no more than they once held without.
//!
//! An allocator may give them back to the kernel, which was seen to hold up all reads of the core
//! for 8 ms at once, and new ones are page faults in the midst of writes.

use std::cell::RefCell;
use std::rc::Rc;

/// Chunks of one size, and those of them that are free. Clones share them.
#[derive(Clone)]
pub(super) struct Chunks {
    bytes: usize,
    free: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Chunks {
    /// Chunks of `bytes` each.
    pub(super) fn new(bytes: usize) -> Self {
        assert!(u32::try_from(bytes).is_ok(), "offsets in a chunk are 32-bit");
        Self { bytes, free: Rc::default() }
    }

    /// Of a chunk.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty one.
    pub(super) fn take(&self) -> Vec<u8> {
        let used = self.free.borrow_mut().pop();
        used.unwrap_or_else(|| Vec::with_capacity(self.bytes))
    }

    /// Gives up free chunks of `bytes` in all, or what there is: somebody needs as much otherwise.
    pub(super) fn give_up(&self, bytes: usize) {
        let mut free = self.free.borrow_mut();
        let kept = free.len().saturating_sub(bytes.div_ceil(self.bytes));
        free.truncate(kept);
    }

    /// Gives chunks back. One that is not of the size is none of these, and is freed.
    pub(super) fn give(&self, chunks: impl Iterator<Item = Vec<u8>>) {
        let fitting = chunks.filter(|chunk| chunk.capacity() == self.bytes);
        let emptied = fitting.map(|mut chunk| {
            chunk.clear();
            chunk
        });
        self.free.borrow_mut().extend(emptied);
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.free.borrow().len()
    }
}
