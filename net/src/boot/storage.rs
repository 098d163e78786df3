//! Takes the data directory into use: locks it, makes or reads the node, counts the start.
//!
//! Runs before there are cores, in an executor of its own that is gone when they start.

use std::io;
use std::num::NonZeroU64;
use std::path::Path;

use engine::data_dir::{self, DirLock, NewNode, Opened, ReshardError, ReshardStep, Superblock};
use engine::env::direct::{DirectEnv, with_ring};
use engine::env::ring::{Ring, RingConfig};
use engine::record;
use engine::store::StoreConfig;
use rustix::rand::{GetRandomFlags, getrandom};
use schemas::ids::{ClusterId, NodeId};

use super::exit::{Exit, Refusal};
use crate::config::{Config, Origin};
use crate::runtime::CoreThread;
use crate::server::CoreMemory;

/// A data directory that is ours.
#[derive(Debug)]
pub(super) struct Storage {
    /// Who the node is, which start this is, and the ceiling of its stamps.
    pub(super) opened: Opened,
    /// Held for as long as the process runs.
    _lock: DirLock,
}

/// Takes the data directory of `config` into use, with one shard for each of `cpus`, each of which
/// will have `memory`.
///
/// # Errors
/// It is in use, foreign, newer, damaged, or the disk refuses.
pub(super) fn open(
    config: &Config,
    cpus: &[usize],
    memory: CoreMemory,
) -> Result<Storage, Refusal> {
    let lock = DirLock::take(&config.data_dir)?;
    let shards = u16::try_from(cpus.len()).expect("the configuration bounds cores");
    let new = new_node(config, shards)?;
    let config = config.clone();
    let open = move || async move {
        let ring = Ring::new(RingConfig::default()).map_err(no_executor)?;
        let opening = open_locked(&config, &new, memory, ring.clone());
        with_ring(&ring, opening).await.map_err(no_executor)?
    };
    let thread = CoreThread::spawn(cpus[0], open).map_err(no_executor)?;
    let opened = thread.join().map_err(no_executor)??;
    Ok(Storage { opened, _lock: lock })
}

fn no_executor(error: io::Error) -> Refusal {
    Refusal::new(Exit::Other, format!("cannot start an executor: {error}"))
}

async fn open_locked(
    config: &Config,
    new: &NewNode,
    memory: CoreMemory,
    ring: Ring,
) -> Result<Opened, Refusal> {
    let root = &config.data_dir;
    let env = DirectEnv::new(root, ring, new.seed).await;
    let env = env.map_err(|error| no_direct_io(root, &error))?;
    let found = data_dir::read_superblock(&env).await?;
    if let Some(found) = &found {
        check_same("cluster-name", &config.cluster_name, &found.cluster_name)?;
        let (wanted, origin) = &config.vnodes;
        check_same("vnodes", &(wanted.count(), origin.clone()), &found.vnodes.count())?;
    }
    let vnodes = found.map_or(new.vnodes, |found| found.vnodes).count();
    if vnodes < u32::from(new.shards) {
        let sentence = format!(
            "{} cores are more than the {vnodes} virtual nodes of the cluster: give fewer with \
             --smp or --cores",
            new.shards
        );
        return Err(Refusal::new(Exit::Usage, sentence));
    }
    let opened = data_dir::open(&env, new).await?;
    if opened.superblock.shards == new.shards {
        return Ok(opened);
    }
    let superblock = reshard(&env, &opened.superblock, new.shards, config, memory).await?;
    Ok(Opened { superblock, ..opened })
}

/// Gives every core a shard, however many there were at the last start. Shards are opened one at a
/// time, each with the memory of one core.
async fn reshard(
    env: &DirectEnv,
    superblock: &Superblock,
    shards: u16,
    config: &Config,
    memory: CoreMemory,
) -> Result<Superblock, ReshardError> {
    let from = superblock.shards;
    tracing::info!(from, to = shards, "changing the number of shards");
    let store_config = |generation, shard, tokens| {
        let mut store = StoreConfig::new(generation, shard, tokens, memory.store_bytes);
        store.log.repair = config.repair;
        store
    };
    let progress = |step| match step {
        ReshardStep::Flushed { shards, of } => tracing::info!("flushed {shards} of {of} shards"),
        ReshardStep::Linked { shards, of, parts } => {
            tracing::info!("handed on {shards} of {of} shards, as {parts} parts of tables");
        }
    };
    data_dir::reshard(env, superblock, shards, store_config, record::lww, progress).await
}

/// What was fixed when the node was made can be left out, and said again, but not changed.
fn check_same<T: PartialEq + std::fmt::Display>(
    name: &str,
    (wanted, origin): &(T, Origin),
    found: &T,
) -> Result<(), Refusal> {
    if *origin == Origin::Default || wanted == found {
        return Ok(());
    }
    let sentence = format!(
        "the data directory belongs to a node whose {name} is {found}, and {origin} says {wanted}: \
         give another directory with --data-dir, or leave {name} out"
    );
    Err(Refusal::new(Exit::DataForeign, sentence))
}

fn no_direct_io(root: &Path, error: &io::Error) -> Refusal {
    let root = root.display();
    if error.raw_os_error() == Some(libc::EINVAL) {
        let sentence = format!(
            "the file system of data directory {root} has no direct I/O (O_DIRECT): put it on ext4 \
             or xfs"
        );
        return Refusal::new(Exit::DirectIo, sentence);
    }
    let sentence = format!(
        "cannot use data directory {root}: {error}; check that it can be written and that the disk \
         works"
    );
    Refusal::new(Exit::DataIo, sentence)
}

fn new_node(config: &Config, shards: u16) -> Result<NewNode, Refusal> {
    let mut bytes = [0; 32];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    if filled != Ok(bytes.len()) {
        return Err(Refusal::new(Exit::Other, "the kernel gives no random numbers"));
    }
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    Ok(NewNode {
        node: NodeId(NonZeroU64::new(word(0)).unwrap_or(NonZeroU64::MIN)),
        cluster: ClusterId(u128::from(word(8)) << 64 | u128::from(word(16))),
        cluster_name: config.cluster_name.0.clone(),
        seed: word(24),
        vnodes: config.vnodes.0,
        shards,
    })
}
