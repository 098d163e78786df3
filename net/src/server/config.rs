//! What a server is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use engine::store::{Durability, OpenReport};
use schemas::ids::{Actor, ClusterId, Hlc, ShardId, VnodeBits};

use crate::limits;

/// What a server is told when it starts. The data directory exists, belongs to this node and is
/// locked; its shards are as many as there are cores.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The CPU of each core: the first runs shard 0. At least one.
    pub cpus: Vec<usize>,
    /// Where clients connect; port 0 for any free one.
    pub listen: SocketAddr,
    /// The data directory.
    pub data_dir: PathBuf,
    /// Its generation, the top of every file's id.
    pub generation: u16,
    /// The directory of each shard, relative to the data directory.
    pub shard_dirs: Vec<String>,
    /// When a put counts as done.
    pub durability: Durability,
    /// Whether new blocks are compressed with LZ4.
    pub compresses: bool,
    /// In how many seconds each store checks all its tables once; 0 for never.
    pub scrub_pass_s: u64,
    /// Whether damaged log segments are set aside and what they held is given up.
    pub repair: bool,
    /// Where each core tells what its store found on disk.
    pub recovered: Sender<OpenReport>,
    /// Memory of each core.
    pub memory: CoreMemory,
    /// What each core admits.
    pub limits: CoreLimits,
    /// How long a core without work looks for more before it sleeps; zero to sleep at once.
    pub spin: Duration,
    /// Who the server is.
    pub identity: Identity,
    /// What stamps may be given; raised by whoever keeps it ahead of them on disk.
    pub ceiling: Arc<Ceiling>,
}

/// How many parts of a core's memory have [`CoreMemory::in_flight_bytes`] each.
const IN_FLIGHT_PARTS: usize = 5;

/// How the memory of one core is used, in bytes. Each part is bounded by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreMemory {
    /// Memtables, and what tables hold: filters, indexes and cached blocks.
    pub store_bytes: usize,
    /// Buffers that requests are received into.
    pub receive_bytes: usize,
    /// Pinned for direct I/O.
    pub io_bytes: usize,
    /// Requests under way, and as many again for each of the others that
    /// [`limits::IN_FLIGHT_BYTES_MAX`] names.
    pub in_flight_bytes: usize,
}

impl CoreMemory {
    /// Splits `bytes` of memory between `cores` cores; `None` where that is too little for each to
    /// work, which is [`CoreMemory::BYTES_MIN`].
    #[must_use]
    pub fn split(bytes: usize, cores: usize) -> Option<Self> {
        let each = bytes.checked_div(cores).filter(|each| *each >= Self::BYTES_MIN)?;
        let receive_bytes = usize::from(limits::RECV_BUFFERS) * limits::RECV_BUFFER_BYTES as usize;
        let io_bytes = 3 * limits::IO_MEMORY_BYTES;
        let in_flight_bytes = (each / 16).min(limits::IN_FLIGHT_BYTES_MAX);
        let store_bytes = each - receive_bytes - io_bytes - IN_FLIGHT_PARTS * in_flight_bytes;
        Some(Self { store_bytes, receive_bytes, io_bytes, in_flight_bytes })
    }

    /// The least memory of a core.
    pub const BYTES_MIN: usize = 64 << 20;
}

/// What one core admits. Past each the answer says so, and when to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Requests under way: waiting for the disk, the log or another core.
    pub in_flight_max: usize,
}

impl Default for CoreLimits {
    fn default() -> Self {
        Self { connections_max: limits::CONNECTIONS_MAX, in_flight_max: limits::IN_FLIGHT_MAX }
    }
}

/// Who a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The node, and which of its starts this is: who gives the dots.
    pub actor: Actor,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The cluster's name, at most `schemas::limits::NAME_BYTES_MAX` bytes.
    pub cluster_name: String,
    /// Seed of the tokens.
    pub ring_seed: u64,
    /// Size of the ring.
    pub vnode_bits: VnodeBits,
    /// The ceiling of stamps found on disk at this start: every stamp is above it.
    pub hlc_floor: Hlc,
}

/// The greatest stamp that may be given, known to be on disk, and the greatest that was given.
///
/// A thread of its own raises the ceiling, after it has synced it, to what
/// `cluster::version::next_ceiling` says; cores read it, and publish what they used, as they
/// acknowledge writes and before they close.
#[derive(Debug)]
pub struct Ceiling {
    ceiling: AtomicU64,
    /// One for each core, written by that core alone.
    used: Box<[AtomicU64]>,
}

impl Ceiling {
    /// The ceiling of a server of `cores` cores.
    #[must_use]
    pub fn new(ceiling: Hlc, cores: usize) -> Self {
        let used = (0..cores).map(|_| AtomicU64::new(0)).collect();
        Self { ceiling: AtomicU64::new(ceiling.0), used }
    }

    /// The ceiling.
    #[must_use]
    pub fn get(&self) -> Hlc {
        Hlc(self.ceiling.load(Ordering::Relaxed))
    }

    /// Raises the ceiling to `ceiling`, which is on disk. It is never lowered.
    pub fn raise(&self, ceiling: Hlc) {
        self.ceiling.fetch_max(ceiling.0, Ordering::Relaxed);
    }

    /// The greatest stamp that any core has given.
    #[must_use]
    pub fn used(&self) -> Hlc {
        Hlc(self.used.iter().map(|used| used.load(Ordering::Relaxed)).max().unwrap_or(0))
    }

    /// Says that `core` has given `stamp` and none above it.
    pub fn publish(&self, core: ShardId, stamp: Hlc) {
        self.used[usize::from(core.0)].store(stamp.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_cores_memory_are_its_share() {
        for (bytes, cores) in [(64 << 20, 1), (4 << 30, 2), (100 << 30, 64)] {
            let CoreMemory { store_bytes, receive_bytes, io_bytes, in_flight_bytes } =
                CoreMemory::split(bytes, cores).unwrap();
            let in_flight_bytes = IN_FLIGHT_PARTS * in_flight_bytes;
            assert_eq!(store_bytes + receive_bytes + io_bytes + in_flight_bytes, bytes / cores);
            assert!(store_bytes > bytes / cores / 2, "most is the store's");
        }
        assert_eq!(CoreMemory::split(64 << 20, 2), None);
        assert_eq!(CoreMemory::split(1 << 40, 0), None);
    }

    #[test]
    fn a_ceiling_is_raised_and_never_lowered() {
        let ceiling = Ceiling::new(Hlc(10), 2);
        ceiling.raise(Hlc(20));
        ceiling.raise(Hlc(15));
        assert_eq!(ceiling.get(), Hlc(20));
        ceiling.publish(ShardId(1), Hlc(12));
        ceiling.publish(ShardId(0), Hlc(11));
        assert_eq!(ceiling.used(), Hlc(12));
    }
}
