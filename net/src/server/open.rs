//! kvcore's server: one store a core.

use std::sync::Arc;

use engine::env::direct::DirectEnv;
use engine::namespaces::Namespaces;
use engine::record;
use engine::store::{SnapshotStep, Store, StoreConfig};
use schemas::handshake::ServerIdentity;
use schemas::ids::{NamespaceId, ShardId};
use schemas::message::ConnectionLimits;

use super::config::{CoreMemory, Identity, ServerConfig};
use super::shard::{Shard, ShardIdentity};
use super::start::{FrontConfig, Seat, Server, StartError};

/// A store, on its core's thread, with nobody to serve yet.
type Opened = Result<Shard<DirectEnv>, Box<dyn std::error::Error + Send + Sync>>;

impl Server {
    /// Opens the store of every core. Nobody is answered before [`Server::serve`].
    ///
    /// # Errors
    /// Nothing was served; see [`StartError`].
    pub fn open(config: &ServerConfig) -> Result<Self, StartError> {
        let CoreMemory { in_flight_bytes, .. } = config.memory;
        let front = FrontConfig {
            cpus: config.cpus.clone(),
            listen: config.listen,
            limits: config.limits,
            in_flight_bytes,
            spin: config.spin,
            identity: server_identity(&config.identity, config.cpus.len()),
        };
        let config = Arc::new(config.clone());
        Self::start(&front, move |seat| open_shard(config.clone(), seat))
    }
}

fn server_identity(identity: &Identity, cores: usize) -> ServerIdentity {
    ServerIdentity {
        node_id: identity.actor.node,
        cluster_id: identity.cluster_id,
        cluster_name: identity.cluster_name.clone(),
        server: concat!("kvcore ", env!("CARGO_PKG_VERSION")).to_owned(),
        ring_seed: identity.ring_seed,
        vnode_bits: identity.vnode_bits,
        shards: u16::try_from(cores).expect("the mesh's cores are counted in a u16"),
        limits: ConnectionLimits::DEFAULT,
    }
}

async fn open_shard(config: Arc<ServerConfig>, seat: Seat) -> Opened {
    let Seat { shard, cores, ring } = seat;
    let identity = &config.identity;
    let tokens = shard.tokens(identity.vnode_bits, cores).ok_or_else(|| {
        format!("{cores} cores are more than the ring's {} vnodes", identity.vnode_bits.count())
    })?;
    let env = DirectEnv::new(&config.data_dir, ring, fastrand::u64(..)).await?;
    let memory_bytes = config.memory.store_bytes;
    let mut store_config = StoreConfig::new(config.generation, shard, tokens, memory_bytes);
    store_config.vnodes = identity.vnode_bits;
    store_config.log.durability = config.durability;
    store_config.log.repair = config.repair;
    store_config.scrub.pass_s = config.scrub_pass_s;
    if config.compresses {
        store_config.namespaces = Arc::new(Namespaces::new([], [NamespaceId::DEFAULT]));
    }
    let dir = &config.shard_dirs[usize::from(shard.0)];
    let (mut store, report) = Store::open(env, dir, store_config, record::lww).await?;
    tracing::debug!(shard = shard.0, ?report, "store opened");
    if shard == ShardId(0) {
        // So that metrics tell how many there are; whatever it comes to, nobody waits for it.
        let _ = store.snapshot_now(SnapshotStep::List);
    }
    // Nobody may want to know.
    drop(config.recovered.send(report));
    let identity = ShardIdentity {
        own: ShardId(shard.0),
        shards: cores,
        vnode_bits: identity.vnode_bits,
        ring_seed: identity.ring_seed,
        actor: identity.actor,
        hlc_floor: identity.hlc_floor,
    };
    Ok(Shard::new(identity, store, config.ceiling.clone()))
}
