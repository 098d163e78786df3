//! Who answers: SWIM membership with suspicion, indirect probes and refutation (the crate `foca`),
//! and a small record of each node spread on the same datagrams.
//!
//! What it keeps true:
//! - time and chance are what is given: the same seed and the same calls, the same effects;
//! - two clusters never merge: every datagram bears the cluster's id, others' are dropped;
//! - nothing from outside makes it panic or grow: a datagram is checked whole before any of it is
//!   believed, members of the topology always have room, strangers a little;
//! - a node that was paused, cut off or forgotten comes back by itself, with the boot it has;
//! - it says who answers and nothing else. It knows of no ring, no placement, no quorum: what
//!   follows from a node that is down is decided elsewhere.

mod chance;
mod counters;
mod datagram;
mod identity;
mod machine;
mod outside;
mod peers;
mod receive;
mod record;
mod timers;
mod tunables;
mod wire;

#[cfg(test)]
mod tests;

pub use self::counters::Counters;
pub use self::machine::{Effect, Event, Liveness};
pub use self::peers::Health;
pub use self::record::{Heard, Load, Record};
pub use self::tunables::Tunables;
