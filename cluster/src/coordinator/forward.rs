//! A write of a vnode that this node does not own goes to an owner, which gives it its dot.
//!
//! It is sent once. Whether one that is not answered was done, nobody knows; a second owner would
//! do it again, as another write.

use std::rc::Rc;

use schemas::ids::{NodeId, Vnode};
use schemas::status::{Applied, Status};

use super::Coordinator;
use super::operation::{Client, Fate, Operation};
use super::request::{Refused, Reply, Request};
use crate::message::{Message, OpId};
use crate::shard::Turn;
use crate::time::Instant;

/// A request that is with an owner.
#[derive(Debug)]
pub(super) struct Forwarded {
    client: Client,
    vnode: Vnode,
    owner: NodeId,
    pub(super) deadline: Instant,
}

impl Coordinator {
    pub(super) fn forward(
        &mut self,
        turn: &mut Turn<'_>,
        client: Client,
        vnode: Vnode,
        owner: NodeId,
        request: &Rc<Request>,
    ) {
        let deadline = turn.now.at + request.waits();
        let forwarded = Forwarded { client, vnode, owner, deadline };
        let op = self.table.insert(Operation::Forwarded(forwarded));
        self.settle(op, Fate::Stays);
        let (request, left) = (Rc::clone(request), request.waits());
        let lane = *turn.core.vnodes.start();
        turn.core.send(owner, vnode, Message::Forward { op, lane, request, left });
    }

    /// An owner has answered.
    pub(super) fn forwarded(&mut self, turn: &mut Turn<'_>, from: NodeId, op: OpId, reply: Reply) {
        let Some(Operation::Forwarded(it)) = self.table.get_mut(op) else {
            turn.core.counts.stray_answers += 1;
            return;
        };
        if it.owner != from {
            turn.core.counts.stray_answers += 1;
            return;
        }
        // What is forwarded is a write.
        if matches!(reply, Reply::Found(_)) {
            turn.core.counts.malformed += 1;
            return;
        }
        it.client.reply(turn.core, it.vnode, reply);
        self.settle(op, Fate::Ends);
    }
}

impl Forwarded {
    /// No answer came in time.
    pub(super) fn due(&self, turn: &mut Turn<'_>) -> Fate {
        let refused =
            Refused { applied: Applied::Unknown, ..Refused::untouched(Status::OutcomeUnknown) };
        self.client.reply(turn.core, self.vnode, Reply::Refused(refused));
        Fate::Ends
    }
}
