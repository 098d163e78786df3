//! What all connections of one client share: who it is, and what it has seen.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::protocol::{ClusterId, Hello, Hlc, ReplyHeader, ShardId, Version};

/// A client's session.
#[derive(Debug)]
pub(crate) struct Session {
    cluster_name: String,
    client_name: String,
    namespace: String,
    /// The cluster of the first server that answered; all others must be of it.
    cluster_id: OnceLock<ClusterId>,
    /// The greatest stamp seen: what was read can be overwritten.
    hlc_seen: AtomicU64,
    /// The epoch of the route in use; 0 without one.
    epoch: AtomicU32,
    /// Somebody saw that the route is old.
    pub(crate) route_is_old: Notify,
}

impl Session {
    pub(crate) fn new(cluster_name: String, client_name: String, namespace: String) -> Self {
        Self {
            cluster_name,
            client_name,
            namespace,
            cluster_id: OnceLock::new(),
            hlc_seen: AtomicU64::new(0),
            epoch: AtomicU32::new(0),
            route_is_old: Notify::new(),
        }
    }

    pub(crate) fn hello(&self, wanted_shard: Option<ShardId>) -> Hello {
        Hello {
            cluster_name: self.cluster_name.clone(),
            cluster_id: self.cluster_id.get().copied(),
            client_name: self.client_name.clone(),
            wanted_shard,
            namespace: self.namespace.clone(),
        }
    }

    /// Keeps to `cluster`; false if the client belongs to another one already.
    pub(crate) fn join(&self, cluster: ClusterId) -> bool {
        *self.cluster_id.get_or_init(|| cluster) == cluster
    }

    pub(crate) fn hlc_seen(&self) -> Hlc {
        Hlc(self.hlc_seen.load(Ordering::Relaxed))
    }

    pub(crate) fn saw(&self, version: Version) {
        self.hlc_seen.fetch_max(version.hlc.0, Ordering::Relaxed);
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// A route of `epoch` is in use from now on.
    pub(crate) fn routed_by(&self, epoch: u32) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// A server is at `epoch`. Without a route yet there is none to be old.
    pub(crate) fn saw_epoch(&self, epoch: u32) {
        if epoch > self.epoch() && self.epoch() != 0 {
            self.route_is_old.notify_one();
        }
    }

    /// A reply to a request that was meant for `shard`. Where the route knew better than the
    /// connection, it is not the route that is old.
    pub(crate) fn saw_reply(&self, header: &ReplyHeader, shard: ShardId) {
        self.saw_epoch(header.epoch);
        if header.route_hint.is_some_and(|owner| owner != shard) {
            self.route_is_old.notify_one();
        }
    }
}
