//! What a core has done, for metrics.

use engine::store::Stats;
use schemas::ids::ShardId;

use super::answers::AnswerStats;

/// What happened on the connections of one core. Counters grow; the first two are what is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrontStats {
    /// Open connections.
    pub connections: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections turned away because there were too many.
    pub refused: u64,
    /// Connections closed or handed over.
    pub closed: u64,
    /// Connections closed because they did not read their replies, or finish a frame.
    pub stalled: u64,
    /// Connections that came from another core.
    pub moved_in: u64,
    /// Connections handed to another core.
    pub moved_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Sends.
    pub sends: u64,
}

/// What one core has done.
#[derive(Clone, Debug)]
pub struct CoreStats {
    /// Which core.
    pub shard: ShardId,
    /// Rounds of its loop that found something to do.
    pub ticks: u64,
    /// Times it slept.
    pub parks: u64,
    /// What those rounds took, with the background work that was given way to after them, in
    /// microseconds.
    pub busy_us: u64,
    /// How many of them took longer than [`STALL_US`](crate::limits::STALL_US).
    pub stalls: u64,
    /// Its connections.
    pub front: FrontStats,
    /// What they were answered.
    pub answers: AnswerStats,
    /// Its store; `None` for a server without one.
    pub store: Option<Stats>,
}
