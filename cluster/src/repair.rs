//! Anti-entropy: an owner of a vnode learns from another what it has not got, and then counts as
//! seen what the other had seen.
//!
//! ```text
//! Pull Since(my clock)  --> records of the dots it lacks, page by page  --> join the other's clock
//!                       \-> "compare": dots are too old for the ring of recent ones
//! Pull Leaves           --> hashes of 64 leaves
//! Pull Leaf(what I have) -> records of it that I have not, page by page --> join the other's clock
//! ```
//! - Where something was lost, leaves are compared with all other owners, and both ways: what is
//!   still there and the other lacks is given to it. For the clock, which was cleared, tells of
//!   neither.
//! - Only a session that came to its end joins a clock, and the clock that the other had when it
//!   began: what the other learned meanwhile may have been passed by.
//! - A page is asked for when the one before is on disk, and paid for: so many bytes a second come
//!   to a core for what moves, and so many for what is compared as a matter of course. Who answers
//!   keeps nothing between pages.
//! - What moves waits for its turn where many do, and while moves are paused for its next page.
//! - Whatever is lost, doubled, or comes from another session, the worst is that the session ends
//!   by its deadline and begins anew later.

mod answering;
mod pace;
mod progress;
mod schedule;
mod session;

pub(crate) use self::answering::{Asked, answer, stored};
pub use self::progress::{Move, MoveState};
pub(crate) use self::schedule::{Repair, Short, is_given};
pub(crate) use self::session::RepairStep;

/// Leaves of a vnode.
pub const LEAVES: u16 = 64;
