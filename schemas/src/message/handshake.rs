//! The first frame each way. What they lead to is decided in [`crate::handshake`].

use std::num::NonZeroU64;

use flatbuffers::FlatBufferBuilder;

use crate::generated::tables as fb;
use crate::header::{ANY_SHARD, Header};
use crate::ids::{ClusterId, NamespaceId, NodeId, ShardId, VnodeBits};
use crate::kind::Kind;
use crate::limits;
use crate::message::table;
use crate::status::Status;

/// Who a client is and what it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake<'a> {
    /// The oldest protocol version it speaks.
    pub version_min: u8,
    /// The newest.
    pub version_max: u8,
    /// Bits of the features it understands.
    pub features: u64,
    /// The cluster it looks for; empty for any.
    pub cluster_name: &'a str,
    /// The cluster it was connected to before; `None` for any.
    pub cluster_id: Option<ClusterId>,
    /// A name for logs and statistics.
    pub client_name: &'a str,
    /// The shard to be connected to; `None` for any.
    pub wanted_shard: Option<ShardId>,
    /// The namespace whose id it needs; empty for `default`.
    pub namespace: &'a str,
}

impl<'a> Handshake<'a> {
    /// Reads a handshake from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody`.
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let table = table::read::<fb::Handshake<'_>>(body)?;
        Ok(Self {
            version_min: table.version_min(),
            version_max: table.version_max(),
            features: table.features(),
            cluster_name: table::name(table.cluster_name())?,
            cluster_id: cluster_id(table.cluster_id_high(), table.cluster_id_low()),
            client_name: table::name(table.client_name())?,
            wanted_shard: Some(ShardId(table.wanted_shard())).filter(|shard| *shard != ANY_SHARD),
            namespace: table::name(table.namespace())?,
        })
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::with_capacity(512);
        let (cluster_id_high, cluster_id_low) = halves(self.cluster_id);
        let args = fb::HandshakeArgs {
            version_min: self.version_min,
            version_max: self.version_max,
            features: self.features,
            cluster_name: Some(builder.create_string(self.cluster_name)),
            cluster_id_high,
            cluster_id_low,
            client_name: Some(builder.create_string(self.client_name)),
            wanted_shard: self.wanted_shard.unwrap_or(ANY_SHARD).0,
            namespace: Some(builder.create_string(self.namespace)),
        };
        let root = fb::Handshake::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::Handshake, &builder, out);
    }
}

/// What one connection may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// Bytes of a key.
    pub key_bytes_max: u32,
    /// Bytes of a value.
    pub value_bytes_max: u32,
    /// Bytes of a frame.
    pub frame_bytes_max: u32,
    /// Keys of a multi-get.
    pub multi_get_keys_max: u32,
    /// Requests without a reply yet.
    pub in_flight_max: u32,
}

impl ConnectionLimits {
    /// The limits of [`crate::limits`].
    pub const DEFAULT: Self = Self {
        key_bytes_max: limits::KEY_BYTES_MAX as u32,
        value_bytes_max: limits::VALUE_BYTES_MAX as u32,
        frame_bytes_max: limits::FRAME_BYTES_MAX as u32,
        multi_get_keys_max: limits::MULTI_GET_KEYS_MAX as u32,
        in_flight_max: limits::IN_FLIGHT_MAX as u32,
    };
}

/// Who a server is, and what was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HandshakeReply<'a> {
    /// The protocol version of every later frame.
    pub version: u8,
    /// Bits of the features that both understand.
    pub features: u64,
    /// The node.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The cluster's name.
    pub cluster_name: &'a str,
    /// Program and version, for people.
    pub server: &'a str,
    /// Seed of the tokens: `Token::of(key, ring_seed)`.
    pub ring_seed: u64,
    /// Size of the ring.
    pub vnode_bits: VnodeBits,
    /// The ring's epoch.
    pub epoch: u32,
    /// Shards of the node.
    pub shards: u16,
    /// The shard that this connection is on.
    pub shard: ShardId,
    /// The id of the namespace that was asked for.
    pub namespace: NamespaceId,
    /// What the client may send.
    pub limits: ConnectionLimits,
}

impl<'a> HandshakeReply<'a> {
    /// Reads a reply from the body of its frame.
    ///
    /// # Errors
    /// `MalformedBody`.
    pub fn decode(body: &'a [u8]) -> Result<Self, Status> {
        let table = table::read::<fb::HandshakeReply<'_>>(body)?;
        let node = NonZeroU64::new(table.node_id()).ok_or(Status::MalformedBody)?;
        let limits = table.limits().ok_or(Status::MalformedBody)?;
        let id = cluster_id(table.cluster_id_high(), table.cluster_id_low());
        if table.shard() >= table.shards() {
            return Err(Status::MalformedBody);
        }
        Ok(Self {
            version: table.version(),
            features: table.features(),
            node_id: NodeId(node),
            cluster_id: id.ok_or(Status::MalformedBody)?,
            cluster_name: table::name(table.cluster_name())?,
            server: table::name(table.server())?,
            ring_seed: table.ring_seed(),
            vnode_bits: VnodeBits::new(table.vnode_bits()).ok_or(Status::MalformedBody)?,
            epoch: table.epoch(),
            shards: table.shards(),
            shard: ShardId(table.shard()),
            namespace: NamespaceId(table.namespace_id()),
            limits: ConnectionLimits {
                key_bytes_max: limits.key_bytes_max(),
                value_bytes_max: limits.value_bytes_max(),
                frame_bytes_max: limits.frame_bytes_max(),
                multi_get_keys_max: limits.multi_get_keys_max(),
                in_flight_max: limits.in_flight_max(),
            },
        })
    }

    /// Appends the frame to `out`.
    pub fn encode(&self, header: &Header, out: &mut Vec<u8>) {
        let mut builder = FlatBufferBuilder::with_capacity(512);
        let (cluster_id_high, cluster_id_low) = halves(Some(self.cluster_id));
        let limits = fb::Limits::new(
            self.limits.key_bytes_max,
            self.limits.value_bytes_max,
            self.limits.frame_bytes_max,
            self.limits.multi_get_keys_max,
            self.limits.in_flight_max,
        );
        let args = fb::HandshakeReplyArgs {
            version: self.version,
            features: self.features,
            node_id: self.node_id.0.get(),
            cluster_id_high,
            cluster_id_low,
            cluster_name: Some(builder.create_string(self.cluster_name)),
            server: Some(builder.create_string(self.server)),
            ring_seed: self.ring_seed,
            vnode_bits: self.vnode_bits.get(),
            epoch: self.epoch,
            shards: self.shards,
            shard: self.shard.0,
            namespace_id: self.namespace.0,
            limits: Some(&limits),
        };
        let root = fb::HandshakeReply::create(&mut builder, &args);
        builder.finish_minimal(root);
        table::append(header, Kind::HandshakeReply, &builder, out);
    }
}

fn cluster_id(high: u64, low: u64) -> Option<ClusterId> {
    let id = u128::from(high) << 64 | u128::from(low);
    (id != 0).then_some(ClusterId(id))
}

fn halves(id: Option<ClusterId>) -> (u64, u64) {
    let id = id.map_or(0, |id| id.0);
    ((id >> 64) as u64, id as u64)
}
