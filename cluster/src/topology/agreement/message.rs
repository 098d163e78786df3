//! [`Message`]: what nodes say to each other about the topology.

use schemas::ids::ClusterId;

use super::acceptor::Ballot;
use crate::topology::{Encoded, Epoch};

/// What one node says to another. It holds at most two documents' references, one of them at a
/// time: an [`Accept`](Body::Accept) carries the whole document, `DESIGN.md` has the numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Whose topology it is about.
    pub cluster: ClusterId,
    /// The epoch of the document that the sender has on disk; 0 for none. It acknowledges that
    /// epoch and all before it.
    pub epoch: Epoch,
    /// The rest.
    pub body: Body,
}

/// What a message is about, beside its sender's epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Nothing.
    Notice,
    /// Say when that epoch is on your disk, and ask for its document if it is not.
    Offer,
    /// Send your document if it is newer.
    Ask,
    /// A document that was decided.
    Document(Encoded),
    /// Promise to accept nothing for `epoch` under a lesser ballot.
    Prepare {
        /// The epoch to be decided.
        epoch: Epoch,
        /// The attempt.
        ballot: Ballot,
    },
    /// A voter's promise.
    Promise {
        /// The epoch to be decided.
        epoch: Epoch,
        /// The attempt.
        ballot: Ballot,
        /// What the voter has accepted for that epoch, and under which ballot.
        accepted: Option<(Ballot, Encoded)>,
    },
    /// Accept this document for its epoch.
    Accept {
        /// The attempt.
        ballot: Ballot,
        /// What is to be decided.
        value: Encoded,
    },
    /// A voter's acceptance.
    Accepted {
        /// The epoch to be decided.
        epoch: Epoch,
        /// The attempt.
        ballot: Ballot,
    },
    /// A voter has promised another attempt.
    Refuse {
        /// The epoch to be decided.
        epoch: Epoch,
        /// The attempt that is refused.
        ballot: Ballot,
        /// The greater one.
        promised: Ballot,
    },
}
