//! WRITE 5: check the epoch; store; an absent owner's copy is kept as a hint. The ladder is in the
//! README.

use schemas::ids::{NodeId, Vnode};

use super::asked::{Ask, refusal};
use super::fence;
use crate::coordinator::Access;
use crate::event::{Order, StoreError};
use crate::message::{Message, OpId, Refusal, Write};
use crate::shard::{Core, Purpose};

/// A coordinator wants a record stored.
pub(crate) fn write(core: &mut Core, from: NodeId, vnode: Vnode, write: Write) {
    let Write { op, epoch, record, stands_in_for } = write;
    let fits = core.vnode_of(&record.key) == vnode && record.version.dot.counter > 0;
    let result = if !fits {
        core.counts.malformed += 1;
        Err(Refusal::Malformed)
    } else if stands_in_for.is_some() {
        core.index.map(|_| ()).ok_or(Refusal::NotOwner)
    } else {
        fence::pass(&core.document, core.index, vnode, epoch, Access::Write)
    };
    if let Err(refusal) = result {
        core.count_refusal(from, epoch, refusal);
        return answer(core, from, vnode, op, Err(refusal));
    }
    let order = match stands_in_for {
        Some(target) => Order::PutHint { target, record, is_counted: true },
        None => Order::Put(record),
    };
    core.order(Purpose::Replica(Ask::Write(from, vnode, op)), order);
}

/// The store has taken a record, or will not. Whether that ends its order.
pub(crate) fn taken(core: &mut Core, ask: Ask, taken: Result<(), StoreError>) {
    if let (Ask::Write(from, vnode, op), Err(error)) = (ask, taken) {
        answer(core, from, vnode, op, Err(refusal(error)));
    }
}

/// A record is on disk.
pub(crate) fn durable(core: &mut Core, ask: Ask) {
    if let Ask::Write(from, vnode, op) = ask {
        answer(core, from, vnode, op, Ok(()));
    }
}

fn answer(
    core: &mut Core,
    to: NodeId,
    vnode: Vnode,
    op: Option<OpId>,
    result: Result<(), Refusal>,
) {
    if let Some(op) = op {
        core.send(to, vnode, Message::Wrote { op, result });
    }
}
