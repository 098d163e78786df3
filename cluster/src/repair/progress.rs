//! [`Move`]: how far a copy is that takes over a vnode.

use std::time::Duration;

use schemas::ids::{NodeId, Vnode};

use crate::topology::Epoch;

/// A vnode that moves here, and how far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// Which.
    pub vnode: Vnode,
    /// Since which epoch.
    pub epoch: Epoch,
    /// How it stands.
    pub state: MoveState,
    /// Whom it has been compared with, of those that it takes over from, ascending.
    pub compared: Vec<NodeId>,
    /// Whom it may yet be compared with, ascending.
    pub open: Vec<NodeId>,
    /// Bytes of records that have come.
    pub bytes: u64,
    /// Records that have come.
    pub records: u64,
    /// Bytes that are still to come from whom it is being compared with, as far as can be told from
    /// both clocks, or from the leaves that differ; `None` before it is known.
    pub bytes_left: Option<u64>,
    /// How long that takes, as fast as it has been so far, and no faster than what is allowed for
    /// all moves of this core together.
    pub eta: Option<Duration>,
}

/// How a move stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MoveState {
    /// For its turn among the core's moves, or for somebody who does not answer.
    Waits,
    /// It is being compared with this node.
    Streams(NodeId),
    /// All moves are paused.
    Paused,
    /// All has come that has to, before the vnode may settle.
    CaughtUp,
}
