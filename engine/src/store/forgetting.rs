//! Blocks of tables that are gone leave the cache, to make room for what is asked for.
//!
//! A few at each tick: a large table has thousands of blocks, and readers wait meanwhile. Those
//! whose partition is not in memory are not known: they go when nobody asks for them.

use crate::cache::BlockCache;
use crate::env::Env;
use crate::sstable::{FileId, Table};

/// Blocks given up at one tick.
const BLOCKS_A_TICK: usize = 64;

/// Blocks that are to leave the cache.
#[derive(Default)]
pub(super) struct Forgetting {
    files: Vec<(FileId, Vec<u64>)>,
}

impl Forgetting {
    /// `table` is gone.
    pub(super) fn add<E: Env>(&mut self, table: &Table<E>) {
        self.files.push((table.id(), table.block_offsets().collect()));
    }

    /// Gives up some blocks.
    pub(super) fn step(&mut self, cache: &mut BlockCache) {
        for _ in 0..BLOCKS_A_TICK {
            let Some((file, offsets)) = self.files.last_mut() else { return };
            match offsets.pop() {
                Some(offset) => cache.remove(*file, offset),
                None => drop(self.files.pop()),
            }
        }
    }
}
