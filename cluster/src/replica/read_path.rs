//! READ 5: check the epoch; what is stored, or its digest. The ladder is in the README.

use schemas::ids::{NodeId, Vnode};

use super::asked::{Ask, Asker};
use super::fence;
use super::scan_path::scanned;
use crate::event::{Order, StoreError, Stored};
use crate::message::{Answer, Attempt, Message, Read, Refusal};
use crate::shard::{Core, Purpose};

/// A coordinator wants to know what is stored.
pub(crate) fn read(core: &mut Core, from: NodeId, vnode: Vnode, read: Read) {
    let Read { op, epoch, key, wants_data } = read;
    let attempt = Attempt { op, epoch };
    let result = if core.is_key_of(vnode, &key) {
        fence::fence_read(core, vnode, epoch).and_then(|()| core.has_room())
    } else {
        Err(Refusal::Malformed)
    };
    if let Err(refusal) = result {
        core.count_refusal(from, epoch, refusal);
        return core.send(from, vnode, Message::Answer { attempt, result: Err(refusal) });
    }
    let asker = Asker { node: from, vnode, attempt };
    core.order(Purpose::Replica(Ask::Read(asker, wants_data)), Order::Get(key));
}

/// The store says what it has.
pub(crate) fn got(core: &mut Core, ask: Ask, result: Result<Stored, StoreError>) {
    let (Asker { node, vnode, attempt }, wants_data) = match ask {
        Ask::Read(asker, wants_data) => (asker, wants_data),
        Ask::Scan(asked) => return scanned(core, asked, result),
        Ask::Write(..) | Ask::StandIn(..) | Ask::Hint(..) => unreachable!("it stores"),
    };
    let result = result.map_err(|error| core.refusal(error)).map(|stored| {
        let Stored::Record(record) = stored else { unreachable!("{stored:?} is no record") };
        if wants_data {
            Answer::Data(record)
        } else {
            Answer::Digest(record.map(|record| record.digest()))
        }
    });
    core.send(node, vnode, Message::Answer { attempt, result });
}
