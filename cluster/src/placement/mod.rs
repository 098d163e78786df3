//! Placement: who owns what after a change of the topology, and what it takes to get there. Pure
//! functions of documents: the same on every machine, in every version.
//!
//! After [`rebalance`], of vnodes that are not settling:
//! - Each has its copies in each data centre, on as many nodes of different racks as there are for
//!   them; where there are fewer nodes than copies the last slots are empty.
//! - Each node has its share: in proportion to its weight as far as that leaves copies spread over
//!   racks, to one copy more or less.
//! - What need not move has not: a copy that moves takes the slot of the one it replaces, and where
//!   nothing is out of balance nothing changes.
//!
//! [`plan`] tells beforehand what a change will move.

mod board;
mod chance;
mod deal;
mod exchange;
mod plan;
mod racks;
mod rebalance;
mod share;
mod tournament;
mod turns;
mod ways;

#[cfg(test)]
mod tests;

pub use plan::{Facts, Link, Plan, Reduced, Share, Volume, plan};
pub use rebalance::rebalance;
