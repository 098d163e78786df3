//! Names in the data directory.

use schemas::ids::ShardId;

use crate::env::direct::PROBE_FILE;
use crate::snapshot::SNAPSHOTS_DIR;

/// The file that is locked while a process uses the directory.
pub const LOCK_FILE: &str = "LOCK";
/// The superblock.
pub const NODE_FILE: &str = "NODE";
/// The ceiling of the node's stamps.
pub const CLOCK_FILE: &str = "CLOCK";
/// The superblock while it is being written.
pub(super) const NODE_TEMPORARY: &str = "NODE.tmp";

const GENERATION_PREFIX: &str = "gen-";

/// The directory of a generation of shards.
#[must_use]
pub fn generation_dir(generation: u16) -> String {
    format!("{GENERATION_PREFIX}{generation:04}")
}

/// The directory of one shard.
#[must_use]
pub fn shard_dir(generation: u16, shard: ShardId) -> String {
    format!("{}/shard-{:03}", generation_dir(generation), shard.0)
}

/// The generation whose directory is `name`; `None` for the name of anything else.
pub(crate) fn generation_of(name: &str) -> Option<u16> {
    let generation = name.strip_prefix(GENERATION_PREFIX)?.parse().ok()?;
    (generation_dir(generation) == name).then_some(generation)
}

/// Generation and number of the shard whose directory is `path`; `None` for that of anything else.
#[must_use]
pub fn shard_of(path: &str) -> Option<(u16, ShardId)> {
    let (generation, shard) = path.split_once("/shard-")?;
    let of = (generation_of(generation)?, ShardId(shard.parse().ok()?));
    (shard_dir(of.0, of.1) == path).then_some(of)
}

/// What lies in a node's directory beside its generations.
pub(crate) const NODE_FILES: [&str; 5] =
    [LOCK_FILE, NODE_FILE, CLOCK_FILE, PROBE_FILE, SNAPSHOTS_DIR];

/// What may lie in a directory without NODE: the file system's own, and what a start that was
/// interrupted before it made NODE leaves, where generation 1 holds no file.
pub(super) fn may_precede_node(name: &str) -> bool {
    let ours = [LOCK_FILE, CLOCK_FILE, NODE_TEMPORARY, PROBE_FILE, "lost+found"];
    ours.contains(&name) || generation_of(name) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generations_name_tells_its_number() {
        for generation in [1, 42, 9_999, u16::MAX] {
            assert_eq!(generation_of(&generation_dir(generation)), Some(generation));
        }
        for other in ["gen-1", "gen-+001", "gen-0001.tmp", "gen-65536", "gen-", "shard-000"] {
            assert_eq!(generation_of(other), None, "{other}");
        }
        assert_eq!(shard_dir(2, ShardId(7)), "gen-0002/shard-007");
        for (generation, shard) in [(1, 0), (2, 7), (u16::MAX, 1_000)] {
            let path = shard_dir(generation, ShardId(shard));
            assert_eq!(shard_of(&path), Some((generation, ShardId(shard))));
        }
        for other in ["gen-0001", "gen-0001/shard-1", "gen-0001/shard-000/x", "gen-1/shard-000"] {
            assert_eq!(shard_of(other), None, "{other}");
        }
    }
}
