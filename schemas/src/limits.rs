//! Limits of the wire: number, unit, reason, and what happens past each.
//!
//! A server tells its limits in the handshake; these are the greatest any may have.

use crate::clock;

/// Bytes of a key, at least 1. Longer keys are refused with `KeyTooLong`: a key is copied into
/// every index and request, and names are short.
pub const KEY_BYTES_MAX: usize = 4096;

/// Bytes of a value. Larger ones are refused with `ValueTooLarge`: one value must not hold up a
/// core or a connection for milliseconds.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a causal context. Longer ones are refused with `MalformedBody`: a context has an entry
/// for each replica that ever coordinated a key, tens of bytes each.
pub const CONTEXT_BYTES_MAX: usize = 16 << 10;

/// Bytes of a frame, header and padding included. A longer one is refused with `FrameTooLarge`
/// before anything of it is kept, and the connection is closed. Twice the largest value, so that a
/// value somewhat too large is refused by name without losing the connection.
pub const FRAME_BYTES_MAX: usize = 2 << 20;

/// Bytes of a frame before the handshake is done: strangers get little memory.
pub const HANDSHAKE_FRAME_BYTES_MAX: usize = 16 << 10;

/// Keys of one `MultiGet`. More are refused with `TooManyKeys`: keys of the greatest length still
/// fit in a frame, and one request holds a core for less than a tick.
pub const MULTI_GET_KEYS_MAX: usize = 256;

/// Bytes of the values of one `MultiGetReply`. Keys whose value does not fit any more are answered
/// with `ReplyFull` and asked for again.
pub const MULTI_GET_VALUES_BYTES_MAX: usize = 3 << 19;

/// Records of one page of a scan. A request for more gets this many.
pub const SCAN_RECORDS_MAX: usize = 4096;

/// Bytes of the keys and values of one page of a scan; a page of one record may have more.
pub const SCAN_PAGE_BYTES_MAX: usize = 1 << 20;

/// Requests of one connection without a reply yet. Past it a server stops reading the connection.
pub const IN_FLIGHT_MAX: usize = 4096;

/// Bytes of a name: cluster, client, namespace, server.
pub const NAME_BYTES_MAX: usize = 255;

/// Bytes of a `host:port`: a DNS name of 253, a colon, five digits, and room for brackets.
pub const ADDRESS_BYTES_MAX: usize = 261;

/// Nodes of a route.
pub const ROUTE_NODES_MAX: usize = 1024;

/// Owners of a vnode that a route names: clients need the nearest few, whatever the replication.
pub const ROUTE_COPIES_MAX: usize = 4;

/// Bytes of an error's text: one sentence.
pub const ERROR_TEXT_BYTES_MAX: usize = 512;

/// Replicas whose reasons an error lists.
pub const ERROR_REPLICAS_MAX: usize = 32;

/// Milliseconds of a time to live, about 139 years; longer ones are refused with `TtlTooLong`.
/// Added to any clock of this millennium it stays within a stamp's 48 bits.
pub const TTL_MS_MAX: u64 = 1 << 42;

/// Actors of one vnode's clock: each start of a node that owns the vnode, or stands in for an
/// owner, is one. Past it dots of further actors do not count as seen, and are shipped again.
pub const CLOCK_ACTORS_MAX: usize = 1024;

/// Runs of dots above the contiguous prefixes of one vnode's clock, all actors together: each is a
/// gap that anti-entropy has not closed yet. Past it the last do not count as seen.
pub const CLOCK_RUNS_MAX: usize = 256;

/// Bytes of one vnode's clock.
pub const CLOCK_BYTES_MAX: usize =
    clock::HEAD_BYTES + CLOCK_ACTORS_MAX * clock::ACTOR_BYTES + CLOCK_RUNS_MAX * clock::RUN_BYTES;

/// Depth of nested tables the verifier follows: ours nest once, the rest is for later fields.
pub(crate) const TABLE_DEPTH_MAX: usize = 8;

/// Tables in one body that the verifier follows: ours have one, the rest is for later fields.
pub(crate) const TABLES_MAX: usize = 64;

/// Room for the head or the table around keys and values, in bytes.
const OVERHEAD_BYTES: usize = 4096;

const _: () = {
    let largest_put = KEY_BYTES_MAX + VALUE_BYTES_MAX + CONTEXT_BYTES_MAX + OVERHEAD_BYTES;
    assert!(largest_put <= FRAME_BYTES_MAX, "a put of the greatest size fits in a frame");
    let largest_multi_get = MULTI_GET_KEYS_MAX * (KEY_BYTES_MAX + 2) + OVERHEAD_BYTES;
    assert!(largest_multi_get <= FRAME_BYTES_MAX, "a multi-get of the longest keys fits");
    let largest_reply = MULTI_GET_VALUES_BYTES_MAX + MULTI_GET_KEYS_MAX * 64 + OVERHEAD_BYTES;
    assert!(largest_reply <= FRAME_BYTES_MAX, "a reply full of values fits in a frame");
    assert!(MULTI_GET_VALUES_BYTES_MAX >= VALUE_BYTES_MAX, "the first key is always answered");
    let record = KEY_BYTES_MAX + VALUE_BYTES_MAX;
    let largest_page = if record > SCAN_PAGE_BYTES_MAX { record } else { SCAN_PAGE_BYTES_MAX };
    let scan_entries = SCAN_RECORDS_MAX * 56 + KEY_BYTES_MAX;
    assert!(largest_page + scan_entries + OVERHEAD_BYTES <= FRAME_BYTES_MAX, "a page fits");
    let route_slots = (1 << 16) * ROUTE_COPIES_MAX * 4;
    let route_nodes = ROUTE_NODES_MAX * (8 + 2 + 4 + 8 + ADDRESS_BYTES_MAX);
    assert!(route_slots + route_nodes + OVERHEAD_BYTES <= FRAME_BYTES_MAX, "a route fits");
    assert!(4 * (NAME_BYTES_MAX + 64) <= HANDSHAKE_FRAME_BYTES_MAX, "a handshake fits");
    assert!(CLOCK_BYTES_MAX + OVERHEAD_BYTES <= FRAME_BYTES_MAX, "a clock fits in a frame");
    assert!(KEY_BYTES_MAX <= u16::MAX as usize, "key lengths are u16 on the wire");
    assert!(FRAME_BYTES_MAX.is_multiple_of(8), "frames are whole multiples of 8 bytes");
    assert!(HANDSHAKE_FRAME_BYTES_MAX.is_multiple_of(8), "frames are whole multiples of 8 bytes");
};
