//! kvcore's distributed logic, sans-IO: no async, no sockets, no clock, no randomness but the
//! seeded generator it is given, no files. `clippy.toml` enforces it.
//!
//! What is here so far is what one node needs to give versions: a hybrid logical clock ([`hlc`])
//! and the counters behind dots ([`dots`]); and, for many, the policy that says how many there
//! should be ([`autoscale`]). `DESIGN.md` answers why.

pub mod autoscale;
pub mod coordinator;
pub mod dots;
pub mod event;
mod handoff;
pub mod hlc;
pub mod limits;
pub mod message;
pub mod mutation;
pub mod record;
pub mod repair;
mod replica;
pub mod shard;
pub mod time;
pub mod topology;
pub mod tunables;

pub use schemas::ids::{Actor, Dot, Hlc, NodeId, Version, Vnode, VnodeBits};
