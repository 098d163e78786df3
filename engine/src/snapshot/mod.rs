//! Snapshots: what a node held at one moment of each of its shards, kept as further names of its
//! files, and read without the node.
//!
//! ```text
//! snapshots/<name>/SNAPSHOT               who the node is, when, how much: the last file
//! snapshots/<name>/shard-000/SHARD        which tables, of which what can be seen, their sums
//! snapshots/<name>/shard-000/<id>.sst     links to tables, and to the clocks of vnodes
//! ```
//!
//! What it keeps true:
//! - a shard's part has all that the store had acknowledged when it was asked for;
//! - SNAPSHOT is there only if all it speaks of is whole and durable. A directory without it is
//!   incomplete: no reader takes it for a snapshot, and the next start removes it;
//! - nothing of it is written again: a link is a name of a file that never changes. What the store
//!   drops stays on the disk for as long as a snapshot has it;
//! - a directory of a snapshot means the same wherever it is copied, if names are kept.
//!
//! ```text
//! name.rs  what a snapshot may be called    layout.rs  names of its files
//! head.rs  SNAPSHOT                         shard.rs   SHARD
//! take.rs  begin, a shard's part, finish    keep.rs    list, remove, what a crash left
//! read.rs  its records, in order            root.rs    what they are, in a few bytes
//! ```

mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod head;
mod keep;
mod layout;
mod name;
mod read;
mod root;
mod shard;
mod take;
#[cfg(test)]
mod tests;

pub use self::error::SnapshotError;
pub use self::head::{SNAPSHOT_FORMAT, SnapshotHead};
pub(crate) use self::keep::tidy;
pub use self::keep::{Listed, Removal, State, list, removal, remove};
pub(crate) use self::layout::join;
pub use self::layout::{HEAD_FILE, SHARD_FILE, SNAPSHOTS_DIR, shard_dir_of};
pub use self::name::{BadName, SnapshotName};
pub use self::read::{SnapshotReader, SnapshotRecords};
pub use self::root::Root;
pub use self::shard::{ClocksCopy, SHARD_FORMAT, ShardHead};
pub use self::take::{Begun, ShardTaken, begin, finish};
pub(crate) use self::take::{ShardPart, take_shard};
