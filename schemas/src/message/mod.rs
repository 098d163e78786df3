//! What frames say: one type a message, read in place and written in one pass.
//!
//! Hot messages are a fixed struct, the head, followed by keys and values: one length check reads
//! them. All others are FlatBuffers tables, verified once. Whatever comes out of a `decode` is
//! within the limits; what it may not be is answered with the [`Status`](crate::status::Status)
//! that `decode` returns. Bytes after what a message knows are ignored.

mod delete;
mod error;
mod get;
mod handshake;
mod head;
mod multi_get;
mod put;
mod route;
mod scan;
mod table;
mod write_reply;

pub use self::delete::Delete;
pub use self::error::{ErrorDetail, ErrorReply, ReplicaReason};
pub use self::get::{Get, GetReply};
pub use self::handshake::{ConnectionLimits, Handshake, HandshakeReply};
pub use self::head::check_key;
pub use self::multi_get::{KeyResult, MultiGet, MultiGetReply, MultiGetReplyWriter};
pub use self::put::Put;
pub use self::route::{Owner, RouteNode, RouteReply, RouteRequest};
pub use self::scan::{Scan, ScanPlace, ScanRecord, ScanReply, ScanReplyWriter};
pub use self::write_reply::WriteReply;
