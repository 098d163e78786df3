//! The command line: what it takes, what it refuses, how it exits.
//!
//! ```text
//! 0  done, and nothing left out
//! 1  no value; something refused, skipped, failed or damaged; the server cannot be reached
//! 2  usage
//! ```

mod args;
mod command;
mod disk_args;
mod snapshot_args;
mod units;

pub(crate) use self::args::CompactArgs;
pub(crate) use self::command::main;
pub(crate) use self::disk_args::{DiskVerb, Lines};
pub(crate) use self::snapshot_args::{KeptArgs, RestoreArgs, SnapshotVerb};
