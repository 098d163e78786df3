//! What a store is told when it is opened.

use std::sync::Arc;

use schemas::ids::{ShardId, Token, VnodeBits};

use super::ScrubOptions;
use crate::commit_log::LogConfig;
use crate::compaction::CompactionOptions;
use crate::limits;
use crate::namespaces::Namespaces;

/// How full the file system may be, in percent, before something happens. Each level clears by
/// itself when space comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpaceLimits {
    /// A warning.
    pub warn_percent: u8,
    /// Compactions that need more than half of the space left are not started.
    pub background_percent: u8,
    /// Puts are refused; deletes are not.
    pub refuse_percent: u8,
    /// How often to ask the file system, in microseconds.
    pub poll_interval_us: u64,
}

impl Default for SpaceLimits {
    fn default() -> Self {
        Self {
            warn_percent: 85,
            background_percent: 92,
            refuse_percent: 97,
            poll_interval_us: 1_000_000,
        }
    }
}

/// What a store is told when it is opened.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Generation of the data directory, the top of every file id.
    pub generation: u16,
    /// Which of the node's shards this is.
    pub shard: ShardId,
    /// The first and last token it owns.
    pub tokens: (Token, Token),
    /// How the cluster's ring is cut: clocks are kept for each vnode.
    pub vnodes: VnodeBits,
    /// Recent dots kept in memory with their tokens, of all vnodes together, for owners that lack a
    /// few.
    pub recent_dots_max: usize,
    /// The commit log's, with when a put counts as done.
    pub log: LogConfig,
    /// A memtable of this many bytes is frozen and flushed.
    pub memtable_bytes: usize,
    /// Memtables, frozen ones and puts on their way to the log together hold at most this many
    /// bytes. From half way between [`memtable_bytes`](Self::memtable_bytes) and here
    /// writers are slowed; at the limit puts are answered
    /// [`PutError::Busy`](super::PutError::Busy).
    pub memtables_bytes_max: usize,
    /// Memory for what tables hold, in bytes: their filters and indexes, as far as they are asked
    /// for, and blocks in what these leave.
    pub cache_bytes: usize,
    /// What scans hold of tables, in bytes; past it they are answered
    /// [`ScanBusy`](super::ScanBusy), but for the only one.
    pub scans_bytes_max: usize,
    /// Filters and indexes of tables in memory, in bytes of [`cache_bytes`](Self::cache_bytes) at
    /// most. What is past it is read from the disk when it is asked for. The lists of them always
    /// are in memory, some 50 bytes for 4096 keys, and count here.
    pub tables_memory_bytes: usize,
    /// Log kept for what is not flushed, in bytes, more than a segment; past it the memtable is
    /// flushed.
    pub log_bytes_max: u64,
    /// When to compact what.
    pub compaction: CompactionOptions,
    /// Point reads in flight, at most [`limits::READS_IN_FLIGHT_MAX`].
    pub reads_in_flight_max: usize,
    /// When the file system counts as full.
    pub space: SpaceLimits,
    /// How fast tables are scrubbed.
    pub scrub: ScrubOptions,
    /// What is known of namespaces. Changed later by
    /// [`Store::set_namespaces`](super::Store::set_namespaces).
    pub namespaces: Arc<Namespaces>,
}

impl StoreConfig {
    /// The usual split of `memory_bytes` for the shard that owns `tokens`: half for memtables,
    /// a sixteenth for scans, the rest for what tables hold, six sevenths of which at most for
    /// their filters and indexes. A byte of these tells of more data than a byte of a block: where
    /// there is much, they come first.
    #[must_use]
    pub fn new(
        generation: u16,
        shard: ShardId,
        tokens: (Token, Token),
        memory_bytes: usize,
    ) -> Self {
        let memtables_bytes_max = (memory_bytes / 2).max(3 * limits::MEMTABLE_BYTES_MIN);
        let memtable_bytes = (memtables_bytes_max / 3).min(64 << 20);
        let mut log = LogConfig::default();
        let log_bytes_max = (4 * memtable_bytes as u64).max(2 * log.segment_bytes);
        // What a flush releases is used again: a segment that is removed has to be made anew.
        log.spare_segments = (log_bytes_max / log.segment_bytes) as usize;
        Self {
            generation,
            shard,
            tokens,
            vnodes: VnodeBits::DEFAULT,
            recent_dots_max: (memory_bytes / limits::MEMORY_PER_RECENT_DOT)
                .min(limits::RECENT_DOTS_MAX),
            log_bytes_max,
            log,
            memtable_bytes,
            memtables_bytes_max,
            cache_bytes: memory_bytes / 2 - memory_bytes / 16,
            scans_bytes_max: memory_bytes / 16,
            tables_memory_bytes: memory_bytes / 8 * 3,
            compaction: CompactionOptions::default(),
            reads_in_flight_max: limits::READS_IN_FLIGHT_MAX,
            space: SpaceLimits::default(),
            scrub: ScrubOptions::default(),
            namespaces: Arc::default(),
        }
    }

    /// Whether the numbers fit each other; a store does not open otherwise.
    pub(super) fn check(&self) {
        let memtable = self.memtable_bytes;
        assert!(memtable > 0, "a memtable holds something");
        assert!(memtable < self.memtables_bytes_max, "one memtable is filled, one flushed");
        assert!(self.log_bytes_max > self.log.segment_bytes, "the segment in use is kept anyway");
        assert!(self.tables_memory_bytes <= self.cache_bytes, "filters are a part of the cache");
        assert!(self.reads_in_flight_max <= limits::READS_IN_FLIGHT_MAX, "slots are bounded");
        let SpaceLimits { warn_percent, background_percent, refuse_percent, .. } = self.space;
        assert!(warn_percent <= background_percent, "who is stopped was warned");
        assert!(background_percent <= refuse_percent, "the background stops before the writers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log's bound was four memtables. With little memory that was less than one segment, and
    /// a flush gives back whole segments only: every tick froze a memtable.
    #[test]
    fn every_memory_makes_a_config_that_fits() {
        for memory_bytes in [0, 1 << 20, 64 << 20, 1 << 30, 64 << 30] {
            let all = (Token(0), Token(u64::MAX));
            let config = StoreConfig::new(1, ShardId(0), all, memory_bytes);
            config.check();
            assert!(config.log_bytes_max >= 2 * config.log.segment_bytes, "{memory_bytes}");
        }
    }
}
