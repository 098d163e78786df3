//! What a log is told when it is opened.

use super::format::{BATCH_BYTES_LIMIT, ENTRY_HEADER_BYTES, HEADER_BYTES};
use crate::env::ALIGN;
use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::record::ROW_HEADER_BYTES;

/// When a put counts as done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Once it is on stable storage.
    Sync,
    /// Once it is in the log's buffer, which is written and synced at least this often.
    Periodic {
        /// Longest time between syncs, in microseconds.
        interval_us: u64,
    },
    /// Once it is in the log's buffer, which is written when it suits. It is synced when the log
    /// goes on to another segment, after a second without appends, and when it is closed.
    None,
}

/// What a log is told when it is opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// When an append counts as done.
    pub durability: Durability,
    /// Bytes of a segment. Segments of another size are read, and not recycled.
    pub segment_bytes: u64,
    /// Most bytes of a batch, and so of an entry with its 52 bytes of framing.
    pub batch_bytes_max: usize,
    /// Batches that may wait to be written, the open one and the one in flight among them. Past
    /// it appends are answered [`AppendError::Busy`](super::AppendError::Busy).
    pub batches_max: usize,
    /// Segments kept ready for use. What is released beyond is removed.
    pub spare_segments: usize,
    /// An acknowledged batch that is damaged does not stop the log: its segment is kept under
    /// another name, and what can be read is replayed.
    pub repair: bool,
}

/// The largest row there is, framed, in whole blocks.
const BATCH_BYTES_DEFAULT: usize =
    (HEADER_BYTES + ENTRY_HEADER_BYTES + ROW_HEADER_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX)
        .next_multiple_of(ALIGN);

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            segment_bytes: 64 << 20,
            batch_bytes_max: BATCH_BYTES_DEFAULT,
            batches_max: 4,
            spare_segments: 2,
            repair: false,
        }
    }
}

impl LogConfig {
    /// Whether the numbers fit each other; a log does not open otherwise.
    pub(super) fn check(&self) {
        let align = ALIGN as u64;
        assert!(self.segment_bytes.is_multiple_of(align), "segments are whole blocks");
        assert!(self.segment_bytes / align <= u64::from(u32::MAX), "blocks are counted in 32 bits");
        assert!(self.batch_bytes_max.is_multiple_of(ALIGN), "batches are whole blocks");
        assert!(self.batch_bytes_max >= ALIGN, "a batch has a block");
        assert!(self.batch_bytes_max <= BATCH_BYTES_LIMIT, "longer batches are not replayed");
        assert!(self.batch_bytes_max as u64 <= self.segment_bytes, "a batch fits a segment");
        assert!(self.batches_max >= 2, "one batch in flight, one open");
        assert!(self.spare_segments >= 1, "the next segment is made ahead");
    }
}

const _: () = assert!(BATCH_BYTES_DEFAULT <= BATCH_BYTES_LIMIT);
