//! [`Ask`]: whom a replica answers when its store has done something.

use schemas::ids::{NamespaceId, NodeId, Token, Vnode};

use crate::message::{Attempt, OpId};

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Asker {
    pub(super) node: NodeId,
    pub(super) vnode: Vnode,
    pub(super) attempt: Attempt,
}

/// Who asked for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// To store a record; `None` if nobody waits.
    Write(Option<Asker>),
    /// To keep a record for another node; as before, and which.
    StandIn(Option<Asker>, NodeId),
    /// To store what another node kept.
    Hint(NodeId, Vnode, OpId),
    /// What is stored; and whether its data is wanted.
    Read(Asker, bool),
    /// A page of what is stored.
    Scan(AskedPage),
}

/// Who asked for which page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AskedPage {
    pub(super) to: Asker,
    pub(super) namespace: NamespaceId,
    /// The last token that is asked for.
    pub(super) last: Token,
    pub(super) count_max: usize,
}
