//! Names in a snapshot's directory.

use schemas::ids::ShardId;

use super::name::SnapshotName;

/// The directory of a node's snapshots, in its data directory.
pub const SNAPSHOTS_DIR: &str = "snapshots";

/// The file that makes a directory a snapshot.
pub const HEAD_FILE: &str = "SNAPSHOT";

/// The same while it is being written.
pub(super) const HEAD_TEMPORARY: &str = "SNAPSHOT.tmp";

/// What a shard's directory holds, beside links.
pub const SHARD_FILE: &str = "SHARD";

const SHARD_PREFIX: &str = "shard-";

/// The directory of a snapshot in the data directory.
pub(super) fn dir_of(name: &SnapshotName) -> String {
    format!("{SNAPSHOTS_DIR}/{name}")
}

/// The directory of a shard in a snapshot's.
#[must_use]
pub fn shard_dir_of(shard: ShardId) -> String {
    format!("{SHARD_PREFIX}{:03}", shard.0)
}

/// Whether `name` is that of a shard's directory.
pub(super) fn is_shard_dir(name: &str) -> bool {
    let number = name.strip_prefix(SHARD_PREFIX).and_then(|number| number.parse().ok());
    number.is_some_and(|number| shard_dir_of(ShardId(number)) == name)
}

/// `name` in directory `dir`, which may be the root.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }
}
