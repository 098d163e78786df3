//! The numbers that bound this crate: value, unit, reason, what happens past each.

/// How far ahead of the node's own clock a stamp brought by a client may be, in milliseconds.
///
/// Past it the request is refused: a client with a broken clock would drag the whole cluster's
/// stamps into the future. 500 ms is far more than synchronised clocks differ by.
pub const SKEW_MS_MAX: u64 = 500;

/// How far ahead of what is in use the synced ceiling of the clock is set, in milliseconds.
///
/// Large enough that a renewal which takes a second (a disk with a full queue) is never waited
/// for; small enough that a node which crashed and came back at once, and so starts above its old
/// ceiling, stamps only this far into the future.
pub const CEILING_LEAD_MS: u64 = 2_000;

// A stamp at the edge of the allowed skew must fit below a ceiling that is half used.
const _: () = assert!(SKEW_MS_MAX < CEILING_LEAD_MS / 2);

/// Voters of an epoch. Seven outlive three losses; more would only make each change slower.
pub const VOTERS_MAX: usize = 7;

/// Members of a cluster. Joins past it are refused: each costs every node a record and the ring an
/// index of 16 bits.
pub const MEMBERS_MAX: usize = 10_000;

/// Copies of a vnode in all data centres together. Past it a namespace is refused: a coordinator
/// keeps a line for each.
pub const COPIES_MAX: usize = 32;

const _: () = assert!(MEMBERS_MAX < u16::MAX as usize, "an index, and one for nobody");

/// Nodes that liveness keeps of those outside the topology: nodes that are joining or have left.
/// Past it new ones are not listened to, unless one that is down can be forgotten for them.
pub const STRANGERS_MAX: usize = 64;

/// Bytes of a gossip datagram: with a MAC around it, it still goes unfragmented over Ethernet.
/// Longer ones are dropped.
pub const GOSSIP_BYTES_MAX: usize = 1_400;

/// Bytes that a gossip datagram may be tuned down to; the longest header and a few members fit.
pub const GOSSIP_BYTES_MIN: usize = 512;

/// Bytes of a node's record on gossip. Longer ones are dropped: one must not crowd others out.
pub const RECORD_BYTES_MAX: usize = 128;
