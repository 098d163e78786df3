//! `kvbench compare`: kvcore against the echo example, on one core each, in one run.
//!
//! The echo has the same ring, frames and messages and no store behind them, so it is the limit
//! that the data path is measured against. Absolute figures of a shared machine drift; so servers
//! are measured in turns (A B A B ..), and what is quoted is the median of the rounds' ratios, with
//! their spread.
//!
//! ```text
//! servers.rs   starts both, pinned to a core of their own; stops what it started
//! scenario.rs  what is measured, and the target for it
//! measure.rs   the rounds
//! summary.rs   medians, ratios, spread; markdown and JSON
//! ```

mod command;
mod measure;
mod scenario;
mod servers;
mod summary;

pub use self::command::{CompareArgs, compare};
