//! What may be set, and what a simulation draws at random. Bounds that protect a node are in
//! [`limits`](crate::limits).

use std::num::NonZeroU64;
use std::time::Duration;

use crate::mutation::Mutations;

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
    /// Bytes that are kept of hints that count; more are refused.
    pub counted_hint_bytes_max: usize,
    /// Bytes that are kept of other hints, for a node and vnode; more are not kept.
    pub spare_hint_bytes_max: usize,
    /// How long the receivers of a hint may take.
    pub handoff_patience: Duration,
    /// How often each vnode is compared with each other owner.
    pub repair_period: Duration,
    /// How long to wait before comparing again what is urgent.
    pub repair_retry: Duration,
    /// How long each step of a comparison may take.
    pub repair_patience: Duration,
    /// Bytes of records sent at a time in a comparison.
    pub repair_page_bytes_max: usize,
    /// Bytes of records a second that a core asks for in comparisons as a matter of course.
    pub repair_bytes_per_second: NonZeroU64,
    /// Vnodes at a time that a core takes over.
    pub moves_max: usize,
    /// Bytes of records a second that a core asks for to take over vnodes.
    pub move_bytes_per_second: NonZeroU64,
    /// How often it is looked whether what is dead may be purged.
    pub horizon_period: Duration,
    /// How long after a write others may begin to keep it for an owner: more than the time that
    /// writes take. So long at least what is dead is kept.
    pub horizon_window: Duration,
    /// How long what is sent to a replica is expected to take before it was ever measured.
    pub latency_first: Duration,
    /// Mistakes that a simulation is to find; none anywhere else.
    pub mutations: Mutations,
}

impl Default for Tunables {
    fn default() -> Self {
        Self {
            operations_max: 4096,
            resend_after_256ths: 96,
            behind_pause: Duration::from_millis(20),
            hedge_after_min: Duration::from_millis(1),
            counted_hint_bytes_max: 256 << 20,
            spare_hint_bytes_max: 4 << 20,
            handoff_patience: Duration::from_secs(10),
            repair_period: Duration::from_secs(600),
            repair_retry: Duration::from_secs(1),
            repair_patience: Duration::from_secs(30),
            repair_page_bytes_max: 256 << 10,
            repair_bytes_per_second: NonZeroU64::MIN.saturating_add(4 << 20),
            moves_max: 4,
            move_bytes_per_second: NonZeroU64::MIN.saturating_add(16 << 20),
            horizon_period: Duration::from_secs(600),
            horizon_window: Duration::from_secs(600),
            latency_first: Duration::from_millis(20),
            mutations: Mutations::default(),
        }
    }
}
