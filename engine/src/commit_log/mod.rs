//! The commit log: what was acknowledged survives a power cut.
//!
//! Opaque entries go in, are written in batches, and come out again when they are durable; at
//! start they are replayed. What it keeps true:
//!
//! 1. A batch counts as durable after one aligned write of all of it and an `fdatasync` behind it
//!    have both succeeded. A short write goes on from the last whole block; anything else that
//!    goes wrong is a [`LogFailure`], for ever.
//! 2. One write is in flight. What is appended meanwhile is the next batch: the group commit
//!    clocks itself.
//! 3. Batches begin at block boundaries: no write touches a block with acknowledged bytes.
//! 4. A segment exists, zeroed and synced over its whole length, before anything is written to it,
//!    and an entry is taken only if its batch has a place in one. So a full disk refuses appends
//!    and breaks nothing; it recovers when space comes back.
//! 5. Every start begins a new segment before it writes. The first batch of a segment is written
//!    only when everything before it is durable.
//! 6. Replay applies each batch once, in order, and nothing else: whatever stops it is decided by
//!    the table in `replay_case.rs`. It changes nothing on disk before it knows that it succeeds.
//!
//! ```text
//! format.rs       bytes of a segment, names of files         config.rs, error.rs
//! pending.rs      the open batch, batches that wait, and where each will be
//! log.rs          writes, syncs, seals: CommitLog
//! segments.rs     segments made ahead and recycled, in a background task
//! recovery.rs     start: list, replay, first segment
//! listing.rs      a segment piece by piece, a log checked: for people, nothing is changed
//! replay.rs       the scan; replay_case.rs decides where it stops; scanner.rs reads
//! ```

mod config;
mod error;
mod format;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listing;
mod log;
mod pending;
mod recovery;
mod replay;
mod replay_case;
mod scanner;
mod segments;
mod sequence;
#[cfg(test)]
mod tests;

pub use self::config::{Durability, LogConfig};
pub use self::error::{AppendError, LogError, LogFailure};
pub use self::format::{
    Entries, Kind as BatchKind, Label as BatchLabel, LogId, aside_id, segment_id,
};
pub use self::listing::{Listed, Piece, ScanEnd, check, given_up, list_segment};
pub use self::log::{CommitLog, DurableBatch, LogStats};
pub use self::recovery::ReplayReport;
pub use self::sequence::Sequence;
