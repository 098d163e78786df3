//! kvbench, kvcore's load generator.
//!
//! What is measured is the server, so the generator does little: one thread, one `io_uring` and
//! one sans-IO [`generator`] for all its connections, no allocation and no clock read an
//! operation. `DESIGN.md` says why, and what the figures mean.

pub mod cli;
pub mod compare;
pub mod distribution;
pub mod generator;
pub mod latency;
pub mod ledger;
pub mod limits;
pub mod process;
pub mod progress;
pub mod report;
pub mod ring;
pub mod runner;
pub mod verify;
pub mod wire;
pub mod workload;
