//! The numbers that bound one core's store: what, unit, why, and what happens past it.

pub use schemas::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Point reads in flight on one core: past what any disk gains from depth. The next read is
/// answered [`Get::Busy`](crate::store::Get::Busy).
pub const READS_IN_FLIGHT_MAX: usize = 4096;

/// Least memory for memtables, in bytes: below it every few large values would make a table.
pub const MEMTABLE_BYTES_MIN: usize = 64 << 10;

/// Bytes that a block of a table is filled up to: a point read is then two pages of the disk at
/// most. A record that alone is larger has a block of its own.
pub const BLOCK_BYTES_TARGET: usize = 4096;

/// Bytes of a block: the largest record and what surrounds it. A table that tells of a larger one
/// is damaged.
pub const BLOCK_BYTES_MAX: usize = KEY_BYTES_MAX + VALUE_BYTES_MAX + 256;

/// Bytes of records in one table: offsets of blocks are 32 bits. Writing past it fails with
/// [`TableError::Full`](crate::sstable::TableError::Full); memtables and fragments are far smaller.
pub const TABLE_DATA_BYTES_MAX: u64 = u32::MAX as u64;

/// Bytes of one request of background I/O: a larger one would hold up the foreground's reads
/// behind it in the disk's queue.
pub const BACKGROUND_IO_BYTES_MAX: usize = 128 << 10;

/// Keys of one partition of a filter: building it holds the core for about 0.1 ms.
pub const FILTER_KEYS_TARGET: usize = 4096;

/// Keys of one partition of a filter when keys of one token cannot be parted. Past it the
/// partition says maybe to everything.
pub const FILTER_KEYS_MAX: usize = 4 * FILTER_KEYS_TARGET;

const _: () = {
    assert!(BLOCK_BYTES_TARGET <= u16::MAX as usize, "starts of entries are 16 bits");
    assert!(KEY_BYTES_MAX <= u16::MAX as usize, "lengths of keys are 16 bits");
    assert!(BLOCK_BYTES_MAX < u32::MAX as usize, "lengths of blocks are 32 bits");
};

/// Tables that one frame of a manifest names when it is renewed: some 110 bytes each, so that a
/// frame is about one request of background I/O.
pub const MANIFEST_TABLES_PER_FRAME: usize = 1000;

/// Bytes that a manifest has for edits. When they are used up it is renewed.
pub const MANIFEST_ROOM_BYTES: u64 = 256 << 10;

/// Microseconds that a compaction sleeps at once when it is slowed: after so long it notices that
/// it is cancelled, or may be quicker.
pub const PACE_SLEEP_US_MAX: u64 = 50_000;
