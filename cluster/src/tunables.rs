//! What may be set, and what a simulation draws at random. Bounds that protect a node are in
//! [`limits`](crate::limits).

use std::time::Duration;

/// Settings of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunables {
    /// Operations that a shard coordinates at a time; more are refused.
    pub operations_max: usize,
    /// After which part of its patience, in 256ths, an unanswered write is sent again, and to
    /// stand-ins.
    pub resend_after_256ths: u32,
    /// How long to wait before a replica is asked again that is behind in its topology.
    pub behind_pause: Duration,
    /// The least time after which a read asks one replica more.
    pub hedge_after_min: Duration,
    /// How long what is sent to a replica is expected to take before it was ever measured.
    pub latency_first: Duration,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            operations_max: 4096,
            resend_after_256ths: 96,
            behind_pause: Duration::from_millis(20),
            hedge_after_min: Duration::from_millis(1),
            latency_first: Duration::from_millis(20),
        }
    }
}
