//! How cores talk: bounded queues, one for each ordered pair of cores, and a wake-up for a core
//! that sleeps.
//!
//! What it keeps true:
//! - between two cores messages arrive once, in the order sent, and are owned by one core at a
//!   time; nothing is shared but the queues;
//! - nothing blocks and nothing is dropped: a full queue hands the message back ([`Full`]), and
//!   the sender decides (refuse the request, stop reading the connection);
//! - a core that works is never interrupted: only a parked core is woken, once;
//! - **no wake-up is lost**: a core that parks has seen every message of a sender that did not see
//!   it parked.
//!
//! # The wake protocol
//!
//! Each core has a flag `parked`. Dekker's pattern: both sides store, fence, then load what the
//! other stored, so at least one of them sees the other.
//!
//! ```text
//! receiver, Port::try_park              sender, Port::publish (once a tick)
//!   1 parked = true                       1 tail = tail + n          (try_send, release)
//!   2 fence(SeqCst)                       2 fence(SeqCst)
//!   3 any queue non-empty?                3 parked, and was it I who reset it?
//!       yes: parked = false, go on            yes: Wake::wake()
//!       no:  block until Wake::wake()
//! ```
//!
//! If the sender's load (3) does not see the receiver's store (1), the sender's fence came first,
//! so the receiver's load (3) sees the sender's tail. The fence costs some 20 ns; a sender pays it
//! once a tick, however many messages and receivers, and not at all in a tick that sent nothing.
//!
//! `spsc` and `port` are compiled three times: over the standard library's atomics, and in tests
//! over those of loom (all interleavings and all reorderings the memory model allows, small
//! cases) and of shuttle (random interleavings, longer cases).

mod port;
mod spsc;
mod sync;

#[cfg(test)]
mod loom_model;
#[cfg(test)]
mod shuttle_model;
#[cfg(test)]
mod tests;

pub use self::port::{Full, Port, Wake, mesh};
