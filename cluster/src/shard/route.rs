//! [`Route`]: how a core does an operation, before it begins. Pure.
//!
//! What is done straight at the engine is done as the state machine would do it, which has nothing
//! to add:
//! - This node alone has the copies that the operation concerns: of a write all that there are, of
//!   a read all of this data centre's. There is nobody to send to, to hedge with, to keep hints
//!   for.
//! - Its answer alone meets the level.
//! - The vnode is stable, so that no successor is to have what is written; it is held, and not
//!   being forgotten.
//! - A write is of a namespace whose last writer wins: siblings are read, modified and written by
//!   the coordinator, one write of a key at a time.
//!
//! A write gets its version where all of the core's writes do
//! ([`Shard::next_version`](super::Shard::next_version)), and what the engine has taken is told
//! ([`Shard::local_taken`](super::Shard::local_taken)), so that whoever takes the vnode over waits
//! until it is on disk.

use std::sync::Arc;

use schemas::consistency::Consistency;
use schemas::ids::{NamespaceId, Token};

use super::Core;
use crate::coordinator::{Access, Nodes, Quorum, copies};
use crate::topology::{Phase, Policy};

/// What is to be done, as far as its way depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteOp {
    /// Where the key belongs.
    pub namespace: NamespaceId,
    /// Whether it is read or written.
    pub access: Access,
    /// How many copies have to answer.
    pub level: Consistency,
}

/// How a core does an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Route {
    /// Straight at the engine: a read is what the engine has, a write is done when the engine has
    /// it on disk.
    Local,
    /// As an [`Event::Request`](crate::event::Event::Request): it is done, or refused.
    Coordinate,
    /// As an [`Event::Request`](crate::event::Event::Request), and the client may be told that
    /// these nodes have copies and this one has none: those of this data centre that answer first.
    Elsewhere(Nodes),
}

/// How this core does `op` on a key with `token`.
pub(super) fn route(core: &Core, token: Token, op: RouteOp) -> Route {
    let document = Arc::clone(&core.document);
    let vnode = token.vnode(document.bits);
    let (Some(namespace), Some(index)) = (document.namespace(op.namespace), core.index) else {
        return Route::Coordinate;
    };
    let me = core.me.node;
    let mut owners = copies(&document, vnode, Some(namespace), Access::Read);
    let is_far = |node| !core.is_near(node);
    if !owners.contains(&me) {
        owners.sort_by_key(|&node| (is_far(node), !core.is_up(node), node));
        return if owners.is_empty() { Route::Coordinate } else { Route::Elsewhere(owners) };
    }
    let is_alone = match op.access {
        Access::Read => owners.iter().all(|&node| node == me || is_far(node)),
        Access::Write => owners.len() == 1 && namespace.policy == Policy::LastWriterWins,
    };
    let ring = &document.ring;
    let is_settled = ring.phase(vnode) == Phase::Stable
        && core.is_held(vnode)
        && !core.dropping.contains(&vnode);
    let is_met = || {
        let quorum = Quorum::new(&document, vnode, namespace, op.level, op.access, core.dc());
        quorum.is_ok_and(|quorum| quorum.could_be_met(ring, vnode, std::iter::once(index)))
    };
    if is_alone && is_settled && is_met() { Route::Local } else { Route::Coordinate }
}

#[cfg(test)]
mod tests;
