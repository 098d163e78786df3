//! What goes into an [`Agreement`](super::Agreement), and what comes out.

use std::sync::Arc;

use schemas::ids::NodeId;

use super::message::Message;
use crate::limits::PROPOSALS_MAX;
use crate::time::Instant;
use crate::topology::{Change, ChangeRefused, Document, Epoch};

/// Names something that is answered later. Those of proposals are the caller's to choose, those of
/// writes ascend from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// What an agreement is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message arrived.
    Received {
        /// From whom; the driver has seen to it that it is.
        from: NodeId,
        /// What it says.
        message: Message,
    },
    /// What [`Effect::Persist`] asked for is on disk, in place of all before it.
    Persisted(Ticket),
    /// Somebody here wants a change.
    Propose {
        /// Names the outcome.
        ticket: Ticket,
        /// The change.
        change: Change,
        /// When the outcome is wanted at the latest.
        deadline: Instant,
    },
    /// Gossip says that a node has the document of an epoch.
    Heard {
        /// Who.
        node: NodeId,
        /// Which epoch.
        epoch: Epoch,
    },
    /// The operator gave this node's address: it may be asked before any member is known.
    Seed(NodeId),
    /// Time has passed.
    Wake,
}

/// What an agreement wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Send a message; it may get lost.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Put this on disk in place of what was there, at once or not at all, and say so.
    Persist {
        /// Names the write.
        ticket: Ticket,
        /// All that the next start needs.
        bytes: Vec<u8>,
    },
    /// This document is decided and on disk. Epochs ascend; some may be left out.
    Adopted(Arc<Document>),
    /// What became of a proposal. May come before the document is [`Effect::Adopted`].
    Outcome {
        /// Which proposal.
        ticket: Ticket,
        /// The epoch that has the change in it, or why none has.
        result: Result<Epoch, ProposalError>,
    },
}

/// Why a proposal did not come to be decided, as far as is known here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProposalError {
    /// The topology does not allow it.
    #[error("refused at epoch {epoch:?}: {why}")]
    Refused {
        /// The topology that does not.
        epoch: Epoch,
        /// Why.
        why: ChangeRefused,
    },
    /// It was not decided in time, and will not be.
    #[error("{got} voters of the {needed} needed have answered in time; nothing was changed")]
    Undecided {
        /// Voters that answered last.
        got: usize,
        /// Voters that decide.
        needed: usize,
    },
    /// It may have been decided, or may be yet: look at the topology.
    #[error("{got} voters of the {needed} needed are known to agree; it may come to be decided")]
    Unknown {
        /// Voters that are known to have accepted it.
        got: usize,
        /// Voters that decide.
        needed: usize,
    },
    /// Too many proposals wait.
    #[error("{PROPOSALS_MAX} changes are waiting here")]
    Busy,
    /// This node is no member, so it has no say.
    #[error("this node is no member of the cluster")]
    NoMember,
}
