//! The client's side of one connection, without I/O, clock or runtime.
//!
//! [`Connection`] turns requests into bytes and received bytes into events. Whoever drives it moves
//! the bytes: the asynchronous and the blocking client over sockets, a load generator over a ring
//! of its own. Nothing is allocated for a point request or its reply; values are borrowed from the
//! bytes that were received.

mod connection;
mod event;
mod slots;

pub use schemas::consistency::{Consistency, ParseConsistencyError};
pub use schemas::frame::Message;
pub use schemas::handshake::DEFAULT_NAMESPACE;
pub use schemas::header::ANY_SHARD;
pub use schemas::ids::{
    Actor, ClusterId, Dot, Hlc, NamespaceId, NodeId, ShardId, Token, Version, Vnode, VnodeBits,
};
pub use schemas::limits;
pub use schemas::message::{
    ConnectionLimits, Delete, ErrorDetail, ErrorReply, Get, GetReply, KeyResult, MultiGetReply,
    Owner, Put, ReplicaReason, RouteNode, RouteReply, Scan, ScanPlace, ScanRecord, ScanReply,
    WriteReply, check_key,
};
pub use schemas::status::{Applied, Status};

pub use self::connection::{Connection, Hello, MultiGetRequest, RequestOptions};
pub use self::event::{ConnectionError, Event, Reply, ReplyHeader, SendError, ServerInfo};
pub use self::slots::Slot;

#[cfg(test)]
mod tests;
