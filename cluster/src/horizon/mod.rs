//! The purge horizon: below which stamp everything of a vnode is known to all of its owners, and
//! nobody can bring anything else. What is dead below it may be forgotten.
//!
//! | file | what it decides |
//! |---|---|
//! | `mark.rs` | what a horizon lets go, and what is late for it |
//! | `promise.rs` | what a core promises of hints and stamps |
//! | `rounds.rs` | when all owners have all, and a horizon advances |
//! | `answering.rs` | a reader's part in that |
//!
//! - A horizon never goes back, and is on disk before anything is forgotten for it.
//! - It says nothing of a copy that did not have all of it: that one begins anew.
//! - Nothing is late that somebody waits for.
//!
//! `DESIGN.md`, "Deletes", has the argument.

mod answering;
mod mark;
mod promise;
mod rounds;

pub(crate) use self::answering::{HorizonStep, adopt, clock_read, hear, taken};
pub use self::mark::{Arrival, Horizon, HorizonIs, fit, kept, oldest};
pub use self::promise::{Promise, Promised};
pub(crate) use self::promise::{Promises, stands_in_from};
pub(crate) use self::rounds::Rounds;
