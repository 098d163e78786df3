//! Placement: who owns what after a change of the topology, and what it takes to get there. Pure
//! functions of documents: the same on every machine, in every version.
//!
//! After [`rebalance`], of vnodes that are not settling:
//! - Each has its copies in each data centre, on different nodes that stay, spread over as many
//!   racks as there are. Where there are fewer nodes than copies those that are to go keep what
//!   nobody else can take, and the last slots are empty.
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
mod scarce;
mod share;
mod tournament;
mod turns;
mod ways;

#[cfg(test)]
mod tests;

pub use plan::{Facts, Link, Plan, Reduced, Share, Volume, plan};
pub use rebalance::rebalance;
