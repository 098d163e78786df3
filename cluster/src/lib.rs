//! kvcore's distributed logic, sans-IO: no async, no sockets, no clock, no randomness but the
//! seeded generator it is given, no files. `clippy.toml` enforces it.
//!
//! `DESIGN.md` has the map, and answers why.

pub mod autoscale;
pub mod coordinator;
pub mod event;
mod handoff;
pub mod horizon;
pub mod limits;
pub mod liveness;
pub mod message;
pub mod moves;
pub mod mutation;
pub mod node;
pub mod placement;
pub mod record;
mod release;
pub mod repair;
mod replica;
pub mod shard;
pub mod time;
pub mod topology;
pub mod tunables;
pub mod version;

pub use schemas::ids::{Actor, Dot, Hlc, NodeId, Version, Vnode, VnodeBits};
