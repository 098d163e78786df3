//! [`Ask`]: whom a replica answers when its store has done something.

use schemas::ids::{NodeId, Vnode};

use crate::message::OpId;

/// Who asked for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// To store a record; `None` if nobody waits.
    Write(NodeId, Vnode, Option<OpId>),
    /// To keep a record for another node.
    StandIn(NodeId, Vnode, Option<OpId>, NodeId),
    /// To store what another node kept.
    Hint(NodeId, Vnode, OpId),
    /// What is stored; and whether its data is wanted.
    Read(NodeId, Vnode, OpId, bool),
}
