//! An operation under way, and whom its outcome is for.

use super::forward::Forwarded;
use super::multi_get::GatherId;
use super::read_path::ReadOp;
use super::scan_path::ScanOp;
use super::table::Table;
use super::write_path::WriteOp;
use crate::event::RequestId;
use crate::message::{Attempt, Message, OpId};
use crate::shard::Core;
use crate::time::Instant;
use crate::topology::Epoch;
use schemas::ids::{NodeId, Vnode};

use super::request::Reply;

/// Whom an outcome is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Client {
    /// A client of this node.
    Here(RequestId),
    /// A node that forwarded a client's request.
    Node(NodeId, OpId),
    /// One of the keys of a client of this node that wants several.
    Part(GatherId, u16),
    /// Nobody: it is done for the copies' sake.
    Nobody,
}

impl Client {
    pub(super) fn reply(self, core: &mut Core, vnode: Vnode, reply: Reply) {
        match self {
            Self::Here(request) => core.reply(request, reply),
            Self::Node(node, op) => core.send(node, vnode, Message::Forwarded { op, reply }),
            Self::Part(gather, at) => {
                if let Some((request, reply)) = core.gathers.set(gather, at, reply) {
                    core.reply(request, reply);
                }
            }
            Self::Nobody => {}
        }
    }
}

/// An operation under way.
#[derive(Debug)]
pub(super) enum Operation {
    Write(Box<WriteOp>),
    Read(Box<ReadOp>),
    Scan(Box<ScanOp>),
    Forwarded(Forwarded),
}

impl Operation {
    /// The vnode whose records it has; `None` if it has none.
    pub(super) fn vnode(&self) -> Option<Vnode> {
        match self {
            Self::Write(op) => Some(op.vnode),
            Self::Read(op) => Some(op.vnode),
            Self::Scan(op) => Some(op.vnode),
            Self::Forwarded(_) => None,
        }
    }

    /// When it is to be looked at.
    pub(super) fn alarm(&self) -> Instant {
        match self {
            Self::Write(op) => op.alarm,
            Self::Read(op) => op.alarm,
            Self::Scan(op) => op.alarm,
            Self::Forwarded(op) => op.deadline,
        }
    }

    /// In which epoch of that vnode copies are asked.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Write(op) => Some(op.epoch),
            Self::Read(op) => Some(op.epoch),
            Self::Scan(op) => Some(op.epoch),
            Self::Forwarded(_) => None,
        }
    }
}

impl Table<Operation> {
    /// The operation that asks so: not one that has gone over to another epoch.
    pub(super) fn attempted(&mut self, attempt: Attempt) -> Option<&mut Operation> {
        let operation = self.get_mut(attempt.op)?;
        (operation.epoch() == Some(attempt.epoch)).then_some(operation)
    }
}

/// Whether an operation is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Stays,
    Ends,
}
