//! kvcore's distributed logic, sans-IO: no async, no sockets, no clock, no randomness but the
//! seeded generator it is given, no files. `clippy.toml` enforces it.
//!
//! What is here so far is what one node needs to give versions: a hybrid logical clock ([`hlc`])
//! and the counters behind dots ([`dots`]). `DESIGN.md` answers why.

pub mod coordinator;
pub mod dots;
pub mod hlc;
pub mod limits;
pub mod liveness;
pub mod time;
pub mod topology;

pub use schemas::ids::{Actor, Dot, Hlc, NodeId, Version, Vnode, VnodeBits};
