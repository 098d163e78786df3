//! How the next document is agreed on, and how it reaches every node.
//!
//! Single-decree Paxos (Lamport, "Paxos Made Simple", 2001), one instance an epoch: the voters that
//! the document of epoch e names decide the document of e + 1, and nothing else. Whoever learns it
//! hands it on. [`Agreement`] is a node's part in that, sans-IO.

mod acceptor;
mod counts;
mod disk;
mod driving;
mod machine;
mod message;
mod proposals;
mod round;
mod spread;
mod state;
#[cfg(test)]
mod tests;
mod timing;

pub use self::acceptor::Ballot;
pub use self::counts::Counts;
pub use self::driving::{Effect, Event, ProposalError, Ticket};
pub use self::machine::Agreement;
pub use self::message::{Body, Message};
pub use self::state::StateError;
pub use self::timing::Timing;
