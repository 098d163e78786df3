//! Counters of one store: plain numbers with one writer, copied out by the core's metrics.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::background::Job;
use super::{SpaceLevel, StoreConfig};
use crate::env::Env;
use crate::latency::Latency;
use crate::manifest::{BOTTOM, LEVELS, Version};
use crate::sstable::{FileId, Table};

/// What a store has done since it was opened, and what it holds now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Puts and deletes taken.
    pub puts: u64,
    /// Puts acknowledged.
    pub puts_acknowledged: u64,
    /// Puts refused for memory.
    pub puts_busy: u64,
    /// Puts refused because the log could take no more: batches wait for the disk, or its next
    /// segment is not ready.
    pub puts_busy_log: u64,
    /// Now: how long acknowledgements are held back, in microseconds.
    pub puts_delay_us: u64,
    /// Puts refused for disk space.
    pub puts_disk_full: u64,
    /// Bytes of the rows of puts and deletes taken: what write amplification is measured by.
    pub put_bytes: u64,
    /// Times that acknowledgements began to be held back, to slow writers: memtables are nearly
    /// full.
    pub slowdowns_memory: u64,
    /// As above: the log's next segment is not ready.
    pub slowdowns_log: u64,
    /// As above: compaction is behind.
    pub slowdowns_compaction: u64,
    /// Reads answered from a memtable.
    pub gets_memtable: u64,
    /// Reads answered from cached blocks.
    pub gets_cache: u64,
    /// Reads answered after reading the disk.
    pub gets_disk: u64,
    /// Blocks that reads waited for which were being read for another already.
    pub gets_shared: u64,
    /// Reads, among all, of keys without a value.
    pub gets_absent: u64,
    /// Reads turned away because too many wait.
    pub gets_busy: u64,
    /// Reads that ended in an error.
    pub gets_failed: u64,
    /// Pages of scans begun.
    pub scans: u64,
    /// Requests for digests begun.
    pub digests: u64,
    /// Leaves whose digest was known.
    pub digest_leaves_known: u64,
    /// Leaves that were scanned for their digest.
    pub digest_leaves_scanned: u64,
    /// Now: complete snapshots of the node; told by the store that is asked for them.
    pub snapshots: u64,
    /// Blocks that reads found in the cache.
    pub cache_hits: u64,
    /// Blocks that reads asked the cache for in vain.
    pub cache_misses: u64,
    /// Partitions of tables asked by reads, in memory or not: each is a filter and an index.
    pub filter_probes: u64,
    /// Partitions asked that were not in memory: they are read first.
    pub partition_misses: u64,
    /// Partitions that were put into memory.
    pub partition_loads: u64,
    /// Partitions that had to go for others.
    pub partition_evictions: u64,
    /// Blocks searched in vain because a filter said maybe.
    pub filter_false_positives: u64,
    /// Batches the log made durable.
    pub log_batches: u64,
    /// Bytes the log wrote.
    pub log_bytes: u64,
    /// What the write of each batch took, its sync included if it was synced.
    pub log_latency: Latency,
    /// Memtables flushed.
    pub flushes: u64,
    /// Bytes of tables that flushes wrote.
    pub flush_bytes: u64,
    /// Flushes that failed and are tried again.
    pub flush_errors: u64,
    /// Compactions done: jobs that merged tables and wrote what is left of them, however many files
    /// that is. A table that goes to another level as it is, or goes since nothing of it can be
    /// seen, is none.
    pub compactions: u64,
    /// Bytes of tables that compactions wrote.
    pub compaction_bytes: u64,
    /// Compactions that failed and are tried again.
    pub compaction_errors: u64,
    /// Vnodes dropped.
    pub vnodes_dropped: u64,
    /// Bytes that the scrub has read.
    pub scrub_bytes: u64,
    /// Times that it has been through all tables.
    pub scrub_passes: u64,
    /// Tables that it could not read.
    pub scrub_errors: u64,
    /// Now: places in tables known to be damaged.
    pub blocks_damaged: u64,
    /// Now: compactions under way.
    pub compactions_running: u64,
    /// Now: whether a compaction of all tables was asked for and is not done.
    pub full_compaction: bool,
    /// Now: vnodes that wait for a compaction of their own, or are compacted.
    pub vnodes_to_compact: u64,
    /// Now: tables that cannot be read, which compactions therefore leave alone.
    pub tables_unreadable: u64,
    /// Now: bytes of the memtables and of puts on their way to the log.
    pub memtables_bytes: u64,
    /// Now: memtables that are full, and wait to be flushed or are.
    pub memtables_frozen: u64,
    /// Now: how far compaction is behind, by the tables that reads have to ask, in percent of those
    /// that there should be at most. Writers are slowed from
    /// [`SLOWED_PRESSURE_PERCENT`](crate::limits::SLOWED_PRESSURE_PERCENT) on.
    pub compaction_pressure_percent: u64,
    /// Commits of the manifest that failed and are tried again.
    pub manifest_errors: u64,
    /// Table files removed.
    pub tables_removed: u64,
    /// Now: reads that wait for the disk.
    pub reads_in_flight: u64,
    /// Now: bytes of cached blocks.
    pub cache_bytes: u64,
    /// Now: bytes of the log kept.
    pub log_bytes_kept: u64,
    /// Now: how full the file system is.
    pub space: SpaceLevel,
    /// Now: tables by level.
    pub tables: [u64; LEVELS],
    /// Now: bytes of tables by level.
    pub table_bytes: [u64; LEVELS],
    /// Now: records in all tables, about; those that others stand against are counted too.
    pub table_records: u64,
    /// Now: tombstones among them.
    pub table_tombstones: u64,
    /// Now: bytes of memory that the indexes and filters of tables take, as far as they are there,
    /// and the lists of them, which always are.
    pub tables_memory_bytes: u64,
    /// Bytes that they may take.
    pub tables_memory_bytes_max: u64,
    /// Now: keys in tables whose filters say maybe to everything near them.
    pub unfiltered_keys: u64,
}

/// What writers are slowed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SlowedBy {
    Memory,
    Log,
    Compaction,
}

impl Stats {
    /// Times that acknowledgements began to be held back, for whatever reason.
    #[must_use]
    pub fn slowdowns(&self) -> u64 {
        self.slowdowns_memory + self.slowdowns_log + self.slowdowns_compaction
    }

    /// Bytes written to the disk for each byte of a put, since the start; 0 before the first.
    #[must_use]
    pub fn write_amplification(&self) -> f64 {
        let written = self.log_bytes + self.flush_bytes + self.compaction_bytes;
        if self.put_bytes == 0 { 0.0 } else { written as f64 / self.put_bytes as f64 }
    }

    /// Blocks, and partitions of tables, that were not in memory for each read; 0 before the first.
    #[must_use]
    pub fn read_amplification(&self) -> f64 {
        let answered = self.gets_memtable + self.gets_cache + self.gets_disk + self.gets_absent;
        let missed = self.cache_misses + self.partition_misses;
        if answered == 0 { 0.0 } else { missed as f64 / answered as f64 }
    }

    /// Bytes of all tables for each byte of the bottom level, in which every key is once: what is
    /// above it may be dead, or stand for what is dead in it. 0 while the bottom is empty.
    #[must_use]
    pub fn space_amplification(&self) -> f64 {
        let bottom = self.table_bytes[usize::from(BOTTOM)];
        let all: u64 = self.table_bytes.iter().sum();
        if bottom == 0 { 0.0 } else { all as f64 / bottom as f64 }
    }

    pub(super) fn count_slowdown(&mut self, by: SlowedBy) {
        let count = match by {
            SlowedBy::Memory => &mut self.slowdowns_memory,
            SlowedBy::Log => &mut self.slowdowns_log,
            SlowedBy::Compaction => &mut self.slowdowns_compaction,
        };
        *count += 1;
    }

    /// Those of a store that was opened just now.
    pub(super) fn of<E: Env>(
        config: &StoreConfig,
        version: &Version,
        open: &BTreeMap<FileId, Rc<Table<E>>>,
    ) -> Self {
        let tables_memory_bytes_max = config.tables_memory_bytes as u64;
        let mut stats = Self { tables_memory_bytes_max, ..Self::default() };
        stats.count_tables(version, open);
        stats
    }

    pub(super) fn count_error(&mut self, job: Job) {
        let errors = match job {
            Job::Flush => &mut self.flush_errors,
            Job::Compaction => &mut self.compaction_errors,
            Job::Commit => &mut self.manifest_errors,
        };
        *errors += 1;
    }

    /// Tries to write a table of a memtable, or the manifest, that failed.
    pub(super) fn failed_writes(&self) -> u64 {
        self.flush_errors + self.manifest_errors
    }

    pub(super) fn count_tables<E: Env>(
        &mut self,
        version: &Version,
        open: &BTreeMap<FileId, Rc<Table<E>>>,
    ) {
        for level in 0..LEVELS {
            let entries = version.level(level as u8);
            self.tables[level] = entries.len() as u64;
            self.table_bytes[level] = entries.iter().map(|entry| entry.file_bytes).sum();
        }
        self.table_records = version.tables().map(|entry| entry.visible_records()).sum();
        self.table_tombstones = version.tables().map(|entry| entry.properties.tombstones).sum();
        self.unfiltered_keys = open.values().map(|table| table.unfiltered_keys()).sum();
    }
}
