//! Compaction: tables into fewer tables, so that reads ask few and dead records give back their
//! space.
//!
//! - A [`Job`] never changes what a reader sees: of the records of a key the one that the merge
//!   function prefers stays, an expired value stays as a tombstone, and a tombstone goes only when
//!   no older record of its key can be anywhere.
//! - What to do is decided by [`choose`], which is pure; a job works it off fragment by fragment,
//!   each with an edit of its own, so that a crash or a cancel loses one fragment's work at most.

mod job;
mod picker;
mod progress;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use self::job::{Control, Input, Job, JobError, Rules, Step};
pub use self::picker::{
    Choice, CompactionOptions, Given, Reason, choose, choose_part, is_full_left, is_full_over,
    pressure,
};
