//! The cluster under the simulator: many seeds, the same seeds twice, seeds that failed once,
//! mistakes that must be found, scenarios by name, and `kvsim` itself.

mod autoscale;
mod days;
mod determinism;
mod kept;
mod mutations;
mod scale;
mod scenarios;
mod seeds;
mod usage;
