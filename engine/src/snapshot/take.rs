//! A snapshot is begun once a node, taken of each shard by its own core, and finished once.
//!
//! ```text
//! begin   snapshots/<name>/               made and durable
//! shard   links, then SHARD, each synced: their directory, the snapshot's
//! finish  every SHARD is read back, then SNAPSHOT.tmp, synced, renamed; the directory
//! ```
//! So at every moment either SNAPSHOT is not there, or all it speaks of is durable.

use std::io;

use schemas::ids::ShardId;

use super::error::SnapshotError;
use super::head::{SnapshotHead, shards_of};
use super::layout::{
    HEAD_FILE, HEAD_TEMPORARY, SHARD_FILE, SNAPSHOTS_DIR, dir_of, join, shard_dir_of,
};
use super::name::SnapshotName;
use super::shard::{ClocksCopy, ShardHead};
use crate::data_dir::{self, DirError, NODE_FILE};
use crate::env::{Env, File, Open};
use crate::limits::SNAPSHOT_SHARD_BYTES_MAX;
use crate::manifest::Version;
use crate::sequential::{Sink, read_span};
use crate::sstable::{FileId, TokenRange};
use crate::vnode::ClocksFile;

/// A snapshot that was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    /// Its id.
    pub id: u64,
    /// When, in Unix milliseconds.
    pub at_ms: u64,
}

/// How much a shard's part is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ShardTaken {
    /// Tables.
    pub tables: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// What is to be taken of a shard.
pub(crate) struct ShardPart<'a> {
    pub(crate) name: &'a SnapshotName,
    pub(crate) begun: Begun,
    pub(crate) shard: ShardId,
    pub(crate) generation: u16,
    pub(crate) tokens: TokenRange,
    /// The shard's directory.
    pub(crate) from: &'a str,
    /// Its tables, none of which is removed meanwhile.
    pub(crate) version: &'a Version,
}

/// Begins snapshot `name`: its directory is there, and nothing in it.
///
/// # Errors
/// [`SnapshotError::Exists`], or the disk refuses: then it is not begun, and the name is free again
/// unless the disk refuses that as well.
pub async fn begin<E: Env>(env: &E, name: &SnapshotName) -> Result<Begun, SnapshotError> {
    match env.create_dir(SNAPSHOTS_DIR).await {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(SnapshotError::io("make", SNAPSHOTS_DIR)(error));
        }
        _ => {}
    }
    // Also one that was there: whoever made it may have been killed before its sync.
    env.sync_dir("").await.map_err(SnapshotError::io("sync", "the data directory"))?;
    let dir = dir_of(name);
    match env.create_dir(&dir).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(SnapshotError::Exists { name: name.to_string() });
        }
        made => made.map_err(SnapshotError::io("make", &dir))?,
    }
    if let Err(error) = env.sync_dir(SNAPSHOTS_DIR).await {
        // Nobody is told of it, so nobody would remove it. What fails here, a start makes up for.
        drop(env.remove(&dir).await);
        return Err(SnapshotError::io("sync", SNAPSHOTS_DIR)(error));
    }
    Ok(Begun { id: env.random(), at_ms: env.wall_ms() })
}

/// Takes the part of a shard: durable when this returns. Ends early if `is_over` says so.
///
/// # Errors
/// [`SnapshotError`]; the part is of no use then.
pub(crate) async fn take_shard<E: Env>(
    env: &E,
    part: &ShardPart<'_>,
    is_over: impl Fn() -> bool,
) -> Result<ShardTaken, SnapshotError> {
    let dir = dir_of(part.name);
    let to = join(&dir, &shard_dir_of(part.shard));
    env.create_dir(&to).await.map_err(SnapshotError::io("make", &to))?;
    for entry in part.version.tables() {
        if is_over() {
            return Err(SnapshotError::Closing);
        }
        link(env, part.from, &to, &entry.id.file_name()).await?;
    }
    let head = ShardHead {
        snapshot: part.begun.id,
        shard: part.shard,
        generation: part.generation,
        tokens: part.tokens,
        version: part.version.clone(),
        clocks: take_clocks(env, part, &to).await?,
    };
    write_shard(env, &to, &head).await?;
    env.sync_dir(&to).await.map_err(SnapshotError::io("sync", &to))?;
    env.sync_dir(&dir).await.map_err(SnapshotError::io("sync", &dir))?;
    Ok(ShardTaken { tables: head.version.tables().count() as u64, bytes: head.bytes() })
}

async fn link<E: Env>(env: &E, from: &str, to: &str, name: &str) -> Result<(), SnapshotError> {
    let to = format!("{to}/{name}");
    let linked = env.link(&format!("{from}/{name}"), &to).await;
    linked.map_err(SnapshotError::io("link", &to))
}

/// Links the shard's clocks, unless they are lost, and reads them: nobody has kept their sum.
async fn take_clocks<E: Env>(
    env: &E,
    part: &ShardPart<'_>,
    to: &str,
) -> Result<Option<ClocksCopy>, SnapshotError> {
    let Some(number) = part.version.clocks() else { return Ok(None) };
    let id = FileId::new(part.generation, part.shard, number);
    if ClocksFile::read_if_whole(env, part.from, id).await?.1 {
        return Ok(None);
    }
    let name = ClocksFile::file_name(id);
    link(env, part.from, to, &name).await?;
    let path = format!("{to}/{name}");
    let read = async {
        let file = env.open(&path, Open::Read).await?;
        let len = file.size().await?;
        read_span(&file, 0, len as usize).await
    };
    let bytes = read.await.map_err(SnapshotError::io("read", &path))?;
    Ok(Some(ClocksCopy { id, bytes: bytes.len() as u64, crc: crc32c::crc32c(&bytes) }))
}

async fn write_shard<E: Env>(env: &E, dir: &str, head: &ShardHead) -> Result<(), SnapshotError> {
    let path = format!("{dir}/{SHARD_FILE}");
    let (bytes, max) = (head.encode(), SNAPSHOT_SHARD_BYTES_MAX);
    if bytes.len() > max {
        return Err(SnapshotError::TooLarge { file: path, got: bytes.len(), max });
    }
    let write = async {
        let mut sink = Sink::new(env.open(&path, Open::Create).await?);
        sink.put(&bytes).await?;
        sink.finish().await
    };
    write.await.map_err(SnapshotError::io("write", &path))
}

/// Finishes snapshot `name`, of which every shard of the node has taken its part: from here on it
/// is one.
///
/// # Errors
/// [`SnapshotError`]: a part is missing or damaged, or the disk refuses. Whether SNAPSHOT is there
/// is then unknown; all that it speaks of is.
pub async fn finish<E: Env>(
    env: &E,
    name: &SnapshotName,
    begun: Begun,
) -> Result<SnapshotHead, SnapshotError> {
    let node = data_dir::read_superblock(env).await?;
    let node = node.ok_or_else(|| DirError::Missing { path: NODE_FILE.to_owned() })?;
    let dir = dir_of(name);
    let (mut tables, mut bytes) = (0, 0);
    for shard in shards_of(&node) {
        let head = ShardHead::read(env, &dir, begun.id, shard).await?;
        tables += head.version.tables().count() as u64;
        bytes += head.bytes();
    }
    let head = SnapshotHead { id: begun.id, taken_at_ms: begun.at_ms, tables, bytes, node };
    let (temporary, path) = (join(&dir, HEAD_TEMPORARY), join(&dir, HEAD_FILE));
    let write = async {
        let file = env.open(&temporary, Open::Create).await?;
        file.write_at(0, head.encode()).await?;
        file.sync().await?;
        env.rename(&temporary, &path).await?;
        env.sync_dir(&dir).await
    };
    write.await.map_err(SnapshotError::io("write", &path))?;
    Ok(head)
}
