//! From a command line to a running server, and back to nothing.
//!
//! What it keeps true:
//! - whatever makes a start impossible is found before clients can connect, and said in one
//!   sentence that tells what to do, with an exit status of its own ([`Exit`]);
//! - a panic on any thread ends the process;
//! - nothing is changed on disk before the data directory is known to be ours, and locked.

mod banner;
mod ceiling;
mod checks;
mod control;
mod exit;
mod logs;
mod machine;
mod run;
mod storage;

pub use self::exit::{Exit, Refusal};
pub use self::run::{VERSION, run};

pub(crate) use self::machine::{kib_of, read};
