//! The autoscale policy: from the gossiped load of one data centre to "add two nodes", "remove
//! this one", or nothing and why. It decides; consensus and the hook that starts machines act.
//!
//! What it keeps true, whatever the records say:
//! - it is a function of its arguments, integers only: the same view, state and moment give the
//!   same decision on every node;
//! - it never goes above `nodes_max`, nor below `nodes_min` and N, nor takes the last node of a
//!   rack that the copies need;
//! - between two decisions, and between a change it did not make and a decision, lies a cool-down;
//!   whoever begins to evaluate waits for one, so this holds across proposers;
//! - nothing is proposed while the topology is moving, nor while too few nodes are heard;
//! - a node is removed only where all are heard, and the rest would stay below the targets less
//!   the band: what a removal leads to is never a reason to add.
//!
//! The load records are hostile until checked: an absurd one counts as none, a plausible lie moves
//! the result by no more than its node's share.

mod decide;
mod demand;
mod fleet;
mod of_document;
mod policy;
mod proposer;
mod reason;
mod removal;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use decide::decide;
pub use of_document::{members, view};
pub use policy::{LatencyTarget, Policy, PolicyError, Settings};
pub use proposer::proposer;
pub use reason::{AddReason, Decision, Hold, Kept, RemoveReason, Shortage};
pub use removal::racks_to_start_in;
pub use state::AutoscaleState;
pub use view::{Load, Member, MemberState, View};
