//! The numbers that bound one core's store: what, unit, why, and what happens past it.

pub use schemas::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Point reads in flight on one core: past what any disk gains from depth. The next read is
/// answered [`Get::Busy`](crate::store::Get::Busy).
pub const READS_IN_FLIGHT_MAX: usize = 4096;

/// Least memory for memtables, in bytes: below it every few large values would make a table.
pub const MEMTABLE_BYTES_MIN: usize = 64 << 10;
