//! What a store knows of each of its vnodes beside their records.
//!
//! - A clock has a dot only if the store has its record, or one that stands against it, or what a
//!   whole session with another owner brought: seen means have.
//! - Clocks are what the log says, in its order: a saved one is as of the batches that are flushed.

mod clocks;
mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod heads;
mod leaves;
mod recent;
mod state;
#[cfg(test)]
mod tests;

pub use self::clocks::Clocks;
pub(crate) use self::file::write;
pub use self::file::{CLOCKS_FORMAT, ClocksError, ClocksFile};
pub use self::recent::DotsSince;
pub use self::state::Vnodes;
