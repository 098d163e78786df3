//! The node's data directory: who may use it, whose it is, and where its shards lie.
//!
//! ```text
//! LOCK                  flock of the process that uses the directory, and its pid
//! NODE                  superblock: identity, boot, generation, shards
//! CLOCK                 ceiling of the node's stamps, renewed while it runs
//! PROBE                 page that tells how the disk is driven, see `env::direct`
//! gen-0001/shard-000/   manifest, tables, log of one shard
//! snapshots/            see `snapshot`
//! ```
//!
//! What it keeps true:
//! - one process at a time; a directory that holds anything but a node's files is not touched;
//! - NODE is whole at every moment: it is written beside itself and renamed. It is the last file
//!   of a new node, so a directory without it holds nothing that was ever acknowledged;
//! - `boot` is on disk before the start that bears it gives its first dot;
//! - no stamp is given above the ceiling that is on disk;
//! - a generation that NODE does not name is removed at start.
//!
//! `FORMAT.md` draws NODE and CLOCK.

mod clock;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod layout;
mod lock;
mod open;
mod reshard;
mod superblock;
#[cfg(test)]
mod tests;

pub use self::clock::{Clock, ClockSlot};
pub use self::error::DirError;
pub use self::layout::{CLOCK_FILE, LOCK_FILE, NODE_FILE, generation_dir, shard_dir, shard_of};
pub(crate) use self::layout::{NODE_FILES, generation_of};
pub use self::lock::DirLock;
pub use self::open::{
    Opened, open, read_clock, read_superblock, remove_generation, write_superblock,
};
pub use self::reshard::{ReshardError, ReshardStep, reshard};
pub(crate) use self::superblock::SUPERBLOCK_BYTES;
pub use self::superblock::{NewNode, Superblock};
