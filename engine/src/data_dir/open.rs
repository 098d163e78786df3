//! Opening a data directory that is locked: make a new node, or start an old one once more.

use std::io;

use schemas::ids::{NodeId, ShardId};

use super::clock::{CLOCK_BYTES, Clock};
use super::error::DirError;
use super::layout::{
    CLOCK_FILE, NODE_FILE, NODE_TEMPORARY, generation_dir, generation_of, shard_dir,
};
use super::superblock::{NewNode, SUPERBLOCK_BYTES, Superblock};
use crate::env::buf::AlignedBuf;
use crate::env::{Env, File, Open};
use crate::snapshot;
use crate::sstable::FileId;

/// A data directory, ready for its shards to be opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Who the node is; its `boot` is on disk.
    pub superblock: Superblock,
    /// The ceiling of all stamps given before.
    pub clock: Clock,
    /// Whether the node was made just now.
    pub created: bool,
}

/// Opens the data directory of `env`, which this process has locked: makes `new` there if it holds
/// no node, and starts the node that it holds once more otherwise. Generations, unfinished tables
/// and incomplete snapshots that a crash left are removed.
///
/// # Errors
/// [`DirError`]: a file is damaged, of a newer format or missing, or the disk refuses.
pub async fn open<E: Env>(env: &E, new: &NewNode) -> Result<Opened, DirError> {
    let Some(mut superblock) = read_superblock(env).await? else {
        return create(env, new).await;
    };
    let clock = read_clock(env, superblock.node).await?;
    let mut unfinished = Vec::new();
    // Before anything is removed: an older NODE would take the newer generation for a stray.
    for shard in 0..superblock.shards {
        let path = shard_dir(superblock.generation, ShardId(shard));
        let names = env.list(&path).await.map_err(|error| missing_or(error, "list", &path))?;
        for name in names.iter().filter(|name| FileId::names_unfinished(name)) {
            unfinished.push(format!("{path}/{name}"));
        }
    }
    // Before as well: a process that was killed may have renamed NODE and not made it durable. A
    // power cut would bring back the one that names what is removed now.
    env.sync_dir("").await.map_err(DirError::io("sync", "the data directory"))?;
    remove_strays(env, superblock.generation).await?;
    snapshot::tidy(env).await;
    // Room for what follows, on a disk that a crash left full.
    for path in unfinished {
        env.remove(&path).await.map_err(DirError::io("remove", &path))?;
    }
    superblock.boot += 1;
    write_superblock(env, &superblock).await?;
    Ok(Opened { superblock, clock, created: false })
}

/// The superblock as it is on disk; `None` if the directory holds no node.
///
/// # Errors
/// [`DirError`]: it is damaged or of a newer format, or the disk refuses.
pub async fn read_superblock<E: Env>(env: &E) -> Result<Option<Superblock>, DirError> {
    match read_file(env, NODE_FILE, SUPERBLOCK_BYTES).await {
        Ok(bytes) => Superblock::decode(&bytes).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DirError::io("read", NODE_FILE)(error)),
    }
}

/// Replaces the superblock on disk. It holds from the moment this returns; a crash before leaves
/// either, whole.
///
/// # Errors
/// [`DirError::Io`]: the disk refuses; which of the two holds is then unknown.
pub async fn write_superblock<E: Env>(env: &E, superblock: &Superblock) -> Result<(), DirError> {
    match env.remove(NODE_TEMPORARY).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(DirError::io("remove", NODE_TEMPORARY)(error));
        }
        _ => {}
    }
    let write = async {
        let file = env.open(NODE_TEMPORARY, Open::Create).await?;
        file.write_at(0, superblock.encode()).await?;
        file.sync().await?;
        env.rename(NODE_TEMPORARY, NODE_FILE).await?;
        env.sync_dir("").await
    };
    write.await.map_err(DirError::io("write", NODE_FILE))
}

/// Removes a generation of shards and all that is in it. A crash leaves some of it.
///
/// # Errors
/// [`DirError::Io`]: the disk refuses.
pub async fn remove_generation<E: Env>(env: &E, generation: u16) -> Result<(), DirError> {
    let root = generation_dir(generation);
    let remove = async {
        for shard in env.list(&root).await? {
            let shard = format!("{root}/{shard}");
            for file in env.list(&shard).await? {
                env.remove(&format!("{shard}/{file}")).await?;
            }
            env.remove(&shard).await?;
        }
        env.remove(&root).await?;
        env.sync_dir("").await
    };
    remove.await.map_err(DirError::io("remove", &root))
}

/// Everything but NODE first: until NODE is there, the directory is a new one.
async fn create<E: Env>(env: &E, new: &NewNode) -> Result<Opened, DirError> {
    let superblock = Superblock::born(new);
    let clock =
        create_clock(env, superblock.node).await.map_err(DirError::io("write", CLOCK_FILE))?;
    remove_strays(env, 0).await?;
    let root = generation_dir(superblock.generation);
    let make = async {
        env.create_dir(&root).await?;
        for shard in 0..superblock.shards {
            env.create_dir(&shard_dir(superblock.generation, ShardId(shard))).await?;
        }
        env.sync_dir(&root).await?;
        env.sync_dir("").await
    };
    make.await.map_err(DirError::io("make", &root))?;
    write_superblock(env, &superblock).await?;
    Ok(Opened { superblock, clock, created: true })
}

async fn create_clock<E: Env>(env: &E, node: NodeId) -> io::Result<Clock> {
    let file = match env.open(CLOCK_FILE, Open::Create).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            env.open(CLOCK_FILE, Open::ReadWrite).await?
        }
        opened => opened?,
    };
    let (clock, slots) = Clock::born(node);
    let mut bytes = AlignedBuf::zeroed(CLOCK_BYTES);
    for slot in &slots {
        bytes[slot.offset as usize..][..slot.bytes.len()].copy_from_slice(&slot.bytes);
    }
    file.write_at(0, bytes).await?;
    file.sync().await?;
    Ok(clock)
}

/// The ceiling of the stamps of `node`.
///
/// # Errors
/// [`DirError`]: CLOCK is damaged or missing, or the disk refuses.
pub async fn read_clock<E: Env>(env: &E, node: NodeId) -> Result<Clock, DirError> {
    let bytes = read_file(env, CLOCK_FILE, CLOCK_BYTES).await;
    Clock::decode(node, &bytes.map_err(|error| missing_or(error, "read", CLOCK_FILE))?)
}

/// The bytes of a file that should have `len`: one page more is asked for, so that a longer file
/// does not pass for a whole one.
async fn read_file<E: Env>(env: &E, path: &str, len: usize) -> io::Result<AlignedBuf> {
    let file = env.open(path, Open::Read).await?;
    file.read_at(0, len + crate::env::ALIGN).await
}

/// Removes every generation but `keep`.
async fn remove_strays<E: Env>(env: &E, keep: u16) -> Result<(), DirError> {
    let names = env.list("").await.map_err(DirError::io("list", "the data directory"))?;
    for stray in names.iter().filter_map(|name| generation_of(name)).filter(|&name| name != keep) {
        tracing::info!(generation = stray, "removing shards that a crash left");
        remove_generation(env, stray).await?;
    }
    Ok(())
}

fn missing_or(error: io::Error, action: &'static str, path: &str) -> DirError {
    match error.kind() {
        io::ErrorKind::NotFound => DirError::Missing { path: path.to_owned() },
        _ => DirError::io(action, path)(error),
    }
}
