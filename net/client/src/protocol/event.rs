//! What comes out of a connection.

use std::time::Duration;

use schemas::frame::FrameError;
use schemas::header::Header;
use schemas::ids::{ClusterId, NamespaceId, NodeId, ShardId, VnodeBits};
use schemas::message::{
    ConnectionLimits, ErrorReply, GetReply, HandshakeReply, MultiGetReply, RouteReply, ScanReply,
    WriteReply,
};
use schemas::status::Status;

use super::slots::Slot;

/// Who answered the handshake, and what was agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerInfo {
    /// The node.
    pub node_id: NodeId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The cluster's name.
    pub cluster_name: String,
    /// Program and version, for people.
    pub server: String,
    /// Seed of the tokens.
    pub ring_seed: u64,
    /// Size of the ring.
    pub vnode_bits: VnodeBits,
    /// The ring's epoch at the handshake.
    pub epoch: u32,
    /// Shards of the node.
    pub shards: u16,
    /// The shard that this connection is on.
    pub shard: ShardId,
    /// The id of the namespace that was asked for.
    pub namespace: NamespaceId,
    /// What may be sent.
    pub limits: ConnectionLimits,
}

impl From<&HandshakeReply<'_>> for ServerInfo {
    fn from(reply: &HandshakeReply<'_>) -> Self {
        Self {
            node_id: reply.node_id,
            cluster_id: reply.cluster_id,
            cluster_name: reply.cluster_name.to_owned(),
            server: reply.server.to_owned(),
            ring_seed: reply.ring_seed,
            vnode_bits: reply.vnode_bits,
            epoch: reply.epoch,
            shards: reply.shards,
            shard: reply.shard,
            namespace: reply.namespace,
            limits: reply.limits,
        }
    }
}

/// Something that a connection learned.
#[derive(Debug)]
pub enum Event<'a> {
    /// The handshake is done: requests may be sent.
    Ready,
    /// A request was answered; its slot is free.
    Reply {
        /// The slot of the request.
        slot: Slot,
        /// What the header says beside the reply.
        header: ReplyHeader,
        /// The answer.
        reply: Reply<'a>,
    },
    /// The ring has a newer epoch: the route is old.
    RingChanged {
        /// The newer epoch.
        epoch: u32,
    },
    /// The node is going: new requests belong elsewhere, those in flight are still answered.
    Draining {
        /// How long it still answers.
        closes_in: Duration,
    },
    /// Nothing to do: a reply nobody waits for any more, or a push of a later version.
    Ignored,
    /// The server closes the connection, and says why.
    Refused(ErrorReply),
}

/// What the header of a reply says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplyHeader {
    /// The shard to send such requests to, where it is another than this connection's.
    pub route_hint: Option<ShardId>,
    /// The ring's epoch on the server.
    pub epoch: u32,
}

impl From<&Header> for ReplyHeader {
    #[inline]
    fn from(header: &Header) -> Self {
        Self { route_hint: header.route_hint(), epoch: header.epoch }
    }
}

/// An answer, borrowed from what was received.
#[derive(Debug)]
pub enum Reply<'a> {
    /// To a get.
    Get(GetReply<'a>),
    /// To a put.
    Put(WriteReply<'a>),
    /// To a delete.
    Delete(WriteReply<'a>),
    /// To a multi-get.
    MultiGet(MultiGetReply<'a>),
    /// To a scan.
    Scan(ScanReply<'a>),
    /// To a request for the route.
    Route(Box<RouteReply>),
    /// To a ping.
    Pong,
    /// A refusal of any request.
    Error(Box<ErrorReply>),
}

/// A request that was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The handshake is not done yet.
    #[error("the handshake is not done yet")]
    NotReady,
    /// As many requests are in flight as the server allows.
    #[error("as many requests are in flight as the server allows")]
    Full,
    /// The server is draining or the connection is over.
    #[error("the connection takes no more requests")]
    Closing,
    /// The request breaks a limit; no server would take it.
    #[error("{0}")]
    Refused(Status),
}

/// The connection is of no further use: close it. What became of the requests in flight is
/// unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The bytes are no frames.
    #[error("the server sent bytes that are no frames: {0}")]
    Frame(#[from] FrameError),
    /// A frame was not what the protocol has there.
    #[error("the server broke the protocol: {what} ({status})")]
    Protocol {
        /// What was wrong.
        what: &'static str,
        /// The code that says it.
        status: Status,
    },
    /// The handshake's answer does not fit: another cluster, another version.
    #[error("the server is not the one that was asked for: {0}")]
    Handshake(Status),
}
