//! What clients did to a store and what they were told: the evidence that oracles judge.
//!
//! - A history only grows, and an operation in it never changes.
//! - Every write has a value of its own, deletes too, so that a read says which write it saw.
//! - Moments are nanoseconds of one clock that all clients share. An operation comes before another
//!   only if it returned at an earlier moment than that in which the other was called; equal
//!   moments overlap. Who records simulated time makes moments distinct where order counts.
//!
//! | module | what it has |
//! |---|---|
//! | `operation` | one operation, and what it may say |
//! | `record` | the history in memory |
//! | `lines` | the same as JSON Lines, to save a run and to check it again |

mod lines;
mod operation;
mod record;

pub use lines::{LineError, ReadError, read, write};
pub use operation::{ABSENT, Kind, Level, NEVER, Operation, Outcome, Policy};
pub use record::{Conflicting, History, Refused};
