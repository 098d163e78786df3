//! What tests of more than one crate are made of, and the simulator: a cluster in one process
//! ([`sim`]), the history of what clients did ([`history`]), and the oracles that hold it against
//! the promises ([`checker`]); and what a cluster of very many nodes costs ([`scale`]).
//!
//! The tests themselves are the test binaries beside it; `DESIGN.md` says which is which and why.

pub mod checker;
pub mod duration;
pub mod history;
pub mod kvsim;
pub mod limits;
pub mod scale;
pub mod scenario;
pub mod sim;
