//! What the handshake leads to, decided by pure functions on both sides.
//!
//! The client's handshake goes out in version 1 whatever it speaks; the server picks the newest
//! version both speak, and everything after is in that. The server checks the version first, then
//! the cluster, then the namespace: what is wrong first is what is said.

use crate::header::PROTOCOL_VERSION;
use crate::ids::{ClusterId, NamespaceId, NodeId, ShardId, VnodeBits};
use crate::message::{ConnectionLimits, Handshake, HandshakeReply};
use crate::status::Status;

/// The name of the namespace that exists from the start.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Features this code understands. None so far; bits are given out in `PROTOCOL.md`.
pub const FEATURES: u64 = 0;

/// What a server says of itself in every handshake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerIdentity {
    /// The node.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The cluster's name, at most `NAME_BYTES_MAX` bytes.
    pub cluster_name: String,
    /// Program and version, for people; at most `NAME_BYTES_MAX` bytes.
    pub server: String,
    /// Seed of the tokens.
    pub ring_seed: u64,
    /// Size of the ring.
    pub vnode_bits: VnodeBits,
    /// Shards of the node.
    pub shards: u16,
    /// What a connection may send.
    pub limits: ConnectionLimits,
}

impl ServerIdentity {
    /// The shard to move a connection to before its handshake is answered: the one it wants, or,
    /// where it wants none or one there is not, the one it arrived on.
    #[must_use]
    pub fn place(&self, handshake: &Handshake<'_>, arrived_on: ShardId) -> ShardId {
        handshake.wanted_shard.filter(|wanted| wanted.0 < self.shards).unwrap_or(arrived_on)
    }

    /// Answers a handshake on `shard`, at the ring's `epoch`.
    ///
    /// `resolve` is the topology's table of namespaces; it is not asked for [`DEFAULT_NAMESPACE`].
    ///
    /// # Errors
    /// What to answer before closing: `VersionUnsupported`, `WrongCluster`; `UnknownNamespace`
    /// leaves the connection open for another handshake.
    pub fn answer(
        &self,
        handshake: &Handshake<'_>,
        shard: ShardId,
        epoch: u32,
        resolve: impl FnOnce(&str) -> Option<NamespaceId>,
    ) -> Result<HandshakeReply<'_>, Status> {
        let spoken = handshake.version_min..=handshake.version_max;
        if !spoken.contains(&PROTOCOL_VERSION) {
            return Err(Status::VersionUnsupported);
        }
        let name_fits =
            handshake.cluster_name.is_empty() || handshake.cluster_name == self.cluster_name;
        if !name_fits || handshake.cluster_id.is_some_and(|id| id != self.cluster_id) {
            return Err(Status::WrongCluster);
        }
        let namespace = match handshake.namespace {
            "" | DEFAULT_NAMESPACE => Some(NamespaceId::DEFAULT),
            name => resolve(name),
        };
        Ok(HandshakeReply {
            version: PROTOCOL_VERSION,
            features: handshake.features & FEATURES,
            node_id: self.node_id,
            cluster_id: self.cluster_id,
            cluster_name: &self.cluster_name,
            server: &self.server,
            ring_seed: self.ring_seed,
            vnode_bits: self.vnode_bits,
            epoch,
            shards: self.shards,
            shard,
            namespace: namespace.ok_or(Status::UnknownNamespace)?,
            limits: self.limits,
        })
    }
}

/// Checks that a server's answer is one to the handshake that was sent.
///
/// # Errors
/// Why the connection is of no use: `VersionUnsupported`, `WrongCluster`; `MalformedBody` for
/// features that were not offered or limits below what the protocol promises.
pub fn check_reply(sent: &Handshake<'_>, reply: &HandshakeReply<'_>) -> Result<(), Status> {
    let spoken = sent.version_min..=sent.version_max;
    if !spoken.contains(&reply.version) {
        return Err(Status::VersionUnsupported);
    }
    let name_fits = sent.cluster_name.is_empty() || sent.cluster_name == reply.cluster_name;
    if !name_fits || sent.cluster_id.is_some_and(|id| id != reply.cluster_id) {
        return Err(Status::WrongCluster);
    }
    if reply.features & !sent.features != 0 || reply.limits.in_flight_max == 0 {
        return Err(Status::MalformedBody);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;

    fn server() -> ServerIdentity {
        ServerIdentity {
            node_id: NodeId(NonZeroU64::MIN),
            cluster_id: ClusterId(77),
            cluster_name: "shop".to_owned(),
            server: "kvcore test".to_owned(),
            ring_seed: 5,
            vnode_bits: VnodeBits::DEFAULT,
            shards: 4,
            limits: ConnectionLimits::DEFAULT,
        }
    }

    const ANYBODY: Handshake<'static> = Handshake {
        version_min: 1,
        version_max: 1,
        features: u64::MAX,
        cluster_name: "",
        cluster_id: None,
        client_name: "test",
        wanted_shard: None,
        namespace: "",
    };

    fn answer(handshake: Handshake<'_>) -> Result<(), Status> {
        let server = server();
        let named = |name: &str| (name == "carts").then_some(NamespaceId(9));
        let reply = server.answer(&handshake, ShardId(2), 3, named)?;
        assert_eq!((reply.shard, reply.epoch), (ShardId(2), 3));
        check_reply(&handshake, &reply)
    }

    #[test]
    fn a_server_answers_who_speaks_its_version_and_means_its_cluster() {
        let cases = [
            (ANYBODY, Ok(())),
            (Handshake { cluster_name: "shop", ..ANYBODY }, Ok(())),
            (Handshake { cluster_id: Some(ClusterId(77)), ..ANYBODY }, Ok(())),
            (Handshake { version_max: 9, ..ANYBODY }, Ok(())),
            (Handshake { namespace: "default", ..ANYBODY }, Ok(())),
            (Handshake { namespace: "carts", ..ANYBODY }, Ok(())),
            (Handshake { namespace: "nope", ..ANYBODY }, Err(Status::UnknownNamespace)),
            (Handshake { cluster_name: "bank", ..ANYBODY }, Err(Status::WrongCluster)),
            (Handshake { cluster_id: Some(ClusterId(1)), ..ANYBODY }, Err(Status::WrongCluster)),
            (
                Handshake { version_min: 2, version_max: 3, ..ANYBODY },
                Err(Status::VersionUnsupported),
            ),
            (
                Handshake { version_min: 3, version_max: 0, ..ANYBODY },
                Err(Status::VersionUnsupported),
            ),
        ];
        for (handshake, expected) in cases {
            assert_eq!(answer(handshake), expected, "{handshake:?}");
        }
    }

    #[test]
    fn a_connection_goes_to_the_shard_it_wants_if_there_is_one() {
        let server = server();
        let place = |wanted: Option<u16>| {
            let handshake = Handshake { wanted_shard: wanted.map(ShardId), ..ANYBODY };
            server.place(&handshake, ShardId(1))
        };
        assert_eq!(place(None), ShardId(1));
        assert_eq!(place(Some(3)), ShardId(3));
        assert_eq!(place(Some(4)), ShardId(1));
    }

    #[test]
    fn a_client_refuses_a_reply_to_another_handshake() {
        let server = server();
        let reply = server.answer(&ANYBODY, ShardId(0), 1, |_| None).expect("answered");
        let refused = |sent, reply| check_reply(&sent, &reply).expect_err("refused");
        let other = Handshake { cluster_id: Some(ClusterId(1)), ..ANYBODY };
        assert_eq!(refused(other, reply), Status::WrongCluster);
        let newer = HandshakeReply { version: 2, ..reply };
        assert_eq!(refused(ANYBODY, newer), Status::VersionUnsupported);
        let plain = Handshake { features: 1, ..ANYBODY };
        assert_eq!(refused(plain, HandshakeReply { features: 3, ..reply }), Status::MalformedBody);
    }
}
