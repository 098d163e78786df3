//! [`BlockCache`]: blocks of tables kept in memory, one core's, bounded by bytes.
//!
//! A block is checked once, when it is read from the disk; what is in the cache is not checked
//! again. Blocks of removed tables are not looked for: nobody asks for them, so they go first.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::rc::Rc;

use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

use crate::limits;
use crate::sstable::{Block, FileId};

/// Bytes that an entry takes besides its block: the cache's slots for it.
const ENTRY_BYTES: usize = 64;

/// Steps in which a cache gives memory to others, of all that there is.
const STEPS: usize = 64;

/// Blocks kept in memory.
pub struct BlockCache {
    blocks: Cache<Place, Rc<Block>, ByBytes, PlaceHash, DefaultLifecycle<Place, Rc<Block>>>,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

/// Where a block comes from: file and offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Place(FileId, u64);

#[derive(Clone)]
struct ByBytes;

impl Weighter<Place, Rc<Block>> for ByBytes {
    fn weight(&self, _: &Place, block: &Rc<Block>) -> u64 {
        (block.memory_bytes() + ENTRY_BYTES) as u64
    }
}

/// Hashes places alike in every run: what is evicted must not vary. File ids and offsets are not
/// chosen by clients, so the hash need not withstand them.
#[derive(Clone, Copy, Default)]
pub(crate) struct PlaceHash(u64);

impl BuildHasher for PlaceHash {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for PlaceHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

impl BlockCache {
    /// A cache of at most `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let blocks = (bytes / limits::BLOCK_BYTES_TARGET).max(1);
        let (hash, lifecycle) = (PlaceHash::default(), DefaultLifecycle::default());
        let blocks = Cache::with(blocks, bytes as u64, ByBytes, hash, lifecycle);
        Self { blocks, hits: Cell::new(0), misses: Cell::new(0) }
    }

    /// Leaves `others` of `all` bytes to others, as they grow and shrink, and has the rest from now
    /// on, in steps: blocks are given up a few at a time, and seldom.
    pub fn share(&mut self, all: usize, others: usize) {
        let step = (all / STEPS).max(1);
        let rest = all.saturating_sub(others) / step * step;
        let has = usize::try_from(self.blocks.capacity()).unwrap_or(usize::MAX);
        if rest < has || rest >= has + 2 * step {
            self.blocks.set_capacity(rest as u64);
        }
    }

    /// The block at byte `offset` of `file`, if it is here.
    #[inline]
    pub fn get(&self, file: FileId, offset: u64) -> Option<&Rc<Block>> {
        let found = self.blocks.get(&Place(file, offset));
        let count = if found.is_some() { &self.hits } else { &self.misses };
        count.set(count.get() + 1);
        found
    }

    /// Keeps `block`, which is at byte `offset` of `file`. A block larger than the cache is not
    /// kept.
    pub fn insert(&mut self, file: FileId, offset: u64, block: Rc<Block>) {
        self.blocks.insert(Place(file, offset), block);
    }

    /// Gives up the block at byte `offset` of `file`: nobody asks for it any more.
    pub fn remove(&mut self, file: FileId, offset: u64) {
        self.blocks.remove(&Place(file, offset));
    }

    /// Bytes of what is here, never more than the cache has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.weight()
    }

    /// Blocks found so far.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.get()
    }

    /// Blocks asked for in vain so far.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use crate::env::sim::{Sim, SimDisk};
    use crate::sstable::sample::{Sample, value, write_table};
    use crate::sstable::{Table, TokenRange};

    /// The blocks of a table of `count` records, each in a block of its own.
    fn blocks(count: u64) -> Vec<Rc<Block>> {
        let (sim, disk) = (Sim::new(1), SimDisk::new(1));
        let env = sim.env(&disk);
        sim.block_on(async {
            env.create_dir("d").await.unwrap();
            let mut samples: Vec<Sample> =
                (0..count).map(|it| value(&it.to_be_bytes(), 1, 4000)).collect();
            samples.sort_by_key(Sample::place);
            write_table(&env, "d", FileId(1), &samples).await;
            let table = Table::open(&env, "d", FileId(1), TokenRange::ALL).await.unwrap();
            let mut blocks = Vec::new();
            for sample in &samples {
                let at = table.locate(&sample.key()).await.unwrap().unwrap();
                blocks.push(Rc::new(table.read_block(at).await.unwrap()));
            }
            blocks
        })
    }

    #[test]
    fn a_block_is_found_where_it_was_put() {
        let mut cache = BlockCache::new(1 << 20);
        let blocks = blocks(4);
        for (at, block) in (0..).zip(&blocks) {
            cache.insert(FileId(at / 2), at % 2, Rc::clone(block));
        }
        for (at, block) in (0..).zip(&blocks) {
            assert!(cache.get(FileId(at / 2), at % 2).is_some_and(|it| Rc::ptr_eq(it, block)));
        }
        assert!(cache.get(FileId(2), 0).is_none() && cache.get(FileId(0), 2).is_none());
        assert_eq!((cache.hits(), cache.misses()), (4, 2));
        assert!((16_000..20_000).contains(&cache.bytes()), "{} bytes", cache.bytes());
    }

    /// Blocks that are asked for stay while others pass through, within the bytes given.
    #[test]
    fn the_cache_keeps_to_its_bytes_and_to_what_is_asked_for() {
        let blocks = blocks(8);
        let run = || {
            let mut cache = BlockCache::new(100 << 10);
            let mut kept = 0;
            for offset in 0..2000 {
                for (hot, block) in (0..).zip(&blocks[..4]) {
                    match cache.get(FileId(1), hot) {
                        Some(_) => kept += 1,
                        None => cache.insert(FileId(1), hot, Rc::clone(block)),
                    }
                }
                cache.insert(FileId(2), offset, Rc::clone(&blocks[offset as usize % 8]));
                assert!(cache.bytes() <= 100 << 10);
            }
            (kept, cache.bytes())
        };
        let (kept, bytes) = run();
        assert!(kept > 7900 && bytes > 50 << 10, "{kept} found, {bytes} bytes");
        assert_eq!(run(), (kept, bytes), "it evicts alike in every run");
    }

    /// What others take is given up at once, and had again when there is some of it.
    #[test]
    fn the_cache_has_what_others_leave() {
        let blocks = blocks(8);
        let mut cache = BlockCache::new(64 << 10);
        let fill = |cache: &mut BlockCache, others: usize| {
            cache.share(64 << 10, others);
            for offset in 0..100 {
                cache.insert(FileId(1), offset, Rc::clone(&blocks[offset as usize % 8]));
                let (bytes, most) = (cache.bytes() as usize, (64 << 10) - others);
                assert!(bytes <= most, "{bytes} of {most}");
            }
            cache.bytes()
        };
        let all = fill(&mut cache, 0);
        let less = fill(&mut cache, 40 << 10);
        assert!(all > 40 << 10 && (10 << 10..24 << 10).contains(&less), "{all}, {less}");
        assert_eq!(fill(&mut cache, 39 << 10), less, "it is not changed for a step");
        assert_eq!(fill(&mut cache, 64 << 10), 0);
        assert!(fill(&mut cache, 0) > 40 << 10);
    }

    #[test]
    fn a_block_larger_than_the_cache_is_not_kept() {
        let mut cache = BlockCache::new(1000);
        cache.insert(FileId(1), 0, blocks(1).remove(0));
        assert!(cache.get(FileId(1), 0).is_none());
        assert_eq!(cache.bytes(), 0);
    }
}
