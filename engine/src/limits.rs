//! The numbers that bound one core's store: what, unit, why, and what happens past it.

use crate::digest::LEAF_BITS;

pub use schemas::limits::{CLOCK_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Point reads in flight on one core: past what any disk gains from depth. The next read is
/// answered [`Get::Busy`](crate::store::Get::Busy).
pub const READS_IN_FLIGHT_MAX: usize = 4096;

/// Least memory for memtables, in bytes: below it every few large values would make a table.
pub const MEMTABLE_BYTES_MIN: usize = 64 << 10;

/// Bytes of blocks being read for point reads on one core: large values may not fill the memory.
/// The next read is answered [`Get::Busy`](crate::store::Get::Busy).
pub const READ_BYTES_IN_FLIGHT_MAX: usize = 32 << 20;

/// When a read that was turned away is worth asking again, in microseconds: a full queue of reads
/// is done in about that time.
pub const RETRY_AFTER_READS_US: u32 = 5_000;

/// Reads of one block that may come back short in a row; past it the block counts as unreadable.
pub const SHORT_READS_MAX: u8 = 4;

/// When a put refused for memory is worth trying again, in microseconds: a flush takes tens of
/// milliseconds.
pub const RETRY_AFTER_PUTS_US: u32 = 20_000;

/// When a put refused because the log waits for the disk is worth trying again, in microseconds:
/// a sync takes about that.
pub const RETRY_AFTER_LOG_US: u32 = 1_000;

/// The longest that an acknowledgement is held back to slow writers, in microseconds. With 256
/// writers waiting this is 5,000 puts a second and core; past it they are refused.
pub const SLOWED_US_MAX: u64 = 50_000;

/// How far behind compaction may be ([`pressure`](crate::compaction::pressure)) before writers are
/// slowed, and where they are slowed the most, in percent.
pub const SLOWED_PRESSURE_PERCENT: (usize, usize) = (200, 600);

/// How far behind the making of the next segment of the log may be
/// ([`segment_lag_percent`](crate::commit_log::CommitLog::segment_lag_percent)) before writers are
/// slowed, and where they are slowed the most, in percent.
pub const SLOWED_SEGMENT_LAG_PERCENT: (usize, usize) = (150, 400);

/// The first wait after a background job failed, in microseconds; it doubles with each failure.
pub const RETRY_FIRST_US: u64 = 50_000;

/// Doublings of that wait: up to 3.2 seconds.
pub const RETRY_DOUBLINGS_MAX: u32 = 6;

/// Tries to write a table or the manifest that fail before
/// [`Store::flush`](crate::store::Store::flush) gives up: with the waits between them six seconds.
/// A full disk does not hold up for ever who waits for it.
pub const FLUSH_FAILURES_MAX: u64 = 8;

/// How long compactions leave a table alone that the disk did not read, in microseconds: its other
/// inputs would be read in vain. It doubles with each failure.
pub const UNREADABLE_FIRST_US: u64 = 1_000_000;

/// Doublings of that time: up to 68 minutes.
pub const UNREADABLE_DOUBLINGS_MAX: u32 = 12;

/// How often [`Store::flush`](crate::store::Store::flush) and its like look whether what they wait
/// for has happened, in microseconds.
pub const WAIT_US: u64 = 100;

/// Numbers of files that each commit of the manifest keeps for those to come: a table that a crash
/// leaves unnamed has one of them, and the next start gives out none of them.
pub const FILE_NUMBERS_AHEAD: u32 = 64;

/// Fewer numbers left than this, after that many jobs that failed, and no job begins until a commit
/// has brought more.
pub const FILE_NUMBERS_LOW: u32 = 8;

/// Compactions at a time on one core: a long one into the bottom, and one that keeps level 0 short
/// meanwhile.
pub const COMPACTIONS_MAX: usize = 2;

/// Bytes that a block of a table is filled up to: a point read is then two pages of the disk at
/// most. A record that alone is larger has a block of its own.
pub const BLOCK_BYTES_TARGET: usize = 4096;

/// Bytes of a block: the largest record and what surrounds it. A table that tells of a larger one
/// is damaged.
pub const BLOCK_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + 256;

/// Damaged blocks of one table that are told one by one when a data directory is verified; all are
/// counted.
pub const BLOCK_FINDINGS_MAX: u64 = 100;

/// Bytes of records in one table: offsets of blocks are 32 bits. Writing past it fails with
/// [`TableError::Full`](crate::sstable::TableError::Full); memtables and fragments are far smaller.
pub const TABLE_DATA_BYTES_MAX: u64 = u32::MAX as u64;

/// Bytes of one table's file: its records, and partitions and a list of them that are each smaller.
/// A manifest that tells of a larger one is damaged.
pub const TABLE_FILE_BYTES_MAX: u64 = 3 * TABLE_DATA_BYTES_MAX + (1 << 20);

/// Bytes of one request of background I/O: a larger one would hold up the foreground's reads
/// behind it in the disk's queue.
pub const BACKGROUND_IO_BYTES_MAX: usize = 128 << 10;

/// Bytes of the first request of a scan of a table. Each is twice as long as the one before.
pub const SCAN_IO_BYTES_FIRST: usize = 32 << 10;

/// Keys of one partition of a table: building its filter, of some 6 KiB, holds the core for about
/// 0.1 ms. It ends with the block that is full then, before twice as many.
pub const PARTITION_KEYS_TARGET: usize = 4096;

/// Blocks of one partition of a table: an index of 6 KiB. It ends with the block that is full then,
/// before twice as many; only keys of one token are never parted.
pub const PARTITION_BLOCKS_TARGET: usize = 512;

/// Keys of one partition when keys of one token cannot be parted. Past it its filter says maybe to
/// everything.
pub const FILTER_KEYS_MAX: usize = 4 * PARTITION_KEYS_TARGET;

/// Partitions that are passed over in search of one to give up, because they were asked since they
/// were last passed: each is a wait for memory. Then the next one goes, asked or not.
pub const PARTITIONS_PASSED_MAX: usize = 64;

const _: () = {
    let jobs = COMPACTIONS_MAX as u32 + 1;
    assert!(2 * jobs < FILE_NUMBERS_LOW, "each job writes one file, commits and writes the next");
    assert!(2 * FILE_NUMBERS_LOW < FILE_NUMBERS_AHEAD, "a commit brings enough");
    assert!(2 * PARTITION_KEYS_TARGET <= FILTER_KEYS_MAX, "a partition has a filter");
    assert!(BLOCK_BYTES_TARGET <= u16::MAX as usize, "starts of entries are 16 bits");
    assert!(KEY_BYTES_MAX <= u16::MAX as usize, "lengths of keys are 16 bits");
    assert!(BLOCK_BYTES_MAX < u32::MAX as usize, "lengths of blocks are 32 bits");
};

/// Batches of one log: at a million a second it is 292,000 years. A file that tells of a later one
/// is damaged.
pub const LOG_SEQUENCE_MAX: u64 = u64::MAX >> 1;

/// Damaged places that a store keeps a list of. More are logged as they are met, and not listed.
pub const DAMAGE_LISTED_MAX: usize = 1000;

/// Tables that one frame of a manifest names when it is renewed: some 110 bytes each, so that a
/// frame is about one request of background I/O.
pub const MANIFEST_TABLES_PER_FRAME: usize = 1000;

/// Bytes of a manifest: nine million tables. A longer one is damaged, and is not read.
pub const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// Bytes that a manifest has for edits. When they are used up it is renewed.
pub const MANIFEST_ROOM_BYTES: u64 = 256 << 10;

/// Recent dots that a store keeps with their tokens, 24 bytes each: a look at all of them holds the
/// core for some 60 microseconds. At 10,000 writes a second they last for 6 seconds of another
/// owner's absence; past it digests decide.
pub const RECENT_DOTS_MAX: usize = 64 << 10;

/// Bytes of a store's memory for each recent dot that it keeps: a sixty-fourth of it goes there.
pub const MEMORY_PER_RECENT_DOT: usize = 64 * 24;

/// Finest leaves that one request for digests may touch: 64 vnodes, some 400 KB while it runs. A
/// wider one is answered [`DigestRefused::TooWide`](crate::store::DigestRefused::TooWide).
pub const DIGEST_LEAVES_MAX: u64 = 64 << LEAF_BITS;

/// Requests for digests at a time: each scans by itself. Past it one is answered
/// [`DigestRefused::Busy`](crate::store::DigestRefused::Busy).
pub const DIGESTS_IN_FLIGHT_MAX: usize = 4;

/// Vnodes whose leaves are kept in memory, 6 KiB each: all of the usual ring on one core. Digests
/// of more are made anew each time.
pub const DIGEST_VNODES_KEPT_MAX: usize = 4096;

/// Bytes of a file of clocks: all vnodes of the largest ring, each with as large a clock as there
/// may be. A longer one is damaged, and is not read.
pub const CLOCKS_BYTES_MAX: usize = (1 << 16) * (CLOCK_BYTES_MAX + 4) + (1 << 20);

/// Microseconds after which it is asked again whether a compaction is due, although no table came
/// or went: values expire, and space comes back.
pub const COMPACTION_LOOK_US: u64 = 1_000_000;

/// Milliseconds that a value is kept after its time, unseen: a clock that was ahead for a while, by
/// no more than this, destroys nothing that is not due when it is set right.
pub const EXPIRED_MARGIN_MS: u64 = 2 * 60 * 60 * 1000;

/// Bytes of rows that one page of a scan copies from a memtable, and one row more: a core is held
/// for the copy, some 200 microseconds. A page ends where the copy does.
pub const SCAN_ROWS_BYTES_MAX: usize = 1 << 20;

/// Keys that one page of a scan looks at. Past it the page ends as it is, however few of them were
/// wanted.
pub const SCAN_EXAMINED_MAX: usize = 64 << 10;

/// Pages of scans being read at one time: each copies rows of the memtables. Past it a scan is
/// answered [`ScanBusy`](crate::store::ScanBusy).
pub const SCANS_IN_FLIGHT_MAX: usize = 8;

/// Scans between two pages that keep their place in the tables, and what was read ahead there.
pub const SCAN_CURSORS_MAX: usize = 4;

/// Bytes that a page which is being read, or its cursor, holds of each run of tables: a request
/// that is looked at, one that is under way, and one of partitions that are not in memory.
pub const SCAN_BYTES_A_RUN: usize = 3 * BACKGROUND_IO_BYTES_MAX;

/// How long they do, in microseconds: whoever wants the next page asks sooner.
pub const SCAN_CURSOR_US: u64 = 2_000_000;

/// Bytes of a snapshot's name: it is a directory's, and part of a path that people type. A longer
/// one is refused.
pub const SNAPSHOT_NAME_BYTES_MAX: usize = 64;

/// Steps of snapshots under way on one core: one takes this shard's part, others list. Past it one
/// is answered [`SnapshotRefused`](crate::store::SnapshotRefused).
pub const SNAPSHOT_STEPS_MAX: usize = 16;

/// Bytes of a snapshot's SHARD: 140,000 tables, which hold 9 TB as memtables are. A snapshot of
/// more fails; a longer file is damaged, and is not read.
pub const SNAPSHOT_SHARD_BYTES_MAX: usize = 16 << 20;
