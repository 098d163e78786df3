//! The command line: what it takes, what it refuses, how it exits.
//!
//! ```text
//! 0  done
//! 1  a request failed, a value did not verify, a write was lost, the server could not be reached
//! 2  usage
//! 3  LOADGEN SATURATED: the figures are the generator's own
//! ```

mod args;
mod command;
mod units;

pub use self::args::{Args, Output, ServerArgs, VerifyArgs};
pub use self::command::main;
pub use self::units::duration;
