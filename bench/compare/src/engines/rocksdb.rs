//! RocksDB: leveled compaction, direct I/O for reads, flush and compaction, no compression, a
//! Bloom filter of 10 bits a key; indexes and filters are held in memory beside its cache, those of
//! kvcore in its cache.

use std::path::Path;

use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, IteratorMode, Options, WaitForCompactOptions,
    WriteBatch, WriteOptions,
};

use super::threads::{Blocking, Pair};
use crate::data::Key;
use crate::scenario::Setup;

pub(crate) struct Peer {
    db: DB,
    write: WriteOptions,
}

impl Peer {
    pub(crate) fn open(dir: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(setup.cache));
        table.set_bloom_filter(10.0, false);
        table.set_format_version(6);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_compression_type(DBCompressionType::None);
        options.set_use_direct_reads(true);
        options.set_use_direct_io_for_flush_and_compaction(true);
        // As kvcore splits it: one is filled while others are flushed.
        options.set_write_buffer_size((setup.write_memory / 3).min(64 << 20));
        options.set_max_write_buffer_number(3);
        options.set_max_background_jobs(2);
        options.set_level_compaction_dynamic_level_bytes(true);
        let mut write = WriteOptions::default();
        write.set_sync(setup.durable);
        Ok(Self { db: DB::open(&options, dir)?, write })
    }
}

impl Blocking for Peer {
    fn put(&self, pairs: &[Pair]) -> anyhow::Result<()> {
        let mut batch = WriteBatch::default();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn get(&self, key: &Key, check: &mut dyn FnMut(&[u8])) -> anyhow::Result<bool> {
        let found = self.db.get_pinned(key)?;
        Ok(found.map(|value| check(&value)).is_some())
    }

    fn scan(&self) -> anyhow::Result<u64> {
        let mut records = 0;
        for pair in self.db.iterator(IteratorMode::Start) {
            std::hint::black_box(pair?);
            records += 1;
        }
        Ok(records)
    }

    fn rest(&self) -> anyhow::Result<()> {
        self.db.flush()?;
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn close(self) -> anyhow::Result<()> {
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}
