//! WRITE 5: check the epoch; store; an absent owner's copy is kept as a hint. The ladder is in the
//! README.

use std::rc::Rc;

use schemas::ids::{Hlc, NodeId, Vnode};

use super::asked::{Ask, Asker};
use super::fence;
use crate::event::{Order, StoreError};
use crate::horizon::{Arrival, stands_in_from};
use crate::message::{Attempt, Message, OpId, Refusal, Write};
use crate::mutation::Mutation;
use crate::record::Record;
use crate::shard::{Core, Purpose, Turn};
use crate::topology::Epoch;

/// A coordinator wants a record stored; `last` is the last stamp that this node gave.
pub(crate) fn write(turn: &mut Turn<'_>, from: NodeId, vnode: Vnode, write: Write, last: Hlc) {
    let core = &mut *turn.core;
    let Write { op, epoch, record, stands_in_for } = write;
    let asker = op.map(|op| Asker { node: from, vnode, attempt: Attempt { op, epoch } });
    let result = fits(core, vnode, &record).and_then(|()| match stands_in_for {
        Some(target) => {
            let has_room = turn.handoff.has_room(core, &record);
            let is_late = record.version.hlc < stands_in_from(last, core.tunables.horizon_window);
            fence::fence_stand_in(core, vnode, epoch, target)?;
            if is_late {
                Err(Refusal::Late)
            } else if !has_room {
                Err(Refusal::Full)
            } else {
                Ok(())
            }
        }
        None => fence::fence_write(core, vnode, epoch),
    });
    if let Err(refusal) = result {
        core.count_refusal(from, epoch, refusal);
        return answer(core, asker, Err(refusal));
    }
    let (ask, order) = match stands_in_for {
        Some(target) => {
            turn.handoff.counted(turn.now.at, target, &record);
            let order = Order::PutHint { target, record, is_counted: true };
            (Ask::StandIn(asker, target), order)
        }
        // Nobody waits for what is below the horizon: it comes late, or to repair what is whole.
        None => match core.arrival(vnode, &record) {
            Arrival::New => (Ask::Write(asker), Order::Put(record)),
            Arrival::Known => return answer(core, asker, Ok(())),
            Arrival::Unseen => return answer(core, asker, Err(Refusal::Late)),
        },
    };
    core.order(Purpose::Replica(ask), order);
}

/// Whether a record can be of `vnode`, and one more can be taken.
fn fits(core: &Core, vnode: Vnode, record: &Record) -> Result<(), Refusal> {
    if core.is_record_of(vnode, record) { core.has_room() } else { Err(Refusal::Malformed) }
}

/// A node has kept a record for this one.
pub(crate) fn hint(
    core: &mut Core,
    from: NodeId,
    vnode: Vnode,
    op: OpId,
    epoch: Epoch,
    record: Rc<Record>,
) {
    let result = fits(core, vnode, &record).and_then(|()| fence::fence_write(core, vnode, epoch));
    if let Err(refusal) = result {
        core.count_refusal(from, epoch, refusal);
        return core.send(from, vnode, Message::HintStored { op, result });
    }
    match core.as_it_arrives(vnode, record) {
        Some(order) => core.order(Purpose::Replica(Ask::Hint(from, vnode, op)), order),
        None => core.send(from, vnode, Message::HintStored { op, result: Ok(()) }),
    }
}

/// The store has taken a record, or will not.
pub(crate) fn taken(core: &mut Core, ask: Ask, taken: Result<(), StoreError>) {
    match taken {
        Err(error) => {
            let refusal = core.refusal(error);
            told(core, ask, Err(refusal));
        }
        Ok(()) if core.is_wrong(Mutation::AckBeforeReplicaDisk) => told(core, ask, Ok(())),
        Ok(()) => {}
    }
}

/// A record is on disk.
pub(crate) fn durable(turn: &mut Turn<'_>, ask: Ask) {
    if let Ask::StandIn(.., target) = ask {
        turn.handoff.durable(turn.now.at, target);
    }
    told(turn.core, ask, Ok(()));
}

fn told(core: &mut Core, ask: Ask, result: Result<(), Refusal>) {
    match ask {
        Ask::Write(asker) | Ask::StandIn(asker, _) => answer(core, asker, result),
        Ask::Hint(from, vnode, op) => core.send(from, vnode, Message::HintStored { op, result }),
        Ask::Read(..) | Ask::Scan(_) => unreachable!("it stores nothing"),
    }
}

fn answer(core: &mut Core, asker: Option<Asker>, result: Result<(), Refusal>) {
    if let Some(Asker { node, vnode, attempt }) = asker {
        core.send(node, vnode, Message::Wrote { attempt, result });
    }
}
